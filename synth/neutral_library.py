"""A standard-cell library of no technology: area by transistor count, delay by logical effort.

Area is in NAND2 equivalents: a static CMOS gate's transistors over the four of a 2-input NAND. Delay is in
FO4, the delay of an inverter that drives four like itself.

Delay follows I. Sutherland, R. Sproull and D. Harris, "Logical Effort" (1999): a stage takes
``d = g * h + p`` units of tau, with g its logical effort (table 1.1 there), h the load over its input
capacitance and p its parasitic delay (table 1.2). For an inverter g = p = 1, so 1 FO4 = 4 + 1 = 5 tau.
The efforts of AND-OR-INVERT gates are those of N. Weste and D. Harris, "CMOS VLSI Design" (4th ed., section
4.4), found as they find them: transistors are sized so that every stage of drive 1 drives as hard as the
unit inverter (an n-transistor 1 wide and a p-transistor 2 wide); an input's g is then the width of its two
transistors over the inverter's 3, and p the width that touches the output over 3.

A cell of several stages is a small network of such stages. Its first stages have drive 1 and its last one
the cell's. The area for a larger drive is argued from the layout of a cell row: a transistor twice as wide is
folded into two columns, and every cell has one column of spacing whatever its drive, so the area grows as
(columns + 1). A NAND2 of drive 2 and 4 is then 5/3 and 3 of one of drive 1, which is what SkyWater's
sky130_fd_sc_hd and the Nangate open cell library have.

Energy is what charging the capacitances of a cell takes: half of C V**2 for each edge, in units of a unit
inverter's input capacitance at 1 V. Inside a cell those are the parasitics of its stages and the inputs that
they drive, taken to move when the output does. The load at the output is not part of the cell.

Not modelled: slopes, wires, leakage, and the difference between rising and falling edges.
"""

import functools
from dataclasses import dataclass, replace
from typing import Final

from .liberty import Library, LibrarySource

__all__ = [
    "CELLS",
    "CLOCK_TO_OUTPUT",
    "DRIVES",
    "FLIP_FLOP_TRANSISTORS",
    "FO4_PS",
    "PRIMITIVES",
    "SETUP",
    "TAU_PS",
    "CellDesign",
    "Primitive",
    "liberty_text",
    "neutral",
]

TAU_PS: Final = 10.0
"""The files' picoseconds in a tau. Any value would do; at this one abc's two digits are 0.0002 FO4."""

FO4_PS: Final = 5 * TAU_PS
"""The files' picoseconds in the delay of an inverter that drives four like itself."""

DRIVES: Final = (1, 2, 4)
"""The drive strengths of every gate, in unit inverters."""

# Widths are in those of the unit inverter's n-transistor, so that the inverter's input has 2 + 1.
_INVERTER_WIDTH: Final = 3.0
_NAND2_TRANSISTORS: Final = 4
# Load of a primary output, in unit inverters: that of a fan-out of four.
_OUTPUT_LOAD: Final = 4.0
# 10 % to 90 % over 0 % to 50 % of an exponential: ln 9 / ln 2. abc asks for slopes; no delay depends on them.
_TRANSITION: Final = 3.17
# The tables are linear in the load, so any two points would hold them; but abc takes the third of seven
# slopes for the usual one, and finds no delay to map by where there are fewer.
_SLEWS: Final = tuple(TAU_PS * 2.0**k for k in range(-1, 6))
_LOADS: Final = tuple(2.0**k for k in range(7))


@dataclass(frozen=True)
class Primitive:
    """One stage of static CMOS.

    Attributes:
        function: Its function, with ``{0}``, ``{1}``, ... for its inputs.
        widths: What each input drives: the widths of its p- and n-transistor.
        output_width: The width of the transistors that touch its output.
    """

    function: str
    widths: tuple[int, ...]
    output_width: int

    @property
    def transistors(self) -> int:
        """How many transistors it has: two to an input."""
        return 2 * len(self.widths)

    @property
    def efforts(self) -> tuple[float, ...]:
        """The logical effort g of each input."""
        return tuple(width / _INVERTER_WIDTH for width in self.widths)

    @property
    def parasitic(self) -> float:
        """The parasitic delay p, in tau."""
        return self.output_width / _INVERTER_WIDTH


# p- plus n-width of each input, then the p- plus n-widths at the output. Series transistors are as many times
# wider as there are of them, and the input that stands alone is the one next to the output.
PRIMITIVES: Final[dict[str, Primitive]] = {
    "INV": Primitive("!{0}", (2 + 1,), 2 + 1),
    "NAND2": Primitive("!({0}*{1})", (2 + 2,) * 2, 2 * 2 + 2),
    "NAND3": Primitive("!({0}*{1}*{2})", (2 + 3,) * 3, 3 * 2 + 3),
    "NAND4": Primitive("!({0}*{1}*{2}*{3})", (2 + 4,) * 4, 4 * 2 + 4),
    "NOR2": Primitive("!({0}+{1})", (4 + 1,) * 2, 4 + 2 * 1),
    "NOR3": Primitive("!({0}+{1}+{2})", (6 + 1,) * 3, 6 + 3 * 1),
    "NOR4": Primitive("!({0}+{1}+{2}+{3})", (8 + 1,) * 4, 8 + 4 * 1),
    "AOI21": Primitive("!(({0}*{1})+{2})", (4 + 2, 4 + 2, 4 + 1), 4 + 2 + 1),
    "OAI21": Primitive("!(({0}+{1})*{2})", (4 + 2, 4 + 2, 2 + 2), 4 + 2 + 2),
    # Also two tri-state inverters on one output, which have the same transistors: the core of a multiplexer.
    "AOI22": Primitive("!(({0}*{1})+({2}*{3}))", (4 + 2,) * 4, 2 * 4 + 2 * 2),
    "OAI22": Primitive("!(({0}+{1})*({2}+{3}))", (4 + 2,) * 4, 2 * 4 + 2 * 2),
}
"""The stages of which every cell is made."""


@dataclass(frozen=True)
class CellDesign:
    """One gate, as a network of stages.

    Attributes:
        inputs: Its input pins.
        stages: Its stages, each a name for its output, a primitive, and what its inputs connect to; the
            last one drives the output pin.
    """

    inputs: tuple[str, ...]
    stages: tuple[tuple[str, str, tuple[str, ...]], ...]

    @property
    def output(self) -> str:
        """Its output pin."""
        return self.stages[-1][0]

    @property
    def transistors(self) -> int:
        """How many transistors it has at drive 1."""
        return sum(PRIMITIVES[primitive].transistors for _, primitive, _ in self.stages)

    def capacitance(self, drive: int) -> float:
        """Return what is charged inside when the output moves, in input capacitances of a unit inverter."""
        total = 0.0
        for name, primitive, _ in self.stages:
            scale = drive if name == self.output else 1
            total += scale * PRIMITIVES[primitive].parasitic + self.load(name, drive)
        return total

    @property
    def function(self) -> str:
        """Its Boolean function of its input pins, as Liberty writes it."""
        known = {pin: pin for pin in self.inputs}
        for name, primitive, sources in self.stages:
            text = PRIMITIVES[primitive].function.format(*(known[source] for source in sources))
            known[name] = f"({text})"
        return known[self.output]

    def area(self, drive: int) -> float:
        """Return the area at that drive, in NAND2 equivalents."""
        # A column is an n- and a p-transistor; the last stage's are folded `drive` times.
        columns = self.transistors // 2
        last = PRIMITIVES[self.stages[-1][1]].transistors // 2
        folded = columns + (drive - 1) * last
        return self.transistors / _NAND2_TRANSISTORS * (folded + 1) / (columns + 1)

    def load(self, net: str, drive: int) -> float:
        """Return what a pin, or the output of a stage, drives inside the cell, in unit inverters."""
        total = 0.0
        for name, primitive, sources in self.stages:
            scale = drive if name == self.output else 1
            for source, effort in zip(sources, PRIMITIVES[primitive].efforts, strict=True):
                if source == net:
                    total += scale * effort
        return total

    def delay(self, pin: str, drive: int) -> float:
        """Return the delay from an input pin to the unloaded output, by the slowest way, in tau."""
        latest = {pin: 0.0}
        for name, primitive, sources in self.stages:
            reached = [latest[source] for source in sources if source in latest]
            if reached:
                own = self.load(name, drive) + PRIMITIVES[primitive].parasitic
                latest[name] = max(reached) + own
        return latest[self.output]


def _design(inputs: str, *stages: str) -> CellDesign:
    """Return the design that ``"Y AOI21 A B n"`` and the like, one for a stage, describe."""
    split = [stage.split() for stage in stages]
    return CellDesign(
        tuple(inputs.split()), tuple((name, primitive, tuple(rest)) for name, primitive, *rest in split)
    )


CELLS: Final[dict[str, CellDesign]] = {
    "INV": _design("A", "Y INV A"),
    "BUF": _design("A", "n INV A", "Y INV n"),
    "NAND2": _design("A B", "Y NAND2 A B"),
    "NAND3": _design("A B C", "Y NAND3 A B C"),
    "NAND4": _design("A B C D", "Y NAND4 A B C D"),
    "NOR2": _design("A B", "Y NOR2 A B"),
    "NOR3": _design("A B C", "Y NOR3 A B C"),
    "NOR4": _design("A B C D", "Y NOR4 A B C D"),
    "AND2": _design("A B", "n NAND2 A B", "Y INV n"),
    "OR2": _design("A B", "n NOR2 A B", "Y INV n"),
    "AOI21": _design("A B C", "Y AOI21 A B C"),
    "AOI22": _design("A B C D", "Y AOI22 A B C D"),
    "OAI21": _design("A B C", "Y OAI21 A B C"),
    "OAI22": _design("A B C D", "Y OAI22 A B C D"),
    "XOR2": _design("A B", "n NOR2 A B", "Y AOI21 A B n"),
    "XNOR2": _design("A B", "n NAND2 A B", "Y OAI21 A B n"),
    "MUXI2": _design("A B S", "n INV S", "Y AOI22 A n B S"),
    "MUX2": _design("A B S", "n INV S", "m AOI22 A n B S", "Y INV m"),
}
"""The gates, each in every drive of `DRIVES`."""

# A transmission-gate flip-flop (Weste and Harris, section 10.3): two clock inverters (4), the input's
# tri-state inverter (4), the master's inverter and tri-state feedback (2 + 4), the gate between (2), the
# slave's inverter and feedback (2 + 4), and an output inverter (2).
FLIP_FLOP_TRANSISTORS: Final = 4 + 4 + (2 + 4) + 2 + (2 + 4) + 2
"""The transistors of the D flip-flop, which comes in drive 1 only."""

# Its stages, each of drive 1, as (load, parasitic): a tri-state inverter has g = p = 2, and each clock phase
# ends at half of the two tri-state feedbacks, the tri-state input and the gate between: a load of 2.
_CLOCK_STAGES: Final = ((1.0 + 2.0, 1.0), (2.0, 1.0))
# The gate between makes a tri-state inverter of the master's; the slave's drives its feedback too.
_SLAVE_STAGES: Final = ((1.0 + 2.0, 2.0), (1.0 + 2.0, 1.0))
_OUTPUT_PARASITIC: Final = 1.0
# The tri-state input on the master's inverter, and that on its feedback and the gate between.
_MASTER_STAGES: Final = ((1.0 + 2.0, 2.0), (2.0 + 1.0, 1.0))

CLOCK_TO_OUTPUT: Final = sum(map(sum, (*_CLOCK_STAGES, *_SLAVE_STAGES))) + _OUTPUT_PARASITIC
"""From the clock's edge to the flip-flop's unloaded output, in tau."""

SETUP: Final = sum(map(sum, _MASTER_STAGES)) - sum(_CLOCK_STAGES[0])
"""How long before the edge the flip-flop's input must stand, in tau.

Until it is through the master, which shuts behind the first clock inverter.
"""


def _number(value: float) -> str:
    return f"{value:.9g}"


def _sense(design: CellDesign, pin: str) -> str:
    """Return the timing sense by the parities of the inverting stages between pin and output."""
    parities: dict[str, set[int]] = {pin: {0}}
    for name, _, sources in design.stages:
        reached = {parity ^ 1 for source in sources for parity in parities.get(source, ())}
        if reached:
            parities[name] = reached
    match sorted(parities[design.output]):
        case [0]:
            return "positive_unate"
        case [1]:
            return "negative_unate"
        case _:
            return "non_unate"


def _table(kind: str, offset: float, slope: float) -> list[str]:
    """A table that is linear in the load: `offset` plus `slope` for each fF."""
    row = ", ".join(_number(offset + slope * load) for load in _LOADS)
    rows = ", ".join(f'"{row}"' for _ in _SLEWS)
    return [f"{kind} (linear) {{", f"  values ({rows});", "}"]


def _arc(pin: str, sense: str, delay: float, parasitic: float, drive: int, *attributes: str) -> list[str]:
    tables: list[str] = []
    slope = TAU_PS / drive
    for edge in ("rise", "fall"):
        tables += _table(f"cell_{edge}", TAU_PS * delay, slope)
        tables += _table(f"{edge}_transition", _TRANSITION * TAU_PS * parasitic, _TRANSITION * slope)
    head = [f'related_pin : "{pin}";', f"timing_sense : {sense};", *attributes]
    return _group("timing ()", [*head, *tables])


def _group(head: str, lines: list[str]) -> list[str]:
    return [f"{head} {{", *(f"  {line}" for line in lines), "}"]


def _pin(name: str, *attributes: str) -> list[str]:
    return _group(f"pin ({name})", [f"{attribute};" for attribute in attributes])


def _energy(capacitance: float) -> list[str]:
    """The energy of an edge at 1 V, whatever the slope and load."""
    value = _number(capacitance / 2)
    tables = [
        line
        for edge in ("rise", "fall")
        for line in _group(f"{edge}_power (scalar)", [f'values ("{value}");'])
    ]
    return _group("internal_power ()", tables)


def _gate(name: str, design: CellDesign, drive: int) -> list[str]:
    lines = [f"area : {_number(design.area(drive))};"]
    for pin in design.inputs:
        lines += _pin(pin, "direction : input", f"capacitance : {_number(design.load(pin, drive))}")
    output = ["direction : output;", f'function : "{design.function}";', *_energy(design.capacitance(drive))]
    parasitic = PRIMITIVES[design.stages[-1][1]].parasitic
    for pin in design.inputs:
        output += _arc(pin, _sense(design, pin), design.delay(pin, drive), parasitic, drive)
    return _group(f"cell ({name}_X{drive})", lines + _group(f"pin ({design.output})", output))


def _flip_flop() -> list[str]:
    clock, slave, master = (
        sum(map(sum, stages)) for stages in (_CLOCK_STAGES, _SLAVE_STAGES, _MASTER_STAGES)
    )
    setup = [
        line
        for edge in ("rise", "fall")
        for line in _group(f"{edge}_constraint (scalar)", [f'values ("{_number(TAU_PS * SETUP)}");'])
    ]
    # D meets a tri-state inverter, whose effort is 2, and the clock an inverter.
    return _group(
        "cell (DFF_X1)",
        [
            f"area : {_number(FLIP_FLOP_TRANSISTORS / _NAND2_TRANSISTORS)};",
            *_group("ff (IQ, IQN)", ['clocked_on : "CK";', 'next_state : "D";']),
            *_group(
                "pin (CK)",
                ["direction : input;", "clock : true;", "capacitance : 1;", *_energy(clock)],
            ),
            *_group(
                "pin (D)",
                [
                    "direction : input;",
                    "capacitance : 2;",
                    *_energy(master),
                    *_group("timing ()", ['related_pin : "CK";', "timing_type : setup_rising;", *setup]),
                ],
            ),
            *_group(
                "pin (Q)",
                [
                    "direction : output;",
                    'function : "IQ";',
                    *_energy(slave + _OUTPUT_PARASITIC),
                    *_arc(
                        "CK", "non_unate", CLOCK_TO_OUTPUT, _OUTPUT_PARASITIC, 1, "timing_type : rising_edge;"
                    ),
                ],
            ),
        ],
    )


def liberty_text() -> str:
    """Return the library as a Liberty file: a load of 1 fF is a unit inverter's, and `TAU_PS` is a tau."""
    points = [
        f'index_{place} ("{", ".join(map(_number, values))}");'
        for place, values in ((1, _SLEWS), (2, _LOADS))
    ]
    lines = [
        "delay_model : table_lookup;",
        'time_unit : "1ps";',
        "capacitive_load_unit (1, ff);",
        'voltage_unit : "1V";',
        "nom_voltage : 1;",
        'current_unit : "1mA";',
        *_group(
            "lu_table_template (linear)",
            ["variable_1 : input_net_transition;", "variable_2 : total_output_net_capacitance;", *points],
        ),
    ]
    for name, design in CELLS.items():
        for drive in DRIVES:
            lines += _gate(name, design, drive)
    lines += _flip_flop()
    return "\n".join(_group("library (neutral)", lines)) + "\n"


@functools.cache
def neutral() -> Library:
    """Return the technology-neutral library: areas in NAND2 equivalents, delays in FO4."""
    return replace(
        Library.parse(LibrarySource("neutral.lib", liberty_text().encode())),
        output_load_ff=_OUTPUT_LOAD,
        area_unit="NAND2",
        delay_unit="FO4",
        delay_unit_ps=FO4_PS,
    )
