"""How a unit is built, as one value: checked once, named, and read back."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from blockdot.hw import DotArray, DotUnit, UnitConfig
from blockdot.hw.config import FLOWS, OPTIMISE, least_stages
from blockdot.model import DotSpec
from blockdot.model.accumulate import ACCUMULATIONS
from hypothesis import given
from hypothesis import strategies as st
from messages import check_messages

NONE, EXACT = DotSpec(), DotSpec(accumulate="exact")
SCALES = ("ue4m3", "ue5m3", "ue8m0", "ue4m4", "ue5m3_ieee", "ue4m3_full", "ue2m0")
ELEMENTS = ("e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "e3m4", "int8")


def either_or_pair(names: tuple[str, ...]) -> st.SearchStrategy[str | tuple[str, str]]:
    one = st.sampled_from(names)
    return one | st.tuples(one, one)


@st.composite
def specs(draw: st.DrawFn) -> DotSpec:
    """Any specification of one of the accumulations."""
    accumulate = draw(st.sampled_from(tuple(ACCUMULATIONS)))
    most = ACCUMULATIONS[accumulate].most_blocks or 8
    return DotSpec(
        element=draw(either_or_pair(ELEMENTS)),
        scale=draw(either_or_pair(SCALES)),
        block_size=draw(st.sampled_from((2, 4, 8, 16, 32, 64, 128))),
        blocks=draw(st.sampled_from([blocks for blocks in (1, 2, 4, 8) if blocks <= most])),
        accumulate=accumulate,
        guard=draw(st.integers(3, 30)),
        fraction=draw(st.integers(0, 52)),
    )


@st.composite
def configs(draw: st.DrawFn) -> UnitConfig:
    """Any configuration at all."""
    spec = draw(specs())
    segment = None
    if spec.accumulate == "exact":
        segment = draw(st.none() | st.integers(1, spec.accumulator_bits - 1))
    sides = st.integers(1, 64)
    shallow = UnitConfig(
        spec,
        stages=least_stages(spec),
        optimise=draw(st.sampled_from(OPTIMISE)),
        order=draw(st.integers(0, 1 << 40)),
        segment=segment,
        tile=draw(st.none() | st.tuples(sides, sides)),
    )
    stages = draw(st.integers(shallow.stages, shallow.max_stages))
    return replace(shallow, stages=stages, flow=draw(st.sampled_from(FLOWS)))


@given(configs())
def test_a_name_is_of_one_configuration_and_reads_back(config: UnitConfig) -> None:
    assert UnitConfig.parse(config.name) == config
    assert str(config) == config.name
    assert config.module_name.startswith("blockdot_")
    assert config.name.startswith(config.module_name.removeprefix("blockdot_"))


@given(configs(), configs())
def test_different_configurations_have_different_names(one: UnitConfig, other: UnitConfig) -> None:
    assert (one.name == other.name) == (one == other)
    assert one != other or hash(one) == hash(other)


@given(configs())
def test_a_record_is_json_and_reads_back(config: UnitConfig) -> None:
    record = json.loads(json.dumps(config.to_dict()))
    assert UnitConfig.from_dict(record) == config
    assert list(record) == [field.name for field in fields(config)]


@pytest.mark.parametrize(
    ("config", "name", "module"),
    [
        (UnitConfig(NONE, stages=0), "e2m1_ue5m3_n16_none_s0", "blockdot_e2m1_ue5m3_n16_none_s0"),
        (
            UnitConfig(EXACT, stages=2, optimise="delay", segment=8),
            "e2m1_ue5m3_n16_exact_s2_delay_segment8",
            "blockdot_e2m1_ue5m3_n16_exact_s2",
        ),
        (
            UnitConfig(EXACT, flow="enable", optimise="delay", segment=1, order=7, tile=(4, 8)),
            "array4x8_e2m1_ue5m3_n16_exact_s1_enable_delay_segment1_order7",
            "blockdot_array4x8_e2m1_ue5m3_n16_exact_s1_enable",
        ),
        (
            UnitConfig(NONE, flow="valid"),
            "e2m1_ue5m3_n16_none_s1_valid",
            "blockdot_e2m1_ue5m3_n16_none_s1_valid",
        ),
    ],
)
def test_names_say_what_is_not_as_usual(config: UnitConfig, name: str, module: str) -> None:
    assert (config.name, config.module_name) == (name, module)
    assert config.build().name == module


def test_every_field_is_checked() -> None:
    def refused(**options: object) -> None:
        UnitConfig(**{"spec": NONE, **options})  # type: ignore[arg-type]

    check_messages(
        [
            (TypeError, "spec must be a DotSpec, not 'e2m1'", lambda: refused(spec="e2m1")),
            (TypeError, "stages must be an integer, not 1.0", lambda: refused(stages=1.0)),
            (TypeError, "stages must be an integer, not True", lambda: refused(stages=True)),
            (
                ValueError,
                "stages must be from 0 to 6 for e2m1_ue5m3_n16_none, not 7",
                lambda: refused(stages=7),
            ),
            (
                ValueError,
                "stages must be from 1 to 8 for e2m1_ue5m3_n16_exact, not 0",
                lambda: refused(spec=EXACT, stages=0),
            ),
            (
                ValueError,
                "optimise must be one of area, delay, not 'power'",
                lambda: refused(optimise="power"),
            ),
            (
                ValueError,
                "flow must be one of stream, valid, enable, not 'ready'",
                lambda: refused(flow="ready"),
            ),
            (
                ValueError,
                "flow must be one of stream, valid, enable, not 'ready'",
                lambda: refused(flow="ready", stages=0),
            ),
            (TypeError, "order must be an integer, not '1'", lambda: refused(order="1")),
            (ValueError, "order must not be negative, not -1", lambda: refused(order=-1)),
            (TypeError, "segment must be an integer, not 8.0", lambda: refused(spec=EXACT, segment=8.0)),
            (ValueError, "segment must be None for accumulate='none', not 8", lambda: refused(segment=8)),
            (
                ValueError,
                "segment must be from 1 to 95 for e2m1_ue5m3_n16_exact, not 96",
                lambda: refused(spec=EXACT, segment=96),
            ),
            (
                TypeError,
                "tile must be None or a pair of rows and columns, not 4",
                lambda: refused(tile=4),
            ),
            (
                TypeError,
                "tile must be None or a pair of rows and columns, not (1, 2, 3)",
                lambda: refused(tile=(1, 2, 3)),
            ),
            (TypeError, "rows must be an integer, not 1.5", lambda: refused(tile=(1.5, 1))),
            (TypeError, "columns must be an integer, not True", lambda: refused(tile=(1, True))),
            (ValueError, "rows must be from 1 to 64, not 0", lambda: refused(tile=(0, 1))),
            (ValueError, "columns must be from 1 to 64, not 65", lambda: refused(tile=[1, 65])),
        ]
    )


def test_a_change_is_checked_as_well() -> None:
    config = UnitConfig(EXACT, optimise="delay", segment=8)
    assert config.with_stages(9) == UnitConfig(EXACT, stages=9, optimise="delay", segment=8)
    check_messages(
        [
            (
                ValueError,
                "stages must be from 1 to 9 for e2m1_ue5m3_n16_exact, not 10",
                lambda: config.with_stages(10),
            ),
            (
                ValueError,
                "segment must be None for accumulate='none', not 8",
                lambda: replace(config, spec=NONE),
            ),
            # One step less behind an accumulator that keeps no carries.
            (
                ValueError,
                "stages must be from 1 to 8 for e2m1_ue5m3_n16_exact, not 9",
                lambda: replace(config.with_stages(9), segment=None),
            ),
        ]
    )
    with pytest.raises(FrozenInstanceError):
        config.stages = 2  # type: ignore[misc]


def test_there_is_no_flow_without_a_pipeline() -> None:
    assert UnitConfig(NONE, stages=0, flow="valid") == UnitConfig(NONE, stages=0)
    assert DotUnit(NONE, stages=0, flow="enable").flow == "stream"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "unit must read like e2m1_ue5m3_n16_fp32_s1, not ''"),
        ("e2m1_ue5m3_n16_fp32", "unit must read like e2m1_ue5m3_n16_fp32_s1, not 'e2m1_ue5m3_n16_fp32'"),
        (
            "blockdot_e2m1_ue5m3_n16_fp32_s1",
            "format must be one of e2m1, e2m3, e3m2, e4m3, e5m2, e3m4, int8, ue4m3, ue5m3, ue8m0, ue4m4, "
            "ue5m3_ieee, ue4m3_full or ue{E}m{M} with E from 2 to 8 and M from 0 to 5, not 'blockdot'",
        ),
        (
            "e2m1_ue5m3_n16_fp32_s1_segment8_delay",
            "unit must read like e2m1_ue5m3_n16_fp32_s1, not 'e2m1_ue5m3_n16_fp32_s1_segment8_delay'",
        ),
        (
            "e2m1_ue5m3_n16_fp32_s1_order0",
            "unit must be named e2m1_ue5m3_n16_fp32_s1, not 'e2m1_ue5m3_n16_fp32_s1_order0'",
        ),
        (
            "e2m1_ue5m3_n16_none_s0_valid",
            "unit must be named e2m1_ue5m3_n16_none_s0, not 'e2m1_ue5m3_n16_none_s0_valid'",
        ),
        ("array0x1_e2m1_ue5m3_n16_fp32_s1", "rows must be from 1 to 64, not 0"),
        ("e2m1_ue5m3_n16_fp32_s9", "stages must be from 1 to 7 for e2m1_ue5m3_n16_fp32, not 9"),
    ],
)
def test_what_is_no_name_is_refused(name: str, message: str) -> None:
    check_messages([(ValueError, message, lambda: UnitConfig.parse(name))])


def test_a_record_has_every_key_and_no_other() -> None:
    record = UnitConfig(NONE).to_dict()
    keys = "spec, stages, optimise, flow, order, segment, tile"
    less = {key: value for key, value in record.items() if key != "flow"}
    check_messages(
        [
            (
                ValueError,
                f"unit record must have the keys {keys}, not spec, stages, optimise, order, segment, tile",
                lambda: UnitConfig.from_dict(less),
            ),
            (
                ValueError,
                f"unit record must have the keys {keys}, not {keys}, colour",
                lambda: UnitConfig.from_dict(record | {"colour": "red"}),
            ),
            (
                ValueError,
                "order must not be negative, not -3",
                lambda: UnitConfig.from_dict(record | {"order": -3}),
            ),
        ]
    )


@pytest.mark.parametrize(
    "config",
    [
        UnitConfig(DotSpec(block_size=2), stages=0),
        UnitConfig(DotSpec(block_size=2, accumulate="exact"), stages=3, optimise="delay", order=2, segment=4),
        UnitConfig(DotSpec(block_size=2, accumulate="fp32"), flow="valid", tile=(2, 3)),
    ],
    ids=str,
)
def test_the_unit_is_built_as_it_says(config: UnitConfig) -> None:
    unit = config.build()
    assert unit.config == config
    assert (unit.max_stages, unit.name) == (config.max_stages, config.module_name)
    for field in ("spec", "stages", "optimise", "flow", "order", "segment"):
        assert getattr(unit, field) == getattr(config, field)
    if config.tile is None:
        assert type(unit) is DotUnit
    else:
        assert isinstance(unit, DotArray)
        assert (unit.rows, unit.columns) == config.tile


def test_a_unit_and_a_tile_are_not_taken_for_each_other() -> None:
    check_messages(
        [
            (
                ValueError,
                "tile must be None for a single unit, not (2, 2)",
                lambda: DotUnit.of(UnitConfig(NONE, tile=(2, 2))),
            ),
            (
                ValueError,
                "tile must be rows and columns for a tile, not None",
                lambda: DotArray.of(UnitConfig(NONE)),
            ),
        ]
    )


def test_importing_it_loads_no_amaranth() -> None:
    code = (
        "import sys; from blockdot.hw import UnitConfig, unit_grid; "
        "assert not any(name.partition('.')[0] == 'amaranth' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_name_that_is_not_there_is_told_as_of_any_package() -> None:
    import blockdot.hw as package

    with pytest.raises(AttributeError, match=r"^module 'blockdot\.hw' has no attribute 'DotTree'$"):
        _ = package.DotTree  # type: ignore[attr-defined]
    assert all(hasattr(package, name) for name in package.__all__)
