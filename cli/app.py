"""The command line: which commands there are, and how their errors are told."""

import importlib.metadata
import os
import sys
import warnings
from typing import Annotated, Any

import typer

from .area import area
from .bench import bench
from .coverage import coverage
from .demo import demo
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

app = typer.Typer(
    name="blockdot",
    help="Design, check and price FP4 block dot-product units.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # "rich" takes "[default: 16]" in a help text for a tag, and drops it
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    verilog,
    simulate,
    bench,
    prove,
    mutants,
    soak,
    coverage,
    vectors,
    area,
    quantize,
    theory,
    tools,
    demo,
):
    app.command()(command)


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
        code: Any = app(arguments, standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("blockdot: interrupted", file=sys.stderr)
        return 130
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
