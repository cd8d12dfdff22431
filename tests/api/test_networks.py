"""Networks; the rules stand in behaviours section 1 of the API's facts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api

VLAN = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {
        "ml2": {
            "network_vlan_ranges": ["public", "physnet1:1000:1002"],
            "flat_networks": ["public", "other"],
            "vni_ranges": ["1:3"],
            "project_network_types": ["vxlan", "vlan"],
        }
    }


def _provider(kind: Any, physical: Any = None, number: Any = None) -> dict[str, Any]:
    values = {"provider:network_type": kind, "provider:physical_network": physical, "provider:segmentation_id": number}
    return {name: value for name, value in values.items() if value is not None}


def test_defaults(api: Api) -> None:
    made = api.make("networks", name="n")
    assert made == api.show("networks", made["id"])
    expected = {
        "status": "ACTIVE",
        "admin_state_up": True,
        "shared": False,
        "router:external": False,
        "subnets": [],
        "mtu": 1450,
        "port_security_enabled": True,
        "project_id": "p1",
        "tenant_id": "p1",
        "tags": [],
        "description": "",
        "availability_zone_hints": [],
    }
    assert {name: made[name] for name in expected} == expected
    assert "provider:network_type" not in made  # the provider's business


def test_administrators_see_the_segment(api: Api) -> None:
    made = api.admin.show("networks", api.make("networks")["id"])
    assert made["provider:network_type"] == "vxlan"
    assert made["provider:physical_network"] is None
    assert 1 <= made["provider:segmentation_id"] <= 3


def test_types_are_tried_in_order_until_nothing_is_free(api: Api) -> None:
    ids = [api.make("networks")["id"] for _ in range(6)]
    rows = [api.admin.show("networks", id) for id in ids]
    assert sorted(row["provider:segmentation_id"] for row in rows) == [1, 2, 3, 1000, 1001, 1002]
    assert {row["mtu"] for row in rows if row["provider:network_type"] == "vlan"} == {1500}
    assert api.fault(api.post("/networks", {"network": {}})) == (503, "NoNetworkAvailable")
    assert api.delete(f"/networks/{ids[0]}")[0] == 204
    api.make("networks")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (_provider(None, "physnet1", 5), (400, "InvalidInput")),
        (_provider("carrier-pigeon"), (400, "InvalidInput")),
        (_provider("local", "public"), (400, "InvalidInput")),
        (_provider("local", None, 3), (400, "InvalidInput")),
        (_provider("flat"), (400, "InvalidInput")),
        (_provider("flat", "elsewhere"), (400, "InvalidInput")),
        (_provider("flat", "public", 3), (400, "InvalidInput")),
        (_provider("vlan", "elsewhere", 5), (400, "InvalidInput")),
        (_provider("vlan", "physnet1", 4095), (400, "InvalidInput")),
        (_provider("vlan", "physnet1", 0), (400, "InvalidInput")),
        (_provider("vlan", None, 5), (400, "InvalidInput")),
        (_provider("vxlan", "physnet1"), (400, "InvalidInput")),
        (_provider("vxlan", None, 2**24), (400, "InvalidInput")),
        (_provider("vlan", "public"), (503, "NoNetworkAvailable")),
        ({"mtu": 1451}, (400, "InvalidInput")),
        ({"mtu": -1}, (400, "HTTPBadRequest")),
        ({"availability_zone_hints": ["nowhere"]}, (404, "AvailabilityZoneNotFound")),
        ({"name": "x" * 256}, (400, "HTTPBadRequest")),
        ({"admin_state_up": "perhaps"}, (400, "InvalidInput")),
        ({"status": "ACTIVE"}, (400, "HTTPBadRequest")),
        ({"colour": "red"}, (400, "HTTPBadRequest")),
    ],
)
def test_what_is_refused(api: Api, values: dict[str, Any], fault: tuple[int, str]) -> None:
    assert api.fault(api.admin.post("/networks", {"network": values})) == fault


def test_all_faults_are_told_at_once(api: Api) -> None:
    status, body = api.post("/networks", {"network": {"status": "x", "colour": 1, "name": 3}})
    assert status == 400
    message = body["NeutronError"]["message"]
    assert "status" in message and "colour" in message and "name" in message


def test_given_segments_are_taken_once(api: Api) -> None:
    admin = api.admin
    admin.make("networks", **VLAN, **{"provider:segmentation_id": 7})
    again = {**VLAN, "provider:segmentation_id": 7}
    assert api.fault(admin.post("/networks", {"network": again})) == (409, "VlanIdInUse")
    admin.make("networks", **_provider("flat", "public"))
    assert api.fault(admin.post("/networks", {"network": _provider("flat", "public")})) == (409, "FlatNetworkInUse")
    admin.make("networks", **_provider("vxlan", None, 99))
    assert api.fault(admin.post("/networks", {"network": _provider("vxlan", None, 99)})) == (409, "TunnelIdInUse")
    admin.make("networks", **_provider("local"))
    admin.make("networks", **_provider("local"))


def test_provider_attributes_are_the_administrators(api: Api) -> None:
    assert api.fault(api.post("/networks", {"network": _provider("local")})) == (403, "PolicyNotAuthorized")
    assert api.fault(api.post("/networks", {"network": {"shared": True}})) == (403, "PolicyNotAuthorized")
    assert api.fault(api.post("/networks", {"network": {"router:external": True}})) == (403, "PolicyNotAuthorized")
    assert api.post("/networks", {"network": {"shared": False}})[0] == 201


def test_a_vlan_can_be_renumbered_and_nothing_else(api: Api) -> None:
    admin = api.admin
    id = admin.make("networks", **VLAN, **{"provider:segmentation_id": 7})["id"]
    admin.make("networks", **VLAN, **{"provider:segmentation_id": 8})

    def put(**values: Any) -> Any:
        return admin.put(f"/networks/{id}", {"network": values})

    assert put(**{"provider:segmentation_id": 9})[1]["network"]["provider:segmentation_id"] == 9
    assert api.fault(put(**{"provider:segmentation_id": 8})) == (409, "VlanIdInUse")
    assert api.fault(put(**{"provider:physical_network": "public"})) == (400, "InvalidInput")
    assert admin.show("networks", id)["provider:segmentation_id"] == 9
    admin.make("networks", **VLAN, **{"provider:segmentation_id": 7})


def test_filters_by_segment(api: Api) -> None:
    api.admin.make("networks", name="seven", **VLAN, **{"provider:segmentation_id": 7})
    api.admin.make("networks", name="flat", **_provider("flat", "public"))

    def names(query: str) -> list[str]:
        return [row["name"] for row in api.admin.list("networks", query)]

    assert names("provider:segmentation_id=7") == ["seven"]
    assert names("provider:network_type=flat") == ["flat"]
    assert names("provider:physical_network=public") == ["flat"]


def test_who_sees_what(api: Api) -> None:
    mine = api.make("networks", name="mine")
    shared = api.admin.make("networks", name="shared", shared=True)
    outside = api.admin.make("networks", name="outside", **{"router:external": True})
    other = api.as_("p2")
    assert {row["name"] for row in other.list("networks")} == {"shared", "outside"}
    assert other.show("networks", shared["id"])["shared"] is True
    assert other.show("networks", outside["id"])["shared"] is False
    assert api.fault(other.get(f"/networks/{mine['id']}")) == (404, "NetworkNotFound")
    assert api.fault(other.put(f"/networks/{mine['id']}", {"network": {}})) == (404, "NetworkNotFound")
    assert api.fault(other.delete(f"/networks/{shared['id']}")) == (403, "PolicyNotAuthorized")
    assert {row["name"] for row in other.list("networks", "shared=true")} == {"shared"}
    assert {row["name"] for row in other.list("networks", "router:external=true")} == {"outside"}
    assert {row["name"] for row in api.admin.list("networks")} == {"mine", "shared", "outside"}


def test_a_shared_network_in_use_stays_shared(api: Api) -> None:
    network = api.admin.make("networks", shared=True)
    path = f"/networks/{network['id']}"
    port = api.as_("p2").make("ports", network_id=network["id"])
    assert api.fault(api.admin.put(path, {"network": {"shared": False}})) == (409, "InvalidSharedSetting")
    assert api.as_("p2").delete(f"/ports/{port['id']}")[0] == 204
    assert api.admin.put(path, {"network": {"shared": False}})[1]["network"]["shared"] is False
    assert api.fault(api.as_("p2").get(path)) == (404, "NetworkNotFound")


def test_one_default_external_network(api: Api) -> None:
    api.admin.make("networks", is_default=True, **{"router:external": True})
    values = {"is_default": True, "router:external": True}
    assert api.fault(api.admin.post("/networks", {"network": values})) == (409, "DefaultExternalNetworkExists")


def test_mtu_and_subnets(api: Api) -> None:
    id = api.make("networks", mtu=1300)["id"]
    api.make("subnets", network_id=id, ip_version=6, cidr="fd00:1::/64")

    def put(mtu: int) -> Any:
        return api.put(f"/networks/{id}", {"network": {"mtu": mtu}})

    assert api.fault(put(1279)) == (409, "NetworkMTUSubnetConflict")
    assert api.fault(put(9000)) == (400, "InvalidInput")
    assert put(0)[1]["network"]["mtu"] == 1450
    small = api.make("networks", mtu=1000)["id"]
    subnet = {"network_id": small, "ip_version": 6, "cidr": "fd00:2::/64"}
    assert api.fault(api.post("/subnets", {"subnet": subnet})) == (409, "NetworkMTUSubnetConflict")


def test_delete(api: Api) -> None:
    id = api.make("networks")["id"]
    api.make("subnets", network_id=id, ip_version=4, cidr="10.0.0.0/24")
    port = api.make("ports", network_id=id)
    status, body = api.delete(f"/networks/{id}")
    assert (status, body["NeutronError"]["type"]) == (409, "NetworkInUse")
    assert port["id"] in body["NeutronError"]["message"]
    api.delete(f"/ports/{port['id']}")
    api.admin.make("ports", network_id=id, device_owner="network:dhcp", project_id="p1")
    assert api.delete(f"/networks/{id}")[0] == 204
    assert api.list("subnets") == []
    assert api.list("ports") == []
    assert api.fault(api.delete(f"/networks/{id}")) == (404, "NetworkNotFound")


def test_revisions(api: Api) -> None:
    made = api.make("networks")
    path = f"/networks/{made['id']}"
    assert api.put(path, {"network": {"name": "b"}}, If_Match="revision_number=0")[1]["network"]["revision_number"] == 1
    refused = api.put(path, {"network": {"name": "c"}}, If_Match="revision_number=0")
    assert api.fault(refused) == (412, "RevisionNumberConstraintFailed")
    assert api.fault(api.delete(path, If_Match="revision_number=0")) == (412, "RevisionNumberConstraintFailed")
    assert api.fault(api.delete(path, If_Match="revision_number=x")) == (400, "BadRequest")
    api.make("subnets", network_id=made["id"], ip_version=4, cidr="10.0.0.0/24")
    assert api.show("networks", made["id"])["revision_number"] == 2
    assert api.put(path, {"network": {"name": "b"}})[1]["network"]["revision_number"] == 2  # nothing changed
    assert api.delete(path, If_Match="revision_number=2")[0] == 204


def test_bulk_is_all_or_nothing(api: Api) -> None:
    made = api.post("/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
    assert made[0] == 201
    assert [row["name"] for row in made[1]["networks"]] == ["a", "b"]
    status, _ = api.post("/networks", {"networks": [{"name": "c"}, {"name": 3}]})
    assert status == 400
    assert {row["name"] for row in api.list("networks")} == {"a", "b"}


def test_projects(api: Api) -> None:
    assert api.fault(api.post("/networks", {"network": {"project_id": "p2"}})) == (400, "HTTPBadRequest")
    assert api.fault(api.post("/networks", {"network": {"project_id": "p1", "tenant_id": "p2"}})) == (
        400,
        "HTTPBadRequest",
    )
    assert api.admin.make("networks", tenant_id="p2")["project_id"] == "p2"
    assert len(api.as_("p2").list("networks")) == 1
    assert api.fault(api.as_("p1", "reader").post("/networks", {"network": {}})) == (403, "PolicyNotAuthorized")


def test_fields_sort_and_pages(api: Api) -> None:
    api.admin.put("/quotas/p1", {"quota": {"network": -1}})
    for name in "cabd":
        api.make("networks", name=name)
    assert api.list("networks", "fields=name&sort_key=name&sort_dir=desc") == [{"name": name} for name in "dcba"]
    first = api.get("/networks?limit=3&sort_key=name&sort_dir=asc")[1]
    assert [row["name"] for row in first["networks"]] == ["a", "b", "c"]
    marker = first["networks"][-1]["id"]
    query = f"limit=3&sort_key=name&sort_dir=asc&marker={marker}"
    second = api.get(f"/networks?{query}")[1]
    assert [row["name"] for row in second["networks"]] == ["d"]
    assert [link["rel"] for link in first["networks_links"]] == ["next", "previous"]
    assert [link["rel"] for link in second["networks_links"]] == ["previous"]
    back = api.get(f"/networks?limit=2&sort_key=name&sort_dir=asc&page_reverse=True&marker={marker}")[1]
    assert [row["name"] for row in back["networks"]] == ["a", "b"]
    assert api.fault(api.get("/networks?limit=x")) == (400, "BadRequest")
    assert api.fault(api.get("/networks?limit=-1")) == (400, "BadRequest")
    assert api.fault(api.get("/networks?sort_key=name")) == (400, "HTTPBadRequest")
    assert api.fault(api.get("/networks?sort_key=subnets&sort_dir=asc")) == (400, "HTTPBadRequest")
    assert api.fault(api.get("/networks?sort_key=name&sort_dir=up")) == (400, "HTTPBadRequest")
    assert api.fault(api.get("/networks?limit=1&marker=none")) == (404, "NetworkNotFound")
    assert api.fault(api.get("/networks?colour=red")) == (400, "HTTPBadRequest")
    assert api.fault(api.get("/networks?admin_state_up=perhaps")) == (400, "InvalidInput")


def test_a_list_is_a_constant_number_of_statements(api: Api) -> None:
    def cost() -> int:
        with api.statements() as seen:
            api.list("networks")
        return len(seen)

    api.admin.put("/quotas/p1", {"quota": {"network": -1}})
    api.make("networks")
    few = cost()
    for _ in range(3):
        api.post("/networks", {"networks": [{"name": "n"}]})
    assert cost() == few


def test_the_change_log_tells(api: Api) -> None:
    from weft.store import changes

    id = api.make("networks")["id"]
    api.put(f"/networks/{id}", {"network": {"name": "b"}})
    api.delete(f"/networks/{id}")
    found = [one for one in api.store.read(lambda connection: changes.after(connection, 0)) if one.id == id]
    assert [one.operation for one in found] == ["create", "update", "delete"]
    assert all(one.kind == "network" and one.project_id == "p1" for one in found)
