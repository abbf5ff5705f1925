"""The listings of docs/extending.md run as they stand."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
TEXT = PAGE.read_text(encoding="utf-8")
LISTINGS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(LISTINGS)))
def test_a_listing_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(LISTINGS[number], f"{PAGE.name}, listing {number + 1}", "exec"), {"__name__": "listing"})


def test_every_section_has_a_listing_or_links_to_one() -> None:
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert all("```" in section or "](" in section for section in sections)
