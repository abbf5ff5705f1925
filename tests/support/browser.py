"""HTML pages, opened in a real browser."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

__all__ = ["browse", "needs_chromium"]

CHROMIUM: Final = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")
"""Marks a test that opens a page."""


def browse(page: Path, tmp_path: Path, *, fragment: str = "", script: str = "") -> tuple[str, str]:
    """Open a page, with a script behind its own; return the document that came of it, and the console."""
    assert CHROMIUM is not None
    opened = tmp_path / "opened.html"
    opened.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=3000", "--dump-dom", f"file://{opened}{fragment}",
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
