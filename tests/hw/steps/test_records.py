"""Records between steps: their wires have stable names, in the order in which registers are emitted."""

import pytest
from amaranth.hdl import Signal, Value
from blockdot.hw.accumulate.exact import ExactSum
from blockdot.hw.steps.records import (
    Accumulating,
    Codes,
    Factor,
    Magnitudes,
    Normalised,
    PairedMagnitudes,
    ProductRow,
    Products,
    Record,
    Result,
    SavedSum,
    SavedSums,
    ScaleFactors,
    Scaling,
    Special,
)

S = Signal

NAMES: list[tuple[Record, str]] = [
    (Codes(S(), S(), S(), S()), "a b a_scale b_scale"),
    (Special(S(), None), "nan"),
    (
        # Two blocks of two terms each.
        Products(
            tuple(ProductRow(S(), S()) for _ in range(4)),
            (ScaleFactors((S(), S()), S()), ScaleFactors((S(),), S())),
            Special(S(), S()),
        ),
        "negative_0 magnitude_0 negative_1 magnitude_1 significand_0_0 significand_0_1 exponent_0 "
        "negative_2 magnitude_2 negative_3 magnitude_3 significand_1_0 exponent_1 nan infinite",
    ),
    (
        SavedSums((ScaleFactors((), S()),), Special(S(), None), (SavedSum(S(), S()), SavedSum(S(), S()))),
        "exponent_0 nan save_0 carry_0 save_1 carry_1",
    ),
    (
        Magnitudes((S(),), Special(S(), None), (S(), S()), S(), (S(), S())),
        "exponent_0 nan negative_0 negative_1 zeros magnitude_0 magnitude_1",
    ),
    (
        PairedMagnitudes((S(),), Special(S(), None), (S(), S()), None, (S(), S())),
        "exponent_0 nan negative_0 magnitude_0 negative_1 magnitude_1",
    ),
    (Normalised(Special(S(), None), S(), S(), S(), S()), "nan negative_0 nonzero fraction field"),
    (ExactSum(Special(S(), S()), S(), S()), "window nan carries infinite"),
    (Accumulating(Special(S(), None), S(), S()), "nan first enable"),
    (
        Scaling(Result(S()), Factor(S(), S(), S(), S(), S())),
        "result g_negative g_exponent g_significand g_nan g_infinite",
    ),
]


@pytest.mark.parametrize(("record", "names"), NAMES, ids=lambda value: type(value).__name__)
def test_wires_are_named_in_order(record: Record, names: str):
    assert list(record.named()) == names.split()


@pytest.mark.parametrize(("record", "names"), NAMES, ids=lambda value: type(value).__name__)
def test_every_value_is_changed_into_another_of_the_same_place(record: Record, names: str):
    made: dict[str, Value] = {}

    def change(name: str, value: Value) -> Value:
        assert record.named()[name] is value
        return made.setdefault(name, Signal())

    changed = record.map(change)
    assert type(changed) is type(record)
    assert list(made) == names.split()
    assert all(changed.named()[name] is value for name, value in made.items())
