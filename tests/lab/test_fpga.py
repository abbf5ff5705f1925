import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from blockdot.lab.fpga import RESOURCES, fpga
from blockdot.lab.measure import Unit
from blockdot.model import DotSpec, formats
from messages import check_messages

UNITS = [Unit(DotSpec(scale=scale, block_size=2), 0) for scale in ("ue4m3", "ue5m3")]


class Masked(wiring.Component):
    """As many two-input gates as an exponent has bits, and one more in every second order."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({"a": In(width), "b": In(width), "y": Out(width)})

    def elaborate(self, _: object) -> Module:
        m = Module()
        m.d.comb += self.y.eq(self.a & self.b)
        return m


def make(unit: Unit, order: int) -> tuple[str, str]:
    width = formats.get(unit.spec.scales[0].name).exponent_bits + order % 2
    return rtlil.convert(Masked(width), name="top", emit_src=False), "top"


def test_resources_and_their_difference_are_paired_by_order():
    seen: list[tuple[int, int, str]] = []
    narrow, wide = fpga(
        UNITS, ["ice40"], orders=2, make=make, workers=2, progress=lambda *state: seen.append(state)
    )
    assert narrow.resources["luts"].values == (4, 5)
    assert wide.resources["luts"].values == (5, 6)
    assert {wide.resources[name].median for name in RESOURCES if name != "luts"} == {0}
    assert (narrow.base, narrow.delta, wide.base) == (None, None, UNITS[0])
    assert wide.delta is not None
    assert wide.delta.values == pytest.approx((25, 20))
    assert [(done, total) for done, total, _ in seen] == [(k, 4) for k in range(1, 5)]
    record = wide.to_dict()
    assert (record["target"], record["luts"]["median"], record["base"]) == ("ice40", 5.5, UNITS[0].name)


def test_parameters():
    check_messages(
        [
            (
                ValueError,
                "orders must be at least 2 for an error bar, not 1",
                lambda: fpga(UNITS, ["ice40"], orders=1),
            ),
            (
                ValueError,
                "target must be one of ice40, ecp5, xilinx, not 'max10'",
                lambda: fpga(UNITS, ["max10"], orders=2, make=make),
            ),
        ]
    )
