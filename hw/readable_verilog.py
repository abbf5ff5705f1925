"""Verilog made easy to read: ports in the heads of modules, comments, and short declarations.

It is a step from text to text behind Yosys, whose Verilog has each port three times, a line for each wire and
an ``always`` for each register. What the text says is left as it is: read again, both give the same netlist.
"""

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

__all__ = ["COMMENT_WIDTH", "readable_verilog"]

_WIDTH: Final = 100

COMMENT_WIDTH: Final = _WIDTH - len("// ")
"""How long a line of a header is at most, without its slashes."""

_MODULE: Final = re.compile(r"^module (\w+)\(([^)]*)\);\n(.*?)^endmodule$", re.MULTILINE | re.DOTALL)
_DECLARATION: Final = re.compile(r"  (input|output|wire|reg) ((?:signed )?(?:\[\d+:0\] )?)(\w+);")
_TEMPORARY: Final = re.compile(r"_\d+_")
_REGISTER: Final = re.compile(r"(?:^  always @\(posedge clk\)\n    [^\n]*;\n){2,}", re.MULTILINE)
_REPEATED: Final = re.compile(r"\{ ([\w\[\]]+)((?:, \1)+) \}")


def _comment(lines: Iterable[str]) -> str:
    """Return lines as a comment; what is not plain ASCII, or could escape a line's end, is ``?`` there."""
    plain = (re.sub(r"[^ -\[\]-~]", "?", line) for line in lines)
    return "".join(f"// {line}".rstrip() + "\n" for line in plain)


def readable_verilog(text: str, header: Sequence[str], summaries: Mapping[str, str]) -> str:
    """Return Verilog as Yosys writes it in a form that reads well.

    Args:
        text: The Verilog, a comment of one line at its beginning.
        header: What the first module's comment says.
        summaries: A line for each of the other modules, by their names; one without has no comment.
    """
    first = True

    def module(found: re.Match[str]) -> str:
        nonlocal first
        name, ports, body = found.groups()
        summary = summaries.get(name)
        lines = header if first else [summary] if summary else []
        first = False
        return _comment(lines) + _module(name, ports.split(", ") if ports else [], body)

    return _MODULE.sub(module, text)


def _module(name: str, ports: Sequence[str], body: str) -> str:
    """Return a module of those ports."""
    directions: dict[str, str] = {}
    kinds: dict[str, tuple[str, str]] = {}
    statements: list[str] = []
    for line in body.splitlines(keepends=True):
        found = _DECLARATION.fullmatch(line.rstrip("\n"))
        if found is None:
            statements.append(line)
        elif found[1] in ("input", "output"):
            directions[found[3]] = found[1]
        else:
            kinds[found[3]] = (found[1], found[2].rstrip())
    inner = {name: kind for name, kind in kinds.items() if name not in directions}
    return (
        f"module {name}({_head([(directions[port], *kinds[port], port) for port in ports])});\n"
        f"{''.join(_declarations(inner))}{_statements(''.join(statements))}endmodule"
    )


def _head(ports: Sequence[tuple[str, str, str, str]]) -> str:
    """Return ports, each with direction, kind, range and name, a line each and in columns."""
    if not ports:
        return ""
    across = [max(map(len, column)) for column in zip(*ports, strict=True)][:-1]
    lines = []
    for *parts, name in ports:
        words = [part.ljust(width) for part, width in zip(parts, across, strict=True) if width]
        lines.append("  " + " ".join([*words, name]))
    return "\n" + ",\n".join(lines) + "\n"


def _declarations(kinds: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Yield declarations of wires and registers: those with names first, alike ones in one statement."""

    def rank(name: str) -> tuple[bool, bool]:
        return _TEMPORARY.fullmatch(name) is not None, kinds[name][0] == "wire"

    # Stable: in the order of the text otherwise.
    for _, group in itertools.groupby(sorted(kinds, key=rank), key=rank):
        alike: dict[tuple[str, str], list[str]] = {}
        for name in group:
            alike.setdefault(kinds[name], []).append(name)
        for (kind, bits), names in alike.items():
            yield (
                textwrap.fill(
                    f"{kind} {bits} {', '.join(names)};".replace("  ", " "),
                    _WIDTH,
                    initial_indent="  ",
                    subsequent_indent="    ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
                + "\n"
            )


def _statements(text: str) -> str:
    """Return statements with registers beside each other in one block, and repeated bits counted."""

    def block(found: re.Match[str]) -> str:
        taken = found[0].replace("  always @(posedge clk)\n", "")
        return f"  always @(posedge clk) begin\n{taken}  end\n"

    def counted(found: re.Match[str]) -> str:
        return f"{{{1 + found[2].count(',')}{{{found[1]}}}}}"

    return _REGISTER.sub(block, _REPEATED.sub(counted, text))
