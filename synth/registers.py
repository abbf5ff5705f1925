"""The register of a library: what Yosys maps a plain one to.

A library may have no plain flip-flop: one that moves at the other edge of the clock, or that has a reset, set
or enable besides, does as well, with that pin tied. Which cell is taken is for Yosys to say, as it maps the
registers of every netlist.
"""

import functools
import json
from dataclasses import dataclass
from typing import Any, Final

from .liberty import Library
from .recipes import COARSE_PASSES
from .yosys import SynthesisError, run

__all__ = ["LibraryRegister", "find_register"]

_TOP: Final = "register"
_NAMES_SHOWN: Final = 5
_PLAIN: Final = f"module {_TOP}(input clk, d, output reg q); always @(posedge clk) q <= d; endmodule\n"


@dataclass(frozen=True)
class LibraryRegister:
    """The cell that a plain register is mapped to.

    Attributes:
        cell: Its name.
        data: The pin that takes the data.
        output: The pin that shows them, or their complement.
    """

    cell: str
    data: str
    output: str


@functools.lru_cache(maxsize=16)
def find_register(library: Library) -> LibraryRegister | None:
    """Return the register of a library; None where it has no flip-flop at all.

    Raises:
        ValueError: If none of its flip-flops will do, naming them.
        ToolError: If pyosys is missing.
    """
    flip_flops = sorted(
        cell.name for cell in library.cells.values() if cell.kind == "flip_flop" and cell.usable
    )
    if not flip_flops:
        return None
    commands = [
        "read_verilog -sv register.v",
        f"hierarchy -check -top {_TOP}",
        *(command.format(liberty="-liberty cells.lib") for command in COARSE_PASSES),
        "write_json register.json",
    ]
    try:
        made = run(
            commands,
            inputs={"cells.lib": library.mapping_text, "register.v": _PLAIN},
            outputs=["register.json"],
        )["register.json"]
    except SynthesisError as error:
        shown = ", ".join(flip_flops[:_NAMES_SHOWN]) + (
            " and others" if len(flip_flops) > _NAMES_SHOWN else ""
        )
        raise ValueError(
            f"library {library.name} must have a flip-flop that a plain register can be mapped to, "
            f"not only {shown}: {error}"
        ) from error
    module = json.loads(made)["modules"][_TOP]
    cells = list(module["cells"].values())
    (register,) = (cell for cell in cells if cell["type"] in flip_flops)
    inverters = [cell["connections"] for cell in cells if cell["type"] not in flip_flops]
    # Either may go through an inverter.
    data = {*_net(module, "d"), *(one["Y"][0] for one in inverters if one["A"] == _net(module, "d"))}
    output = {*_net(module, "q"), *(one["A"][0] for one in inverters if one["Y"] == _net(module, "q"))}
    pins = {nets[0]: pin for pin, nets in register["connections"].items() if nets}
    return LibraryRegister(
        register["type"],
        next(pin for net, pin in pins.items() if net in data),
        next(pin for net, pin in pins.items() if net in output),
    )


def _net(module: dict[str, Any], port: str) -> list[int]:
    return module["ports"][port]["bits"]
