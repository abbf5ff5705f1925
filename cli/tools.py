"""``blockdot tools``: the programs and packages that are found."""

from .console import console, print_json, table
from .options import JsonOption

__all__ = ["tools"]


def tools(json: JsonOption = False) -> None:
    """List the simulators, synthesizers and compilers that are found, and say how to get the others."""
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
