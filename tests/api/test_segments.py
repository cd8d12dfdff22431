"""Segments one by one, and networks that are made of several; the rules stand in behaviours sections 1 and 16."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from tests.api.conftest import Answer, Api
from weft.registry.resource import Row
from weft.resources import agent
from weft.resources.segment import SEGMENTS
from weft.store import changes

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
VLAN = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
VXLAN = {"provider:network_type": "vxlan"}


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {
        "ml2": {
            "project_network_types": ("vxlan",),
            "vni_ranges": ("100:103",),
            "network_vlan_ranges": ("physnet1:10:12", "physnet2"),
            "physical_network_mtus": {"physnet2": "1400"},
            "flat_networks": ("*",),
        }
    }


@pytest.fixture
def network(api: Api) -> str:
    """A tenant's network on a VXLAN."""
    return str(api.make("networks")["id"])


def of(api: Api, network: str) -> list[Row]:
    return sorted(api.admin.list("segments", f"network_id={network}"), key=lambda row: row["created_at"])


def add(api: Api, network: str, number: int = 300, **more: Any) -> Row:
    values = {"network_type": "vlan", "physical_network": "physnet1", "segmentation_id": number, **more}
    return api.admin.make("segments", network_id=network, **values)


def multi(api: Api, *segments: dict[str, Any], **more: Any) -> Answer:
    return api.admin.post("networks", {"network": {"segments": list(segments), **more}})


def test_a_network_comes_with_its_segment(api: Api, network: str) -> None:
    shown = api.admin.show("networks", network)
    (found,) = of(api, network)
    assert found == {
        "id": found["id"],
        "network_id": network,
        "name": None,
        "description": "",
        "network_type": "vxlan",
        "physical_network": None,
        "segmentation_id": shown["provider:segmentation_id"],
        "revision_number": 0,
        "created_at": shown["created_at"],
        "updated_at": shown["created_at"],
    }
    assert api.admin.show("segments", found["id"]) == found
    assert shown["l2_adjacency"] is True
    assert "segments" not in shown
    assert api.delete(f"networks/{network}")[0] == 204
    assert api.fault(api.admin.get(f"segments/{found['id']}")) == (404, "SegmentNotFound")


def test_life_of_a_segment(api: Api, network: str) -> None:
    before = api.admin.show("networks", network)
    made = add(api, network, name="leaf", description="of rack 7")
    assert (made["name"], made["description"], made["segmentation_id"]) == ("leaf", "of rack 7", 300)
    assert not {"tenant_id", "project_id", "tags"} & made.keys()
    after = api.admin.show("networks", network)
    assert after["revision_number"] > before["revision_number"]
    assert after["segments"] == [
        {name: before[name] for name in before if name.startswith("provider:")},
        {**VLAN, "provider:segmentation_id": 300},
    ]
    assert not [name for name in after if name.startswith("provider:")]

    status, body = api.admin.put(f"segments/{made['id']}", {"segment": {"name": "spine", "description": "d"}})
    assert status == 200
    changed = body["segment"]
    assert (changed["name"], changed["description"], changed["revision_number"]) == ("spine", "d", 1)
    for fixed in ("network_type", "segmentation_id", "physical_network", "network_id"):
        answer = api.admin.put(f"segments/{made['id']}", {"segment": {fixed: made[fixed]}})
        assert api.fault(answer) == (400, "HTTPBadRequest")
    assert api.admin.delete(f"segments/{made['id']}")[0] == 204
    assert api.admin.show("networks", network)["provider:network_type"] == "vxlan"
    assert add(api, network)["segmentation_id"] == 300, "the tag is free again"


def test_a_network_without_segments(api: Api, network: str) -> None:
    (only,) = of(api, network)
    assert api.admin.delete(f"segments/{only['id']}")[0] == 204
    shown = api.admin.show("networks", network)
    assert [shown[name] for name in ("provider:network_type", "provider:segmentation_id")] == [None, None]
    assert api.delete(f"networks/{network}")[0] == 204


def test_ids_are_chosen_and_taken_once(api: Api, network: str) -> None:
    chosen = api.admin.make("segments", network_id=network, network_type="vlan", physical_network="physnet1")
    assert 10 <= chosen["segmentation_id"] <= 12
    assert api.admin.make("segments", network_id=network, network_type="vlan")["physical_network"] == "physnet1"
    assert 100 <= api.admin.make("segments", network_id=network, network_type="vxlan")["segmentation_id"] <= 103
    add(api, network)

    def refused(**values: Any) -> tuple[int, str]:
        return api.fault(api.admin.post("segments", {"segment": {"network_id": network, **values}}))

    again = {"network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 300}
    assert refused(**again) == (409, "VlanIdInUse")
    assert refused(**{**again, "network_id": UNKNOWN}) == (404, "NetworkNotFound")
    assert refused(network_type="zz") == (400, "InvalidInput")
    assert refused(network_type="flat") == (400, "InvalidInput")
    assert refused(network_type="vxlan", physical_network="physnet1") == (400, "InvalidInput")
    assert refused() == (400, "HTTPBadRequest")
    assert refused(network_type="vlan", tags=["a"]) == (400, "HTTPBadRequest")


def test_a_segment_must_carry_the_network_s_packets(api: Api, network: str) -> None:
    answer = api.admin.post(
        "segments", {"segment": {"network_id": network, "network_type": "flat", "physical_network": "physnet2"}}
    )
    assert api.fault(answer) == (400, "InvalidInput")
    assert "maximum is 1400; that of the network is 1450" in answer[1]["NeutronError"]["message"]
    assert api.put(f"networks/{network}", {"network": {"mtu": 1300}})[0] == 200
    api.admin.make("segments", network_id=network, network_type="flat", physical_network="physnet2")
    answer = api.put(f"networks/{network}", {"network": {"mtu": 1450}})
    assert api.fault(answer) == (400, "InvalidInput")


def test_segments_are_administrators_business(api: Api, network: str) -> None:
    made = add(api, network)
    assert api.list("segments") == []
    assert api.get(f"segments/{made['id']}")[0] == 404
    body = {"segment": {"network_id": network, "network_type": "vlan"}}
    assert api.fault(api.post("segments", body)) == (403, "PolicyNotAuthorized")
    assert not {"segments", "provider:network_type"} & api.show("networks", network).keys()
    assert api.fault(api.post("networks", {"network": {"segments": [VLAN]}})) == (403, "PolicyNotAuthorized")
    assert api.fault(api.admin.post("segments", {"segments": [body["segment"]]})) == (400, "HTTPBadRequest")


def test_filters_and_order(api: Api, network: str) -> None:
    add(api, network, 301, name="b")
    add(api, network, 300, name="a")

    def names(query: str) -> list[str | None]:
        return [row["name"] for row in api.admin.list("segments", query)]

    assert names("network_type=vlan&sort_key=segmentation_id&sort_dir=asc") == ["a", "b"]
    assert names("network_type=vlan&sort_key=name&sort_dir=desc&limit=1") == ["b"]
    assert names("physical_network=physnet1&name=a") == ["a"]
    assert names(f"network_id={UNKNOWN}") == []
    assert len(names(f"network_id={network}&fields=name")) == 3
    assert api.admin.get("segments?segmentation_id=300")[0] == 400


def test_lists_cost_the_same(api: Api) -> None:
    def cost() -> int:
        with api.statements() as found:
            api.admin.list("segments")
        return len(found)

    network = api.make("networks")["id"]
    before = cost()
    for number in range(300, 330):
        add(api, network, number)
    assert len(api.admin.list("segments")) == 31
    assert cost() == before


def test_a_network_of_several_segments(api: Api) -> None:
    status, body = multi(api, {**VLAN, "provider:segmentation_id": 160}, VXLAN, VLAN)
    assert status == 201, body
    made = body["network"]
    assert made["segments"][0] == {**VLAN, "provider:segmentation_id": 160}
    assert made["segments"][1]["provider:network_type"] == "vxlan"
    assert made["segments"][2]["provider:segmentation_id"] in (10, 11, 12)
    assert not [name for name in made if name.startswith("provider:")]
    assert made["mtu"] == 1450
    shown = api.admin.show("networks", made["id"])
    assert (shown["segments"], shown["l2_adjacency"]) == (made["segments"], True)
    assert [row["name"] for row in of(api, made["id"])] == [None, None, None]
    found = api.admin.list("networks", "provider:segmentation_id=160")
    assert [row["id"] for row in found] == [made["id"]]
    assert found[0]["segments"] == made["segments"]


def test_one_segment_by_that_name_is_a_usual_network(api: Api) -> None:
    _, body = multi(api, {**VLAN, "provider:segmentation_id": 161})
    assert body["network"]["provider:segmentation_id"] == 161
    assert "segments" not in body["network"]
    _, body = multi(api)
    assert body["network"]["provider:network_type"] == "vxlan"


def test_segments_of_one_network_do_not_take_each_other_s_ids(api: Api) -> None:
    status, body = multi(api, VLAN, VLAN, VLAN)
    assert status == 201, body
    assert {one["provider:segmentation_id"] for one in body["network"]["segments"]} == {10, 11, 12}
    assert api.fault(multi(api, VLAN)) == (503, "NoNetworkAvailable")


def test_segments_that_may_not_be(api: Api) -> None:
    full = {**VLAN, "provider:segmentation_id": 160}
    assert api.fault(multi(api, full, full)) == (400, "SegmentsContainDuplicateEntry")
    assert api.fault(multi(api, full, **VXLAN)) == (400, "SegmentsSetInConjunctionWithProviders")
    assert api.fault(multi(api, full, {"provider:segmentation_id": 7})) == (400, "InvalidInput")
    assert api.fault(multi(api, full, {**VXLAN, "x": 1})) == (400, "HTTPBadRequest")
    assert api.admin.list("segments") == []


def test_segments_are_not_changed_by_the_network(api: Api) -> None:
    _, body = multi(api, {**VLAN, "provider:segmentation_id": 160}, VXLAN)
    id, segments = body["network"]["id"], body["network"]["segments"]

    def put(**values: Any) -> Answer:
        return api.admin.put(f"networks/{id}", {"network": values})

    assert put(segments=segments, name="same")[0] == 200
    assert api.fault(put(segments=segments[:1])) == (400, "InvalidInput")
    assert api.fault(put(**{"provider:segmentation_id": 5})) == (400, "InvalidInput")
    assert api.admin.show("networks", id)["segments"] == segments


def test_another_tag_is_that_of_the_segment(api: Api) -> None:
    id = api.admin.make("networks", **VLAN, **{"provider:segmentation_id": 160})["id"]
    assert api.admin.put(f"networks/{id}", {"network": {"provider:segmentation_id": 161}})[0] == 200
    (found,) = of(api, id)
    assert (found["segmentation_id"], found["revision_number"]) == (161, 1)
    api.admin.make("networks", **VLAN, **{"provider:segmentation_id": 160})


def test_the_change_log_tells_of_segments(api: Api, network: str) -> None:
    start = api.store.read(changes.last)
    made = add(api, network)
    assert api.admin.delete(f"segments/{made['id']}")[0] == 204
    found = [(one.kind, one.operation) for one in api.store.read(lambda connection: changes.after(connection, start))]
    assert found.count(("segment", "create")) == found.count(("segment", "delete")) == 1
    assert found.count(("network", "update")) == 2


def test_a_segment_with_ports_stays(api: Api) -> None:
    facts: Any = {"agent_type": "Linux bridge agent", "binary": "weft", "topic": "N/A"}
    said = {"backend": "linux", "tunnel_types": [], "bridge_mappings": {"physnet1": "eth1"}}
    for host in ("h1", "h2"):
        api.inside(lambda tx, host=host: agent.report(tx, configurations=said, host=host, **facts))
    _, body = multi(api, VXLAN, {**VLAN, "provider:segmentation_id": 160}, VLAN)
    id = body["network"]["id"]
    by_tag = {row["segmentation_id"]: row["id"] for row in of(api, id)}
    owned = {"device_owner": "compute:nova", "device_id": "vm", "binding:host_id": "h1"}
    port = api.admin.make("ports", network_id=id, **owned)
    assert port["binding:vif_type"] == "bridge"
    answer = api.admin.delete(f"segments/{by_tag[160]}")
    assert api.fault(answer) == (409, "SegmentInUse")
    assert port["id"] in answer[1]["NeutronError"]["message"]
    others = [number for number in by_tag if number != 160]
    assert [api.admin.delete(f"segments/{by_tag[number]}")[0] for number in others] == [204, 204]

    nova = api.as_("nova", "service")
    assert nova.post(f"ports/{port['id']}/bindings", {"binding": {"host": "h2"}})[0] == 201
    free = {"port": {"binding:host_id": ""}}
    assert api.admin.put(f"ports/{port['id']}", free)[0] == 200
    assert api.fault(api.admin.delete(f"segments/{by_tag[160]}")) == (409, "SegmentInUse"), "h2 is ready for it"
    assert nova.delete(f"ports/{port['id']}/bindings/h2")[0] == 204
    assert api.admin.delete(f"segments/{by_tag[160]}")[0] == 204


def test_dynamic_segments_are_not_the_network_s(api: Api, network: str) -> None:
    (own,) = of(api, network)
    values = {"id": UNKNOWN, "network_id": network, "network_type": "vlan", "physical_network": "physnet1"}
    stamps = {"created_at": own["created_at"], "updated_at": own["created_at"]}
    row = {**values, **stamps, "segmentation_id": 20, "slot": "vlan:physnet1:20", "position": 1, "is_dynamic": True}
    api.inside(lambda tx: tx.execute(insert(SEGMENTS), row))
    assert api.admin.show("networks", network)["provider:network_type"] == "vxlan"
    assert api.admin.list("networks", "provider:segmentation_id=20") == []
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24", "segment_id": UNKNOWN}
    answer = api.admin.post("subnets", {"subnet": subnet})
    assert api.fault(answer) == (400, "SubnetCantAssociateToDynamicSegment")
    answer = api.admin.post(
        "segments", {"segment": {**{k: values[k] for k in values if k != "id"}, "segmentation_id": 20}}
    )
    assert api.fault(answer) == (409, "VlanIdInUse")


def test_extensions(api: Api) -> None:
    known = {row["alias"] for row in api.list("extensions")}
    assert {
        "segment",
        "standard-attr-segment",
        "multi-provider",
        "l2_adjacency",
        "ip_allocation",
        "segments-peer-subnet-host-routes",
        "subnet-segmentid-writable",
    } <= known
    assert "subnet-segmentid-enforce" not in known, "upstream has its name only"
