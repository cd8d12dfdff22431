"""Two tenants with the same addresses on one host: nobody hears the other, and equal connections stay apart."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from tests.topo.frames import ARP, BROADCAST, arp, ethernet
from tests.topo.lab import Lab, ingress, mac

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]


@pytest.fixture
def tenants(lab: Lab) -> Lab:
    lab.group("in", ingress())
    for tenant in "ab":
        lab.network(tenant)
        lab.port(f"{tenant}1", tenant, "10.0.0.1/24", groups=("out", "in"))
        lab.port(f"{tenant}2", tenant, "10.0.0.2/24", groups=("out", "in"))
    lab.up()
    return lab


def test_each_tenant_reaches_its_own(tenants: Lab) -> None:
    assert tenants.reach() == {"a1 a2", "a2 a1", "b1 b2", "b2 b1"}


def test_a_broadcast_stays_in_its_network(tenants: Lab) -> None:
    frame = ethernet(mac("a1"), BROADCAST, ARP, arp(1, mac("a1"), "10.0.0.1", "10.0.0.99"))
    assert tenants.passes("a1", "a2", frame)
    assert not tenants.passes("a1", "b1", frame)
    assert not tenants.passes("a1", "b2", frame)


def test_the_same_connection_in_both_at_once(tenants: Lab) -> None:
    with contextlib.ExitStack() as stack:
        for tenant in "ab":
            listener = stack.enter_context(tenants.socket(f"{tenant}2", 2, 1))
            listener.bind(("10.0.0.2", 80))
            listener.listen()
            client = stack.enter_context(tenants.socket(f"{tenant}1", 2, 1))
            client.bind(("10.0.0.1", 40000))
            client.connect(("10.0.0.2", 80))
            server = stack.enter_context(listener.accept()[0])
            server.settimeout(tenants.patience)
            client.send(tenant.encode())
            assert server.recv(10) == tenant.encode()


@pytest.mark.dataplanes("linux", because="devices of a userspace switch have the kernel of the laboratory behind them")
def test_the_host_itself_is_nobody(tenants: Lab) -> None:
    """Neither an address of the host namespace nor one of its bridges answers a workload."""
    subprocess.run(["ip", "-n", tenants.host, "address", "add", "10.0.0.77/32", "dev", "lo"], check=True)
    frame = ethernet(mac("a1"), BROADCAST, ARP, arp(1, mac("a1"), "10.0.0.1", "10.0.0.77"))
    with tenants.socket("a1", 17, 3, 0x0608) as ear:
        assert tenants.passes("a1", "a2", frame)
        with pytest.raises(TimeoutError):
            ear.recv(100)
    assert not tenants.pings("a1", "10.0.0.77")
