"""Every figure of the answer, as CSV."""

import csv
from collections.abc import Callable
from functools import partial
from io import StringIO

from blockdot.hw.unit_grid import GRID_SCALES
from blockdot.synth.metric import fmax_of

from .answer_rows import AnswerRow, attributed_area, energy, period, question_of, whole_area

__all__ = ["figures_csv"]


def figures_csv(stored: AnswerRow) -> str:
    """Every figure of every unit as CSV: a line for each library and unit."""
    energies = [(kind, what) for kind in ("real", "uniform") for what in ("total", "settled")]
    differences: list[tuple[str, Callable[[AnswerRow], dict[str, float] | None]]] = [
        ("area_whole", whole_area),
        ("area_attributed", attributed_area),
        ("delay", lambda row: row["deltas"].get("delay")),
        ("period", period),
        *((f"energy_{kind}_{what}", partial(energy, vectors=kind, what=what)) for kind, what in energies),
    ]
    libraries = {library["name"]: library for library in stored["libraries"]}
    text = StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        (
            *("library", "unit", "area_unit", "delay_unit", "energy_unit"),
            *("area", "nand2", "delay", "period", "fmax_mhz", "flip_flops"),
            *(f"energy_{kind}_{what}" for kind, what in energies),
            *(f"{name}_{end}_percent" for name, _ in differences for end in ("mean", "low", "high")),
            *("ways_agree", "netlists", "recipes"),
        )
    )
    order = {name: number for number, name in enumerate(libraries)}
    for row in sorted(
        stored["rows"],
        key=lambda row: (order[row["library"]], question_of(row), GRID_SCALES.index(row["scale"][0])),
    ):
        library = libraries[row["library"]]
        fmax = fmax_of(row["period"], library["delay_unit"])
        lines.writerow(
            (
                *(row["library"], row["unit"]),
                *(library[name] for name in ("area_unit", "delay_unit", "energy_unit")),
                *(_number_text(row[name]) for name in ("area", "nand2", "delay", "period")),
                "" if fmax is None else _number_text(fmax),
                _number_text(row["flip_flops"]),
                *(_number_text(row["energy"].get(kind, {}).get(what)) for kind, what in energies),
                *(
                    _number_text(None if estimate is None else estimate[end])
                    for _, of in differences
                    for estimate in [of(row)]
                    for end in ("mean", "low", "high")
                ),
                "" if "attribution" not in row else "yes" if row["attribution"]["agrees"] else "no",
                row["orders"][1] - row["orders"][0],
                row["variants"],
            )
        )
    return text.getvalue()


def _number_text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
