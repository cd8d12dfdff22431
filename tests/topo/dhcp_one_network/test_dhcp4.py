"""DHCPv4 as ISC's client and udhcpc see it: a lease, its options, renewal, restart, refusal."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from dataclasses import replace

import pytest

from tests.topo.services_lab import Lab, subnet
from tests.waiting import wait_until
from weft.backends.linux import frames, netns
from weft.backends.linux.responder import Responder
from weft.logical.model import Address, DhcpOption, LogicalPort, Route

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.dataplanes("linux", "ovn"),
    pytest.mark.needs_programs("nsenter", "ip", "dhclient"),
]

V4 = subnet("v4", "10.0.0.0/24", "10.0.0.1", host_routes=(Route("10.9.0.0/16", "10.0.0.7"),))


@pytest.fixture
def vm(lab: Lab) -> LogicalPort:
    switch = lab.switch("net", V4)
    port = lab.port("vm", switch, (V4, "10.0.0.5"), dhcp_options=(DhcpOption("ntp-server", "198.18.0.123"),))
    lab.set()
    return port


def test_lease(lab: Lab, vm: LogicalPort) -> None:
    got = lab.dhclient("vm", "-4")
    assert got["reason"] == "BOUND"
    assert got["new_ip_address"] == "10.0.0.5"
    assert got["new_routers"] == "10.0.0.1"
    assert got["new_domain_name_servers"] == "169.254.169.254"
    assert got["new_domain_name"] == "example.org"
    assert got["new_interface_mtu"] == "1450"
    assert got["new_ntp_servers"] == "198.18.0.123"
    assert got["new_dhcp_lease_time"] == "86400"
    routes = lab.sh("vm", "ip route")
    assert "default via 10.0.0.1 dev eth0" in routes
    assert "10.9.0.0/16 via 10.0.0.7 dev eth0" in routes
    assert "169.254.169.254 dev eth0 scope link" in routes


@pytest.mark.dataplanes("linux", because="OVN's answers come from the gateway's address, and name no host")
def test_lease_names_host_and_server(lab: Lab, vm: LogicalPort) -> None:
    got = lab.dhclient("vm", "-4")
    assert got["new_host_name"] == "vm"
    assert got["new_dhcp_server_identifier"] == "169.254.169.254"


@pytest.mark.dataplanes("linux", because="the question reaches nobody else either")
def test_answer_reaches_nobody_else(lab: Lab, vm: LogicalPort) -> None:
    lab.port("other", lab.view.switches[vm.switch], (V4, "10.0.0.6"))
    lab.set()
    with netns.open_socket(lab.at("other"), socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as heard:
        assert lab.dhclient("vm", "-4")["new_ip_address"] == "10.0.0.5"
        heard.setblocking(False)
        packets = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packets.append(frames.parse(heard.recv(2048)))
    assert 68 in {packet.sport for packet in packets if packet}  # the broadcast question: a bridge floods it
    assert 67 not in {packet.sport for packet in packets if packet}


def test_same_lease_after_the_clients_restart(lab: Lab, vm: LogicalPort) -> None:
    assert lab.dhclient("vm", "-4")["reason"] == "BOUND"
    lab.stop_dhclient("vm")
    again = lab.dhclient("vm", "-4")
    assert (again["reason"], again["new_ip_address"]) == ("REBOOT", "10.0.0.5")


@pytest.mark.dataplanes("linux", because="the server is the gateway, and no router is there: hosts rebind instead")
def test_renewal(lab: Lab, vm: LogicalPort) -> None:
    """Unicast to the server's address, over the ordinary route."""
    lab.view.ports[vm.id] = replace(vm, dhcp_options=(DhcpOption("lease-time", "8"),))
    lab.set()
    assert lab.dhclient("vm", "-4")["new_dhcp_lease_time"] == "8"
    wait_until(lambda: [event["reason"] for event in lab.events("vm")][-2:] == ["RENEW", "RENEW"], 30)


def test_another_address_is_refused_and_replaced(lab: Lab, vm: LogicalPort) -> None:
    lab.dhclient("vm", "-4")
    lab.stop_dhclient("vm")
    lab.view.ports[vm.id] = replace(vm, addresses=(Address("10.0.0.99", 24, V4.subnet_id),))
    lab.set()
    assert lab.dhclient("vm", "-4")["new_ip_address"] == "10.0.0.99"


def test_taps_come_and_go(lab: Lab, vm: LogicalPort) -> None:
    lab.unplug(vm)
    lab.set()
    lab.plug(vm)
    assert lab.dhclient("vm", "-4")["new_ip_address"] == "10.0.0.5"


def test_spoofed_hardware_address_gets_nothing(lab: Lab, vm: LogicalPort) -> None:
    lab.sh("vm", "ip link set eth0 down; ip link set eth0 address fa:16:3e:ff:ff:ff; ip link set eth0 up")
    assert lab.dhclient("vm", "-4", timeout=3)["reason"] != "BOUND"


@pytest.mark.dataplanes("linux", because="who answers is no process of ours")
def test_new_process_answers_the_same(lab: Lab, vm: LogicalPort) -> None:
    lab.dhclient("vm", "-4")
    lab.stop_dhclient("vm")
    lab.responder.close()
    lab.responder = Responder(lab.config, lab.prefix, ())
    lab.set()
    again = lab.dhclient("vm", "-4")
    assert (again["reason"], again["new_ip_address"]) == ("REBOOT", "10.0.0.5")


@pytest.mark.needs_programs("busybox")
def test_udhcpc(lab: Lab, vm: LogicalPort) -> None:
    if "udhcpc" not in subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("this busybox has no udhcpc")
    script = lab.folder / "udhcpc"
    script.write_text('#!/bin/sh\necho "$1 $ip/$mask $router $dns $mtu $staticroutes"\n')
    script.chmod(0o755)
    said = lab.sh("vm", f"busybox udhcpc -f -n -q -i eth0 -s {script} -O mtu -O staticroutes")
    bound = next(line.split() for line in said.splitlines() if line.startswith("bound"))
    assert bound[1:5] == ["10.0.0.5/24", "10.0.0.1", "169.254.169.254", "1450"]
    routes = set(zip(bound[5::2], bound[6::2], strict=True))
    assert routes >= {("10.9.0.0/16", "10.0.0.7"), ("169.254.169.254/32", "0.0.0.0")}
