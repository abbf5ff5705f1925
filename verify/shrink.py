"""From a stimulus that makes a unit fail to the least one that still does, and to a test that shows it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..hw import UnitConfig
from ..sim.engines.run import Engine
from ..sim.stimulus import Stimulus

__all__ = ["Fails", "as_test", "shrink"]

Fails = Callable[[Sequence[Stimulus]], Sequence[bool]]
"""Tells which of some stimuli, all with the same patterns, make the unit fail."""

_CODES: Final = ("a", "b", "a_scale", "b_scale")
_ALWAYS: Final = np.ones(1, np.bool_)
# Candidates tried at a time: as many as there are lanes.
_AT_ONCE: Final = 512


def shrink(stimulus: Stimulus, fails: Fails) -> Stimulus:
    """Return a least stimulus that still fails.

    Vectors are left out, in ranges and one by one; the gaps and the back-pressure are; scales become those
    of one or zero, and elements zero, or smaller; over and over, until nothing more can go (the way of
    Zeller and Hildebrandt's ddmin, 2002, which promises no least case of all, but one of which no single
    part can be left out).

    Args:
        stimulus: A stimulus that fails; its first vector starts a sum.
        fails: Tells what fails.

    Returns:
        The stimulus; `stimulus` itself where it does not fail.
    """
    if not fails([stimulus])[0]:
        return stimulus
    before = None
    while before is not stimulus:
        before = stimulus
        for simpler in (_shorter, _unstalled, _plainer):
            stimulus = _reduce(stimulus, simpler, fails)
    return stimulus


def _reduce(stimulus: Stimulus, simpler: Callable[[Stimulus], Iterator[Stimulus]], fails: Fails) -> Stimulus:
    """Take the first failing of the simpler stimuli, and of those simpler than it, until there is none."""
    while (found := _first(simpler(stimulus), fails)) is not None:
        stimulus = found
    return stimulus


def _first(candidates: Iterator[Stimulus], fails: Fails) -> Stimulus | None:
    for _, alike in itertools.groupby(candidates, lambda one: (id(one.offer), id(one.accept))):
        while group := list(itertools.islice(alike, _AT_ONCE)):
            for one, failed in zip(group, fails(group), strict=True):
                if failed:
                    return one
    return None


def _without(stimulus: Stimulus, start: int, end: int) -> Stimulus:
    """Leave out some vectors; a sum that began among them begins behind them."""
    kept = np.ones(stimulus.vectors, np.bool_)
    kept[start:end] = False
    first = stimulus.first.copy()
    if end < stimulus.vectors:
        first[end] |= first[start:end].any()
    return dataclasses.replace(
        stimulus,
        **{name: getattr(stimulus, name)[kept] for name in (*_CODES, "last")},
        first=first[kept],
        source=None,
    )


def _shorter(stimulus: Stimulus) -> Iterator[Stimulus]:
    size = stimulus.vectors // 2
    while size:
        # From the end: what comes after the failure has no part in it.
        for end in range(stimulus.vectors, 0, -size):
            if end - size > 0 or end < stimulus.vectors:
                yield _without(stimulus, max(0, end - size), end)
        size //= 2


def _unstalled(stimulus: Stimulus) -> Iterator[Stimulus]:
    offers, accepts = len(stimulus.offer) > 1, len(stimulus.accept) > 1
    if offers and accepts:
        yield dataclasses.replace(stimulus, offer=_ALWAYS, accept=_ALWAYS, source=None)
    if accepts:
        yield dataclasses.replace(stimulus, accept=_ALWAYS, source=None)
    if offers:
        yield dataclasses.replace(stimulus, offer=_ALWAYS, source=None)


def _plainer(stimulus: Stimulus) -> Iterator[Stimulus]:
    formats = dict(zip(_CODES, stimulus.spec.elements + stimulus.spec.scales, strict=True))
    # The order in which codes are liked: zero (or the least), one, then the smaller ones.
    liking = {}
    for name, fmt in formats.items():
        rank = np.arange(1 << fmt.bits) + 2
        rank[int(fmt.encode(1.0))] = 1
        rank[0] = 0
        if name.endswith("scale"):
            rank[0], rank[int(fmt.encode(1.0))] = 1, 0
        liking[name] = rank

    def change(name: str, place: Any, code: int) -> Stimulus | None:
        codes = getattr(stimulus, name)
        if (liking[name][codes[place]] <= liking[name][code]).all():
            return None
        changed = codes.copy()
        changed[place] = np.where(liking[name][changed[place]] > liking[name][code], code, changed[place])
        return dataclasses.replace(stimulus, **{name: changed}, source=None)

    for name in _CODES:
        favourites = np.argsort(liking[name])[:2]
        # All vectors, one vector, one block, one element.
        for depth in range(getattr(stimulus, name).ndim + 1):
            for place in np.ndindex(*getattr(stimulus, name).shape[:depth]):
                for code in favourites:
                    if candidate := change(name, place, int(code)):
                        yield candidate
    for name in _CODES:
        codes = getattr(stimulus, name)
        for place in np.ndindex(*codes.shape):
            code = int(codes[place])
            for bit in reversed(range(formats[name].bits)):
                if code >> bit and (candidate := change(name, place, code - (1 << bit))):
                    yield candidate


def _array(codes: npt.NDArray[Any], indent: str) -> str:
    """Return the Python text of an array, short rows in one line."""
    if codes.dtype == np.bool_:
        return f"np.array({codes.tolist()})"

    def rows(part: npt.NDArray[Any], indent: str) -> str:
        if part.ndim == 1:
            return "[" + ", ".join(f"{int(code):#x}" for code in part) + "]"
        if len(part) == 1:
            return f"[{rows(part[0], indent)}]"
        inner = ",\n".join(f"{indent}    {rows(one, indent + '    ')}" for one in part)
        return f"[\n{inner},\n{indent}]"

    return f"np.array({rows(codes, indent)}, np.{codes.dtype})"


def as_test(unit: UnitConfig, stimulus: Stimulus, engine: Engine) -> str:
    """Return a pytest file in which the unit plays a stimulus, and must give the model's results.

    Args:
        unit: How the unit is built.
        stimulus: What to put in.
        engine: What simulates it.
    """
    names = [*_CODES, "first", "last"]
    names += [name for name in ("offer", "accept") if len(getattr(stimulus, name)) > 1]
    arguments = "".join(f"        {name}={_array(getattr(stimulus, name), ' ' * 8)},\n" for name in names)
    return f"""\
import numpy as np
from blockdot.hw import UnitConfig
from blockdot.sim import Stimulus, run
from blockdot.verify import compare


def test_{unit.module_name}_gives_the_bits_of_the_model():
    unit = UnitConfig.parse({unit.name!r})
    stimulus = Stimulus(
        spec=unit.spec,
{arguments}    )
    comparison = compare(unit, stimulus, run(unit.build(), stimulus, engine={engine!r}), engine={engine!r})
    assert comparison.equal, str(comparison)
"""
