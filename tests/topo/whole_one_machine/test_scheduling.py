"""The dataplane does what agents are given: DHCP where one serves the network, a router where one hosts it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any

import pytest

from tests.topo.whole import Installation
from tests.topo.whole_one_machine.conftest import Pair
from tests.unit.backends.linux import packets
from tests.waiting import wait_until
from weft.backends.linux import frames, names, netns
from weft.backends.linux.dhcp import DISCOVER

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]


def agent(weft: Installation, kind: str) -> str:
    (found,) = [row for row in weft.call("GET", "/agents")["agents"] if row["agent_type"] == kind]
    return str(found["id"])


def offered(pair: Pair) -> str:
    """The address that workload a is offered by DHCP; empty: nobody answers."""
    mac = pair.weft.port(pair.a)["mac_address"]
    with netns.open_socket(pair.weft.workload("a"), socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as raw:
        raw.bind(("eth0", 0x0800))
        raw.send(packets.dhcp(DISCOVER, mac=mac, xid=os.urandom(4)))
        until = time.monotonic() + 0.5
        with contextlib.suppress(TimeoutError):
            while (left := until - time.monotonic()) > 0:
                raw.settimeout(left)
                found = frames.parse(raw.recv(2048))
                if found is not None and found.sport == 67:
                    return socket.inet_ntoa(found.payload[16:20])
    return ""


def test_dhcp_is_answered_while_an_agent_serves_the_network(pair: Pair) -> None:
    weft, dhcp = pair.weft, agent(pair.weft, "DHCP agent")
    assert [row["id"] for row in weft.call("GET", f"/networks/{pair.network}/dhcp-agents")["agents"]] == [dhcp]
    assert offered(pair) == pair.ip_a
    weft.call("DELETE", f"/agents/{dhcp}/dhcp-networks/{pair.network}")
    wait_until(lambda: offered(pair) == "")
    weft.call("POST", f"/agents/{dhcp}/dhcp-networks", {"network_id": pair.network})
    wait_until(lambda: offered(pair) == pair.ip_a)
    weft.call("PUT", f"/agents/{dhcp}", {"agent": {"admin_state_up": False}})
    wait_until(lambda: offered(pair) == "")
    weft.call("PUT", f"/agents/{dhcp}", {"agent": {"admin_state_up": True}})
    wait_until(lambda: offered(pair) == pair.ip_a)


def beyond(pair: Pair) -> dict[str, Any]:
    """A workload on another network behind the same router."""
    weft = pair.weft
    network = weft.make("networks", name="m")["id"]
    subnet = weft.make("subnets", network_id=network, ip_version=4, cidr="10.0.1.0/24")["id"]
    weft.call("PUT", f"/routers/{pair.router}/add_router_interface", {"subnet_id": subnet})
    port = weft.make("ports", network_id=network, name="c")
    assert weft.plug(port["id"], "c")["status"] == "ACTIVE"
    return port


def reaches(pair: Pair, address: str) -> bool:
    with pair.weft.flood("a", address) as flood:
        time.sleep(0.2)
    return bool(flood.answered)


def test_a_router_is_there_while_an_agent_hosts_it(pair: Pair) -> None:
    weft, l3 = pair.weft, agent(pair.weft, "L3 agent")
    address = beyond(pair)["fixed_ips"][0]["ip_address"]
    place = names.router_namespace(weft.namespace, pair.router)

    def legs() -> set[str]:
        found = weft.call("GET", f"/ports?device_id={pair.router}")["ports"]
        return {row["status"] for row in found}

    wait_until(lambda: reaches(pair, address))
    wait_until(lambda: legs() == {"ACTIVE"})
    weft.call("DELETE", f"/agents/{l3}/l3-routers/{pair.router}")
    wait_until(lambda: not netns.exists(place))
    assert not reaches(pair, address)
    assert reaches(pair, pair.ip_b)
    assert legs() == {"DOWN"}
    weft.call("POST", f"/agents/{l3}/l3-routers", {"router_id": pair.router})
    wait_until(lambda: reaches(pair, address))
    wait_until(lambda: legs() == {"ACTIVE"})


def test_what_was_taken_stays_away_until_an_agent_starts(pair: Pair) -> None:
    """A restart of the dataplane is a start of its agents: what nobody serves is theirs."""
    weft, l3 = pair.weft, agent(pair.weft, "L3 agent")
    place = names.router_namespace(weft.namespace, pair.router)
    weft.call("DELETE", f"/agents/{l3}/l3-routers/{pair.router}")
    wait_until(lambda: not netns.exists(place))
    weft.kill("dataplane")
    wait_until(lambda: netns.exists(place))
    assert [row["id"] for row in weft.call("GET", f"/routers/{pair.router}/l3-agents")["agents"]] == [l3]


def test_the_external_network_of_a_machine_without_mappings(pair: Pair) -> None:
    """Its bridge alone carries it, and who serves it knows."""
    provider = {"provider:network_type": "flat", "provider:physical_network": "external", "router:external": True}
    outside = pair.weft.make("networks", **provider)["id"]
    pair.weft.make("subnets", network_id=outside, ip_version=4, cidr="203.0.113.0/24")
    found = pair.weft.call("GET", f"/networks/{outside}/dhcp-agents")["agents"]
    assert [row["agent_type"] for row in found] == ["DHCP agent"]
