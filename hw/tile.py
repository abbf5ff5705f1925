"""A tile: the dot products of every row with every column, a group of each a cycle."""

from typing import Any, Self

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model import DotSpec
from .config import Flow, Optimise, UnitConfig
from .datapath import make_datapath
from .hierarchy import add_submodule
from .leaves.element import ElementDecode, decoded_bits
from .pipeline import PipelineControl, build_data, place_registers
from .steps.records import Codes
from .stream_unit import Port, StreamUnit, vector_meaning

__all__ = ["DotArray", "DotCell"]


class DotCell(wiring.Component):
    """One dot product of a tile: a datapath and its registers, moved from outside.

    Args:
        config: How the tile is built; without stages, the cell is combinational.

    Attributes:
        a, b: Decoded elements.
        a_scale, b_scale: Codes of the scales; no such ports where there are none.
        c: What a sum starts at; no such port where that is zero.
        move: Everything moves; no such port without stages.
        first, enable: What is before the accumulator starts a sum, and is an input; no such ports where
            nothing is accumulated.
        result: The result, `stages` cycles after its input.
    """

    a: Signal
    b: Signal
    a_scale: Signal
    b_scale: Signal
    c: Signal
    move: Signal
    first: Signal
    enable: Signal
    result: Signal

    def __init__(self, config: UnitConfig) -> None:
        self.config = config
        spec = config.spec
        lanes = spec.block_size * spec.blocks
        a, b = (lanes * decoded_bits(fmt) for fmt in spec.elements)
        a_scale, b_scale = (spec.blocks * fmt.bits for fmt in spec.scales)
        super().__init__(
            {
                "a": In(a),
                "b": In(b),
                **({"a_scale": In(a_scale), "b_scale": In(b_scale)} if spec.has_scales else {}),
                **({"c": In(spec.c_format.bits)} if spec.takes_c else {}),
                **({"move": In(1)} if config.stages else {}),
                **({"first": In(1), "enable": In(1)} if spec.accumulates else {}),
                "result": Out(spec.result_format.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        steps = make_datapath(config, decoded=True).steps
        cuts = place_registers(steps, config.stages, config.optimise)
        scales = (self.a_scale, self.b_scale) if config.spec.has_scales else (None, None)
        codes = Codes(self.a, self.b, *scales)
        control = None
        if config.stages:
            marks = [self.first, self.enable] if config.spec.accumulates else [self.move, self.move]
            c = self.c if config.spec.takes_c else None
            control = PipelineControl(move=self.move, first=marks[0], enable=marks[1], valid=self.move, c=c)
        m.d.comb += self.result.eq(build_data(m, platform, steps, cuts, codes, control).result)
        return m


class DotArray(StreamUnit):
    """A tile of dot-product units, as a tensor core has: `rows` vectors a against `columns` vectors b.

    In every cycle it takes a group (see `DotSpec`) of each row and of each column, decodes each element once,
    and gives rows x columns results: those of `DotUnit` for each pair, bit for bit. Where the specification
    accumulates, each pair has an accumulator of its own, that stays where it is (output-stationary): so a
    tile of a matrix product takes K / (N * blocks) cycles. Streams, stages and flow are those of `DotUnit`.

    Args:
        spec: What each pair computes.
        rows: Vectors a, from 1 to 64.
        columns: Vectors b, from 1 to 64.
        stages: See `DotUnit`.
        optimise: See `DotUnit`.
        flow: See `DotUnit`.
        order: See `DotUnit`.
        segment: See `DotUnit`.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """

    i_a: Signal
    i_b: Signal
    i_a_scale: Signal
    i_b_scale: Signal
    i_c: Signal
    o_result: Signal

    def __init__(
        self,
        spec: DotSpec,
        *,
        rows: int,
        columns: int,
        stages: int = 1,
        optimise: Optimise = "area",
        flow: Flow = "stream",
        order: int = 0,
        segment: int | None = None,
    ) -> None:
        config = UnitConfig(
            spec,
            stages=stages,
            optimise=optimise,
            flow=flow,
            order=order,
            segment=segment,
            tile=(rows, columns),
        )
        assert config.tile is not None
        self.rows, self.columns = config.tile
        self.segment = config.segment
        super().__init__(config, make_datapath(config, decoded=True))

    @classmethod
    def of(cls, config: UnitConfig) -> Self:
        """Return the tile of a configuration.

        Raises:
            ValueError: If it is the configuration of a single unit.
        """
        if config.tile is None:
            raise ValueError("tile must be rows and columns for a tile, not None")
        rows, columns = config.tile
        return cls(config.spec, rows=rows, columns=columns, **config.form, segment=config.segment)

    @property
    def _sides(self) -> tuple[tuple[str, str, int], tuple[str, str, int]]:
        """For each operand its name, what it is a vector of, and how many there are."""
        return ("a", "row", self.rows), ("b", "column", self.columns)

    @property
    def data_ports(self) -> tuple[Port, ...]:
        """The ports of an input's codes, in order."""
        spec = self.spec
        lanes = spec.block_size * spec.blocks
        ports = []
        for (name, side, count), fmt in zip(self._sides, spec.elements, strict=True):
            meaning = vector_meaning(
                fmt.name,
                fmt.bits,
                lanes * count,
                f"elements of {name}, {side} i above {side} i-1, each {lanes}",
            )
            ports.append(Port(f"i_{name}", lanes * count * fmt.bits, "in", meaning))
        for (name, side, count), fmt in zip(self._sides, spec.scales, strict=True):
            if not spec.has_scales:
                continue
            meaning = vector_meaning(
                fmt.name,
                fmt.bits,
                spec.blocks * count,
                f"block scales of {name}, {side} i above {side} i-1, each {spec.blocks}",
            )
            ports.append(Port(f"i_{name}_scale", spec.blocks * count * fmt.bits, "in", meaning))
        if spec.takes_c:
            form = spec.c_format
            meaning = f"what sums that start here start at, {form.name}: {self._place(form.bits)}"
            ports.append(Port("i_c", form.bits * self.rows * self.columns, "in", meaning))
        return tuple(ports)

    def _place(self, bits: int) -> str:
        return f"row i and column j at bits [{bits}k+{bits - 1}:{bits}k] with k = {self.columns}i+j"

    @property
    def c_input(self) -> Value | None:
        """See `StreamUnit`."""
        return self.i_c if self.spec.takes_c else None

    @property
    def result_ports(self) -> tuple[Port, ...]:
        """The port of the results."""
        result = self.spec.result_format
        return (
            Port(
                "o_result",
                result.bits * self.rows * self.columns,
                "out",
                f"the results, {result.name}: {self._place(result.bits)}",
            ),
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """What a tile has besides the parameters of every unit."""
        return {"segment": self.segment}

    def build(self, m: Module, platform: object, control: PipelineControl | None) -> Value:
        """Build a decoder for each element and a cell for each pair, and return the results."""
        spec = self.spec
        lanes = spec.block_size * spec.blocks
        vectors: dict[str, list[Value]] = {}
        for (name, _, count), fmt in zip(self._sides, spec.elements, strict=True):
            vectors[name] = []
            for i in range(count):
                decoded = []
                for k in range(i * lanes, (i + 1) * lanes):
                    one = ElementDecode(fmt)
                    add_submodule(m, platform, f"decode_{name}_{k}", one)
                    m.d.comb += one.code.eq(getattr(self, f"i_{name}").word_select(k, fmt.bits))
                    decoded.append(one.decoded)
                vectors[name].append(Cat(*decoded))
        scale_bits = [spec.blocks * fmt.bits for fmt in spec.scales]
        results = []
        for i in range(self.rows):
            for j in range(self.columns):
                cell = DotCell(self.config)
                add_submodule(m, platform, f"cell_{i * self.columns + j}", cell)
                m.d.comb += [cell.a.eq(vectors["a"][i]), cell.b.eq(vectors["b"][j])]
                if spec.has_scales:
                    m.d.comb += [
                        cell.a_scale.eq(self.i_a_scale.word_select(i, scale_bits[0])),
                        cell.b_scale.eq(self.i_b_scale.word_select(j, scale_bits[1])),
                    ]
                if control is not None:
                    m.d.comb += cell.move.eq(control.move)
                    if spec.accumulates:
                        m.d.comb += [cell.first.eq(control.first), cell.enable.eq(control.enable)]
                    if control.c is not None:
                        number = i * self.columns + j
                        m.d.comb += cell.c.eq(control.c.word_select(number, spec.c_format.bits))
                results.append(cell.result)
        return Cat(*results)
