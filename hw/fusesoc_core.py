"""A FuseSoC core file beside a unit's Verilog."""

from .quantizer_unit import QuantizerUnit
from .stream_unit import StreamUnit
from .tile import DotArray

__all__ = ["core_file"]


def core_file(unit: StreamUnit, *, version: str, testbench: bool = False) -> str:
    """Return the text of ``NAME.core``, a core description of FuseSoC's CAPI2.

    The core is ``blockdot:dot:NAME``, that of a quantizer ``blockdot:quantizer:NAME``. Its targets are
    ``default`` (the Verilog, to depend on), ``lint`` (Verilator) and, with a test bench ``NAME_tb.v`` beside
    it, ``sim`` (Icarus or Verilator).

    Args:
        unit: The unit.
        version: The core's version.
        testbench: Whether there is a test bench.
    """
    name = unit.name
    library, kind = "dot", "Block dot-product unit"
    if isinstance(unit, DotArray):
        kind = f"Tile of {unit.rows}x{unit.columns} block dot-product units"
    if isinstance(unit, QuantizerUnit):
        library, kind = "quantizer", "Quantizer"
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
    ]
    if testbench:
        lines += ["  tb:", f"    files: [{name}_tb.v]", "    file_type: verilogSource"]
    lines += [
        "",
        "targets:",
        "  default:",
        "    filesets: [rtl]",
        f"    toplevel: {name}",
        "  lint:",
        "    filesets: [rtl]",
        f"    toplevel: {name}",
        "    flow: lint",
        "    flow_options:",
        "      tool: verilator",
    ]
    if testbench:
        lines += [
            "  sim:",
            "    filesets: [rtl, tb]",
            f"    toplevel: {name}_tb",
            "    flow: sim",
            "    flow_options:",
            "      tool: icarus",
        ]
    return "\n".join([*lines, ""])
