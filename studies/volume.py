"""Every unit in both its forms against the model over many inputs: what `blockdot soak` does for one.

``python -m studies.volume`` goes through all of `blockdot.hw.unit_grid`, units of ``chain``, and units of
every published tensor core, one on each processor. It keeps what came of each in ``studies/volume.jsonl``,
with a hash of its netlist, and how often each kind of scale and result came. A unit whose netlist is the one
that is kept, with as many inputs or more, is not simulated again: so a run that was broken off goes on where
it was, and after a change only what it changed is run. Where the inputs are drawn in another way, ``--again``
runs what is kept too.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from fnmatch import fnmatchcase
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blockdot.hw import DotUnit
from blockdot.hw.config import OPTIMISE, UnitConfig
from blockdot.hw.unit_grid import MOST_STAGES, variants
from blockdot.hw.verilog import to_rtlil
from blockdot.model import DotSpec, Format
from blockdot.sim.engines.run import BUILD_DIR
from blockdot.verify.soak import batches, soak
from rich.console import Console
from rich.progress import Progress

from .commands import exit_code_of
from .different_presets import different_presets
from .records import read_stored, write_stored

__all__ = [
    "CHAINS",
    "KEPT",
    "chains",
    "classes",
    "every",
    "grid",
    "main",
    "netlist",
    "read_volume",
    "tensor_cores",
]

KEPT: Final = Path(__file__).resolve().with_name("volume.jsonl")
"""Where what came of each unit is kept."""

CHAINS: Final = ("e2m1_ue8m0_n16", "e4m3_ue8m0_n16", "e5m2_ue8m0_n4", "e4m3_ue4m3_n4")
"""Elements, scales and sizes of the units of ``chain``."""

_VECTORS: Final = 1_000_000
# Of the small unit of a tensor core.
_CORE_VECTORS: Final = 10_000_000
# Of tensor cores: with so many the loop is a step of its own, where it can be one.
_STAGES: Final = 4

# The tables of the file, and what names a record of each.
_KEYS: Final = {"units": "unit", "classes": "spec"}


def grid() -> Iterator[UnitConfig]:
    """Yield every unit of `blockdot.hw.unit_grid` in both forms."""
    for config in variants():
        for optimise in OPTIMISE:
            yield replace(config, optimise=optimise)


def chains() -> Iterator[UnitConfig]:
    """Yield units of ``chain`` that are not units of ``fp32``."""
    for blocks in CHAINS:
        spec = DotSpec.parse(f"{blocks}_chain")
        for stages in (1, MOST_STAGES):
            for optimise in OPTIMISE:
                yield UnitConfig(spec, stages=stages, optimise=optimise)


def tensor_cores() -> Iterator[UnitConfig]:
    """Yield two units of each different preset: a small one of one stage, and a fast one of several."""
    for spec in different_presets().values():
        yield UnitConfig(spec, stages=1)
        fast = UnitConfig(spec, stages=1, optimise="delay")
        yield fast.with_stages(min(fast.max_stages, _STAGES))


def every() -> dict[UnitConfig, int]:
    """Return every unit that is run, and how many inputs it is to have."""
    found = dict.fromkeys((*grid(), *chains(), *tensor_cores()), _VECTORS)
    return found | {config: _CORE_VECTORS for config in tensor_cores() if config.stages == 1}


def _scale_classes(fmt: Format, codes: npt.NDArray[Any]) -> dict[str, int]:
    kinds = fmt.kinds[codes]
    return {kind: int((kinds == kind).sum()) for kind in ("zero", "subnormal", "normal", "largest", "NaN")}


def classes(spec: DotSpec, vectors: int, seed: int) -> dict[str, dict[str, int]]:
    """Count what kinds of scales and results the inputs of a run have; the same for all units of a kind.

    Args:
        spec: What the units compute.
        vectors: How many inputs.
        seed: Seed of everything random.

    Returns:
        For ``a_scale`` and ``b_scale``, where there are scales, and ``result`` how often each kind comes.
    """
    counts: dict[str, dict[str, int]] = {}

    def count(what: str, found: dict[str, int]) -> None:
        known = counts.setdefault(what, {})
        for kind, number in found.items():
            known[kind] = known.get(kind, 0) + number

    for stimulus in batches(spec, vectors, seed=seed):
        for what, fmt in zip(("a_scale", "b_scale"), spec.scales, strict=True) if spec.has_scales else ():
            count(what, _scale_classes(fmt, getattr(stimulus, what).ravel()))
        form = spec.result_format
        size = np.abs(form.decode(stimulus.expected()))
        least = 2.0**form.least_exponent
        count(
            "result",
            {
                "zero": int((size == 0).sum()),
                "subnormal": int(((size > 0) & (size < least)).sum()),
                "normal": int(((size >= least) & (size < np.inf)).sum()),
                "infinite": int(np.isinf(size).sum()),
                "NaN": int(np.isnan(size).sum()),
            },
        )
    return counts


def netlist(unit: DotUnit) -> str:
    """Return a hash of a unit's netlist."""
    return hashlib.sha256(to_rtlil(unit).encode()).hexdigest()


def _job(
    config: UnitConfig, vectors: int, seed: int, build_dir: Path, known: dict[str, Any] | None
) -> dict[str, Any]:
    digest = netlist(DotUnit.of(config))
    if known is not None and known["equal"] and known["netlist"] == digest and known["vectors"] >= vectors:
        return known
    done = soak(config, vectors, seed=seed, workers=1, build_dir=build_dir)
    return {
        "vectors": done.vectors,
        "netlist": digest,
        "results": done.results,
        "digest": done.digest,
        "equal": done.failure is None,
    }


def simulate_units(
    chosen: Mapping[UnitConfig, int],
    known: dict[str, Any],
    seed: int,
    build_dir: Path,
    workers: int | None,
) -> Iterable[tuple[UnitConfig, dict[str, Any]]]:
    """Yield the configurations as they are done, each with its digests and whether all its results are equal.

    Args:
        chosen: The configurations, and how many inputs each.
        known: What is kept already, by names; a unit whose netlist is the same is not run again, unless for
            more inputs.
        seed: Seed of everything random.
        build_dir: Where compiled units are kept.
        workers: Units at once.
    """
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            waiting = {
                pool.submit(_job, config, vectors, seed, build_dir, known.get(config.name)): config
                for config, vectors in chosen.items()
            }
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def read_volume(path: Path) -> dict[str, Any]:
    """Return what is kept in a file: ``seed``, and by their names ``units`` and ``classes``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not such a file.
    """
    kept = read_stored(path)
    for table, key in _KEYS.items():
        kept[table] = {record.pop(key): record for record in kept.get(table, [])}
    return kept


def _write(path: Path, kept: dict[str, Any]) -> None:
    tables = {
        table: [{key: name, **record} for name, record in kept[table].items()] for table, key in _KEYS.items()
    }
    write_stored(path, "make volume", kept | tables)


def main(
    arguments: Sequence[str] | None = None,
    *,
    simulate: Callable[..., Iterable[tuple[UnitConfig, dict[str, Any]]]] = simulate_units,
) -> int:
    """Go through the units; return the exit code: 1 if one of them differs from the model."""
    parser = argparse.ArgumentParser(prog="python -m studies.volume", description=__doc__)
    parser.add_argument(
        "--vectors",
        type=float,
        metavar="N",
        help=f"inputs of each unit; {_VECTORS} by default, and {_CORE_VECTORS} of tensor cores of one stage",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="units, such as '*_fp32_s1*'")
    parser.add_argument("--again", action="store_true", help="run units whose netlists are kept as well")
    parser.add_argument("--build-dir", type=Path, default=BUILD_DIR, metavar="DIR")
    parser.add_argument("--workers", type=int, metavar="N", help="units at once")
    parser.add_argument("--keep", type=Path, default=KEPT, metavar="FILE", help="where results are kept")
    chosen = parser.parse_args(arguments)
    selected = {
        config: vectors if chosen.vectors is None else int(chosen.vectors)
        for config, vectors in every().items()
        if fnmatchcase(config.name, chosen.only)
    }

    def work() -> int:
        differ = 0
        kept: dict[str, Any] = {}
        if chosen.keep.exists():
            kept = read_volume(chosen.keep)
        if kept.get("seed") != chosen.seed:
            kept = {"seed": chosen.seed, "units": {}, "classes": {}}
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("simulating", total=len(selected))
            known = {} if chosen.again else dict(kept["units"])
            counted = set() if chosen.again else set(kept["classes"])
            done = simulate(selected, known, chosen.seed, chosen.build_dir, chosen.workers)
            for config, found in done:
                bar.advance(task)
                differ += not found["equal"]
                if not found["equal"]:
                    print(f"{config.name} differs from the model: blockdot soak tells how", flush=True)
                kept["units"][config.name] = found
                if config.spec.name not in counted:
                    vectors = min(found["vectors"], _VECTORS)
                    counts = classes(config.spec, vectors, chosen.seed)
                    kept["classes"][config.spec.name] = {"vectors": vectors, **counts}
                    counted.add(config.spec.name)
                kept["units"] = dict(sorted(kept["units"].items()))
                kept["classes"] = dict(sorted(kept["classes"].items()))
                _write(chosen.keep, kept)
        total = sum(selected.values())
        print(f"{len(selected)} units, {total} inputs in all: {differ} differ from the model")
        return int(differ > 0)

    return exit_code_of("volume", work, "what was done is kept")


if __name__ == "__main__":
    sys.exit(main())
