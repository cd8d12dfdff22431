"""Named states of a router: what its namespace holds depends on the state alone, not on how it came to it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from tests.topo.router_lab import Lab, address, floating, forwarding, gateway, leg, router
from weft.backends.linux import names
from weft.logical.model import LogicalRouter, Route

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip", "nft")]

A, B = leg("r", "a", "10.0.0.1/24", "fd00:a::1/64"), leg("r", "b", "10.0.1.1/24", mtu=1400)
GATE = gateway("r", "ext", "203.0.113.10/24", "2001:db8:e::10/64", nexthops=("203.0.113.1", "2001:db8:e::1"))
FULL = router(
    "r",
    A,
    B,
    gateway=GATE,
    nats=[floating("203.0.113.111", "10.0.0.11"), floating("203.0.113.112", "10.0.1.12")],
    forwardings=[
        forwarding("tcp", "203.0.113.120", (80, 80), "10.0.0.13", (8080, 8080)),
        forwarding("udp", "203.0.113.120", (1000, 1009), "10.0.0.13", (1000, 1009)),
        forwarding("tcp", "203.0.113.121", (1000, 1009), "10.0.0.13", (22, 22)),
    ],
    routes=[("172.20.0.0/16", "10.0.0.9"), ("172.20.0.0/16", "10.0.1.9"), ("fd00:20::/64", "fd00:a::9")],
)
STATES: dict[str, LogicalRouter | None] = {
    "nothing": None,
    "empty": router("r"),
    "one leg": router("r", A),
    "two legs": router("r", A, B),
    "outside only": router("r", gateway=GATE),
    "everything": FULL,
    "switched off": replace(FULL, enabled=False),
    "one leg off": replace(FULL, ports=(A, replace(B, enabled=False))),
    "no snat": replace(FULL, gateway=replace(GATE, enable_snat=False)),
    "no gateway": replace(FULL, gateway=None),
    "other gateway": replace(
        FULL, gateway=replace(GATE, addresses=(address("203.0.113.20/24"),), nexthops=("192.0.2.1",))
    ),
    "other addresses": replace(FULL, ports=(replace(A, addresses=(address("10.0.0.254/24"),)), B)),
    "other MTU": replace(FULL, ports=(replace(A, mtu=1300), B)),
    "other MAC": replace(FULL, ports=(replace(A, mac="fa:16:3e:99:99:99"), B)),
    "fewer floating": replace(FULL, nats=FULL.nats[:1], forwardings=FULL.forwardings[1:]),
    "swapped floating": replace(
        FULL, nats=(floating("203.0.113.111", "10.0.1.12"), floating("203.0.113.112", "10.0.0.11"))
    ),
    "other routes": replace(
        FULL,
        routes=(Route("172.20.0.0/16", "10.0.1.9"), Route("fd00:20::/64", "fd00:a::8"), Route("::/0", "fd00:a::7")),
    ),
}
DAMAGE = (
    "nft flush ruleset",
    "nft add rule inet weft forward drop",
    "for link in $(ls /sys/class/net); do ip link set $link mtu 1280; done",
    "ip -4 addr flush scope global",
    "ip route flush proto 87; ip -6 route flush proto 87",
    "for leg in $(ip -br link show type veth | cut -d@ -f1); do ip link del $leg; break; done",
    "ip link add qr-1 type veth peer name qg-1",
    "for leg in $(ip -br link show type veth | cut -d@ -f1); do ip link set $leg down; done",
)


def give(lab: Lab, state: LogicalRouter | None, full: bool = False) -> None:
    if state is not None:
        lab.set(state, full=full)
    elif lab.view.routers:
        lab.remove(FULL)
    elif full:
        lab.audit()


def snapshot(lab: Lab) -> str:
    """The namespace and the bridges' ports as text, without what the kernel counts anew each time."""
    name = lab.namespace("r")
    ports = sorted(lab.sh(lab.prefix, "ip -br link show type veth | sed 's/@/ /' | cut -d' ' -f1").split())
    if not lab.sh(lab.prefix, f"ip netns list | grep -w {name} || true"):
        return str(ports)
    lines = [str(ports)]
    for link in json.loads(lab.sh(name, "ip -d -j link")):
        if link["ifname"] != "lo":
            lines.append(f"link {link['ifname']} {link['address']} {link['mtu']} {'UP' in link['flags']}")
    for link in json.loads(lab.sh(name, "ip -j addr")):
        for one in link["addr_info"]:
            if link["ifname"] != "lo" and one["scope"] == "global":
                lines.append(f"address {link['ifname']} {one['local']}/{one['prefixlen']}")
    for family in ("-4", "-6"):
        for route in json.loads(lab.sh(name, f"ip {family} -j route show proto 87")):
            hops = route.get("nexthops", [route])
            ways = sorted(f"{hop['gateway']} {hop['dev']} {'onlink' in hop['flags']}" for hop in hops)
            lines.append(f"route {route['dst']} {ways}")
    for item in json.loads(lab.sh(name, "nft -j list ruleset"))["nftables"][1:]:
        ((kind, value),) = item.items()
        value.pop("handle", None)
        value["elem"] = sorted(map(str, value.get("elem", ())))
        lines.append(f"{kind} {json.dumps(value, sort_keys=True)}")
    return "\n".join(sorted(lines))


@pytest.fixture
def golden(lab: Lab) -> dict[str, str]:
    """Each state as it is when it comes after nothing."""
    for name in ("a", "b", "ext"):
        lab.network(name)
    found = {}
    for name, state in STATES.items():
        give(lab, state)
        found[name] = snapshot(lab)
        give(lab, None)
    assert len(set(found.values())) == len(found)
    return found


def test_every_state_after_every_kind_of_past(lab: Lab, golden: dict[str, str]) -> None:
    """Forwards, backwards, with restarts midway, by scoped and by full passes, and after damage: 120 steps at random."""
    order = list(STATES)
    for name in order + order[::-1]:
        give(lab, STATES[name])
        assert snapshot(lab) == golden[name], name
    choose = random.Random(7)
    for step in range(120):
        name = choose.choice(order)
        how = choose.choice(("scoped", "full", "restart", "damage", "damage and restart"))
        if "damage" in how and lab.view.routers:
            lab.sh(lab.namespace("r"), choose.choice(DAMAGE), check=False)
        if "restart" in how:
            lab.restart()
        give(lab, STATES[name], full=how != "scoped")
        assert snapshot(lab) == golden[name], f"step {step}: {how} to {name}"


def test_golden_text_of_a_whole_router(lab: Lab, golden: dict[str, str]) -> None:
    """A few lines by which a reader can tell that the snapshots hold what they should."""
    text = golden["everything"]
    inner, outer = names.router_leg(B.id), names.gateway_leg(GATE.id)
    for line in (
        f"link {inner} {B.mac} 1400 True",
        f"address {outer} 203.0.113.111/32",
        f"route default ['203.0.113.1 {outer} False']",
        f"route fd00:20::/64 ['fd00:a::9 {names.router_leg(A.id)} False']",
    ):
        assert line in text.splitlines()
    assert "['192.0.2.1" in golden["other gateway"]
    assert golden["nothing"] == "[]"
    assert " True" not in golden["switched off"]
