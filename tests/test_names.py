"""No public name means two things, and no module uses what another keeps to itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("base", "model", "hw", "synth", "sim", "verify", "lab", "frameworks", "cli", "studies")

# What each of several modules of one kind has, under one name, so that others can take any of them.
ROLES = {
    "every accumulation, in model, hw and verify": {"NONE", "FP32", "EXACT", "ALIGNED", "CHAIN"},
    "every engine": {"NEEDS", "build", "run"},
    "every stimulus": {"bulk", "directed", "draw", "random"},
    "every command, named as what it calls": {"prove", "quantize", "simulate", "soak"},
    "every program": {"main"},
    "every study": {"KEPT", "PAGE", "PICTURE", "STORED", "page_text"},
    "the delay of a step, always named with its module": {"add", "normalise"},
    # Proofs and traces state these facts of binary32 themselves: what they check must not tell them.
    "facts that are stated twice on purpose": {
        "BIAS", "BINARY32", "FRACTION_BITS", "INFINITY", "LEAST_EXPONENT", "NAN",
    },
}  # fmt: skip


def public_names(path: Path) -> Iterator[str]:
    """What a module makes and offers: the names in `__all__` that it does not import."""
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "__all__" and isinstance(node.value, ast.List):
                offered = (one.value for one in node.value.elts if isinstance(one, ast.Constant))
                yield from (str(name) for name in offered if name not in imported)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def names_of_two(root: Path) -> dict[str, list[str]]:
    """Names that several modules of the project offer, each with its files."""
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            for name in public_names(path):
                found.setdefault(name, set()).add(str(path.relative_to(root)))
    return {name: sorted(files) for name, files in found.items() if len(files) > 1}


def test_no_public_name_means_two_things():
    roles = set().union(*ROLES.values())
    found = names_of_two(ROOT)
    assert {name: files for name, files in found.items() if name not in roles} == {}
    assert roles <= set(found), "a role that one module has alone is none"


def test_two_meanings_are_found(tmp_path: Path):
    for room, text in (
        ("hw", '__all__ = ["unit"]\ndef unit(): ...\nclass Cell: ...\n'),
        ("sim", 'from hw import unit\n__all__ = ["unit", "stream"]\n'),
        ("lab", '__all__ = ["unit"]\ndef unit(): ...\nclass Cell: ...\nclass _Own: ...\n'),
    ):
        (tmp_path / room).mkdir()
        (tmp_path / room / "module.py").write_text(text)
    both = ["hw/module.py", "lab/module.py"]
    assert names_of_two(tmp_path) == {"Cell": both, "unit": both}
