"""Shells ask the command for completions: what they are told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def ask(instruction: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "blockdot"],
        env={**os.environ, "_BLOCKDOT_COMPLETE": instruction, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("blockdot sim", ["simulate"]),
        ("blockdot bench --eng", ["--engine"]),
        ("blockdot bench --engine v", ["verilator"]),
        ("blockdot simulate --accumulate a", ["aligned"]),
    ],
)
def test_bash_is_offered_commands_options_and_values(line, offered):
    words = line.split()
    told = ask("complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    assert told.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_script(shell):
    script = ask(f"source_{shell}")
    assert "_BLOCKDOT_COMPLETE=complete_" in script
    assert "python -m" not in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_itself_completes(tmp_path: Path):
    command = tmp_path / "blockdot"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m blockdot "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(_BLOCKDOT_COMPLETE=source_bash blockdot)"; COMP_WORDS=(blockdot quan); COMP_CWORD=1; '
        '_blockdot_completion blockdot quan blockdot; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.split() == ["quantize"]


def test_help_says_how_to_get_it(blockdot):
    assert "--install-completion" in blockdot("--help").out
