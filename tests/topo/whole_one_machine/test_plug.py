"""`weft plug`: a workload comes to its port the way a hypervisor brings it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.topo.whole import Installation
from tests.waiting import wait_until
from weft.backends.linux import names, netns
from weft.backends.linux.links import Links

pytestmark = pytest.mark.needs_root


@pytest.fixture
def port(installation: Installation) -> str:
    network = installation.make("networks", name="n", mtu=1400)["id"]
    installation.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24", dns_nameservers=["198.18.0.53"])
    return str(installation.make("ports", network_id=network, name="web")["id"])


@pytest.mark.needs_programs("dhclient")
def test_with_a_dhcp_client(installation: Installation, port: str) -> None:
    run = installation.weft("plug", "web", "--netns", installation.workload("web"), "--dhcp", "--json")
    told = json.loads(run.stdout)
    row = installation.port(port)
    assert told["port_id"] == port
    assert told["addresses"] == [row["fixed_ips"][0]["ip_address"]]
    assert (told["status"], told["mac_address"], told["mtu"]) == ("ACTIVE", row["mac_address"], 1400)
    inside = Links(installation.workload("web"))
    try:
        link = inside.get(["eth0"])["eth0"]
        addresses = {one.cidr for one in inside.addresses() if one.link == "eth0"}
    finally:
        inside.close()
    assert (link.mac, link.mtu) == (row["mac_address"], 1400)
    assert f"{told['addresses'][0]}/24" in addresses
    resolver = subprocess.run(
        ["ip", "netns", "exec", installation.workload("web"), "cat", "/etc/resolv.conf"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nameserver 198.18.0.53" in resolver.stdout
    assert (row["binding:host_id"], row["device_owner"]) == (f"{installation.prefix}host", "compute:weft")
    installation.weft("unplug", "web")
    assert not Path("/etc/netns", installation.workload("web")).exists()


def test_a_tap_for_a_hypervisor(installation: Installation, port: str) -> None:
    told = json.loads(installation.weft("plug", "web", "--tap", "vnet7", "--json").stdout)
    assert (told["status"], told["device"], told["where"]) == ("ACTIVE", "vnet7", installation.namespace)
    show = ["ip", "-netns", installation.namespace, "-json", "link", "show", "vnet7"]
    link = json.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)[0]
    assert (link["ifname"], link["mtu"]) == (names.tap(port), 1400)
    installation.weft("unplug", "web")
    wait_until(lambda: installation.port(port)["status"] == "DOWN")


def test_a_network_whose_packets_are_too_small_for_ipv6(installation: Installation) -> None:
    weft = installation
    network = weft.make("networks", name="small", mtu=1279)["id"]
    weft.make("subnets", network_id=network, ip_version=4, cidr="10.9.0.0/24")
    ports = [weft.make("ports", network_id=network, name=name)["id"] for name in ("small-a", "small-b")]
    told = [weft.plug(port, f"small{number}") for number, port in enumerate(ports)]
    assert [(one["status"], one["mtu"]) for one in told] == [("ACTIVE", 1279)] * 2
    with weft.flood("small0", told[1]["addresses"][0]) as flood:
        flood.flows()


def test_a_network_whose_packets_are_smaller_than_a_device_takes(installation: Installation) -> None:
    """The API takes any size where there are no subnets; a link has the least that there is."""
    network = installation.make("networks", name="tiny", mtu=1)["id"]
    told = installation.plug(installation.make("ports", network_id=network)["id"], "tiny")
    assert (told["status"], told["mtu"]) == ("ACTIVE", 68)


def test_a_port_that_was_deleted(installation: Installation, port: str) -> None:
    """Its device goes by its id, once; another's is left alone."""
    told = installation.plug("web", "web")
    taps = ["ip", "-netns", installation.namespace, "-br", "link", "show", names.tap(port)]
    installation.call("DELETE", f"/ports/{port}")
    assert subprocess.run(taps, capture_output=True).returncode == 0
    assert installation.weft("unplug", "web", check=False).stderr == "weft unplug: no port is called web\n"
    assert installation.weft("unplug", port).stdout == f"port {told['port_id']} is disconnected\n"
    assert subprocess.run(taps, capture_output=True).returncode == 1
    assert installation.weft("unplug", port, check=False).stderr == f"weft unplug: no port is called {port}\n"


def test_what_cannot_be_plugged(installation: Installation, port: str) -> None:
    nobody = installation.weft("plug", "nobody", "--netns", installation.workload("x"), check=False)
    assert (nobody.returncode, nobody.stderr) == (1, "weft plug: no port is called nobody\n")
    assert installation.weft("plug", "web", check=False).returncode == 2
    assert not netns.exists(installation.workload("x"))
    twice = [installation.weft("plug", "web", "--netns", installation.workload("web"), "--static") for _ in range(2)]
    assert "ACTIVE" in twice[1].stdout
    installation.weft("unplug", port)


def test_without_an_installation(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> None:
    empty = Installation(tmp_path_factory.mktemp("empty"), "none")
    run = empty.weft("plug", "web", "--netns", "x", check=False)
    assert run.returncode == 1
    assert "start `weft up` first" in run.stderr
