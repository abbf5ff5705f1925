"""Imports point one way, and numbers and synthesis load without Amaranth and PyTorch."""

import ast
import importlib.resources
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each room may import itself and the rooms named here. `studies` and `benchmarks` are used by nobody.
STAIR = ["base", "model", "hw", "sim", "verify", "lab", "cli"]
MAY_IMPORT: dict[str, set[str]] = {room: set(STAIR[:place]) for place, room in enumerate(STAIR)}
MAY_IMPORT["synth"] = {"base"}
MAY_IMPORT["frameworks"] = {"base", "model"}  # no room imports it: `blockdot.torch` does
for _room in ("sim", "verify", "lab", "cli"):  # `synth` stands beside `hw`: the rooms above may run Yosys
    MAY_IMPORT[_room] |= {"synth"}
for _room in ("studies", "benchmarks"):  # they use what is installed, all of it
    MAY_IMPORT[_room] = {*STAIR, "synth", "frameworks"}


def imported_modules(path: Path, package: str) -> list[str]:
    """The full names of what a file imports, in any place of it; `package` is the name of its folder."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found += [f"{module}.{alias.name}" for alias in node.names]
    return found


def forbidden_imports(root: Path, room: str) -> list[str]:
    """The imports in one room that its place on the stair forbids, as file: module."""
    own = room if room in ("studies", "benchmarks") else f"blockdot.{room}"
    wrong = []
    for path in sorted((root / room).rglob("*.py")):
        package = ".".join([own, *path.parent.relative_to(root / room).parts])
        for module in imported_modules(path, package):
            parts = module.split(".")
            used = parts[1] if parts[0] == "blockdot" and len(parts) > 1 else parts[0]
            if used in MAY_IMPORT and used != room and used not in MAY_IMPORT[room]:
                wrong.append(f"{path.relative_to(root)}: {module}")
    return wrong


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_rooms_below_it(room: str):
    assert (ROOT / room).is_dir()
    assert forbidden_imports(ROOT, room) == []


def test_every_folder_with_code_has_a_place_on_the_stair():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    folders = {name.split("/")[0] for name in listed.stdout.split()}
    assert folders - {"blockdot", "docs", "tests", "typings"} == set(MAY_IMPORT)


def test_every_package_is_in_the_wheel():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"blockdot": "blockdot"}
    for room in MAY_IMPORT.keys() - {"studies", "benchmarks"}:
        for file in (ROOT / room).rglob("__init__.py"):
            folder = file.parent.relative_to(ROOT).as_posix()
            folders[f"blockdot.{folder.replace('/', '.')}"] = folder
    assert setuptools["package-dir"] == folders
    assert sorted(setuptools["packages"]) == sorted(folders)


@pytest.mark.parametrize(
    ("room", "code", "module"),
    [
        ("model", "from blockdot.hw import dot_unit\n", "blockdot.hw.dot_unit"),
        ("model", "def late():\n    import blockdot.cli.app\n", "blockdot.cli.app"),
        ("synth", "from ..hw.leaves import bits\n", "blockdot.hw.leaves.bits"),
        ("sim", "from blockdot import verify\n", "blockdot.verify"),
        ("lab", "from studies import ledger\n", "studies.ledger"),
    ],
)
def test_an_import_up_the_stair_is_found(tmp_path: Path, room: str, code: str, module: str):
    (tmp_path / room).mkdir()
    (tmp_path / room / "wrong.py").write_text(code)
    assert forbidden_imports(tmp_path, room) == [f"{room}/wrong.py: {module}"]


# An entry of None in sys.modules makes `import` of that name raise ImportError.
ALL_OF_A_ROOM = """
import importlib, pkgutil, sys
sys.modules["amaranth"] = sys.modules["torch"] = None
room = importlib.import_module("blockdot." + sys.argv[1])
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
above = {"hw", "sim", "verify", "lab", "cli"}
print(*sorted({name.split(".")[1] for name in sys.modules if name.startswith("blockdot.")} & above))
"""


@pytest.mark.parametrize("room", ["base", "model", "synth"])
def test_a_room_below_the_hardware_loads_without_amaranth_and_torch(room: str):
    run = subprocess.run(
        [sys.executable, "-c", ALL_OF_A_ROOM, room], capture_output=True, text=True, timeout=120, check=False
    )
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "", "")


def test_the_check_for_amaranth_can_fail():
    run = subprocess.run(
        [sys.executable, "-c", ALL_OF_A_ROOM, "hw"], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 1
    assert "amaranth" in run.stderr


def test_a_command_starts_without_what_only_others_need():
    program = "import sys, blockdot.cli.app; print({'blockdot.synth', 'amaranth'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert run.stdout == "set()\n"


def test_type_checkers_are_told_that_the_package_is_typed():
    assert (importlib.resources.files("blockdot") / "py.typed").is_file()
