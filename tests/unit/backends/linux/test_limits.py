"""Buckets and places: what one takes too much is not missing to another."""

from __future__ import annotations

from weft.backends.linux.limits import Buckets, Places


def test_bucket_is_refilled_by_time() -> None:
    now = 100.0
    buckets = Buckets(8, 3, lambda: now)
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b")
    now += 0.125
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    now += 1000
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]


def test_buckets_that_are_full_again_are_forgotten() -> None:
    now = 100.0
    buckets = Buckets(1, 10, lambda: now)
    for key in range(20_001):
        buckets.take(key)
    now += 11
    for key in range(3):
        buckets.take(("new", key))
    assert len(buckets._levels) < 10


def test_places() -> None:
    places = Places(2, 3)
    assert [places.enter("a"), places.enter("a"), places.enter("a")] == [True, True, False]
    assert [places.enter("b"), places.enter("c")] == [True, False]
    places.leave("a")
    assert places.enter("c")
