"""Hosts of Linux and of OVN in one cloud: each port's status is told by one, each router made by one, and who cannot says why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.api import hosts
from tests.api.conftest import Api
from weft.backends.interface import Report, Status
from weft.backends.ovn.chassis import Chassis
from weft.logical.model import HostView, Key
from weft.reconcile import status
from weft.reconcile.chassis import Reporter
from weft.reconcile.cloud import CloudLoader
from weft.reconcile.load import HostLoader
from weft.store import changes
from weft.store.transaction import Transaction

OVN, LINUX, NOBODY = "h1", "old", "nowhere"
FLAT = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"api": {"backends": ("linux", "ovn")}, "ml2": {"flat_networks": ("*",)}}


@pytest.fixture
def network(api: Api) -> str:
    """One that hosts of both can be on."""
    mapped = {"physnet1": "x"}
    Reporter(api.config, api.store, lambda: [Chassis("c1", OVN, bridge_mappings=mapped)]).write()
    said = {"backend": "linux", "tunnel_types": ["vxlan"], "bridge_mappings": mapped}
    hosts.alive(api, "Linux bridge agent", LINUX, **said)
    made = api.admin.make("networks", name="n", **FLAT)["id"]
    api.admin.make("subnets", network_id=made, cidr="10.0.0.0/24", ip_version=4)
    return str(made)


def port(api: Api, network: str, host: str, **values: Any) -> str:
    made = api.admin.make("ports", network_id=network, device_owner="compute:a", **{"binding:host_id": host}, **values)
    return str(made["id"])


def tell(api: Api, host: str, up: bool, *ports: str) -> None:
    """As the keeper of `host` does after each pass, or that of OVN, for which `host` is ''."""
    found = {Key("port", id): Status(up, "" if up else f"{host or 'OVN'} has no device") for id in ports}
    api.inside(lambda tx: status.write(tx, Report(status=found), {}, host, "linux" if host else "ovn"))


def shown(api: Api, port: str) -> tuple[str, str]:
    row = api.admin.show("ports", port)
    return row["status"], row["status_reason"]


def view(api: Api, loader: HostLoader | None = None) -> HostView:
    loader = loader or CloudLoader()
    api.inside(loader.load)
    return loader.view


def test_each_port_has_one_who_tells_its_status(api: Api, network: str) -> None:
    linux, ovn, unbound = (port(api, network, host) for host in (LINUX, OVN, ""))
    tell(api, LINUX, True, linux)
    tell(api, "", False, linux, ovn)
    assert shown(api, linux) == ("ACTIVE", "")
    assert shown(api, ovn) == ("DOWN", "OVN has no device")
    tell(api, LINUX, True, ovn)
    assert shown(api, ovn)[0] == "DOWN"
    tell(api, "", True, ovn, unbound)
    assert shown(api, ovn) == shown(api, unbound) == ("ACTIVE", "")  # a virtual address is bound nowhere, and up


def test_a_port_that_moves_to_a_host_of_the_other_backend(api: Api, network: str) -> None:
    moving = port(api, network, LINUX)
    tell(api, LINUX, True, moving)
    for host, teller, former in ((OVN, "", LINUX), (LINUX, LINUX, "")):
        status_code, body = api.admin.put(f"ports/{moving}", {"port": {"binding:host_id": host}})
        assert status_code == 200, body
        tell(api, former, True, moving)
        assert shown(api, moving) == ("DOWN", ""), "who had it before has no say"
        tell(api, teller, True, moving)
        tell(api, former, False, moving)
        assert shown(api, moving) == ("ACTIVE", "")


def test_where_a_binding_failed_the_reason_stays(api: Api, network: str) -> None:
    geneve = api.admin.make("networks", name="g", **{"provider:network_type": "geneve"})["id"]
    refused = {
        port(api, network, NOBODY): f"no agent on host {NOBODY}",
        port(api, geneve, LINUX): f"host {LINUX} has Linux bridges, which cannot carry networks of type geneve",
        port(
            api, network, LINUX, **{"binding:vnic_type": "direct"}
        ): f"host {LINUX} has Linux bridges: vnic type direct is not supported there, only normal is",
        port(
            api, network, OVN, **{"binding:vnic_type": "smart-nic"}
        ): f"host {OVN} has OVN: vnic type smart-nic is not supported "
        "there, only normal, vdpa, remote-managed, direct, macvtap, direct-physical, baremetal are",
    }
    tell(api, "", False, *refused)
    for id, reason in refused.items():
        assert shown(api, id) == ("DOWN", reason)


def test_ovn_knows_the_ports_of_other_hosts_as_neighbours(api: Api, network: str) -> None:
    linux, ovn = port(api, network, LINUX), port(api, network, OVN)
    loader = CloudLoader()
    assert {id: one.elsewhere for id, one in view(api, loader).ports.items()} == {linux: True, ovn: False}
    sequence = api.inside(lambda tx: changes.last(tx.connection))

    def follow(tx: Transaction) -> set[Key]:
        return loader.refresh(tx, changes.after(tx.connection, sequence))

    api.admin.put(f"ports/{linux}", {"port": {"binding:host_id": OVN}})
    assert api.inside(follow) == {Key("port", linux)}
    assert not loader.view.ports[linux].elsewhere


def test_hosts_that_are_ready_count_where_they_are_of_ovn(api: Api, network: str) -> None:
    mapped = {"physnet1": "x"}
    Reporter(api.config, api.store, lambda: [Chassis("c2", "h2", bridge_mappings=mapped)]).write()
    moving = port(api, network, OVN)
    for host in (LINUX, "h2"):
        status_code, body = api.as_("nova", "service").post(f"ports/{moving}/bindings", {"binding": {"host": host}})
        assert status_code == 201, body
    assert view(api).ports[moving].also == ("h2",)


def test_a_router_is_made_by_the_agents_that_serve_it_or_by_ovn(api: Api, network: str) -> None:
    agent = hosts.alive(api, hosts.L3, LINUX)
    inside = api.make("networks", name="inside")["id"]
    subnet = api.make("subnets", network_id=inside, cidr="10.1.0.0/24", ip_version=4)["id"]
    router = api.make("routers", name="r")["id"]
    assert api.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})[0] == 200
    loader, linux = CloudLoader(), HostLoader(LINUX)
    assert (set(view(api, loader).routers), set(view(api, linux).routers)) == (set(), {router})
    sequence = api.inside(lambda tx: changes.last(tx.connection))
    assert api.admin.delete(f"agents/{agent}/l3-routers/{router}")[0] == 204
    for one in (loader, linux):
        found = api.inside(lambda tx, one=one: one.refresh(tx, changes.after(tx.connection, sequence)))
        assert Key("router", router) in found
    assert (set(loader.view.routers), set(linux.view.routers)) == ({router}, set())


def test_routers_are_ovns_where_the_agents_are_switched_off(api: Api, network: str) -> None:
    agent = hosts.alive(api, hosts.L3, LINUX)
    hosts.switch(api, agent, up=False)
    subnet = api.admin.list("subnets", f"network_id={network}")[0]["id"]
    router = api.admin.make("routers", name="r")["id"]
    assert api.admin.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})[0] == 200
    hosts.alive(api, hosts.L3, LINUX)
    assert set(view(api).routers) == {router}


def test_tunnels_of_two_kinds_do_not_meet(api: Api, network: str) -> None:
    """A network that tunnels carry is of the kind of hosts where it was first; elsewhere it is refused, and says so."""
    vxlan = api.admin.make("networks", name="v", **{"provider:network_type": "vxlan"})["id"]
    reason = f"host {OVN} has OVN, whose tunnels do not reach the network's ports on hosts with Linux bridges"
    first = port(api, vxlan, LINUX)
    second = port(api, vxlan, OVN)
    assert (shown(api, first)[1], shown(api, second)) == ("", ("DOWN", reason))
    assert shown(api, port(api, vxlan, LINUX))[1] == ""
    status_code, body = api.as_("nova", "service").post(f"ports/{first}/bindings", {"binding": {"host": OVN}})
    assert (status_code, body["NeutronError"]["type"]) == (409, "PortBindingError"), body
    both = [{"network_id": network, "binding:host_id": host} for host in (LINUX, OVN)]
    assert [one["status_reason"] for one in api.admin.post("ports", {"ports": both})[1]["ports"]] == ["", ""]


def test_a_bulk_is_of_one_kind(api: Api, network: str) -> None:
    vxlan = api.admin.make("networks", name="v", **{"provider:network_type": "vxlan"})["id"]
    wanted = [{"network_id": vxlan, "binding:host_id": host} for host in (OVN, LINUX, OVN)]
    made = api.admin.post("ports", {"ports": wanted})[1]["ports"]
    assert [one["binding:vif_type"] for one in made] == ["ovs", "binding_failed", "ovs"]
    alone = [one["id"] for one in made]
    for id in (alone[0], alone[2]):
        assert api.admin.delete(f"ports/{id}")[0] == 204
    status_code, body = api.admin.put(f"ports/{alone[1]}", {"port": {"name": "again"}})
    assert status_code == 200 and body["port"]["binding:vif_type"] == "bridge", "the last of the others is gone"


def test_two_who_are_first_at_once(api: Api, network: str) -> None:
    """One of them is: the other is told, and not left with ports that hear nothing of each other."""
    for number in range(8):
        vxlan = api.admin.make("networks", name=f"v{number}", **{"provider:network_type": "vxlan"})["id"]
        together = Barrier(2)

        def attach(host: str, vxlan: str = vxlan, together: Barrier = together) -> str:
            together.wait()
            return str(api.admin.make("ports", network_id=vxlan, **{"binding:host_id": host})["binding:vif_type"])

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(attach, (LINUX, OVN)))
        assert found.count("binding_failed") == 1, found


def test_a_router_behind_the_tunnels_of_others_says_so(api: Api, network: str) -> None:
    """Its leg is down as long as all ports there are of the other kind."""
    vxlan = api.make("networks", name="v")["id"]
    subnet = api.make("subnets", network_id=vxlan, cidr="10.2.0.0/24", ip_version=4)["id"]
    router = api.make("routers", name="r")["id"]
    leg = api.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})[1]["port_id"]

    def made_by(host: str, backend: str) -> tuple[str, str]:
        found = view(api, CloudLoader()).routers
        told = Report(status={Key("router", router): Status(True)})
        api.inside(lambda tx: status.write(tx, told, found, host, backend))
        return shown(api, leg)

    assert made_by(LINUX, "linux") == ("ACTIVE", "")
    there = port(api, vxlan, OVN)
    reason = "its router is made by Linux bridges, whose tunnels do not reach the network's ports on hosts with OVN"
    assert made_by(LINUX, "linux") == ("DOWN", reason)
    assert made_by("", "ovn") == ("ACTIVE", "")
    made_by(LINUX, "linux")
    assert api.admin.delete(f"ports/{there}")[0] == 204
    assert made_by(LINUX, "linux") == ("ACTIVE", "")
