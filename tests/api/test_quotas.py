"""Quotas: limits of projects, who may see and set them, and that what is counted is what is there."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from weft.resources import RESOURCES
from weft.store.quota import USAGE

DEFAULTS = {
    "network": 100,
    "subnet": 100,
    "subnetpool": -1,
    "port": 500,
    "router": 10,
    "router_route": 30,
    "floatingip": 50,
    "rbac_policy": 10,
    "security_group": 10,
    "security_group_rule": 100,
}


def limit(api: Any, project: str = "p1", **values: Any) -> tuple[int, Any]:
    return api.admin.put(f"quotas/{project}", {"quota": values})  # type: ignore[no-any-return]


def details(api: Any, project: str = "p1") -> dict[str, dict[str, int]]:
    status, body = api.admin.get(f"quotas/{project}/details")
    assert status == 200, body
    return dict(body["quota"])


def used(api: Any, name: str, project: str = "p1") -> int:
    return details(api, project)[name]["used"]


# Reading.


def test_limits_without_any_of_ones_own(api: Any) -> None:
    assert api.get("quotas/p1")[1]["quota"].items() >= DEFAULTS.items()
    assert api.get("quotas/p1/default")[1] == api.get("quotas/p1")[1]
    assert api.admin.get("quotas/no-such-project")[1]["quota"].items() >= DEFAULTS.items()


def test_whose_limits_would_they_be(api: Any) -> None:
    assert api.get("quotas/tenant") == (200, {"tenant": {"tenant_id": "p1"}})
    assert api.get("quotas/project") == (200, {"project": {"project_id": "p1"}})


def test_details(api: Any) -> None:
    api.make("networks")
    assert limit(api, network=7)[0] == 200
    assert api.get("quotas/p1/details")[1]["quota"]["network"] == {"limit": 7, "used": 1, "reserved": 0}
    assert details(api)["router"] == {"limit": 10, "used": 0, "reserved": 0}


def test_projects_see_their_own_limits(api: Any) -> None:
    stranger = api.as_("p2")
    for path in ("quotas/p1", "quotas/p1/default", "quotas"):
        assert stranger.fault(stranger.get(path)) == (403, "PolicyNotAuthorized")
    assert stranger.fault(stranger.get("quotas/p1/details")) == (403, "AdminRequired")
    assert stranger.get("quotas/p2")[0] == 200


def test_the_list_has_projects_with_limits_of_their_own(api: Any) -> None:
    api.make("networks")
    assert api.admin.get("quotas") == (200, {"quotas": []})
    limit(api, "p2", network=7)
    (found,) = api.admin.get("quotas")[1]["quotas"]
    assert found.items() >= {**DEFAULTS, "network": 7, "project_id": "p2", "tenant_id": "p2"}.items()


def test_the_list_costs_the_same_for_10_and_200(api: Any) -> None:
    costs = []
    for upto in (10, 200):
        for number in range(upto):
            limit(api, f"project {number}", network=7)
        with api.statements() as seen:
            assert len(api.admin.get("quotas")[1]["quotas"]) == upto
        costs.append(len(seen))
    assert costs == [1, 1]


def test_extensions(api: Any) -> None:
    aliases = {one["alias"] for one in api.list("extensions")}
    assert aliases >= {"quotas", "quota_details", "quota-check-limit", "quota-check-limit-default"}


# Setting.


def test_limits_are_set_and_reset(api: Any) -> None:
    status, body = limit(api, network=7, port=-1)
    assert status == 200
    assert body["quota"].items() >= {**DEFAULTS, "network": 7, "port": -1}.items()
    assert api.get("quotas/p1")[1] == body
    assert api.get("quotas/p1/default")[1]["quota"]["network"] == 100
    assert limit(api, subnet="5")[1]["quota"].items() >= {"network": 7, "subnet": 5}.items()
    assert api.admin.delete("quotas/p1") == (204, None)
    assert api.get("quotas/p1")[1]["quota"].items() >= DEFAULTS.items()
    assert api.fault(api.admin.delete("quotas/p1")) == (404, "TenantQuotaNotFound")


def test_only_administrators_set_limits(api: Any) -> None:
    assert api.fault(api.put("quotas/p1", {"quota": {"network": 7}})) == (403, "PolicyNotAuthorized")
    assert api.fault(api.delete("quotas/p1")) == (403, "PolicyNotAuthorized")


def test_quotas_are_not_created(api: Any) -> None:
    assert api.fault(api.admin.post("quotas", {"quota": {"network": 7}})) == (501, "HTTPNotImplemented")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": -2}, "Invalid input for network. Reason: '-2' is too small - must be at least '-1'."),
        ({"network": 2**31}, "too large"),
        ({"network": "many"}, "many"),
        ({"foo": 1}, "Unrecognized attribute(s) 'foo'"),
    ],
)
def test_what_a_limit_may_not_be(api: Any, values: dict[str, Any], message: str) -> None:
    status, body = limit(api, **values)
    assert (status, message in body["NeutronError"]["message"]) == (400, True)


def test_a_put_without_a_quota(api: Any) -> None:
    for body in ({}, {"quotas": {}}, []):
        assert api.fault(api.admin.put("quotas/p1", body)) == (400, "HTTPBadRequest")


def test_limits_below_what_is_used(api: Any) -> None:
    for _ in range(2):
        api.make("networks")
    status, body = limit(api, network=1)
    assert status == 400
    assert body["NeutronError"]["message"].endswith("must be greater than or equal to already used 2")
    assert api.fault(limit(api, network=1, check_limit=True)) == (400, "HTTPBadRequest")
    assert api.fault(limit(api, subnet=9, network=1)) == (400, "HTTPBadRequest")
    assert api.get("quotas/p1")[1]["quota"]["subnet"] == 100
    assert limit(api, network=2)[0] == 200
    assert limit(api, network=-1)[0] == 200
    assert limit(api, network=1, force=True)[1]["quota"]["network"] == 1
    assert api.fault(api.post("networks", {"network": {}})) == (409, "OverQuota")


# Limits hold.


def test_a_limit_holds_and_deleting_frees_it(api: Any) -> None:
    limit(api, network=1)
    made = api.make("networks")
    status, body = api.post("networks", {"network": {}})
    assert (status, body["NeutronError"]["type"]) == (409, "OverQuota")
    assert body["NeutronError"]["message"] == "Quota exceeded for resources: ['network']."
    assert api.delete(f"networks/{made['id']}")[0] == 204
    api.make("networks")


def test_a_bulk_over_the_limit_creates_nothing(api: Any) -> None:
    limit(api, network=2)
    assert api.fault(api.post("networks", {"networks": [{}, {}, {}]})) == (409, "OverQuota")
    assert (api.list("networks"), used(api, "network")) == ([], 0)
    assert api.post("networks", {"networks": [{}, {}]})[0] == 201


def test_the_owner_pays(api: Any) -> None:
    limit(api, "p2", network=0)
    assert api.fault(api.admin.post("networks", {"network": {"project_id": "p2"}})) == (409, "OverQuota")
    api.make("networks")


def test_zero_is_none(api: Any) -> None:
    limit(api, subnetpool=0)
    answer = api.post("subnetpools", {"subnetpool": {"name": "pool", "prefixes": ["198.18.0.0/16"]}})
    assert api.fault(answer) == (409, "OverQuota")


def test_a_limit_holds_against_parallel_requests(api: Any) -> None:
    limit(api, network=5)
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: api.post("networks", {"network": {}})[0], range(12)))
    assert sorted(statuses) == [201] * 5 + [409] * 7
    assert used(api, "network") == 5


# Counters are what is there.


class Walk:
    """A random walk through the API: makes and deletes whatever it can, as two projects and an administrator."""

    COLLECTIONS = (
        "networks",
        "subnets",
        "ports",
        "security-groups",
        "security-group-rules",
        "rbac-policies",
        "subnetpools",
        "address-scopes",
        "routers",
        "floatingips",
    )

    def __init__(self, api: Any, seed: int) -> None:
        self.draw = random.Random(seed)
        self.callers = [api.as_("1" * 32), api.as_("2" * 32), api.admin]
        self.made: dict[str, list[str]] = {name: [] for name in self.COLLECTIONS}
        self.statuses: set[int] = set()

    def some(self, collection: str) -> str:
        return self.draw.choice(self.made[collection] or ["6f3d1c3e-0000-4000-8000-000000000000"])

    def values(self, collection: str, admin: bool) -> dict[str, Any]:
        number = self.draw.randrange(64)
        return {
            "networks": {"shared": self.draw.random() < 0.3, "router:external": self.draw.random() < 0.4}
            if admin
            else {},
            "subnets": {"network_id": self.some("networks"), "ip_version": 4, "cidr": f"10.{number}.0.0/24"},
            "ports": {"network_id": self.some("networks")},
            "security-groups": {"name": "web"},
            "security-group-rules": {"security_group_id": self.some("security-groups"), "direction": "ingress"},
            "rbac-policies": {
                "object_type": "network",
                "object_id": self.some("networks"),
                "action": self.draw.choice(["access_as_shared", "access_as_external"]),
                "target_tenant": self.draw.choice(["1" * 32, "2" * 32, "*"]),
            },
            "subnetpools": {"name": "pool", "prefixes": [f"198.18.{number}.0/24"]},
            "address-scopes": {"ip_version": 4, "shared": admin},
            "routers": {"external_gateway_info": {"network_id": self.some("networks")}} if number % 2 else {},
            "floatingips": {"floating_network_id": self.some("networks")},
        }[collection]

    def step(self) -> None:
        caller = self.draw.choice(self.callers)
        collection = self.draw.choice(self.COLLECTIONS)
        kind = self.draw.random()
        if kind < 0.3 and self.made[collection]:
            id = self.some(collection)
            status, _ = caller.delete(f"{collection}/{id}")
            if status == 204:
                self.made[collection].remove(id)
        elif kind < 0.45:
            action = self.draw.choice(["add_router_interface", "remove_router_interface"])
            status, _ = caller.put(f"routers/{self.some('routers')}/{action}", {"subnet_id": self.some("subnets")})
        elif kind < 0.5:
            change = {self.draw.choice(["shared", "router:external"]): self.draw.random() < 0.5}
            status, _ = caller.put(f"networks/{self.some('networks')}", {"network": change})
        else:
            member = collection.replace("-", "_").replace("policies", "policys")[:-1]
            values = self.values(collection, caller.project == "admin")
            status, body = caller.post(collection, {member: values})
            if status == 201:
                self.made[collection].append(next(iter(body.values()))["id"])
        self.statuses.add(status)


@pytest.mark.parametrize("seed", range(4))
def test_counters_equal_rows(api: Any, seed: int) -> None:
    """Also for what comes and goes with something else: ports, rules, default groups, policies."""
    walk = Walk(api, seed)
    for _ in range(220):
        walk.step()
    assert {201, 204, 409} <= walk.statuses <= {200, 201, 204, 400, 403, 404, 409}

    def counted(tx: Any) -> dict[tuple[str, str], int]:
        rows = tx.all(select(USAGE.c.project_id, USAGE.c.resource, USAGE.c.used).where(USAGE.c.used > 0))
        return {(row.project_id, row.resource): row.used for row in rows}

    def present(tx: Any) -> dict[tuple[str, str], int]:
        found = {}
        for resource in RESOURCES:
            if resource.quota:
                owner = resource.table.c.project_id
                for project, number in tx.all(select(owner, func.count()).where(owner != "").group_by(owner)):
                    found[(project, resource.quota)] = number
        return found

    counters, rows = api.inside(counted), api.inside(present)
    assert counters == rows
    assert len({name for _, name in rows}) >= 8
