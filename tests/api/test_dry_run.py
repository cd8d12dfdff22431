"""?dry_run=true on every kind of write: judged and answered as if, and nothing is there afterwards."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from tests.api.conftest import Api
from weft.reconcile.doorbell import Doorbell
from weft.store.changes import CHANGES
from weft.store.schema import METADATA


def everything(api: Api) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""

    def read(connection) -> dict[str, list[tuple[object, ...]]]:  # type: ignore[no-untyped-def]
        return {
            table.name: sorted(tuple(map(repr, row)) for row in connection.execute(select(table)))
            for table in METADATA.sorted_tables
        }

    return api.store.read(read)


@pytest.fixture
def network(api: Api) -> str:
    made = api.make("networks", name="before")
    api.make("subnets", network_id=made["id"], ip_version=4, cidr="10.0.0.0/24")
    return str(made["id"])


def test_create_says_what_would_be(api: Api, network: str) -> None:
    before = everything(api)
    status, body = api.post("ports?dry_run=true", {"port": {"network_id": network, "name": "x"}})
    assert status == 200
    assert body["port"]["name"] == "x" and body["port"]["fixed_ips"][0]["ip_address"].startswith("10.0.0.")
    assert body["dry_run"]["status"] == 201
    assert {"kind": "port", "id": body["port"]["id"], "operation": "create"} in body["dry_run"]["changes"]
    assert everything(api) == before
    assert api.get(f"ports/{body['port']['id']}")[0] == 404


def test_update_action_tag_quota_and_delete(api: Api, network: str) -> None:
    router = api.make("routers")["id"]
    subnet = api.list("subnets")[0]["id"]
    before = everything(api)

    status, body = api.put(f"networks/{network}?dry_run=true", {"network": {"name": "after"}})
    assert (status, body["network"]["name"], body["dry_run"]["status"]) == (200, "after", 200)
    assert body["dry_run"]["changes"] == [{"kind": "network", "id": network, "operation": "update"}]

    status, body = api.put(f"routers/{router}/add_router_interface?dry_run=true", {"subnet_id": subnet})
    assert (status, body["subnet_id"]) == (200, subnet)
    assert "port" in {change["kind"] for change in body["dry_run"]["changes"]}

    status, body = api.put(f"networks/{network}/tags?dry_run=true", {"tags": ["a"]})
    assert (status, body["tags"]) == (200, ["a"])
    status, body = api.put(f"networks/{network}/tags/a?dry_run=true", None)
    assert (status, body["dry_run"]["status"]) == (200, 201)

    status, body = api.admin.put("quotas/p1?dry_run=true", {"quota": {"port": 3}})
    assert (status, body["quota"]["port"]) == (200, 3)

    status, body = api.delete(f"networks/{network}?dry_run=true")
    assert (status, body["dry_run"]["status"]) == (200, 204)
    kinds = {(change["kind"], change["operation"]) for change in body["dry_run"]["changes"]}
    assert kinds == {("network", "delete"), ("subnet", "delete"), ("segment", "delete")}
    assert everything(api) == before


def test_refused_as_it_would_be(api: Api, network: str) -> None:
    api.admin.put("quotas/p1", {"quota": {"port": 1}})
    assert api.post("ports?dry_run=true", {"port": {"network_id": network}})[0] == 200
    api.make("ports", network_id=network)
    assert api.fault(api.post("ports?dry_run=true", {"port": {"network_id": network}})) == (409, "OverQuota")
    assert api.fault(api.delete(f"networks/{network}?dry_run=1")) == (409, "NetworkInUse")
    other = api.as_("p2")
    assert other.put(f"networks/{network}?dry_run=true", {"network": {"name": "mine"}})[0] == 404
    assert api.fault(api.post("networks?dry_run=true", {"network": {"name": 5}}))[0] == 400


def test_values_of_the_parameter(api: Api) -> None:
    assert api.post("networks?dry_run=false", {"network": {}})[0] == 201
    assert api.post("networks?dry_run=0", {"network": {}})[0] == 201
    assert api.fault(api.post("networks?dry_run=perhaps", {"network": {}}))[0] == 400
    assert api.fault(api.post("networks?dry_run=", {"network": {}}))[0] == 400
    assert len(api.list("networks")) == 2
    assert api.get("networks?dry_run=true")[0] == 400, "a list is no write, and filters are checked"


def test_wakes_nobody_and_logs_nothing(api: Api) -> None:
    bell = Doorbell(api.config.state_path, "test")
    rung = 0

    def ring() -> int:
        import select as polling

        return len(polling.select([bell._socket], [], [], 0)[0])

    try:
        api.post("networks?dry_run=true", {"network": {}})
        rung = ring()
        api.post("networks", {"network": {}})
        assert (rung, ring()) == (0, 1)
    finally:
        bell.close()
    count = api.store.read(lambda connection: connection.execute(select(func.count()).select_from(CHANGES)).scalar())
    assert count and count == api.store.read(
        lambda connection: connection.execute(select(func.count()).where(CHANGES.c.operation == "create")).scalar()
    )
