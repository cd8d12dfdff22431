"""Names of ports, as OVN answers for them on every host, whatever name server is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo.ovn_lab import OvnServicesLab
from tests.topo.services_lab import subnet

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "dig"), pytest.mark.dataplanes("ovn")]

V4, V6 = subnet("v4", "10.0.0.0/24", "10.0.0.1"), subnet("v6", "fd00:1::/64", "fd00:1::1")
FAR = subnet("far", "10.0.1.0/24", "10.0.1.1")


@pytest.fixture
def lab(services_lab: OvnServicesLab) -> OvnServicesLab:
    """vm and db in one network on two hosts, far in another."""
    net = services_lab.switch("net", V4, V6)
    for name, last in (("vm", 5), ("db", 6)):
        addresses = ((V4, f"10.0.0.{last}"), (V6, f"fd00:1::{last}"))
        services_lab.configure(services_lab.port(name, net, *addresses, port_security=False))
    services_lab.configure(
        services_lab.port("far", services_lab.switch("other", FAR), (FAR, "10.0.1.5"), port_security=False)
    )
    services_lab.set()
    return services_lab


def asks(lab: OvnServicesLab, name: str, *question: str) -> list[str]:
    """OVN does not answer questions with EDNS."""
    found = lab.dig(name, "+noedns", *question)
    return [] if found and found[0] == ";;" else found


def test_names_and_addresses(lab: OvnServicesLab) -> None:
    assert asks(lab, "vm", "db.example.org") == ["10.0.0.6"]
    assert asks(lab, "vm", "DB.Example.ORG") == ["10.0.0.6"]
    assert asks(lab, "vm", "db.example.org", "AAAA") == ["fd00:1::6"]
    assert asks(lab, "vm", "db") == ["10.0.0.6"]
    assert asks(lab, "vm", "-x", "10.0.0.6") == ["db.example.org."]
    assert asks(lab, "vm", "-x", "fd00:1::6") == ["db.example.org."]


def test_each_network_has_its_own(lab: OvnServicesLab) -> None:
    assert asks(lab, "far", "far.example.org") == ["10.0.1.5"]
    assert asks(lab, "far", "db.example.org") == []


def test_names_follow_the_ports(lab: OvnServicesLab) -> None:
    db = next(port for port in lab.view.ports.values() if port.name == "db")
    lab.view.ports[db.id] = replace(db, dns=(("10.0.0.6", "web", "web.example.org."),))
    lab.set()
    assert asks(lab, "vm", "web.example.org") == ["10.0.0.6"]
    assert asks(lab, "vm", "db.example.org") == []
