"""Minimum bandwidth: ovn-controller makes a queue of it on the host's marked interface."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.ovn_lab import PROGRAMS, run
from tests.topo.lab import Lab
from tests.topo.ovn_lab import OvnLab
from tests.waiting import wait_until
from weft.logical.model import Qos, Segment

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs(*PROGRAMS, "tc"),
    pytest.mark.dataplanes("ovn"),
]


@pytest.fixture
def marked(lab: Lab) -> Iterator[OvnLab]:
    """A workload on h1, on a network of the provider, whose wire is marked."""
    assert isinstance(lab, OvnLab)
    lab.network("n", segment=Segment("flat", "physnet1"))
    lab.port("a", "n", "10.0.0.1/24", groups=("out",), host="h1")
    lab.up()
    chassis = lab.cloud.chassis["h1"]
    chassis.vsctl("set", "interface", "px0", "external_ids:ovn-egress-iface=true")
    try:
        yield lab
    finally:
        lab.set(lab.change("a", qos=None))
        wait_until(lambda: not queues(lab))
        chassis.vsctl("remove", "interface", "px0", "external_ids", "ovn-egress-iface")


def queues(lab: OvnLab) -> list[str]:
    """What the queues of the wire are to have at least, as tc(8) says it."""
    line = ["tc", "-n", lab.cloud.chassis["h1"].namespace, "class", "show", "dev", "px0"]
    return re.findall(r"class htb \S+ parent \S+ .*?rate (\S+)", run(*line))


def test_a_queue_on_the_marked_interface(marked: OvnLab) -> None:
    """Made, changed and taken away with the rule. (The userspace datapath puts no packet into it.)"""
    for kbps, rate in ((4000, "4Mbit"), (7000, "7Mbit")):
        marked.set(marked.change("a", qos=Qos(minimum=kbps)))
        wait_until(lambda rate=rate: queues(marked) == [rate], what=f"{queues(marked)}, not {rate}")
    marked.set(marked.change("a", qos=None))
    wait_until(lambda: queues(marked) == [])
