"""A router of OVN with two external networks at equal cost: connections leave by both, and by one where the other is dead."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo.ovn_gateways.conftest import Make
from tests.topo.ovn_lab import OvnRouterLab
from tests.topo.router_lab import gateway, leg, router, uid
from tests.waiting import wait_until
from weft.backends.linux.bfd import Bfd
from weft.backends.linux.uplinks import Hop
from weft.logical.model import Segment

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ip")]

INTERNET = "192.0.2.1"
RED = gateway("r", "ext-red", "203.0.113.10/24", nexthops=("203.0.113.1",))
BLUE = gateway("r", "ext-blue", "198.18.250.10/24", nexthops=("198.18.250.1",))
EDGE = replace(router("r", leg("r", "a", "10.0.0.1/24"), gateway=RED), extra_gateways=(BLUE,), ecmp=True, bfd=True)
HOPS = {"red": ("203.0.113.1", "203.0.113.10"), "blue": ("198.18.250.1", "198.18.250.10")}
_ports = itertools.count(7001)


@pytest.fixture
def providers() -> Iterator[Bfd]:
    """The providers' ends of the sessions."""
    made = Bfd()
    yield made
    made.close()


def build(lab: OvnRouterLab) -> tuple[str, dict[str, str]]:
    """A workload, and two providers, each of which says that it is the internet."""
    lab.network("a")
    outside = {}
    for name, (hop, _) in HOPS.items():
        lab.network(f"ext-{name}")
        switch = lab.view.switches[uid(f"ext-{name}")]
        segment = Segment("flat", "physnet1", None, uid(f"segment {name}"))
        lab.view.switches[switch.id] = replace(switch, segments=(segment,))
        outside[name] = lab.host(name, f"ext-{name}", f"{hop}/24", lo=f"{INTERNET}/32")
    return lab.host("a1", "a", "10.0.0.11/24", via="10.0.0.1"), outside


def sessions(lab: OvnRouterLab) -> dict[str, str]:
    return {row["dst_ip"]: row["status"] for row in lab.cloud.nb.rows("BFD", "dst_ip", "status")}


def spread(lab: OvnRouterLab, client: str, outside: dict[str, str]) -> dict[str, set[str]]:
    """As whom each provider sees some of 32 new connections."""
    port = next(_ports)
    seen: dict[str, set[str]] = {}
    with contextlib.ExitStack() as stack:
        ears = {name: stack.enter_context(lab.listen(host, INTERNET, port)) for name, host in outside.items()}
        for _ in range(32):
            lab.connect(client, INTERNET, port).close()
        for name, ear in ears.items():
            ear.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                while True:
                    accepted, peer = ear.accept()
                    accepted.close()
                    seen.setdefault(name, set()).add(peer[0])
    return seen


def test_one_that_is_silent_gets_nothing_new(make: Make, providers: Bfd) -> None:
    lab = make(2)
    inside, outside = build(lab)
    for name, (hop, own) in HOPS.items():
        providers.set(name, outside[name], {Hop(own, "eth0"): hop})
    lab.set(EDGE)
    wait_until(lambda: sessions(lab) == {"203.0.113.1": "up", "198.18.250.1": "up"}, 30, str(sessions(lab)))
    lab.cloud.sync()
    both = {"red": {"203.0.113.10"}, "blue": {"198.18.250.10"}}
    assert spread(lab, inside, outside) == both
    lab.sh(outside["blue"], "ip link set eth0 down")
    wait_until(lambda: sessions(lab)["198.18.250.1"] == "down", 30, "blue is dead")
    lab.cloud.sync()
    assert spread(lab, inside, {"red": outside["red"]}) == {"red": both["red"]}
    lab.sh(outside["blue"], "ip link set eth0 up")
    wait_until(lambda: sessions(lab)["198.18.250.1"] == "up", 30, "blue lives again")
    lab.cloud.sync()
    assert spread(lab, inside, outside) == both
    lab.set(replace(EDGE, bfd=False))
    assert sessions(lab) == {}
    assert lab.audit() == []
