"""Bindings of a port to several hosts; the rules stand in behaviours section 6 of the API's facts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from weft.backends.interface import Report, Status
from weft.logical.model import Key
from weft.reconcile import status
from weft.reconcile.load import HostLoader
from weft.resources import agent
from weft.store import changes

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
DETAILS = {"port_filter", "connectivity", "bridge_name"}


def bind_host(api: Api, name: str) -> None:
    """A host with an agent that wires ports."""
    facts: Any = {"agent_type": "Linux bridge agent", "binary": "weft", "topic": "N/A", "host": name}
    configurations = {"backend": "linux", "tunnel_types": ["vxlan"], "bridge_mappings": {}}
    api.inside(lambda tx: agent.report(tx, configurations=configurations, **facts))


@pytest.fixture
def nova(api: Api) -> Api:
    """The caller that moves servers, on hosts h1, h2 and h3."""
    for name in ("h1", "h2", "h3"):
        bind_host(api, name)
    return api.as_("nova", "service")


@pytest.fixture
def network(api: Api) -> str:
    return str(api.make("networks")["id"])


@pytest.fixture
def port(api: Api, nova: Api, network: str) -> str:
    """A server's port on h1."""
    owned = {"device_owner": "compute:nova", "device_id": "vm"}
    made = api.make("ports", network_id=network, **owned)["id"]
    answer = nova.put(f"ports/{made}", {"port": {"binding:host_id": "h1"}})
    assert answer[1]["port"]["binding:vif_type"] == "bridge"
    return str(made)


def create(api: Api, port: str, **values: Any) -> Any:
    return api.post(f"ports/{port}/bindings", {"binding": values})


def bindings(api: Api, port: str, query: str = "") -> dict[str, dict[str, Any]]:
    return {one["host"]: one for one in api.list(f"ports/{port}/bindings", query)}


def activate(api: Api, port: str, host: str) -> Any:
    return api.request("PUT", f"ports/{port}/bindings/{host}/activate")


def shown(api: Api, port: str) -> tuple[Any, ...]:
    row = api.admin.show("ports", port)
    return row["binding:host_id"], row["binding:vif_type"], row["status"]


def test_a_second_binding_is_inactive(api: Api, nova: Api, port: str) -> None:
    code, body = create(nova, port, host="h2", profile={"a": 1})
    assert code == 201
    made = body["binding"]
    assert set(made["vif_details"]) == DETAILS
    assert {**made, "vif_details": 0} == {
        "host": "h2",
        "vif_type": "bridge",
        "vnic_type": "normal",
        "status": "INACTIVE",
        "profile": {"a": 1},
        "vif_details": 0,
    }
    assert nova.get(f"ports/{port}/bindings/h2")[1] == {"binding": made}
    found = bindings(nova, port)
    assert {host: one["status"] for host, one in found.items()} == {"h1": "ACTIVE", "h2": "INACTIVE"}
    assert set(found["h1"]["vif_details"]) == DETAILS
    assert shown(api, port)[:2] == ("h1", "bridge")


def test_the_port_itself_shows_which_driver_bound_it(api: Api, nova: Api, port: str) -> None:
    create(nova, port, host="h2")
    activate(nova, port, "h2")
    assert api.admin.show("ports", port)["binding:vif_details"]["bound_drivers"] == {"0": "linux"}


def test_the_first_binding_is_active(api: Api, nova: Api, network: str) -> None:
    free = api.make("ports", network_id=network, device_owner="compute:nova")["id"]
    assert bindings(nova, free) == {}
    code, body = create(nova, free, host="h2", vnic_type="normal")
    assert (code, body["binding"]["status"], body["binding"]["vif_type"]) == (201, "ACTIVE", "bridge")
    assert shown(api, free) == ("h2", "bridge", "DOWN")
    assert create(nova, free, host="h1")[1]["binding"]["status"] == "INACTIVE"


def test_live_migration(api: Api, nova: Api, port: str) -> None:
    """What Nova does: bind to where it goes, activate there, take the binding away where it came from."""
    create(nova, port, host="h2", vnic_type="normal", profile={"migrating": "yes"})
    revision = api.show("ports", port)["revision_number"]
    code, body = activate(nova, port, "h2")
    assert code == 200
    assert "binding" not in body
    assert (body["host"], body["status"], body["vif_type"]) == ("h2", "ACTIVE", "bridge")
    assert set(body) == {"host", "vif_type", "vnic_type", "status", "profile", "vif_details"}
    assert shown(api, port) == ("h2", "bridge", "DOWN")
    assert api.admin.show("ports", port)["binding:profile"] == {"migrating": "yes"}
    assert api.show("ports", port)["revision_number"] > revision
    left = bindings(nova, port)["h1"]
    assert (left["status"], left["vif_type"], left["vif_details"]) == ("INACTIVE", "unbound", {})
    assert nova.delete(f"ports/{port}/bindings/h1")[0] == 204
    assert list(bindings(nova, port)) == ["h2"]
    assert shown(api, port)[:2] == ("h2", "bridge")


def test_the_way_back_is_bound_anew(api: Api, nova: Api, port: str) -> None:
    create(nova, port, host="h2")
    activate(nova, port, "h2")
    code, body = activate(nova, port, "h1")
    assert (code, body["vif_type"]) == (200, "bridge")
    assert shown(api, port)[:2] == ("h1", "bridge")
    assert bindings(nova, port)["h2"]["status"] == "INACTIVE"


def test_activation_takes_a_body_as_well(nova: Api, port: str) -> None:
    create(nova, port, host="h2")
    assert nova.put(f"ports/{port}/bindings/h2/activate", {"binding": {"host": "h2"}})[0] == 200


def test_activation_of_what_is_active_or_unknown(nova: Api, port: str) -> None:
    assert nova.fault(activate(nova, port, "h1")) == (409, "PortBindingAlreadyActive")
    assert nova.fault(activate(nova, port, "h9")) == (404, "PortBindingNotFound")
    assert nova.fault(activate(nova, UNKNOWN, "h1")) == (404, "PortNotFound")


def test_deleting_the_active_binding_unbinds_the_port(api: Api, nova: Api, port: str) -> None:
    nova.put(f"ports/{port}", {"port": {"binding:profile": {"a": 1}}})
    create(nova, port, host="h2")
    assert nova.delete(f"ports/{port}/bindings/h1")[0] == 204
    assert shown(api, port) == ("", "unbound", "DOWN")
    assert api.admin.show("ports", port)["binding:profile"] == {}
    assert list(bindings(nova, port)) == ["h2"]
    assert api.put(f"ports/{port}", {"port": {"name": "still mine"}})[0] == 200
    assert activate(nova, port, "h2")[0] == 200
    assert list(bindings(nova, port)) == ["h2"]


def test_a_host_has_one_binding(nova: Api, port: str) -> None:
    assert nova.fault(create(nova, port, host="h1")) == (409, "PortBindingAlreadyExists")
    create(nova, port, host="h2")
    assert nova.fault(create(nova, port, host="h2")) == (409, "PortBindingAlreadyExists")


def test_what_cannot_be_bound_says_why(nova: Api, port: str) -> None:
    answer = create(nova, port, host="h9")
    assert nova.fault(answer) == (409, "PortBindingError")
    assert "no agent on host h9" in answer[1]["NeutronError"]["message"]
    assert nova.fault(create(nova, port, host="h2", vnic_type="direct")) == (409, "PortBindingError")
    assert list(bindings(nova, port)) == ["h1"]


def test_a_first_binding_that_fails_leaves_the_port_as_it_was(api: Api, nova: Api, network: str) -> None:
    free = api.make("ports", network_id=network, device_owner="compute:nova")["id"]
    assert nova.fault(create(nova, free, host="h9")) == (409, "PortBindingError")
    assert shown(api, free) == ("", "unbound", "DOWN")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, (400, "HTTPBadRequest")),
        ({"host": ""}, (400, "HTTPBadRequest")),
        ({"host": None}, (400, "HTTPBadRequest")),
        ({"host": "h2", "vnic_type": "wireless"}, (400, "HTTPBadRequest")),
        ({"host": "h2", "profile": "x"}, (400, "HTTPBadRequest")),
        ({"host": "h2", "profile": {"x": "x" * 5000}}, (400, "InvalidInput")),
        ({"host": "h2", "status": "ACTIVE"}, (400, "HTTPBadRequest")),
        ({"host": "h2", "vif_type": "ovs"}, (400, "HTTPBadRequest")),
        ({"host": "h2", "colour": "red"}, (400, "HTTPBadRequest")),
    ],
)
def test_bodies_that_are_refused(nova: Api, port: str, values: dict[str, Any], fault: tuple[int, str]) -> None:
    assert nova.fault(create(nova, port, **values)) == fault
    assert list(bindings(nova, port)) == ["h1"]


def test_one_at_a_time(nova: Api, port: str) -> None:
    answer = nova.post(f"ports/{port}/bindings", {"bindings": [{"host": "h2"}, {"host": "h3"}]})
    assert nova.fault(answer) == (400, "HTTPBadRequest")


def test_update_of_an_inactive_binding(nova: Api, port: str) -> None:
    create(nova, port, host="h2")
    code, body = nova.put(f"ports/{port}/bindings/h2", {"binding": {"profile": {"b": 2}}})
    assert (code, body["binding"]["profile"], body["binding"]["status"]) == (200, {"b": 2}, "INACTIVE")
    code, body = nova.put(f"ports/{port}/bindings/h2", {"binding": {"host": "h3"}})
    assert (code, body["binding"]["host"], body["binding"]["profile"]) == (200, "h3", {"b": 2})
    assert sorted(bindings(nova, port)) == ["h1", "h3"]
    update = {"binding": {"host": "h1"}}
    assert nova.fault(nova.put(f"ports/{port}/bindings/h3", update)) == (409, "PortBindingAlreadyExists")
    update = {"binding": {"host": "h9"}}
    assert nova.fault(nova.put(f"ports/{port}/bindings/h3", update)) == (409, "PortBindingError")
    assert nova.fault(nova.put(f"ports/{port}/bindings/h9", update)) == (404, "PortBindingNotFound")
    assert nova.put(f"ports/{port}/bindings/h3", {"binding": {"profile": None}})[1]["binding"]["profile"] == {}


def test_update_of_the_active_binding_is_one_of_the_port(api: Api, nova: Api, port: str) -> None:
    code, body = nova.put(f"ports/{port}/bindings/h1", {"binding": {"host": "h2", "profile": {"c": 3}}})
    assert (code, body["binding"]["host"], body["binding"]["status"]) == (200, "h2", "ACTIVE")
    row = api.admin.show("ports", port)
    assert (row["binding:host_id"], row["binding:profile"]) == ("h2", {"c": 3})
    assert nova.fault(nova.put(f"ports/{port}/bindings/h2", {"binding": {"host": "h9"}})) == (409, "PortBindingError")
    assert shown(api, port)[:2] == ("h2", "bridge")
    assert list(bindings(nova, port)) == ["h2"]


def test_only_servers_and_shares_have_bindings(api: Api, nova: Api, network: str) -> None:
    other = api.make("ports", network_id=network, device_owner="network:dhcp")["id"]
    for answer in (
        create(nova, other, host="h2"),
        nova.get(f"ports/{other}/bindings"),
        nova.get(f"ports/{other}/bindings/h1"),
        nova.put(f"ports/{other}/bindings/h1", {"binding": {"profile": {}}}),
        nova.delete(f"ports/{other}/bindings/h1"),
        activate(nova, other, "h1"),
    ):
        assert nova.fault(answer) == (400, "BadRequest")
        assert "Operation only valid on compute and shared filesystem ports" in answer[1]["NeutronError"]["message"]
    share = api.make("ports", network_id=network, device_owner="manila:share")["id"]
    assert create(nova, share, host="h2")[0] == 201


def test_roles(api: Api, nova: Api, port: str) -> None:
    create(nova, port, host="h2")
    assert sorted(bindings(api.admin, port)) == ["h1", "h2"]
    assert api.admin.get(f"ports/{port}/bindings/h2")[0] == 200
    refused = (403, "PolicyNotAuthorized")
    assert api.fault(create(api.admin, port, host="h3")) == refused
    assert api.fault(api.admin.put(f"ports/{port}/bindings/h2", {"binding": {"profile": {}}})) == refused
    assert api.fault(activate(api.admin, port, "h2")) == refused
    assert api.fault(api.admin.delete(f"ports/{port}/bindings/h2")) == refused
    assert bindings(api, port) == {}
    assert api.get(f"ports/{port}/bindings/h2")[0] == 404
    assert api.put(f"ports/{port}/bindings/h2", {"binding": {"profile": {}}})[0] in (403, 404)
    assert api.fault(create(api, port, host="h3")) == refused
    assert sorted(bindings(nova, port)) == ["h1", "h2"]
    assert api.fault(api.as_("p2").get(f"ports/{port}/bindings")) == (404, "PortNotFound")


def test_unknown_port_and_unknown_host(nova: Api, port: str) -> None:
    assert nova.fault(nova.get(f"ports/{UNKNOWN}/bindings")) == (404, "PortNotFound")
    assert nova.fault(create(nova, UNKNOWN, host="h2")) == (404, "PortNotFound")
    answer = nova.get(f"ports/{port}/bindings/zz")
    assert nova.fault(answer) == (404, "PortBindingNotFound")
    assert answer[1]["NeutronError"]["message"] == f"Binding for port {port} for host zz could not be found."
    assert nova.fault(nova.delete(f"ports/{port}/bindings/zz")) == (404, "PortBindingNotFound")


def test_bindings_of_other_ports_are_not_mixed_up(api: Api, nova: Api, network: str, port: str) -> None:
    other = api.make("ports", network_id=network, device_owner="compute:nova")["id"]
    create(nova, other, host="h1")
    create(nova, other, host="h2")
    create(nova, port, host="h3")
    assert sorted(bindings(nova, port)) == ["h1", "h3"]
    assert nova.fault(nova.get(f"ports/{port}/bindings/h2")) == (404, "PortBindingNotFound")


def test_filters_pages_and_fields(nova: Api, port: str) -> None:
    create(nova, port, host="h2")
    create(nova, port, host="h3")
    assert sorted(bindings(nova, port, "status=INACTIVE")) == ["h2", "h3"]
    assert sorted(bindings(nova, port, "host=h1&host=h3")) == ["h1", "h3"]
    assert sorted(bindings(nova, port, "vif_type=bridge&vnic_type=normal")) == ["h1", "h2", "h3"]
    assert nova.list(f"ports/{port}/bindings", "fields=host&host=h1") == [{"host": "h1"}]
    page = nova.get(f"ports/{port}/bindings?limit=2")[1]
    assert [one["host"] for one in page["bindings"]] == ["h1", "h2"]
    following = next(link["href"] for link in page["bindings_links"] if link["rel"] == "next")
    assert "marker=h2" in following
    assert list(bindings(nova, port, following.partition("?")[2])) == ["h3"]
    assert nova.fault(nova.get(f"ports/{port}/bindings?profile=x"))[0] == 400


def test_a_port_that_goes_takes_its_bindings_along(api: Api, nova: Api, port: str) -> None:
    create(nova, port, host="h2")
    assert api.delete(f"ports/{port}")[0] == 204
    assert nova.fault(nova.get(f"ports/{port}/bindings")) == (404, "PortNotFound")


def test_a_port_bound_to_where_it_might_have_gone_is_there(api: Api, nova: Api, port: str) -> None:
    """The older way of Nova: it changes binding:host_id. There is no second binding of that host then."""
    create(nova, port, host="h2")
    nova.put(f"ports/{port}", {"port": {"binding:host_id": "h2"}})
    assert {host: one["status"] for host, one in bindings(nova, port).items()} == {"h2": "ACTIVE"}


def test_lists_cost_the_same_at_any_length(api: Api, nova: Api, port: str) -> None:
    def cost() -> int:
        with api.statements() as seen:
            bindings(nova, port)
        return len(seen)

    for number in range(10):
        bind_host(api, f"many{number}")
        create(nova, port, host=f"many{number}")
    few = cost()
    for number in range(10, 200):
        bind_host(api, f"many{number}")
        create(nova, port, host=f"many{number}")
    assert len(bindings(nova, port)) == 201
    assert cost() == few <= 3


def test_the_extension_is_listed(api: Api) -> None:
    assert api.get("extensions/binding-extended")[0] == 200


# What hosts make of it.


def follow(api: Api, loader: HostLoader, sequence: int) -> tuple[set[Key], int]:
    def work(tx: Any) -> tuple[set[Key], int]:
        return loader.refresh(tx, changes.after(tx.connection, sequence)), changes.last(tx.connection)

    return api.inside(work)  # type: ignore[no-any-return]


def test_hosts_follow_the_active_binding(api: Api, nova: Api, port: str) -> None:
    here, there = HostLoader("h1"), HostLoader("h2")
    sequence = api.inside(lambda tx: changes.last(tx.connection))
    for loader in (here, there):
        api.inside(loader.load)
    assert port in here.view.ports
    create(nova, port, host="h2")
    for loader in (here, there):
        follow(api, loader, sequence)
    assert (port in here.view.ports, port in there.view.ports) == (True, False)
    activate(nova, port, "h2")
    key = Key("port", port)
    assert all(key in follow(api, loader, sequence)[0] for loader in (here, there))
    assert (port in here.view.ports, port in there.view.ports) == (False, True)


def test_the_host_that_a_port_left_has_no_say_in_its_status(api: Api, nova: Api, port: str) -> None:
    create(nova, port, host="h2")
    activate(nova, port, "h2")

    def report(host: str, up: bool) -> None:
        found = Report(status={Key("port", port): Status(up, "" if up else "gone")})
        api.inside(lambda tx: status.write(tx, found, {}, host))

    report("h1", True)
    assert shown(api, port)[2] == "DOWN"
    report("h2", True)
    assert shown(api, port)[2] == "ACTIVE"
    report("h1", False)
    assert shown(api, port)[2] == "ACTIVE"


def test_a_port_bound_anew_in_the_same_way_is_looked_at_again(api: Api, nova: Api, port: str) -> None:
    """Its status is DOWN until its host has said again that it is up, though nothing is to be done for it there."""
    up = Report(status={Key("port", port): Status(True)})
    api.inside(lambda tx: status.write(tx, up, {}, "h1"))
    loader = HostLoader("h1")
    sequence = api.inside(lambda tx: changes.last(tx.connection))
    api.inside(loader.load)
    nova.put(f"ports/{port}", {"port": {"binding:profile": {"a": 1}}})
    assert shown(api, port)[2] == "DOWN"
    assert follow(api, loader, sequence)[0] == set()
    assert loader.unsure == {Key("port", port)}
