"""What a router's namespace holds, as text and values; no kernel."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from weft.backends.linux import router
from weft.backends.linux.router import Hop, RouterState
from weft.logical.model import Address, Gateway, LogicalRouter, Nat, PortForwarding, Route, RouterPort

A, B, G, EXT = (letter * 8 + "-1111-2222-3333-444444444444" for letter in "abef")


def address(cidr: str) -> Address:
    ip, _, length = cidr.partition("/")
    return Address(ip, int(length), "subnet")


GATEWAY = Gateway(
    G,
    EXT,
    "fa:16:3e:00:00:0e",
    1500,
    (address("203.0.113.10/24"), address("2001:db8:e::10/64")),
    nexthops=("203.0.113.1", "2001:db8:e::1"),
)
LEGS = (
    RouterPort(A, A, "fa:16:3e:00:00:0a", 1450, (address("10.0.0.1/24"), address("fd00:a::1/64"))),
    RouterPort(B, B, "fa:16:3e:00:00:0b", 1400, (address("10.0.1.1/24"),)),
)
FULL = LogicalRouter(
    "1234",
    ports=LEGS,
    gateway=GATEWAY,
    nats=(Nat("n2", "203.0.113.112", "10.0.0.12"), Nat("n1", "203.0.113.111", "10.0.0.11")),
    forwardings=(PortForwarding("f", "tcp", "203.0.113.120", (2222, 2222), "10.0.0.13", (22, 22)),),
    routes=(Route("172.20.0.0/16", "10.0.1.9"), Route("172.20.0.0/16", "10.0.0.9"), Route("fd00:20::/64", "fd00:a::9")),
)


def render(one: LogicalRouter) -> RouterState:
    return router.render(one, "weft")


def test_namespace_and_legs() -> None:
    state = render(FULL)
    assert state.namespace == "weft-qrouter-1234"
    legs = [(x.name, x.tap, x.bridge, x.mac, x.mtu, x.up, x.addresses, set(x.floating)) for x in state.legs.values()]
    assert legs == [
        (
            "qr-aaaaaaaa-11",
            "tapaaaaaaaa-11",
            "brqaaaaaaaa-11",
            "fa:16:3e:00:00:0a",
            1450,
            True,
            ("10.0.0.1/24", "fd00:a::1/64"),
            set(),
        ),
        (
            "qr-bbbbbbbb-11",
            "tapbbbbbbbb-11",
            "brqbbbbbbbb-11",
            "fa:16:3e:00:00:0b",
            1400,
            True,
            ("10.0.1.1/24",),
            set(),
        ),
        (
            "qg-eeeeeeee-11",
            "tapeeeeeeee-11",
            "brqffffffff-11",
            "fa:16:3e:00:00:0e",
            1500,
            True,
            ("203.0.113.10/24", "2001:db8:e::10/64"),
            {"203.0.113.111/32", "203.0.113.112/32", "203.0.113.120/32"},
        ),
    ]
    assert all(len(name) <= 15 for leg in state.legs.values() for name in (leg.name, leg.tap, leg.bridge))


def test_namespace_beside_the_processs_own() -> None:
    assert router.render(FULL, "").namespace == "qrouter-1234"


def test_routes() -> None:
    assert render(FULL).routes == {
        "0.0.0.0/0": {Hop("203.0.113.1", "qg-eeeeeeee-11")},
        "::/0": {Hop("2001:db8:e::1", "qg-eeeeeeee-11")},
        "172.20.0.0/16": {Hop("10.0.0.9", "qr-aaaaaaaa-11"), Hop("10.0.1.9", "qr-bbbbbbbb-11")},
        "fd00:20::/64": {Hop("fd00:a::9", "qr-aaaaaaaa-11")},
    }


@pytest.mark.parametrize(
    ("nexthops", "wanted"),
    [
        (("203.0.113.1", "192.0.2.1"), {"0.0.0.0/0": Hop("203.0.113.1", "qg-eeeeeeee-11")}),
        (("192.0.2.1", "203.0.113.1"), {"0.0.0.0/0": Hop("203.0.113.1", "qg-eeeeeeee-11")}),
        (("192.0.2.1",), {"0.0.0.0/0": Hop("192.0.2.1", "qg-eeeeeeee-11", onlink=True)}),
        (("2001:db8:f::1",), {"::/0": Hop("2001:db8:f::1", "qg-eeeeeeee-11", onlink=True)}),
        (("fe80::1",), {"::/0": Hop("fe80::1", "qg-eeeeeeee-11")}),
        ((), {}),
    ],
)
def test_default_routes(nexthops: tuple[str, ...], wanted: dict[str, Hop]) -> None:
    one = replace(FULL, gateway=replace(GATEWAY, nexthops=nexthops), routes=())
    assert render(one).routes == {to: {hop} for to, hop in wanted.items()}


def test_routes_through_a_leg_that_is_down_are_left_out() -> None:
    down = replace(FULL, ports=(LEGS[0], replace(LEGS[1], enabled=False)))
    assert render(down).routes["172.20.0.0/16"] == {Hop("10.0.0.9", "qr-aaaaaaaa-11")}
    off = render(replace(FULL, enabled=False))
    assert off.routes == {}
    assert not any(leg.up for leg in off.legs.values())
    assert off.problems == ()


def test_route_that_no_leg_reaches_is_a_problem() -> None:
    state = render(replace(FULL, routes=(Route("10.99.0.0/16", "192.0.2.1"),)))
    assert "10.99.0.0/16" not in state.routes
    assert state.problems == ("route to 10.99.0.0/16: no leg of the router reaches 192.0.2.1",)


def test_route_to_a_connected_subnet_is_left_out() -> None:
    state = render(replace(FULL, routes=(Route("10.0.1.0/24", "10.0.0.9"), Route("fd00:A::/64", "fd00:a::9"))))
    assert set(state.routes) == {"0.0.0.0/0", "::/0"}


def test_order_of_what_is_asked_for_does_not_matter() -> None:
    shuffled = replace(FULL, ports=FULL.ports[::-1], nats=FULL.nats[::-1], routes=FULL.routes[::-1])
    assert render(shuffled) == render(FULL)
    assert router.table(render(shuffled)) == router.table(render(FULL))


def rules(state: RouterState, chain: str) -> list[str]:
    found = re.search(rf"chain {chain} {{\n(.*?)\n}}", state.chains, re.DOTALL)
    assert found
    return [line.strip() for line in found[1].splitlines()][1:]


def test_rules_of_a_router_without_gateway() -> None:
    state = render(replace(FULL, gateway=None))
    assert rules(state, "prerouting") == [
        "ip daddr 169.254.169.254 tcp dport 80 redirect to :9697",
        "ip daddr 169.254.169.254 meta l4proto { tcp, udp } th dport 53 redirect to :9653",
    ]
    assert rules(state, "postrouting") == []
    assert rules(state, "forward") == ["ct state established,related accept"]
    assert not any(state.elements.values()), "nobody outside can come in"
    assert not any(leg.floating for leg in state.legs.values())


def test_rules_with_snat() -> None:
    state = render(FULL)
    assert rules(state, "postrouting")[-2:] == [
        "snat ip to ip saddr map @floating_out",
        "snat ip to 203.0.113.10 fully-random",
    ]
    assert len(rules(state, "forward")) == 3


def test_rules_without_snat_keep_floating_ips() -> None:
    state = render(replace(FULL, gateway=replace(GATEWAY, enable_snat=False)))
    assert rules(state, "postrouting")[-2:] == [
        "snat ip to ip saddr map @floating_out",
        'oifname != "qg-eeeeeeee-11" snat ip to 203.0.113.10 fully-random',
    ]
    assert rules(state, "forward") == ["ct state established,related accept"]


def test_rules_with_an_ipv6_gateway_only() -> None:
    state = render(replace(FULL, gateway=replace(GATEWAY, addresses=GATEWAY.addresses[1:])))
    assert rules(state, "postrouting") == []


def test_number_of_rules_does_not_grow() -> None:
    many = tuple(Nat(str(n), f"100.64.{n >> 8}.{n & 255}", f"10.1.{n >> 8}.{n & 255}") for n in range(3000))
    assert render(replace(FULL, nats=many)).chains == render(FULL).chains


@pytest.mark.parametrize(
    ("protocol", "outside", "inside", "wanted"),
    [
        ("tcp", (22, 22), (2222, 2222), {"forward_port": {"1.1.1.1 . 6 . 22": "10.0.0.1 . 2222"}}),
        ("17", (53, 53), (53, 53), {"forward_port": {"1.1.1.1 . 17 . 53": "10.0.0.1 . 53"}}),
        ("sctp", (1, 9), (1, 9), {"forward_same": {"1.1.1.1 . 132 . 1-9": "10.0.0.1"}}),
        ("udp", (1, 9), (7, 7), {"forward_many": {"1.1.1.1 . 17 . 1-9": "10.0.0.1 . 7"}}),
        (
            "tcp",
            (1, 3),
            (7, 9),
            {"forward_port": {f"1.1.1.1 . 6 . {n}": f"10.0.0.1 . {n + 6}" for n in (1, 2, 3)}},
        ),
        ("icmp", (1, 1), (1, 1), {"forward_protocol": {"1.1.1.1 . 1": "10.0.0.1"}}),
        ("47", (1, 1), (1, 1), {"forward_protocol": {"1.1.1.1 . 47": "10.0.0.1"}}),
    ],
)
def test_forwarding_elements(
    protocol: str, outside: tuple[int, int], inside: tuple[int, int], wanted: dict[str, dict[str, str]]
) -> None:
    one = PortForwarding("f", protocol, "1.1.1.1", outside, "10.0.0.1", inside)
    elements = render(replace(FULL, nats=(), forwardings=(one,))).elements
    assert {name: pairs for name, pairs in elements.items() if pairs} == wanted


def test_forwarding_of_an_unknown_protocol_is_a_problem_of_its_own() -> None:
    bad = PortForwarding("bad", "quic", "203.0.113.120", (1, 1), "10.0.0.1", (1, 1))
    state = render(replace(FULL, forwardings=(bad, *FULL.forwardings)))
    assert state.problems == ("port forwarding bad: protocol quic is not known here",)
    assert state.elements == render(FULL).elements


def test_table_is_one_replacement() -> None:
    text = router.table(render(FULL))
    assert text.startswith("table inet weft\ndelete table inet weft\ntable inet weft {\n")
    assert "add element inet weft floating_in { 203.0.113.111 : 10.0.0.11, 203.0.113.112 : 10.0.0.12 }\n" in text


def test_changes_are_elements_only() -> None:
    moved = replace(FULL, nats=(Nat("n1", "203.0.113.111", "10.0.1.9"), FULL.nats[0]))
    assert router.table_changes(render(FULL), render(moved)).splitlines() == [
        "delete element inet weft floating_in { 203.0.113.111 : 10.0.0.11 }",
        "delete element inet weft floating_out { 10.0.0.11 : 203.0.113.111 }",
        "add element inet weft floating_in { 203.0.113.111 : 10.0.1.9 }",
        "add element inet weft floating_out { 10.0.1.9 : 203.0.113.111 }",
    ]
    assert router.table_changes(render(FULL), render(FULL)) == ""
    assert router.table_changes(render(FULL), render(replace(FULL, gateway=None))).startswith("table inet weft\n")
