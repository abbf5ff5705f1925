"""The drawn pictures of these pages: ``python docs/pictures.py`` writes them as SVG beside this file."""

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

__all__ = ["PICTURES", "main"]

_PAINT: Final = {
    "model": "#dceaf8",
    "hw": "#fde7cf",
    "synth": "#e4dcf3",
    "sim": "#dff2e1",
    "verify": "#f8dde1",
    "lab": "#fdf6cd",
    "plain": "#f3f3f3",
}


class _Drawing:
    """Boxes and arrows on a white ground; y grows downwards, all in pixels."""

    def __init__(self, title: str, width: int, height: int) -> None:
        self._lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            'font-family="sans-serif" font-size="14" fill="#222">',
            f"<title>{html.escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L10 5L0 10z" fill="#555"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
        ]

    def box(self, x: int, y: int, width: int, height: int, lines: Sequence[str], paint: str) -> None:
        """A box with lines of text, the first one bold."""
        self._lines.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{_PAINT[paint]}" '
            'stroke="#777"/>'
        )
        first = y + height / 2 - 9 * (len(lines) - 1) + 5
        for number, line in enumerate(lines):
            self.text(x + width // 2, round(first + 18 * number), line, bold=number == 0)

    def text(
        self, x: int, y: int, line: str, *, bold: bool = False, anchor: str = "middle", size: int = 0
    ) -> None:
        """A line of text."""
        weight = ' font-weight="bold"' if bold else ""
        sized = f' font-size="{size}"' if size else ""
        self._lines.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}"{weight}{sized}>{html.escape(line)}</text>'
        )

    def arrow(self, *points: tuple[int, int]) -> None:
        """An arrow through points."""
        path = " ".join(f"{x},{y}" for x, y in points)
        self._lines.append(
            f'<polyline points="{path}" fill="none" stroke="#555" stroke-width="1.6" marker-end="url(#tip)"/>'
        )

    def cell(self, x: int, y: int, width: int, label: str, colour: str) -> None:
        """A bit of a code."""
        self._lines.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="26" fill="{colour}" stroke="#777"/>'
        )
        self.text(x + width // 2, y + 18, label)

    def done(self) -> str:
        return "\n".join([*self._lines, "</svg>\n"])


def flow() -> str:
    """The two ways through the project: numbers, and price."""
    d = _Drawing("From a tensor to compared bits, and from a configuration to a price", 760, 350)
    d.text(20, 28, "Do hardware and model give the same bits?", bold=True, anchor="start")
    top = [
        (("tensor",), "plain"),
        (("quantize", "model"), "model"),
        (("vectors", "sim"), "sim"),
        (("unit", "hw"), "hw"),
        (("compare", "verify"), "verify"),
    ]
    for number, (lines, paint) in enumerate(top):
        d.box(20 + 148 * number, 45, 118, 56, lines, paint)
        if number:
            d.arrow((20 + 148 * number - 30, 73), (20 + 148 * number - 2, 73))
    d.box(316, 130, 118, 44, ("compute", "model"), "model")
    d.arrow((375, 101), (375, 128))
    d.arrow((434, 152), (671, 152), (671, 103))
    d.text(550, 146, "expected bits", size=12)
    d.text(20, 215, "What does a unit cost?", bold=True, anchor="start")
    bottom = [
        (("configuration", "hw"), "hw"),
        (("unit", "hw"), "hw"),
        (("netlist", "synth"), "synth"),
        (("price", "lab"), "lab"),
        (("report", "lab"), "lab"),
    ]
    for number, (lines, paint) in enumerate(bottom):
        d.box(20 + 148 * number, 232, 118, 56, lines, paint)
        if number:
            d.arrow((20 + 148 * number - 30, 260), (20 + 148 * number - 2, 260))
    d.text(375, 310, "gates, area, delay, energy", size=12)
    d.text(523, 310, "difference with error bar", size=12)
    d.text(20, 338, "The second word of each box is the room (the package of blockdot) that does it.",
           anchor="start", size=12)  # fmt: skip
    return d.done()


def datapath() -> str:
    """The steps of a unit of 16 E2M1 elements under UE5M3 scales."""
    d = _Drawing("The datapath of a dot-product unit, 16 E2M1 elements under UE5M3 scales", 760, 640)
    d.box(40, 20, 300, 40, ("elements a, b: 16 x 4 bits each",), "plain")
    d.box(440, 20, 280, 40, ("scales a, b: 8 bits each",), "plain")
    for y, (lines, out) in zip(
        (90, 170, 250),
        (
            (("product", "16 x (sign, 8 bits)"), ""),
            (("compress", "carry-save tree, 13 bits"), ""),
            (("add", "sum, 13 bits"), ""),
        ),
        strict=True,
    ):
        d.box(40, y, 300, 50, lines, "hw")
        d.text(352, y + 30, out, anchor="start")
    d.box(440, 90, 280, 50, ("scale", "significands 4 and 4 bits, exponent 6 bits"), "hw")
    d.box(40, 330, 300, 50, ("multiply", "sign, magnitude 19 bits"), "hw")
    for y in (60, 140, 220, 300):
        d.arrow((190, y), (190, y + 29))
    d.arrow((580, 60), (580, 89))
    d.arrow((500, 140), (500, 355), (342, 355))
    d.text(420, 348, "significands", size=12)
    d.text(108, 408, "none, fp32", bold=True, anchor="start")
    d.text(318, 408, "exact, or several blocks", bold=True, anchor="start")
    d.text(630, 408, "aligned", bold=True, anchor="start")
    d.arrow((100, 380), (100, 424))
    d.arrow((260, 380), (260, 395), (310, 395), (310, 424))
    d.box(20, 425, 215, 50, ("normalise", "leading zeros, exponent field"), "hw")
    d.box(20, 495, 215, 50, ("round", "packs: nothing to round"), "hw")
    d.box(20, 565, 215, 50, ("accumulate (fp32)", "binary32 addition a cycle"), "hw")
    d.box(275, 425, 235, 50, ("place, accumulate", "window 80 bits, register 96 bits"), "hw")
    d.box(275, 495, 235, 50, ("normalise", "25 bits and sticky"), "hw")
    d.box(275, 565, 235, 50, ("round", "ties to even"), "hw")
    d.box(545, 425, 195, 190, ("one fixed-point step", "terms and accumulator", "shifted to the largest",
                               "exponent, summed,", "rounded toward zero"), "hw")  # fmt: skip
    for x in (127, 392):
        d.arrow((x, 475), (x, 494))
        d.arrow((x, 545), (x, 564))
    d.arrow((620, 140), (620, 424))
    d.text(628, 250, "exponent, to", size=12, anchor="start")
    d.text(628, 266, "each of the three", size=12, anchor="start")
    return d.done()


def formats() -> str:
    """The bits of the formats that a block is made of."""
    d = _Drawing("The bits of the element format E2M1 and of three scale formats", 760, 250)
    sign, exponent, mantissa = "#f8dde1", "#dceaf8", "#dff2e1"
    rows = (
        ("E2M1 element", "seem", "0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives"),
        ("UE4M3 scale", "eeeemmm", "0, then 2^-9 to 448"),
        ("UE5M3 scale", "eeeeemmm", "0, then 2^-17 to 114688: one exponent bit more"),
        ("UE8M0 scale", "eeeeeeee", "2^-127 to 2^127, no zero"),
    )
    for number, (name, bits, told) in enumerate(rows):
        y = 20 + 48 * number
        d.text(20, y + 18, name, bold=True, anchor="start")
        for place, bit in enumerate(bits):
            colour = {"s": sign, "e": exponent, "m": mantissa}[bit]
            d.cell(150 + 28 * (place + 8 - len(bits)), y, 28, bit, colour)
        d.text(390, y + 18, told, anchor="start", size=13)
    d.text(20, 232, "s: sign, e: exponent, m: mantissa. The highest bit is on the left.",
           anchor="start", size=12)  # fmt: skip
    return d.done()


def block() -> str:
    """One block: elements, scales, and what a unit makes of them."""
    d = _Drawing("One block dot product", 760, 230)
    for row, name in enumerate("ab"):
        y = 24 + 56 * row
        d.text(16, y + 18, f"block {name}", bold=True, anchor="start")
        for place in range(8):
            label = "..." if place == 6 else f"{name}{15 if place == 7 else place}"
            d.cell(90 + 38 * place, y, 38, label, "#dceaf8")
        d.cell(410, y, 90, f"scale s{name}", "#fde7cf")
    d.arrow((242, 106), (242, 146))
    d.box(90, 148, 304, 60, ("P = sum of a_i * b_i", "exact"), "model")
    d.arrow((455, 106), (455, 128), (480, 128), (480, 146))
    d.arrow((394, 178), (414, 178))
    d.box(416, 148, 150, 60, ("V = sa * sb * P", "exact"), "model")
    d.arrow((566, 178), (586, 178))
    d.box(588, 148, 156, 60, ("R = binary32(V)", "rounded once"), "model")
    return d.done()


def rooms() -> str:
    """Which room imports which."""
    d = _Drawing("Imports between rooms point one way", 760, 340)
    stair = (
        ("base", "checks, files, tools", "plain"),
        ("model", "the numbers", "model"),
        ("hw", "the hardware", "hw"),
        ("sim", "running a unit", "sim"),
        ("verify", "proof and trust", "verify"),
        ("lab", "costs and errors", "lab"),
        ("cli", "the command", "plain"),
    )
    for number, (name, told, paint) in enumerate(stair):
        x, y = 14 + 99 * number, 286 - 45 * number
        d.box(x, y, 136, 38, (name, told), paint)
        if number:
            d.arrow((x, y + 19), (x - 30, y + 19), (x - 30, y + 44))
    d.box(14, 180, 130, 38, ("frameworks", "PyTorch layers"), "model")
    d.arrow((132, 218), (132, 240))
    d.box(330, 286, 150, 38, ("synth", "gates, area, delay"), "synth")
    d.arrow((330, 305), (152, 305))
    d.arrow((577, 99), (577, 305), (482, 305))
    d.text(590, 200, "lab uses synth", anchor="start", size=12)
    return d.done()


PICTURES: Final[dict[str, Callable[[], str]]] = {
    "flow.svg": flow,
    "datapath.svg": datapath,
    "formats.svg": formats,
    "block.svg": block,
    "rooms.svg": rooms,
}
"""The pictures, by the names of their files."""


def main() -> None:
    """Write the pictures."""
    folder = Path(__file__).resolve().with_name("pictures")
    folder.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (folder / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
