"""Logs by the API, where the dataplane does not say what it can."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from weft.logical.model import Key
from weft.reconcile.cloud import CloudLoader
from weft.registry.resource import Row
from weft.store import changes

NOBODY = "6f3d1c3e-0000-4000-8000-000000000000"
LOGS = "log/logs"


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"api": {"backend": "elsewhere"}}


def ask(api: Api, **more: Any) -> Answer:
    return api.admin.post(LOGS, {"log": {"resource_type": "security_group", **more}})


def made(api: Api, **more: Any) -> Row:
    status, body = ask(api, **more)
    assert status == 201, body
    return dict(body["log"])


@pytest.fixture
def port(api: Api) -> Row:
    return api.make("ports", network_id=api.make("networks")["id"])


def test_a_log(api: Api) -> None:
    found = made(api, name="a")
    assert found == {
        "id": found["id"],
        "project_id": "admin",
        "tenant_id": "admin",
        "name": "a",
        "resource_type": "security_group",
        "resource_id": None,
        "target_id": None,
        "event": "ALL",
        "enabled": True,
        "description": "",
        "revision_number": 0,
        "created_at": found["created_at"],
        "updated_at": found["updated_at"],
    }
    assert api.admin.show(LOGS, found["id"]) == found
    assert api.admin.list("logs") == api.admin.list(LOGS, "name=a") == [found]
    path = f"{LOGS}/{found['id']}"
    status, body = api.admin.put(path, {"log": {"name": "b", "description": "d", "enabled": False}})
    assert (status, body["log"]["name"], body["log"]["enabled"], body["log"]["revision_number"]) == (200, "b", False, 1)
    assert api.admin.delete(path)[0] == 204
    assert api.fault(api.admin.get(path)) == (404, "LogResourceNotFound")


@pytest.mark.parametrize("name", ["event", "resource_type", "resource_id", "target_id"])
def test_what_is_logged_stays(api: Api, name: str) -> None:
    found = made(api)
    assert api.admin.put(f"{LOGS}/{found['id']}", {"log": {name: found[name]}})[0] == 400


def test_what_can_be_logged(api: Api) -> None:
    assert api.admin.list("log/loggable-resources") == [{"type": "security_group"}]
    assert api.admin.list("log/loggable_resources") == [{"type": "security_group"}]
    assert api.fault(ask(api, resource_type="foo")) == (400, "InvalidLogResourceType")
    assert ask(api, event="SOME")[0] == 400
    assert made(api, event="DROP")["event"] == "DROP"


def test_a_log_is_about_things_that_are_there(api: Api) -> None:
    assert api.fault(ask(api, resource_id=NOBODY)) == (404, "ResourceNotFound")
    assert api.fault(ask(api, target_id=NOBODY)) == (404, "TargetResourceNotFound")


def test_the_port_is_in_the_group(api: Api, port: Row) -> None:
    (group,) = port["security_groups"]
    found = made(api, resource_id=group, target_id=port["id"])
    assert (found["resource_id"], found["target_id"]) == (group, port["id"])
    other = api.make("security-groups", name="other")
    assert api.fault(ask(api, resource_id=other["id"], target_id=port["id"])) == (400, "InvalidResourceConstraint")


def test_logs_go_with_what_they_are_about(api: Api, port: Row) -> None:
    group = api.make("security-groups", name="g")
    made(api, resource_id=group["id"])
    made(api, target_id=port["id"])
    kept = made(api)
    assert api.delete(f"security-groups/{group['id']}")[0] == 204
    assert api.delete(f"ports/{port['id']}")[0] == 204
    assert api.admin.list(LOGS) == [kept]


def test_members_have_no_logs(api: Api) -> None:
    found = made(api)
    assert api.list(LOGS) == []
    assert api.get(f"{LOGS}/{found['id']}")[0] == 404
    assert api.fault(api.post(LOGS, {"log": {"resource_type": "security_group"}})) == (403, "PolicyNotAuthorized")
    mine = api.as_("p1", "manager,member,reader").make(LOGS, resource_type="security_group")
    assert mine["project_id"] == "p1"


def test_statements(api: Api) -> None:
    def count() -> int:
        with api.statements() as seen:
            api.admin.list(LOGS)
        return len(seen)

    before = count()
    for _ in range(10):
        made(api)
    assert count() == before


def told(api: Api) -> dict[str, list[tuple[str, str, str]]]:
    """What a dataplane that starts now is to log: group -> (log, event, port)."""
    loader = CloudLoader()
    api.inside(loader.load)
    groups = loader.view.groups.values()
    return {group.id: [(one.id, one.event, one.port) for one in group.logs] for group in groups if group.logs}


def test_what_a_dataplane_is_told(api: Api, port: Row) -> None:
    """A log is of a group, of a port in a group, of all groups of a port, or of all groups of its project."""
    (default,), other = port["security_groups"], api.make("security-groups", name="other")["id"]
    first = made(api, resource_id=other, event="DROP")["id"]
    assert told(api) == {other: [(first, "DROP", "")]}
    api.admin.put(f"{LOGS}/{first}", {"log": {"enabled": False}})
    assert told(api) == {}
    alone = made(api, target_id=port["id"])["id"]
    assert told(api) == {default: [(alone, "ALL", port["id"])]}
    api.put(f"ports/{port['id']}", {"port": {"security_groups": [other]}})
    assert told(api) == {other: [(alone, "ALL", port["id"])]}
    api.delete(f"ports/{port['id']}")
    mine = api.as_(port["project_id"], "admin,member,reader").make(LOGS, resource_type="security_group")
    assert told(api) == {group: [(mine["id"], "ALL", "")] for group in (default, other)}


def test_changes_reach_the_groups_that_they_are_about(api: Api, port: Row) -> None:
    (default,), other = port["security_groups"], api.make("security-groups", name="other")["id"]
    loader, last = CloudLoader(), api.inside(lambda tx: changes.last(tx.connection))
    api.inside(loader.load)

    def moved() -> set[Key]:
        nonlocal last
        since, last = last, api.inside(lambda tx: changes.last(tx.connection))
        found: set[Key] = api.inside(lambda tx: loader.refresh(tx, changes.after(tx.connection, since)))
        return {key for key in found if key.kind == "group"}

    alone = made(api, target_id=port["id"])["id"]
    assert moved() == {Key("group", default)}
    api.put(f"ports/{port['id']}", {"port": {"security_groups": [other]}})
    assert moved() == {Key("group", default), Key("group", other)}
    api.admin.put(f"{LOGS}/{alone}", {"log": {"name": "new"}})
    assert moved() == set(), "what it is called is in no dataplane"
    api.delete(f"ports/{port['id']}")
    assert moved() == {Key("group", other)}
    assert not any(group.logs for group in loader.view.groups.values())
    whole = api.as_(port["project_id"], "admin,member,reader").make(LOGS, resource_type="security_group")["id"]
    assert moved() == {Key("group", default), Key("group", other)}
    third = api.make("security-groups", name="third")["id"]
    assert moved() == {Key("group", third)}
    assert [one.id for one in loader.view.groups[third].logs] == [whole]


def test_extensions(api: Api) -> None:
    assert "logging" in {row["alias"] for row in api.list("extensions")}


@pytest.mark.parametrize("backend", ["linux", "ovn"])
class TestDataplane:
    @pytest.fixture
    def options(self, backend: str) -> dict[str, dict[str, Any]]:
        return {"api": {"backends": [backend]}}

    def test_logs_are_offered(self, api: Api, backend: str) -> None:
        assert "logging" in {row["alias"] for row in api.list("extensions")}
        assert api.admin.list("log/loggable-resources") == [{"type": "security_group"}]
        assert made(api)["enabled"]

    def test_ports_that_go_past_the_dataplane_are_not_logged(self, api: Api, backend: str) -> None:
        """A port of SR-IOV is filtered by nobody who could write of it: its log would stay empty."""
        network = api.make("networks")["id"]
        direct = api.make("ports", network_id=network, **{"binding:vnic_type": "direct"})
        answer = ask(api, target_id=direct["id"])
        assert api.fault(answer) == (409, "LoggingTypeNotSupported")
        assert "vnic type direct" in answer[1]["NeutronError"]["message"]
        assert api.admin.list(LOGS) == []

    def test_ports_of_a_card_in_switchdev_mode_are_logged_by_ovn(self, api: Api, backend: str) -> None:
        network = api.make("networks")["id"]
        port = api.make("ports", network_id=network, **{"binding:vnic_type": "direct"})
        nova = api.as_("nova", "service")
        profile = {"binding:profile": {"capabilities": ["switchdev"]}}
        assert nova.put(f"ports/{port['id']}", {"port": profile})[0] == 200
        assert ask(api, target_id=port["id"])[0] == {"linux": 409, "ovn": 201}[backend]


class TestSeveralDataplanes:
    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"backends": ["linux", "ovn"]}}

    def test_a_port_that_one_of_them_can_log(self, api: Api) -> None:
        network = api.make("networks")["id"]
        for vnic_type, status in (("normal", 201), ("vdpa", 201), ("direct", 409), ("macvtap", 409)):
            port = api.make("ports", network_id=network, **{"binding:vnic_type": vnic_type})
            assert ask(api, target_id=port["id"])[0] == status, vnic_type
