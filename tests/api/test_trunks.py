"""Trunks; the rules stand in behaviours section 14 of the API's facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from falcon import testing

from tests.api.conftest import Api, caller
from tests.api.test_port_bindings import bind_host
from weft import app, config
from weft.api import offer
from weft.backends.interface import Report, Status
from weft.logical.model import Key
from weft.reconcile import status
from weft.reconcile.load import HostLoader
from weft.resources import RESOURCES
from weft.store import changes

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"


@pytest.fixture
def network(api: Api) -> str:
    return str(api.make("networks")["id"])


@pytest.fixture
def parent(api: Api, network: str) -> str:
    return port(api, network)


@pytest.fixture
def service(api: Api) -> Api:
    for name in ("h1", "h2"):
        bind_host(api, name)
    return api.as_("nova", "service")


def port(api: Api, network: str, **values: Any) -> str:
    return str(api.make("ports", network_id=network, **values)["id"])


def vlan(port_id: str, tag: int | None) -> dict[str, Any]:
    return {"port_id": port_id, "segmentation_type": "vlan", "segmentation_id": tag}


def ports(api: Api, count: int) -> list[str]:
    """Ports of networks of their own."""
    return [port(api, api.make("networks")["id"]) for _ in range(count)]


def make(api: Api, parent: str, *subs: Any, **values: Any) -> dict[str, Any]:
    return api.make("trunks", port_id=parent, sub_ports=list(subs), **values)


def add(api: Api, trunk: str, *subs: Any) -> Any:
    return api.put(f"trunks/{trunk}/add_subports", {"sub_ports": list(subs)})


def remove(api: Api, trunk: str, *ids: str) -> Any:
    return api.put(f"trunks/{trunk}/remove_subports", {"sub_ports": [{"port_id": id} for id in ids]})


def report(api: Api, host: str, **up: bool) -> None:
    """A host says what is up; ids are written with _ for -."""
    found = {Key("port", id.replace("_", "-")): Status(one, "" if one else "no device") for id, one in up.items()}
    api.inside(lambda tx: status.write(tx, Report(status=found), {}, host))


def say(api: Api, host: str, up: bool, *ids: str) -> None:
    report(api, host, **{id.replace("-", "_"): up for id in ids})


# Create, show, list


def test_a_trunk_and_its_defaults(api: Api, parent: str) -> None:
    made = api.make("trunks", port_id=parent)
    assert made == api.show("trunks", made["id"])
    wanted = {"name": "", "description": "", "admin_state_up": True, "status": "DOWN", "sub_ports": [], "tags": []}
    assert {name: made[name] for name in wanted} == wanted
    assert (made["port_id"], made["project_id"], made["tenant_id"]) == (parent, "p1", "p1")
    assert made["revision_number"] == 0


def test_sub_ports_belong_to_their_trunk(api: Api, parent: str) -> None:
    one, two = ports(api, 2)
    made = make(api, parent, vlan(two, 20), vlan(one, 10), name="t")
    assert made["sub_ports"] == [vlan(one, 10), vlan(two, 20)]
    assert made == api.show("trunks", made["id"])
    row = api.show("ports", one)
    assert (row["device_owner"], row["device_id"]) == ("trunk:subport", made["id"])


def test_the_parent_shows_its_trunk(api: Api, parent: str) -> None:
    assert "trunk_details" not in api.show("ports", parent)
    (one,) = ports(api, 1)
    made = make(api, parent)
    assert api.show("ports", parent)["trunk_details"] == {"trunk_id": made["id"], "sub_ports": []}
    revision = api.show("ports", parent)["revision_number"]
    add(api, made["id"], vlan(one, 10))
    sub = {**vlan(one, 10), "mac_address": api.show("ports", one)["mac_address"]}
    row = api.show("ports", parent)
    assert row["trunk_details"] == {"trunk_id": made["id"], "sub_ports": [sub]}
    assert row["revision_number"] > revision
    assert "trunk_details" not in api.show("ports", one)
    assert api.put(f"ports/{parent}", {"port": {"name": "x"}})[1]["port"]["trunk_details"]["sub_ports"] == [sub]
    (listed,) = api.list("ports", f"id={parent}")
    assert listed["trunk_details"]["sub_ports"] == [sub]
    api.delete(f"trunks/{made['id']}")
    assert "trunk_details" not in api.show("ports", parent)


@pytest.mark.parametrize(
    ("sub", "fault"),
    [
        ({"segmentation_type": "vlan", "segmentation_id": 0}, "InvalidInput"),
        ({"segmentation_type": "vlan", "segmentation_id": 4095}, "InvalidInput"),
        ({"segmentation_type": "foo", "segmentation_id": 10}, "InvalidInput"),
        ({}, "InvalidInput"),
        ({"segmentation_type": "vlan"}, "HTTPBadRequest"),
        ({"segmentation_id": 10}, "HTTPBadRequest"),
        ({"segmentation_type": "vlan", "segmentation_id": "many"}, "InvalidInput"),
        ({"segmentation_type": "vlan", "segmentation_id": 10, "colour": "red"}, "HTTPBadRequest"),
        ({"port_id": "x", "segmentation_type": "vlan", "segmentation_id": 10}, "HTTPBadRequest"),
        ({"segmentation_type": "inherit"}, "InvalidInput"),
    ],
)
def test_segmentations_that_are_refused(api: Api, parent: str, sub: dict[str, Any], fault: str) -> None:
    (one,) = ports(api, 1)
    body = {"port_id": one, **sub}
    answer = api.post("trunks", {"trunk": {"port_id": parent, "sub_ports": [body]}})
    assert api.fault(answer) == (400, fault)
    assert api.list("trunks") == []
    made = make(api, parent)["id"]
    assert api.fault(add(api, made, body)) == (400, "InvalidInput")
    assert api.show("trunks", made)["sub_ports"] == []


@pytest.mark.parametrize("tag", [1, 4094, "7"])
def test_tags(api: Api, parent: str, tag: Any) -> None:
    (one,) = ports(api, 1)
    assert make(api, parent, vlan(one, tag))["sub_ports"] == [vlan(one, int(tag))]


def test_inherited_segmentation(api: Api, parent: str) -> None:
    provider = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    tagged = api.admin.make("networks", shared=True, mtu=1400, **provider, **{"provider:segmentation_id": 77})["id"]
    one = port(api, tagged)
    made = make(api, parent, {"port_id": one, "segmentation_type": "inherit"})
    assert made["sub_ports"] == [vlan(one, 77)]
    (other,) = ports(api, 1)
    answer = add(api, made["id"], {"port_id": other, "segmentation_type": "inherit", "segmentation_id": None})
    assert api.fault(answer) == (400, "InvalidInput")


def test_a_tag_is_used_once(api: Api, parent: str) -> None:
    one, two, three = ports(api, 3)
    made = make(api, parent, vlan(one, 10))["id"]
    answer = add(api, made, vlan(two, 10))
    assert api.fault(answer) == (409, "DuplicateSubPort")
    assert "segmentation_type vlan and segmentation_id 10" in answer[1]["NeutronError"]["message"]
    assert api.fault(add(api, made, vlan(two, 20), vlan(three, 20))) == (400, "InvalidInput")
    assert api.fault(add(api, made, vlan(two, 20), vlan(two, 30))) == (400, "InvalidInput")
    assert api.show("trunks", made)["sub_ports"] == [vlan(one, 10)]
    assert api.show("ports", two)["device_owner"] == ""


def test_a_port_is_part_of_one_trunk(api: Api, parent: str) -> None:
    one, other = ports(api, 2)
    make(api, parent, vlan(one, 10))
    assert api.fault(api.post("trunks", {"trunk": {"port_id": parent}})) == (409, "ParentPortInUse")
    assert api.fault(api.post("trunks", {"trunk": {"port_id": one}})) == (409, "TrunkPortInUse")
    second = make(api, other)["id"]
    assert api.fault(add(api, second, vlan(one, 10))) == (409, "TrunkPortInUse")
    assert api.fault(add(api, second, vlan(parent, 10))) == (409, "ParentPortInUse")
    assert api.fault(add(api, second, vlan(other, 10))) == (409, "ParentPortInUse")
    (third,) = ports(api, 1)
    own = {"port_id": third, "sub_ports": [vlan(third, 10)]}
    assert api.fault(api.post("trunks", {"trunk": own})) == (409, "ParentPortInUse")


def test_a_port_in_use_is_no_sub_port(api: Api, network: str, parent: str) -> None:
    busy = port(api, network, device_id="vm", device_owner="compute:nova")
    body = {"port_id": parent, "sub_ports": [vlan(busy, 10)]}
    answer = api.post("trunks", {"trunk": body})
    assert api.fault(answer) == (409, "PortInUse")
    assert "vm" in answer[1]["NeutronError"]["message"]


def test_frames_of_sub_ports_fit_the_parents(api: Api) -> None:
    small = port(api, api.make("networks", mtu=1300)["id"])
    large = port(api, api.make("networks", mtu=1400)["id"])
    body = {"port_id": small, "sub_ports": [vlan(large, 10)]}
    assert api.fault(api.post("trunks", {"trunk": body})) == (409, "SubPortMtuGreaterThanTrunkPortMtu")
    assert make(api, large, vlan(small, 10))["sub_ports"] == [vlan(small, 10)]


def test_ports_that_are_not_there(api: Api, parent: str) -> None:
    assert api.fault(api.post("trunks", {"trunk": {"port_id": UNKNOWN}})) == (404, "PortNotFound")
    body = {"port_id": parent, "sub_ports": [vlan(UNKNOWN, 10)]}
    assert api.fault(api.post("trunks", {"trunk": body})) == (404, "PortNotFound")
    other = api.as_("p2")
    theirs = port(other, other.make("networks")["id"])
    assert api.fault(api.post("trunks", {"trunk": {"port_id": theirs}})) == (404, "PortNotFound")
    assert api.fault(add(api, make(api, parent)["id"], vlan(theirs, 10))) == (404, "PortNotFound")
    assert api.fault(api.post("trunks", {"trunk": {}})) == (400, "HTTPBadRequest")


def test_one_at_a_time(api: Api, parent: str) -> None:
    assert api.fault(api.post("trunks", {"trunks": [{"port_id": parent}]})) == (400, "HTTPBadRequest")


def test_filters_sorting_and_tags(api: Api) -> None:
    parents = ports(api, 3)
    made = [make(api, parent, name=name) for parent, name in zip(parents, "cab", strict=True)]
    assert [one["name"] for one in api.list("trunks", "sort_key=name&sort_dir=asc")] == ["a", "b", "c"]
    assert [one["id"] for one in api.list("trunks", f"port_id={parents[1]}")] == [made[1]["id"]]
    assert len(api.list("trunks", "status=DOWN&admin_state_up=true")) == 3
    assert api.put(f"trunks/{made[0]['id']}/tags", {"tags": ["x"]})[0] == 200
    assert [one["name"] for one in api.list("trunks", "tags=x")] == ["c"]
    assert api.fault(api.get(f"trunks?sub_ports=port_id={parents[0]}"))[0] == 400
    assert api.list("trunks", "fields=name&name=a") == [{"name": "a"}]


# Add, remove


def test_add_and_remove(api: Api, parent: str) -> None:
    one, two = ports(api, 2)
    made = make(api, parent)
    code, body = add(api, made["id"], vlan(two, 20), vlan(one, 10))
    assert code == 200
    assert body == api.show("trunks", made["id"])
    assert body["sub_ports"] == [vlan(one, 10), vlan(two, 20)]
    assert body["revision_number"] > made["revision_number"]
    assert api.get(f"trunks/{made['id']}/get_subports") == (200, {"sub_ports": body["sub_ports"]})
    code, less = remove(api, made["id"], one)
    assert (code, less["sub_ports"]) == (200, [vlan(two, 20)])
    assert less["revision_number"] > body["revision_number"]
    row = api.show("ports", one)
    assert (row["device_owner"], row["device_id"]) == ("", "")
    assert add(api, made["id"], vlan(one, 10))[0] == 200


def test_nothing_to_add(api: Api, parent: str) -> None:
    made = make(api, parent)
    assert add(api, made["id"]) == (200, made)


def test_removing_what_is_no_sub_port(api: Api, parent: str) -> None:
    one, two = ports(api, 2)
    made = make(api, parent, vlan(one, 10))["id"]
    answer = remove(api, made, one, two)
    assert api.fault(answer) == (404, "SubPortNotFound")
    assert answer[1]["NeutronError"]["message"] == f"SubPort {two} on trunk {made} could not be found."
    assert api.show("trunks", made)["sub_ports"] == [vlan(one, 10)]


@pytest.mark.parametrize("body", [[], {}, {"sub_ports": None}, {"sub_ports": [1]}, {"sub_ports": [{}]}, {"x": []}])
def test_bodies_of_actions_that_are_refused(api: Api, parent: str, body: Any) -> None:
    made = make(api, parent)["id"]
    for action in ("add_subports", "remove_subports"):
        assert api.fault(api.put(f"trunks/{made}/{action}", body)) == (400, "InvalidInput")


def test_revisions_hold_actions_back(api: Api, parent: str) -> None:
    (one,) = ports(api, 1)
    made = make(api, parent)
    body = {"sub_ports": [vlan(one, 10)]}
    path = f"trunks/{made['id']}/add_subports"
    assert api.fault(api.put(path, body, If_Match="revision_number=7")) == (412, "RevisionNumberConstraintFailed")
    assert api.put(path, body, If_Match="revision_number=0")[0] == 200


# Update, delete


def test_a_disabled_trunk_stays_as_it_is(api: Api, parent: str) -> None:
    one, two = ports(api, 2)
    made = make(api, parent, vlan(one, 10))["id"]
    code, body = api.put(f"trunks/{made}", {"trunk": {"admin_state_up": False, "name": "off"}})
    assert (code, body["trunk"]["admin_state_up"], body["trunk"]["name"]) == (200, False, "off")
    assert "administratively down" in body["trunk"]["status_reason"]
    refused = (409, "TrunkDisabled")
    assert api.fault(add(api, made, vlan(two, 20))) == refused
    assert api.fault(remove(api, made, one)) == refused
    assert api.fault(api.delete(f"trunks/{made}")) == refused
    assert api.put(f"trunks/{made}", {"trunk": {"admin_state_up": True}})[0] == 200
    assert api.delete(f"trunks/{made}")[0] == 204


@pytest.mark.parametrize("values", [{"port_id": UNKNOWN}, {"sub_ports": []}, {"status": "ACTIVE"}])
def test_what_does_not_change(api: Api, parent: str, values: dict[str, Any]) -> None:
    made = make(api, parent)["id"]
    assert api.fault(api.put(f"trunks/{made}", {"trunk": values})) == (400, "HTTPBadRequest")


def test_a_trunk_that_goes_lets_its_ports_go(api: Api, parent: str) -> None:
    (one,) = ports(api, 1)
    made = make(api, parent, vlan(one, 10))["id"]
    assert api.delete(f"trunks/{made}")[0] == 204
    assert api.fault(api.get(f"trunks/{made}")) == (404, "TrunkNotFound")
    row = api.show("ports", one)
    assert (row["device_owner"], row["device_id"]) == ("", "")
    assert api.delete(f"ports/{one}")[0] == 204
    assert api.delete(f"ports/{parent}")[0] == 204


def test_ports_of_a_trunk_are_not_deleted(api: Api, parent: str) -> None:
    (one,) = ports(api, 1)
    made = make(api, parent, vlan(one, 10))["id"]
    answer = api.delete(f"ports/{parent}")
    assert api.fault(answer) == (409, "PortInUseAsTrunkParent")
    assert made in answer[1]["NeutronError"]["message"]
    answer = api.delete(f"ports/{one}")
    assert api.fault(answer) == (409, "PortInUseAsSubPort")
    assert made in answer[1]["NeutronError"]["message"]
    api.put(f"ports/{one}", {"port": {"device_owner": "", "device_id": ""}})
    assert api.fault(api.delete(f"ports/{one}")) == (409, "PortInUseAsSubPort")


def test_nor_with_what_takes_them_along(api: Api, network: str) -> None:
    """A router's leg that is a trunk's parent, and ports that go with their network and their subnet."""
    subnet = api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24")["id"]
    router = api.make("routers")["id"]
    admin = api.as_("p1", "admin")
    leg, automatic = port(api, network), port(admin, network, device_owner="network:dhcp")
    made = [make(api, one)["id"] for one in (leg, automatic)]
    assert api.put(f"routers/{router}/add_router_interface", {"port_id": leg})[0] == 200
    refused = (409, "PortInUseAsTrunkParent")
    assert api.fault(api.put(f"routers/{router}/remove_router_interface", {"subnet_id": subnet})) == refused
    assert api.delete(f"trunks/{made[0]}")[0] == 204
    assert api.put(f"routers/{router}/remove_router_interface", {"subnet_id": subnet})[0] == 200
    assert api.fault(api.delete(f"subnets/{subnet}")) == refused
    assert api.fault(api.delete(f"networks/{network}")) == refused
    assert api.delete(f"trunks/{made[1]}")[0] == 204
    assert api.delete(f"networks/{network}")[0] == 204


# Who


def test_trunks_are_their_projects(api: Api, parent: str) -> None:
    made = make(api, parent)["id"]
    other = api.as_("p2")
    assert other.list("trunks") == []
    missing = (404, "TrunkNotFound")
    assert api.fault(other.get(f"trunks/{made}")) == missing
    assert api.fault(other.put(f"trunks/{made}", {"trunk": {"name": "x"}})) == missing
    assert api.fault(other.delete(f"trunks/{made}")) == missing
    assert api.fault(add(other, made)) == missing
    assert [one["id"] for one in api.admin.list("trunks")] == [made]
    reader = api.as_("p1", "reader")
    refused = (403, "PolicyNotAuthorized")
    assert api.fault(add(reader, made)) == refused
    assert api.fault(remove(reader, made)) == refused
    assert api.fault(reader.delete(f"trunks/{made}")) == refused
    assert reader.get(f"trunks/{made}/get_subports")[0] == 200


def test_quota(api: Api, network: str, parent: str) -> None:
    assert api.get("quotas/p1")[1]["quota"]["trunk"] == -1
    assert api.admin.put("quotas/p1", {"quota": {"trunk": 1}})[0] == 200
    made = make(api, parent)["id"]
    second = port(api, network)
    assert api.fault(api.post("trunks", {"trunk": {"port_id": second}})) == (409, "OverQuota")
    api.delete(f"trunks/{made}")
    make(api, second)


# Where: sub-ports go with their parent


def bind(service: Api, id: str, host: str) -> None:
    assert service.put(f"ports/{id}", {"port": {"binding:host_id": host}})[0] == 200


def hosts(api: Api, *ids: str) -> list[tuple[str, str]]:
    rows = [api.admin.show("ports", id) for id in ids]
    return [(row["binding:host_id"], row["binding:vif_type"]) for row in rows]


def test_sub_ports_are_bound_with_their_parent(api: Api, service: Api, parent: str) -> None:
    one, two = ports(api, 2)
    bind(service, parent, "h1")
    made = make(api, parent, vlan(one, 10))["id"]
    assert hosts(api, one) == [("h1", "bridge")]
    add(api, made, vlan(two, 20))
    assert hosts(api, one, two) == [("h1", "bridge")] * 2
    bind(service, parent, "h2")
    assert hosts(api, one, two) == [("h2", "bridge")] * 2
    remove(api, made, one)
    assert hosts(api, one, two) == [("", "unbound"), ("h2", "bridge")]
    bind(service, parent, "")
    assert hosts(api, two) == [("", "unbound")]


def test_sub_ports_migrate_with_their_parent(api: Api, service: Api, network: str) -> None:
    server = port(api, network, device_owner="compute:nova", device_id="vm")
    (one,) = ports(api, 1)
    make(api, server, vlan(one, 10))
    bind(service, server, "h1")
    service.post(f"ports/{server}/bindings", {"binding": {"host": "h2"}})
    assert hosts(api, one) == [("h1", "bridge")]
    service.request("PUT", f"ports/{server}/bindings/h2/activate")
    assert hosts(api, server, one) == [("h2", "bridge")] * 2


# Status


def test_status_follows_the_ports(api: Api, service: Api, parent: str) -> None:
    one, two = ports(api, 2)
    made = make(api, parent, vlan(one, 10), vlan(two, 20))["id"]

    def now() -> tuple[str, str]:
        row = api.show("trunks", made)
        return row["status"], row["status_reason"]

    bind(service, parent, "h1")
    assert now()[0] == "DOWN"
    say(api, "h1", True, one)
    assert now() == ("DOWN", "its parent port is DOWN")
    say(api, "h1", True, parent)
    assert now() == ("DEGRADED", f"sub-port {two} is DOWN")
    say(api, "h1", False, two)
    assert now() == ("DEGRADED", f"sub-port {two} is DOWN: no device")
    revision = api.show("trunks", made)["revision_number"]
    say(api, "h1", True, two)
    assert now() == ("ACTIVE", "")
    assert api.show("trunks", made)["revision_number"] == revision + 1
    say(api, "h1", True, two)
    assert api.show("trunks", made)["revision_number"] == revision + 1
    say(api, "h1", False, one, two)
    assert now()[0] == "DOWN"


def test_status_after_changes_by_the_owner(api: Api, service: Api, parent: str) -> None:
    one, two = ports(api, 2)
    bind(service, parent, "h1")
    made = make(api, parent, vlan(one, 10))["id"]
    say(api, "h1", True, parent, one)
    assert api.show("trunks", made)["status"] == "ACTIVE"
    assert add(api, made, vlan(two, 20))[1]["status"] == "DOWN"
    say(api, "h1", False, two)
    assert api.show("trunks", made)["status"] == "DEGRADED"
    code, body = remove(api, made, two)
    assert (code, body["status"], body["status_reason"]) == (200, "ACTIVE", "")
    switched = api.put(f"trunks/{made}", {"trunk": {"admin_state_up": False}})[1]["trunk"]
    assert switched["status"] == "DOWN"
    switched = api.put(f"trunks/{made}", {"trunk": {"admin_state_up": True}})[1]["trunk"]
    assert (switched["status"], switched["status_reason"]) == ("ACTIVE", "")
    bind(service, parent, "")
    row = api.show("trunks", made)
    assert (row["status"], row["status_reason"]) == ("DOWN", "its parent port is DOWN: it is bound to no host")


def test_a_trunk_in_error_takes_no_more(api: Api, parent: str) -> None:
    from sqlalchemy import update

    from weft.resources.trunk import TRUNKS

    (one,) = ports(api, 1)
    made = make(api, parent)["id"]
    api.inside(lambda tx: tx.execute(update(TRUNKS).values(status="ERROR")))
    assert api.fault(add(api, made, vlan(one, 10))) == (409, "TrunkInErrorState")


# Cost


def test_lists_cost_the_same_at_any_length(api: Api) -> None:
    def cost(collection: str) -> int:
        with api.statements() as seen:
            api.list(collection)
        return len(seen)

    def more(count: int) -> None:
        on = [{"network_id": api.make("networks")["id"]} for _ in range(2)]
        rows = api.post("ports", {"ports": on * count})[1]["ports"]
        for above, below in zip(rows[::2], rows[1::2], strict=True):
            make(api, above["id"], vlan(below["id"], 10))

    api.admin.put("quotas/p1", {"quota": {"port": -1, "network": -1}})
    more(10)
    few = [cost(one) for one in ("trunks", "ports")]
    more(190)
    assert len(api.list("trunks")) == 200
    assert [cost(one) for one in ("trunks", "ports")] == few


def test_many_sub_ports_are_checked_by_few_statements(api: Api, parent: str) -> None:
    """Each is written; none is looked up by itself."""
    network = api.make("networks")["id"]
    rows = api.post("ports", {"ports": [{"network_id": network}] * 30})[1]["ports"]
    made = make(api, parent)["id"]
    with api.statements() as seen:
        assert add(api, made, *(vlan(row["id"], 10 + i) for i, row in enumerate(rows)))[0] == 200
    reads = [one for one in seen if one.startswith("SELECT")]
    assert len(reads) <= 15, "\n".join(reads)


# What a host makes of it


def follow(api: Api, loader: HostLoader, sequence: int) -> tuple[set[Key], int]:
    def work(tx: Any) -> tuple[set[Key], int]:
        return loader.refresh(tx, changes.after(tx.connection, sequence)), changes.last(tx.connection)

    return api.inside(work)  # type: ignore[no-any-return]


def test_hosts_know_the_parent_and_the_tag(api: Api, service: Api, parent: str) -> None:
    one, two = ports(api, 2)
    bind(service, parent, "h1")
    loader = HostLoader("h1")
    api.inside(loader.load)
    sequence = api.inside(lambda tx: changes.last(tx.connection))
    made = make(api, parent, vlan(one, 10))["id"]
    said, sequence = follow(api, loader, sequence)
    assert said >= {Key("port", one)}
    view = loader.view.ports
    assert (view[one].parent, view[one].tag, view[one].enabled) == (parent, 10, True)
    assert (view[parent].parent, view[parent].tag) == ("", 0)
    add(api, made, vlan(two, 20))
    said, sequence = follow(api, loader, sequence)
    assert Key("port", two) in said
    assert view[two].tag == 20
    api.put(f"trunks/{made}", {"trunk": {"admin_state_up": False}})
    said, sequence = follow(api, loader, sequence)
    assert said == {Key("port", one), Key("port", two)}
    assert (view[one].enabled, view[parent].enabled) == (False, True)
    fresh = HostLoader("h1")
    api.inside(fresh.load)
    assert fresh.view.ports == view
    api.put(f"trunks/{made}", {"trunk": {"admin_state_up": True}})
    remove(api, made, one)
    follow(api, loader, sequence)
    assert (one in view, view[two].tag) == (False, 20)


def test_linux_bridges_carry_trunks(api: Api) -> None:
    able = app.capabilities(config.load(api={"backend": "linux"}))
    assert able is not None
    assert {"trunk", "trunk-details"} <= able


def test_where_the_dataplane_cannot_they_are_not_offered(api: Api, network: str) -> None:
    absent = offer.absent(api.config, frozenset({"pvlan"}))
    resources = offer.offered(RESOURCES, absent)
    client = testing.TestClient(app.make_api(api.config, caller, store=api.store, resources=resources))
    less = replace(api, client=client)
    made = less.make("ports", network_id=network)
    assert less.get("extensions/trunk")[0] == less.get("extensions/trunk-details")[0] == 404
    assert less.get("trunks")[0] == 404
    assert "trunk" not in less.get("quotas/p1")[1]["quota"]
    make(api, made["id"])
    assert "trunk_details" in api.show("ports", made["id"])
    assert "trunk_details" not in less.show("ports", made["id"])
