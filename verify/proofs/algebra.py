"""The sum that a compressor tree makes, by algebra over its netlist.

No SAT solver gets through a tree of many products at once. But a tree is made of cells, and each keeps a
sum: a full adder's sum and twice its carry are its three inputs. So the weighted sum of the tree's outputs,
a polynomial in nets, is rewritten cell by cell, from the outputs to the inputs, into a polynomial in the
inputs, which is then compared with what it should be, term by term, modulo a power of two. Cells are found
by their truth tables, not by names: two nets that are functions of the same two or three nets and of which
``p * x + q * y`` is affine in these. A cell that is not what it should be is not found, and what is left
then is no sum of the inputs.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .gate_network import Network
from .solver import SolverAnswer
from .steps import StepNetlist

__all__ = [
    "AdderCell",
    "Polynomial",
    "check_counts",
    "check_partial_products",
    "check_saved_product",
    "check_tree",
    "find_cells",
    "polynomial_is",
    "rewrite",
]

Polynomial = dict[frozenset[str], int]
"""Coefficients of products of nets; the empty product is the constant."""

_LEAVES: Final = 3
_CUTS: Final = 16
# Far above what any sum of cells and lanes takes.
_LARGEST: Final = 200_000
_WEIGHTS: Final = ((1, 2), (1, -2))


@dataclass(frozen=True)
class AdderCell:
    """Two nets whose weighted sum is affine in two or three others, as those of an adder.

    Attributes:
        nets: The two nets.
        weights: Their weights p and q, such as 1 and 2 of sum and carry.
        leaves: The nets that they are functions of.
        affine: The sum, as coefficients of the leaves and, last, a constant.
    """

    nets: tuple[str, str]
    weights: tuple[int, int]
    leaves: tuple[str, ...]
    affine: tuple[int, ...]


Cut = tuple[tuple[str, ...], tuple[int, ...]]
"""Nets, and a function of them as its values, the first net changing fastest."""


def _cuts(question: Network, order: Sequence[str], inputs: Sequence[str]) -> dict[str, list[Cut]]:
    """Return for each net some sets of at most three nets that it is a function of."""
    cuts: dict[str, list[Cut]] = {net: [((net,), (0, 1))] for net in inputs}
    for net in order:
        gate = question.gates[net]
        found: dict[tuple[str, ...], tuple[int, ...]] = {}
        for choice in itertools.product(*(cuts[source] for source in gate.inputs)):
            leaves = tuple(sorted({leaf for cut, _ in choice for leaf in cut}))
            if len(leaves) > _LEAVES or leaves in found:
                continue
            values: list[int] = []
            for case in range(1 << len(leaves)):
                bits = {leaf: case >> k & 1 for k, leaf in enumerate(leaves)}
                given = [table[sum(bits[leaf] << k for k, leaf in enumerate(cut))] for cut, table in choice]
                values.append(gate.evaluate(given, 1))
            found[leaves] = tuple(values)
        kept = sorted(found.items(), key=lambda cut: -len(cut[0]))[: _CUTS - 1]
        cuts[net] = [((net,), (0, 1)), *kept]
    return cuts


def _affine(values: Sequence[int], leaves: int) -> tuple[int, ...] | None:
    """Return the coefficients of an affine function with these values, and its constant; None if none has."""
    slopes = [values[1 << k] - values[0] for k in range(leaves)]
    for case, value in enumerate(values):
        if value != values[0] + sum(slope for k, slope in enumerate(slopes) if case >> k & 1):
            return None
    return (*slopes, values[0])


def find_cells(question: Network, order: Sequence[str], inputs: Sequence[str]) -> list[AdderCell]:
    """Find the adders of a network; a net is in one of them at most, and in a full adder rather than a half.

    Args:
        question: The network.
        order: The gates to look at, in order of evaluation.
        inputs: The inputs on which they depend.
    """
    at: dict[tuple[str, ...], list[tuple[str, tuple[int, ...]]]] = {}
    for net, cuts in _cuts(question, order, inputs).items():
        for leaves, table in cuts:
            if len(leaves) > 1 and question.gates[net].cubes != ("1",):
                at.setdefault(leaves, []).append((net, table))
    cells: list[AdderCell] = []
    taken: set[str] = set()
    # Stable in the order of evaluation, so that the same network gives the same cells.
    for leaves, nets in sorted(at.items(), key=lambda item: -len(item[0])):
        for (x, x_table), (y, y_table) in itertools.permutations(nets, 2):
            if x in taken or y in taken:
                continue
            for p, q in _WEIGHTS:
                affine = _affine([p * a + q * b for a, b in zip(x_table, y_table, strict=True)], len(leaves))
                if affine and all(affine[:-1]):
                    cells.append(AdderCell((x, y), (p, q), leaves, affine))
                    taken |= {x, y}
                    break
    return cells


def _substitute(total: Polynomial, net: str, value: Mapping[frozenset[str], int], modulus: int) -> None:
    for term in [term for term in total if net in term]:
        factor, rest = total.pop(term), term - {net}
        for part, coefficient in value.items():
            product = rest | part
            sum_of = (total.get(product, 0) + factor * coefficient) % modulus
            if sum_of:
                total[product] = sum_of
            else:
                total.pop(product, None)


def _gate_polynomial(question: Network, net: str) -> Polynomial:
    """Return a gate as a polynomial in its inputs."""
    gate = question.gates[net]
    names = gate.inputs
    values = [gate.evaluate([case >> k & 1 for k in range(len(names))], 1) for case in range(1 << len(names))]
    polynomial: Polynomial = {}
    for case in range(1 << len(names)):
        # The coefficient of a product is a sum over what lies below it, with alternating signs.
        coefficient = sum(
            values[below] * (-1) ** ((case ^ below).bit_count())
            for below in range(case + 1)
            if below & ~case == 0
        )
        if coefficient:
            term = frozenset(name for k, name in enumerate(names) if case >> k & 1)
            polynomial[term] = polynomial.get(term, 0) + coefficient
    return polynomial


def rewrite(question: Network, total: Polynomial, width: int) -> Polynomial:
    """Rewrite a polynomial in nets into one in the network's inputs, modulo ``2**width``.

    Args:
        question: The network.
        total: The polynomial.
        width: See above.

    Returns:
        The polynomial in the inputs.

    Raises:
        OverflowError: If it grows far beyond what sums of cells do.
    """
    modulus = 1 << width
    total = {term: coefficient % modulus for term, coefficient in total.items() if coefficient % modulus}
    inputs, order = question.cone(sorted({net for term in total for net in term}))
    cells = find_cells(question, order, inputs)
    for node in reversed(_nodes(question, order, cells)):
        if isinstance(node, AdderCell) and _apply(total, node, modulus):
            continue
        for net in (node.nets if isinstance(node, AdderCell) else (node,))[::-1]:
            if any(net in term for term in total):
                _substitute(total, net, _gate_polynomial(question, net), modulus)
        if len(total) > _LARGEST:
            raise OverflowError(f"polynomial must not grow beyond {_LARGEST} terms")
    return total


def _nodes(question: Network, order: Sequence[str], cells: Sequence[AdderCell]) -> list[AdderCell | str]:
    """Return cells and single gates, each behind everything that it is a function of."""
    cell_of = {net: cell for cell in cells for net in cell.nets}
    nodes: list[AdderCell | str] = []
    done: set[AdderCell | str] = set()

    def visit(net: str) -> None:
        stack: list[tuple[AdderCell | str, bool]] = [(cell_of.get(net, net), False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                nodes.append(node)
                continue
            if node in done or (isinstance(node, str) and node not in question.gates):
                continue
            done.add(node)
            stack.append((node, True))
            sources = set(node.leaves) if isinstance(node, AdderCell) else set(question.gates[node].inputs)
            if isinstance(node, AdderCell):
                # Where the cell does not fit after all, its gates are taken one by one.
                sources |= {source for one in node.nets for source in question.gates[one].inputs}
                sources -= set(node.nets)
            stack += [(cell_of.get(source, source), False) for source in sorted(sources)]

    for net in order:
        visit(net)
    return nodes


def _apply(total: Polynomial, cell: AdderCell, modulus: int) -> bool:
    """Replace a cell's two nets by its leaves; say whether their coefficients allow that."""
    (x, y), (p, q) = cell.nets, cell.weights
    factors: dict[frozenset[str], int] = {}
    rests: set[frozenset[str]] = set()
    for term in total:
        if x in term and y in term:
            return False
        if x in term or y in term:
            rests.add(term - {x, y})
    for rest in rests:
        of_x, of_y = total.get(rest | {x}, 0), total.get(rest | {y}, 0)
        # p is 1: the factor of the cell is that of x.
        if (of_x * q - of_y * p) % modulus:
            return False
        factors[rest] = of_x * p
    for rest, factor in factors.items():
        total.pop(rest | {x}, None)
        total.pop(rest | {y}, None)
        for leaf, coefficient in zip((*cell.leaves, None), cell.affine, strict=True):
            product = rest | ({leaf} if leaf else set())
            sum_of = (total.get(product, 0) + factor * coefficient) % modulus
            if sum_of:
                total[product] = sum_of
            else:
                total.pop(product, None)
    return True


def check_tree(question: Network, step: StepNetlist, *, offset: int) -> SolverAnswer:
    """Prove that a tree's two numbers add up to its signed products and a constant, modulo their width.

    Args:
        question: The network of the step.
        step: The step.
        offset: The constant.

    Returns:
        The answer: where it does not hold, a product whose coefficient is another.
    """
    for t in range(sum(name.startswith("save_") for name in step.outputs)):
        modulus = 1 << step.outputs[f"save_{t}"]
        lanes = step.inputs[f"negative_{t}"]
        bits = step.inputs[f"magnitude_{t}"] // lanes
        wanted: Polynomial = {}
        _add(wanted, frozenset(), offset, modulus)
        for lane in range(lanes):
            sign = _bit(f"i_negative_{t}", lane, lanes)
            for k in range(bits):
                magnitude = _bit(f"i_magnitude_{t}", lane * bits + k, lanes * bits)
                _add(wanted, frozenset({magnitude}), 1 << k, modulus)
                _add(wanted, frozenset({magnitude, sign}), -2 << k, modulus)
        answer = _sum_is(question, step, wanted, t)
        if not answer.holds:
            return answer
    return SolverAnswer(True, "algebra")


def check_saved_product(question: Network, step: StepNetlist) -> SolverAnswer:
    """Prove that two numbers add up to the sum of two others, less its excess, times a significand.

    Args:
        question: The network of the step.
        step: The step. The excess is the worth of the highest bit of the numbers that it takes.

    Returns:
        The answer, as of `check_tree`.
    """
    modulus = 1 << step.outputs["save_0"]
    width, bits = step.inputs["save_0"], step.inputs["significand_0_0"]
    wanted: Polynomial = {}
    for j in range(bits):
        significand = _bit("i_significand_0_0", j, bits)
        _add(wanted, frozenset({significand}), -1 << (width - 1 + j), modulus)
        for word in ("i_save_0", "i_carry_0"):
            for k in range(width):
                _add(wanted, frozenset({_bit(word, k, width), significand}), 1 << (j + k), modulus)
    return _sum_is(question, step, wanted, 0)


def check_partial_products(question: Network, step: StepNetlist) -> SolverAnswer:
    """Prove that two numbers add up to the product of two others, modulo their width.

    Args:
        question: The network of the step.
        step: The step.

    Returns:
        The answer, as of `check_tree`.
    """
    modulus = 1 << step.outputs["save"]
    words = [(f"i_significand_{k}", step.inputs[f"significand_{k}"]) for k in range(2)]
    wanted: Polynomial = {}
    for i, j in itertools.product(*(range(width) for _, width in words)):
        bits = (_bit(word, k, width) for (word, width), k in zip(words, (i, j), strict=True))
        _add(wanted, frozenset(bits), 1 << (i + j), modulus)
    return _sum_is(question, step, wanted)


def check_counts(question: Network, step: StepNetlist) -> SolverAnswer:
    """Prove that the digits of counts are those of the ones in each column of terms, and of their signs.

    A term's bits are inverted where it is negative. A count is less than its digits can tell, so it is enough
    that it is right modulo that.

    Args:
        question: The network of the step.
        step: The step.

    Returns:
        The answer, as of `check_tree`.
    """
    digits, width = step.outputs["negatives"], step.outputs["row_0"]
    modulus = 1 << digits
    count = sum(name.startswith("aligned_") for name in step.inputs)
    for i in range(width):
        wanted: Polynomial = {}
        for k in range(count):
            bit, sign = _bit(f"i_aligned_{k}", i, width), f"i_negative_{k}"
            _add(wanted, frozenset({bit}), 1, modulus)
            _add(wanted, frozenset({sign}), 1, modulus)
            _add(wanted, frozenset({bit, sign}), -2, modulus)
        total = {frozenset({_bit(f"o_row_{j}", i, width)}): 1 << j for j in range(digits)}
        answer = polynomial_is(question, total, digits, wanted, f"column {i}")
        if not answer.holds:
            return answer
    signs = {frozenset({f"i_negative_{k}"}): 1 for k in range(count)}
    total = {frozenset({_bit("o_negatives", j, digits)}): 1 << j for j in range(digits)}
    return polynomial_is(question, total, digits, signs, "o_negatives")


def _sum_is(question: Network, step: StepNetlist, wanted: Polynomial, t: int | None = None) -> SolverAnswer:
    """Tell whether a step's two numbers, of several those of term t, add up to a polynomial in its inputs."""
    save, carry = ("o_save", "o_carry") if t is None else (f"o_save_{t}", f"o_carry_{t}")
    width = step.outputs[save.removeprefix("o_")]
    total: Polynomial = {}
    for word in (save, carry):
        for k, bit in enumerate(question.word(word)):
            _add(total, frozenset({bit}), 1 << k, 1 << width)
    return polynomial_is(question, total, width, wanted, f"{save} + {carry}")


def polynomial_is(
    question: Network, total: Polynomial, width: int, wanted: Polynomial, what: str
) -> SolverAnswer:
    """Tell whether a polynomial in a network's nets is another in its inputs, modulo a width.

    Args:
        question: The network.
        total: The polynomial in nets.
        width: Of the sums: they are compared modulo ``2**width``.
        wanted: What it should be.
        what: What the sum is called.

    Returns:
        The answer, as of `check_tree`.
    """
    modulus = 1 << width
    wanted = {term: coefficient % modulus for term, coefficient in wanted.items() if coefficient % modulus}
    try:
        seen = rewrite(question, total, width)
    except OverflowError as error:
        return SolverAnswer(False, "algebra", f"{what}: {error}")
    if seen == wanted:
        return SolverAnswer(True, "algebra")
    other = min(
        (term for term in seen.keys() | wanted.keys() if seen.get(term, 0) != wanted.get(term, 0)),
        key=lambda term: (len(term), sorted(term)),
    )
    told = f"{what}: coefficient of {' * '.join(sorted(other)) or 'the constant'}"
    return SolverAnswer(False, "algebra", f"{told}, {seen.get(other, 0)} and not {wanted.get(other, 0)}")


def _bit(word: str, k: int, width: int) -> str:
    return word if width == 1 else f"{word}[{k}]"


def _add(total: Polynomial, term: frozenset[str], coefficient: int, modulus: int) -> None:
    sum_of = (total.get(term, 0) + coefficient) % modulus
    if sum_of:
        total[term] = sum_of
    else:
        total.pop(term, None)
