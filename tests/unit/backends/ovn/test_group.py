"""Security groups as ACLs: what each rule matches."""

from __future__ import annotations

from typing import Any

import pytest

from weft import config
from weft.backends.ovn import acl_log, group
from weft.backends.ovn.rows import DROP_GROUP, LOG_METER
from weft.logical.model import Acl, AddressSet, Log, PortGroup


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


def logged(*logs: Log) -> dict[str, Any]:
    """Rows of a group with one rule, by identity, of those that are logged."""
    rows = group.render(PortGroup("g-1", True, (Acl("r", "ingress", "IPv4"),), logs))
    return {row.ref.id: row.columns for row in rows if row.columns.get("log")}


def test_what_is_logged_is_asked_first() -> None:
    """Of two rows of one priority OVN takes either; and what is forbidden to all stays so."""
    assert group.DROP < group.LOGGED_DROP < group.ALLOW < group.LOGGED_ALLOW < group.NEVER
    accepted = logged(Log("l", "ACCEPT"))
    assert accepted.keys() == {"r"} and accepted["r"]["priority"] == group.LOGGED_ALLOW
    dropped = logged(Log("l", "DROP"))
    assert {row["match"]: row["action"] for row in dropped.values()} == {
        "inport == @pg_g_1 && ip": "drop",
        "outport == @pg_g_1 && ip": "drop",
    }
    assert {row["priority"] for row in dropped.values()} == {group.LOGGED_DROP}
    assert logged(Log("l", "ALL")) == accepted | dropped


def test_no_log_without_a_limit() -> None:
    found = logged(Log("l", "ALL"), Log("m", "ALL", "p"))
    assert {(row["name"], row["meter"]) for row in found.values()} == {("neutron-l", LOG_METER)}


def test_the_limit_is_the_operators() -> None:
    band, meter = acl_log.meter(config.load(network_log={"rate_limit": 7, "burst_limit": 9}).network_log)
    assert (band.columns["rate"], band.columns["burst_size"]) == (7, 9)
    assert meter.columns["bands"] == {band.ref} and meter.columns["fair"]


def test_a_single_port_is_logged_as_long_as_it_is_in_the_group() -> None:
    found = logged(Log("l", "ALL", "p"))
    assert {id: row["match"] for id, row in found.items()} == {
        "r/p": 'outport == @pg_g_1 && outport == "p" && ip4',
        "g-1/p/from-lport": 'inport == @pg_g_1 && inport == "p" && ip',
        "g-1/p/to-lport": 'outport == @pg_g_1 && outport == "p" && ip',
    }


def test_logs_that_want_the_same() -> None:
    """The first gives its name; one of the whole group has all that one of a port would have."""
    found = logged(Log("a", "DROP", "p"), Log("b", "DROP"), Log("c", "ALL"))
    assert {id: row["name"] for id, row in found.items()} == {
        "r": "neutron-c",
        "g-1/from-lport": "neutron-b",
        "g-1/to-lport": "neutron-b",
    }


def test_address_groups_by_version() -> None:
    four, six = group.address_sets(AddressSet("a-b", frozenset({"198.18.0.0/24", "2001:db8::/64"})))
    assert (four.ref.id, four.columns["addresses"]) == ("as_ip4_a_b", {"198.18.0.0/24"})
    assert (six.ref.id, six.columns["addresses"]) == ("as_ip6_a_b", {"2001:db8::/64"})
