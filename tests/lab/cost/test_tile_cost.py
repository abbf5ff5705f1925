from pathlib import Path

import pytest
from blockdot.hw import UnitConfig
from blockdot.lab.cost.tile_cost import measure_tiles
from blockdot.model import DotSpec
from blockdot.synth.neutral_library import neutral
from messages import check_messages


def tile(scale: str, rows: int, columns: int) -> UnitConfig:
    return UnitConfig(DotSpec(scale=scale, block_size=2), stages=0, tile=(rows, columns))


def test_a_wider_tile_costs_less_a_product_as_it_decodes_less(synthesis_cache: Path):
    units = [tile("ue4m3", 1, 2), tile("ue5m3", 1, 2), tile("ue4m3", 1, 1)]
    wide, other, single = measure_tiles(units, neutral(), orders=2, cache=synthesis_cache, workers=1)
    assert wide.unit.name == "array1x2_e2m1_ue4m3_n2_none_s0"
    assert (wide.base, wide.delta, other.base) == (None, None, wide.unit)
    assert single.base is None  # another shape
    assert other.delta is not None
    assert other.delta.values == pytest.approx(
        [100 * (b / a - 1) for a, b in zip(wide.area.values, other.area.values, strict=True)]
    )
    assert wide.area.median < single.area.median
    assert other.to_dict()["base"] == wide.unit.name
    assert other.to_dict()["tile"] == [1, 2]


def test_parameters():
    check_messages(
        [
            (
                ValueError,
                "orders must be at least 2 for an error bar, not 1",
                lambda: measure_tiles([tile("ue4m3", 1, 1)], neutral(), orders=1),
            ),
            (
                ValueError,
                "units must be tiles, not e2m1_ue5m3_n2_none_s0",
                lambda: measure_tiles([UnitConfig(DotSpec(block_size=2), stages=0)], neutral()),
            ),
        ]
    )
