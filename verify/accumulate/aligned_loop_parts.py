"""The loop of ``aligned`` in parts, where it adds several terms as counts of their columns.

As `aligned_parts` does with the adder, it is cut at wires: the exponent that the new sum is made at, the sum
so far and the counts shifted to it, their sum, its sign and magnitude.
"""

from functools import partial

from ...model import DotSpec
from ..proofs.algebra import Polynomial
from ..proofs.cut_step import NEXT, CutStep, DescribedPart, PartClaim, StepParts, SummedPart
from ..proofs.description_text import DescriptionModule, leading
from ..proofs.steps import StepNetlist
from .aligned_loop import (
    SUM_OUTPUTS,
    bounded_field,
    bounded_sum,
    follow,
    follow_specials,
    held_sum,
    loop_limits,
    own_placed,
    read_sum,
    shifted_row,
)
from .aligned_parts import inside_adder, sign_and_magnitude
from .aligned_products import odd_group

__all__ = ["loop_parts"]

_WIRES = ("made_at", "own_placed", "own_negative", "aligned_*", "add_*")
"""The wires of the loop where it is cut."""


class _Loop:
    """The loop of one specification.

    Args:
        spec: What is computed.
        step: The step.
    """

    def __init__(self, spec: DotSpec, step: StepNetlist) -> None:
        self.spec = spec
        self.step = step
        self.width = step.outputs["sum_magnitude"]
        self.limits = loop_limits(spec, self.width)
        self.rows = sum(name.startswith("row_") for name in step.inputs)
        self.most = self.limits.largest_group + (2 << spec.fraction) - 1

    @property
    def claims(self) -> list[PartClaim]:
        """What is claimed of the parts, in the order in which numbers go through them."""
        widths = {"accumulator_nan": 1, "accumulator_negative": 1}
        widths |= {"accumulator": self.width, "accumulator_exponent": self.step.outputs["sum_exponent"]}
        special = [f"{NEXT}accumulator_nan"]
        if "infinite" in self.step.outputs:
            widths["accumulator_infinite"] = 2
            special.append(f"{NEXT}accumulator_infinite")
        behind = inside_adder("own_placed", *(f"aligned_{j}" for j in range(self.rows)))
        total, signed = inside_adder("add_save", "add_carry"), inside_adder("add_negative", "add_magnitude")
        own = [
            DescribedPart(
                taken=widths,
                given=(*inside_adder("made_at", "own_negative"), *special),
                describe=self._made_at,
                leading="accumulator",
            ),
            DescribedPart(taken=widths, given=behind[:1], describe=self._own_placed, leading="accumulator"),
        ]
        counts = [
            DescribedPart(taken=widths, given=(name,), describe=partial(self._row, j), leading="accumulator")
            for j, name in enumerate(behind[1:])
        ]
        tree = SummedPart(
            cut=(*behind, *inside_adder("own_negative")), total=total, most=self.most, wanted=self._wanted
        )
        size = DescribedPart(
            taken={}, cut=total, given=signed, describe=partial(sign_and_magnitude, most=self.most, one=1)
        )
        following = DescribedPart(
            taken={
                **widths,
                "odd": 1,
                "largest": 14,
                "field": 14,
                "negative": 1,
                "magnitude": signed[1],
            },
            fed=(*inside_adder("made_at"), *signed),
            given=(
                *(f"{NEXT}accumulator{what}" for what in ("", "_exponent", "_negative")),
                *(f"o_{name}" for name in self.step.outputs),
            ),
            describe=self._following,
            leading="magnitude",
        )
        return [
            PartClaim(
                leaf="aligned loop: sum so far",
                claim="its exponent or that of the terms, and its digits cut off there; NaN and infinities",
                parts=own,
            ),
            PartClaim(
                leaf="aligned loop: counts", claim="of columns, without those that are cut off", parts=counts
            ),
            PartClaim(leaf="aligned loop: tree", claim="the sum of all these", parts=[tree]),
            PartClaim(leaf="aligned loop: sign and magnitude", claim="those of every sum", parts=[size]),
            PartClaim(leaf="aligned loop: next sum", claim="what is kept of every sum", parts=[following]),
        ]

    def _read(self, m: DescriptionModule) -> None:
        """Add the sum so far and the largest exponent, and when they are numbers."""
        held = held_sum(m, self.step.outputs)
        read_sum(m, self.limits, held, self.width)
        follow_specials(m, self.limits, held)
        odd = [odd_group(m), "before_nan"]
        if "infinite" in held:
            odd += ["before_infinite != 0", "too_large"]
        m.wire("odd", 1, " | ".join(odd))
        outputs, sum_wires = self.step.outputs, ("before_nan", "before_infinite", "before_size", "field")
        if inside := bounded_sum(outputs, self.limits, *sum_wires):
            m.assume(inside)

    def _infinite(self, which: str) -> str:
        return f" | {which}_infinite != 0" if "infinite" in self.step.outputs else ""

    @property
    def _nothing(self) -> str:
        """Where no term is left: see `aligned_parts`."""
        limits = self.limits
        return f"largest > {limits.greatest + limits.term_bits - 1} | largest < {limits.least}"

    def _made_at(self, m: DescriptionModule) -> None:
        self._read(m)
        own_placed(m, self.limits, "largest", self.width + 2)
        m.give("made_at", "largest")
        m.care("made_at", "~odd")
        m.give("own_negative", "before_negative")
        m.care("own_negative", "~odd & own != 0")
        for what in ("nan", "infinite"):
            if f"{NEXT}accumulator_{what}" in m.outputs:
                m.give(f"{NEXT}accumulator_{what}", f"i_enable ? following_{what} : accumulator_{what}")
        m.care(f"{NEXT}accumulator_infinite", "~(i_enable & following_nan)")
        # What is left of the sum where it is alone begins where its field says.
        m.wire("place", 14, f"field - largest + {self.spec.fraction}")
        alone = "own == 0 | ((own >> place) == 1 & largest >= field)"
        m.claim("place", f"odd | ~({self._nothing}) | {alone}")
        m.claim("range", f"odd | largest >= {self.limits.floor}")
        m.claim("odd", f"~odd | following_nan{self._infinite('following')}")

    def _own_placed(self, m: DescriptionModule) -> None:
        self._read(m)
        own_placed(m, self.limits, "largest", self.width + 2)
        m.give("own_placed", "own")
        m.care("own_placed", "~odd")
        m.claim("fits", f"odd | (own >> {m.outputs['own_placed']}) == 0")

    def _row(self, j: int, m: DescriptionModule) -> None:
        """Describe a digit of every count, with that of how many terms are negative above the topmost."""
        self._read(m)
        shifted = shifted_row(m, j, "largest")
        m.give(f"aligned_{j}", shifted)
        m.care(f"aligned_{j}", "~odd")
        fill = f"{{{m.inputs[f'row_{j}']}{{i_negatives[{j}]}}}}"
        m.claim("nothing", f"odd | ~({self._nothing}) | {shifted} == {fill}")

    def _wanted(self, step: CutStep) -> Polynomial:
        """Return the sum of what there is so far and the counts, as described, less the one that is added."""
        wanted: Polynomial = {frozenset(): -1}
        for j in range(self.rows):
            (name,) = inside_adder(f"aligned_{j}")
            step.add_word(wanted, name, 1 << j)
            negatives = step.inputs_of("negatives")[j]
            step.add_net(wanted, negatives, (1 << j) * (1 - (1 << len(step.word(name)))))
        (placed, sign) = inside_adder("own_placed", "own_negative")
        (negative,) = step.word(sign)
        for i, net in enumerate(step.word(placed)):
            step.add_net(wanted, net, 1 << i)
            step.add_product(wanted, (net, negative), -2 << i)
        return wanted

    def _following(self, m: DescriptionModule) -> None:
        limits, kept = self.limits, self.spec.fraction
        held = held_sum(m, self.step.outputs)
        m.wire("largest", 14, "i_largest", signed=True)
        m.wire("total_size", self.width, "i_magnitude")
        follow(m, limits, "largest", self.width)
        m.give("made_at", "largest")
        m.give("add_negative", "i_negative")
        m.give("add_magnitude", "i_magnitude")
        following = {"size": "following_size", "made_at": "largest", "negative": "i_negative"}
        for what, name in held.items():
            m.give(SUM_OUTPUTS.get(what, what), name)
            if what in following:
                m.give(f"{NEXT}{name}", f"i_enable ? {following[what]} : {name}")
                m.care(f"{NEXT}{name}", "~(i_enable & i_odd)")
        m.assume(f"(i_odd | largest >= {limits.floor})")
        m.assume(f"(i_odd | i_magnitude <= {self.most})")
        inside, following_inside = (bounded_field(limits, field) for field in ("field", "following_field"))
        if not inside:
            return
        # The sum so far is one, so its field is bounded; see `_made_at` for where no term is left.
        m.wire("field", 14, "i_field", signed=True)
        m.wire("place", 14, f"field - largest + {kept}")
        m.assume(f"(i_odd | ({inside}))")
        alone = "i_magnitude == 0 | ((i_magnitude >> place) == 1 & largest >= field)"
        m.assume(f"(i_odd | ~({self._nothing}) | {alone})")
        leading(m, "following_lead", "following_size", self.width)
        m.wire("following_field", 14, f"largest + following_lead - {kept}", signed=True)
        m.claim("accumulator", f"i_odd | following_size == 0 | ({following_inside})")


def loop_parts(spec: DotSpec, step: StepNetlist) -> StepParts | None:
    """Return how the loop is cut; None where it adds a single term."""
    return None if "row_1" not in step.inputs else StepParts(wires=_WIRES, claims=_Loop(spec, step).claims)
