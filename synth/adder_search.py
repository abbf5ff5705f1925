"""Full and half adders in a netlist of gates, found by what they compute.

Of every net the functions of at most three other nets are found that it is (its *cuts*), from the inputs on;
inverters are seen through, so that a cut's leaves are never each other's complements by an inverter. Two nets
of the same leaves, of which one is their exclusive or and the other their carry, are the outputs of an adder,
whatever the leaves' and outputs' polarities and however the gates between are built. It is proven by what it
was found by: by all cases of its leaves.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .adder_cells import FULL_INPUTS, HALF_INPUTS, CarryForm, carry_forms, sum_table
from .gate_netlist import GATE_FUNCTIONS, GateNetlist

__all__ = ["FoundAdder", "find_adders"]

_LEAVES: Final = FULL_INPUTS
# More cuts than this of one net have not been seen to find more adders.
_CUTS: Final = 24

_Cut = tuple[tuple[int, ...], int]
"""Leaves in rising order, and the truth table over them, the first leaf lowest."""


@dataclass(frozen=True)
class FoundAdder:
    """An adder in a netlist.

    The nets `leaves`, inverted where `inverted` says so, are added: `sum` is the sum, or its complement, and
    `carry` the carry, or its complement.

    Attributes:
        leaves: The nets that are added: three for a full adder, two for a half adder.
        inverted: Whether the complement of each is what is added.
        sum: The net of the sum.
        sum_inverted: Whether it is the sum's complement.
        carry: The net of the carry.
        carry_inverted: Whether it is the carry's complement.
        gates: How many gates are needed for nothing else.
    """

    leaves: tuple[int, ...]
    inverted: tuple[bool, ...]
    sum: int
    sum_inverted: bool
    carry: int
    carry_inverted: bool
    gates: int

    @property
    def full(self) -> bool:
        """Whether it is a full adder."""
        return len(self.leaves) == FULL_INPUTS


_CARRIES: Final[Mapping[int, dict[int, CarryForm]]] = {
    inputs: carry_forms(inputs) for inputs in (HALF_INPUTS, FULL_INPUTS)
}
_ODD: Final[Mapping[int, int]] = {inputs: sum_table(inputs) for inputs in (HALF_INPUTS, FULL_INPUTS)}
_EVERY: Final[Mapping[int, int]] = {inputs: (1 << (1 << inputs)) - 1 for inputs in range(_LEAVES + 1)}


class _Tables:
    """Truth tables over other leaves, and without those that do not matter; each is worked out once."""

    def __init__(self) -> None:
        self._moved: dict[tuple[int, tuple[int, ...], int], int] = {}
        self._needed: dict[tuple[int, int], tuple[tuple[int, ...], int]] = {}

    def moved(self, table: int, places: tuple[int, ...], inputs: int) -> int:
        """Return the table over `inputs` leaves among which its own have these places."""
        key = table, places, inputs
        if key not in self._moved:
            made = 0
            for row in range(1 << inputs):
                old = sum(1 << k for k, place in enumerate(places) if row >> place & 1)
                made |= (table >> old & 1) << row
            self._moved[key] = made
        return self._moved[key]

    def needed(self, table: int, inputs: int) -> tuple[tuple[int, ...], int]:
        """Return the places of the leaves that matter, and the table over those alone."""
        key = table, inputs
        if key not in self._needed:
            kept = tuple(
                place
                for place in range(inputs)
                if any((table >> row & 1) != (table >> (row ^ 1 << place) & 1) for row in range(1 << inputs))
            )
            made = 0
            for row in range(1 << len(kept)):
                old = sum(1 << place for k, place in enumerate(kept) if row >> k & 1)
                made |= (table >> old & 1) << row
            self._needed[key] = kept, made
        return self._needed[key]


_CONSTANTS: Final[Mapping[str, int]] = {"0": 0, "1": 1}


def _cuts(netlist: GateNetlist) -> dict[int, list[_Cut]]:
    """Return the cuts of every net that a gate drives."""
    tables = _Tables()
    found: dict[int, list[_Cut]] = {}

    def of(bit: int | str) -> list[_Cut]:
        if isinstance(bit, str):
            return [((), _CONSTANTS.get(bit, 0))]
        own = ((bit,), 0b10)
        if bit not in netlist.gates:
            return [own]
        # A net behind an inverter is never a leaf: what it inverts is.
        return found[bit] if netlist.gates[bit][1] in ("$_NOT_", "$_BUF_") else [own, *found[bit]]

    for net in netlist.ordered:
        _, kind, pins = netlist.gates[net]
        function = GATE_FUNCTIONS[kind]
        made: dict[_Cut, None] = {}
        for chosen in itertools.product(*(of(bit) for bit in pins.values())):
            leaves = tuple(sorted({leaf for one, _ in chosen for leaf in one}))
            if len(leaves) > _LEAVES:
                continue
            columns = {
                pin: tables.moved(table, tuple(leaves.index(leaf) for leaf in one), len(leaves))
                for pin, (one, table) in zip(pins, chosen, strict=True)
            }
            table = function.evaluate(columns, _EVERY[len(leaves)])
            kept, table = tables.needed(table, len(leaves))
            made[tuple(leaves[place] for place in kept), table] = None
        # Those over fewest and earliest nets are the first to be left out: an adder's gates are few.
        found[net] = list(made)[:_CUTS]
    return found


class _Gates:
    """How many gates nets are the only reason for, as gates go."""

    def __init__(self, netlist: GateNetlist) -> None:
        self._netlist = netlist
        self._uses = dict(netlist.uses)

    def alive(self, net: int) -> bool:
        """Whether anything takes a net."""
        return self._uses.get(net, 0) > 0

    def freed(self, nets: Iterable[int], leaves: tuple[int, ...], *, keep: bool = False) -> int:
        """Return how many gates go when these nets come from elsewhere; with `keep` they do go."""
        taken: list[int] = []
        stack = list(dict.fromkeys(nets))
        gates = 0
        while stack:
            net = stack.pop()
            gates += 1
            for bit in self._netlist.gates[net][2].values():
                if isinstance(bit, int):
                    self._uses[bit] = self._uses.get(bit, 0) - 1
                    taken.append(bit)
                    if not self._uses[bit] and bit in self._netlist.gates and bit not in leaves:
                        stack.append(bit)
        if not keep:
            for bit in taken:
                self._uses[bit] += 1
        return gates

    def take(self, leaves: Iterable[int]) -> None:
        """Say that an adder takes these nets."""
        for leaf in leaves:
            self._uses[leaf] = self._uses.get(leaf, 0) + 1


def _pairs(netlist: GateNetlist) -> Iterator[FoundAdder]:
    """Yield every two nets that are an adder's outputs, those first that come first."""
    totals: dict[tuple[int, ...], list[tuple[int, bool]]] = {}
    carries: dict[tuple[int, ...], list[tuple[int, CarryForm]]] = {}
    for net, cuts in _cuts(netlist).items():
        # What only inverts a net is no adder's output: the net that it inverts is.
        if netlist.gates[net][1] in ("$_NOT_", "$_BUF_"):
            continue
        for leaves, table in cuts:
            if len(leaves) not in _ODD:
                continue
            odd, every = _ODD[len(leaves)], _EVERY[len(leaves)]
            if table in (odd, odd ^ every):
                totals.setdefault(leaves, []).append((net, table != odd))
            elif (form := _CARRIES[len(leaves)].get(table)) is not None:
                carries.setdefault(leaves, []).append((net, form))
    for leaves, found in carries.items():
        for (total, is_even), (carry, form) in itertools.product(totals.get(leaves, ()), found):
            inverted = form.inverts_sum(is_even)
            yield FoundAdder(leaves, form.inverted, total, inverted, carry, form.output, 0)


def find_adders(
    netlist: GateNetlist, *, full: int | None = None, half: int | None = None
) -> list[FoundAdder]:
    """Return adders of a netlist that do not share an output, those that replace most gates first.

    Args:
        netlist: The netlist.
        full: How many gates a full adder must make needless; None for no full adders.
        half: How many a half adder must; None for no half adders.
    """
    gates = _Gates(netlist)
    candidates = []
    for adder in _pairs(netlist):
        least = full if adder.full else half
        if least is not None:
            count = gates.freed((adder.sum, adder.carry), adder.leaves)
            if count >= least:
                candidates.append((adder.full, count, adder))
    # `sorted` keeps the order of equals: that of the netlist.
    candidates.sort(key=lambda one: (-one[0], -one[1]))
    taken: set[int] = set()
    chosen: list[FoundAdder] = []
    for is_full, _, adder in candidates:
        outputs = {adder.sum, adder.carry}
        least = full if is_full else half
        assert least is not None
        if outputs & taken or not all(map(gates.alive, (*outputs, *adder.leaves))):
            continue
        # Gates that an earlier adder has made needless are no gain of this one.
        count = gates.freed(outputs, adder.leaves)
        if count < least:
            continue
        gates.freed(outputs, adder.leaves, keep=True)
        gates.take(adder.leaves)
        taken |= outputs
        chosen.append(
            FoundAdder(
                adder.leaves,
                adder.inverted,
                adder.sum,
                adder.sum_inverted,
                adder.carry,
                adder.carry_inverted,
                count,
            )
        )
    return chosen
