"""A design to synthesize, as it is handed to Yosys."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["Language", "Netlist", "read_command"]

Language = Literal["rtlil", "verilog"]

_READ: Final[Mapping[str, str]] = MappingProxyType({"rtlil": "read_rtlil", "verilog": "read_verilog -sv"})
_TOP: Final = re.compile(r"[A-Za-z_][\w$.]*")


@dataclass(frozen=True)
class Netlist:
    """A design to synthesize.

    Attributes:
        text: Its source.
        top: Name of its top module.
        language: ``rtlil`` (what Amaranth emits) or ``verilog``.
    """

    text: str
    top: str
    language: Language = "rtlil"

    def __post_init__(self) -> None:
        if self.language not in _READ:
            raise ValueError(f"language must be one of {', '.join(_READ)}, not {self.language!r}")
        if not _TOP.fullmatch(self.top):
            raise ValueError(f"top must be a module's name, not {self.top!r}")

    @cached_property
    def sha256(self) -> str:
        """A SHA-256 over all of it, in hexadecimal."""
        return hashlib.sha256("\0".join((self.language, self.top, self.text)).encode()).hexdigest()


def read_command(netlist: Netlist, name: str) -> tuple[str, str]:
    """Return the name of the file that a netlist is to be written to, and what makes Yosys read it."""
    source = f"{name}.{'il' if netlist.language == 'rtlil' else 'v'}"
    return source, f"{_READ[netlist.language]} {source}"
