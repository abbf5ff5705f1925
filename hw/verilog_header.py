"""What stands above a unit's Verilog: specification, ports, latency, protocol, and an instance to copy."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from ..model.accumulate import ACCUMULATIONS
from ..model.aligned_sum import ZERO_EXPONENT
from ..model.dequantizer import DequantizerSpec
from ..model.formats import NO_SCALE, Format
from ..model.quantizer import InputFormat, QuantizerSpec
from ..model.spec import DotSpec
from .readable_verilog import COMMENT_WIDTH
from .serial_quantizer_unit import SerialQuantizerUnit
from .stream_unit import StreamUnit
from .tile import DotArray

__all__ = ["verilog_header"]

_NAN: Final = np.array([np.nan], np.float32)
_LABEL: Final = len("accumulation") + 2
_FORMS: Final = {"area": "the smallest of each component", "delay": "the fastest of each component"}
_CYCLES: Final = {
    "stream": " While the pipeline stands still, no cycle counts.",
    "valid": "",
    "enable": " Cycles with en low do not count.",
}

_Facts = Iterator[tuple[str, str]]


def verilog_header(unit: StreamUnit) -> list[str]:
    """Return the lines of the comment above the top module."""
    sections = [
        textwrap.wrap(_purpose(unit), COMMENT_WIDTH),
        [f"Specification {unit.spec.name}", *_table(_facts(unit))],
        ["Ports, in order", *_ports(unit)],
        textwrap.wrap(_latency(unit), COMMENT_WIDTH),
        *([["Protocol", *_table((("", line) for line in _protocol(unit)), 0)]] if unit.stages else []),
        ["Instance", *_instance(unit)],
    ]
    return [line for lines in sections for line in ("", *lines)][1:]


def _kind(unit: StreamUnit) -> str:
    if isinstance(unit, DotArray):
        return "tile"
    if isinstance(unit.spec, DequantizerSpec):
        return "dequantizer"
    return "quantizer" if isinstance(unit.spec, QuantizerSpec) else "dot"


def _purpose(unit: StreamUnit) -> str:
    if isinstance(unit, SerialQuantizerUnit):
        return (
            "Serial quantizer: takes the numbers of a block one after the other, and gives their element "
            "codes so, with the code of their scale beside each. From reset on, every "
            f"{unit.spec.block_size} numbers are a block."
        )
    if isinstance(unit.spec, QuantizerSpec):
        return "Quantizer: makes element codes, and the code of their scale, of a block of numbers."
    if isinstance(unit.spec, DequantizerSpec):
        return "Dequantizer: makes numbers of a block's element codes and the code of their scale."
    scales = "a_scale * b_scale * " if unit.spec.has_scales else ""
    value = f"A block is worth {scales}sum(a[k] * b[k]), exactly."
    if isinstance(unit, DotArray):
        return (
            f"Tile of {unit.rows} x {unit.columns} block dot-product units, one for each row's vector a with "
            f"each column's vector b. {value}"
        )
    return f"Block dot-product unit. {value}"


def _facts(unit: StreamUnit) -> _Facts:
    spec: DotSpec | QuantizerSpec | DequantizerSpec = unit.spec
    match spec:
        case QuantizerSpec():
            yield from _quantizer_facts(spec)
        case DequantizerSpec():
            yield from _dequantizer_facts(spec)
        case DotSpec():
            yield from _dot_facts(spec)
    segment = unit.config.segment if isinstance(spec, DotSpec) else None
    carries = "" if segment is None else f"; a carry is kept behind every {segment} bits of the accumulator"
    yield "form", f"{unit.optimise}, {_FORMS[unit.optimise]}; order {unit.order}{carries}"
    if unit.stages:
        yield "registers", f"behind {', '.join(unit.registers_after)}"


def _dot_facts(spec: DotSpec) -> _Facts:
    for label, pair in (("elements", spec.elements), ("scales", spec.scales)):
        a, b = pair
        if a.name == NO_SCALE.name:
            yield label, "none, and no ports for them"
        elif a == b:
            yield label, _format(a)
        else:
            yield f"{label} a", _format(a)
            yield f"{label} b", _format(b)
    under = " under one scale" if spec.has_scales else ""
    yield "block", f"{spec.block_size} elements{under}; {spec.blocks} in an input"
    accumulation = ACCUMULATIONS[spec.accumulate]
    more = f"; a sum is of at most 2^{spec.guard} blocks" if accumulation.guard else ""
    more += f"; {spec.fraction} bits behind the point are kept" if accumulation.fraction else ""
    more += "; each product is shifted on its own" if spec.term_size == 1 else ""
    more += f"; a zero reads exponent {spec.zero_exponent}" if spec.zero_exponent != ZERO_EXPONENT else ""
    more += f"; a sum starts at C, {spec.c_format.name}" if spec.takes_c else ""
    yield "accumulation", f"{spec.accumulate}, {accumulation.meaning}{more}"
    if spec.tensor_scale:
        yield "tensor scale", "a binary32 number, by which each result is multiplied, rounded once more"
    result = spec.result_format
    # Of binary32 the accumulation says how it is rounded.
    meaning = result.name if spec.result == result.name == "binary32" else result.meaning
    yield "result", f"{meaning}; the only NaN is {result.bits}'h{int(result.encode(_NAN)[0]):x}"


def _dequantizer_facts(spec: DequantizerSpec) -> _Facts:
    number = spec.output_format
    yield "elements", _format(spec.element_format)
    yield "scale", _format(spec.scale_format)
    yield "block", f"{spec.block_size} elements under one scale"
    yield (
        "output",
        f"{spec.output}: 1 sign, {number.exponent_bits} exponent and {number.mantissa_bits} mantissa bits; "
        f"the only NaN is {number.bits}'h{number.infinity_code | 1 << number.mantissa_bits - 1:x}",
    )


def _quantizer_facts(spec: QuantizerSpec) -> _Facts:
    number = spec.input_format
    yield (
        "input",
        f"{spec.input}: 1 sign, {number.exponent_bits} exponent and {number.mantissa_bits} mantissa bits",
    )
    yield "elements", _format(spec.element_format)
    yield "scale", _format(spec.scale_format)
    yield "block", f"{spec.block_size} elements under one scale"
    yield "method", spec.method
    random = f", {spec.random_bits} random bits an element" if spec.stochastic else ""
    yield "rounding", f"{spec.rounding}{random}"
    if spec.tensor_scale:
        yield "tensor scale", "a binary32 number, by which the numbers are divided first"
    bits, nan = spec.scale_format.bits, spec.scale_format.nan_code
    yield "not finite", f"a NaN or an infinity in a block makes its scale {bits}'h{nan:x} and its elements 0"


def _format(fmt: Format) -> str:
    """Return what the bits of a format are."""
    if fmt.twos_complement:
        return f"{fmt.name}: two's complement, in steps of 2^{fmt.quantum_exponent}"
    sign = "1 sign, " if fmt.signed else ""
    none = "" if fmt.subnormals else "; no zero, no subnormals"
    return f"{fmt.name}: {sign}{_fields(fmt)}; bias {fmt.bias}{none}; {fmt.top.value}"


def _fields(fmt: Format | InputFormat) -> str:
    return f"{fmt.exponent_bits} exponent and {fmt.mantissa_bits} mantissa bits, from the top"


def _ports(unit: StreamUnit) -> Iterator[str]:
    name = max(len(port.name) for port in unit.ports)
    width = max(len(str(port.width)) for port in unit.ports)
    for port in unit.ports:
        head = f"  {port.name:<{name}}  {port.direction:<3}  {port.width:>{width}}  "
        yield from textwrap.wrap(
            port.meaning, COMMENT_WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
        )


def _latency(unit: StreamUnit) -> str:
    if not unit.stages:
        return "Latency: 0. The unit is combinational: it has no clock, and results follow their inputs."
    cycles = "1 cycle" if unit.latency == 1 else f"{unit.latency} cycles"
    last = "the last input of a sum" if unit.accumulates else "an input"
    gaps = ", if its block comes without a gap" if isinstance(unit, SerialQuantizerUnit) else ""
    return (
        f"Latency: {cycles} from the one in which {last} is taken to the one in which its result is "
        f"offered{gaps}. An input can be taken in every cycle.{_CYCLES[unit.flow]}"
    )


def _protocol(unit: StreamUnit) -> Iterator[str]:
    """Yield what whoever uses a unit with registers has to keep to."""
    match unit.flow:
        case "stream":
            yield (
                "An input or a result passes at a rising edge of clk at which its valid and ready are both "
                "high. Valid stays high, and what goes with it as it is, until then."
            )
            yield (
                "While a result waits for o_ready the pipeline stands still. i_ready comes from a flip-flop: "
                "it does not hang on o_ready of the same cycle."
            )
        case "valid":
            yield "The pipeline moves in every cycle. An input is taken in each cycle with i_valid high."
            yield "A result is there in each cycle with o_valid high, and does not wait to be taken."
        case "enable":
            yield "The pipeline moves in cycles with en high; then an input is taken if i_valid is high."
            yield "A result is there while o_valid is high, and goes with the next cycle with en high."
    if unit.accumulates:
        start = "" if unit.c_input is None else "It starts at i_c, which counts with i_first alone. "
        scaled = isinstance(unit.spec, DotSpec) and unit.spec.tensor_scale
        end = "Its result is multiplied by i_g, which counts with i_last alone. " if scaled else ""
        yield (
            "A sum starts at an input with i_first and ends at one with i_last, which may be the same. "
            f"{start}{end}What comes before the first i_first is undefined. rst clears the valid bits alone."
        )
    elif isinstance(unit, SerialQuantizerUnit):
        yield "rst is sampled by clk, and clears the valid bits and how many numbers of a block are there."
    else:
        yield "rst is sampled by clk, and clears the valid bits alone."


def _instance(unit: StreamUnit) -> Iterator[str]:
    yield f"  {unit.name} {_kind(unit)} ("
    *first, last = (f"    .{port.name}({port.name})" for port in unit.ports)
    yield from (f"{line}," for line in first)
    yield from (last, "  );")


def _table(facts: Iterable[tuple[str, str]], label: int = _LABEL) -> Iterator[str]:
    """Yield facts behind their labels, in columns."""
    for name, text in facts:
        head = "  " + name.ljust(label)
        yield from textwrap.wrap(text, COMMENT_WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
