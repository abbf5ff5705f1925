"""How ``exact`` is checked: a sum in fixed point."""

from collections.abc import Iterator

from ...model import DotSpec
from ...model.fixed_point import LARGEST_EXPONENT, LEAST_EXPONENT
from ..accumulation_checks import AccumulationChecks, StepCheck
from ..coverage.bins import BinGroup, Hit, StimulusView
from ..coverage.reach import Reachable
from ..coverage.sum_bins import AlignmentBins, ResultBins, RoundingBins, TopBitBins
from ..coverage.sum_maker import DirectedSum, SumMaker
from ..coverage.sum_recipes import added_sums, dense_sums, long_sums
from ..exact_trace import Arrival, TracedChange, TracedSum
from ..proofs.description_text import BINARY32, NAN, DescriptionModule, binary32, kept_c_text
from ..proofs.steps import StepNetlist

__all__ = ["EXACT"]


def _accumulate(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    del spec, step
    width, bits = m.inputs["window"], m.outputs["window"]
    m.add(f"reg [{bits - 1}:0] accumulator;")
    m.add("reg accumulator_nan;")
    m.wire("start", 1, "i_first & i_enable")
    m.wire("before", bits, f"start ? {bits}'d0 : accumulator")
    extended = f"{{{{{bits - width + 1}{{i_window[{width - 1}]}}}}, i_window[{width - 2}:0]}}"
    m.wire("addend", bits, f"i_enable ? {extended} : {bits}'d0")
    lows = range(0, bits, segment or bits)
    sizes = [min(segment or bits, bits - low) for low in lows]
    carries = len(lows) - 1
    if carries:
        m.add(f"reg [{carries - 1}:0] accumulator_carries;")
        m.wire("before_carries", carries, f"start ? {carries}'d0 : accumulator_carries")
    for k, (low, size) in enumerate(zip(lows, sizes, strict=True)):
        carry = f" + before_carries[{k - 1}]" if k else ""
        m.wire(f"part_{k}", size + 1, f"before[{low} +: {size}] + addend[{low} +: {size}]{carry}")
    sums = ", ".join(f"part_{k}[{size - 1}:0]" for k, size in reversed([*enumerate(sizes)]))
    m.add(f"always @(posedge clk) accumulator <= {{{sums}}};")
    if carries:
        out = ", ".join(f"part_{k}[{sizes[k]}]" for k in reversed(range(carries)))
        m.add(f"always @(posedge clk) accumulator_carries <= {{{out}}};")
        m.give("carries", "accumulator_carries")
    m.add("always @(posedge clk) if (i_enable) accumulator_nan <= i_nan | (~i_first & accumulator_nan);")
    m.give("window", "accumulator")
    m.give("nan", "accumulator_nan")
    if "c" in m.inputs:
        m.add("reg [31:0] accumulator_c;")
        m.add(f"always @(posedge clk) if (start) accumulator_c <= {kept_c_text(BINARY32, BINARY32)};")
        m.give("start", "accumulator_c")
    if "infinite" in m.inputs:
        m.add("reg [1:0] accumulator_infinite;")
        m.add(
            "always @(posedge clk) if (i_enable) accumulator_infinite <= i_infinite | (i_first ? 2'd0 : "
            "accumulator_infinite);"
        )
        m.give("infinite", "accumulator_infinite")


def _add_c(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    del step, segment
    width = m.inputs["window"]
    # So wide that both are whole numbers of the unit, and their sum as well.
    unit = min(spec.quantum_exponent, LEAST_EXPONENT)
    whole = max(spec.quantum_exponent + width, LARGEST_EXPONENT + 2) - unit + 1
    m.wire("window", whole, "$signed(i_window)", signed=True)
    m.assume(f"(i_window != {{1'b1, {width - 1}'b0}})")
    m.assume(f"(i_start[30:0] <= 31'h7f800000 | i_start == {NAN})")
    m.wire("field", 8, "i_start[30:23] == 0 ? 8'd1 : i_start[30:23]")
    m.wire("c_size", whole, "{i_start[30:23] != 0, i_start[22:0]}")
    m.wire("placed", whole, f"c_size << (field + {LEAST_EXPONENT - unit - 1})")
    m.wire("both", whole, f"(window << {spec.quantum_exponent - unit}) + (i_start[31] ? -placed : placed)")
    m.wire("negative", 1, f"both[{whole - 1}]")
    m.wire("both_size", whole, "negative ? -both : both")
    rounded = binary32(m, "both_size", whole, str(unit), nearest=True, odd=spec.rounds_to_odd)
    up, down = ("i_infinite[0]", "i_infinite[1]") if "infinite" in m.inputs else ("1'b0", "1'b0")
    m.wire("c_infinite", 1, "i_start[30:0] == 31'h7f800000")
    m.wire("any_up", 1, f"{up} | (c_infinite & ~i_start[31])")
    m.wire("any_down", 1, f"{down} | (c_infinite & i_start[31])")
    m.wire("any_nan", 1, "i_nan | i_start[30:0] > 31'h7f800000 | (any_up & any_down)")
    infinite = "{any_down, 31'h7f800000}"
    m.give("result", f"any_nan ? {NAN} : any_up | any_down ? {infinite} : {{negative, {rounded}}}")


def _resolve(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    del spec, step
    assert segment is not None
    bits = m.inputs["window"]
    carries = " + ".join(
        f"({{{bits}'d0, i_carries[{k}]}} << {segment * (k + 1)})" for k in range(m.inputs["carries"])
    )
    m.give("window", f"i_window + {carries}")


def _trace(arrival: Arrival, before: TracedSum) -> TracedChange:
    now = TracedSum(before.value + arrival.value, before.special + arrival.special)
    return TracedChange(now, arrival.special)


class ExactSumBins(BinGroup):
    """Where an exact sum crosses zero."""

    name = "exact sum"

    def __init__(self) -> None:
        self.bins = dict.fromkeys(
            ["+ to -", "- to +", "+ to 0", "- to 0", "0 to +", "0 to -", "+ stays", "- stays"], ""
        )

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        signs = {-1: "-", 0: "0", 1: "+"}
        for step in view.steps:
            if step.before_special or step.after_special:
                continue
            before, after = (signs[(value > 0) - (value < 0)] for value in (step.before, step.after))
            if step.first or before == after == "0":
                continue
            yield f"{before} stays" if before == after else f"{before} to {after}", step.vector, 1


def _bins(reach: Reachable) -> list[BinGroup]:
    groups: list[BinGroup] = [
        ResultBins(reach, growth=reach.doublings),
        # A sum that is rounded to a narrower result is so at its end.
        *([] if reach.spec.rounds_at_end else [RoundingBins(reach, sums=True)]),
        TopBitBins(reach, sums=True),
    ]
    if reach.doublings:
        groups += [AlignmentBins(reach, binary32=False), ExactSumBins()]
    return groups


def _sums(make: SumMaker, reach: Reachable) -> Iterator[DirectedSum]:
    yield from dense_sums(make, reach)
    yield from added_sums(make)
    yield from long_sums(make, reach.growth)


EXACT = AccumulationChecks(
    trace=_trace,
    bins=_bins,
    holds="fixed point",
    sums=_sums,
    steps={
        "accumulate": StepCheck(
            "exact accumulator step",
            "fixed-point sum, modulo its width; NaN sticks until the next first",
            _accumulate,
        ),
        "add_c": StepCheck(
            "sum and C", "binary32 of both together, rounded once, to nearest, ties to even", _add_c
        ),
        "resolve": StepCheck("kept carries", "the accumulator and the carries that it kept, added", _resolve),
    },
)
