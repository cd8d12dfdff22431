"""QoS of ports: bandwidth and packets a second both ways, DSCP; changed, taken away, adopted and mended, all with packets."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.topo import frames, meter
from tests.topo.lab import Lab, ingress, uid
from tests.waiting import wait_until
from weft.backends.linux import names, netns
from weft.logical.model import Key, Limit, Qos

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ip", "tc", "nft")]

LIMIT = 5000
"""kbit/s."""
MUCH = 40_000
TAP = names.tap(uid("a"))
FROM, TO = names.beside(TAP, "from"), names.beside(TAP, "to")


@pytest.fixture
def two(lab: Lab) -> Lab:
    """Workloads a and b on one network, who may send each other everything."""
    lab.network("n")
    lab.group("all", ingress(), ingress(ethertype="IPv6"))
    for number, name in enumerate("ab", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", f"fd00::{number}/64", groups=("out", "all"))
    lab.up()
    return lab


def limited(lab: Lab, **values: object) -> None:
    """Give port a this QoS; none of its own for no values."""
    lab.set(lab.change("a", qos=Qos(**values) if values else None))  # type: ignore[arg-type]


@contextlib.contextmanager
def datagrams(lab: Lab, source: str, target: str) -> Iterator[tuple[socket.socket, socket.socket, tuple[str, int]]]:
    with (
        lab.socket(source, socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        lab.socket(target, socket.AF_INET, socket.SOCK_DGRAM) as ear,
    ):
        to = (lab.workloads[target].ip, 4000)
        ear.bind(to)
        yield mouth, ear, to


def passes(lab: Lab, source: str, target: str, seconds: float = 2) -> float:
    """kbit/s that arrive when `MUCH` is offered."""
    with datagrams(lab, source, target) as (mouth, ear, to):
        passed = meter.datagrams(mouth, ear, to, seconds, MUCH)
    assert passed.kbps_offered > 3 * LIMIT, "this machine is too busy to offer enough"
    return passed.kbps


def is_about(kbps: float, limit: int) -> bool:
    """Within a fifth, as bursts count too."""
    return 0.8 * limit <= kbps <= 1.2 * limit


def tc(lab: Lab, *words: str) -> str:
    run = netns.inside(lab.host, lambda: subprocess.run(["tc", *words], check=True, capture_output=True, text=True))
    return str(run.stdout)


def waited(lab: Lab, device: str) -> int:
    """Bytes that went through our bucket of a device since it was made."""
    (queue,) = (one for one in json.loads(tc(lab, "-s", "-j", "qdisc", "show", "dev", device)) if one.get("root"))
    assert (queue["kind"], queue["handle"]) == ("tbf", "5745:")
    return int(queue["bytes"])


def damage(lab: Lab, command: str) -> None:
    netns.inside(lab.host, lambda: subprocess.run(command.split(), check=True, capture_output=True))


@pytest.mark.parametrize(("direction", "source", "target"), [("egress", "a", "b"), ("ingress", "b", "a")])
def test_bandwidth_is_limited_in_its_direction(two: Lab, direction: str, source: str, target: str) -> None:
    limited(two, **{direction: Limit(LIMIT)})
    assert is_about(passes(two, source, target), LIMIT)
    assert passes(two, target, source, 0.5) > 2 * LIMIT


@pytest.mark.parametrize(("direction", "source", "target"), [("egress", "a", "b"), ("ingress", "b", "a")])
def test_one_tcp_connection_has_all_of_the_limit(two: Lab, direction: str, source: str, target: str) -> None:
    """As soon as this machine lets it: TCP waits for whoever sends and whoever reads. It never has more."""
    limited(two, **{direction: Limit(LIMIT)})
    with two.stream(source, target, 4001) as ends:
        assert ends
        rates = (meter.stream(*ends, seconds=2) for _ in range(5))
        assert is_about(next((rate for rate in rates if rate > 0.8 * LIMIT), 0), LIMIT)


def test_a_burst_passes_at_once(two: Lab) -> None:
    """200 kbit that come at once after a silence need not wait; the rest does."""
    limited(two, egress=Limit(10, 200))
    assert two.pings("a", "10.0.0.2", patience=2)  # neighbours know each other
    before = waited(two, FROM)
    with datagrams(two, "a", "b") as (mouth, _, to):
        begin = time.monotonic()
        for _ in range(40):
            mouth.sendto(bytes(meter.SIZE), to)
        passed, elapsed = waited(two, FROM) - before, time.monotonic() - begin
    assert 24_000 - 2 * 1042 <= passed <= 25_000 + elapsed * 10_000 / 8


def test_a_limit_changes_and_goes(two: Lab) -> None:
    limited(two, egress=Limit(LIMIT), ingress=Limit(LIMIT))
    assert is_about(passes(two, "a", "b"), LIMIT) and is_about(passes(two, "b", "a"), LIMIT)
    before = waited(two, FROM), waited(two, TO)
    limited(two, egress=Limit(2 * LIMIT), ingress=Limit(2 * LIMIT))
    assert (waited(two, FROM), waited(two, TO)) >= before, "the same buckets, with what waits in them"
    assert is_about(passes(two, "a", "b"), 2 * LIMIT) and is_about(passes(two, "b", "a"), 2 * LIMIT)
    limited(two)
    assert passes(two, "a", "b", 0.5) > 3 * LIMIT and passes(two, "b", "a", 0.5) > 3 * LIMIT
    assert_nothing_left(two)


def assert_nothing_left(lab: Lab) -> None:
    assert "tbf" not in tc(lab, "qdisc", "show")
    if TAP in (links := lab.links(lambda links: links.dump())):
        assert not tc(lab, "filter", "show", "dev", TAP, "ingress") + tc(lab, "filter", "show", "dev", TAP, "egress")
    assert not {FROM, TO} & set(links)


def test_changes_of_a_limit_lose_no_packet(two: Lab) -> None:
    """The first limit of a tap may: the kernel stops its queue for some ms when it is given hooks. None after it does."""
    limited(two, egress=Limit(LIMIT))
    assert two.pings("a", "10.0.0.2", patience=2)
    with two.flood("a", "10.0.0.2", rate=200) as flood:
        for step in range(20):
            held = Limit(LIMIT + 100 * step) if step % 3 else None
            two.set(two.change("a", qos=Qos(egress=held, ingress=held) if held else None))
    assert flood.sent and not flood.lost


def test_other_ports_are_left_alone(two: Lab) -> None:
    limited(two, egress=Limit(1000), ingress=Limit(1000))
    assert not {names.beside(names.tap(uid("b")), way) for way in ("from", "to")} & set(
        two.links(lambda links: links.dump())
    )
    two.port("c", "n", "10.0.0.3/24", groups=("out", "all"))
    two.plug("c")
    two.full()
    assert passes(two, "b", "c", 0.5) > 3 * LIMIT


# Packets.


@pytest.mark.parametrize(("direction", "source", "target"), [("egress", "a", "b"), ("ingress", "b", "a")])
@pytest.mark.parametrize("secured", [True, False])
def test_packets_a_second(two: Lab, direction: str, source: str, target: str, secured: bool) -> None:
    """A thousand a second, and a hundred at once; how long it took counts."""
    two.set(two.change("a", port_security=secured, groups=("out", "all") if secured else ()))
    limited(two, **{f"{direction}_packets": Limit(1)})
    with datagrams(two, source, target) as (mouth, ear, to):
        passed = meter.datagrams(mouth, ear, to, 1, MUCH)
    assert passed.offered > 3000
    assert 900 * passed.seconds <= passed.arrived <= 1100 * passed.seconds + 100
    with datagrams(two, target, source) as (mouth, ear, to):
        assert meter.datagrams(mouth, ear, to, 0.3, MUCH).arrived > 600
    limited(two)
    with datagrams(two, source, target) as (mouth, ear, to):
        assert meter.datagrams(mouth, ear, to, 0.3, MUCH).arrived > 600


@pytest.mark.parametrize("secured", [True, False])
def test_frames_are_marked(two: Lab, secured: bool) -> None:
    two.set(two.change("a", port_security=secured, groups=("out", "all") if secured else ()))
    assert _marks(two, "a", "b") == {4: 0, 6: 0}
    limited(two, dscp=26)
    assert _marks(two, "a", "b") == {4: 26, 6: 26}
    assert _marks(two, "b", "a") == {4: 0, 6: 0}
    limited(two, dscp=0)
    assert _marks(two, "a", "b", 46) == {4: 0, 6: 0}
    limited(two)
    assert _marks(two, "a", "b", 46) == {4: 46, 6: 46}


def _marks(lab: Lab, source: str, target: str, given: int = 0) -> dict[int, int]:
    """DSCP of what arrives, by IP version; checksums hold, as the datagrams are received."""
    found = {}
    for version, family, level, option in (
        (4, socket.AF_INET, socket.IPPROTO_IP, socket.IP_TOS),
        (6, socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
    ):
        address = lab.workloads[target].ips[0 if version == 4 else 1]
        with (
            lab.socket(target, family, socket.SOCK_DGRAM) as ear,
            lab.socket(source, family, socket.SOCK_DGRAM) as mouth,
        ):
            ear.bind((address, 4002))
            received = socket.IP_RECVTOS if version == 4 else socket.IPV6_RECVTCLASS
            ear.setsockopt(level, received, 1)
            ear.settimeout(2)
            mouth.setsockopt(level, option, given << 2)
            mouth.sendto(b"marked", (address, 4002))
            _, beside, _, _ = ear.recvmsg(100, 64)
            found[version] = next(data[0] for kind, what, data in beside if kind == level and what == option) >> 2
    return found


# Life.


def test_a_new_process_adopts(two: Lab) -> None:
    limited(two, egress=Limit(LIMIT), ingress=Limit(LIMIT), egress_packets=Limit(100), dscp=10)
    passes(two, "a", "b", 0.2)
    before = waited(two, FROM), waited(two, TO)
    with two.flood("a", "10.0.0.2") as flood:
        two.restart()
        assert two.full().drift == []
        assert two.full().drift == []
    assert flood.sent and not flood.lost
    after = waited(two, FROM), waited(two, TO)
    assert after[0] >= before[0] > 0 and after[1] >= before[1], "the same buckets"
    assert is_about(passes(two, "a", "b"), LIMIT)


def test_a_new_process_takes_away_what_nobody_wants_any_more(two: Lab) -> None:
    limited(two, egress=Limit(LIMIT), ingress=Limit(LIMIT))
    two.restart()
    two.change("a", qos=None)
    two.full()
    assert_nothing_left(two)
    assert two.pings("a", "10.0.0.2")


DAMAGES = {
    f"the bandwidth limit of {TAP} was changed": [
        f"tc qdisc del dev {TO} root",
        f"tc qdisc change dev {TO} root handle 5745: tbf rate 1gbit burst 9k limit 9k",
        f"tc filter del dev {TAP} ingress",
        f"tc qdisc del dev {TAP} clsact",
    ],
    f"ifb {FROM} was gone": [f"ip link del {FROM}"],
    f"{TO} had other settings": [f"ip link set {TO} down"],
}


@pytest.mark.parametrize(
    ("words", "command"), [(words, command) for words, commands in DAMAGES.items() for command in commands]
)
def test_a_full_pass_mends_and_says_so(two: Lab, words: str, command: str) -> None:
    limited(two, egress=Limit(LIMIT), ingress=Limit(LIMIT))
    assert two.full().drift == []
    damage(two, command)
    assert words in two.full().drift
    assert two.full().drift == []
    assert is_about(passes(two, "a", "b", 1.5), LIMIT) and is_about(passes(two, "b", "a", 1.5), LIMIT)


def test_the_device_beside_a_tap_is_missed_at_once(two: Lab) -> None:
    limited(two, egress=Limit(LIMIT))
    heard: set[Key] = set()
    two.backend.watch(heard.update)
    damage(two, f"ip link del {FROM}")
    wait_until(lambda: Key("port", uid("a")) in heard)
    two.set(Key("port", uid("a")))
    assert two.pings("a", "10.0.0.2")
    assert waited(two, FROM) > 0


def test_filters_and_queues_of_others_stay(two: Lab) -> None:
    damage(two, f"tc qdisc add dev {TAP} root handle 7: tbf rate 1gbit burst 90k limit 90k")
    damage(two, f"tc qdisc add dev {TAP} clsact")
    for hook in ("ingress", "egress"):
        damage(two, f"tc filter add dev {TAP} {hook} protocol arp pref 7 u32 match u32 0 0")
    limited(two, egress=Limit(LIMIT), ingress=Limit(LIMIT))
    assert is_about(passes(two, "b", "a", 1.5), LIMIT)
    limited(two)
    two.restart()
    two.full()
    assert "tbf 7:" in tc(two, "qdisc", "show", "dev", TAP)
    assert all("pref 7 " in tc(two, "filter", "show", "dev", TAP, hook) for hook in ("ingress", "egress"))


def test_a_limit_comes_with_the_device_and_goes_with_the_port(two: Lab) -> None:
    limited(two, egress=Limit(LIMIT))
    two.unplug("a")
    two.set(Key("port", uid("a")))
    assert_nothing_left(two)
    two.plug("a")
    two.set(Key("port", uid("a")))
    assert two.pings("a", "10.0.0.2", patience=2)
    assert is_about(passes(two, "a", "b", 1.5), LIMIT)
    two.set(two.without("a"))
    assert_nothing_left(two)


def test_a_limit_that_cannot_be_says_so(two: Lab) -> None:
    """Somebody uses the tap in a way that excludes ours: the port works, and its owner reads why it is not limited."""
    damage(two, f"tc qdisc add dev {TAP} ingress")
    key = two.change("a", qos=Qos(egress=Limit(LIMIT), ingress=Limit(LIMIT)))
    for scope in ([key], None):
        report = two.backend.set(two.view, scope)
        assert report.status[key].up and "bandwidth is not limited" in report.status[key].reason
        assert report.failed == {key: report.status[key].reason}
    assert two.pings("a", "10.0.0.2")
    damage(two, f"tc qdisc del dev {TAP} ingress")
    assert two.set(key).status[key].reason == ""
    assert is_about(passes(two, "a", "b", 1.5), LIMIT)


def test_what_is_spoofed_does_not_use_up_the_limit(two: Lab) -> None:
    """Frames that anti-spoofing drops are not counted against packets a second."""
    limited(two, egress_packets=Limit(1))
    lie = frames.ethernet(
        two.workloads["a"].mac, two.workloads["b"].mac, frames.IPV4, frames.udp("10.0.0.99", "10.0.0.2", 1, 2)
    )
    with two._packets("a") as mouth, datagrams(two, "a", "b") as (honest, ear, to):
        for _ in range(400):
            mouth.send(lie)
        for _ in range(50):
            honest.sendto(b"x", to)
        ear.settimeout(0.3)
        arrived = 0
        with contextlib.suppress(TimeoutError):
            while True:
                arrived += len(ear.recv(10))
    assert arrived == 50
