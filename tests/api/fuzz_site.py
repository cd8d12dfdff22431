"""An installation in which two projects have one of everything, its state as values, and what must hold of it always."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text

from tests.api.conftest import Api
from tests.api.fuzz_values import NOWHERE, Ref
from weft.resources import RESOURCES, agent
from weft.resources.router_routes import LIMIT
from weft.store.quota import USAGE

LESSEE = "0123456789abcdef0123456789abcdef"
"""The project with which p1 and p2 each share a network."""

SECRET = "secret-of-p2"
"""Stands in the name of everything that is p2's and nobody else's to see."""


@dataclass
class Site:
    """The objects by member, and the state that every sequence of requests starts from. On SQLite."""

    api: Api
    ids: dict[str, list[str]]
    of_p2: tuple[str, ...]

    def __post_init__(self) -> None:
        self._pristine, self._side = (
            sqlite3.connect(":memory:"),
            sqlite3.connect(self.api.config.state_path / "weft.db"),
        )
        self._side.backup(self._pristine)
        self._known = {member: list(ids) for member, ids in self.ids.items()}
        self._at_start = self.version()

    def id(self, ref: Ref) -> str:
        found = self.ids.get(ref.kind)
        return found[ref.number % len(found)] if found else NOWHERE

    def resolve(self, value: Any) -> Any:
        """`value` with ids in the place of references."""
        if isinstance(value, Ref):
            return self.id(value)
        if isinstance(value, dict):
            return {key: self.resolve(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.resolve(one) for one in value]
        return value

    def version(self) -> int:
        """A number that stays the same as long as nobody commits a change to the database."""
        return int(self._side.execute("PRAGMA data_version").fetchone()[0])

    def reset(self) -> None:
        """Back to the state at the start."""
        self.ids = {member: list(ids) for member, ids in self._known.items()}
        if self.version() != self._at_start:
            self._pristine.backup(self._side)
            self._at_start = self.version()

    def close(self) -> None:
        self._side.close()
        self._pristine.close()


def build(api: Api) -> Site:
    """One of everything for p1 and p2, an external network, an agent."""
    ids: dict[str, list[str]] = {}

    def made(owner: Api, collection: str, **values: Any) -> dict[str, Any]:
        row = owner.make(collection, **values)
        member = next(one.member for one in RESOURCES if one.collection == collection.rpartition("/")[2])
        ids.setdefault(member, []).append(row["id"])
        return row

    facts = {
        "agent_type": "L3 agent",
        "host": "h1",
        "binary": "weft",
        "topic": "N/A",
        "configurations": {"backend": "linux"},
    }
    api.inside(lambda tx: agent.report(tx, **facts))
    outside = made(api.admin, "networks", name="outside", **{"router:external": True})
    made(api.admin, "subnets", network_id=outside["id"], ip_version=4, cidr="203.0.113.0/24")
    _furnish(made, api.as_("p1"), outside["id"], "own")
    before = {member: list(of) for member, of in ids.items()}
    _furnish(made, api.as_("p2"), outside["id"], SECRET)
    ids["agent"] = [row["id"] for row in api.admin.list("agents")]
    kept = {member: len(of) for member, of in before.items()}
    of_p2 = [id for member, of in ids.items() if member != "agent" for id in of[kept.get(member, 0) :]]
    return Site(api, ids, tuple(of_p2))


def _furnish(made: Any, owner: Api, outside: str, name: str) -> None:
    network = made(owner, "networks", name=name)["id"]
    subnet = made(owner, "subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24", name=name)["id"]
    slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    made(owner, "subnets", network_id=network, ip_version=6, cidr="fd00::/64", name=name, **slaac)
    group = made(owner, "security-groups", name=name)["id"]
    made(owner, "security-group-rules", security_group_id=group, direction="ingress", description=name)
    made(owner, "address-groups", name=name, addresses=["10.0.0.0/24"])
    router = made(owner, "routers", name=name, external_gateway_info={"network_id": outside})["id"]
    assert owner.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})[0] == 200
    port = made(owner, "ports", name=name, network_id=network, security_groups=[group])
    made(owner, "ports", name=name, network_id=network)
    made(owner, "floatingips", floating_network_id=outside, port_id=port["id"], description=name)
    lone = made(owner, "floatingips", floating_network_id=outside, description=name)["id"]
    other = made(owner, "ports", name=name, network_id=network)
    forwarding = {
        "protocol": "tcp",
        "external_port": 80,
        "internal_port": 80,
        "internal_port_id": other["id"],
        "internal_ip_address": other["fixed_ips"][0]["ip_address"],
        "description": name,
    }
    made(owner, f"floatingips/{lone}/port_forwardings", **forwarding)
    scope = made(owner, "address-scopes", name=name, ip_version=4)["id"]
    made(owner, "subnetpools", name=name, prefixes=["10.128.0.0/16"], address_scope_id=scope, min_prefixlen="24")
    made(
        owner,
        "rbac-policies",
        object_type="network",
        object_id=network,
        action="access_as_shared",
        target_tenant=LESSEE,
    )


def broken(site: Site) -> list[str]:
    """What does not hold of the database: foreign keys, and counters that are not the number of rows."""

    def read(connection: Connection) -> list[str]:
        found = []
        found += [f"foreign key: {tuple(row)}" for row in connection.execute(text("PRAGMA foreign_key_check"))]
        counted = {
            (row.project_id, row.resource): row.used
            for row in connection.execute(select(USAGE))
            if row.resource != LIMIT
        }
        there: dict[tuple[str, str], int] = {}
        for resource in {one.quota: one for one in RESOURCES if one.quota}.values():
            table = resource.table
            rows = connection.execute(select(table.c.project_id, func.count()).group_by(table.c.project_id))
            there.update({(project, str(resource.quota)): number for project, number in rows if project})
        for key in counted.keys() | there.keys():
            if counted.get(key, 0) != there.get(key, 0):
                found.append(f"quota {key}: counted {counted.get(key)}, there are {there.get(key)}")
        return found

    return site.api.store.read(read)


class Complaints(logging.Handler):
    """What the API logged as an error: there is nothing that a client can send to cause that."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


def listening() -> Iterator[Complaints]:
    """Complaints, while it is attached."""
    handler = Complaints()
    logging.getLogger().addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger().removeHandler(handler)


def is_envelope(content: bytes) -> bool:
    """The body of an answer with a fault, as clients parse it."""
    fault = json.loads(content)
    if not isinstance(fault, dict) or list(fault) not in (["NeutronError"], ["NotImplementedError"]):
        return False
    inner = next(iter(fault.values()))
    return (
        isinstance(inner, dict)
        and inner.keys() == {"type", "message", "detail"}
        and all(isinstance(one, str) for one in inner.values())
    )
