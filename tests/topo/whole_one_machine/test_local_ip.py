"""A local IP from the API to the packets, moved and taken away."""

from __future__ import annotations

import socket

import pytest

from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.linux import netns

pytestmark = pytest.mark.needs_root


def answers(pair: Pair, address: str) -> bool:
    """Whether b's server answers a by that address."""
    mouth = netns.open_socket(pair.weft.workload("a"), socket.AF_INET, socket.SOCK_DGRAM)
    ear = netns.open_socket(pair.weft.workload("b"), socket.AF_INET, socket.SOCK_DGRAM)
    with mouth, ear:
        for one in (mouth, ear):
            one.settimeout(0.3)
        ear.bind((pair.ip_b, 4000))
        try:
            mouth.connect((address, 4000))
            mouth.send(b"question")
            ear.sendto(b"answer", ear.recvfrom(100)[1])
            return mouth.recv(100) == b"answer"
        except OSError:
            return False


def test_a_local_ip_from_the_api_to_packets(pair: Pair) -> None:
    weft = pair.weft
    made = weft.call("POST", "/local-ips", {"local_ip": {"network_id": pair.network}})["local_ip"]
    below = f"/local_ips/{made['id']}/port_associations"
    weft.call("POST", below, {"port_association": {"fixed_port_id": pair.b}})
    wait_until(lambda: answers(pair, made["local_ip_address"]))
    weft.call("DELETE", f"{below}/{pair.b}")
    wait_until(lambda: not answers(pair, made["local_ip_address"]))
    weft.call("POST", below, {"port_association": {"fixed_port_id": pair.b}})
    weft.kill("dataplane")
    wait_until(lambda: answers(pair, made["local_ip_address"]))
