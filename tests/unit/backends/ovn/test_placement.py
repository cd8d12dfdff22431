"""Where gateways of routers live: everybody who can, few moves, even load, the reason where there is nobody."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.ovn.chassis import Chassis
from weft.backends.ovn.placement import MOST, Wish, candidates, place, why_none

NETWORKS = ("physnet1", "physnet2")
ZONES = ("az1", "az2")

chassis = st.builds(
    Chassis,
    id=st.integers(1, 9).map("c{}".format),
    host=st.just("h"),
    alive=st.booleans(),
    bridge_mappings=st.sets(st.sampled_from(NETWORKS)).map(lambda found: dict.fromkeys(sorted(found), "br-ex")),
    gateway=st.booleans(),
    zones=st.sets(st.sampled_from(ZONES)).map(lambda found: tuple(sorted(found))),
)
clouds = st.lists(chassis, unique_by=lambda one: one.id, max_size=9)
wish = st.builds(Wish, st.sampled_from(("", *NETWORKS)), st.sets(st.sampled_from(ZONES)).map(tuple))
wishes = st.dictionaries(st.integers(0, 20).map("g{}".format), wish, max_size=12)
orders = st.dictionaries(
    st.integers(0, 20).map("g{}".format), st.lists(st.integers(1, 12).map("c{}".format), max_size=8), max_size=12
)


@given(wishes, clouds, orders)
def test_as_many_as_can_and_nobody_else(
    wanted: dict[str, Wish], cloud: list[Chassis], now: dict[str, list[str]]
) -> None:
    found = place(wanted, cloud, now)
    assert set(found) == set(wanted)
    for gateway, order in found.items():
        able = {one.id for one in candidates(wanted[gateway], cloud)}
        assert len(order) == len(set(order)) == min(MOST, len(able))
        assert set(order) <= able
        assert bool(order) == (why_none(wanted[gateway], cloud) == "")


@given(wishes, clouds, orders, st.randoms())
def test_deciding_again_moves_nothing(
    wanted: dict[str, Wish], cloud: list[Chassis], now: dict[str, list[str]], random: object
) -> None:
    found = place(wanted, cloud, now)
    random.shuffle(cloud)  # type: ignore[attr-defined]
    assert place(dict(reversed(wanted.items())), cloud, found) == found
    assert place(wanted, cloud, now) == found


@given(wishes, clouds, orders, st.integers(0, 8))
def test_one_that_goes_takes_only_its_own(
    wanted: dict[str, Wish], cloud: list[Chassis], now: dict[str, list[str]], which: int
) -> None:
    """Its gateways move to who stood by first, and the others stay."""
    if len(cloud) < 2:
        return
    before = place(wanted, cloud, now)
    gone = cloud[which % len(cloud)]
    rest = [one for one in cloud if one is not gone]
    if any(one.gateway for one in cloud) != any(one.gateway for one in rest):
        return  # now every chassis is one for gateways
    after = place(wanted, rest, before)
    for gateway, order in before.items():
        stayed = [id for id in order if id != gone.id]
        assert list(after[gateway])[: len(stayed)] == stayed


@given(wishes, clouds, orders, chassis)
def test_one_that_comes_takes_nobodys(
    wanted: dict[str, Wish], cloud: list[Chassis], now: dict[str, list[str]], new: Chassis
) -> None:
    new = replace(new, id="c99")
    if new.gateway and not any(one.gateway for one in cloud):
        return  # an operator has said for the first time who is one for gateways
    before = place(wanted, cloud, now)
    after = place(wanted, [*cloud, new], before)
    for gateway, order in before.items():
        assert after[gateway][: len(order)] == order


@given(st.integers(1, 30), st.integers(1, 7))
def test_new_ones_are_spread_evenly(gateways: int, hosts: int) -> None:
    cloud = [Chassis(f"c{n}", f"h{n}") for n in range(hosts)]
    found = place({f"g{n}": Wish() for n in range(gateways)}, cloud, {})
    for rank in range(min(hosts, MOST)):
        load = Counter(order[rank] for order in found.values())
        assert max(load.values()) - min(load.get(one.id, 0) for one in cloud) <= 1 or rank > 0


def test_a_dead_one_gets_no_new_gateway_but_keeps_its_own() -> None:
    """OVN has moved the traffic already, and moves it back without being told."""
    cloud = [Chassis("c1", "h1", alive=False), Chassis("c2", "h2")]
    found = place({"old": Wish(), "new": Wish()}, cloud, {"old": ["c1", "c2"]})
    assert found == {"old": ("c1", "c2"), "new": ("c2", "c1")}


@pytest.mark.parametrize(
    ("wanted", "cloud", "reason"),
    [
        (Wish(), [], "there is no chassis"),
        (Wish("physnet1"), [Chassis("c", "h")], "no chassis has physical network physnet1"),
        (
            Wish("physnet1", ("az9",)),
            [Chassis("c", "h", bridge_mappings={"physnet1": "b"}, zones=("az1",))],
            "no chassis in availability zone az9 has physical network physnet1",
        ),
        (Wish("", ("az9",)), [Chassis("c", "h")], "no chassis in availability zone az9"),
        (
            Wish("physnet1"),
            [Chassis("c", "h", bridge_mappings={"physnet1": "b"}), Chassis("d", "i", gateway=True)],
            "no chassis with physical network physnet1 is meant for gateways",
        ),
        (
            Wish("b", also=frozenset("a")),
            [Chassis("c", "h", bridge_mappings={"a": "x"}), Chassis("d", "i", bridge_mappings={"b": "x"})],
            "no chassis has physical networks a and b",
        ),
        (Wish("physnet1"), [Chassis("c", "h", bridge_mappings={"physnet1": "b"})], ""),
    ],
)
def test_why_there_is_none(wanted: Wish, cloud: list[Chassis], reason: str) -> None:
    assert why_none(wanted, cloud) == reason
