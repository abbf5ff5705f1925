import importlib.metadata
import subprocess
import sys

import pytest

COMMANDS = (
    "verilog",
    "simulate",
    "bench",
    "prove",
    "mutants",
    "soak",
    "coverage",
    "vectors",
    "area",
    "quantize",
    "evaluate",
    "theory",
    "tools",
    "demo",
)


def test_version_is_the_package_s(blockdot):
    done = blockdot("--version")
    assert (done.code, done.out) == (0, f"blockdot {importlib.metadata.version('blockdot')}\n")


def test_help_names_every_command(blockdot):
    done = blockdot("--help")
    assert done.code == 0
    assert all(f" {command} " in done.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(blockdot, command):
    done = blockdot(command, "--help")
    assert done.code == 0
    assert f"blockdot {command}" in done.out or f"Usage: {command}" in done.out or "Usage:" in done.out
    assert "--help" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'."),
        (["verilog", "--zigzag"], "No such option: --zigzag"),
        (["verilog", "--block-size", "many"], "--block-size must be a whole number, not 'many'"),
        (["theory", "--sigma", "small"], "--sigma must be a number, not 'small'"),
        (["prove"], "Missing argument 'SPEC'."),
        (
            ["simulate", "--engine", "modelsim"],
            "--engine must be one of pysim, cxxrtl, verilator, icarus, not 'modelsim'",
        ),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(refused, arguments, message):
    assert refused(*arguments) == message


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_has_words_for_what_options_take(blockdot, command):
    told = blockdot(*([] if command is None else [command]), "--help").out
    assert "<bool>" not in told
    assert "list[" not in told


def test_the_module_runs_as_the_command_does():
    done = subprocess.run(
        [sys.executable, "-m", "blockdot", "verilog", "--block-size", "12"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "blockdot: block_size must be a power of two from 2 to 128, not 12\n"


def test_quantizing_imports_neither_amaranth_nor_yosys(matrix):
    program = (
        "import sys; from blockdot.cli.app import run; "
        f"code = run(['quantize', {str(matrix)!r}]); "
        "print(code, sorted({'amaranth', 'pyosys', 'cocotb'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
def test_an_interruption_is_told_in_one_line(blockdot, monkeypatch, error):
    def interrupted() -> None:
        raise error

    monkeypatch.setattr("blockdot.base.external_tools.find_all", interrupted)
    done = blockdot("tools")
    assert (done.code, done.out) == (130, "")
    assert done.err.strip() == "blockdot: interrupted"
