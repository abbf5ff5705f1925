"""Faults put into the unit of each published tensor core: which are found, and which change nothing.

``python -m studies.preset_mutants NAME...`` puts faults into the units for area of those presets, or of all:
some into the netlist, and the named ones into the generator's source, as `blockdot mutants` does. What
becomes of them is kept in ``studies/preset_mutants.jsonl`` when a preset is done. It is not done again while
the unit's netlist, its inputs, the faults and the tools are the same: a run that was broken off goes on where
it was. At the end it writes its part of ``docs/verification.md``; ``--write`` does this alone. Exit code 1
says that a fault survived.
"""

import functools
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.hw import DotUnit, UnitConfig, to_rtlil
from blockdot.lab.reports.records import markdown_lines
from blockdot.verify.netlist_mutants import FATES, Mutant, Mutants, mutate, stimuli_for
from blockdot.verify.source_mutants import plant

from .commands import exit_code_of, progress_bars
from .different_presets import different_presets
from .marked_part import with_part
from .preset_study import (
    PAGE,
    chosen_presets,
    digest_of,
    names_told,
    preset_parser,
    processor_seconds,
    sums_told,
    wrapped,
)
from .records import StoredRecord, read_stored, write_stored

__all__ = [
    "COUNT",
    "KEPT",
    "MUTANTS_BEGIN",
    "MUTANTS_END",
    "Planted",
    "Tried",
    "found_told",
    "main",
    "mutant_place",
    "page_with_mutants",
    "read_mutants",
    "survives",
    "try_unit",
]

KEPT: Final = Path(__file__).resolve().with_name("preset_mutants.jsonl")
"""Where what became of the faults is kept."""

MUTANTS_BEGIN: Final = "<!-- made by `python -m studies.preset_mutants`, of studies/preset_mutants.jsonl -->"
MUTANTS_END: Final = "<!-- end of the mutants of tensor cores -->"
"""The marks in the page, each a line of its own."""

COUNT: Final = 50
"""How many faults are put into a netlist."""

Planted = tuple[Mutants, tuple[Mutant, ...]]
"""The mutants of a netlist, and those of the source."""

Tried = Callable[[UnitConfig, int, int, Callable[[int, int], None]], Planted]
"""Tries so many faults, drawn by a seed; is given what is told how far it is."""

_COMMAND: Final = "python -m studies.preset_mutants"
_PARTS: Final = ("netlist", "source")
# What an answer hangs on beside the netlist and the inputs: the faults, and how they are looked for.
_SOURCES: Final = ("verify/netlist_mutants.py", "verify/source_mutants.py", "verify/source_faults/*.py")
# How inputs are drawn shows in a few.
_DRAWN: Final = 100


def try_unit(config: UnitConfig, count: int, seed: int, progress: Callable[[int, int], None]) -> Planted:
    """Put faults into a unit's netlist and into its source, and find them."""
    return mutate(config, count, seed=seed, progress=progress), plant(config, progress=progress)


def _texts(config: UnitConfig, seed: int) -> Iterator[bytes]:
    yield to_rtlil(DotUnit.of(config)).encode()
    for stimulus in stimuli_for(config, _DRAWN, seed):
        for name, words in stimulus.words().items():
            yield name.encode() + words.tobytes()
        for pattern in (stimulus.first, stimulus.last, stimulus.offer, stimulus.accept):
            yield pattern.tobytes()


def mutant_place(mutant: Mutant) -> str:
    """Return where a fault of a netlist sits: the components around it, from the outermost on."""
    _, *cell = mutant.fault.split()
    inside = re.findall(r"\\(\w+)\.", cell[0]) if cell else []
    return ".".join(re.sub(r"_\d+$", "", name) for name in inside) or mutant.component


def _record(planted: Planted) -> StoredRecord:
    of_netlist, of_source = planted
    every = dict(zip(_PARTS, (of_netlist.mutants, of_source), strict=True))
    counts = {
        part: {fate: sum(one.fate == fate for one in mutants) for fate in FATES}
        for part, mutants in every.items()
    }
    left = [
        {
            "of": part,
            "fate": one.fate,
            "place": mutant_place(one) if part == "netlist" else one.component,
            "fault": one.fault,
        }
        for part, mutants in every.items()
        for one in mutants
        if one.fate != "killed"
    ]
    return {"vectors": of_netlist.vectors, **counts, "left": left}


def read_mutants(path: Path) -> dict[str, StoredRecord]:
    """Return what is kept, by preset, each with the faults that no input showed, ``left``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not such a file.
    """
    stored = read_stored(path)
    try:
        found = {one["preset"]: one | {"left": []} for one in stored["units"]}
        for mutant in stored["left"]:
            found[mutant.pop("preset")]["left"].append(mutant)
    except KeyError as error:
        raise ValueError(f"{path} must have units and what is left, not without {error}") from error
    return found


def _write_mutants(path: Path, kept: Mapping[str, StoredRecord]) -> None:
    ranked = [name for name in different_presets() if name in kept]
    units = [{key: value for key, value in kept[name].items() if key != "left"} for name in ranked]
    left = [{"preset": name, **mutant} for name in ranked for mutant in kept[name]["left"]]
    write_stored(path, _COMMAND, {"units": units, "left": left})


def _count(record: StoredRecord, *fates: str, parts: Sequence[str] = _PARTS) -> int:
    return sum(record[part][fate] for part in parts for fate in fates)


def survives(record: StoredRecord) -> bool:
    """Say whether a fault of a unit survived."""
    return _count(record, "survived") > 0


def found_told(record: StoredRecord) -> str:
    """Return how many faults are found, of how many that are not proven to change nothing."""
    found = _count(record, "killed", "refuted")
    return f"{found} of {found + _count(record, 'survived')}"


def _left(records: Mapping[str, StoredRecord], part: str, fate: str) -> Counter[str]:
    """Return where faults of a fate sit, or what they are in the source, the most frequent first."""
    told = "place" if part == "netlist" else "fault"
    places = Counter(
        one[told]
        for record in records.values()
        for one in record["left"]
        if (one["of"], one["fate"]) == (part, fate)
    )
    return Counter(dict(sorted(places.items(), key=lambda item: (-item[1], item[0]))))


def _places_told(places: Counter[str], quote: str = "`") -> str:
    return ", ".join(f"{quote}{place}{quote} {count}" for place, count in places.items()) or "-"


def _lines(kept: Mapping[str, StoredRecord]) -> list[str]:
    """Return the lines of the part of the page."""
    specs = different_presets()
    records = {name: kept[name] for name in specs if name in kept}
    untold = [name for name in specs if name not in kept]
    of_netlist, of_source = (
        sum(_count(record, *FATES, parts=[part]) for record in records.values()) for part in _PARTS
    )
    survived = sum(_count(record, "survived") for record in records.values())
    told = (
        f"The units for area of {len(records)} of the {len(specs)} different tensor cores have had "
        f"{of_netlist} faults in their netlists and {of_source} in the source. {survived or 'None'} of them "
        f"survived. "
    )
    if untold:
        told += f"Not tried: {names_told(untold)}. "
    told += (
        f"`{_COMMAND}` tries what has changed since, and keeps it; `blockdot mutants NAME --count {COUNT}` "
        "shows one. The time is that of the processor, user and system."
    )
    lines = [*wrapped(told), ""]
    table = []
    for name, record in records.items():
        fates = [" / ".join(str(record[part][fate]) for fate in FATES) for part in _PARTS]
        places = _places_told(_left({name: record}, "netlist", "equivalent"))
        table.append([f"`{name}`", sums_told(specs[name]), *fates, places, f"{record['seconds']:.0f}"])
    order = " / ".join(FATES)
    heads = ["tensor core", "its sums", f"netlist: {order}", "source: the same", "equivalent ones", "seconds"]
    lines += markdown_lines(heads, table, numbers=[head == "seconds" for head in heads])
    for part, what, quote in zip(_PARTS, ("netlists", "the source"), '`"', strict=True):
        for fate in ("equivalent", "refuted"):
            places = _left(records, part, fate)
            if places:
                sentence = f"Of those in {what}, {places.total()} are {fate}: {_places_told(places, quote)}."
                lines += ["", *wrapped(sentence)]
    for name, record in records.items():
        alive = [one for one in record["left"] if one["fate"] == "survived"]
        if alive:
            faults = "; ".join(f"{one['of']}, {one['place']}: {one['fault']}" for one in alive)
            lines += ["", *wrapped(f"Of `{name}` survived: {faults}.")]
    return lines


def page_with_mutants(page: str, kept: Mapping[str, StoredRecord]) -> str:
    """Return the page with its part made anew.

    Raises:
        ValueError: If the page does not have the two marks, once each and in order.
    """
    return with_part(page, PAGE.name, MUTANTS_BEGIN, MUTANTS_END, "\n".join(_lines(kept)) + "\n")


def _write(path: Path, page: Path) -> None:
    if not path.exists():
        raise ValueError("faults must be tried before the page is written")
    write_whole(page, page_with_mutants(page.read_text(encoding="utf-8"), read_mutants(path)))


def _run(names: Sequence[str], count: int, seed: int, path: Path, page: Path, tried: Tried) -> int:
    chosen = chosen_presets(names)
    for what, value, least in (("count", count, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{what} must be at least {least}, not {value}")
    survived = 0
    with progress_bars() as bar:
        for name, spec in chosen.items():
            kept = read_mutants(path) if path.exists() else {}
            config = UnitConfig(spec, stages=1)
            heading: dict[str, Any] = {
                "preset": name,
                "spec": spec.name,
                "digest": digest_of(_SOURCES, _texts(config, seed)),
                "count": count,
                "seed": seed,
            }
            show = bar(name)
            # What survived may have been a question of time.
            if not heading.items() <= kept.get(name, {}).items() or survives(kept[name]):
                start = processor_seconds()
                planted = tried(
                    config, count, seed, lambda done, every, name=name, show=show: show(done, every, name)
                )
                spent = {"seconds": round(processor_seconds() - start, 1)}
                kept[name] = heading | spent | _record(planted)
                _write_mutants(path, kept)
            else:
                show(1, 1, name)
            for one in kept[name]["left"]:
                if one["fate"] == "survived":
                    print(f"{name}: survived: {one['of']}: {one['place']}: {one['fault']}", flush=True)
            survived += _count(kept[name], "survived")
    _write(path, page)
    print(f"{len(chosen)} presets: {survived} faults survived")
    return int(survived > 0)


def main(arguments: Sequence[str] | None = None, *, page: Path = PAGE, tried: Tried = try_unit) -> int:
    """Try faults, and write the part of the page; return the exit code: 1 if one survived."""
    parser = preset_parser(_COMMAND, __doc__, KEPT)
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help="faults in each netlist")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of their choice")
    chosen = parser.parse_args(arguments)
    work = functools.partial(_write, chosen.keep, page)
    if not chosen.write:
        work = functools.partial(_run, chosen.presets, chosen.count, chosen.seed, chosen.keep, page, tried)
    return exit_code_of("preset_mutants", work, "what was tried is kept")


if __name__ == "__main__":
    sys.exit(main())
