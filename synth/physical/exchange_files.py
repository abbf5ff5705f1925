"""A placed netlist as files: Verilog, DEF, SDC, SPEF, a picture, and beginnings for OpenROAD and LibreLane.

Cell number k of the netlist is named ``uK`` everywhere. A net bears the name of the port's bit that it is,
where it is one, and otherwise ``n`` and its number. The same netlist and placement give the same bytes.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ..cell_models import CellModels
from ..mapped_netlist import MappedNetlist, Net
from ..static_timing import analyse, waves_of
from ..timing_context import TimingContext
from ..wire_loads import WireLoads
from .core_area import Side
from .wires import Wires

__all__ = ["PlacedFiles", "net_names"]

_CONSTANTS: Final[Mapping[Net, str]] = {MappedNetlist.ZERO: "1'b0", MappedNetlist.ONE: "1'b1"}
# Readers take no resistance of nothing.
_LEAST_OHM: Final = 1e-3
_CLOCK: Final = "clk"
# The longer side of a picture, in its units.
_PICTURE: Final = 800
# A rectangle as wide as a wire, within the core.
_INWARD: Final[Mapping[Side, tuple[tuple[int, int], tuple[int, int]]]] = {
    "left": ((0, -1), (2, 1)),
    "right": ((-2, -1), (0, 1)),
    "bottom": ((-1, 0), (1, 2)),
    "top": ((-1, -2), (1, 0)),
}


def net_names(netlist: MappedNetlist) -> dict[Net, str]:
    """Return what the nets of ports are called: inputs before outputs, as an output may be an input."""
    names = dict(_CONSTANTS)
    for ports in (netlist.inputs, netlist.outputs):
        for port, nets in ports.items():
            for bit, net in enumerate(nets):
                names.setdefault(net, _bit_name(port, bit, len(nets)))
    return names


@dataclass(frozen=True)
class PlacedFiles:
    """Writes a placed netlist down.

    Attributes:
        top: The name of the module.
        wires: Its placement and wires.
        models: Its library.
        utilisation: The part of its core that is cells.
        aspect: The core's height over its width that was asked for.
    """

    top: str
    wires: Wires
    models: CellModels
    utilisation: float
    aspect: float

    @property
    def _netlist(self) -> MappedNetlist:
        return self.wires.connections.netlist

    @cached_property
    def _loads(self) -> WireLoads:
        return self.wires.loads(self.models)

    @cached_property
    def _names(self) -> dict[Net, str]:
        return net_names(self._netlist)

    def _name(self, net: Net) -> str:
        return self._names.get(net, f"n{net}")

    def files(self) -> dict[str, str]:
        """Return the text of each file, by its name, or by what stands behind the top's name in it."""
        files = {".v": self.verilog(), ".def": self.layout(), ".sdc": self.sdc(), ".spef": self.spef()}
        files[".svg"] = self.picture()
        files["openroad.tcl"] = self.openroad()
        # LibreLane reckons in nanoseconds.
        if self.models.library.delay_unit == "ns":
            files["config.json"] = self.librelane()
        return files

    # Verilog.

    def verilog(self) -> str:
        """The netlist, as plain Verilog."""
        netlist = self._netlist
        lines = [f"module {self.top} (", f"  {', '.join([*netlist.inputs, *netlist.outputs])}", ");"]
        for direction, ports in (("input", netlist.inputs), ("output", netlist.outputs)):
            for port, nets in ports.items():
                width = f"[{len(nets) - 1}:0] " if len(nets) > 1 else ""
                lines.append(f"  {direction} {width}{port};")
        inner = {net for one in netlist.instances for net in one.pins.values()} - self._names.keys()
        lines += [f"  wire n{net};" for net in sorted(inner)]
        for number, instance in enumerate(netlist.instances):
            joined = ", ".join(f".{pin}({self._name(net)})" for pin, net in instance.pins.items())
            lines.append(f"  {instance.cell} u{number} ({joined});")
        for port, nets in netlist.outputs.items():
            for bit, net in enumerate(nets):
                # What has another name already is led to this one too.
                if (own := _bit_name(port, bit, len(nets))) != self._name(net):
                    lines.append(f"  assign {own} = {self._name(net)};")
        return "\n".join([*lines, "endmodule", ""])

    # DEF.

    def layout(self) -> str:
        """The placement, as DEF 5.8: rows, cells, pins and nets, without wires."""
        wires, core = self.wires, self.wires.placement.core
        geometry, netlist = core.geometry, self._netlist
        lines = [
            "VERSION 5.8 ;",
            'DIVIDERCHAR "/" ;',
            'BUSBITCHARS "[]" ;',
            f"DESIGN {self.top} ;",
            f"UNITS DISTANCE MICRONS {geometry.microns} ;",
            f"DIEAREA ( 0 0 ) ( {core.width} {core.height} ) ;",
        ]
        lines += [
            f"ROW ROW_{row} {geometry.site} 0 {row * geometry.row_height} {_orientation(row)} "
            f"DO {core.sites} BY 1 STEP {geometry.site_width} 0 ;"
            for row in range(core.rows)
        ]
        for axis, layer, extent in (("Y", geometry.level, core.height), ("X", geometry.upright, core.width)):
            count = max(1, extent // layer.pitch)
            lines.append(
                f"TRACKS {axis} {layer.pitch // 2} DO {count} STEP {layer.pitch} LAYER {layer.name} ;"
            )
        lines.append(f"COMPONENTS {len(netlist.instances)} ;")
        corners, rows = wires.placement.corners.tolist(), wires.placement.rows.tolist()
        for number, (instance, (x, y), row) in enumerate(zip(netlist.instances, corners, rows, strict=True)):
            lines.append(f"- u{number} {instance.cell} + PLACED ( {x} {y} ) {_orientation(row)} ;")
        lines += ["END COMPONENTS", f"PINS {len(core.pins)} ;"]
        lines += self._pins()
        lines.append("END PINS")
        nets = list(self._net_lines())
        lines += [f"NETS {len(nets)} ;", *nets, "END NETS", "END DESIGN", ""]
        return "\n".join(lines)

    def _pins(self) -> Iterator[str]:
        core, netlist = self.wires.placement.core, self._netlist
        for (port, bit), pin in core.pins.items():
            out = port in netlist.outputs
            nets = (netlist.outputs if out else netlist.inputs)[port]
            layer = core.geometry.level if pin.side in ("left", "right") else core.geometry.upright
            half = layer.width // 2
            (left, low), (right, high) = _INWARD[pin.side]
            use = "CLOCK" if nets[bit] in self.wires.connections.clocks else "SIGNAL"
            # A pin that is a constant, or one net with another, has a net of its own to the reader.
            name = _bit_name(port, bit, len(nets))
            yield (
                f"- {name} + NET {name if nets[bit] < 0 else self._name(nets[bit])} "
                f"+ DIRECTION {'OUTPUT' if out else 'INPUT'} + USE {use} "
                f"+ LAYER {layer.name} ( {left * half} {low * half} ) ( {right * half} {high * half} ) "
                f"+ PLACED ( {pin.x} {pin.y} ) N ;"
            )

    def _net_lines(self) -> Iterator[str]:
        netlist = self._netlist
        joined: dict[Net, list[str]] = {}
        for ports in (netlist.inputs, netlist.outputs):
            for port, nets in ports.items():
                for bit, net in enumerate(nets):
                    joined.setdefault(net, []).append(f"( PIN {_bit_name(port, bit, len(nets))} )")
        for number, instance in enumerate(netlist.instances):
            for pin, net in instance.pins.items():
                joined.setdefault(net, []).append(f"( u{number} {pin} )")
        for net, pins in joined.items():
            if net >= 0:
                yield f"- {self._name(net)} {' '.join(pins)} ;"

    # SDC.

    def sdc(self) -> str:
        """The surroundings that our static timing reckons with, as constraints in the library's units."""
        netlist, models = self._netlist, self.models
        library = models.library
        context = TimingContext(models)
        timing = analyse(netlist, models, self._loads)
        period = timing.period / library.time_unit_ps
        clocked = bool(self.wires.connections.clocks)
        lines = [
            f"# Times in {library.time_unit_ps:g} ps, capacitances in {library.capacitance_unit_ff:g} fF.",
            f"create_clock -name {_CLOCK} -period {period:.9g}"
            + (f" [get_ports {_CLOCK}]" if clocked else ""),
        ]
        surroundings = context.surroundings()
        # A clock that no port brings has no slope to readers.
        if clocked and surroundings.clock_slope is not None:
            for edge, slope in zip(("rise", "fall"), surroundings.clock_slope, strict=True):
                lines.append(f"set_clock_transition -{edge} {slope:.9g} [get_clocks {_CLOCK}]")
        rise, fall = surroundings.driver_slope
        for port, nets in netlist.inputs.items():
            for bit, net in enumerate(nets):
                if net in self.wires.connections.clocks:
                    continue
                name = f"[get_ports {{{_bit_name(port, bit, len(nets))}}}]"
                lines.append(
                    f"set_driving_cell -lib_cell {context.driver.name} -input_transition_rise {rise:.9g} "
                    f"-input_transition_fall {fall:.9g} {name}"
                )
                for edge, arrival in zip(("rise", "fall"), surroundings.input_arrival, strict=True):
                    lines.append(f"set_input_delay -{edge} {arrival:.9g} -clock {_CLOCK} {name}")
        waves = waves_of(netlist, models, self._loads)
        load = library.output_load_ff / library.capacitance_unit_ff
        for port, nets in netlist.outputs.items():
            for bit, net in enumerate(nets):
                name = f"[get_ports {{{_bit_name(port, bit, len(nets))}}}]"
                lines.append(f"set_load -pin_load {load:.9g} {name}")
                if net in waves:
                    late = self._loads.port_delays.get((port, bit), 0.0)
                    setup = context.setup_times(waves[net].delayed(late, self._loads.slope_factor))
                    for edge, time in zip(("rise", "fall"), setup, strict=True):
                        lines.append(f"set_output_delay -{edge} {time:.9g} -clock {_CLOCK} {name}")
        return "\n".join([*lines, ""])

    # SPEF.

    def spef(self) -> str:
        """The wires, as resistances and capacitances; those of the clock's net are left out."""
        netlist = self._netlist
        lines = [
            '*SPEF "IEEE 1481-1998"',
            f'*DESIGN "{self.top}"',
            '*DATE ""',
            '*VENDOR "blockdot"',
            '*PROGRAM "blockdot"',
            '*VERSION ""',
            '*DESIGN_FLOW "NETLIST_TYPE_VERILOG"',
            "*DIVIDER /",
            "*DELIMITER :",
            "*BUS_DELIMITER [ ]",
            "*T_UNIT 1 PS",
            "*C_UNIT 1 FF",
            "*R_UNIT 1 OHM",
            "*L_UNIT 1 HENRY",
            "",
            "*PORTS",
        ]
        for direction, ports in (("I", netlist.inputs), ("O", netlist.outputs)):
            for port, nets in ports.items():
                lines += [f"{_bit_name(port, bit, len(nets))} {direction}" for bit in range(len(nets))]
        for net, pins in self.wires.pins():
            wire = self.wires.nets[net]
            name = self._name(net)
            nodes: list[str] = []
            lines += ["", f"*D_NET {name} {wire.capacitance:.6f}", "*CONN"]
            for place, (cell, pin, bit) in enumerate(pins):
                if cell < 0:
                    ports = netlist.outputs if place else netlist.inputs
                    nodes.append(_bit_name(pin, bit, len(ports[pin])))
                    lines.append(f"*P {nodes[-1]} {'O' if place else 'I'}")
                else:
                    nodes.append(f"u{cell}:{pin}")
                    lines.append(f"*I {nodes[-1]} {'I' if place else 'O'}")
            nodes += [f"{name}:{number}" for number in range(1, len(wire.tree.points) - len(pins) + 1)]
            lines.append("*CAP")
            for number, (node, farad) in enumerate(zip(nodes, wire.capacitances, strict=True), 1):
                lines.append(f"{number} {node} {farad:.6f}")
            lines.append("*RES")
            for number, ((a, b), ohm) in enumerate(zip(wire.tree.edges, wire.resistances, strict=True), 1):
                lines.append(f"{number} {nodes[a]} {nodes[b]} {max(ohm, _LEAST_OHM):.6f}")
            lines.append("*END")
        return "\n".join([*lines, ""])

    # A picture.

    def picture(self) -> str:
        """The layout as SVG: cells by when their last edge leaves them, from blue to red, and the wires.

        Flip-flops are green. A wire's level piece is drawn at its first end, its upright one at the other.
        """
        core = self.wires.placement.core
        scale = _PICTURE / max(core.width, core.height)
        waves = waves_of(self._netlist, self.models, self._loads)
        latest = {
            net: max(time for time in wave.arrival if math.isfinite(time))
            for net, wave in waves.items()
            if any(map(math.isfinite, wave.arrival))
        }
        end = max(latest.values(), default=1.0) or 1.0
        width, height = (round(side * scale, 1) for side in (core.width, core.height))
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {width + 4:g} {height + 4:g}" '
            f'role="img" aria-label="layout of {self.top}">',
            f'<rect width="{width:g}" height="{height:g}" fill="#fff" stroke="#888" stroke-width=".5"/>',
        ]
        corners = self.wires.placement.corners.tolist()
        sides = self.wires.placement.widths * core.geometry.site_width
        high = core.geometry.row_height * scale
        for instance, (x, y), side in zip(self._netlist.instances, corners, sides.tolist(), strict=True):
            model = self.models[instance.cell]
            times = [latest.get(instance.pins[pin], 0.0) for pin in model.functions if pin in instance.pins]
            hue = 120 if model.clock else round(240 * (1 - max(times, default=0.0) / end))
            lines.append(
                f'<rect x="{x * scale:.1f}" y="{height - y * scale - high:.1f}" width="{side * scale:.1f}" '
                f'height="{high:.1f}" fill="hsl({hue} 70% 75%)" stroke="#fff" stroke-width=".2"/>'
            )
        pieces: list[str] = []
        for wire in self.wires.nets.values():
            for a, b in wire.tree.edges:
                (x, y), (right, top) = wire.tree.points[a], wire.tree.points[b]
                pieces.append(
                    f"M{x * scale:.1f} {height - y * scale:.1f}H{right * scale:.1f}"
                    f"V{height - top * scale:.1f}"
                )
        lines.append(
            f'<path d="{"".join(pieces)}" fill="none" stroke="#000" stroke-opacity=".35" stroke-width=".3"/>'
        )
        return "\n".join([*lines, "</svg>", ""])

    # OpenROAD and LibreLane.

    def openroad(self) -> str:
        """Commands that read this placement, check it, and time it with two estimates of its wires."""
        geometry, library = self.wires.placement.core.geometry, self.models.library
        lef = " ".join(f"{{{name}}}" for name in geometry.files)
        liberty = " ".join(f"{{{source.name}}}" for source in library.sources)
        return f"""\
# For OpenROAD, in this folder: openroad openroad.tcl
# Where these files are elsewhere, say so here.
set lef_files [list {lef}]
set liberty_files [list {liberty}]
foreach file $lef_files {{ read_lef $file }}
foreach file $liberty_files {{ read_liberty $file }}
read_def {self.top}.def
read_sdc {self.top}.sdc
check_placement -verbose
# The wires that the period in the SDC was reckoned with: no slack, and none missing.
read_spef {self.top}.spef
report_worst_slack
# OpenROAD's own estimate of the same wires.
set_wire_rc -signal -layer {geometry.upright.name}
estimate_parasitics -placement
report_worst_slack
"""

    def librelane(self) -> str:
        """A configuration that begins with this netlist and core."""
        period = analyse(self._netlist, self.models, self._loads).period / 1000
        return (
            json.dumps(
                {
                    "DESIGN_NAME": self.top,
                    "VERILOG_FILES": [f"dir::{self.top}.v"],
                    # The netlist is mapped, and stays as it is.
                    "SYNTH_ELABORATE_ONLY": True,
                    "CLOCK_PORT": _CLOCK if self.wires.connections.clocks else None,
                    "CLOCK_PERIOD": round(period, 3),
                    "PNR_SDC_FILE": f"dir::{self.top}.sdc",
                    "FP_CORE_UTIL": round(100 * self.utilisation, 1),
                    "FP_ASPECT_RATIO": self.aspect,
                },
                indent=2,
            )
            + "\n"
        )


def _bit_name(port: str, bit: int, width: int) -> str:
    return f"{port}[{bit}]" if width > 1 else port


def _orientation(row: int) -> str:
    return "FS" if row % 2 else "N"
