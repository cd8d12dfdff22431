"""Several gateways and NDP proxies from the API to the packets."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import Any

import pytest

from tests.topo.whole import Installation
from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.linux import netns

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ip", "ping", "nsenter")]

INTERNET = "192.0.2.1"


def sh(namespace: str, command: str) -> bool:
    line = ["nsenter", f"--net=/run/netns/{namespace}", "sh", "-c", command]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


def provider(weft: Installation, name: str, **subnet: Any) -> str:
    """An external network, and a workload on it that is its subnet's gateway and says that it is the internet."""
    net = weft.make("networks", name=name, **{"router:external": True})["id"]
    made = weft.make("subnets", network_id=net, **subnet)
    fixed = [{"subnet_id": made["id"], "ip_address": made["gateway_ip"]}]
    port = weft.make("ports", network_id=net, name=name, port_security_enabled=False, fixed_ips=fixed)
    assert weft.plug(port["id"], name)["status"] == "ACTIVE"
    assert sh(weft.workload(name), f"ip addr add {INTERNET}/32 dev lo && ip link set lo up")
    return str(net)


def heard(weft: Installation, client: str, servers: list[str]) -> set[tuple[str, str]]:
    """Which servers 32 datagrams to the internet come to, and from whom."""
    with contextlib.ExitStack() as stack:
        ears = {}
        for name in servers:
            ear = netns.open_socket(weft.workload(name), socket.AF_INET, socket.SOCK_DGRAM)
            stack.enter_context(ear).settimeout(0.3)
            ear.bind((INTERNET, 7000))
            ears[name] = ear
        for _ in range(32):
            with netns.open_socket(weft.workload(client), socket.AF_INET, socket.SOCK_DGRAM) as mouth:
                mouth.sendto(b"x", (INTERNET, 7000))
        found = set()
        for name, ear in ears.items():
            with contextlib.suppress(TimeoutError):
                while True:
                    found.add((name, ear.recvfrom(10)[1][0]))
        return found


def test_two_gateways_one_gateway(pair: Pair) -> None:
    weft, path = pair.weft, f"/routers/{pair.router}"
    red = provider(weft, "red", ip_version=4, cidr="203.0.113.0/24")
    blue = provider(weft, "blue", ip_version=4, cidr="198.18.0.0/24")
    both = {"router": {"external_gateways": [{"network_id": red}, {"network_id": blue}]}}
    shown = weft.call("PUT", f"{path}/add_external_gateways", both)["router"]["external_gateways"]
    own = {name: one["external_fixed_ips"][0]["ip_address"] for name, one in zip(("red", "blue"), shown, strict=True)}
    wait_until(lambda: heard(weft, "a", ["red", "blue"]) == {("red", own["red"])})
    weft.call("PUT", path, {"router": {"enable_default_route_ecmp": True}})
    wait_until(lambda: heard(weft, "a", ["red", "blue"]) == {("red", own["red"]), ("blue", own["blue"])})
    fip = weft.make("floatingips", floating_network_id=blue, port_id=pair.b)
    wait_until(lambda: heard(weft, "b", ["red", "blue"]) == {("blue", fip["floating_ip_address"])})
    gone = {"router": {"external_gateways": [{"network_id": red}]}}
    weft.call("PUT", f"{path}/remove_external_gateways", gone)
    wait_until(lambda: heard(weft, "a", ["red", "blue"]) == {("blue", own["blue"])})
    legs = weft.call("GET", f"/ports?device_id={pair.router}&device_owner=network:router_gateway")["ports"]
    assert [one["status"] for one in legs] == ["ACTIVE"]


def test_an_address_outside_by_proxy(pair: Pair) -> None:
    weft = pair.weft
    scope = weft.make("address-scopes", name="world", ip_version=6)["id"]
    pool = weft.make("subnetpools", name="six", prefixes=["2001:db8::/48"], address_scope_id=scope)["id"]
    six = {"ip_version": 6, "subnetpool_id": pool, "prefixlen": 64}
    outside = provider(weft, "out", gateway_ip="2001:db8::1", cidr="2001:db8::/64", ip_version=6, subnetpool_id=pool)
    inside = weft.make("networks", name="inside")["id"]
    subnet = weft.make("subnets", network_id=inside, **six)["id"]
    info = {"network_id": outside}
    router = weft.make("routers", name="six", external_gateway_info=info, enable_ndp_proxy=True)["id"]
    weft.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    port = weft.make("ports", network_id=inside, name="c", port_security_enabled=False)
    address = port["fixed_ips"][0]["ip_address"]
    assert weft.plug(port["id"], "c")["status"] == "ACTIVE"
    # all of the prefix is on its link, as a provider has it
    assert sh(weft.workload("out"), "ip -6 route add 2001:db8::/48 dev eth0")

    def reached() -> bool:
        sh(weft.workload("out"), "ip -6 neigh flush all")
        return sh(weft.workload("out"), f"ping -6 -n -c 1 -W 1 {address}")

    assert not reached()
    proxy = weft.call("POST", "/ndp-proxies", {"ndp_proxy": {"router_id": router, "port_id": port["id"]}})["ndp_proxy"]
    wait_until(reached)
    weft.call("DELETE", f"/ndp-proxies/{proxy['id']}")
    wait_until(lambda: not reached())
