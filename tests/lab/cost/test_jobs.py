import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from blockdot.hw import UnitConfig
from blockdot.lab.cost import measurement_bench
from blockdot.lab.cost.jobs import measure_all
from blockdot.lab.cost.measurement_bench import MeasurementBench
from blockdot.lab.cost.measurement_job import MeasurementJob
from blockdot.model import DotSpec
from blockdot.synth.flow import Synthesizer
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import choose
from blockdot.synth.yosys import SynthesisError
from messages import check_messages

RECIPES = tuple(choose(["a2"]))


def jobs(*scales: str, orders: int = 1) -> list[MeasurementJob]:
    units = [UnitConfig(DotSpec(scale=scale, block_size=2), stages=0) for scale in scales]
    return [MeasurementJob(unit, order, RECIPES, RECIPES) for unit in units for order in range(orders)]


class Counted:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.netlists = 0
        real = Synthesizer.mapped_by

        def synthesize(synthesizer: Synthesizer, netlists, recipes):
            self.netlists += len(netlists)
            return real(synthesizer, netlists, recipes)

        monkeypatch.setattr(Synthesizer, "mapped_by", synthesize)


def test_two_processes_find_what_one_finds(tmp_path: Path, synthesis_cache: Path):
    wanted = [*jobs("ue4m3", "ue5m3"), *jobs("ue4m3")]
    seen: list[tuple[int, int, str]] = []
    alone = measure_all(wanted, neutral(), workers=1, cache=synthesis_cache)
    together = measure_all(
        wanted, neutral(), workers=2, cache=tmp_path, progress=lambda *state: seen.append(state)
    )
    assert together == alone
    assert together[0] == together[2]
    assert [done for done, _, _ in seen] == [0, 1, 2]
    assert {total for _, total, _ in seen} == {2}


def test_nothing_is_measured_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    counted = Counted(monkeypatch)
    first = measure_all(jobs("ue4m3"), neutral(), workers=1, cache=tmp_path)
    made = counted.netlists
    assert made > 1
    # Of another unit, the components that both have are known already.
    measure_all(jobs("ue5m3"), neutral(), workers=1, cache=tmp_path)
    assert made < counted.netlists < 2 * made
    made = counted.netlists

    def no_netlist(*_: object) -> tuple[str, str]:
        raise AssertionError

    monkeypatch.setattr(MeasurementBench, "measure", no_netlist)
    assert measure_all(jobs("ue4m3"), neutral(), workers=1, cache=tmp_path) == first
    assert counted.netlists == made


def test_another_generator_makes_netlists_anew_and_finds_equal_ones(tmp_path: Path, monkeypatch):
    counted = Counted(monkeypatch)
    first = measure_all(jobs("ue4m3"), neutral(), workers=1, cache=tmp_path)
    made = counted.netlists
    monkeypatch.setattr(measurement_bench, "generator", lambda: "another")
    assert measure_all(jobs("ue4m3"), neutral(), workers=1, cache=tmp_path) == first
    assert counted.netlists == made


@pytest.mark.parametrize("text", ["", "{}", "null\n"])
def test_a_damaged_sample_is_measured_again(tmp_path: Path, text: str):
    # Without components, which are kept and lost in the same way.
    wanted = [replace(job, part_recipes=()) for job in jobs("ue4m3")]
    first = measure_all(wanted, neutral(), workers=1, cache=tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_text(text)
    assert measure_all(wanted, neutral(), workers=1, cache=tmp_path) == first


def test_an_error_in_a_worker_is_told_and_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    bad = MeasurementJob(UnitConfig(DotSpec(block_size=2), stages=0), 0, tuple(choose(["a1"])))
    bad = MeasurementJob(bad.unit, 0, (type(bad.recipes[0])("mine", "area", "strash; nonsense"),))
    message = "Yosys must synthesize blockdot_e2m1_ue5m3_n2_none_s0, not end with: unknown command 'nonsense'"
    with pytest.raises(SynthesisError) as caught:
        measure_all([bad, *jobs("ue4m3", orders=3)], neutral(), workers=2)
    assert str(caught.value) == message
    assert not list(tmp_path.glob("blockdot-synth-*"))


def test_parameters():
    check_messages(
        [
            (
                ValueError,
                "workers must be at least 1, not 0",
                lambda: measure_all(jobs(), neutral(), workers=0),
            ),
            (
                TypeError,
                "workers must be an integer, not 1.5",
                lambda: measure_all(jobs(), neutral(), workers=1.5),  # type: ignore[arg-type]
            ),
        ]
    )


SWEEP = """
    import signal
    import sys
    from pathlib import Path
    from blockdot.synth import neutral
    from blockdot.synth.recipes import choose
    from blockdot.hw import UnitConfig
    from blockdot.lab.cost.measurement_job import MeasurementJob
    from blockdot.lab.cost.jobs import measure_all
    from blockdot.model import DotSpec

    if __name__ == "__main__":
        # In a shell's background Ctrl-C is ignored, and what it starts inherits that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        recipes = tuple(choose(["a2"]))
        unit = UnitConfig(DotSpec(block_size=2), stages=0)
        jobs = [MeasurementJob(unit, order, recipes) for order in range(40)]
        measure_all(
            jobs, neutral(), workers=2, cache=sys.argv[1],
            progress=lambda done, total, name: print(done, flush=True),
        )
"""


def test_a_script_without_a_main_part_is_told(tmp_path: Path):
    script = tmp_path / "sweep.py"
    script.write_text(textwrap.dedent(SWEEP).replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "workers must live until their jobs are done, not be killed, nor die at once" in done.stderr


def processes_in(place: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"TMPDIR={place}".encode() in environment:
                found.append(entry.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the test looks for processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_broken_off_leaves_nothing_running_and_its_results(
    tmp_path: Path, sent: signal.Signals
):
    place, cache, script = tmp_path / "tmp", tmp_path / "cache", tmp_path / "sweep.py"
    place.mkdir()
    script.write_text(textwrap.dedent(SWEEP))
    process = subprocess.Popen(
        [sys.executable, str(script), str(cache)],
        env=os.environ | {"TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert [line.strip() for line in lines] == ["0", "1", "2"]
        process.send_signal(sent)
        process.wait(timeout=60)
        process.stdout.close()
    finally:
        process.kill()
    assert process.returncode == -sent
    deadline = time.monotonic() + 60
    while processes_in(place) or list(place.glob("blockdot-*")):
        assert time.monotonic() < deadline, (processes_in(place), list(place.iterdir()))
        time.sleep(0.05)
    samples = [
        MeasurementJob(UnitConfig(DotSpec(block_size=2), stages=0), order, RECIPES) for order in range(40)
    ]
    bench = MeasurementBench(neutral(), cache)
    assert sum(bench.known(job) is not None for job in samples) >= 2
