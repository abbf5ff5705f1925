import threading

import numpy as np
import pytest
from blockdot.hw import DotUnit, to_cxxrtl
from blockdot.model import DotSpec
from blockdot.sim import compare, random, run
from blockdot.sim.cxxrtl import build, split

UNIT = DotUnit(DotSpec(scale="ue4m3", block_size=2), stages=1)


def test_a_unit_that_does_not_settle_in_one_pass_gives_the_same(looping, build_dir, same, seed):
    assert "bool converged = false;" in to_cxxrtl(looping)
    assert "bool converged = true;" in to_cxxrtl(UNIT)
    stimulus = random(looping.spec, 300, seed=seed)
    response = run(looping, stimulus, engine="cxxrtl", build_dir=build_dir)
    assert same(response, run(UNIT, stimulus, engine="cxxrtl", build_dir=build_dir))
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
    assert "value<" not in "".join(line for line in cut.splitlines() if line in locals_ and False)


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


def test_two_builds_at_once_do_not_meet(tmp_path, seed):
    made: list[object] = []

    def work() -> None:
        made.append(build(UNIT, tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1]
    assert list(tmp_path.iterdir()) == [made[0]]


def test_a_relative_folder_will_do(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    stimulus = random(UNIT.spec, 10, seed=seed)
    assert compare(UNIT, stimulus, run(UNIT, stimulus, engine="cxxrtl", build_dir="."), engine="cxxrtl").equal


def test_a_long_run_agrees_with_the_model(build_dir, seed):
    stimulus = random(UNIT.spec, 50_000, seed=seed)
    response = run(UNIT, stimulus, engine="cxxrtl", build_dir=build_dir)
    np.testing.assert_array_equal(response.results, stimulus.expected())
