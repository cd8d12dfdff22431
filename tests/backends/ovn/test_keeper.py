"""From the API to OVN's rows, and back to status: the process that `weft serve` runs, and what its work costs."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api import hosts
from tests.api.conftest import Api, api, options  # noqa: F401 - fixtures
from tests.ovn_server import PROGRAMS, Server
from tests.waiting import wait_until
from weft.agent import cloud
from weft.backends.interface import Report, Status
from weft.context import internal
from weft.logical.model import Key
from weft.reconcile import status
from weft.reconcile.cloud import CloudLoader
from weft.store import changes
from weft.store.transaction import Environment, Transaction

pytestmark = [pytest.mark.needs_programs(*PROGRAMS)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "ovn").mkdir()
    made = Server(tmp_path / "ovn")
    yield made
    made.kill()


@pytest.fixture
def options(server: Server) -> dict[str, dict[str, Any]]:  # noqa: F811 - of this module
    return {
        "api": {"backend": "ovn"},
        "ovn": {"ovn_nb_connection": (server.remote,), "ovn_sb_connection": (server.remote,)},
        "quotas": {"quota_port": -1, "quota_security_group": -1},
    }


@contextmanager
def keeper(of: Api) -> Iterator[multiprocessing.process.BaseProcess]:
    process = multiprocessing.get_context("spawn").Process(target=cloud.run, args=(of.config,))
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join(20)
        assert not process.is_alive()


def names(server: Server, table: str) -> set[str]:
    return {row["name"] for row in server.nb.rows(table, "name")}


def test_what_the_api_makes_is_there_and_goes(api: Api, server: Server) -> None:  # noqa: F811
    network = api.make("networks", name="blue")
    api.make("subnets", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    with keeper(api):
        port = api.make("ports", network_id=network["id"], name="a")
        wait_until(lambda: port["id"] in names(server, "Logical_Switch_Port"))
        group = port["security_groups"][0].replace("-", "_")
        (members,) = server.nb.rows("Port_Group", "ports", name=f"pg_{group}")
        assert members["ports"]
        assert api.delete(f"ports/{port['id']}")[0] == 204
        wait_until(lambda: port["id"] not in names(server, "Logical_Switch_Port"))
        server.clear()
        wait_until(lambda: f"neutron-{network['id']}" in names(server, "Logical_Switch"))
    assert f"neutron-{network['id']}" in names(server, "Logical_Switch"), "stopping leaves everything as it is"


@pytest.mark.slow
def test_another_takes_over_from_one_that_was_killed(api: Api, server: Server) -> None:  # noqa: F811
    api.make("networks", name="blue")
    with keeper(api) as first:
        wait_until(lambda: names(server, "Logical_Switch"))
        with keeper(api):
            assert first.pid
            os.kill(first.pid, signal.SIGKILL)
            made = api.make("networks", name="red")
            wait_until(lambda: f"neutron-{made['id']}" in names(server, "Logical_Switch"), seconds=60)


def test_a_router_through_the_api(api: Api, server: Server) -> None:  # noqa: F811
    admin = api.admin
    outside = admin.make("networks", name="out", **{"router:external": True, "provider:network_type": "flat",
                                                    "provider:physical_network": "physnet1"})  # fmt: skip
    admin.make("subnets", network_id=outside["id"], cidr="203.0.113.0/24", ip_version=4, enable_dhcp=False)
    network = api.make("networks", name="blue")
    subnet = api.make("subnets", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    router = api.make("routers", external_gateway_info={"network_id": outside["id"]})
    assert api.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})[0] == 200
    port = api.make("ports", network_id=network["id"])
    fip = api.make("floatingips", floating_network_id=outside["id"], port_id=port["id"])
    with keeper(api):
        wait_until(lambda: len(server.nb.rows("NAT", "type")) == 2)
        nat = next(row for row in server.nb.rows("NAT") if row["type"] == "dnat_and_snat")
        assert nat["external_ip"] == fip["floating_ip_address"]
        assert nat["external_ids"]["neutron:fip_external_mac"]
        shown = lambda: server.nb.rows("Logical_Switch_Port", "external_ids", name=port["id"])  # noqa: E731
        assert shown()[0]["external_ids"]["neutron:port_fip"] == fip["floating_ip_address"]
        assert api.put(f"floatingips/{fip['id']}", {"floatingip": {"port_id": None}})[0] == 200
        wait_until(lambda: len(server.nb.rows("NAT", "type")) == 1)
        wait_until(lambda: "neutron:port_fip" not in shown()[0]["external_ids"])


def test_ports_and_routers_of_linux_hosts_are_left_to_these(api: Api, server: Server) -> None:  # noqa: F811
    """Through full passes, too: what their agents told stays, OVN has the ports as neighbours and the router not at all."""
    said = {"backend": "linux", "tunnel_types": ["vxlan"], "bridge_mappings": {"physnet1": "x"}}
    hosts.alive(api, "Linux bridge agent", "old", **said)
    hosts.alive(api, "OVN Controller agent", "h1", **{**said, "backend": "ovn"})
    hosts.alive(api, hosts.L3, "old")
    flat = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}
    network = api.admin.make("networks", name="blue", shared=True, **flat)["id"]
    subnet = api.admin.make("subnets", network_id=network, cidr="10.0.0.0/24", ip_version=4)["id"]
    router = api.make("routers", name="r")["id"]
    assert api.admin.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})[0] == 200
    linux, ovn = (
        api.admin.make("ports", network_id=network, **{"binding:host_id": one})["id"] for one in ("old", "h1")
    )
    up = Report(status={Key("port", linux): Status(True)})
    api.inside(lambda tx: status.write(tx, up, {}, "old", "linux"))

    def told(port: str) -> str:
        return str(api.admin.show("ports", port)["status_reason"])

    with keeper(api):
        wait_until(lambda: told(ovn) == "no chassis named h1", seconds=30)
        for _ in range(2):
            server.clear()  # a full pass follows
            wait_until(lambda: {linux, ovn} <= names(server, "Logical_Switch_Port"), seconds=30)
            later = api.admin.make("ports", network_id=network, **{"binding:host_id": "h1"})["id"]
            wait_until(lambda one=later: told(one), seconds=30)  # and what it found is told
        assert api.admin.show("ports", linux)["status"] == "ACTIVE"
        kinds = {row["name"]: row["type"] for row in server.nb.rows("Logical_Switch_Port", "name", "type")}
        assert (kinds[linux], kinds[ovn]) == ("external", "")
        assert names(server, "Logical_Router") == set()
        agent = hosts.by_host(api, hosts.L3)["old"]
        assert api.admin.delete(f"agents/{agent}/l3-routers/{router}")[0] == 204
        wait_until(lambda: names(server, "Logical_Router") == {f"neutron-{router}"}, seconds=30)


# -- what it costs


class Follower:
    """A cloud's view, and the statements of keeping it."""

    def __init__(self, of: Api) -> None:
        self._api, self.loader = of, CloudLoader()

        def load(tx: Transaction) -> None:
            self._sequence = changes.last(tx.connection)
            self.loader.load(tx)

        self._reading(load)

    def follow(self) -> set[str]:
        """Ids of what is different now."""
        return self._reading(self._step)

    def _step(self, tx: Transaction) -> set[str]:
        found = changes.after(tx.connection, self._sequence)
        self._sequence = found[-1].sequence if found else self._sequence
        return {key.id for key in self.loader.refresh(tx, found)}

    def _reading(self, work: Callable[[Transaction], Any]) -> Any:
        environment = Environment(self._api.config)
        return self._api.store.read(lambda connection: work(Transaction(connection, internal(), environment)))


@pytest.mark.parametrize("what", ["a port", "a group", "a name"])
def test_a_change_costs_the_same_in_a_large_cloud(api: Api, what: str) -> None:  # noqa: F811
    network = api.make("networks", name="blue")["id"]
    api.make("subnets", network_id=network, cidr="10.0.0.0/16", ip_version=4)
    first = api.make("ports", network_id=network)
    counts = []
    for more in (10, 300):
        assert api.post("ports", {"ports": [{"network_id": network}] * more})[0] == 201
        follower = Follower(api)
        if what == "a port":
            api.make("ports", network_id=network)
        elif what == "a group":
            group = api.make("security-groups", name="g")["id"]
            assert api.put(f"ports/{first['id']}", {"port": {"security_groups": [group]}})[0] == 200
        else:
            assert api.put(f"networks/{network}", {"network": {"name": f"n{more}"}})[0] == 200
        with api.statements() as seen:
            assert 1 <= len(follower.follow()) <= 2
        counts.append(len(seen))
    assert counts[0] == counts[1] <= 12


def test_loading_reads_in_lots(api: Api) -> None:  # noqa: F811
    network = api.make("networks", name="blue")["id"]
    api.make("subnets", network_id=network, cidr="10.0.0.0/16", ip_version=4)
    counts = []
    for more in (20, 400):
        assert api.post("ports", {"ports": [{"network_id": network}] * more})[0] == 201
        with api.statements() as seen:
            follower = Follower(api)
        counts.append(len(seen))
    assert len(follower.loader.view.ports) == 420
    assert counts[0] == counts[1], "four hundred ports are one lot"
