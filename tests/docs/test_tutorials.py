"""The tutorials to the letter: their commands are run, and what they show is what is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def sessions(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it is to print."""
    found = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command, shown) for command, _, shown in (one.partition("\n") for one in found)]


def printed_as_shown(printed: str, shown: str) -> bool:
    """Whether a text is what is shown, in which ``...`` stands for anything, a line or a part of one."""
    lines = [line.rstrip() for line in printed.splitlines()]
    wanted = "\n".join(line.rstrip() for line in shown.splitlines())
    pattern = "".join(".*" if piece == "..." else re.escape(piece) for piece in re.split(r"(\.\.\.)", wanted))
    return re.fullmatch(pattern, "\n".join(lines), re.DOTALL) is not None


def test_dots_stand_for_anything_and_nothing_else_does() -> None:
    assert printed_as_shown("a\nb 12 s  \nc\n", "a\nb ... s\nc\n")
    assert printed_as_shown("a\nb\nc\nd\n", "a\n...\nd\n")
    assert not printed_as_shown("a\nb\nc\n", "a\nb\n")
    assert not printed_as_shown("a\nb\nx\n", "...\nc\n")


@pytest.mark.parametrize("name", sorted(path.stem for path in TUTORIALS.glob("*.md")))
def test_a_tutorial_runs_as_it_says(name: str, tmp_path: Path) -> None:
    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    environment = os.environ | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "COLUMNS": "160",
    }
    commands = 0
    for language, title, body in BLOCK.findall(text):
        if title:
            (tmp_path / title).write_text(body, encoding="utf-8")
        for command, shown in sessions(body) if language == "console" else ():
            done = subprocess.run(
                command,
                shell=True,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert printed_as_shown(done.stdout, shown), f"{command}\nprints\n{done.stdout}"
            commands += 1
    assert commands >= 3
