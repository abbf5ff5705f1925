"""Which functions a program calls, and so which faults of the source need not be tried."""

from pathlib import Path

import pytest
from blockdot.verify.source_faults.called_functions import called_functions, may_matter
from blockdot.verify.source_faults.source_fault import SourceFault

SOURCE = """\
import functools

WIDTH = 4


@functools.cache
def used(n=1 + 1):
    return helped(n) + WIDTH


def helped(n):
    def inside():
        return (
            n +
            7
        )

    return inside()


def idle(n=9 - 1):
    total = n

    def within():
        return total * 3

    return within()


class Part:
    size = 5

    def __init__(self):
        self.size = 6
"""


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    package = tmp_path_factory.mktemp("calls") / "package"
    (package / "hw").mkdir(parents=True)
    (package / "hw" / "part.py").write_text(SOURCE)
    program = "import sys\nfrom package.hw.part import used\nprint(used(int(sys.argv[1])))"
    return called_functions(package, program, ["3"], 60)


@pytest.mark.parametrize(
    ("right", "matters"),
    [
        ("WIDTH = 4", True),  # in no function
        ("1 + 1", True),  # made when the function is
        ("helped(n) + WIDTH", True),
        ("n +\n            7", True),
        ("9 - 1", True),
        ("total = n", False),
        ("    return within()\n", False),
        ("total * 3", False),
        ("size = 5", True),
        ("self.size = 6", False),
        ("    return within()\n\n\nclass Part:", True),  # not all of it is in the function
    ],
)
def test_a_fault_matters_where_its_function_is_called(called, right, matters):
    assert may_matter(SourceFault("part", "one", "part.py", right, ""), SOURCE, called) == matters


def test_a_program_that_fails_is_told(tmp_path: Path):
    with pytest.raises(RuntimeError, match=r"^the program must end with exit code 0, not 3: "):
        called_functions(tmp_path, "import sys; sys.exit(3)", [], 60)
