"""Metadata on hosts of OVN: a local port for each network that has a workload here, one process that serves them all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ovn_lab import PROGRAMS, Chassis, Ovn, run
from tests.ovn_workload import Device, plug, watched_switch
from tests.topo.nova import Nova
from tests.waiting import wait_until
from weft import config as configuration
from weft.backends.linux import netns, services
from weft.backends.linux.links import Delete
from weft.backends.ovn import localport
from weft.backends.ovn.metadata import MetadataHost
from weft.logical.model import Address, DhcpOptions, HostView, LogicalPort, LogicalSwitch, Segment

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "curl", "ip")]

NET, OTHER = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"


def port(number: int, host: str, network: str = NET) -> LogicalPort:
    """10.0.0.<number> of a network, on that host."""
    return LogicalPort(
        f"{number:08d}-{network[:4]}-4000-8000-000000000000",
        network,
        f"02:00:00:{network[:2]}:00:{number:02x}",
        addresses=(Address(f"10.0.0.{number}", 24, f"subnet of {network}"),),
        device_id=f"instance {number} of {network[:4]}",
        host=host,
    )


class Site:
    """A process on each host, and ports that are rows by ovn-nbctl."""

    def __init__(self, ovn: Ovn, nova: Nova) -> None:
        self.ovn, self.nova = ovn, nova
        self.views = {host: HostView(host) for host in ovn.chassis}
        self.hosts = {host: self.process(chassis) for host, chassis in ovn.chassis.items()}
        self.namespaces: list[str] = []
        for network in (NET, OTHER):
            name = localport.name(network)
            self.nb("ls-add", network, "--", "lsp-add", network, name, "--", "lsp-set-type", name, "localport")
            self.nb("lsp-set-addresses", name, localport.addresses(network))

    def nb(self, *words: str) -> None:
        run("ovn-nbctl", f"--db={self.ovn.northbound_remote}", *words)

    def process(self, chassis: Chassis) -> MetadataHost:
        own = {"namespace": chassis.namespace, "ovsdb_connection": f"unix:{chassis.socket}"}
        nova = {"metadata_host": "127.0.0.1", "metadata_port": self.nova.port, "metadata_proxy_shared_secret": "secret"}
        return MetadataHost(configuration.load(ovn=own, nova=nova))

    def add(self, *ports: LogicalPort) -> None:
        """Workloads that are plugged, and known to their hosts."""
        for one in ports:
            self.nb(
                "lsp-add", one.switch, one.id, "--", "lsp-set-addresses", one.id, f"{one.mac} {one.addresses[0].ip}"
            )
            namespace = f"{self.ovn.name}-{one.id[:13]}"
            self.namespaces.append(namespace)
            plug(self.ovn.chassis[one.host], [Device(namespace, one.id, one.mac, (f"{one.addresses[0].ip}/24",))])
            run("ip", "-n", namespace, "route", "add", "169.254.169.254/32", "dev", "eth0")
            view = self.views[one.host]
            subnets = (DhcpOptions(f"subnet of {one.switch}", 4, "10.0.0.0/24", None, True),)
            view.switches[one.switch] = LogicalSwitch(
                one.switch, "n", "p", 1442, (Segment("geneve", None, 7),), subnets
            )
            view.ports[one.id] = one
        self.set()
        wait_until(lambda: {one.id: one.host for one in ports}.items() <= self.ovn.bound().items())
        self.ovn.sync()

    def set(self) -> list[str]:
        """A full pass of every host; what had drifted."""
        drift = []
        for host, process in self.hosts.items():
            report = process.set(self.views[host], None)
            assert report.failed == {}
            drift += report.drift
        return drift

    def asks(self, one: LogicalPort, url: str = "http://169.254.169.254/latest") -> str:
        namespace = f"{self.ovn.name}-{one.id[:13]}"
        return run("nsenter", f"--net=/run/netns/{namespace}", "curl", "-sg", "-m", "5", url)

    def local(self, host: str) -> set[str]:
        """Networks that have a namespace on that host."""
        prefix = localport.namespaces(self.ovn.chassis[host].namespace)
        return {name.removeprefix(prefix) for name in netns.names() if name.startswith(prefix)}

    def close(self) -> None:
        for host, process in self.hosts.items():
            process.set(HostView(host), None)
            process.close()
        for namespace in self.namespaces:
            netns.delete(namespace)


@pytest.fixture
def site(ovn: Ovn) -> Iterator[Site]:
    nova = Nova()
    made = Site(ovn, nova)
    try:
        yield made
    finally:
        made.close()
        nova.close()


def test_each_host_answers_its_own(site: Site) -> None:
    """The same address everywhere, also in another network with the same subnet. A host knows only its own ports: what went
    to another would be refused there."""
    ports = [port(1, "h1"), port(2, "h2"), port(1, "h1", OTHER)]
    site.add(*ports)
    for one in ports:
        assert site.asks(one) == f"metadata of {one.device_id}"
    asked = [(headers["X-Instance-ID"], headers["X-Forwarded-For"]) for _, _, headers, _ in site.nova.requests]
    assert asked == [(one.device_id, one.addresses[0].ip) for one in ports]


def test_by_ipv6(site: Site) -> None:
    one = port(1, "h1")
    site.add(one)
    assert site.asks(one, "http://[fe80::a9fe:a9fe%25eth0]/latest") == f"metadata of {one.device_id}"


def test_links_that_are_too_small_for_ipv6(site: Site) -> None:
    """The kernel has none on them: metadata is there by IPv4."""
    one = port(1, "h1")
    site.add(one)
    switches = site.views["h1"].switches
    switches[NET] = replace(switches[NET], mtu=1279)
    assert site.set() == []
    assert site.asks(one) == f"metadata of {one.device_id}"
    switches[NET] = replace(switches[NET], mtu=1280)
    assert site.set() == []
    assert site.asks(one, "http://[fe80::a9fe:a9fe%25eth0]/latest") == f"metadata of {one.device_id}"


def test_only_where_a_workload_is(site: Site) -> None:
    assert site.local("h1") == set()
    one, other = port(1, "h1"), port(2, "h1", OTHER)
    site.add(one, other)
    assert (site.local("h1"), site.local("h2")) == ({NET, OTHER}, set())
    del site.views["h1"].ports[other.id]
    process = site.hosts["h1"]
    assert process.set(site.views["h1"], [other.key]).failed == {}
    assert site.local("h1") == {NET}
    interfaces = site.ovn.chassis["h1"].database.rows("Interface", "name")
    assert localport.link(OTHER) not in {row["name"] for row in interfaces}


def test_one_thread_serves_many_networks(site: Site) -> None:
    site.add(port(1, "h1"))
    before = threading.active_count()
    site.add(port(1, "h1", OTHER))
    assert threading.active_count() == before


def test_another_process_finds_what_stands(site: Site) -> None:
    """Device and namespace stay the same ones: what is being asked meanwhile is asked again, and answered."""
    one = port(1, "h1")
    site.add(one)
    chassis = site.ovn.chassis["h1"]
    assert chassis.links is not None
    before = chassis.links.get([localport.link(NET)])[localport.link(NET)].index
    site.hosts["h1"].close()
    site.hosts["h1"] = site.process(chassis)
    assert site.set() == []
    assert chassis.links.get([localport.link(NET)])[localport.link(NET)].index == before
    assert site.asks(one) == f"metadata of {one.device_id}"


def test_what_somebody_takes_away_comes_back(site: Site) -> None:
    one = port(1, "h1")
    site.add(one)
    chassis = site.ovn.chassis["h1"]
    chassis.unplug(localport.link(NET))
    assert site.set() == [f"the local port of network {NET} was not plugged"]
    netns.delete(localport.namespace(NET, chassis.namespace))
    assert site.set() == [f"the local port of network {NET} was not as made"]
    site.ovn.sync()
    wait_until(lambda: "metadata" in _try(site, one))
    assert site.set() == []


def test_a_new_device_is_nobodys_until_it_is_raised(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The switch does not know the one that went, when the next of its name comes: it would take that down."""
    site.add(port(1, "h1"))
    chassis, link = site.ovn.chassis["h1"], localport.link(NET)
    assert chassis.links is not None
    watched = watched_switch(tmp_path / "bin", chassis.namespace, link)
    monkeypatch.setenv("PATH", str(watched), prepend=":")
    assert chassis.links.apply([Delete(link)]) == {}
    assert site.set() == [f"the local port of network {NET} was not as made"]
    netns.delete(localport.namespace(NET, chassis.namespace))
    site.set()
    asked = (watched / "asked").read_text().splitlines()
    assert asked[:2] == ["del-port away", "add-port there"]
    assert asked[-1] == "add-port there"
    assert chassis.links.get([link])[link].up


def _try(site: Site, one: LogicalPort) -> str:
    try:
        return site.asks(one)
    except AssertionError:
        return ""


def test_a_switch_that_does_not_answer_is_said(site: Site) -> None:
    one = port(1, "h1")
    site.add(one)
    elsewhere = configuration.load(
        ovn={"namespace": site.ovn.chassis["h1"].namespace, "ovsdb_connection": f"unix:{site.ovn.folder}/nobody"}
    )
    process = MetadataHost(elsewhere)
    try:
        (reason,) = process.set(site.views["h1"], None).failed.values()
        assert reason.startswith("Open vSwitch: ")
    finally:
        process.close()


def test_services_alone_are_let_in(site: Site) -> None:
    one = port(1, "h1")
    site.add(one)
    namespace = localport.namespace(NET, site.ovn.chassis["h1"].namespace)
    with netns.open_socket(namespace, 2, 1) as listener:
        listener.bind(("", 8080))
        listener.listen()
        assert _try_url(site, one, "http://169.254.169.254:8080/") == ""
    assert services.INSIDE in run("ip", "-n", namespace, "link")


def _try_url(site: Site, one: LogicalPort, url: str) -> str:
    namespace = f"{site.ovn.name}-{one.id[:13]}"
    line = ["nsenter", f"--net=/run/netns/{namespace}", "sh", "-c", f"curl -sg -m 0.5 {url} || true"]
    return run(*line)
