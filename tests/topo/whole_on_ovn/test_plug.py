"""`weft plug` on a machine whose dataplane is OVN, and what workloads then reach."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.ovn_workload import watched_switch
from tests.topo.whole import Installation
from tests.topo.whole_on_ovn.conftest import OUTSIDE
from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.linux import names, netns
from weft.backends.linux.links import Delete, Links
from weft.backends.ovn.daemons import PACKAGES
from weft.backends.ovn.vsctl import Switch

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PACKAGES, "dhclient"), pytest.mark.slow]


def plugged(weft: Installation) -> set[str]:
    return set(Switch(f"unix:{weft.folder}/ovn/db.sock").marked("iface-id"))


def sh(weft: Installation, workload: str, *line: str) -> str:
    inside = ["ip", "netns", "exec", weft.workload(workload), *line]
    return subprocess.run(inside, capture_output=True, text=True, timeout=20, check=True).stdout


def test_with_a_dhcp_client(installation: Installation) -> None:
    """A lease by OVN's own DHCP, and metadata by the agent, from which a machine learns who it is."""
    weft = installation
    network = weft.make("networks", name="n", mtu=1400)["id"]
    weft.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24", dns_nameservers=["198.18.0.53"])
    port = weft.make("ports", network_id=network, name="web")
    told = json.loads(weft.weft("plug", "web", "--netns", weft.workload("web"), "--dhcp", "--json").stdout)
    address = port["fixed_ips"][0]["ip_address"]
    assert (told["status"], told["addresses"], told["mtu"]) == ("ACTIVE", [address], 1400)
    assert f"{address}/24" in sh(weft, "web", "ip", "-4", "addr", "show", "dev", "eth0")
    assert "nameserver 198.18.0.53" in sh(weft, "web", "cat", "/etc/resolv.conf")
    assert names.tap(port["id"]) in plugged(weft)

    def who() -> bool:
        line = ["curl", "--noproxy", "*", "-s", "-m", "2", "http://169.254.169.254/openstack/latest/meta_data.json"]
        inside = ["ip", "netns", "exec", weft.workload("web"), *line]
        return (
            f"netns:{weft.workload('web')}"
            in subprocess.run(inside, capture_output=True, text=True, timeout=20, check=False).stdout
        )

    wait_until(who)
    weft.weft("unplug", "web")
    wait_until(lambda: weft.port(port["id"])["status"] == "DOWN")
    assert names.tap(port["id"]) not in plugged(weft)
    weft.plug("web", "web")  # another device by the same name


def test_a_port_that_was_deleted(pair: Pair) -> None:
    """Its device leaves Open vSwitch by the port's id."""
    weft = pair.weft
    port = weft.make("ports", network_id=weft.port(pair.b)["network_id"], name="gone")["id"]
    weft.plug(port, "gone")
    weft.call("DELETE", f"/ports/{port}")
    assert names.tap(port) in plugged(weft)
    weft.weft("unplug", port)
    assert names.tap(port) not in plugged(weft)
    assert weft.port(pair.b)["status"] == "ACTIVE"


def test_a_workload_whose_namespace_went(pair: Pair) -> None:
    """It took its device along, which the owner of the port can read; plugged again, the port has another."""
    weft = pair.weft
    netns.delete(weft.workload("b"))
    look = ["ip", "-n", weft.namespace, "link", "show", names.tap(pair.b)]
    # the kernel takes namespaces away one after the other, those of other tests too
    wait_until(lambda: subprocess.run(look, capture_output=True).returncode != 0, seconds=120)
    wait_until(lambda: weft.port(pair.b)["status"] == "DOWN")
    assert weft.port(pair.b)["status_reason"] == f"waiting for the host {weft.prefix}host to plug it"
    assert weft.port(pair.a)["status"] == "ACTIVE"
    assert weft.plug("b", "b")["status"] == "ACTIVE"
    with weft.flood("a", pair.ip_b) as flood:
        wait_until(lambda: len(flood.answered) > 3)


def test_a_new_device_is_nobodys_until_it_is_raised(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The switch does not know the one that went, when the next of its name comes: it would take that down."""
    weft, tap = pair.weft, names.tap(pair.b)
    with contextlib.closing(Links(weft.namespace)) as links:
        assert links.apply([Delete(tap)]) == {}
        watched = watched_switch(tmp_path / "bin", weft.namespace, tap)
        monkeypatch.setenv("PATH", str(watched), prepend=":")
        assert weft.plug("b", "b")["status"] == "ACTIVE"
        assert (watched / "asked").read_text().splitlines() == ["del-port away", "add-port there"]
        assert links.get([tap])[tap].up


def test_from_the_machine_to_a_floating_ip(pair: Pair) -> None:
    """By the veth of --external-cidr, ICMP and TCP: what leaves it has checksums."""
    weft = pair.weft
    flat = {"provider:network_type": "flat", "provider:physical_network": "external", "router:external": True}
    outside = weft.make("networks", name="public", **flat)["id"]
    weft.make("subnets", network_id=outside, ip_version=4, cidr="203.0.113.0/24", gateway_ip=OUTSIDE)
    weft.call("PUT", f"/routers/{pair.router}", {"router": {"external_gateway_info": {"network_id": outside}}})
    fip = weft.make("floatingips", floating_network_id=outside, port_id=pair.a)["floating_ip_address"]
    rules = [("icmp", None), ("tcp", 8080)]
    for protocol, number in rules:
        more = {} if number is None else {"port_range_min": number, "port_range_max": number}
        weft.make("security-group-rules", security_group_id=pair.group, direction="ingress", protocol=protocol, **more)
    sh(weft, "a", "ip", "route", "replace", "default", "via", "10.0.0.1")
    wait_until(lambda: subprocess.run(["ping", "-c", "1", "-W", "1", fip], capture_output=True).returncode == 0)
    server = subprocess.Popen(
        ["ip", "netns", "exec", weft.workload("a"), "socat", "-u", "TCP-LISTEN:8080,reuseaddr", "STDOUT"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        send = ["socat", "-u", "-", f"TCP:{fip}:8080,connect-timeout=2"]
        wait_until(lambda: subprocess.run(send, input="hello", text=True, capture_output=True).returncode == 0)
        assert server.communicate(timeout=10)[0] == "hello"
    finally:
        server.kill()
        server.wait()


def test_down(pair: Pair) -> None:
    """While Weft runs nothing is taken away; afterwards all of it is, and a start makes it again."""
    weft = pair.weft
    refused = weft.weft("down", check=False)
    assert (refused.returncode, "runs already" in refused.stderr) == (3, True)
    weft.stop()
    ended = weft.weft("down").stdout
    assert "ovs-vswitchd ended" in ended
    assert f"namespace {weft.namespace} was removed" in ended
    assert not [name for name in netns.names() if name.startswith(weft.namespace)]
    assert weft.weft("down").stdout == "there was nothing\n"
    weft.start()
    assert weft.port(pair.a)["name"] == "a"
    for name in "ab":
        netns.delete(weft.workload(name))  # its device went with the switch
        assert weft.plug(name, name)["status"] == "ACTIVE"
    with weft.flood("a", pair.ip_b) as flood:
        wait_until(lambda: len(flood.answered) > 3)
