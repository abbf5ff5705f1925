"""Running combinational hardware over lists of numbers."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator, SimulatorContext
from blockdot.hw import to_verilog
from blockdot.hw.stream_unit import StreamUnit

Row = tuple[int, ...]
Numbers = npt.NDArray[np.uint64]
Evaluate = Callable[[wiring.Component, Iterable[Row]], list[Row]]
Apply = Callable[[Callable[..., Sequence[Value]], Sequence[int], Iterable[Row]], list[Row]]

_TIMEOUT_S = 100  # of one call of Yosys


def _simulate(
    design: wiring.Component | Module,
    inputs: Sequence[Signal],
    outputs: Sequence[Signal],
    rows: Iterable[Row],
) -> list[Row]:
    results: list[Row] = []
    pins = Cat(*inputs)

    async def bench(ctx: SimulatorContext) -> None:
        for row in rows:
            word = place = 0
            for port, number in zip(inputs, row, strict=True):
                word |= (number & ((1 << len(port)) - 1)) << place
                place += len(port)
            # One assignment to all pins settles the logic once, not once for each of them.
            ctx.set(pins, word)
            await ctx.delay(1e-9)
            results.append(tuple(ctx.get(port) for port in outputs))

    simulator = Simulator(design)
    simulator.add_testbench(bench)
    simulator.run()
    return results


def _ports(component: wiring.Component, flow: wiring.Flow) -> list[Signal]:
    return [
        getattr(component, name)
        for name, member in component.signature.members.items()
        if member.flow is flow
    ]


@pytest.fixture
def evaluate() -> Evaluate:
    """Run a component in Amaranth's own simulator.

    A row gives its inputs in the order of its signature; the answer has a row of outputs for each.
    """

    def run(component: wiring.Component, rows: Iterable[Row]) -> list[Row]:
        return _simulate(component, _ports(component, In), _ports(component, Out), rows)

    return run


@pytest.fixture
def apply() -> Apply:
    """Run a function from a module and values to values: ``apply(function, widths of inputs, rows)``."""

    def run(
        function: Callable[..., Sequence[Value]], widths: Sequence[int], rows: Iterable[Row]
    ) -> list[Row]:
        m = Module()
        inputs = [Signal(width, name=f"input_{k}") for k, width in enumerate(widths)]
        outputs = []
        for k, value in enumerate(function(m, *inputs)):
            outputs.append(Signal(len(value), name=f"output_{k}"))
            m.d.comb += outputs[-1].eq(value)
        return _simulate(m, inputs, outputs, rows)

    return run


_TO_AND_GATES = (
    "hierarchy -top dut", "proc", "flatten", "opt_clean", "techmap", "opt_clean", "aigmap", "opt_clean",
)  # fmt: skip
_YOSYS = """
import sys
from pyosys import libyosys
libyosys.run_pass(f"tee -q -o {sys.argv[1]}/log script {sys.argv[1]}/dut.ys", libyosys.Design())
"""


class _AndGates:
    """A component as AND gates and inverters, by Yosys, to be evaluated on any number of rows at once.

    One Python integer holds what a wire carries, a bit for each row.
    """

    def __init__(self, folder: Path, source: str, read: str) -> None:
        (folder / "dut.in").write_text(source)
        passes = [f"{read} {folder}/dut.in", *_TO_AND_GATES, f"write_aiger -ascii -symbols {folder}/dut.aag"]
        (folder / "dut.ys").write_text("\n".join(passes))
        subprocess.run(
            [sys.executable, "-c", _YOSYS, str(folder)],
            check=True,
            timeout=_TIMEOUT_S,
            stdout=subprocess.DEVNULL,
        )
        # https://fmv.jku.at/aiger/FORMAT.aiger: literal 2n is variable n, and 2n + 1 its inverse.
        lines = iter((folder / "dut.aag").read_text().splitlines())
        _, _, inputs, latches, outputs, ands = next(lines).split()
        assert latches == "0"
        self._inputs = [int(next(lines)) for _ in range(int(inputs))]
        self._outputs = [int(next(lines)) for _ in range(int(outputs))]
        self._ands = [tuple(map(int, next(lines).split())) for _ in range(int(ands))]
        # "i3 code[1]", or "i3 code" for a port of one bit.
        symbols = dict(line.split() for line in lines if line[0] in "io")
        self._input_names = [symbols[f"i{k}"] for k in range(int(inputs))]
        self._output_names = [symbols[f"o{k}"] for k in range(int(outputs))]

    def __call__(self, inputs: dict[str, int], rows: int) -> dict[str, int]:
        every_row = (1 << rows) - 1
        literals = {0: 0, 1: every_row}
        for name, literal in zip(self._input_names, self._inputs, strict=True):
            literals[literal] = inputs[name]
            literals[literal ^ 1] = inputs[name] ^ every_row
        for result, left, right in self._ands:
            value = literals[left] & literals[right]
            literals[result] = value
            literals[result ^ 1] = value ^ every_row
        return {
            name: literals[literal] for name, literal in zip(self._output_names, self._outputs, strict=True)
        }


def _bit_names(port: Signal) -> list[str]:
    return [port.name] if len(port) == 1 else [f"{port.name}[{k}]" for k in range(len(port))]


def _transposed(numbers: Sequence[int], width: int) -> list[int]:
    """The numbers whose bits are the columns of those of `numbers`; twice is there and back."""
    octets = -(-width // 8)
    mask = (1 << width) - 1
    joined = b"".join((number & mask).to_bytes(octets, "little") for number in numbers)
    table = np.frombuffer(joined, np.uint8).reshape(len(numbers), octets)
    bits = np.unpackbits(table, axis=1, bitorder="little")[:, :width]
    columns = np.packbits(bits.T, axis=1, bitorder="little")
    return [int.from_bytes(column.tobytes(), "little") for column in columns]


def _and_gates(component: wiring.Component, tmp_path: Path) -> _AndGates:
    folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    if isinstance(component, StreamUnit):
        source = to_verilog(component).text.replace(f"module {component.name}(", "module dut(")
        return _AndGates(folder, source, "read_verilog")
    return _AndGates(folder, rtlil.convert(component, name="dut", emit_src=False), "read_rtlil")


@pytest.fixture
def made_of_gates(tmp_path: Path) -> Callable[[wiring.Component], Callable[..., dict[str, Numbers]]]:
    """Make a component of AND gates, to be evaluated on arrays: ``made_of_gates(unit)(i_x=numbers)``.

    Ports have up to 64 bits. The answer is the outputs by name, one number for each row.
    """

    def make(component: wiring.Component) -> Callable[..., dict[str, Numbers]]:
        gates = _and_gates(component, tmp_path)

        def run(**numbers: Numbers) -> dict[str, Numbers]:
            rows = len(next(iter(numbers.values())))
            inputs: dict[str, int] = {}
            for port in _ports(component, In):
                for k, name in enumerate(_bit_names(port)):
                    bits = (numbers[port.name] >> np.uint64(k)) & np.uint64(1)
                    packed = np.packbits(bits.astype(np.uint8), bitorder="little")
                    inputs[name] = int.from_bytes(packed.tobytes(), "little")
            seen = gates(inputs, rows)
            found: dict[str, Numbers] = {}
            for port in _ports(component, Out):
                total = np.zeros(rows, np.uint64)
                for k, name in enumerate(_bit_names(port)):
                    octets = np.frombuffer(seen[name].to_bytes(-(-rows // 8), "little"), np.uint8)
                    bits = np.unpackbits(octets, count=rows, bitorder="little")
                    total |= bits.astype(np.uint64) << np.uint64(k)
                found[port.name] = total
            return found

        return run

    return make


@pytest.fixture
def evaluate_many(tmp_path: Path) -> Evaluate:
    """Do what `evaluate` does by way of AND gates: a second to make them, then 100,000 rows take another.

    Every output is unsigned. A unit is taken from its emitted Verilog.
    """

    def run(component: wiring.Component, rows: Iterable[Row]) -> list[Row]:
        gates = _and_gates(component, tmp_path)
        rows = list(rows)
        inputs: dict[str, int] = {}
        for port, numbers in zip(_ports(component, In), zip(*rows, strict=True), strict=True):
            inputs |= zip(_bit_names(port), _transposed(numbers, len(port)), strict=True)
        seen = gates(inputs, len(rows))
        columns = [
            _transposed([seen[name] for name in _bit_names(port)], len(rows))
            for port in _ports(component, Out)
        ]
        return list(zip(*columns, strict=True))

    return run
