"""Reads LEF files, plain or gzip: see `lef` for what of them."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...base.plain_or_gzip import read_plain_or_gzip
from .lef import Direction, LefError, LefFile, LefLayer, LefMacro, LefPin, LefSite, LefVia

__all__ = ["parse_lef", "read_lef"]

_DIRECTIONS: Final[dict[str, Direction]] = {"HORIZONTAL": "horizontal", "VERTICAL": "vertical"}
_FF_PER_PF: Final = 1000.0
# Blocks that begin with a keyword and a name, and end with END and that name.
_NAMED_BLOCKS: Final = frozenset(("VIARULE", "NONDEFAULTRULE", "ARRAY", "NOISETABLE", "CORRECTIONTABLE"))
# Blocks that end with END and their keyword.
_PLAIN_BLOCKS: Final = frozenset(("PROPERTYDEFINITIONS", "SPACING", "IRDROP"))
# Text in quotes, which may go over several lines and hold anything, and comments.
_NO_WORDS: Final = re.compile(r'"[^"]*"|#[^\n]*')


def read_lef(path: str | os.PathLike[str]) -> LefFile:
    """Read a LEF file, plain or gzip (told by its first bytes).

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a directory.
        ValueError: If it is not a LEF file or a broken one; the message gives file, line and rule.
    """
    place = Path(path)
    data = read_plain_or_gzip(place, "LEF file")
    return parse_lef(data.decode("utf-8", errors="replace"), place.name.removesuffix(".gz"))


def parse_lef(text: str, name: str) -> LefFile:
    """Read the text of a LEF file; raises as `read_lef`."""
    try:
        return _Parser(text, name).parse()
    except LefError as error:
        raise ValueError(f"LEF file must be a readable LEF file, not {name!r}: {error}") from error


def _blanked(match: re.Match[str]) -> str:
    """Return what stands for a quoted text or a comment: one word or none, in as many lines."""
    text = match[0]
    return ("QUOTED" if text[0] == '"' else "") + "\n" * text.count("\n")


class _Parser:
    """Reads one file, word by word."""

    def __init__(self, text: str, name: str) -> None:
        self._file = LefFile(name, hashlib.sha256(text.encode()).hexdigest())
        words: list[str] = []
        lines: list[int] = []
        for number, line in enumerate(_NO_WORDS.sub(_blanked, text).splitlines(), 1):
            found = line.split()
            words += found
            lines += [number] * len(found)
        self._words, self._lines, self._at = words, lines, 0

    def parse(self) -> LefFile:
        """Read all of it."""
        while self._at < len(self._words):
            word = self._next("a statement")
            match word:
                case "END":
                    self._expect("LIBRARY")
                    break
                case "UNITS":
                    self._units()
                case "SITE":
                    self._site()
                case "LAYER":
                    self._layer()
                case "VIA":
                    self._via()
                case "MACRO":
                    self._macro()
                case "BEGINEXT":
                    self._skip_to("ENDEXT")
                case _ if word in _PLAIN_BLOCKS:
                    self._skip_block(word)
                case _ if word in _NAMED_BLOCKS:
                    self._skip_block(self._next("a name"))
                case _:
                    self._rest(word)
        if not (self._file.macros or self._file.layers or self._file.sites):
            raise self._error("a LEF file must have a MACRO, LAYER or SITE, not none of them")
        return self._file

    # Words.

    def _error(self, rule: str) -> LefError:
        at = max(min(self._at, len(self._lines)) - 1, 0)
        return LefError(f"line {self._lines[at] if self._lines else 1}: {rule}")

    def _next(self, what: str) -> str:
        if self._at == len(self._words):
            raise self._error(f"{what} must follow, not the end of the file")
        self._at += 1
        return self._words[self._at - 1]

    def _expect(self, word: str) -> None:
        if (found := self._next(word)) != word:
            raise self._error(f"{word} must stand here, not {found!r}")

    def _rest(self, keyword: str) -> list[str]:
        """Return the words of a statement up to its semicolon."""
        begun = self._at
        words = self._words
        for at in range(begun, len(words)):
            word = words[at]
            if word[-1] == ";":
                self._at = at + 1
                found = words[begun:at]
                return found if word == ";" else [*found, word[:-1]]
            if word == "END":
                self._at = at + 1
                raise self._error(f"{keyword} must end with ';' before END")
        self._at = len(words)
        raise self._error(f"{keyword} must end with ';', not with the end of the file")

    def _numbers(self, keyword: str, words: list[str]) -> list[float]:
        numbers: list[float] = []
        for word in words:
            try:
                numbers.append(float(word))
            except ValueError:
                raise self._error(f"{keyword} must be a number, not {word!r}") from None
        return numbers

    def _number(self, keyword: str) -> float:
        """Return the number that a statement begins with."""
        words = self._rest(keyword)
        if not words:
            raise self._error(f"{keyword} must be a number, not missing")
        return self._numbers(keyword, words[:1])[0]

    def _size(self) -> tuple[float, float]:
        words = self._rest("SIZE")
        if len(words) != 3 or words[1] != "BY":
            raise self._error(f"SIZE must be a width BY a height, not {' '.join(words)!r}")
        width, height = self._numbers("SIZE", words[::2])
        if not (width > 0 and height > 0):
            raise self._error(f"SIZE must be positive, not {' '.join(words)!r}")
        return width, height

    def _skip_to(self, end: str) -> None:
        while self._next(end) != end:
            pass

    def _skip_block(self, name: str) -> None:
        while True:
            self._skip_to("END")
            if self._next(f"END {name}") == name:
                return

    def _body(self, name: str) -> Iterator[str]:
        """Yield the keyword of each statement of a block, up to END and its name."""
        while (word := self._next(f"END {name}")) != "END":
            yield word
        self._expect(name)

    # Statements.

    def _units(self) -> None:
        for word in self._body("UNITS"):
            words = self._rest(word)
            if word == "DATABASE" and len(words) == 2:
                self._file.microns = round(self._numbers("DATABASE MICRONS", words[1:])[0])
                if self._file.microns < 1:
                    raise self._error(f"DATABASE MICRONS must be at least 1, not {words[1]}")

    def _site(self) -> None:
        name = self._next("a name of a site")
        size: tuple[float, float] | None = None
        core = True
        for word in self._body(name):
            if word == "SIZE":
                size = self._size()
            else:
                words = self._rest(word)
                core = core if word != "CLASS" else words[:1] == ["CORE"]
        if size is None:
            raise self._error(f"site {name} must have a SIZE, not none")
        if core:
            self._file.sites[name] = LefSite(name, *size)

    def _layer(self) -> None:
        name = self._next("a name of a layer")
        facts: dict[str, list[str]] = {}
        for word in self._body(name):
            facts.setdefault(word, self._rest(word))
        if facts.get("TYPE", [""])[:1] != ["ROUTING"]:
            return
        direction = _DIRECTIONS.get((facts.get("DIRECTION") or [""])[0])
        if direction is None:
            shown = " ".join(facts.get("DIRECTION", ["missing"]))
            raise self._error(f"DIRECTION of layer {name} must be HORIZONTAL or VERTICAL, not {shown}")

        def number(keyword: str, unit: str = "") -> float | None:
            words = facts.get(keyword)
            if not words or (unit and words[0] != unit):
                return None
            return self._numbers(f"{keyword} of layer {name}", words[1:2] if unit else words[:1])[0]

        width, pitches = number("WIDTH"), self._numbers("PITCH", facts.get("PITCH", []))
        if width is None or not width > 0 or not pitches or not min(pitches) > 0:
            raise self._error(f"layer {name} must have a positive WIDTH and PITCH, not miss one")
        # Of two pitches the first is that between upright wires, the second between level ones.
        pitch = pitches[0] if direction == "vertical" else pitches[-1]
        # A table of spacings begins with that of narrow wires.
        table = facts.get("SPACINGTABLE", [])
        narrow = table[table.index("WIDTH") + 2 : table.index("WIDTH") + 3] if "WIDTH" in table else []
        spacing = number("SPACING") or (self._numbers("SPACINGTABLE", narrow) or [pitch - width])[0]
        area, edge = number("CAPACITANCE", "CPERSQDIST"), number("EDGECAPACITANCE")
        square = number("RESISTANCE", "RPERSQ")
        self._file.layers[name] = LefLayer(
            name,
            direction,
            pitch,
            width,
            spacing,
            None if area is None else (area * width + 2 * (edge or 0.0)) * _FF_PER_PF,
            None if square is None else square / width,
        )

    def _via(self) -> None:
        name = self._next("a name of a via")
        default = False
        layer = ""
        resistance: float | None = None
        sizes: dict[str, tuple[float, float]] = {}
        for word in self._body(name):
            match word:
                case "DEFAULT":
                    default = True
                case "TOPOFSTACKONLY" | ";":
                    pass
                case "RESISTANCE":
                    resistance = self._number("RESISTANCE")
                case "LAYER":
                    layer = (self._rest("LAYER") or [""])[0]
                case "RECT" | "POLYGON":
                    left, low, right, high = self._bounds(word, self._rest(word))
                    wide, tall = sizes.get(layer, (0.0, 0.0))
                    sizes[layer] = max(wide, right - left), max(tall, high - low)
                case _:
                    self._rest(word)
        if default:
            self._file.vias[name] = LefVia(name, sizes, resistance)

    def _macro(self) -> None:
        name = self._next("a name of a macro")
        size: tuple[float, float] | None = None
        origin = (0.0, 0.0)
        site: str | None = None
        core = False
        shapes: dict[str, tuple[list[tuple[float, float, float]], set[str], bool]] = {}
        for word in self._body(name):
            match word:
                case "SIZE":
                    size = self._size()
                case "ORIGIN":
                    numbers = self._numbers("ORIGIN", self._rest("ORIGIN"))
                    if len(numbers) != 2:
                        raise self._error(f"ORIGIN must be two numbers, not {len(numbers)}")
                    origin = numbers[0], numbers[1]
                case "SITE":
                    site = (self._rest("SITE") or [""])[0]
                case "CLASS":
                    core = self._rest("CLASS")[:1] == ["CORE"]
                case "PIN":
                    pin = self._next("a name of a pin")
                    shapes[pin] = self._pin(pin)
                case "OBS" | "DENSITY":
                    self._skip_to("END")
                case _:
                    self._rest(word)
        if size is None:
            raise self._error(f"macro {name} must have a SIZE, not none")
        pins = {}
        for pin, (found, layers, signal) in shapes.items():
            weight = sum(area for area, _, _ in found)
            if weight > 0:
                x, y = (sum(one[0] * one[axis] for one in found) / weight for axis in (1, 2))
                pins[pin] = LefPin((x + origin[0], y + origin[1]), frozenset(layers), signal)
        self._file.macros[name] = LefMacro(name, *size, site, core, pins)

    def _pin(self, name: str) -> tuple[list[tuple[float, float, float]], set[str], bool]:
        """Return the area and the middle of each shape, the layers, and whether it carries a signal."""
        found: list[tuple[float, float, float]] = []
        layers: set[str] = set()
        signal = True
        for word in self._body(name):
            if word == "PORT":
                while (inner := self._next("END of PORT")) != "END":
                    words = self._rest(inner)
                    if inner == "LAYER" and words:
                        layers.add(words[0])
                    elif inner in ("RECT", "POLYGON"):
                        found.append(self._shape(inner, words))
            else:
                words = self._rest(word)
                if word == "USE":
                    signal = words[:1] not in (["POWER"], ["GROUND"])
        return found, layers, signal

    def _shape(self, keyword: str, words: list[str]) -> tuple[float, float, float]:
        """Return the area and the middle of a rectangle, or of what a polygon lies in."""
        left, low, right, high = self._bounds(keyword, words)
        return (right - left) * (high - low), (left + right) / 2, (low + high) / 2

    def _bounds(self, keyword: str, words: list[str]) -> tuple[float, float, float, float]:
        """Return the left, lower, right and upper end of a rectangle or a polygon."""
        if words[:1] == ["MASK"]:
            words = words[2:]
        numbers = self._numbers(keyword, words)
        if len(numbers) % 2 or len(numbers) < 4 or (keyword == "RECT" and len(numbers) != 4):
            raise self._error(f"{keyword} must be points of two numbers each, not {' '.join(words)!r}")
        across, up = numbers[::2], numbers[1::2]
        return min(across), min(up), max(across), max(up)
