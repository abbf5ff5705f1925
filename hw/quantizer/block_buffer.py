"""What a serial quantizer does before it rounds elements: it keeps a block until its scale is known."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from ..leaves.bits import wire
from ..leaves.comparison import exceeds
from .form import QuantizerForm
from .largest_magnitude import read_magnitude, searched_magnitude
from .midpoints import MidpointsStep
from .records import Lanes, LargestMagnitude, Midpoints
from .scale_choice import ScaleStep

__all__ = ["build_block_buffer"]


def build_block_buffer(
    m: Module, platform: object, form: QuantizerForm, code: Value, taken: Value, move: Value
) -> tuple[Signal, Signal, Midpoints]:
    """Keep numbers of a block as they come; once the last one is there, give them back, one a cycle.

    There is a place for each number of one block, no more. The numbers of a block leave in the cycles behind
    the one in which its last number came, and the next block's come in these cycles at the earliest: each
    takes a place in the cycle in which that is read, or later. So the buffer is never full, and whether a
    number can be taken depends on `move` alone. In the cycle of the last number the largest magnitude of all
    is known, and the scale and its multiples are told from it; registers hold them while the block leaves.

    Args:
        m: The module to build in.
        platform: What the module's ``elaborate`` was given.
        form: How the quantizer is built.
        code: The code of the number that is offered.
        taken: It is taken in this cycle: only while everything moves.
        move: Everything moves in this cycle, or stands still.

    Returns:
        Whether a number leaves; whether it is its block's last; and the number, as the one lane of what is
        compared.
    """
    size = form.spec.block_size
    digits = (size - 1).bit_length()
    magnitude = wire(m, read_magnitude(form, code), "magnitude")
    searched = wire(m, searched_magnitude(form, magnitude), "searched")
    write, read = (Signal(digits, name=f"{name}_place") for name in ("write", "read"))
    reading = Signal()

    # As much of the largest magnitude so far as the scale depends on: its bit for what is below compares too.
    so_far = Signal(len(searched), reset_less=True)
    larger = wire(m, exceeds(m, searched, so_far, 0, "larger", fast=form.fast), "is_larger")
    largest = wire(m, Mux(larger | ~write.any(), searched, so_far), "largest")
    chosen = ScaleStep(form).build(m, platform, LargestMagnitude(Lanes(Const(0, 1), ()), largest))
    midpoints = MidpointsStep(form).build(m, platform, chosen)

    is_last = wire(m, write.all(), "is_last")
    leaves_last = wire(m, read.all(), "leaves_last")
    with m.If(taken):
        m.d.sync += [so_far.eq(largest), write.eq(write + 1)]
    with m.If(move):
        m.d.sync += reading.eq((taken & is_last) | (reading & ~leaves_last))
    with m.If(move & reading):
        m.d.sync += read.eq(read + 1)

    def keep(name: str, value: Value) -> Value:
        held = Signal(len(value), name=f"block_{name}", reset_less=True)
        m.d.sync += held.eq(value)
        return held

    with m.If(taken & is_last):
        nan, scale = keep("nan", midpoints.nan), keep("scale", midpoints.scale)
        multiple = midpoints.multiple.map(keep)

    places: list[Value] = []
    whole = Cat(magnitude, code[-1])
    for k in range(size):
        place = Signal(len(whole), name=f"place_{k}", reset_less=True)
        with m.If(taken & (write == k)):
            m.d.sync += place.eq(whole)
        places.append(place)
    left = wire(m, _at(m, places, read), "leaves")
    return reading, leaves_last, Midpoints(Lanes(left[-1], (left[:-1],)), nan, scale, multiple)


def _at(m: Module, values: list[Value], place: Value) -> Value:
    """Return the value at a place: by halves, the lowest digit of the place first."""
    for k, digit in enumerate(place):
        values = [
            wire(m, Mux(digit, values[i + 1], values[i]), f"among_{k}_{i // 2}")
            for i in range(0, len(values), 2)
        ]
    (value,) = values
    return value
