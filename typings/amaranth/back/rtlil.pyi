# amaranth-stubs leaves this module out.
from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Elaboratable, Fragment, Signal

def convert(
    elaboratable: Elaboratable | Fragment,
    name: str = "top",
    platform: Any = None,
    *,
    ports: Iterable[Signal] | None = None,
    emit_src: bool = True,
) -> str: ...
