"""Digests of emitted netlists: a change of structure that is to leave the hardware alone is held to it.

``python -m studies.netlist_digests`` emits units of every accumulation, form, depth and flow, and compares
the SHA-256 of their Verilog and RTLIL with ``studies/netlist_digests.jsonl``. The Verilog is `plain_verilog`,
which no comment changes. ``--write`` keeps those of today; use it only for a change that means to change
netlists.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from blockdot.hw import DotArray, DotUnit, to_rtlil
from blockdot.hw.verilog import plain_verilog
from blockdot.model import DotSpec
from rich.console import Console
from rich.progress import track

from .records import read_stored, write_stored

__all__ = ["KEPT", "digest", "main", "units"]

KEPT: Final = Path(__file__).resolve().with_name("netlist_digests.jsonl")
"""Where the digests are kept."""

Parameters = dict[str, Any]


def _of_accumulation(accumulate: str) -> Iterator[tuple[Parameters, Parameters]]:
    def spec(scale: str | tuple[str, str], block_size: int, **more: Any) -> Parameters:
        return {"scale": scale, "block_size": block_size, "accumulate": accumulate, **more}

    scales = ("ue4m3", "ue5m3", "ue4m4", "ue8m0")
    forms = ("area", "delay")
    for form, optimise in enumerate(forms):
        for stages in range(int(accumulate != "none"), 6):
            yield spec(scales[(stages + form) % 4], 8), {"stages": stages, "optimise": optimise}
    for flow in ("valid", "enable"):
        for stages in (1, 3):
            yield spec("ue5m3", 8), {"stages": stages, "flow": flow}
    for optimise in forms:
        for scale in ("ue4m3", "ue5m3"):
            yield spec(scale, 16), {"stages": 1, "optimise": optimise}
        yield spec("ue5m3", 4, blocks=2), {"stages": 2, "optimise": optimise}
        yield spec("ue4m3", 4), {"stages": 1, "optimise": optimise, "order": 3}
    for element in ("e2m3", "e3m2", "e4m3", "e5m2", "e3m4", "int8", ("e2m1", "e4m3")):
        optimise = "delay" if element in ("e5m2", "e2m3") else "area"
        yield spec("ue4m3", 4, element=element), {"stages": 2, "optimise": optimise}
    yield spec("ue5m3", 32, blocks=1), {"stages": 1}
    yield spec(("ue4m3", "ue5m3"), 4, blocks=4), {"stages": 3, "optimise": "delay"}
    for scale, block_size in (("ue3m2", 2), ("ue5m3_ieee", 4), ("ue4m3_full", 4)):
        yield spec(scale, block_size), {"stages": 1}
    yield spec("ue4m3", 4), {"stages": 1, "rows": 2, "columns": 2}
    yield spec("ue5m3", 4), {"stages": 2, "rows": 1, "columns": 3, "optimise": "delay", "flow": "valid"}


def units() -> Iterator[tuple[Parameters, Parameters]]:
    """Yield the parameters of each unit: those of its `DotSpec`, and those of its `DotUnit` or `DotArray`."""
    for accumulate in ("none", "fp32", "exact", "aligned"):
        yield from _of_accumulation(accumulate)
    exact: Parameters = {"accumulate": "exact"}
    for segment in (1, 8):
        for optimise in ("area", "delay"):
            for stages in (1, 2, 4):
                yield (
                    {"scale": "ue5m3", "block_size": 8, **exact},
                    {"stages": stages, "optimise": optimise, "segment": segment},
                )
    yield {"scale": "ue4m3", "block_size": 4, "guard": 8, **exact}, {"stages": 1}
    aligned: Parameters = {"scale": "ue4m3", "block_size": 16, "accumulate": "aligned"}
    yield {**aligned, "blocks": 4, "fraction": 35}, {"stages": 2}
    yield {**aligned, "fraction": 25}, {"stages": 1, "optimise": "delay"}


def digest(of: tuple[Parameters, Parameters]) -> dict[str, Any]:
    """Return the record of one of `units`: its parameters, and the SHA-256 of its Verilog and its RTLIL."""
    spec, parameters = of

    def unit() -> DotUnit | DotArray:
        return (DotArray if "rows" in parameters else DotUnit)(DotSpec(**spec), **parameters)

    texts = {"verilog": plain_verilog(unit()), "rtlil": to_rtlil(unit())}
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    return {"spec": spec, "unit": parameters, **hashes}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare every unit with what is kept, or keep it; return 1 where one differs."""
    parser = argparse.ArgumentParser(prog="python -m studies.netlist_digests", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep today's digests")
    write: bool = parser.parse_args(arguments).write
    out = Console()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        wanted = list(units())
        found = list(track(pool.map(digest, wanted), "netlists", len(wanted), console=Console(stderr=True)))
    if write:
        write_stored(KEPT, "python -m studies.netlist_digests --write", {"units": found})
        return 0
    kept = read_stored(KEPT)["units"]
    changed = [record for record, old in zip(found, kept, strict=True) if _plain(record) != old]
    for record in changed:
        out.print(f"changed: {record['spec']} {record['unit']}")
    out.print(f"{len(found)} netlists, {len(changed)} changed")
    return int(bool(changed))


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as JSON gives it back: pairs are lists there."""
    spec: Parameters = record["spec"]
    return record | {"spec": {k: list(v) if isinstance(v, tuple) else v for k, v in spec.items()}}


if __name__ == "__main__":
    sys.exit(main())
