"""Security groups as ACLs: what each rule matches."""

from __future__ import annotations

from typing import Any

import pytest

from weft.backends.ovn import group
from weft.backends.ovn.rows import DROP_GROUP
from weft.logical.model import Acl, AddressSet, PortGroup


def matching(**values: Any) -> str:
    given: dict[str, Any] = {"id": "r", "direction": "ingress", "ethertype": "IPv4", **values}
    return group.match(Acl(**given), "HERE")


@pytest.mark.parametrize(
    ("rule", "expression"),
    [
        ({}, "HERE && ip4"),
        ({"ethertype": "IPv6"}, "HERE && ip6"),
        ({"protocol": "tcp", "port_min": 22, "port_max": 22}, "HERE && ip4 && tcp && tcp.dst == 22"),
        ({"protocol": "17", "port_min": 1, "port_max": 9}, "HERE && ip4 && udp && udp.dst >= 1 && udp.dst <= 9"),
        ({"protocol": "sctp"}, "HERE && ip4 && sctp"),
        (
            {"protocol": "icmp", "port_min": 8, "port_max": 0},
            "HERE && ip4 && icmp4 && icmp4.type == 8 && icmp4.code == 0",
        ),
        ({"protocol": "icmp", "ethertype": "IPv6", "port_min": 128}, "HERE && ip6 && icmp6 && icmp6.type == 128"),
        ({"protocol": "ipv6-icmp", "ethertype": "IPv6"}, "HERE && ip6 && icmp6"),
        ({"protocol": "vrrp"}, "HERE && ip4 && ip.proto == 112"),
        ({"protocol": "99"}, "HERE && ip4 && ip.proto == 99"),
        ({"remote_prefix": "198.18.0.0/16"}, "HERE && ip4 && ip4.src == 198.18.0.0/16"),
        ({"remote_prefix": "0.0.0.0/0"}, "HERE && ip4"),
        ({"remote_prefix": "2001:db8::/32", "ethertype": "IPv6"}, "HERE && ip6 && ip6.src == 2001:db8::/32"),
        ({"remote_group": "a-b", "direction": "egress"}, "HERE && ip4 && ip4.dst == $pg_a_b_ip4"),
        ({"remote_addresses": "a-b", "ethertype": "IPv6"}, "HERE && ip6 && ip6.src == $as_ip6_a_b"),
    ],
)
def test_match(rule: dict[str, Any], expression: str) -> None:
    assert matching(**rule) == expression


@pytest.mark.parametrize(("stateful", "action"), [(True, "allow-related"), (False, "allow-stateless")])
def test_directions_and_actions(stateful: bool, action: str) -> None:
    rules = (Acl("i", "ingress", "IPv4"), Acl("e", "egress", "IPv4"))
    own, entering, leaving = group.render(PortGroup("g-1", stateful, rules))
    assert own.columns["name"] == "pg_g_1" and own.parent is None
    assert [row.columns["match"] for row in (entering, leaving)] == [
        "outport == @pg_g_1 && ip4",
        "inport == @pg_g_1 && ip4",
    ]
    assert [row.columns["direction"] for row in (entering, leaving)] == ["to-lport", "from-lport"]
    assert {row.columns["action"] for row in (entering, leaving)} == {action}


def test_what_nothing_allows_is_dropped_both_ways() -> None:
    rows = group.default_drop()
    drops = [
        row.columns for row in rows if row.columns.get("action") == "drop" and row.columns["priority"] == group.DROP
    ]
    assert {row["match"] for row in drops} == {f"inport == @{DROP_GROUP} && ip", f"outport == @{DROP_GROUP} && ip"}
    assert group.ALLOW > group.DROP


def test_address_groups_by_version() -> None:
    four, six = group.address_sets(AddressSet("a-b", frozenset({"198.18.0.0/24", "2001:db8::/64"})))
    assert (four.ref.id, four.columns["addresses"]) == ("as_ip4_a_b", {"198.18.0.0/24"})
    assert (six.ref.id, six.columns["addresses"]) == ("as_ip6_a_b", {"2001:db8::/64"})
