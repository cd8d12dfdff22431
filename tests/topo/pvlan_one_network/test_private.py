"""Private VLANs with real packets: who may speak to whom, in both directions, by every way that there is."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from tests.topo.frames import BROADCAST, IPV4, ethernet, udp
from tests.topo.lab import Lab, ingress, mac, uid
from weft.logical.model import Key, Private

pytestmark = pytest.mark.needs_root

KINDS = {"i1": "", "i2": "", "red1": "red", "red2": "red", "blue": "blue", "open1": None, "open2": None}
"""Port -> its community; '' isolated, None promiscuous."""


@pytest.fixture
def net(lab: Lab) -> Lab:
    lab.group("any", ingress(), ingress(ethertype="IPv6"))
    lab.network("n")
    for number, name in enumerate(KINDS, 1):
        lab.port(name, "n", f"10.0.0.{number}/24", f"fd00::{number}/64", groups=("out", "any"))
    apart(lab, KINDS)
    lab.up()
    return lab


def apart(lab: Lab, kinds: dict[str, str | None]) -> Key:
    """What the loader makes of the ports of a private VLAN."""
    switch = lab.view.switches[uid("n")]
    found = tuple(
        Private(uid(name), kind, (mac(name),), tuple(a.ip for a in lab.view.ports[uid(name)].addresses))
        for name, kind in sorted(kinds.items(), key=lambda item: uid(item[0]))
        if kind is not None
    )
    lab.view.switches[switch.id] = replace(switch, private=found)
    return switch.key


def allowed(kinds: dict[str, str | None]) -> set[str]:
    """RFC 5517, section 2."""
    return {
        f"{a} {b}"
        for a in kinds
        for b in kinds
        if a != b and (kinds[a] is None or kinds[b] is None or (kinds[a] and kinds[a] == kinds[b]))
    }


def test_who_reaches_whom(net: Lab) -> None:
    assert net.reach() == allowed(KINDS)


def test_by_ipv6_and_connections(net: Lab) -> None:
    assert net.pings("i1", "fd00::6") and not net.pings("i1", "fd00::2")
    assert net.connects("red1", "red2", 80) and not net.connects("red1", "blue", 80)
    assert not net.pings("blue", "10.0.0.3")


def test_nothing_that_an_isolated_port_broadcasts_is_heard_by_others(net: Lab) -> None:
    frame = ethernet(mac("i1"), BROADCAST, IPV4, udp("10.0.0.1", "10.0.0.255", 5, 7))
    assert net.passes("i1", "open1", frame)
    assert not net.passes("i1", "i2", frame)
    assert not net.passes("i1", "red1", frame)


def test_a_router_does_not_bring_it_round(net: Lab) -> None:
    """Under the MAC of a promiscuous port, but from the address of an isolated one."""
    net.set(net.change("open1", port_security=False))
    frame = ethernet(mac("open1"), mac("i2"), IPV4, udp("10.0.0.1", "10.0.0.2", 5, 7))
    assert not net.passes("open1", "i2", frame)
    own = ethernet(mac("open1"), mac("i2"), IPV4, udp("10.0.0.6", "10.0.0.2", 5, 7))
    assert net.passes("open1", "i2", own)


def test_ports_change_what_they_are(net: Lab) -> None:
    with net.stream("open1", "open2", 80) as ends:
        assert ends
    kinds = {**KINDS, "i2": "red", "open2": ""}
    net.set(apart(net, kinds))
    assert net.reach() == allowed(kinds)


def test_a_connection_ends_where_it_may_not_go_on(net: Lab) -> None:
    with net.stream("open1", "open2", 80) as ends:
        assert ends
        client, server = ends
        net.set(apart(net, {**KINDS, "open1": "", "open2": ""}))
        client.sendall(b"x")
        with pytest.raises(TimeoutError):
            server.recv(1)


def test_ports_of_other_hosts_are_known(net: Lab) -> None:
    """A port that is not here: its frames come in by a tunnel, here by a port that lies about itself."""
    net.set(net.change("open2", port_security=False))
    frame = ethernet(mac("far"), mac("i1"), IPV4, udp("10.0.0.99", "10.0.0.1", 5, 7))
    assert net.passes("open2", "i1", frame)
    switch = net.view.switches[uid("n")]
    far = Private(uid("far"), "red", (mac("far"),), ("10.0.0.99",))
    net.view.switches[switch.id] = replace(switch, private=(*switch.private, far))
    net.set(switch.key)
    assert not net.passes("open2", "i1", frame)
    to_red = ethernet(mac("far"), mac("red1"), IPV4, udp("10.0.0.99", "10.0.0.3", 5, 7))
    assert net.passes("open2", "red1", to_red)


def test_no_private_vlan_any_more(net: Lab) -> None:
    net.set(apart(net, {}))
    assert net.reach() == allowed(dict.fromkeys(KINDS))
    assert "pvlan" not in nft(net, "list", "ruleset")


def test_drift_is_found_and_mended(net: Lab) -> None:
    nft(net, "flush", "chain", "bridge", "weft", "pvlan")
    assert any("pvlan" in word for word in net.full().drift)
    assert net.reach() == allowed(KINDS)


def nft(lab: Lab, *words: str) -> str:
    done = subprocess.run(["ip", "netns", "exec", lab.host, "nft", *words], check=True, text=True, capture_output=True)
    return done.stdout
