"""Cell libraries: damaged, written in another way, or without a timing that a netlist needs."""

import random
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from blockdot.synth.cell_models import CellModels
from blockdot.synth.flow import synthesize
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.neutral_library import liberty_text
from blockdot.synth.static_timing import analyse

from .outcomes import FuzzError, named_refusal, refusal

__all__ = ["Case", "LibraryCases"]

Case = Callable[[random.Random, Path], str]
"""Does one case with its own dice, in a folder for its files, and says what came of it."""

_FILE: Final = "cells.lib"
_PIECES: Final = (
    *'"{}();:,!-\\\n\xff\0',
    "/*",
    "*/",
    "//",
    "\\\n",
    "1e9",
    "0",
    "nan",
    "inf",
    "area",
    "cell (X) {",
    "timing () {",
    "values",
    "pin (A, B) {",
    'function : "A ^";',
    "scalar",
    "linear",
)
_CELLS: Final = ("INV_X1", "BUF_X1", "NAND2_X1", "NOR2_X1", "XOR2_X1", "DFF_X1")
# How many cells of another library go into a case.
_MOST_CELLS: Final = 6
# Two gates in a row between registers, and one from an input to an output.
_NETLIST: Final = MappedNetlist(
    {"clk": (0,), "a": (1,), "b": (2,)},
    {"y": (8,)},
    (
        CellInstance("DFF_X1", {"CK": 0, "D": 1, "Q": 3}),
        CellInstance("NAND2_X1", {"A": 3, "B": 2, "Y": 4}),
        CellInstance("XOR2_X1", {"A": 4, "B": 3, "Y": 5}),
        CellInstance("DFF_X1", {"CK": 0, "D": 5, "Q": 6}),
        CellInstance("INV_X1", {"A": 6, "Y": 8}),
    ),
)
# The same in Verilog, for the whole flow.
_VERILOG: Final = """module top(input clk, a, b, output y);
reg p, q;
always @(posedge clk) begin p <= a; q <= ~(p & b) ^ p; end
assign y = ~q;
endmodule
"""
_INVERTER: Final = 0b01
# What a timing's tables are, by the edge of the output.
_TABLE: Final = r"(?:cell_{0}|{0}_transition) \("
# Messages that say nothing to who has the file.
_EMPTY_MESSAGES: Final = re.compile(r"return code|Traceback|signal \d")


class LibraryCases:
    """The cases of cell libraries.

    Args:
        files: Libraries whose cells go into the damaged ones, beside those of the built-in library.

    Attributes:
        cases: By kind, what does one.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If one is no library.
    """

    def __init__(self, files: tuple[Path, ...] = ()) -> None:
        self._others = [_pieces(path) for path in files]
        self.cases: dict[str, Case] = {
            "liberty-damaged": self._damaged,
            "liberty-rewritten": _rewritten,
            "liberty-untimed": _untimed,
            "liberty-mapped": self._mapped,
        }

    def _text(self, dice: random.Random) -> str:
        """Return a library: of the built-in one's cells, or of some of another's."""
        if not self._others or dice.random() < 0.3:
            return _cells()
        head, cells, needed = dice.choice(self._others)
        # A small library is read in no time.
        chosen = [*dice.sample(list(cells), min(_MOST_CELLS, len(cells))), *needed]
        return "\n".join([head, *(cells[name] for name in dict.fromkeys(chosen)), "}\n"])

    def _damaged(self, dice: random.Random, folder: Path) -> str:
        del folder
        text = _damaged_text(self._text(dice), dice)
        line = refusal(lambda: _read_library(text))
        return "read" if line is None else named_refusal(line, _FILE, "cell", "library", "flip-flop")

    def _mapped(self, dice: random.Random, folder: Path) -> str:
        """Have Yosys and abc map with what was read, whose delay the flow holds against abc's."""
        del folder
        library = None
        while library is None:
            # Most are refused when they are read.
            text = _damaged_text(_cells(), dice)
            with suppress(ValueError):
                library = Library.parse(LibrarySource(_FILE, text.encode("latin-1")))
        line = refusal(lambda: synthesize(_VERILOG, "top", library, recipes=["a2"], language="verilog"))
        if line is None:
            return "read"
        if _EMPTY_MESSAGES.search(line):
            raise FuzzError(f"a refusal must say what is wrong with the library, not be {line!r}")
        return "refused"


def _pieces(path: Path) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """Split a library into what is before its first cell, and its cells by name; say which it must have."""
    source = LibrarySource.load(path)
    library = Library.parse(source)
    text = source.decoded
    starts = [match.start() for match in re.finditer(r"\bcell ?\(", text)]
    cells = [text[start : _end_of_group(text, start)] for start in starts]
    named = {match[1]: cell for cell in cells if (match := re.match(r'cell ?\(\s*"?(\w+)', cell))}
    if not set(library.cells) <= set(named):
        raise ValueError(f"library must have each cell in a group of its own, not as {str(path)!r}")
    inverter = next(
        cell.name
        for cell in library.cells.values()
        if cell.usable and len(cell.inputs) == 1 and cell.truth_table == _INVERTER
    )
    return text[: starts[0]], named, (library.nand2.name, library.driving_cell.name, inverter)


@cache
def _cells() -> str:
    """Return a library of the cells that the netlist has, and a few more."""
    text = liberty_text()
    kept = [text[: text.index("  cell (")]]
    for name in _CELLS:
        start = text.index(f"  cell ({name})")
        kept.append(text[start : _end_of_group(text, start)])
    return "".join(kept) + "\n}\n"


def _end_of_group(text: str, start: int) -> int:
    """Return the place behind the group that begins at `start`, in a text without comments."""
    depth = 0
    for match in re.compile("[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            return match.end()
    raise ValueError("a group must end")


def _read_library(text: str) -> CellModels:
    library = Library.parse(LibrarySource(_FILE, text.encode("latin-1")))
    assert library.mapping_text
    models = CellModels(library)
    for cell in library.cells.values():
        if cell.usable and cell.kind != "latch":
            assert models[cell.name]
    return models


@cache
def _right_period() -> float:
    return analyse(_NETLIST, _read_library(_cells())).period


def _place(text: str, dice: random.Random) -> int:
    """Return where to do damage: mostly in any line alike, as most of a text are rows of numbers."""
    at = dice.randrange(len(text))
    if dice.random() < 0.5:
        return at
    ends = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    line = dice.randrange(len(ends) - 1)
    return dice.randint(ends[line], max(ends[line], ends[line + 1] - 1))


def _other_meaning(text: str, at: int, damage: int, dice: random.Random) -> str:
    """Change the text behind a place so that it is mostly still Liberty, and means something else."""
    if damage <= 5:
        words = list(re.compile(r"[\w.+-]+").finditer(text, at, at + 2000))
        word = dice.choice(words) if words else None
        others = re.findall(r"[\w.+-]+", text[dice.randrange(len(text)) :][:2000])
        if word is None or not others:
            return text
        return text[: word.start()] + dice.choice(others) + text[word.end() :]
    if damage == 6:
        found = re.compile(r"[^\n;{}]*;\n").search(text, at)
        return text[: found.start()] + text[found.end() :] if found else text
    group = re.compile(r"\w+ ?\([^\n(){}]*\) ?\{\n").search(text, at)
    if group is None:
        return text
    try:
        end = _end_of_group(text, group.start())
    except ValueError:
        # What was done before has cut it.
        return text
    # Away with it, or twice.
    return text[: group.start()] + (text[group.start() : end] * 2 if dice.random() < 0.5 else "") + text[end:]


def _damaged_text(text: str, dice: random.Random) -> str:
    for _ in range(dice.choice((1, 1, 2, 3))):
        at = _place(text, dice)
        match dice.randrange(8):
            case 0:
                text = text[:at] + dice.choice(_PIECES) + text[at:]
            case 1:
                text = text[:at] + text[at + dice.randint(1, 40) :]
            case 2:
                text = text[:at] + dice.choice(_PIECES) + text[at + dice.randint(1, 8) :]
            case 3:
                start = dice.randrange(len(text))
                text = text[:at] + text[start : start + dice.randint(1, 200)] + text[at:]
            case damage:
                text = _other_meaning(text, at, damage, dice)
    return text


def _rewritten(dice: random.Random, folder: Path) -> str:
    del folder
    text = _cells()
    if dice.random() < 0.3:
        text = re.sub(r" \{\n", lambda _: dice.choice((" {\n", "\n{\n", "{\n", "  {\n")), text)
    # Between the statements of the library.
    places = [match.end() for match in re.finditer(r"[;{}]\n", text)][:-1]
    extra = (
        "/* cell (NAND2_X1) { area : 100; } */",
        "// } timing () {\n",
        "\n\n",
        "\r\n",
        "\t",
        'library_features ("a } b", "/* c");\n',
        'comment : "cell (INV_X1) { // ";\n',
        "/**/ /* * / */",
    )
    for at in sorted(dice.sample(places, dice.randint(1, 12)), reverse=True):
        # An attribute of the user's own is one wherever it is; the first line opens the library.
        text = text[:at] + dice.choice(extra) + text[at:]
    if dice.random() < 0.3:
        text = text.replace("\n", "\r\n")
    period = analyse(_NETLIST, _read_library(text)).period
    if period != _right_period():
        raise FuzzError(f"the period must be {_right_period()!r}, not {period!r}")
    return "read"


def _arcs(body: str) -> list[tuple[int, int]]:
    """Return where the timings are through which a path of the netlist goes, in the text of a cell."""
    found: list[tuple[int, int]] = []
    at = body.find("timing () {", body.index("direction : output"))
    while at >= 0:
        end = _end_of_group(body, at)
        found.append((at, end))
        at = body.find("timing () {", end)
    return found


def _without_groups(body: str, head: str) -> str:
    while found := re.search(head, body):
        body = body[: found.start()] + body[_end_of_group(body, found.start()) :]
    return body


def _untimed(dice: random.Random, folder: Path) -> str:
    """Take the timing that a path of the netlist needs: of an output, of one input, or of one edge."""
    del folder
    text = _cells()
    cell = dice.choice(("INV_X1", "NAND2_X1", "XOR2_X1", "DFF_X1"))
    start = text.index(f"cell ({cell})")
    end = _end_of_group(text, start)
    body = text[start:end]
    arcs = _arcs(body)
    way = dice.randrange(6)
    if way == 1:
        # Of one input alone: each of the gates' inputs is on a path.
        source = dice.choice(re.findall(r'related_pin : "?(\w+)"?', body[arcs[0][0] :]))
        arcs = [(one, two) for one, two in arcs if re.search(rf'related_pin : "?{source}"?', body[one:two])]
    edge = dice.choice(("rise", "fall"))
    other = dice.choice(("hold_rising", "three_state_disable", "recovery_falling", "min_pulse_width"))
    for one, two in reversed(arcs):
        arc = body[one:two]
        if way <= 1:
            arc = ""
        elif way == 2:
            arc = _without_groups(arc, r"(?:cell_(?:rise|fall)|(?:rise|fall)_transition) \(")
        elif way == 3:
            arc = _without_groups(arc, _TABLE.format(edge))
        elif way == 4:
            arc = f"/* {arc} */"
        else:
            # Of a type that tells of no path.
            kept = re.sub(r"timing_type : \S+;", "", arc)
            arc = kept.replace("timing () {", f"timing () {{ timing_type : {other};", 1)
        body = body[:one] + arc + body[two:]
    changed = text[:start] + body + text[end:]
    line = refusal(lambda: analyse(_NETLIST, _read_library(changed)))
    if line is None or cell not in line:
        raise FuzzError(f"{cell} without timing must be refused by its name, not give {line!r}")
    return "refused"
