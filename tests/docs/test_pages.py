"""The pages that are made, the pictures, and what links to what."""

import re
from pathlib import Path

import pytest
from blockdot.cli.app import app
from typer.main import get_command

from docs.pictures import PICTURES
from docs.reference_pages import ROOMS, command_page, made_pages, modules

ROOT = Path(__file__).parents[2]


def test_every_command_and_option_is_in_the_reference() -> None:
    page = command_page()
    commands = getattr(get_command(app), "commands")  # noqa: B009 -- a group has them, a command has not
    assert len(commands) > 10
    for name, command in commands.items():
        section = page.partition(f"\n## blockdot {name}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert all(f"`{option}`" in section for option in parameter.opts), (name, parameter.name)


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
