"""A FuseSoC core file beside a unit's Verilog, and what Verilator shall not warn of."""

from typing import Final

from ..model import DequantizerSpec, QuantizerSpec
from .serial_quantizer_unit import SerialQuantizerUnit
from .stream_unit import StreamUnit
from .tile import DotArray

__all__ = ["LINT_WAIVERS", "core_file", "waiver_file"]

LINT_WAIVERS: Final = {
    "DECLFILENAME": "one file holds the unit and all its components",
    "WIDTH": "Yosys writes the operands of an addition at their own widths, which Verilog extends",
    "UNUSED": "bits of a wider intermediate that the next step drops, such as the carry out of a sum",
}
"""What of Verilator's ``-Wall`` does not hold of the emitted text, and why that is harmless.

Rules go by the names that old and new Verilators know. In new ones ``WIDTH`` is three rules, of which
``WIDTHEXPAND`` is the one that is met, and ``UNUSED`` is three, of which it is ``UNUSEDSIGNAL``. An old one,
such as 5.006, refuses a file with the name ``WIDTHEXPAND``.
"""


def waiver_file(unit: StreamUnit) -> str:
    """Return the text of ``NAME.vlt``, which tells Verilator not to warn of `LINT_WAIVERS` in ``NAME.v``."""
    lines = ["`verilator_config"]
    for rule, reason in LINT_WAIVERS.items():
        lines += [f"// {reason}", f'lint_off -rule {rule} -file "*{unit.name}.v"']
    return "\n".join([*lines, ""])


def core_file(unit: StreamUnit, *, version: str, testbench: bool = False) -> str:
    """Return the text of ``NAME.core``, a core description of FuseSoC's CAPI2.

    The core is ``blockdot:dot:NAME``, that of a quantizer ``blockdot:quantizer:NAME``. Its targets are
    ``default`` (the Verilog, to depend on), ``lint`` (Verilator) and, with a test bench ``NAME_tb.v`` beside
    it, ``sim`` (Icarus, or Verilator where the core's name is followed by ``--tool verilator``). What
    `waiver_file` gives must stand beside it as ``NAME.vlt``.

    Args:
        unit: The unit.
        version: The core's version.
        testbench: Whether there is a test bench.
    """
    name = unit.name
    library, kind = "dot", "Block dot-product unit"
    if isinstance(unit, DotArray):
        kind = f"Tile of {unit.rows}x{unit.columns} block dot-product units"
    if isinstance(unit.spec, QuantizerSpec):
        serial = isinstance(unit, SerialQuantizerUnit)
        library, kind = "quantizer", "Serial quantizer" if serial else "Quantizer"
    if isinstance(unit.spec, DequantizerSpec):
        library, kind = "dequantizer", "Dequantizer"
    lines = [
        "CAPI=2:",
        "",
        f"name: blockdot:{library}:{name}:{version}",
        f'description: "{kind} {unit.spec.name}, {unit.stages} register stages"',
        "",
        "filesets:",
        "  rtl:",
        f"    files: [{name}.v]",
        "    file_type: verilogSource",
        "  waivers:",
        f"    files: [{name}.vlt]",
        "    file_type: vlt",
    ]
    if testbench:
        lines += ["  tb:", f"    files: [{name}_tb.v]", "    file_type: verilogSource"]
    lines += [
        "",
        "targets:",
        "  default:",
        "    filesets: [rtl, waivers]",
        f"    toplevel: {name}",
        "  lint:",
        "    filesets: [rtl, waivers]",
        f"    toplevel: {name}",
        "    flow: lint",
        "    flow_options:",
        "      tool: verilator",
        "      verilator_options: [-Wall]",
    ]
    if testbench:
        lines += [
            "  sim:",
            "    filesets: [rtl, waivers, tb]",
            f"    toplevel: {name}_tb",
            "    flow: sim",
            "    flow_options:",
            "      tool: icarus",
            # Of each tool those that it knows: a bench with delays, built into a program by Verilator itself.
            "      mode: binary",
            "      verilator_options: [--timing]",
        ]
    return "\n".join([*lines, ""])
