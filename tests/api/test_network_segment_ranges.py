"""Network segment ranges by the API, and which ids networks take out of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from weft.registry.resource import Row

RANGES = "network-segment-ranges"


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {
        "ml2": {
            "project_network_types": ("vxlan",),
            "vni_ranges": ("100:103",),
            "geneve_vni_ranges": (),
            "network_vlan_ranges": ("physnet1:10:12", "physnet2"),
        }
    }


def ask(api: Api, **values: Any) -> Answer:
    return api.admin.post(RANGES, {"network_segment_range": values})


def made(api: Api, first: int, last: int, network_type: str = "vxlan", **more: Any) -> Row:
    status, body = ask(api, minimum=first, maximum=last, network_type=network_type, **more)
    assert status == 201, body
    return dict(body["network_segment_range"])


def vni(api: Api, id: str = "") -> int:
    """The id that a new network of the caller gets."""
    network = api.make("networks")
    return int(api.admin.show("networks", network["id"])["provider:segmentation_id"])


def test_a_range(api: Api) -> None:
    found = made(api, 300, 303, "vlan", name="a", physical_network="physnet1")
    assert found == {
        "id": found["id"],
        "name": "a",
        "default": False,
        "shared": True,
        "project_id": None,
        "tenant_id": None,
        "network_type": "vlan",
        "physical_network": "physnet1",
        "minimum": 300,
        "maximum": 303,
        "used": {},
        "available": [300, 301, 302, 303],
        "description": "",
        "tags": [],
        "revision_number": 0,
        "created_at": found["created_at"],
        "updated_at": found["updated_at"],
    }
    assert api.admin.show(RANGES, found["id"]) == found
    assert api.admin.list("network_segment_ranges", "name=a") == [found]
    body = {"network_segment_range": {"name": "b", "maximum": 302, "description": "d"}}
    status, answer = api.admin.put(f"{RANGES}/{found['id']}", body)
    changed = answer["network_segment_range"]
    assert (status, changed["name"], changed["available"]) == (200, "b", [300, 301, 302])
    assert api.admin.delete(f"{RANGES}/{found['id']}")[0] == 204
    assert api.fault(api.admin.get(f"{RANGES}/{found['id']}")) == (404, "NetworkSegmentRangeNotFound")


def test_ranges_are_administrators(api: Api) -> None:
    found = made(api, 300, 303)
    assert api.list(RANGES) == []
    assert api.get(f"{RANGES}/{found['id']}")[0] == 404
    assert api.post(RANGES, {"network_segment_range": {"minimum": 1, "maximum": 2, "network_type": "vxlan"}})[0] == 403


def test_a_range_of_one_project(api: Api) -> None:
    assert made(api, 300, 303, shared=False)["project_id"] == "admin"
    assert made(api, 310, 313, shared=False, project_id="p1")["project_id"] == "p1"


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"network_type": "vlan", "minimum": 1, "maximum": 2}, (400, "BadRequest")),
        ({"network_type": "vxlan", "minimum": 1, "maximum": 2, "physical_network": "p"}, (400, "BadRequest")),
        ({"minimum": 1, "maximum": 2}, (400, "NetworkSegmentRangeNetTypeNotSupported")),
        ({"network_type": "vxlan", "minimum": 2, "maximum": 1}, (400, "NetworkTunnelRangeError")),
        ({"network_type": "vxlan", "minimum": 2, "maximum": 2**24}, (400, "NetworkTunnelRangeError")),
        (
            {"network_type": "vlan", "physical_network": "p", "minimum": 330, "maximum": 320},
            (400, "NetworkVlanRangeError"),
        ),
        (
            {"network_type": "vlan", "physical_network": "p", "minimum": 4000, "maximum": 5000},
            (400, "NetworkVlanRangeError"),
        ),
    ],
)
def test_what_is_no_range(api: Api, values: Row, fault: tuple[int, str]) -> None:
    assert api.fault(ask(api, **values)) == fault


@pytest.mark.parametrize("kind", ["flat", "local", "foo"])
def test_types_without_ids_have_no_ranges(api: Api, kind: str) -> None:
    assert ask(api, network_type=kind, minimum=1, maximum=2)[0] == 400


def test_gre_has_more_ids(api: Api) -> None:
    assert made(api, 2**32 - 3, 2**32 - 1, "gre")["available"] == [2**32 - 3, 2**32 - 2, 2**32 - 1]


def test_ranges_do_not_overlap(api: Api) -> None:
    one = made(api, 300, 310)
    status, body = ask(api, network_type="vxlan", minimum=310, maximum=320)
    assert (status, body["NeutronError"]["type"]) == (409, "NetworkSegmentRangeOverlaps")
    assert one["id"] in body["NeutronError"]["message"]
    made(api, 300, 310, "geneve")
    made(api, 300, 310, "vlan", physical_network="physnet1")
    made(api, 300, 310, "vlan", physical_network="physnet2")
    two = made(api, 311, 320)
    answer = api.admin.put(f"{RANGES}/{two['id']}", {"network_segment_range": {"minimum": 305}})
    assert api.fault(answer) == (409, "NetworkSegmentRangeOverlaps")
    made(api, 100, 103)


def test_default_ranges_are_the_configurations(api: Api) -> None:
    found = {row["network_type"]: row for row in api.admin.list(RANGES)}
    assert found.keys() == {"vlan", "vxlan"}
    assert (found["vlan"]["physical_network"], found["vlan"]["available"]) == ("physnet1", [10, 11, 12])
    vxlan = found["vxlan"]
    assert (vxlan["default"], vxlan["shared"], vxlan["minimum"], vxlan["maximum"]) == (True, True, 100, 103)
    assert {row["id"] for row in api.admin.list(RANGES)} == {row["id"] for row in found.values()}
    path = f"{RANGES}/{vxlan['id']}"
    answer = api.admin.put(path, {"network_segment_range": {"name": "x"}})
    assert api.fault(answer) == (400, "NetworkSegmentRangeDefaultReadOnly")
    assert api.fault(api.admin.delete(path)) == (400, "NetworkSegmentRangeDefaultReadOnly")


def test_used_ids_and_whose_they_are(api: Api) -> None:
    number = vni(api)
    found = next(row for row in api.admin.list(RANGES) if row["network_type"] == "vxlan")
    assert found["used"] == {str(number): "p1"}
    assert sorted([*found["available"], number]) == [100, 101, 102, 103]


def test_a_project_takes_from_its_own_range_first(api: Api) -> None:
    made(api, 500, 501, shared=False, project_id="p1")
    assert {vni(api), vni(api)} == {500, 501}
    assert 100 <= vni(api) <= 103


def test_others_do_not_take_from_it(api: Api) -> None:
    made(api, 101, 103, shared=False, project_id="p2")
    assert vni(api) == 100
    assert api.fault(api.post("networks", {"network": {}})) == (503, "NoNetworkAvailable")
    assert 101 <= vni(api.as_("p2")) <= 103


def test_shared_ranges_are_everybodys(api: Api) -> None:
    for _ in range(4):
        vni(api)
    assert api.post("networks", {"network": {}})[0] == 503
    made(api, 700, 700)
    assert vni(api) == 700


def test_an_administrators_network_takes_from_its_owners_range(api: Api) -> None:
    made(api, 20, 20, "vlan", physical_network="physnet2", shared=False, project_id="p1")
    network = api.admin.make("networks", **{"project_id": "p1", "provider:network_type": "vlan"})
    assert (network["provider:physical_network"], network["provider:segmentation_id"]) == ("physnet2", 20)


def test_what_is_used_stays(api: Api) -> None:
    found = made(api, 500, 500, shared=False, project_id="p1")
    assert vni(api) == 500
    path = f"{RANGES}/{found['id']}"
    assert api.fault(api.admin.delete(path)) == (409, "NetworkSegmentRangeReferencedByProject")
    answer = api.admin.put(path, {"network_segment_range": {"minimum": 501, "maximum": 502}})
    assert api.fault(answer) == (409, "NetworkSegmentRangeReferencedByProject")
    assert api.admin.put(path, {"network_segment_range": {"maximum": 502}})[0] == 200


def test_tags(api: Api) -> None:
    found = made(api, 500, 500)
    assert api.admin.put(f"{RANGES}/{found['id']}/tags", {"tags": ["red"]})[0] == 200
    assert [row["id"] for row in api.admin.list(RANGES, "tags=red")] == [found["id"]]


def test_statements(api: Api) -> None:
    def count() -> int:
        with api.statements() as seen:
            api.admin.list(RANGES)
        return len(seen)

    count()
    before = count()
    for number in range(10):
        made(api, 1000 + number, 1000 + number)
    assert count() == before


def test_extensions(api: Api) -> None:
    assert "network-segment-range" in {row["alias"] for row in api.list("extensions")}
