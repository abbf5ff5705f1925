import threading
from pathlib import Path

import numpy as np
import pytest
from blockdot.hw import DotUnit, to_cxxrtl
from blockdot.model import DotSpec
from blockdot.sim import compare, random, run
from blockdot.sim.cxxrtl import build, split

# The same as one of test_engines, which is then compiled once.
UNIT = DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="exact"), stages=2)


def test_a_unit_that_does_not_settle_in_one_pass_gives_the_same(looping, build_dir, same, seed):
    assert "bool converged = false;" in to_cxxrtl(looping)
    assert "bool converged = true;" in to_cxxrtl(UNIT)
    stimulus = random(looping.spec, 150, seed=seed)
    response = run(looping, stimulus, engine="cxxrtl", build_dir=build_dir)
    assert same(response, run(looping, stimulus))
    assert compare(looping, stimulus, response, engine="cxxrtl").equal


def test_split_keeps_every_statement_in_its_order(monkeypatch):
    monkeypatch.setattr("blockdot.sim.cxxrtl._FUNCTION_LENGTH", 1000)
    source = to_cxxrtl(UNIT)
    cut = split(source)
    assert cut.count("__attribute__((noinline)) void") > 5

    def statements(text: str) -> list[str]:
        body = text[text.index("::eval") :]
        return [
            line
            for line in body.splitlines()
            if line.startswith("\t")
            and not line.startswith(("\tvalue<", "\tbool", "\teval_", "\treturn", "\t//"))
        ]

    assert statements(cut) == statements(source)
    # Every local has become a member, and each is there once.
    locals_ = [line for line in source[source.index("::eval") :].splitlines() if line.startswith("\tvalue<")]
    assert locals_
    for line in locals_:
        assert cut[: cut.index("::eval")].count(f"{line}\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int main() {}\n",
        # What a hierarchy would look like: the cells have a say in whether the logic has settled.
        "\tbool eval(performer *performer = nullptr) override;\n"
        "bool p_x::eval(performer *performer) {\n\tbool converged = true;\n"
        "\tconverged &= cell.eval();\n\treturn converged;\n}\n",
    ],
)
def test_split_leaves_alone_what_it_does_not_know(text):
    assert split(text) == text


@pytest.fixture
def slow_compiler(tmp_path, monkeypatch):
    """A compiler that takes half a second for an empty library, and keeps a record of its calls."""
    path = tmp_path / "c++"
    record = tmp_path / "calls"
    path.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then echo slow; exit; fi\n'
        f"echo called >> {record}\n"
        "sleep 0.5\n"
        'while [ "$1" != -o ]; do shift; done\n'
        'touch "$2"\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return record


def test_two_builds_at_once_do_not_meet(slow_compiler, tmp_path):
    folder = tmp_path / "made"
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(build(UNIT, folder))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1]
    assert list(folder.iterdir()) == [made[0]]
    assert slow_compiler.read_text().count("called") in (1, 2)


def test_what_is_built_is_used_again_until_something_changes(slow_compiler, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("made")
    first = build(UNIT, folder)
    assert first.is_absolute()
    assert build(UNIT, folder) == first
    assert slow_compiler.read_text().count("called") == 1
    other = build(DotUnit(UNIT.spec, stages=1), folder)
    assert other != first
    monkeypatch.setattr("blockdot.sim.cxxrtl.FLAGS", ("-O0",))
    assert build(UNIT, folder) not in (first, other)
    assert slow_compiler.read_text().count("called") == 3
    assert len(list(folder.iterdir())) == 3


def test_a_long_run_agrees_with_the_model(build_dir, seed):
    stimulus = random(UNIT.spec, 50_000, seed=seed)
    response = run(UNIT, stimulus, engine="cxxrtl", build_dir=build_dir)
    np.testing.assert_array_equal(response.results, stimulus.expected())
