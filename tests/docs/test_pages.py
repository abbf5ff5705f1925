"""The pages that are made, the pictures, and what links to what."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from blockdot.cli.app import app
from typer.main import get_command

from docs.pictures import PICTURES
from docs.reference_pages import ROOMS, command_page, made_pages, modules

ROOT = Path(__file__).parents[2]


def test_every_command_and_option_is_in_the_reference() -> None:
    page = command_page()
    commands: dict[str, Any] = vars(get_command(app))["commands"]
    assert len(commands) > 10
    for name, command in commands.items():
        section = page.partition(f"\n## blockdot {name}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert all(f"`{option}`" in section for option in parameter.opts), (name, parameter.name)


def test_every_row_of_a_table_has_the_columns_of_its_heading() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")}
    rows = 0
    for page, text in {**written, **made_pages()}.items():
        columns = 0
        for line in text.splitlines():
            cells = re.sub(r"`[^`]*`|\\\|", "", line).count("|") - 1 if line.startswith("|") else 0
            assert not columns or not cells or cells == columns, f"{page}: {line}"
            columns = cells
            rows += bool(cells)
    assert rows > 1000


def test_the_start_page_names_every_extra_that_a_user_may_want() -> None:
    """All but those that `make` installs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    named = re.findall(r"pip install '\.\[(\w+)\]'", (ROOT / "docs/index.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(set(extras) - {"clients", "demo", "dev", "docs", "evaluate-default"})


def test_every_module_with_public_names_is_in_the_reference() -> None:
    pages = made_pages()
    for room in ROOMS:
        found = modules(room)
        assert found
        for name, summary in found:
            assert f"::: {name}\n" in pages[f"reference/python/{room}.md"]
            assert summary, f"{name} must say what it is"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_its_script_draws(name: str) -> None:
    committed = (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8")
    assert committed == PICTURES[name](), "run python docs/pictures.py"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_from_the_top_folder_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [one for one in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in one]
    links += re.findall(r'src="([^":]+)"', text)
    assert links
    assert [one for one in links if not (ROOT / one).exists()] == []


def test_files_that_pages_name_are_there() -> None:
    """Paths in code spans, such as `model/formats.py`, outlive what they name."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = [
        (path.name, name)
        for path in pages
        if path.name != "CHANGELOG.md"
        for name in re.findall(
            r"`((?:[a-z_]+/)+[a-z_0-9]+\.(?:py|md|svg|jsonl|json))`", path.read_text(encoding="utf-8")
        )
    ]
    assert named
    assert [one for one in named if not (ROOT / one[1]).exists()] == []


def readme_commands() -> list[str]:
    """The `blockdot` commands that the README shows, in listings and in its text."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^    \$ (blockdot .*)$", text, re.MULTILINE) + re.findall(r"`(blockdot [^`]+)`", text)


def test_the_readme_starts_with_the_two_commands_and_is_narrow() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 130
    assert max(map(len, lines)) <= 100
    commands = [line.split("#")[0].strip() for line in lines if line.startswith("    ")]
    assert commands[:2] == ["make demo", "make test"]


def test_commands_of_the_readme_exist() -> None:
    commands: dict[str, Any] = vars(get_command(app))["commands"]
    found = readme_commands()
    assert len(found) >= 6
    for line in found:
        name, *options = line.split()[1:]
        known = {option for one in commands[name].params for option in (*one.opts, *one.secondary_opts)}
        assert [one for one in options if one.startswith("-") and one.split("=")[0] not in known] == []
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    asked = re.findall(r"make ([a-z-]+)(?:`|  )", text)
    assert set(asked) <= set(targets)
    assert {"demo", "test", "docs"} <= set(asked)


def test_the_readmes_python_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (listing,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert done.stdout == "(64, 64)\n"
