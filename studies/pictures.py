"""What the pictures of studies have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from blockdot.base.whole_files import whole_file
from blockdot.lab.quality.error_curves import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["svg_figure"]

# The same bytes each time: identifiers that do not depend on chance. And text that stays text.
_SETTINGS: Final[dict[Any, Any]] = {"svg.hashsalt": "blockdot", "svg.fonttype": "none", "font.size": 10}


@contextmanager
def svg_figure(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Give a figure to draw on, and write it as SVG at the end of the block, as a whole file or not at all.

    Args:
        path: The file.
        width: Of the figure, in inches.
        height: The same.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with whole_file(path) as file:
            figure.savefig(file, format="svg", metadata={"Date": None})  # nor does it tell when it was made
