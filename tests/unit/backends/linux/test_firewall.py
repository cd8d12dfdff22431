"""The rule set of a view: what a port is made of, and that the way there does not show."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.backends.linux.views import addresses, group, port, switch, view
from weft.backends.linux import firewall, logs, ruleset
from weft.backends.linux.firewall import Owner
from weft.backends.linux.ruleset import Name
from weft.backends.linux.sources import collapsed, link_local, sources, without_overlap
from weft.config import NetworkLog
from weft.logical.model import Acl, Gateway, HostView, Key, Log, LogicalRouter, RouterPort

OPEN_WEB = Acl("r1", "ingress", "IPv4", "tcp", 80, 80)
LIMITS = NetworkLog(rate_limit=7, burst_limit=9)
FROM_FRIENDS = Acl("r2", "ingress", "IPv4", remote_group="friends")


def elements(view: HostView, *owners: Owner) -> dict[str, dict[tuple[str, ...], str]]:
    rules = firewall.render(view, {}).rules
    return {name.name: found for owner in owners for name, found in rules[owner].elements.items()}


def test_a_secured_port_is_elements_only() -> None:
    fragment = firewall.render(view(switch(), port(), group()), {}).rules[Owner("port", "port-000000000")]
    assert not fragment.chains
    assert not fragment.sets
    tap, mac = "tapport-000000", "fa:16:3e:00:00:05"
    found = {name.name: dict(entries) for name, entries in fragment.elements.items()}
    (mark,) = (int(data) for data in found.pop("marks_in").values())
    policy = firewall.policy_name(("g1",))
    assert 0 < mark < 2**31
    assert found == {
        "ports_from": {(tap,): "goto from_secured"},
        "ports_to": {(tap,): "goto to_secured"},
        "marks_out": {(tap,): str(mark + 2**31)},
        "egress": {(str(mark),): f"goto out-{policy}"},
        "ingress": {(str(mark + 2**31),): f"goto in-{policy}"},
        "macs": {(tap, mac): ""},
        "v4": {(tap, mac, "10.0.0.5"): ""},
        "v6": {(tap, mac, "fe80::f816:3eff:fe00:5"): ""},
        "na": {(tap, mac, "fe80::f816:3eff:fe00:5"): ""},
    }


def test_ports_that_are_not_looked_at_and_ports_that_are_off() -> None:
    accept = {"ports_from": {("tapport-000000",): "accept"}, "ports_to": {("tapport-000000",): "accept"}}
    assert elements(view(switch(), port(port_security=False)), Owner("port", "port-000000000")) == accept
    for off in (
        view(switch(), port(enabled=False)),
        view(switch(), port(enabled=False, port_security=False)),
        view(switch(enabled=False), port()),
        view(port()),
    ):
        assert Owner("port", "port-000000000") not in firewall.render(off, {}).rules


def test_router_legs_are_let_through_while_they_are_up() -> None:
    leg = RouterPort("leg-00000000000", "net-0000000000", "m", 1500, ())
    off = replace(leg, id="off-00000000000", enabled=False)
    gateway = Gateway("gw-000000000000", "net-0000000000", "m", 1500, ())
    router = LogicalRouter("r", ports=(leg, off), gateway=gateway)
    found = elements(view(switch(), router), Owner("router", "r"))
    assert found["ports_from"] == {("tapleg-0000000",): "accept", ("tapgw-00000000",): "accept"}


def test_policies_are_shared_and_go_with_their_last_port() -> None:
    both = view(switch(), port("a"), port("b"), group("g1", OPEN_WEB))
    one = firewall.render(both, {})
    assert sum(owner.kind == "policy" for owner in one.rules) == 1
    del both.ports["a"]
    one, _ = firewall.update(one, both, [Owner("port", "a")])
    assert Owner("group", "g1") in one.rules
    del both.ports["b"]
    one, touched = firewall.update(one, both, [Owner("port", "b")])
    assert {owner.kind for owner in one.rules} == {"static", "switch"}
    assert {owner.kind for owner in touched} == {"port", "policy", "group"}


def chain(view: HostView, name: str) -> tuple[str, ...]:
    rules = firewall.render(view, {}).rules
    (found,) = (c.rules for f in rules.values() for n, c in f.chains.items() if n == Name("inet", name))
    return found


def test_only_all_stateless_groups_make_a_port_stateless() -> None:
    known = "ct state vmap { established : accept, related : accept, invalid : drop }"
    for groups, stateful in (((True,), True), ((False,), False), ((True, False), True), ((), True)):
        ids = tuple(f"g{number}" for number in range(len(groups)))
        made = [group(id, stateful=value) for id, value in zip(ids, groups, strict=True)]
        rules = chain(view(switch(), port(groups=ids), *made), f"in-{firewall.policy_name(ids)}")
        assert (rules[0] == known) is stateful
        assert rules[-1] == "drop"


def test_a_rule_that_cannot_be_said_spoils_no_other() -> None:
    made = firewall.render(
        view(switch(), port(), group("g1", replace(OPEN_WEB, id="x", protocol="nonsense"), OPEN_WEB)), {}
    )
    assert made.problems == {Owner("group", "g1"): "rule x: unknown protocol nonsense"}
    assert made.rules[Owner("group", "g1")].chains[Name("inet", "in-g-g1")].rules == (
        "meta nfproto ipv4 meta l4proto 6 th dport 80 accept",
    )


def test_remote_sets_exist_for_every_reference() -> None:
    made = firewall.render(view(switch(), port(), group("g1", FROM_FRIENDS)), {})
    assert set(made.rules[Owner("addresses", "friends")].sets) == {
        Name("inet", "a4-friends"),
        Name("inet", "a6-friends"),
    }


def test_zones_are_kept_and_never_shared() -> None:
    many = view(*(switch(f"{number:011}-n") for number in range(2000)))
    zones = firewall.render(many, {}).zones.of
    assert len(set(zones.values())) == 2000
    assert all(0 < zone < 65536 for zone in zones.values())
    kept = dict.fromkeys(zones, 0) | {bridge: zone % 65535 + 1 for bridge, zone in zones.items()}
    assert firewall.render(many, kept).zones.of == kept


def test_sources() -> None:
    mac, virtual = "fa:16:3e:00:00:05", "00:00:5e:00:01:07"
    found = dict(sources(port(pairs=[(virtual, "10.0.0.100"), (mac, "10.0.0.0/24"), ("", "10.0.0.0/25")])))
    assert [str(n) for n in found[mac]] == ["10.0.0.0/24", "fe80::f816:3eff:fe00:5/128"]
    assert [str(n) for n in found[virtual]] == ["10.0.0.100/32", f"{link_local(virtual)}/128"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"10.0.0.1", "10.0.0.0/24"}, {"10.0.0.0/24"}),
        ({"10.0.0.0/25", "10.0.0.128/25"}, {"10.0.0.0/25", "10.0.0.128/25"}),
        ({"10.0.0.1/32", "fd00::1/128", "10.0.0.2/31"}, {"10.0.0.1", "fd00::1", "10.0.0.2/31"}),
        ({"0.0.0.0/0", "::/0", "10.0.0.1", "fd00::1"}, {"0.0.0.0/0", "::/0"}),
        ({"10.0.0.1", "10.0.0.2"}, {"10.0.0.1", "10.0.0.2"}),
        (set(), set()),
    ],
)
def test_no_address_within_another(members: set[str], expected: set[str]) -> None:
    assert set(without_overlap(frozenset(members))) == expected
    assert collapsed([]) == []


def random_view(chance: random.Random) -> HostView:
    """Any of three networks, six ports, three groups and their addresses, in any condition."""

    def maybe(*values: Any) -> list[Any]:
        return [value for value in values if chance.random() < 0.7]

    remotes = [None, "g0", "g1", "x"]
    groups = [
        group(
            f"g{number}",
            *maybe(
                Acl(
                    f"r{number}", "ingress", "IPv4", "tcp", chance.randint(1, 3), 9, remote_group=chance.choice(remotes)
                ),
                Acl(f"s{number}", "egress", "IPv6", remote_addresses=chance.choice(remotes)),
            ),
            stateful=chance.random() < 0.7,
        )
        for number in range(3)
    ]
    groups = [replace(one, logs=tuple(maybe(Log("l", "ALL"), Log("m", "DROP", "00000000001-port")))) for one in groups]
    ports = [
        port(
            f"{number:011}-port",
            f"10.0.0.{chance.randint(1, 3)}",
            switch=f"{number % 3:011}-net",
            groups=tuple(maybe("g0", "g1", "g2")),
            enabled=chance.random() < 0.9,
            port_security=chance.random() < 0.8,
            pairs=maybe(("", "10.1.0.0/24"), ("", "fd00::1")),
        )
        for number in range(6)
    ]
    sets = [addresses(id, *maybe("10.0.0.1", "10.0.0.0/24", "fd00::/64", "fd00::5")) for id in ("g0", "g1", "x")]
    routers = [LogicalRouter("r", ports=(RouterPort("leg-0000000", "00000000001-net", "m", 1500, ()),))]
    switches = [switch(f"{number:011}-net", enabled=chance.random() < 0.9) for number in range(3)]
    return view(*maybe(*switches), *maybe(*ports), *groups, *sets, *maybe(*routers))


def differences(old: HostView, new: HostView) -> set[Key]:
    kinds = ("switch", "port", "group", "addresses", "router")
    return {
        Key(kind, id)
        for kind in kinds
        for id in old.of(kind).keys() | new.of(kind).keys()
        if old.of(kind).get(id) != new.of(kind).get(id)
    }


@pytest.mark.parametrize("seed", range(60))
def test_the_way_does_not_show(seed: int) -> None:
    """Whatever came before, and in whatever steps: the rule set is that of the state."""
    chance = random.Random(seed)
    now = random_view(chance)
    held = firewall.render(now, {}, LIMITS)
    for _ in range(5):
        then, now = now, random_view(chance)
        held, touched = firewall.update(held, now, [Owner(*key) for key in differences(then, now)], LIMITS)
        fresh = firewall.render(now, held.zones.of, LIMITS)
        assert held.rules == fresh.rules
        assert held.problems == fresh.problems
        assert all(owner in touched or held.rules[owner] == fresh.rules[owner] for owner in fresh.rules)


def logging_rules(*logs: Log) -> dict[str, list[str]]:
    """Chain -> its rules that log, of a port with the group g1 and one with that and another."""
    g1 = replace(group("g1", OPEN_WEB), logs=logs)
    both = view(switch(), port(), port("other-000000", groups=("g0", "g1")), group("g0"), g1)
    rules = firewall.render(both, {}, LIMITS).rules
    chains = {name.name: chain.rules for fragment in rules.values() for name, chain in fragment.chains.items()}
    found = {name: [rule for rule in rules if " log " in rule] for name, rules in chains.items()}
    assert not any(" log " in text for text in ruleset.text(firewall.render(both, {}).rules).splitlines())
    return {name: rules for name, rules in found.items() if rules}


def test_what_is_logged_is_limited() -> None:
    found = logging_rules(Log("l", "ACCEPT"))
    limit = "limit rate 7/second burst 9 packets"
    assert found == {
        f"{way}-a-g1": [f'{limit} log prefix "ACCEPT l" group {logs.GROUP} snaplen 128 queue-threshold 1']
        for way in ("in", "out")
    }
    dropped = logging_rules(Log("l", "DROP"))
    policies = [firewall.policy_name(groups) for groups in (("g1",), ("g0", "g1"))]
    assert dropped.keys() == {f"{way}-{name}" for way in ("in", "out") for name in policies}
    assert logging_rules(Log("l", "ALL")).keys() == found.keys() | dropped.keys()


def test_a_single_port_is_logged_by_its_mark() -> None:
    found = logging_rules(Log("l", "ACCEPT", "port-000000000"), Log("m", "ACCEPT", "elsewhere"))
    mark = firewall.render(view(switch(), port(), group()), {}).marks.of["port-000000000"]
    assert {name: [rule.split(" limit")[0] for rule in rules] for name, rules in found.items()} == {
        "in-a-g1": [f"meta mark {mark | 1 << 31}"],
        "out-a-g1": [f"meta mark {mark}"],
    }


def test_the_text_of_a_small_rule_set() -> None:
    """Golden: what depends on the view, without the fixed chains."""
    small = view(switch(), port(), group("g1", OPEN_WEB, FROM_FRIENDS), addresses("friends", "10.0.0.9", "10.1.0.0/16"))
    made = firewall.render(small, {"brqnet-0000000": 7})
    fixed = set(ruleset.text(firewall.render(view(), {}).rules).splitlines())
    lines = [line.strip() for line in ruleset.text(made.rules).splitlines() if line not in fixed]
    mark = made.marks.of["port-000000000"]
    policy = firewall.policy_name(("g1",))
    assert [line for line in lines if "fa:16" not in line] == [
        f'elements = {{ "tapport-000000" : {mark} }}',
        f'elements = {{ "tapport-000000" : {mark + 2**31} }}',
        'elements = { "tapport-000000" : goto from_secured }',
        'elements = { "tapport-000000" : goto to_secured }',
        "set a4-friends { type ipv4_addr; flags interval;",
        "elements = { 10.0.0.9, 10.1.0.0/16 }",
        "set a6-friends { type ipv6_addr; flags interval;",
        f"elements = {{ {mark} : goto out-{policy} }}",
        f"elements = {{ {mark + 2**31} : goto in-{policy} }}",
        'elements = { "brqnet-0000000" : 7 }',
        "chain in-g-g1 {",
        "meta nfproto ipv4 meta l4proto 6 th dport 80 accept",
        "ip saddr @a4-friends accept",
        f"chain in-{policy} {{",
        "ct state vmap { established : accept, related : accept, invalid : drop }",
        "jump always_in",
        "jump in-g-g1",
        "chain out-g-g1 {",
        f"chain out-{policy} {{",
        "ct state vmap { established : accept, related : accept, invalid : drop }",
        "jump always_out",
        "jump out-g-g1",
    ]
