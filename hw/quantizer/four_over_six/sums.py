"""Sums of many rows of bits, and numbers that are taken away from them."""

from amaranth.hdl import Module, Value

from ...hierarchy import add_submodule
from ...leaves.bits import wire
from ...leaves.compressor import Columns, FinalAdder
from ..form import QuantizerForm

__all__ = ["take_away", "total"]


def total(m: Module, platform: object, form: QuantizerForm, columns: Columns) -> Value:
    """Return the sum of columns."""
    if not form.fast:
        return wire(m, columns.total(m, "ripple"), f"{columns.name}_total")
    adder = FinalAdder(width=columns.width, adder="sklansky")
    add_submodule(m, platform, f"{columns.name}_adder", adder)
    save, carry = columns.carry_save(m)
    m.d.comb += [adder.save.eq(save), adder.carry.eq(carry)]
    return adder.total


def take_away(columns: Columns, place: int, row: Value) -> None:
    """Put a number in columns that is to be subtracted."""
    columns.put_all(place, ~row)
    columns.put_constant(-((1 << len(row)) - 1) << place)
