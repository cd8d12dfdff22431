"""Which addresses are tried for a port: few, near the beginning of the pools, and with one look also where that is full."""

from __future__ import annotations

import random

import pytest

from weft.ipam.ranges import DRAWS, WINDOW, candidates

DRAW = random.Random(7)


@pytest.mark.parametrize("total", [1, 2, 254, WINDOW])
def test_a_small_pool_is_tried_whole(total: int) -> None:
    (batch,) = candidates([(10, 9 + total)], 1, DRAW)
    assert sorted(batch) == list(range(10, 10 + total))


@pytest.mark.parametrize("total", [WINDOW + 1, 5000, 65534, 2**64])
@pytest.mark.parametrize("count", [1, 50])
def test_batches_reach_all_of_a_large_pool(total: int, count: int) -> None:
    batches = list(candidates([(0, 9), (1000, 989 + total)], count, DRAW))
    for batch in batches:
        assert len(batch) == len(set(batch))
        assert all(0 <= one <= 9 or 1000 <= one <= 989 + total for one in batch)
    assert max(batches[-1]) >= total // 4
    assert all(len(batch) <= max(DRAWS, 2 * count) + 8 for batch in batches)


def test_the_first_batch_knows_a_way_out_of_a_full_window() -> None:
    for _ in range(100):
        first = next(candidates([(0, 65533)], 1, DRAW))
        near = [one for one in first if one < WINDOW]
        assert len(near) > DRAWS // 2
        assert [one for one in first if one >= WINDOW] == first[:4]
        windows = [(64000, 65534), (16000, 64000), (4000, 16000), (1000, 4000)]
        assert all(lower <= one < upper for one, (lower, upper) in zip(first, windows, strict=False))
