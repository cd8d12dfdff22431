"""What a port's QoS holds packets to, from host to host: bandwidth both ways, and the mark that they carry."""

from __future__ import annotations

import socket

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo import meter
from tests.topo.lab import Lab, ingress
from tests.topo.ovn_lab import OvnLab
from weft.logical.model import Limit, Qos

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs(*PROGRAMS, "tcpdump"),
    pytest.mark.dataplanes("ovn"),
]

LIMIT, MUCH = 5000, 30_000
"""kbit/s."""


@pytest.fixture
def two(lab: Lab) -> OvnLab:
    """Workloads a on h1 and b on h2, who may send each other everything."""
    assert isinstance(lab, OvnLab)
    lab.network("n")
    lab.group("all", ingress())
    for number, name in enumerate("ab", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", groups=("out", "all"), host=f"h{number}")
    lab.up()
    return lab


def passes(lab: Lab, source: str, target: str) -> float:
    """kbit/s that arrive when MUCH is offered, once the burst is used up."""
    to = (lab.workloads[target].ip, 4000)
    with lab.socket(source, socket.AF_INET, socket.SOCK_DGRAM) as mouth, lab.socket(target, 2, 2) as ear:
        ear.bind(to)
        passed = meter.datagrams(mouth, ear, to, 2, MUCH, warm_up=1)
    assert passed.kbps_offered > 3 * LIMIT, "this machine is too busy to offer enough"
    return passed.kbps


@pytest.mark.parametrize("way", ["egress", "ingress"])
def test_bandwidth(two: OvnLab, way: str) -> None:
    there, back = (("a", "b"), ("b", "a")) if way == "egress" else (("b", "a"), ("a", "b"))
    two.set(two.change("a", qos=Qos(**{way: Limit(LIMIT, LIMIT // 10)})))  # type: ignore[arg-type]
    assert 0.6 * LIMIT <= passes(two, *there) <= 1.3 * LIMIT
    assert passes(two, *back) > 2 * LIMIT
    two.set(two.change("a", qos=None))
    assert passes(two, *there) > 2 * LIMIT


def test_dscp(two: OvnLab) -> None:
    """Packets of the workload carry it when they arrive; those to it do not."""
    two.set(two.change("a", qos=Qos(dscp=46)))
    seen = []
    with two.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as ear, two.socket("a", 2, 2) as mouth:
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        ear.bind(("10.0.0.2", 7))
        mouth.sendto(b"x", ("10.0.0.2", 7))
        _, beside, _, _ = ear.recvmsg(10, 64)
        seen = [data[0] for _, kind, data in beside if kind == socket.IP_TOS]
    assert seen == [46 << 2]
