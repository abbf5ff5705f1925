"""The command line: which commands there are, and how their errors are told."""

import functools
import importlib.metadata
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from ..base.external_tools import ToolError
from .area import area
from .bench import bench
from .coverage import coverage
from .demo import demo
from .evaluate import evaluate
from .mutants import mutants
from .prove import prove
from .quantize import quantize
from .simulate import simulate
from .soak import soak
from .theory import theory
from .tools import tools
from .vectors import vectors
from .verilog import verilog

__all__ = ["main", "run"]

_INTERRUPTED: Final = 130
_TERMINATED: Final = 128 + signal.SIGTERM
# What an option takes, as help texts have it, by its type.
_VALUES: Final[dict[Any, str]] = {bool: "", int: "N", float: "X", str: "NAME", Path: "PATH"}
# What a value of an option must be that could not be read, by pydantic's name for the fault.
_RULES: Final = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
}


def _value(kind: Any) -> str | None:
    """Return what an option of a type takes, as help texts have it; None for choices, which help lists."""
    while get_origin(kind) is list or NoneType in get_args(kind):
        kind = next(one for one in get_args(kind) if one is not NoneType)
    return _VALUES.get(kind)


def _with_values(options: list[Any], callback: Callable[..., Any] | None) -> list[Any]:
    """Return the options of a command, each with a word for what it takes, and a flag with none."""
    kinds = {} if callback is None else get_type_hints(callback)
    for option in options:
        if option.param_type_name == "option" and option.metavar is None:
            option.metavar = _value(kinds.get(option.name, bool))
    return options


class _Command(TyperCommand):
    """A command whose help has a word for what each option takes, and none for a flag."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_values(super().get_params(ctx), self.callback)


class _Group(TyperGroup):
    """The same of the command above all others."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _with_values(super().get_params(ctx), self.callback)


app = typer.Typer(
    name="blockdot",
    cls=_Group,
    help="Design, check and price FP4 block dot-product units.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # "rich" takes "[default: 16]" in a help text for a tag, and drops it
    context_settings={"help_option_names": ["-h", "--help"]},
)
# What each command needs beyond the base dependencies: the extra that brings all of it.
_COMMANDS: Final[dict[Callable[..., None], str | None]] = {
    verilog: "hw",
    simulate: "sim",
    bench: "sim",
    prove: "sim",
    mutants: "sim",
    soak: "sim",
    coverage: "sim",
    vectors: "hw",
    area: "synth",
    quantize: None,
    evaluate: "evaluate",
    theory: None,
    tools: None,
    demo: "demo",
}


def _naming_its_extra(command: Callable[..., None], extra: str) -> Callable[..., None]:
    """Return a command that says, where a package is missing, which extra brings it."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        try:
            command(**options)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in ("", "blockdot"):
                raise
            raise ToolError(
                f"{package} must be installed for {command.__name__}, not missing: "
                f"pip install 'blockdot[{extra}]'"
            ) from error

    return run


for _command, _extra in _COMMANDS.items():
    app.command(cls=_Command)(_command if _extra is None else _naming_its_extra(_command, _extra))


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"blockdot {importlib.metadata.version('blockdot')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Design, check and price FP4 block dot-product units."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    See `run`. Ended by SIGTERM, it ends the programs that it started, and leaves with 143.
    """
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(arguments))


def _terminate(*_: object) -> None:
    raise SystemExit(_TERMINATED)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 is success, 1 a result that is a failure (a mismatch), 2 bad input or a missing tool, told in one line
    on standard error, 130 an interruption.

    Args:
        arguments: What stands behind ``blockdot`` on the command line; `sys.argv` where it is None.
    """
    # A unit that is refused, or made only to be described, is one that Amaranth never elaborates.
    warnings.filterwarnings("ignore", message=".*created but never used", category=Warning)
    try:
        # By its name whatever started it, such as `python -m blockdot`: shells ask for completions by it.
        code: Any = app(arguments, prog_name="blockdot", standalone_mode=False)
        sys.stdout.flush()
        if code == _INTERRUPTED:  # typer makes an exit of an interruption, and tells nobody
            raise KeyboardInterrupt
    except (KeyboardInterrupt, typer.Abort):
        print("blockdot: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain again when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (typer.TyperException, ValueError, OSError, RuntimeError) as error:
        print(f"blockdot: {_one_line(error)}", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0


def _one_line(error: BaseException) -> str:
    told = getattr(error, "format_message", None)  # what typer and click errors say of themselves
    text = _wrong_value(error) or (told() if told else str(error))
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.strerror}: {error.filename}"
    return " ".join(text.split()) or type(error).__name__


def _wrong_value(error: BaseException) -> str | None:
    """Return which option must be what, where a value cannot be read; None of any other error."""
    option = getattr(error, "param", None)
    if option is None or not isinstance(error, typer.BadParameter):
        return None
    name = next((one for one in option.opts if one.startswith("--")), option.name)
    faults: Callable[[], list[dict[str, Any]]] | None = getattr(error.__cause__, "errors", None)
    if faults is None:
        return f"{name} {error.message}" if error.message else None
    fault = faults()[0]
    choices = [one for one in get_args(option.type_descriptor.annotation) if isinstance(one, str)]
    rule = f"one of {', '.join(choices)}" if choices else _RULES.get(fault["type"])
    return None if rule is None else f"{name} must be {rule}, not {fault['input']!r}"
