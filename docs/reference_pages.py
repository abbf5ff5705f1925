"""The pages of the site that are made: the reference, from the commands and the docstrings.

They are made while the site is built, so that they cannot be out of date.
"""

import ast
import html
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import typer
from blockdot.cli.app import app

__all__ = ["ROOMS", "command_page", "made_pages", "modules", "package_page"]

ROOMS: Final = ("model", "frameworks", "hw", "synth", "sim", "verify", "lab", "base")
"""The import packages of the reference, in its order."""

_ROOT: Final = Path(__file__).resolve().parents[1]


def made_pages() -> dict[str, str]:
    """Return the pages as Markdown, by the names of their files."""
    return {
        "reference/commands.md": command_page(),
        "reference/python/index.md": _package_index(),
        **{f"reference/python/{room}.md": package_page(room) for room in ROOMS},
        "contributing.md": _top_page("CONTRIBUTING.md"),
        "changelog.md": _top_page("CHANGELOG.md"),
    }


def _top_page(name: str) -> str:
    """Return a page of the repository's top folder, its links to this folder made to work from here."""
    text = (_ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)
    return text.replace("](CHANGELOG.md)", "](changelog.md)")


def command_page() -> str:
    """Return the reference of the commands: what ``blockdot COMMAND --help`` says, as Markdown."""
    return "\n".join(_command_lines()) + "\n"


def _command_lines() -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    yield "# Commands"
    yield ""
    yield f"{group.help} This page is made from the commands themselves."
    yield ""
    yield (
        "Exit codes: 0 for success; 1 for a result that is a failure, such as a mismatch; 2 for bad input or "
        "a missing tool, told in one line on standard error; 130 for an interruption."
    )
    yield ""
    for name, command in group.commands.items():
        yield f"## blockdot {name}"
        yield ""
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        shown = " ".join(_argument(one) for one in arguments)
        yield "```text"
        yield f"blockdot {name} [OPTIONS]" + (f" {shown}" if shown else "")
        yield "```"
        yield ""
        yield inspect.cleandoc(command.help or "")
        yield ""
        panels: dict[str, list[Any]] = {"Arguments": arguments} if arguments else {}
        for one in command.params:
            if one.param_type_name == "option" and not one.hidden:
                panels.setdefault(one.rich_help_panel or "Options", []).append(one)
        for panel, options in panels.items():
            yield f"**{panel}**"
            yield ""
            yield "| | | default |"
            yield "|---|---|---|"
            for one in options:
                yield f"| {_names(one)} | {_cell(one.help or '')} | {_default(one)} |"
            yield ""


def _argument(argument: Any) -> str:
    shown = (argument.metavar or argument.name).upper()
    shown += "..." if argument.nargs == -1 else ""
    return shown if argument.required else f"[{shown}]"


def _names(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{_argument(option)}`"
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    metavar = option.metavar or ("" if option.is_flag else "VALUE")
    choices = [one for one in get_args(option.type_descriptor.annotation) if isinstance(one, str)]
    choices = choices or (metavar.split("|") if "|" in metavar else [])  # a "|" would end the table's cell
    told = " ".join(f"`{one}`" for one in choices) or html.escape(metavar)
    return f"{names} {told}".strip() + (", may be repeated" if option.multiple else "")


def _default(option: Any) -> str:
    value = option.default
    if option.required:
        return "required"
    if value is None or value is False or callable(value) or value in ((), []):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(f"`{one}`" for one in value)
    return "on" if value is True else f"`{value}`"


def _cell(text: str) -> str:
    """Return a text as the cell of a table can hold it; what is code stays as it is."""
    pieces = re.split(r"(`+[^`]*`+)", re.sub(r"\s+", " ", text).replace("|", "\\|"))
    plain = [one.replace("*", "\\*").replace("<", "&lt;") for one in pieces[::2]]
    return "".join(one + code for one, code in zip(plain, [*pieces[1::2], ""], strict=True))


def modules(room: str) -> list[tuple[str, str]]:
    """Return the modules of a room that have public names, and the first line of what each says of itself."""
    found: list[tuple[str, str]] = []
    for path in sorted((_ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        ]
        inner = path.relative_to(_ROOT).with_suffix("").parts
        if "__all__" in names and inner[-1] != "__init__":
            summary = (ast.get_docstring(tree) or "").partition("\n")[0]
            found.append((".".join(("blockdot", *inner)), summary))
    return found


def package_page(room: str) -> str:
    """Return the reference of a room: each of its modules, from the docstrings."""
    lines = [f"# blockdot.{room}", ""]
    for name, _ in modules(room):
        lines += [f"::: {name}", ""]
    return "\n".join(lines)


def _package_index() -> str:
    lines = [
        "# Python reference",
        "",
        "Made from the docstrings. The folder of the repository that holds `blockdot.model` is `model/`, and "
        "so on. [Architecture](../../architecture.md) says what each is for.",
        "",
    ]
    for room in ROOMS:
        lines += [f"## [blockdot.{room}]({room}.md)", "", "| module | |", "|---|---|"]
        lines += [f"| [`{name}`][{name}] | {_cell(summary)} |" for name, summary in modules(room)]
        lines.append("")
    return "\n".join(lines)
