"""A private VLAN from the API to the packets."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.linux import netns

pytestmark = pytest.mark.needs_root


def reaches(pair: Pair) -> bool:
    """Whether a datagram of a's comes to b."""
    mouth = netns.open_socket(pair.weft.workload("a"), socket.AF_INET, socket.SOCK_DGRAM)
    ear = netns.open_socket(pair.weft.workload("b"), socket.AF_INET, socket.SOCK_DGRAM)
    with mouth, ear:
        ear.settimeout(0.3)
        ear.bind((pair.ip_b, 4000))
        mouth.sendto(b"question", (pair.ip_b, 4000))
        try:
            return ear.recv(100) == b"question"
        except TimeoutError:
            return False


def test_a_private_vlan_from_the_api_to_packets(pair: Pair) -> None:
    weft = pair.weft

    def is_(port: str, **values: Any) -> None:
        weft.call("PUT", f"/ports/{port}", {"port": values})

    wait_until(lambda: reaches(pair))
    weft.call("PUT", f"/networks/{pair.network}", {"network": {"pvlan": True}})
    is_(pair.a, pvlan_type="isolated")
    assert reaches(pair), "b is promiscuous"
    is_(pair.b, pvlan_type="community", pvlan_community="red")
    wait_until(lambda: not reaches(pair))
    is_(pair.a, pvlan_type="community", pvlan_community="red")
    wait_until(lambda: reaches(pair))
    is_(pair.a, pvlan_type="isolated")
    wait_until(lambda: not reaches(pair))
    weft.kill("dataplane")
    weft.call("PUT", f"/networks/{pair.network}", {"network": {"pvlan": False}})
    wait_until(lambda: reaches(pair))
