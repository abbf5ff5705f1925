"""The command line: which commands there are, and how their errors are told."""

import functools
import importlib.metadata
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

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

app = typer.Typer(
    name="blockdot",
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
    app.command()(_command if _extra is None else _naming_its_extra(_command, _extra))


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

    See `run`.
    """
    sys.exit(run(arguments))


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
    text = told() if told else str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.strerror}: {error.filename}"
    return " ".join(text.split()) or type(error).__name__
