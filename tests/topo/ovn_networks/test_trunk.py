"""Sub-ports of a trunk: frames of the parent's device with a tag belong to another network, on another host."""

from __future__ import annotations

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo import frames
from tests.topo.lab import Lab, _whole, ingress, mac, uid
from tests.topo.ovn_lab import OvnLab
from tests.waiting import wait_until
from weft.logical.model import Key

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS), pytest.mark.dataplanes("ovn")]


@pytest.fixture
def trunk(lab: Lab) -> OvnLab:
    """The parent in network n on h1, its sub-port with tag 7 in network m, where `far` is on h2."""
    assert isinstance(lab, OvnLab)
    lab.network("n")
    lab.network("m")
    lab.group("in", ingress())
    lab.port("parent", "n", "10.0.0.1/24", host="h1")
    lab.port("sub", "m", "10.0.1.1/24", groups=("out", "in"), host="h1", parent=uid("parent"), tag=7)
    lab.port("far", "m", "10.0.1.2/24", groups=("out", "in"), host="h2")
    lab.up("parent", "far")
    wait_until(lambda: lab.cloud.bound().get(uid("sub")) == "h1")
    lab.cloud.sync()
    return lab


def frame(source: str, tag: int = 0) -> bytes:
    plain = frames.ethernet(mac(source), mac("far"), frames.IPV4, frames.udp("10.0.1.1", "10.0.1.2", 5, 7))
    return frames.tagged(plain, tag) if tag else plain


def arrives(lab: OvnLab, sent: bytes) -> bool:
    """Whether `far` gets it, without a tag."""
    with lab._packets("far") as ear, lab._packets("parent") as mouth:
        mouth.send(sent)
        ear.settimeout(lab.patience)
        try:
            while True:
                if ear.recv(2048).ljust(60, b"\0") == frame("sub"):
                    return True
        except TimeoutError:
            return False


def test_with_its_tag_alone(trunk: OvnLab) -> None:
    assert arrives(trunk, frame("sub", 7))
    assert not arrives(trunk, frame("sub", 8))
    assert not arrives(trunk, frame("sub"))
    assert not arrives(trunk, frame("parent", 7)), "a MAC that is not the sub-port's"


def test_answers_carry_the_tag(trunk: OvnLab) -> None:
    back = frames.ethernet(mac("far"), mac("sub"), frames.IPV4, frames.udp("10.0.1.2", "10.0.1.1", 7, 5))
    with trunk._packets("parent") as ear, trunk._packets("far") as mouth:
        mouth.send(back)
        ear.settimeout(trunk.patience)
        found = None
        while found != frames.tagged(back, 7).ljust(60, b"\0"):
            found = _whole(ear).ljust(60, b"\0")


def test_it_comes_and_goes(trunk: OvnLab) -> None:
    assert trunk.full().status[Key("port", uid("sub"))].up
    gone = trunk.without("sub")
    trunk.set(gone)
    assert not arrives(trunk, frame("sub", 7))
