"""From a stimulus that makes a unit fail to the least one that still does, and to a test that shows it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt

from ..hw.configurations import Configuration
from ..sim.dequantizer_stimulus import DequantizerStimulus
from ..sim.engines.run import Engine
from ..sim.quantizer_stimulus import QuantizerStimulus
from ..sim.stimulus import Stimulus
from ..sim.unit_stimulus import UnitStimulus

__all__ = ["Fails", "as_test", "shrink"]

Fails = Callable[[Sequence[UnitStimulus]], Sequence[bool]]
"""Tells which of some stimuli, all with the same patterns, make the unit fail."""

_Stimulus = TypeVar("_Stimulus", bound=UnitStimulus)

_CODES: Final = ("a", "b", "a_scale", "b_scale")
_ALWAYS: Final = np.ones(1, np.bool_)
# Candidates tried at a time: as many as there are lanes.
_AT_ONCE: Final = 512


def shrink(stimulus: _Stimulus, fails: Fails) -> _Stimulus:
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
    least: UnitStimulus = stimulus
    before = None
    while before is not least:
        before = least
        for simpler in (_shorter, _unstalled, _plainer):
            least = _reduce(least, simpler, fails)
    # What is simpler is of the kind it was made from.
    return cast("_Stimulus", least)


def _reduce(
    stimulus: UnitStimulus, simpler: Callable[[UnitStimulus], Iterator[UnitStimulus]], fails: Fails
) -> UnitStimulus:
    """Take the first failing of the simpler stimuli, and of those simpler than it, until there is none."""
    while (found := _first(simpler(stimulus), fails)) is not None:
        stimulus = found
    return stimulus


def _first(candidates: Iterator[UnitStimulus], fails: Fails) -> UnitStimulus | None:
    for _, alike in itertools.groupby(candidates, lambda one: (id(one.offer), id(one.accept))):
        while group := list(itertools.islice(alike, _AT_ONCE)):
            for one, failed in zip(group, fails(group), strict=True):
                if failed:
                    return one
    return None


def _without(stimulus: UnitStimulus, start: int, end: int) -> UnitStimulus:
    """Leave out some vectors; a sum that began among them begins behind them."""
    kept = np.ones(stimulus.vectors, np.bool_)
    kept[start:end] = False
    shorter = stimulus.select(kept, offer=stimulus.offer, accept=stimulus.accept)
    if not isinstance(shorter, Stimulus):
        return shorter
    first = stimulus.first.copy()
    if end < stimulus.vectors:
        first[end] |= first[start:end].any()
    return dataclasses.replace(shorter, first=first[kept])


def _shorter(stimulus: UnitStimulus) -> Iterator[UnitStimulus]:
    size = stimulus.vectors // 2
    while size:
        # From the end: what comes after the failure has no part in it.
        for end in range(stimulus.vectors, 0, -size):
            if end - size > 0 or end < stimulus.vectors:
                yield _without(stimulus, max(0, end - size), end)
        size //= 2


def _unstalled(stimulus: UnitStimulus) -> Iterator[UnitStimulus]:
    offers, accepts = len(stimulus.offer) > 1, len(stimulus.accept) > 1
    if offers and accepts:
        yield dataclasses.replace(stimulus, offer=_ALWAYS, accept=_ALWAYS, source=None)
    if accepts:
        yield dataclasses.replace(stimulus, accept=_ALWAYS, source=None)
    if offers:
        yield dataclasses.replace(stimulus, offer=_ALWAYS, source=None)


def _plainer(stimulus: UnitStimulus) -> Iterator[UnitStimulus]:
    match stimulus:
        case QuantizerStimulus():
            return _plainer_numbers(stimulus)
        case DequantizerStimulus():
            one = int(stimulus.spec.scale_format.encode(1.0))
            return _plainer_parts(stimulus, {"codes": (0,), "scales": (one, 0)})
        case _:
            assert isinstance(stimulus, Stimulus)
            return _plainer_codes(stimulus)


def _plainer_numbers(stimulus: QuantizerStimulus) -> Iterator[UnitStimulus]:
    form = stimulus.spec.input_format
    favourites: dict[str, tuple[int, ...]] = {"x": (0, form.bias << form.mantissa_bits)}
    if stimulus.random is not None:
        favourites["random"] = (0,)
    if stimulus.g is not None and (stimulus.g != 1).any():
        yield dataclasses.replace(stimulus, g=np.ones_like(stimulus.g), source=None)
    yield from _plainer_parts(stimulus, favourites)


def _plainer_parts(
    stimulus: UnitStimulus, favourites: Mapping[str, tuple[int, ...]]
) -> Iterator[UnitStimulus]:
    """Yield stimuli with plainer codes, given those that each array likes best, in order."""
    parts = {name: getattr(stimulus, name) for name in favourites}

    def change(name: str, place: Any, code: int) -> UnitStimulus:
        changed = parts[name].copy()
        changed[place] = code
        return dataclasses.replace(stimulus, **{name: changed}, source=None)

    # A favourite in the place of all vectors, of one, of one element; then one bit less.
    for name, codes in parts.items():
        for depth in range(codes.ndim + 1):
            for place in np.ndindex(*codes.shape[:depth]):
                for k, code in enumerate(favourites[name]):
                    if not np.isin(codes[place], favourites[name][: k + 1]).all():
                        yield change(name, place, code)
    for name, codes in parts.items():
        for place in np.ndindex(*codes.shape):
            code = int(codes[place])
            if code in favourites[name]:
                continue
            for bit in reversed(range(code.bit_length())):
                if code >> bit & 1:
                    yield change(name, place, code ^ (1 << bit))


def _plainer_codes(stimulus: Stimulus) -> Iterator[Stimulus]:
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

    if stimulus.c is not None:
        one = int(stimulus.spec.c_format.encode(np.ones(1, np.float32))[0])
        for start in (0, one):
            if not np.isin(stimulus.c, (0, start)).all():
                yield dataclasses.replace(stimulus, c=np.full_like(stimulus.c, start), source=None)
                for vector in np.flatnonzero(~np.isin(stimulus.c, (0, start))).tolist():
                    changed = stimulus.c.copy()
                    changed[vector] = start
                    yield dataclasses.replace(stimulus, c=changed, source=None)
    if stimulus.g is not None:
        one = int(np.ones(1, np.float32).view(np.uint32)[0])
        yield from cast("Iterator[Stimulus]", _plainer_parts(stimulus, {"g": (one, 0)}))
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
    if codes.dtype == np.float32:
        return f"{_array(codes.view(np.uint32), indent)}.view(np.float32)"

    def rows(part: npt.NDArray[Any], indent: str) -> str:
        if part.ndim == 1:
            return "[" + ", ".join(f"{int(code):#x}" for code in part) + "]"
        if len(part) == 1:
            return f"[{rows(part[0], indent)}]"
        inner = ",\n".join(f"{indent}    {rows(one, indent + '    ')}" for one in part)
        return f"[\n{inner},\n{indent}]"

    return f"np.array({rows(codes, indent)}, np.{codes.dtype})"


def as_test(unit: Configuration, stimulus: UnitStimulus, engine: Engine) -> str:
    """Return a pytest file in which the unit plays a stimulus, and must give the model's results.

    Args:
        unit: How the unit is built.
        stimulus: What to put in.
        engine: What simulates it.
    """
    names = [name for name in stimulus.PARTS if getattr(stimulus, name) is not None]
    names += [name for name in ("offer", "accept") if len(getattr(stimulus, name)) > 1]
    arguments = "".join(f"        {name}={_array(getattr(stimulus, name), ' ' * 8)},\n" for name in names)
    kind = type(stimulus).__name__
    # By the name that whoever reads the test can import, whatever made the unit of it.
    config = next(kind.__name__ for kind in get_args(Configuration) if isinstance(unit, kind))
    return f"""\
import numpy as np
from blockdot.hw import {config}
from blockdot.sim import {kind}, run
from blockdot.verify import compare


def test_{unit.module_name}_gives_the_bits_of_the_model():
    unit = {config}.parse({unit.name!r})
    stimulus = {kind}(
        spec=unit.spec,
{arguments}    )
    comparison = compare(unit, stimulus, run(unit.build(), stimulus, engine={engine!r}), engine={engine!r})
    assert comparison.equal, str(comparison)
"""
