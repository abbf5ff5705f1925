import pytest
from blockdot.synth.cell_tables import Table


def test_tables_between_and_beyond_their_entries():
    table = Table((0.0, 10.0), (1.0, 2.0, 4.0), ((0.0, 1.0, 3.0), (10.0, 21.0, 43.0)))
    assert table(0.0, 1.0) == 0.0
    assert table(10.0, 4.0) == 43.0
    assert table(5.0, 1.5) == pytest.approx((0.5 + 15.5) / 2)
    assert table(20.0, 1.0) == pytest.approx(20.0)
    assert table(0.0, 6.0) == pytest.approx(5.0)
    assert table(0.0, 0.0) == pytest.approx(-1.0)
    assert Table((3.0,), (1.0, 2.0), ((5.0, 7.0),))(99.0, 1.5) == 6.0
    assert Table((1.0, 2.0), (3.0,), ((5.0,), (7.0,)))(1.5, 99.0) == 6.0
    assert Table((0.0,), (0.0,), ((4.0,),))(1.0, 1.0) == 4.0
