"""One machine, one command: an installation with two workloads in one tenant network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.topo.whole import Installation, installed


@dataclass(frozen=True)
class Pair:
    """Two plugged workloads, a and b, of one group on one network behind one router."""

    weft: Installation
    network: str
    group: str
    router: str
    a: str
    b: str
    ip_a: str
    ip_b: str


@pytest.fixture
def installation(tmp_path: Path, prefix: str) -> Iterator[Installation]:
    with installed(tmp_path, prefix) as one:
        yield one


@pytest.fixture
def pair(installation: Installation) -> Pair:
    return plugged_pair(installation)


def plugged_pair(weft: Installation) -> Pair:
    network = weft.make("networks", name="n")["id"]
    subnet = weft.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24")["id"]
    router = weft.make("routers", name="r")["id"]
    weft.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    ports = [weft.make("ports", network_id=network, name=name) for name in "ab"]
    for port in ports:
        assert weft.plug(port["id"], port["name"])["status"] == "ACTIVE"
    ips = [port["fixed_ips"][0]["ip_address"] for port in ports]
    return Pair(weft, network, ports[0]["security_groups"][0], router, ports[0]["id"], ports[1]["id"], *ips)
