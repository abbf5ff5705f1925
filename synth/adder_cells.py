"""The adder cells of a library: full and half adders, told by their functions.

abc maps to gates of one output, so it never uses them. A library may have them in several forms: both
outputs as they are (sky130's ``fa``), both inverted (ASAP7's ``FAx1``), or one input or output inverted, for
chains of carries (sky130's ``fahcin`` and ``fahcon``). What a form inverts is told here beside the cell.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from .liberty import CellFunction, Library, LibraryCell

__all__ = [
    "FULL_INPUTS",
    "HALF_INPUTS",
    "CarryForm",
    "LibraryAdder",
    "adder_cells",
    "carry_forms",
    "carry_table",
    "chosen_adders",
    "sum_table",
]

FULL_INPUTS: Final = 3
HALF_INPUTS: Final = 2
_OUTPUTS: Final = 2


def sum_table(inputs: int) -> int:
    """Return the truth table of the exclusive or: bit i is its value where input k has bit k of i."""
    return sum(1 << row for row in range(1 << inputs) if row.bit_count() % 2)


def carry_table(inverted: tuple[bool, ...]) -> int:
    """Return the truth table of an adder's carry, with some inputs inverted before it.

    Of three inputs that is the majority, of two the AND.
    """
    flipped = sum(1 << place for place, invert in enumerate(inverted) if invert)
    return sum(1 << row for row in range(1 << len(inverted)) if (row ^ flipped).bit_count() >= _OUTPUTS)


class CarryForm(NamedTuple):
    """Which inputs and whether the output of a carry are inverted."""

    inverted: tuple[bool, ...]
    output: bool

    def inverts_sum(self, total_inverted: bool) -> bool:
        """Whether an exclusive or of the inputs as they are, inverted or not, is the sum's complement."""
        # Each inverted input inverts the exclusive or.
        return total_inverted ^ (sum(self.inverted) % 2 == 1)


def carry_forms(inputs: int) -> dict[int, CarryForm]:
    """Return every carry of so many inputs by its truth table, in the form with the fewest inputs inverted.

    The majority of inverted inputs is the inverted majority, so that one function has two forms.
    """
    every = (1 << (1 << inputs)) - 1
    found: dict[int, CarryForm] = {}
    forms = itertools.product(itertools.product((False, True), repeat=inputs), (False, True))
    for inverted, output in sorted(forms, key=lambda form: (sum(form[0]), form)):
        found.setdefault(carry_table(inverted) ^ (every if output else 0), CarryForm(inverted, output))
    return found


@dataclass(frozen=True)
class LibraryAdder:
    """A full or a half adder of a library.

    With each pin of `inputs` inverted or not as `inverted` says, it adds them.

    Attributes:
        name: The cell's name.
        area: Its area.
        inputs: Its input pins: three of a full adder, two of a half adder.
        inverted: Whether each of them takes the complement of what is added.
        sum: The pin of the sum.
        sum_inverted: Whether that gives the complement of the sum.
        carry: The pin of the carry.
        carry_inverted: Whether that gives the complement of the carry.
    """

    name: str
    area: float
    inputs: tuple[str, ...]
    inverted: tuple[bool, ...]
    sum: str
    sum_inverted: bool
    carry: str
    carry_inverted: bool

    @cached_property
    def full(self) -> bool:
        """Whether it is a full adder."""
        return len(self.inputs) == FULL_INPUTS

    @property
    def inversions(self) -> int:
        """How many of its pins are inverted."""
        return sum(self.inverted) + self.sum_inverted + self.carry_inverted


def adder_cells(library: Library) -> list[LibraryAdder]:
    """Return the adders that designs may be mapped to, the smallest first.

    An adder has two outputs: the exclusive or of two or three inputs, and their carry, each inverted or not.
    """
    found = [adder for cell in library.cells.values() if (adder := _adder(cell)) is not None]
    return sorted(found, key=lambda adder: (adder.area, adder.inversions, len(adder.name), adder.name))


def chosen_adders(library: Library) -> list[LibraryAdder]:
    """Return the adders that netlists are mapped to: the smallest full one, and the smallest half one.

    A half adder that is no smaller than a gate for its exclusive or and a NAND is left out.
    """
    found = adder_cells(library)
    full = [adder for adder in found if adder.full][:1]
    odd = sum_table(HALF_INPUTS)
    gates = [
        cell.area
        for cell in library.cells.values()
        if cell.usable and len(cell.inputs) == HALF_INPUTS and cell.truth_table in (odd, odd ^ 0b1111)
    ]
    # Without a gate for the exclusive or, nothing is said of what gates take.
    most = library.nand2.area + min(gates, default=math.inf)
    half = [adder for adder in found if not adder.full and adder.area < most][:1]
    return full + half


def _adder(cell: LibraryCell) -> LibraryAdder | None:
    """Return a cell as an adder; None if it is none."""
    if cell.kind != "gate" or not cell.usable or len(cell.functions) != _OUTPUTS:
        return None
    if len(cell.inputs) not in (HALF_INPUTS, FULL_INPUTS):
        return None
    every = (1 << (1 << len(cell.inputs))) - 1
    columns = {
        pin: sum(1 << row for row in range(1 << len(cell.inputs)) if row >> place & 1)
        for place, pin in enumerate(cell.inputs)
    }
    tables = [(pin, CellFunction(text).evaluate(columns, every)) for pin, text in cell.functions]
    odd, forms = sum_table(len(cell.inputs)), carry_forms(len(cell.inputs))
    for (sum_pin, total), (carry_pin, carry) in itertools.permutations(tables):
        if total in (odd, odd ^ every) and (form := forms.get(carry)) is not None:
            return LibraryAdder(
                cell.name,
                cell.area,
                cell.inputs,
                form.inverted,
                sum_pin,
                form.inverts_sum(total != odd),
                carry_pin,
                form.output,
            )
    return None
