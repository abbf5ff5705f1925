"""Runs the placer coloquinte in a process of its own: it writes what it does to its output.

Run by path, ``python -P coloquinte_worker.py JOB``, and not as a module of the package: it imports nothing of
the project. What to place is in the job, as JSON:

    widths, heights: of each cell; those of pins are 0
    x, y: where each begins
    fixed: how many of the cells, at the end, stay where they are: the pins
    row_width, row_height, rows: the core, whose lower left corner is the origin; every other row is upside
    down
    nets: of each net three lists: the cells, and where on them its pins are, across and up
    effort: how hard to try, 1 to 9
    begun: whether x and y are where the cells are to stand as nearly as may be
    seeds: placed anew from each

The current directory then has, for seed number k, ``placedK.json``: the x and the y of each cell but the
pins.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def run(job: dict[str, Any]) -> None:
    """Place a job in the current directory."""
    # A compiled module without type information; loaded here, so that importing this file needs no
    # coloquinte.
    coloquinte: Any = importlib.import_module("coloquinte")
    count, fixed = len(job["widths"]), job["fixed"]
    movable = count - fixed
    for seed in job["seeds"]:
        circuit = coloquinte.Circuit(count)
        circuit.cell_width = job["widths"]
        circuit.cell_height = job["heights"]
        circuit.cell_is_fixed = [False] * movable + [True] * fixed
        circuit.cell_is_obstruction = [True] * movable + [False] * fixed
        same, any_ = coloquinte.CellRowPolarity.SAME, coloquinte.CellRowPolarity.ANY
        circuit.cell_row_polarity = [same] * movable + [any_] * fixed
        circuit.cell_x = job["x"]
        circuit.cell_y = job["y"]
        height = job["row_height"]
        upright, flipped = coloquinte.CellOrientation.N, coloquinte.CellOrientation.FS
        circuit.rows = [
            coloquinte.Row(
                coloquinte.Rectangle(0, job["row_width"], row * height, (row + 1) * height),
                flipped if row % 2 else upright,
            )
            for row in range(job["rows"])
        ]
        for cells, across, up in job["nets"]:
            circuit.add_net(cells, across, up)
        circuit.check()
        parameters = coloquinte.ColoquinteParameters(job["effort"], seed)
        if not job["begun"]:
            circuit.place_global(parameters)
        circuit.legalize(parameters)
        circuit.place_detailed(parameters)
        placed = {"x": list(circuit.cell_x[:movable]), "y": list(circuit.cell_y[:movable])}
        Path(f"placed{seed}.json").write_text(json.dumps(placed), encoding="utf-8")


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
