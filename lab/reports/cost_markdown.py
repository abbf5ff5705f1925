"""What units cost, as Markdown tables."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..cost.fpga_cost import PLACED, RESOURCES
from ..cost.placed_cost import WIRED_DELTAS
from ..cost.routed_cost import ROUTED_DELTAS
from ..statistics import difference_text
from .records import markdown_lines

__all__ = ["cost_markdown"]

_DIFFERING: Final = {
    "core_area": "core",
    "wire_length": "wire",
    "vias": "vias",
    "delay": "delay",
    "period": "period",
}
"""What differences with wires are called."""


def cost_markdown(report: dict[str, Any]) -> str:
    """Return the tables of a report: units, differences, energies, components, FPGAs."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: dict[str, Any]) -> Iterator[str]:
    for result in report["results"]:
        library = result["library"]
        yield f"## {library['name']}"
        yield ""
        yield (
            f"pyosys {result['tools']['pyosys']}, recipes {', '.join(result['recipes'])}, "
            f"{len(result['orders'])} netlists of each unit, {result['variants']} x mapped for area, "
            f"intervals of {100 * result['level']:.0f} %. Gates alone"
            + (", but for the figures with wires." if result["placed"] else ": no wires, no placement.")
        )
        if left_out := library.get("left_out"):
            yield f"Cells not used: {', '.join(f'`{rule}`' for rule in left_out)}."
        if adders := result.get("adders"):
            yield f"Adder cells used: {', '.join(f'`{name}`' for name in adders)}."
        yield ""
        yield from markdown_lines(
            (
                "unit",
                f"area [{library['area_unit']}]",
                "area [NAND2]",
                f"delay [{library['delay_unit']}]",
                f"period [{library['delay_unit']}]",
                "fmax [MHz]",
                "flip-flops",
            ),
            [
                (
                    cost["unit"],
                    f"{cost['area']['median']:.1f}",
                    f"{cost['area_nand2']['median']:.1f}",
                    f"{cost['delay']['median']:.3f}",
                    f"{cost['period']['median']:.3f}",
                    f"{cost['fmax']['median']:.1f}" if cost["fmax"] else "",
                    f"{cost['flip_flops']['median']:.0f}",
                )
                for cost in result["costs"]
            ],
        )
        yield ""
        if result["deltas"]:
            deltas: dict[str, dict[str, Any]] = {}
            for delta in result["deltas"]:
                deltas.setdefault(delta["other"], {"base": delta["base"]})[delta["metric"]["name"]] = delta
            ways = {one["other"]: one for one in result["attributions"]}
            yield from markdown_lines(
                ("unit", "against", "area, whole", "area, attributed", "both", "delay", "period"),
                [
                    (
                        other,
                        found["base"],
                        _interval(found["area"]["relative"], 2),
                        _interval(ways[other]["relative"], 2) if other in ways else "",
                        ("agree" if ways[other]["agrees"] else "**differ**") if other in ways else "",
                        _interval(found["delay"]["relative"], 2),
                        _interval(found["period"]["relative"], 2),
                    )
                    for other, found in deltas.items()
                ],
            )
            yield ""
        if result["corners"]:
            yield from _corner_lines(result["corners"], library)
        if result["energies"]:
            yield from _energy_lines("energy", [(one["unit"], one) for one in result["energies"]])
        if result["placed"]:
            yield from _placed_lines(result["placed"], library)
        for attribution in result["attributions"]:
            yield f"`{attribution['other']}` less `{attribution['base']}`, component by component:"
            yield ""
            yield from markdown_lines(
                ("component", f"area [{library['area_unit']}]", "ports before", "ports after"),
                [
                    (
                        part["role"],
                        "the same" if part["equal"] else _interval(part["area"], 1),
                        "" if part["equal"] else f"{part['base_count']} x ({part['base_ports']})",
                        "" if part["equal"] else f"{part['other_count']} x ({part['other_ports']})",
                    )
                    for part in attribution["parts"]
                ]
                + [
                    ("all of them", _interval(attribution["total"], 1), "", ""),
                    ("across components", _interval(attribution["across"], 1), "", ""),
                    ("the whole", _interval(attribution["whole"], 1), "", ""),
                ],
            )
            yield ""
    if report["fpga"]:
        yield from _fpga_lines(report["fpga"])


def _corner_lines(costs: Sequence[dict[str, Any]], library: dict[str, Any]) -> Iterator[str]:
    yield "The same netlists at each corner; of each unit the slowest is marked."
    yield ""
    leaking = any("leakage" in cost["figures"] for cost in costs)
    yield from markdown_lines(
        (
            "unit",
            "corner",
            f"delay [{library['delay_unit']}]",
            f"period [{library['delay_unit']}]",
            *(["leakage [nW]"] if leaking else []),
            "delay",
            "period",
        ),
        [
            (
                cost["unit"],
                cost["corner"],
                f"{cost['figures']['delay']['median']:.3f}",
                f"{cost['figures']['period']['median']:.3f}" + (" slowest" if cost["slowest"] else ""),
                *([_median(cost["figures"].get("leakage"), ".1f")] if leaking else []),
                *(
                    _interval(cost["deltas"][name], 2) if cost["deltas"] else ""
                    for name in ("delay", "period")
                ),
            )
            for cost in costs
        ],
    )
    yield ""


def _placed_lines(costs: Sequence[dict[str, Any]], library: dict[str, Any]) -> Iterator[str]:
    first = costs[0]
    length = first["geometry"]["length_unit"]
    several = f"{len(first['seeds'])} seeds" if len(first["seeds"]) > 1 else "one seed"
    sizes = "chosen again for the wires of each placement" if first["resized"] else "not changed after that"
    yield (
        f"With wires: mapped by recipe {first['recipe']}, placed by coloquinte {first['coloquinte']} from "
        f"{several} at {100 * first['utilisation']:g} % utilisation, sizes {sizes}. "
        "Medians over all placements; differences of the means over each netlist's placements, "
        f"those of core and wire before buffers and sizes (recipe {first['unsized_recipe']}), each netlist "
        f"placed {first['unsized_corners']} times, with its ports from each corner of the core on."
    )
    yield ""
    yield from markdown_lines(
        (
            "unit",
            f"core [{library['area_unit']}]",
            f"wire [{length}]",
            "wire load [% of pins']",
            f"delay [{library['delay_unit']}]",
            f"period [{library['delay_unit']}]",
            "period without wires",
            "clock buffers",
        ),
        [
            (
                cost["unit"],
                *(
                    f"{cost['figures'][name]['median']:.{digits}f}"
                    for name, digits in (
                        ("core_area", 1),
                        ("wire_length", 0),
                        ("wire_load", 1),
                        ("delay", 3),
                        ("period", 3),
                        ("bare_period", 3),
                        ("clock_buffers", 0),
                    )
                ),
            )
            for cost in costs
        ],
    )
    yield ""
    compared = [(cost["unit"], cost["base"], cost["deltas"]) for cost in costs if cost["base"]]
    yield from _difference_lines(WIRED_DELTAS, compared)
    if any(cost["routed"] for cost in costs):
        yield from _routed_lines([(cost["unit"], cost["routed"]) for cost in costs], length, library)
        compared = [
            (cost["unit"], cost["base"], cost["routed"]["deltas"])
            for cost in costs
            if cost["routed"]["deltas"]
        ]
        if compared:
            yield "Differences of what is routed, all of gates that are buffered and sized:"
            yield ""
            yield from _difference_lines(ROUTED_DELTAS, compared)
    energies = [(cost, energy) for cost in costs for energy in cost["energies"]]
    if energies:
        yield from _energy_lines("energy with wires", [(cost["unit"], energy) for cost, energy in energies])


def _difference_lines(
    names: Sequence[str], compared: Sequence[tuple[str, str, dict[str, Any]]]
) -> Iterator[str]:
    """Yield a table of differences by their names, of units against others; nothing without one."""
    if not compared:
        return
    yield from markdown_lines(
        ("unit", "against", *(_DIFFERING[name] for name in names)),
        [(unit, base, *(_interval(deltas[name], 2) for name in names)) for unit, base, deltas in compared],
    )
    yield ""


def _routed_lines(
    costs: Sequence[tuple[str, dict[str, Any]]], length: str, library: dict[str, Any]
) -> Iterator[str]:
    layers = ", ".join(layer["name"] for layer in costs[0][1]["layers"])
    yield (
        f"The same placements routed in detail by qrouter {costs[0][1]['qrouter']} on {layers}. Longer than "
        "the Steiner trees are: all wire, and the nets' 5 %, middle and 95 %."
    )
    yield ""
    yield from markdown_lines(
        (
            "unit",
            f"wire [{length}]",
            "vias",
            "wire load [% of pins']",
            f"delay [{library['delay_unit']}]",
            f"period [{library['delay_unit']}]",
            "longer [%]",
            "nets: 5 %",
            "middle",
            "95 %",
        ),
        [
            (
                unit,
                *(
                    f"{routed['figures'][name]['median']:{form}}"
                    for name, form in (
                        ("wire_length", ".0f"),
                        ("vias", ".0f"),
                        ("wire_load", ".1f"),
                        ("delay", ".3f"),
                        ("period", ".3f"),
                        ("detour", "+.1f"),
                        ("detour_low", "+.1f"),
                        ("detour_median", "+.1f"),
                        ("detour_high", "+.1f"),
                    )
                ),
            )
            for unit, routed in costs
            if routed["figures"]
        ],
    )
    yield ""
    for unit, routed in costs:
        yield f"- {unit}: {routed['verdict']}."
    yield ""


def _energy_lines(what: str, energies: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """Yield a table of the energy of an input, of units by their names."""
    yield from markdown_lines(
        (
            "unit",
            "vectors",
            f"{what} [{energies[0][1]['total']['unit']}]",
            "without glitches",
            "difference",
            "without glitches",
        ),
        [
            (
                unit,
                energy["vectors"],
                f"{energy['total']['median']:.0f}",
                f"{energy['settled']['median']:.0f}",
                _interval(energy["delta"], 2) if energy["delta"] else "",
                _interval(energy["settled_delta"], 2) if energy["settled_delta"] else "",
            )
            for unit, energy in energies
        ],
    )
    yield ""


def _fpga_lines(costs: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "## FPGA"
    yield ""
    yield from markdown_lines(
        ("unit", "target", *(name.replace("_", "-") for name in RESOURCES), "LUTs against the first"),
        [
            (
                cost["unit"],
                cost["target"],
                *(f"{cost[name]['median']:.0f}" for name in RESOURCES),
                _interval(cost["delta"], 2) if cost["delta"] else "",
            )
            for cost in costs
        ],
    )
    yield ""
    placed = [cost for cost in costs if cost["placed"]]
    if not placed:
        return
    about = placed[0]["placed"]
    yield (
        f"Placed and routed on the iCE40 {about['device']} by nextpnr {about['nextpnr']}, each netlist from "
        f"{len(about['seeds'])} seeds. The logic cells are those of the unit alone, fmax is from register to "
        f"register through it."
    )
    yield ""
    yield from markdown_lines(
        ("unit", "logic cells", "fmax [MHz]", "least", "greatest", "logic cells against the first", "fmax"),
        [
            (
                cost["unit"],
                f"{one['logic_cells']['median']:.0f}",
                *(f"{one['fmax'][name]:.2f}" for name in ("median", "minimum", "maximum")),
                *(_interval(one[f"{name}_delta"], 2) if one[f"{name}_delta"] else "" for name in PLACED),
            )
            for cost, one in ((cost, cost["placed"]) for cost in placed)
        ],
    )
    yield ""


def _median(figures: dict[str, Any] | None, form: str) -> str:
    return "" if figures is None else f"{figures['median']:{form}}"


def _interval(estimate: dict[str, Any], digits: int) -> str:
    return difference_text(estimate["mean"], estimate["low"], estimate["high"], digits, estimate["unit"])
