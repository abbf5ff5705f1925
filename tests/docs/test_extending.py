"""The listings of docs/extending.md run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
TEXT = PAGE.read_text(encoding="utf-8")
LISTINGS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(LISTINGS)))
def test_a_listing_runs(number: int, tmp_path: Path) -> None:
    # In a process of its own: what it registers is not to be seen by other tests.
    listing = tmp_path / "listing.py"
    listing.write_text(LISTINGS[number], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, listing.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_section_has_a_listing_or_links_to_one() -> None:
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert all("```" in section or "](" in section for section in sections)
