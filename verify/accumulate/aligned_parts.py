"""The adder of ``aligned`` in parts: no solver gets through it at once where it adds several terms.

It is cut at wires: the largest exponent, the terms that are cut off there, their sum, its sign and magnitude.
`cut_step` tells why the parts together are the whole. Their descriptions are made of the same text as that of
the whole, with inputs in the place of those wires. What a part takes for granted of these the ones before it
claim, or it follows from what they claim, as is told where it is taken.
"""

from collections.abc import Sequence
from functools import partial

from ...model import DotSpec
from ..proofs.algebra import Polynomial
from ..proofs.cut_step import NEXT, CutStep, DescribedPart, PartClaim, StepParts, SummedPart
from ..proofs.description_text import DescriptionModule
from ..proofs.steps import StepNetlist
from .aligned_blocks import block_limits, read_blocks
from .aligned_products import field_ends, odd_group, product_exponent_offset, product_limits, read_products
from .aligned_text import (
    PlacedTerm,
    add_following,
    before_reading,
    bound_sums,
    cut_term,
    own_term,
)

__all__ = ["adder_parts", "inside_adder", "sign_and_magnitude"]

_WIRES = ("largest", "ahead", "larger_*", "addend_*", "total", "sign_magnitude_*", "add_*")
"""The wires of the adder where it is cut."""


_FAR = 256
"""A solver gets through the adder of one term whose exponents are less than so many apart."""


def inside_adder(*names: str) -> tuple[str, ...]:
    """Return names of wires of the adder as they are called in the step."""
    return tuple(f"accumulate.{name}" for name in names)


class _Adder:
    """The adder of one specification.

    Args:
        spec: What is computed.
        step: The step.
        fast: Whether the sum comes as two numbers, to a prefix adder.
    """

    def __init__(self, spec: DotSpec, step: StepNetlist, *, fast: bool) -> None:
        self.spec = spec
        self.fast = fast
        self.products = spec.term_size == 1
        self.limits = (
            product_limits(spec) if self.products else block_limits(spec, step.inputs["magnitude_0"])
        )
        self.addends = [f"addend_{k}" for k in range(self.limits.count + 1)]
        # Where terms are products, exponents are compared without what all have in common.
        self.ahead = "ahead" if self.products else "largest"
        self.total = ("add_save", "add_carry") if fast else ("total",)
        self.signed = tuple(
            f"{'add' if fast else 'sign_magnitude'}_{part}" for part in ("negative", "magnitude")
        )

    @property
    def claims(self) -> list[PartClaim]:
        """What is claimed of the parts, in the order in which numbers go through them."""
        held = {"accumulator": self.spec.sum_format.fields.bits}
        leaders = self._leaders
        search = [
            *(
                DescribedPart(taken={}, seen=inside_adder(name), describe=partial(self._leader, j, name))
                for j, name in enumerate(leaders)
            ),
            DescribedPart(
                taken={**held, **{name: inside_adder(name)[0] for name in leaders}},
                seen=inside_adder(self.ahead),
                fed=inside_adder(*leaders),
                given=inside_adder("largest", "accumulator"),
                describe=self._largest,
            ),
        ]
        terms = [
            DescribedPart(
                taken={**held, "largest": 14},
                fed=inside_adder(self.ahead),
                given=inside_adder(name),
                describe=partial(self._term, k, name),
            )
            for k, name in enumerate(self.addends)
        ]
        tree = SummedPart(
            cut=inside_adder(*self.addends, "accumulator"),
            total=inside_adder(*self.total),
            most=self._most,
            wanted=self._wanted,
        )
        size = DescribedPart(
            taken={},
            cut=inside_adder(*self.total),
            given=inside_adder(*self.signed),
            describe=partial(sign_and_magnitude, most=self._most, one=int(self.fast)),
        )
        result = DescribedPart(
            taken={**held, "largest": 14, "negative": 1, "magnitude": inside_adder(*self.signed)[1]},
            # Logic may have been moved from behind the one to behind the other.
            fed=inside_adder(*dict.fromkeys((self.ahead, "largest")), *self.signed),
            given=(f"{NEXT}accumulator", "o_result"),
            describe=self._result,
            leading="magnitude",
        )
        return [
            PartClaim(
                leaf="aligned adder: largest exponent",
                claim="one of the exponents of terms and sum, and no less than any",
                parts=search,
            ),
            PartClaim(
                leaf="aligned adder: terms",
                claim="each cut off at the largest exponent, and inverted where it is negative",
                parts=terms,
            ),
            PartClaim(
                leaf="aligned adder: tree", claim="the sum of all these with their signs", parts=[tree]
            ),
            PartClaim(leaf="aligned adder: sign and magnitude", claim="those of every sum", parts=[size]),
            PartClaim(
                leaf="aligned adder: normalise, cut off",
                claim="the number of the result's format for every sum, or infinite; NaN and infinities",
                parts=[result],
            ),
        ]

    @property
    def _most(self) -> int:
        """The largest magnitude of a sum: of terms no larger than the largest, each at its least distance."""
        return self.limits.largest_group + self.limits.largest_own

    @property
    def _greatest(self) -> int:
        """The greatest exponent that is not that of the sum so far."""
        limits = self.limits
        return max(limits.greatest, limits.zero, limits.floor)

    def _read(self, m: DescriptionModule, only: Sequence[int] | None = None) -> list[PlacedTerm]:
        """Add the sum so far and terms, and what holds of them; return the terms. See `read_products`."""
        before_reading(m, self.spec, self.limits.zero)
        read = read_products if self.products else read_blocks
        placed = read(m, self.limits, only)
        for inside in bound_sums(m, self.limits, ("before",)):
            m.assume(inside)
        m.wire("odd", 1, f"{odd_group(m)} | own_nan | own_infinite")
        return placed

    def _exponent(self, k: int, term: PlacedTerm) -> str:
        """Return the exponent that a term reads; it may be placed by another where it is zero."""
        return term[3] if self.products else f"exponent_{k}"

    def _see_largest(self, m: DescriptionModule) -> None:
        """Add the largest exponent as the step has it.

        It is the one number of those that have its digits, modulo their worth, that is between the least
        exponent of a sum and as much above.
        """
        width, floor = m.inputs[self.ahead], self.limits.floor
        m.wire("above", width, f"i_{self.ahead} + {self._base(m)} - ({floor})")
        m.wire("largest", 14, f"{{1'b0, above}} + 14'sd0 + ({floor})", signed=True)

    @property
    def _leaders(self) -> list[str]:
        """The wires with the largest elements' part of the exponents of each block; none where it has one."""
        lanes = self.limits.count // self.spec.blocks
        if not self.products or lanes == 1:
            return []
        return [f"larger_{j}_{lanes.bit_length() - 2}_0" for j in range(self.spec.blocks)]

    def _leader(self, j: int, name: str, m: DescriptionModule) -> None:
        lanes = self.limits.count // self.spec.blocks
        elements = [f"i_element_exponent_{k}" for k in range(j * lanes, (j + 1) * lanes)]
        m.claim("one", " | ".join(f"i_{name} == {element}" for element in elements))
        for k, element in enumerate(elements):
            m.claim(f"reaches_{k}", f"i_{name} >= {element}")

    def _largest(self, m: DescriptionModule) -> None:
        """Describe the search among what blocks have for their largest exponent, and the sum so far.

        A term that is not zero has the exponent of its block, or a smaller one. Zeros share one.
        """
        placed = self._read(m)
        self._see_largest(m)
        m.give("largest", "largest")
        m.care("largest", "~odd")
        m.give("accumulator", "before")
        m.claim("range", f"odd | ({self._range})")
        each = [("1'b1", self._exponent(k, term)) for k, term in enumerate(placed)]
        if leaders := self._leaders:
            least, most = field_ends(self.spec.elements)
            each = []
            for j, name in enumerate(leaders):
                m.give(name, f"i_{name}")
                scale = f" + i_exponent_{j}" if "exponent_0" in m.inputs else ""
                sum_of = f"i_{name} + 14'd0{scale} + {product_exponent_offset(self.spec)}"
                m.wire(f"block_{j}", 14, sum_of, signed=True)
                m.assume(f"(odd | i_{name} == 0 | (i_{name} >= {least} & i_{name} <= {most}))")
                each.append((f"(i_{name} != 0)", f"block_{j}"))
            zeros = " | ".join(f"i_element_exponent_{k} == 0" for k in range(self.limits.count))
            each.append((f"({zeros})", str(self.limits.zero)))
        each += [("1'b1", "before_exponent"), ("1'b1", str(self.limits.floor))]
        m.claim("one", f"odd | {' | '.join(f'({there} & largest == {one})' for there, one in each)}")
        m.claim("reaches", f"odd | ({' & '.join(f'(~{there} | largest >= {one})' for there, one in each)})")

    @property
    def _range(self) -> str:
        """What holds of the largest exponent beside that it is no less than those of terms."""
        inside = f"largest == before_exponent | largest <= {self._greatest}"
        return f"largest >= before_exponent & largest >= {self.limits.floor} & ({inside})"

    def _base(self, m: DescriptionModule) -> str:
        """Return what an exponent is above what stands for it where the largest is looked for."""
        if not self.products:
            return "0"
        scale = " + i_exponent_0" if "exponent_0" in m.inputs and self.spec.blocks == 1 else ""
        return f"({product_exponent_offset(self.spec)}){scale}"

    def _take_largest(self, m: DescriptionModule) -> None:
        m.wire("largest", 14, "i_largest", signed=True)
        m.assume(f"(odd | ({self._range}))")

    def _term(self, k: int, name: str, m: DescriptionModule) -> None:
        own = k == self.limits.count
        placed = self._read(m, [] if own else [k])
        (term,) = placed or [own_term(self.spec)]
        self._take_largest(m)
        m.give(self.ahead, f"largest - ({self._base(m)})")
        bits = max(self.limits.width, self.spec.sum_format.fields.fraction_bits + 1) + self.spec.fraction
        cut = cut_term(m, self.spec, term, "largest", bits=bits, whole=bits)
        width = m.outputs[name]
        m.give(name, f"{cut} ^ {{{width}{{{term[4]}}}}}")
        m.care(name, "~odd")
        m.claim("fits", f"odd | ({cut} >> {width}) == 0")
        if not own:
            m.assume(f"(odd | largest >= {self._exponent(k, term)})")
            m.claim("nothing", f"odd | ~({self._nothing}) | {cut} == 0")

    @property
    def _nothing(self) -> str:
        """Where no term is left: the sum so far is far above, or below where a number can be."""
        limits = self.limits
        return f"largest > {limits.greatest + limits.term_bits - 1} | largest < {limits.least}"

    def _wanted(self, step: CutStep) -> Polynomial:
        """Return the sum of terms that are inverted where they are negative: -x is ~x + 1 - 2**width."""
        wanted: Polynomial = {frozenset(): -int(self.fast)}
        signs: list[str] = [step.inputs_of(f"negative_{k}")[0] for k in range(self.limits.count)]
        (own,) = inside_adder("accumulator")
        for name, sign in zip(inside_adder(*self.addends), [*signs, step.word(own)[-1]], strict=True):
            step.add_word(wanted, name)
            step.add_net(wanted, sign, 1 - (1 << len(step.word(name))))
        return wanted

    def _result(self, m: DescriptionModule) -> None:
        self._read(m)
        self._take_largest(m)
        negative, magnitude = self.signed
        width = m.inputs["magnitude"]
        m.give(self.ahead, f"largest - ({self._base(m)})")
        m.give("largest", "largest")
        m.give(negative, "i_negative")
        m.give(magnitude, "i_magnitude")
        m.wire("total_negative", 1, "i_negative")
        m.wire("total_size", width, "i_magnitude")
        m.assume(f"(odd | (i_magnitude <= {self._most} & (~i_negative | i_magnitude != 0)))")
        # Where no term is left, the sum is the one so far: its other addends are zero.
        own = own_term(self.spec)
        cut = cut_term(m, self.spec, own, "largest", bits=width + 1, whole=width)
        alone = f"i_magnitude == {cut} & i_negative == ({own[4]} & {cut} != 0)"
        m.assume(f"(odd | ~({self._nothing}) | ({alone}))")
        add_following(m, self.spec, "largest", width)
        for inside in bound_sums(m, self.limits, ("following",)):
            m.claim("accumulator", inside)
        m.give(f"{NEXT}accumulator", "i_enable ? following : accumulator")
        result = self.spec.sum_format
        zeros = result.bits - result.fields.bits
        m.give("result", f"{{accumulator, {zeros}'b0}}" if zeros else "accumulator")


def sign_and_magnitude(m: DescriptionModule, *, most: int, one: int) -> None:
    """Describe sign and magnitude of the sum of all that comes in beside a step's inputs.

    Args:
        m: The module.
        most: The largest magnitude.
        one: What is added to the sum.
    """
    negative, magnitude = m.outputs
    total = [name for name in m.inputs if name in ("total", "add_save", "add_carry")]
    value = " + ".join(f"i_{name}" for name in total)
    width = m.inputs[total[0]]
    m.wire("sum", width, f"{value} + {one}", signed=True)
    m.wire("size", width, "sum < 0 ? -sum : sum")
    m.assume(f"(size <= {most})")
    m.give(negative, "sum < 0")
    m.give(magnitude, "size")


def adder_parts(spec: DotSpec, step: StepNetlist, fast: bool) -> StepParts | None:
    """Return how an adder is cut, of several terms or of far exponents; None for one that need not be.

    Args:
        spec: What is computed.
        step: The step.
        fast: Whether it is made for delay.
    """
    adder = _Adder(spec, step, fast=fast)
    limits = adder.limits
    if limits.count == 1 and limits.greatest - limits.least < _FAR:
        return None
    return StepParts(wires=_WIRES, claims=adder.claims)
