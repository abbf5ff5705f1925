"""From a netlist to the resources of an FPGA, by Yosys's own flow for its family.

What is counted are the primitives that synthesis leaves: nothing is packed, placed or routed, so a look-up
table counts as one, whether it stands alone in its cell or not. `place` goes on from there.
"""

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from .netlist import Netlist, read_command
from .yosys import SynthesisError, YosysSession

__all__ = ["FPGA_TARGETS", "FPGA_VERSION", "FpgaResources", "FpgaSynthesizer", "FpgaTarget", "find_target"]

FPGA_VERSION: Final = 1
"""Goes up with every change to what is counted, the targets' commands apart; part of the cache's key."""


@dataclass(frozen=True)
class FpgaTarget:
    """A family of FPGAs.

    Attributes:
        name: What Yosys calls it.
        command: Its flow; the top's name follows.
        kinds: For each kind of resource, which primitives are of it. ``wires`` cost nothing.
    """

    name: str
    command: str
    kinds: Mapping[str, str]

    def kind(self, cell: str) -> str | None:
        """Return what kind of resource a primitive is; None if it is none."""
        return next((kind for kind, cells in self.kinds.items() if re.fullmatch(cells, cell)), None)


FPGA_TARGETS: Final[Mapping[str, FpgaTarget]] = MappingProxyType(
    {
        target.name: target
        for target in (
            FpgaTarget(
                "ice40",
                "synth_ice40 -dsp -top",
                {"luts": "SB_LUT4", "carries": "SB_CARRY", "flip_flops": r"SB_DFF\w*", "dsps": "SB_MAC16"},
            ),
            FpgaTarget(
                "ecp5",
                "synth_ecp5 -top",
                {
                    "luts": "LUT4",
                    "carries": "CCU2C",
                    "flip_flops": "TRELLIS_FF",
                    "dsps": "MULT18X18D",
                    "muxes": "PFUMX|L6MUX21",
                    "wires": "GSR",
                },
            ),
            FpgaTarget(
                "xilinx",
                # The unit is to be a part of something larger: its ports are no pins.
                "synth_xilinx -flatten -noiopad -noclkbuf -top",
                {
                    "luts": "LUT[1-6]|INV",
                    "carries": "CARRY4",
                    "flip_flops": r"FD[RSCP]E(?:_1)?",
                    "dsps": "DSP48E1",
                    "muxes": "MUXF[78]",
                    "wires": "GND|VCC",
                },
            ),
        )
    }
)
"""The families by name."""


def find_target(name: str) -> FpgaTarget:
    """Return a family by its name.

    Raises:
        ValueError: If there is no such family.
    """
    if name not in FPGA_TARGETS:
        raise ValueError(f"target must be one of {', '.join(FPGA_TARGETS)}, not {name!r}")
    return FPGA_TARGETS[name]


_NOTHING: Final = "$scopeinfo"


@dataclass(frozen=True)
class FpgaResources:
    """What a netlist takes of an FPGA.

    Attributes:
        luts: Look-up tables, of whatever number of inputs.
        carries: Carry cells: of one bit in iCE40, of two in ECP5, of four in Xilinx.
        flip_flops: Flip-flops.
        dsps: Multiplier blocks.
        muxes: Multiplexers that join look-up tables.
        counts: How many there are of each primitive, by name.
    """

    luts: int
    carries: int
    flip_flops: int
    dsps: int
    muxes: int
    counts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, record: Any) -> "FpgaResources":
        """Return what a JSON record says.

        Raises:
            KeyError, TypeError, ValueError: If it is of something else.
        """
        return cls(**{**record, "counts": tuple(record["counts"].items())})

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return asdict(self) | {"counts": dict(self.counts)}


def _resources(target: FpgaTarget, top: str, cells: Mapping[str, int]) -> FpgaResources:
    counts = {name: count for name, count in sorted(cells.items()) if name != _NOTHING}
    kinds: Counter[str] = Counter()
    for name, count in counts.items():
        kind = target.kind(name)
        if kind is None:
            raise SynthesisError(f"every cell of {top} must be a primitive of {target.name}, not {name}")
        kinds[kind] += count
    return FpgaResources(
        luts=kinds["luts"],
        carries=kinds["carries"],
        flip_flops=kinds["flip_flops"],
        dsps=kinds["dsps"],
        muxes=kinds["muxes"],
        counts=tuple(counts.items()),
    )


class FpgaSynthesizer(YosysSession):
    """Synthesizes for FPGAs, in a working directory of its own that goes when the block ends."""

    def run(self, netlist: Netlist, targets: Sequence[str]) -> dict[str, FpgaResources]:
        """Synthesize a netlist for each target.

        Args:
            netlist: The netlist.
            targets: Names out of `FPGA_TARGETS`.

        Returns:
            What it takes of each, by its name.

        Raises:
            ValueError: If there is no such target.
            SynthesisError: If Yosys fails, or a cell is left that is no primitive of the target.
        """
        for name in targets:
            find_target(name)
        directory, resources = self._mapped(netlist, targets)
        shutil.rmtree(directory)
        return resources

    def _mapped(self, netlist: Netlist, targets: Sequence[str]) -> tuple[Path, dict[str, FpgaResources]]:
        """Synthesize a netlist; return what it takes, and where the netlists lie, ``TARGET0.mapped``."""
        directory = self._directory()
        source, command = read_command(netlist, "netlist0")
        (directory / source).write_text(netlist.text, encoding="utf-8")
        job = {
            "setup": [],
            "designs": [[command, f"hierarchy -check -top {netlist.top}"]],
            "recipes": {name: [f"{FPGA_TARGETS[name].command} {netlist.top}"] for name in targets},
        }
        self._execute([netlist.top], directory, job)
        results = json.loads((directory / "result0.json").read_text(encoding="utf-8"))
        return directory, {
            name: _resources(FPGA_TARGETS[name], netlist.top, results[name]["cells"]) for name in targets
        }
