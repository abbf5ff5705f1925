"""Hostile surroundings: any specification, any bytes, a disk that fills, runs that are killed or meet."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from blockdot.cli.app import run as blockdot_in_process
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim import random, run
from blockdot.verify.compare import compare
from blockdot.verify.conformance import read, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ELEMENTS = ["e2m1", "e2m3", "e4m3", "int8"]
SCALES = ["ue4m3", "ue5m3", "ue8m0", "ue4m4", "ue5m3_ieee", "ue4m3_full", "ue2m0", "ue3m1"]


@st.composite
def parameters(draw: st.DrawFn) -> dict:
    """Parameters of a specification, legal or not; the ports they ask for stay narrow."""
    pair = st.sampled_from(ELEMENTS)
    return {
        "element": draw(st.one_of(st.just("e2m1"), pair, st.tuples(pair, pair))),
        "scale": draw(
            st.one_of(st.sampled_from(SCALES), st.tuples(st.sampled_from(SCALES), st.sampled_from(SCALES)))
        ),
        "block_size": draw(st.sampled_from([2, 4, 3, 0, 256])),
        "blocks": draw(st.sampled_from([1, 1, 2, 3])),
        "accumulate": draw(st.sampled_from(["none", "fp32", "exact", "aligned", "kulisch"])),
        "guard": draw(st.integers(-1, 31)),
        "fraction": draw(st.integers(-1, 53)),
    }


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn=parameters(), optimise=st.sampled_from(["area", "delay"]), seed=st.integers(0, 1000))
def test_any_legal_specification_builds_and_matches_and_any_other_says_why(drawn, optimise, seed):
    spec, refusal = None, ""
    try:
        spec = DotSpec(**drawn)
    except ValueError as error:
        refusal = str(error)
    if spec is None:
        assert " must " in refusal
        assert "\n" not in refusal
        return
    assert DotSpec.parse(spec.name) == spec
    unit = DotUnit(spec, stages=int(spec.accumulates), optimise=optimise)
    stimulus = random(spec, 12, seed=seed, stalls=False)
    assert compare(unit.config, stimulus, run(unit, stimulus, engine="pysim"), engine="pysim").equal, (
        spec.name
    )


COMMAND = [sys.executable, "-m", "blockdot"]
UNIT = ["--scale", "ue2m0", "--block-size", "2"]


def _small_disk() -> None:
    """Let no file grow beyond 1500 bytes: what a full disk does, without one."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))


@pytest.mark.parametrize(
    "arguments",
    [
        ["vectors", "e2m1_ue2m0_n2_none", "-o", "out"],
        ["quantize", "matrix.npy", "-o", "out.safetensors", "--scale", "ue4m3"],
    ],
)
def test_a_disk_that_fills_is_one_line_and_leaves_nothing(arguments, matrix, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    np.save(matrix, np.ones((64, 64), np.float32))
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        preexec_fn=_small_disk,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2, done
    assert done.stderr.startswith("blockdot: ")
    assert done.stderr.count("\n") == 1
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file()]
    assert left == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_output_that_fills_is_one_line(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "tools"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_killed_run_leaves_a_folder_that_the_next_one_uses(tmp_path):
    arguments = [*COMMAND, "simulate", *UNIT, "--engine", "cxxrtl", "--vectors", "200", "--json"]
    killed = subprocess.Popen(
        arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    for _ in range(400):  # until the compiler is at work
        if list(tmp_path.glob("build/sim/*")) or list(tmp_path.glob("build/sim/.*")):
            break
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mismatches"] == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the test looks for processes in /proc")
def test_a_run_that_is_terminated_ends_what_it_started(tmp_path):
    place = tmp_path / "tmp"
    place.mkdir()
    options = ["--target", "ice40", "--scale", "ue4m3", "--block-size", "4", "--accumulate", "fp32"]
    process = subprocess.Popen(
        [*COMMAND, "area", *options],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(place)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(1200):  # until Yosys is at work
            if list(place.glob("blockdot-*/job*/job.json")):
                break
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert list(place.glob("blockdot-*")) == []
    environments = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            environments.append(entry.read_bytes())
    assert not any(f"TMPDIR={place}".encode() in one for one in environments)


def test_two_runs_in_one_folder_at_once(tmp_path):
    arguments = [*COMMAND, "simulate", *UNIT, "--engine", "cxxrtl", "--vectors", "300", "--json"]
    both = [
        subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = []
    for process in both:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        told.append(json.loads(out))
    assert [one["mismatches"] for one in told] == [0, 0]
    assert told[0]["cycles"] == told[1]["cycles"]


def test_cut_and_changed_vectors_are_refused(tmp_path, rng):
    spec = DotSpec(scale="ue2m0", block_size=2)
    write(spec, tmp_path, vectors=20)
    place = tmp_path / f"{spec.name}.json"
    whole = place.read_bytes()
    for cut in rng.integers(0, len(whole) - 2, 25):
        place.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"^vectors must be described by a JSON file, not "):
            read(place)
    for text in ("[]", "3", "null", '{"vectors_version": 1, "files": [], "spec": {"name": 4}}'):
        place.write_text(text)
        with pytest.raises(ValueError, match=r"^vectors must be described by a JSON file, not "):
            read(place)
    place.write_bytes(whole)
    archive = tmp_path / f"{spec.name}.npz"
    octets = bytearray(archive.read_bytes())
    octets[int(rng.integers(len(octets)))] ^= 1
    archive.write_bytes(octets)
    with pytest.raises(ValueError, match=r"must be the file that .* describes, not another$"):
        read(place)


@pytest.mark.parametrize("name", ["x.lib", "x.lib.gz"])
def test_any_bytes_in_the_place_of_a_library(name, tmp_path, monkeypatch, capsys, rng):
    monkeypatch.chdir(tmp_path)
    good = b'library (x) { cell (A) { area : 1; pin (Y) { direction : output; function : "A"; } } }'
    for trial in range(12):
        octets = (
            rng.integers(0, 256, 60, dtype=np.uint8).tobytes() if trial % 2 else good[: int(rng.integers(80))]
        )
        (tmp_path / name).write_bytes(octets)
        assert blockdot_in_process(["area", *UNIT, "--liberty", name]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("blockdot: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize("octets", [b"", b"[", b"[]", b"{}", b"\xff\xfe", b'{"schema": 3}', b"null"])
def test_any_bytes_in_the_place_of_a_report(octets, refused, tmp_path):
    (tmp_path / "old.json").write_bytes(octets)
    message = refused("area", *UNIT, "--compare", "old.json")
    assert message.startswith("report must be ")
