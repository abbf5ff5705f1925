"""``blockdot tools``: the programs and packages that are found, and the tensor cores that have a name."""

from dataclasses import asdict
from typing import Annotated

import typer

from .console import console, print_json, table
from .options import JsonOption

__all__ = ["tools"]


def tools(
    presets: Annotated[
        bool,
        typer.Option("--presets", help="List the published tensor cores that have a name, and nothing else."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the simulators, synthesizers and compilers that are found, and say how to get the others."""
    if presets:
        _presets(json)
        return
    from ..base.external_tools import find_all
    from ..synth.installed_libraries import find_libraries

    found = find_all()
    libraries = find_libraries()
    if json:
        print_json(
            [{**vars(tool), "path": tool.path and str(tool.path), "usable": tool.usable} for tool in found]
        )
        return
    out = table("Tools", "tool", "state", "version", "where~", "needed for~")
    for tool in found:
        state = "usable" if tool.usable else "too old" if tool.found else "missing"
        where = str(tool.path) if tool.path else tool.remedy
        out.add_row(tool.name, state, tool.version or "", where, tool.needed_for)
    console().print(out)
    cells = table("Standard-cell libraries for `blockdot area --library`", "library", "from~", "files~")
    cells.add_row("neutral", "blockdot", "built in, of no technology")
    for library in libraries:
        cells.add_row(library.name, library.source, " ".join(map(str, library.files)))
    console().print(cells)


def _presets(json: bool) -> None:
    from ..hw.config import has_hardware
    from ..model.presets import PRESETS

    if json:
        print_json(
            [
                {
                    "preset": name,
                    "generation": one.generation,
                    "spec": {"name": one.spec.name, **asdict(one.spec)},
                    "hardware": has_hardware(one.spec),
                }
                for name, one in PRESETS.items()
            ]
        )
        return
    out = table("Published tensor cores: one step", "preset", "products>", "specification~", "hardware")
    for name, one in PRESETS.items():
        products = str(one.spec.blocks * one.spec.block_size)
        out.add_row(name, products, one.spec.name, "yes" if has_hardware(one.spec) else "not yet")
    console().print(out)
