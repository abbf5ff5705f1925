"""The compiler's stand-in, with a compiler that says how often it was called."""

import sys
from pathlib import Path

import pytest
from blockdot.sim.engines.verilator_objects import compile_or_copy

COMPILER = """
import pathlib, sys
calls = pathlib.Path("calls")
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
source = pathlib.Path(next(one for one in sys.argv if one.endswith(".cpp"))).read_text()
if "error" in source:
    sys.exit(3)
pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).write_text(f"{source} {sys.argv[1:-5]}")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "include").mkdir()
    (tmp_path / "include/verilated.cpp").write_text("library")
    (tmp_path / "compiler.py").write_text(COMPILER)
    return tmp_path


def make(here: Path, *flags: str, source: str = "include/verilated.cpp") -> tuple[int, str, int]:
    """Compile; return the status, what came out, and how often the compiler was called so far."""
    output = here / "verilated.o"
    output.unlink(missing_ok=True)
    # As make calls it: flags, then -c -o and the output, then the source.
    command = [sys.executable, "compiler.py", *flags, "-c", "-o", "verilated.o", str(here / source)]
    status = compile_or_copy(here / "kept", command)
    return status, output.read_text() if output.exists() else "", len((here / "calls").read_text())


def test_a_file_of_the_library_is_compiled_once(here):
    first = make(here, "-O1")
    assert first == (0, first[1], 1)
    assert first[1].startswith("library")
    assert make(here, "-O1") == first
    # Other flags, or another text, are another object.
    assert make(here, "-O2")[2] == 2
    (here / "include/verilated.cpp").write_text("another")
    status, text, calls = make(here, "-O1")
    assert (status, calls) == (0, 3)
    assert text.startswith("another")
    assert len(list((here / "kept").iterdir())) == 3


@pytest.mark.parametrize("source", ["include/Vtop.cpp", "verilated.cpp"])
def test_all_else_is_compiled_each_time(here, source):
    (here / source).write_text("design")
    assert [make(here, source=source)[2] for _ in range(2)] == [1, 2]
    assert not (here / "kept").exists()


def test_what_does_not_compile_is_not_kept(here):
    (here / "include/verilated.cpp").write_text("error")
    assert [make(here) for _ in range(2)] == [(3, "", 1), (3, "", 2)]
    assert not (here / "kept").exists()
