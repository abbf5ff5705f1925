"""Every command on terminals of several widths: no figure is cut, and no row loses what says which it is."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from blockdot.hw import DotUnit
from blockdot.lab import price
from blockdot.lab.cost.area_delay import AreaDelayCurve, AreaDelayCurves, AreaDelayDelta
from blockdot.lab.cost.attribution import Attribution, PartDelta
from blockdot.lab.cost.comparison import CostComparison
from blockdot.lab.cost.cost_delta import Delta
from blockdot.lab.cost.fpga_cost import RESOURCES, FpgaCost, PlacedCost
from blockdot.lab.cost.unit_cost import UnitCost
from blockdot.lab.cost.unit_energy import UnitEnergy
from blockdot.lab.demo_weights import ACTIVATIONS, WEIGHT
from blockdot.lab.reports.cost_report import CostReport
from blockdot.lab.statistics import Estimate, Summary, relative
from blockdot.lab.unit_choices import UnitChoices
from blockdot.sim import Response, Stimulus
from blockdot.sim.engines import cocotb_test_run
from blockdot.sim.engines.cocotb_test_run import TestResult
from blockdot.synth.ice40_placement import LOGIC_CELLS
from blockdot.synth.metric import FMAX, Metric
from blockdot.synth.neutral_library import neutral
from blockdot.verify import netlist_mutants, proofs, soak, source_mutants
from blockdot.verify.netlist_mutants import Mutant, Mutants
from blockdot.verify.proofs import Proof
from safetensors.numpy import save_file
from tiny_models import write_model, write_text

from blockdot import sim

WIDTHS = (60, 80, 120)
BORDERS = re.compile(r"[┏┳┓┃┡╇┩│├┼┤└┴┘━─]")
SMALL = "e2m1_ue2m0_n2_none"

AREA, NAND2 = Metric("area", "um2", "lower", 1), Metric("area", "NAND2", "lower", 1)
DELAY, PERIOD = Metric("delay", "ns", "lower", 3), Metric("period", "ns", "lower", 3)
ENERGY, COUNT = Metric("energy", "fJ", "lower", 0), Metric("flip-flops", "", "lower", 0)


def summary(metric: Metric, value: float) -> Summary:
    return Summary(metric, (value, 1.01 * value, 0.99 * value))


def estimate(metric: Metric, value: float) -> Estimate:
    return Estimate(metric, (value, 1.01 * value))


def priced() -> CostReport:
    """A report with all that a report can have, of figures that nobody measured."""
    base, other = UnitChoices(accumulates=["exact"]).units()
    facts = replace(neutral().facts, name="sky130_fd_sc_hd__tt_025C_1v80", area_unit="um2", delay_unit="ns")
    costs = tuple(
        UnitCost(
            unit,
            summary(AREA, 31046.4 * more),
            summary(NAND2, 8271.7 * more),
            summary(DELAY, 7.345 * more),
            summary(PERIOD, 7.925 * more),
            summary(PERIOD, 0.391),
            summary(PERIOD, 0.113),
            summary(COUNT, 131),
            "0",
        )
        for unit, more in ((base, 1.0), (other, 1.17))
    )
    deltas = tuple(
        Delta(base, other, estimate(metric, 17.0), relative(metric, one.values, two.values))
        for metric, one, two in (
            (AREA, costs[0].area, costs[1].area),
            (DELAY, costs[0].delay, costs[1].delay),
            (PERIOD, costs[0].period, costs[1].period),
        )
    )
    part = PartDelta(
        "normalise", 1, 1, "i_x[48] o_x[24] o_e[6]", "i_x[80] o_x[24] o_e[7]", False, estimate(AREA, 411.3)
    )
    attribution = Attribution(
        deltas[0], (part,), estimate(AREA, 411.3), relative(AREA, (31046.4,) * 2, (31450.0, 31500.0)), ()
    )
    comparison = CostComparison(facts, ("a2", "d0"), (0, 1), 1, "0.70", costs, deltas, (attribution,))
    delays = (7.25, 8.5, 9.75, 11.0)
    curves = AreaDelayCurves(
        delays,
        tuple(
            AreaDelayCurve(unit, (), (None, *(summary(AREA, 30000.0 - at) for at in delays[1:])))
            for unit in (base, other)
        ),
        tuple(
            AreaDelayDelta(base, other, at, estimate(AREA, 1.0), estimate(replace(AREA, unit="%"), 17.1))
            for at in delays[1:]
        ),
    )
    energies = tuple(
        UnitEnergy(unit, vectors, summary(ENERGY, 1641.0), summary(ENERGY, 911.0), base, delta, delta)
        for unit, delta in ((base, None), (other, estimate(replace(ENERGY, unit="%"), -0.0001)))
        for vectors in ("real", "uniform")
    )
    resources = {name: Summary(Metric(name, "", "lower", 0), (1241.0, 1254.0)) for name in RESOURCES}
    placed = PlacedCost(
        "HX8K",
        "1.2",
        (1, 2),
        Summary(LOGIC_CELLS, (1241.0, 1254.0)),
        Summary(FMAX, (30.89, 35.2, 36.99, 35.9)),
        False,
        estimate(replace(LOGIC_CELLS, unit="%"), 1.13),
        estimate(replace(FMAX, unit="%"), 3.44),
    )
    fpga = tuple(
        FpgaCost(unit, "ice40", resources, base, estimate(replace(COUNT, unit="%", digits=2), 1.0), placed)
        for unit in (base, other)
    )
    return CostReport((comparison,), ((curves,),), (energies,), fpga)


def answered(_unit: DotUnit, stimulus: Stimulus, **_options: object) -> Response:
    """Answer as the model does, at once."""
    results, cycles = stimulus.expected(), np.arange(stimulus.vectors)
    return Response(
        results=results, result_cycles=cycles[: len(results)], input_cycles=cycles, cycles=len(cycles)
    )


@pytest.fixture
def files(tmp_path, rng, monkeypatch):
    """Files that commands read, and what would take long done already."""
    names = ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight")
    save_file(
        {
            name: (1e30 if k else 0.01) * rng.normal(size=(4, 32)).astype(np.float32)
            for k, name in enumerate(names)
        },
        tmp_path / "model.safetensors",
    )
    save_file(
        {
            WEIGHT: rng.normal(size=(4, 32)).astype(np.float32),
            ACTIVATIONS: rng.normal(size=(8, 32)).astype(np.float32),
        },
        tmp_path / "demo.safetensors",
    )
    write_model(tmp_path / "language")
    write_text(tmp_path / "text.txt", 64)
    monkeypatch.setattr(price, "price", lambda *_, **__: priced())
    monkeypatch.setattr(sim, "run", answered)
    results = [
        TestResult("test_resets_in_mid_stream", "failed", 12.34, "AssertionError: result 17 is 0x7fc00000"),
        TestResult("test_corners", "passed", 0.1, ""),
    ]
    monkeypatch.setattr(cocotb_test_run, "run_tests", lambda *_, **__: results)
    claim = "every product of two e2m1 codes, as an integer in units of a quarter"
    proven = [
        Proof("multiply", claim, "SAT, 8 bits", "proven", True, "", 1234.5),
        Proof(
            "tree",
            claim,
            "simulation, 65536 vectors",
            "agrees",
            False,
            "what 2**64 inputs give",
            0.1,
            kept=True,
        ),
    ]
    monkeypatch.setattr(proofs, "prove", lambda *_, **__: proven)
    mutant = Mutant("tree of compressors", "input 3 of cell 417 stuck at 1", "killed", 3)
    monkeypatch.setattr(netlist_mutants, "mutate", lambda *_, **__: Mutants("u", 0, 100, (mutant,) * 128))
    monkeypatch.setattr(source_mutants, "plant", lambda *_, **__: (mutant,) * 16)
    soaked = soak.Soak(
        unit="u",
        seed=3,
        vectors=10,
        products=10,
        results=9,
        resumed=0,
        workers=1,
        digest="0123456789abcdef" * 4,
        failure=None,
    )
    monkeypatch.setattr(soak, "soak", lambda *_, **__: soaked)


COMMANDS = {
    "verilog": ("--accumulate", "aligned", "--block-size", 2, "-o", "v"),
    "simulate": ("--block-size", 2, "--engine", "pysim", "--vectors", 20),
    "soak": (SMALL,),
    "coverage": (SMALL, "--engine", "model"),
    "vectors": (SMALL, "--vectors", 10, "-o", "d"),
    "bench": (SMALL, "--stages", 1),
    "prove": (SMALL,),
    "mutants": (SMALL,),
    "area": (),
    "quantize": ("model.safetensors", "--block-size", 8, "--block-size", 16, "--method", "search"),
    "evaluate": ("language", "--text", "text.txt", "--window", 16, "--segment", 10, "--block-size", 8),
    "theory": ("--sigma", "1.01e-5", "--sigma", 0.05, "--parts"),
    "tools": (),
    "demo": ("--weights", "demo.safetensors"),
}


def words(text: str) -> Counter[str]:
    """The words of what was printed, each as often as it stands there; how long a run took is left out."""
    text = re.sub(r"\d+\.\d s\b|[\d.]+ million|, \d+ s\n", "", text)
    # Several tables have more heads than one, and lists none.
    rows = [line for line in text.splitlines() if not line.startswith("┃")]
    return Counter(BORDERS.sub(" ", "\n".join(rows)).split())


def test_every_command_is_tried():
    from blockdot.cli.app import app

    assert set(COMMANDS) == {info.callback.__name__ for info in app.registered_commands if info.callback}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("files")
def test_no_width_loses_anything(blockdot, monkeypatch, command):
    arguments = (command, *COMMANDS[command])
    monkeypatch.delenv("COLUMNS", raising=False)
    piped = blockdot(*arguments)
    assert piped.code in (0, 1), piped.err
    assert "Shown" not in piped.out
    wanted = words(piped.out)
    # The demo emits Verilog each time, which takes long.
    for width in WIDTHS[:1] if command == "demo" else WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        done = blockdot(*arguments)
        assert done.code == piped.code
        found = words(done.out)
        # A word that is longer than a line, such as a path, goes on on the next.
        lost = {word for word, times in wanted.items() if found[word] < times and len(word) < width - 10}
        assert not lost, done.out
        folded = re.sub(r"\s", "", BORDERS.sub("", done.out))
        assert all(word in folded for word in wanted if len(word) >= width - 10)
        # What follows a table's borders, or says where a file went, is broken by the terminal, not here.
        tables = [line for line in done.out.splitlines() if BORDERS.search(line)]
        assert max(map(len, tables), default=0) <= width
        for line in piped.out.splitlines():
            if line.startswith("│") and not BORDERS.sub(" ", line).startswith("    "):
                first = line.split("│")[1].split()
                assert not first or first[0] in found or len(first[0]) >= width - 10
