"""Which established connections may go on."""

from __future__ import annotations

import ipaddress

import pytest

from tests.unit.backends.linux.views import addresses, group, port, switch, view
from weft.backends.linux import firewall
from weft.backends.linux.flows import Connection, Judge
from weft.logical.model import Acl, HostView, Key

ZONE = {"brqnet-0000000": 7}


def connection(
    source: str, destination: str, protocol: int = 6, a: int = 1000, b: int = 80, zone: int = 7
) -> Connection:
    return Connection(zone, protocol, ipaddress.ip_address(source), ipaddress.ip_address(destination), a, b)


def with_rules(*acls: Acl, stateful: bool = True, **values: object) -> HostView:
    return view(
        switch(), port(**values), group("g1", *acls, stateful=stateful), addresses("friends", "10.0.0.9", "10.5.0.0/16")
    )


WEB = Acl("r1", "ingress", "IPv4", "tcp", 80, 80)
FRIENDS = Acl("r2", "ingress", "IPv4", remote_group="friends")
OUT = Acl("r3", "egress", "IPv4", "tcp")


@pytest.mark.parametrize(
    ("acls", "asked", "may"),
    [
        ((WEB,), connection("10.0.0.9", "10.0.0.5"), True),
        ((WEB,), connection("10.0.0.9", "10.0.0.5", b=81), False),
        ((), connection("10.0.0.9", "10.0.0.5"), False),
        ((FRIENDS,), connection("10.0.0.9", "10.0.0.5"), True),
        ((FRIENDS,), connection("10.5.1.1", "10.0.0.5"), True),
        ((FRIENDS,), connection("10.0.0.8", "10.0.0.5"), False),
        ((OUT,), connection("10.0.0.5", "192.0.2.1"), True),
        ((OUT,), connection("10.0.0.5", "192.0.2.1", 17), False),
        ((), connection("10.0.0.5", "169.254.169.254"), True),
        ((), connection("10.0.0.5", "169.254.169.254", 17, b=53), True),
        ((), connection("10.0.0.5", "169.254.169.254", b=22), False),
        ((), connection("10.0.0.5", "10.0.0.1", 17, 68, 67), True),
        ((), connection("192.0.2.1", "192.0.2.2"), True),
        ((), connection("10.0.0.9", "10.0.0.5", zone=8), True),
    ],
)
def test_one_port(acls: tuple[Acl, ...], asked: Connection, may: bool) -> None:
    assert Judge(with_rules(*acls), ZONE).may_go_on(asked) is may


def test_other_kinds_of_port() -> None:
    asked = connection("10.0.0.9", "10.0.0.5")
    assert Judge(with_rules(port_security=False), ZONE).may_go_on(asked)
    assert Judge(with_rules(stateful=False), ZONE).may_go_on(asked)
    assert not Judge(with_rules(WEB, enabled=False), ZONE).may_go_on(asked)


def test_both_ends_have_a_say() -> None:
    both = view(switch(), port(), port("port-9", "10.0.0.9", groups=("g2",)), group("g1", WEB), group("g2"))
    assert not Judge(both, ZONE).may_go_on(connection("10.0.0.9", "10.0.0.5"))
    assert Judge(both, ZONE, ports={"port-000000000"}).may_go_on(connection("10.0.0.9", "10.0.0.5"))


def test_addresses_of_a_pair() -> None:
    assert not Judge(with_rules(pairs=[("", "10.7.0.0/16")]), ZONE).may_go_on(connection("192.0.2.1", "10.7.1.2"))


def test_what_is_gone() -> None:
    before = view(switch(), port(), group("g1", WEB))
    old = firewall.render(before, ZONE)
    after = view(switch())
    new = firewall.render(after, ZONE)
    judge = Judge.after(after, old, new, before.ports, [Key("port", "port-000000000")])
    assert judge.zones == {7}
    assert not judge.may_go_on(connection("10.0.0.9", "10.0.0.5"))
    assert judge.may_go_on(connection("10.0.0.9", "10.0.0.6"))
    nothing = view()
    ended = Judge.after(nothing, new, firewall.render(nothing, {}), {}, [Key("switch", "net-0000000000")])
    assert not ended.may_go_on(connection("10.0.0.9", "10.0.0.6"))


def test_whom_a_change_concerns() -> None:
    """Members of a group that changed, and those whose rules name a set of addresses that changed."""
    made = view(
        switch(), port("a", "10.0.0.1"), port("b", "10.0.0.2", groups=("g2",)), group("g1", FRIENDS), group("g2", WEB)
    )
    rules = firewall.render(made, ZONE)
    for key, ended in ((Key("addresses", "friends"), "10.0.0.1"), (Key("group", "g2"), "10.0.0.2")):
        judge = Judge.after(made, rules, rules, made.ports, [key])
        asked = {ip: judge.may_go_on(connection("10.0.0.99", ip, 17)) for ip in ("10.0.0.1", "10.0.0.2")}
        assert [ip for ip, may in asked.items() if not may] == [ended]
