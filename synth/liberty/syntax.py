"""The grammar of Liberty files: text to groups.

A group is ``name (arguments) { ... }``, a simple attribute ``name : value ;``, a complex one
``name (arguments) ;`` (Liberty User Guide, volume 1). Comments, line breaks behind a backslash and spaces may
stand between any two words; a semicolon may be missing. All of a file is read: what is no statement is
refused, with the line where it stands.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["LibertyError", "LibertyGroup", "parse_liberty"]

_STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BLOCK: Final = r"/\*(?:[^*]++|\*(?!/))*+\*/"
_COMMENT: Final = rf"{_BLOCK}|//[^\n]*+"
# A backslash joins a line to the next one.
_JOINT: Final = r"\\[ \t]*+\r?\n"
_SPACE: Final = rf"(?:\s++|{_COMMENT}|{_JOINT})*+"
_STATEMENT: Final = re.compile(
    rf"""(?:[\s;]++|{_COMMENT}|{_JOINT})*+
    (?: (?P<name>[A-Za-z_][\w.]*+) {_SPACE}
        (?: : (?: {_SPACE} (?P<string>{_STRING})
                | [ \t]*+ (?P<value>(?:[^;\n{{}}"/\\]++|/(?![/*])|{_BLOCK}|{_JOINT})*+) )
          | \( (?P<arguments>[^()"/\\]*+(?:(?:{_STRING}|{_COMMENT}|[/\\])[^()"/\\]*+)*+) \)
            (?:{_SPACE}(?P<opens>\{{))? )
      | (?P<closes>\}}) )""",
    re.VERBOSE | re.DOTALL,
)
_BETWEEN: Final = re.compile(rf"(?:[\s;]++|{_COMMENT}|{_JOINT})*+", re.DOTALL)
_COMMENTS: Final = re.compile(rf"{_STRING}|({_COMMENT})", re.DOTALL)
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_JOINTS: Final = re.compile(_JOINT)
_ESCAPE: Final = re.compile(r'\\(["\\])')
_NAMES: Final = re.compile(r"[^\s,]+")
_LINE: Final = re.compile(r"[^\r\n]{0,30}")
# What a Liberty file is written in. Comments, where names and copyright signs stand, may have any byte.
_PLAIN: Final = bytes((*b"\t\n\v\f\r", *range(0x20, 0x7F)))
_FOREIGN: Final = re.compile(r"[^\t\n\v\f\r -~]")

# Models that nothing here reads, and that may be most of a file: only their grammar is checked.
_UNREAD: Final = re.compile(
    r"(?:output_current|receiver_capacitance|ccsn?_|dc_current|propagated_noise|noise_|steady_state|"
    r"normalized_driver|ocv_|char_config|dynamic_current|intrinsic_parasitic|hyperbolic_noise|iv_lut|"
    r"pg_current|propagation_lut|output_voltage|input_voltage|operating_conditions|wire_load|poly_template)"
)
# Where a file says two things, no tool can know which one it means.
_ONCE: Final = frozenset((
    "area", "capacitance", "capacitive_load_unit", "clocked_on", "direction", "dont_use", "fall_capacitance",
    "function", "index_1", "index_2", "index_3", "next_state", "related_pin", "rise_capacitance",
    "time_unit", "timing_sense", "timing_type", "values", "variable_1", "variable_2",
))  # fmt: skip


class LibertyError(ValueError):
    """A Liberty file that cannot be read.

    Args:
        reason: What is wrong.
        position: Where it is in the text; None where that is no one place, or is told by the reason.
    """

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position

    def at(self, text: str) -> str:
        """Return the reason with its line."""
        if self.position is None:
            return self.reason
        return f"{self.reason} in line {text.count(chr(10), 0, self.position) + 1}"


@dataclass(slots=True)
class LibertyGroup:
    """A Liberty group.

    Attributes:
        kind: Its name: ``cell``, ``pin``, ``timing``, ...
        argument: What stands in its parentheses, without quotes; several names with a comma between them.
        attributes: Its simple and complex attributes, the latter as they stand in their parentheses.
        groups: The groups in it.
        position: Where it begins in its file's text.
    """

    kind: str
    argument: str
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list["LibertyGroup"] = field(default_factory=list)
    position: int = field(default=0, compare=False, repr=False)

    def of(self, *kinds: str) -> Iterator["LibertyGroup"]:
        """The groups in it of these kinds."""
        return (group for group in self.groups if group.kind in kinds)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in its parentheses."""
        return tuple(self.argument.split(", ")) if self.argument else ()


def parse_liberty(text: str) -> LibertyGroup:
    """Return the library group of a file's text.

    Raises:
        LibertyError: If there is a character outside comments that no Liberty file has, something that is no
            statement, a group without an end, not one library
            group, or an attribute with two values.
    """
    _check_characters(text)
    root = LibertyGroup("", "")
    # The open groups; None is one of which only the grammar is checked.
    group: LibertyGroup | None = root
    stack: list[LibertyGroup | None] = []
    opened: list[int] = []
    position = 0
    match = _STATEMENT.match
    once = _ONCE
    while (statement := match(text, position)) is not None:
        position = statement.end()
        name, string, value, arguments, opens, _ = statement.groups()
        if name is None:
            if not stack:
                raise LibertyError("a closing brace too many", position)
            group = stack.pop()
            opened.pop()
        elif opens is not None:
            start = statement.start("name")
            opened.append(start)
            stack.append(group)
            if group is not None:
                if _UNREAD.match(name):
                    group = None
                else:
                    inner = LibertyGroup(name, _argument(arguments, start), position=start)
                    group.groups.append(inner)
                    group = inner
        elif group is not None:
            if arguments is not None:
                value = _without_comments(arguments, position) if "/" in arguments else arguments
            elif string is not None:
                value = string[1:-1].strip()
                if "\\" in value:
                    value = _ESCAPE.sub(r"\1", _JOINTS.sub(" ", value)).strip()
            else:
                value = _unquoted(value, position)
            known = group.attributes.setdefault(name, value)
            if known != value:
                if name in once:
                    what = f"{group.kind} {group.argument}".strip()
                    raise LibertyError(f"{what} has {name} twice", statement.start("name"))
                group.attributes[name] = value
    _check_end(text, position, opened)
    libraries = list(root.of("library"))
    if len(libraries) != 1:
        raise LibertyError(f"it has {len(libraries)} library groups")
    if len(root.groups) != 1 or root.attributes:
        raise LibertyError("something stands beside its library group")
    return libraries[0]


def _check_characters(text: str) -> None:
    # A fast look first; where it finds something, comments may have been the place.
    if text.encode("latin-1", "replace").translate(None, _PLAIN) or not text.isascii():
        plain = _COMMENTS.sub(lambda found: " " * len(found[0]) if found[1] else found[0], text)
        if foreign := _FOREIGN.search(plain):
            raise LibertyError(f"byte 0x{ord(foreign[0]):02x}", foreign.start())


def _argument(arguments: str, position: int) -> str:
    if "/" in arguments:
        arguments = _without_comments(arguments, position)
    if '"' in arguments or "\\" in arguments:
        arguments = _JOINTS.sub(" ", arguments).replace('"', " ")
    return ", ".join(_NAMES.findall(arguments))


def _without_comments(text: str, position: int) -> str:
    plain = _COMMENTS.sub(lambda found: " " if found[1] else found[0], text)
    if "/*" in _STRINGS.sub("", plain):
        raise LibertyError("a comment is never closed", position)
    return plain


def _unquoted(text: str, position: int) -> str:
    if "/" in text:
        text = _without_comments(text, position)
    if "\\" in text:
        text = _JOINTS.sub(" ", text)
    return text.strip()


def _check_end(text: str, position: int, opened: list[int]) -> None:
    """Refuse what is left of a text behind its last statement."""
    between = _BETWEEN.match(text, position)
    start = between.end() if between else position
    if start == len(text):
        if opened:
            line = text.count("\n", 0, opened[-1]) + 1
            raise LibertyError(f"the brace in line {line} is never closed")
        return
    if text.startswith("/*", start):
        raise LibertyError("a comment is never closed", start)
    seen = _LINE.match(text, start)
    raise LibertyError(f"no statement starts with {seen[0].rstrip() if seen else ''!r}", start)
