"""Multicast with snooping (option igmp_snooping_enable): only who has joined gets it, on whatever host."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.ovn_lab import PROGRAMS, run
from tests.topo.lab import Lab, ingress
from tests.topo.ovn_lab import OvnLab, settings
from tests.waiting import wait_until
from weft.backends.ovn.backend import OvnBackend

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS), pytest.mark.dataplanes("ovn")]

GROUP, PORT = "239.1.2.3", 5000


@pytest.fixture(params=[True, False])
def snooping(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def three(lab: Lab, snooping: bool) -> OvnLab:
    """a, b, c on h1, h2, h3."""
    assert isinstance(lab, OvnLab)
    lab.plane.backend.close()
    lab.plane.config = settings(lab.cloud, igmp_snooping_enable=snooping)
    lab.plane.backend = OvnBackend(lab.plane.config)
    lab.network("n")
    lab.group("in", ingress())
    for number, name in enumerate("abc", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", groups=("out", "in"), host=f"h{number}")
    lab.up()
    for workload in lab.workloads.values():
        run("ip", "-n", workload.namespace, "route", "add", "224.0.0.0/4", "dev", "eth0")
    return lab


@contextlib.contextmanager
def ear(lab: OvnLab, name: str, joins: bool) -> Iterator[socket.socket]:
    """A member, or somebody whose kernel would take the packets without having asked for them (as a sniffer's)."""
    with lab.socket(name, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire, lab.socket(name, 2, 2) as sock:
        wire.bind(("eth0", 3))
        if joins:
            own = socket.inet_aton(lab.workloads[name].ip)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + own)
        yield wire


def gets(wire: socket.socket) -> bool:
    wire.settimeout(OvnLab.patience)
    with contextlib.suppress(TimeoutError):
        while True:
            if b"to the group" in wire.recv(2048):
                return True
    return False


def say(lab: OvnLab) -> None:
    with lab.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(b"to the group", (GROUP, PORT))


def test_members_alone_get_it(three: OvnLab, snooping: bool) -> None:
    with ear(three, "b", joins=True) as member, ear(three, "c", joins=False) as other:
        if snooping:
            wait_until(lambda: GROUP in {row["address"] for row in three.cloud.sb.rows("IGMP_Group", "address")})
            three.cloud.sync()
        say(three)
        assert gets(member)
        assert gets(other) is not snooping
