"""An address that workloads hand to each other (VRRP): it is reached where somebody announced it last, on whatever host."""

from __future__ import annotations

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo import frames
from tests.topo.lab import Lab, ingress, mac, uid
from tests.topo.ovn_lab import OvnLab
from tests.waiting import wait_until
from weft.backends.interface import Status
from weft.backends.linux.links import Address
from weft.logical.model import Key

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS), pytest.mark.dataplanes("ovn")]

VIP = "10.0.0.100"


@pytest.fixture
def pair(lab: Lab) -> OvnLab:
    """a on h1 and b on h2, which may both have the address of the port `vip`, that is bound nowhere; c on h3."""
    assert isinstance(lab, OvnLab)
    lab.network("n")
    lab.group("in", ingress())
    for number, name in enumerate("abc", 1):
        pairs = [(mac(name), VIP)] if name != "c" else []
        lab.port(name, "n", f"10.0.0.{number}/24", groups=("out", "in"), host=f"h{number}", pairs=pairs)
    lab.port("vip", "n", f"{VIP}/24", groups=("out", "in"))
    lab.change("vip", host="")
    lab.up("a", "b", "c")
    return lab


def takes(lab: OvnLab, name: str, former: str = "") -> None:
    """The address is on that workload's device, and announced."""
    if former:
        assert lab.workloads[former].links.change_addresses([], [Address("eth0", f"{VIP}/32")]) == {}
    assert lab.workloads[name].links.change_addresses([Address("eth0", f"{VIP}/32")]) == {}
    announce(lab, name)


def announce(lab: OvnLab, name: str) -> bool:
    """As VRRP does it again and again: a kernel believes no two announcements within a second."""
    with lab._packets(name) as mouth:
        mouth.send(frames.ethernet(mac(name), frames.BROADCAST, frames.ARP, frames.arp(2, mac(name), VIP, VIP)))
    return True


def status(lab: OvnLab) -> Status:
    key = Key("port", uid("vip"))
    return lab.backend.set(lab.view, [key]).status[key]


def where(lab: OvnLab) -> str:
    """The workload that OVN takes for its owner."""
    (row,) = lab.cloud.sb.rows("Port_Binding", "virtual_parent", logical_port=uid("vip"))
    return next((name for name in "ab" if uid(name) == row["virtual_parent"]), "")


def test_it_goes_where_it_is_announced(pair: OvnLab) -> None:
    assert where(pair) == ""
    assert status(pair) == Status(False, "no port that it may be on has announced its address yet")
    assert not pair.pings("c", VIP)
    for owner, former in (("a", ""), ("b", "a"), ("a", "b")):
        takes(pair, owner, former)
        wait_until(lambda owner=owner: where(pair) == owner, what=f"{owner} has it")
        pair.cloud.sync()
        wait_until(lambda owner=owner: announce(pair, owner) and pair.pings("c", VIP), what="it answers")
        wait_until(lambda: status(pair).up, what="its port is up")


def test_it_is_an_ordinary_port_again(pair: OvnLab) -> None:
    """Which is bound nowhere: down, and nothing to say."""
    takes(pair, "a")
    wait_until(lambda: status(pair).up)
    for name in "ab":
        report = pair.set(pair.change(name, pairs=()))
    assert report.status[Key("port", uid("vip"))] == Status(False)


def test_a_stranger_cannot_take_it(pair: OvnLab) -> None:
    takes(pair, "a")
    wait_until(lambda: where(pair) == "a")
    takes(pair, "c")
    pair.cloud.sync()
    assert where(pair) == "a"
