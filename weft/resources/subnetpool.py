"""Subnet pools: prefixes that subnets are taken out of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

from netaddr import IPSet
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    String,
    Table,
    TypeDecorator,
    or_,
    select,
)

from weft import errors
from weft.ipam import ranges
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry.attributes import REQUIRED, UNSET, Attribute, read_only
from weft.registry.resource import Action, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import address_scope, rbac_policy, standard
from weft.store import access
from weft.store.schema import ID, METADATA, identity, unique_where
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction


class Length(TypeDecorator[str]):
    """The length of a prefix: text in API rows, where clients compare it as such, a number in the database."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else str(value)


SUBNETPOOLS = Table(
    "subnetpools",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False),
    Column("ip_version", Integer, nullable=False),
    Column("prefixes", JSON, nullable=False),
    Column("min_prefixlen", Length, nullable=False),
    Column("max_prefixlen", Length, nullable=False),
    Column("default_prefixlen", Length, nullable=False),
    Column("default_quota", Integer),
    Column("is_default", Boolean, nullable=False, default=False),
    Column("address_scope_id", ID, ForeignKey("address_scopes.id"), index=True),
    *standard_columns(),
    unique_where("uq_subnetpools_default", "is_default", "ip_version"),
)

LENGTH = replace(t.non_negative, schema={"type": ["string", "integer"], "pattern": "^[0-9]+$"})
LENGTHS = ("min_prefixlen", "max_prefixlen", "default_prefixlen")

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.not_empty_name_string, default=REQUIRED, sort=True),
    *standard.project(),
    Attribute("prefixes", addresses.cidr_list, default=REQUIRED, filter=False),
    Attribute("default_quota", t.non_negative, default=UNSET, sort=True),
    read_only("ip_version", t.integer, sort=True),
    Attribute("default_prefixlen", LENGTH, default=UNSET, sort=True),
    Attribute("min_prefixlen", LENGTH, default=UNSET, sort=True),
    Attribute("max_prefixlen", LENGTH, default=UNSET, sort=True),
    Attribute("is_default", t.boolean, default=False, sort=True, policy=True, required_by_policy=True),
    Attribute("shared", t.boolean, default=False, put=False, sort=True, policy=True, required_by_policy=True),
    Attribute("address_scope_id", t.uuid_or_none, default=UNSET, sort=True, extension="address-scope"),
    *standard.stamps(),
)

PREFIX_DELEGATION = "prefix_delegation"
"""Stands for a pool where a prefix is delegated from outside (RFC 8415)."""

LEAST = {4: 8, 6: 64}
"""min_prefixlen of a pool that does not say."""
MOST = {4: 32, 6: 128}
UNIT = {4: 32, 6: 64}
"""default_quota counts prefixes of this length."""


class SubnetPoolStrategy(Strategy):
    """Subnet pools; see behaviours section 7 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        return {"shared": access.shared(SUBNETPOOLS.c.id)}

    def prepare(self, tx: Transaction, values: Row) -> None:
        values["id"] = str(uuid4())
        values.setdefault("default_quota", None)
        values.setdefault("address_scope_id", None)
        _complete(values)

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        _complete(new)
        if not IPSet(old["prefixes"]).issubset(IPSet(new["prefixes"])):
            raise errors.IllegalSubnetPoolPrefixUpdate(reason="Existing prefixes must be a subset of the new prefixes")

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        _check_bounds(new)
        if new["is_default"] and not (old and old["is_default"]):
            _refuse_second_default(tx, new)
        if old is not None and old["address_scope_id"]:
            _check_may_update(tx, old)
        moved = old is not None and new["address_scope_id"] != old["address_scope_id"]
        if moved:
            _refuse_split(tx, new)
        if new["address_scope_id"] and (old is None or moved or new["prefixes"] != old["prefixes"]):
            _check_scope(tx, new)

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is None and new["shared"]:
            rbac_policy.share(tx, "subnetpool", new)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        if _taken(tx, row["id"]):
            raise errors.SubnetPoolDeleteError(reason="Subnet pool has existing allocations")


def _complete(pool: Row) -> None:
    """IP version, compacted prefixes and lengths, from what the pool says."""
    versions = {ip_network(prefix).version for prefix in pool["prefixes"]}
    if not versions:
        raise errors.EmptySubnetPoolPrefixList
    if len(versions) > 1:
        raise errors.PrefixVersionMismatch
    pool["ip_version"] = version = versions.pop()
    pool["prefixes"] = ranges.compact(pool["prefixes"])
    least = pool.get("min_prefixlen", LEAST[version])
    found = (least, pool.get("max_prefixlen", MOST[version]), pool.get("default_prefixlen", least))
    pool.update(zip(LENGTHS, map(str, found), strict=True))


def _check_bounds(pool: Row) -> None:
    least, most, default = (int(pool[name]) for name in LENGTHS)
    wrong = (
        (least > most, "min_prefixlen", least, "max_prefixlen", most),
        (most > MOST[pool["ip_version"]], "max_prefixlen", most, "ip_version_max", MOST[pool["ip_version"]]),
        (default < least, "default_prefixlen", default, "min_prefixlen", least),
        (default > most, "default_prefixlen", default, "max_prefixlen", most),
    )
    for is_wrong, name, value, other_name, other_value in wrong:
        if is_wrong:
            raise errors.IllegalSubnetPoolPrefixBounds(
                name=name, value=value, other_name=other_name, other_value=other_value
            )


def _refuse_second_default(tx: Transaction, pool: Row) -> None:
    other = (SUBNETPOOLS.c.is_default, SUBNETPOOLS.c.ip_version == pool["ip_version"], SUBNETPOOLS.c.id != pool["id"])
    if tx.first(select(SUBNETPOOLS.c.id).where(*other)):
        raise errors.InvalidInput(
            reason="A default subnetpool for this IP family has already been set. Only one default may exist per IP family"
        )


# Pools and address scopes.


def _check_may_update(tx: Transaction, pool: Row) -> None:
    """Who attached his pool to somebody else's scope no longer decides alone which prefixes it has."""
    scope = tx.find(address_scope.ADDRESS_SCOPE, pool["address_scope_id"], everybody=True)
    if not tx.context.is_admin and scope is not None and scope["project_id"] != tx.context.project_id:
        raise errors.IllegalSubnetPoolUpdate(
            reason=f"subnetpool {pool['id']} cannot be updated when associated with shared address scope {scope['id']}"
        )


def _check_scope(tx: Transaction, pool: Row) -> None:
    """The scope is the caller's to use, speaks the pool's IP version, and holds no prefix of the pool yet."""
    facts = {"id": pool["id"], "address_scope_id": pool["address_scope_id"]}
    scope = tx.get(address_scope.ADDRESS_SCOPE, pool["address_scope_id"])
    if not (tx.context.is_admin or scope["shared"] or scope["project_id"] == tx.context.project_id):
        raise errors.IllegalSubnetPoolAssociationToAddressScope(**facts)
    if scope["ip_version"] != pool["ip_version"]:
        raise errors.IllegalSubnetPoolIpVersionAssociationToAddressScope(**facts, ip_version=scope["ip_version"])
    tx.hold(address_scope.ADDRESS_SCOPE, scope["id"])
    others = select(SUBNETPOOLS.c.prefixes).where(
        SUBNETPOOLS.c.address_scope_id == scope["id"], SUBNETPOOLS.c.id != pool["id"]
    )
    used = IPSet(prefix for row in tx.all(others) for prefix in row.prefixes)
    if not used.isdisjoint(IPSet(pool["prefixes"])):
        raise errors.AddressScopePrefixConflict


def _refuse_split(tx: Transaction, pool: Row) -> None:
    """All subnets of one IP version on a network stay in one scope."""
    from weft.resources.subnet import SUBNETS

    tx.hold(SUBNETPOOL, pool["id"])
    other = SUBNETS.alias()
    elsewhere = or_(other.c.subnetpool_id != pool["id"], other.c.subnetpool_id.is_(None))
    statement = (
        select(other.c.id)
        .join(SUBNETS, SUBNETS.c.network_id == other.c.network_id)
        .where(SUBNETS.c.subnetpool_id == pool["id"], other.c.ip_version == pool["ip_version"], elsewhere)
    )
    if tx.first(statement.limit(1)):
        raise errors.NetworkAddressScopeAffinityError


# What subnets ask.


def find_default(tx: Transaction, ip_version: int) -> str | None:
    """The id of the default pool of that IP version that the caller may use."""
    found = tx.list(SUBNETPOOL, SUBNETPOOLS.c.is_default, SUBNETPOOLS.c.ip_version == ip_version, everybody=False)
    return str(found[0]["id"]) if found else None


def default(tx: Transaction, ip_version: int, delegated: bool) -> str:
    """The id of the default pool of that IP version (prefix_delegation where that is how IPv6 is done)."""
    if ip_version == 6 and delegated:
        return PREFIX_DELEGATION
    found = find_default(tx, ip_version)
    if found is None:
        raise errors.BadRequest(resource="subnets", reason=f"No default subnetpool found for IPv{ip_version}")
    return found


def _taken(tx: Transaction, pool_id: str) -> list[tuple[str, str]]:
    """(CIDR, project) of all subnets of the pool."""
    from weft.resources.subnet import SUBNETS

    found = tx.all(select(SUBNETS.c.cidr, SUBNETS.c.project_id).where(SUBNETS.c.subnetpool_id == pool_id))
    return [(row.cidr, row.project_id) for row in found]


def take(tx: Transaction, pool_id: str, values: Row, on: Row) -> str:
    """A CIDR out of the pool for the subnet `values` on the network `on`: that which it asks for, or the lowest free one.

    Nobody else takes from the pool until the transaction ends.
    """
    pool = tx.get(SUBNETPOOL, pool_id)
    version, cidr = pool["ip_version"], values.get("cidr")
    if values["ip_version"] != version:
        raise errors.BadRequest(
            resource="subnets", reason=f"Cannot allocate IPv{values['ip_version']} subnet from IPv{version} subnet pool"
        )
    length = ip_network(cidr).prefixlen if cidr else values.get("prefixlen")
    length = int(pool["default_prefixlen"]) if length is None else length
    if length > int(pool["max_prefixlen"]):
        raise errors.MaxPrefixSubnetAllocationError(prefixlen=length, maximum=pool["max_prefixlen"])
    if length < int(pool["min_prefixlen"]):
        raise errors.MinPrefixSubnetAllocationError(prefixlen=length, minimum=pool["min_prefixlen"])
    tx.hold(SUBNETPOOL, pool_id, pool["revision_number"])
    taken = _taken(tx, pool_id)
    _check_quota(pool, [one for one, project in taken if project == values["project_id"]], length)
    used = [one for one, _ in taken]
    if cidr:
        if not ranges.is_free(pool["prefixes"], used, cidr):
            raise errors.SubnetAllocationError(
                reason="Cannot allocate requested subnet from the available set of prefixes"
            )
        return str(cidr)
    found = ranges.find_prefix(pool["prefixes"], used, length)
    if found is None:
        raise errors.SubnetAllocationError(reason=f"Insufficient prefix space to allocate subnet size /{length}")
    return found


def _check_quota(pool: Row, own: Sequence[str], length: int) -> None:
    """A project's share of the pool, in addresses (IPv4) or networks of 64 bits (IPv6). 0: no limit."""
    if not pool["default_quota"]:
        return
    unit = UNIT[pool["ip_version"]]
    used = sum(2.0 ** (unit - ip_network(cidr).prefixlen) for cidr in own)
    if used + 2.0 ** (unit - length) > pool["default_quota"]:
        raise errors.SubnetPoolQuotaExceeded


def same_scope(tx: Transaction, pools: Sequence[str | None], pool_id: str | None) -> bool:
    """True if subnets of these pools may share a network: all in one address scope.

    Raises NetworkAddressScopeAffinityError where the network is in a scope and the new subnet's pool in another or none.
    """
    ids = {id for id in (*pools, pool_id) if id}
    found = tx.all(select(SUBNETPOOLS.c.id, SUBNETPOOLS.c.address_scope_id).where(SUBNETPOOLS.c.id.in_(sorted(ids))))
    scopes = {row.id: row.address_scope_id for row in found}
    there = {scopes.get(id or "") for id in pools}
    mine = scopes.get(pool_id or "")
    if pool_id and there - {None, mine}:
        raise errors.NetworkAddressScopeAffinityError
    return mine is not None and there == {mine}


# Member actions.


def _asked_prefixes(body: Any) -> list[str]:
    given = body.get("prefixes") if isinstance(body, dict) else None
    if given is None:
        raise errors.HTTPBadRequest("Failed to parse request. Required attribute 'prefixes' not specified")
    prefixes = addresses.cidr_list.convert(given)
    reason = addresses.cidr_list.validate(prefixes)
    if reason is not None:
        raise errors.HTTPBadRequest(f"Invalid input for prefixes. Reason: {reason}.")
    return list(prefixes)


def add_prefixes(tx: Transaction, row: Row, body: Any) -> Row:
    """PUT /subnetpools/{id}/add_prefixes"""
    asked = _asked_prefixes(body)
    new = SUBNETPOOL.strategy.update(tx, row, {"prefixes": [*row["prefixes"], *asked]}) if asked else row
    return {"prefixes": new["prefixes"]}


def remove_prefixes(tx: Transaction, row: Row, body: Any) -> Row:
    """PUT /subnetpools/{id}/remove_prefixes: prefixes, or parts of them, that no subnet was taken out of."""
    gone = IPSet(_asked_prefixes(body))
    left = IPSet(row["prefixes"]) - gone
    new = {**row, "prefixes": [str(cidr) for cidr in left.iter_cidrs()]}
    if new["prefixes"] == row["prefixes"]:
        return {"prefixes": row["prefixes"]}
    if row["address_scope_id"]:
        _check_may_update(tx, row)
    tx.hold(SUBNETPOOL, row["id"])
    if not gone.isdisjoint(IPSet(cidr for cidr, _ in _taken(tx, row["id"]))):
        raise errors.IllegalSubnetPoolPrefixUpdate(
            reason="One or more of the prefixes to be removed is in use by a subnet"
        )
    _complete(new)
    tx.update(SUBNETPOOL, row, new)
    return {"prefixes": new["prefixes"]}


def onboard_network_subnets(tx: Transaction, row: Row, body: Any) -> list[Row]:
    """PUT /subnetpools/{id}/onboard_network_subnets: subnets that were made without the pool become its own."""
    from weft.resources import network, subnet

    network_id = body.get("network_id") if isinstance(body, dict) else None
    if not network_id:
        raise errors.InvalidInput(reason="network_id must be specified")
    fault = t.uuid_fault(network_id)
    if fault:
        raise errors.InvalidInput(reason=fault)
    on = tx.get(network.NETWORK, network_id)
    if not tx.context.is_admin and on["project_id"] != tx.context.project_id:
        raise errors.NotAuthorized
    tx.hold(SUBNETPOOL, row["id"])
    taken = IPSet(cidr for cidr, _ in _taken(tx, row["id"]))
    wanted = [
        one
        for one in subnet.of_network(tx, network_id)
        if one["ip_version"] == row["ip_version"] and one["subnetpool_id"] != PREFIX_DELEGATION
    ]
    for one in wanted:
        if not taken.isdisjoint(IPSet([one["cidr"]])):
            raise errors.IllegalSubnetPoolUpdate(
                reason=f"Onboarding subnet {one['id']}: {one['cidr']} conflicts with allocated prefixes in subnet pool {row['id']}"
            )
    if wanted:
        SUBNETPOOL.strategy.update(tx, row, {"prefixes": [*row["prefixes"], *(one["cidr"] for one in wanted)]})
    for one in wanted:
        tx.update(subnet.SUBNET, one, {**one, "subnetpool_id": row["id"]})
    return [{"id": one["id"], "cidr": one["cidr"]} for one in wanted]


SUBNETPOOL: Resource = Resource(
    member="subnetpool",
    collection="subnetpools",
    attributes=ATTRIBUTES,
    table=SUBNETPOOLS,
    strategy=SubnetPoolStrategy(),
    not_found=errors.SubnetPoolNotFound,
    actions=(
        Action("add_prefixes", add_prefixes, policy="add_prefixes"),
        Action("remove_prefixes", remove_prefixes, policy="remove_prefixes"),
        Action("onboard_network_subnets", onboard_network_subnets, policy="onboard_network_subnets"),
    ),
    bulk=True,
    tags=True,
    quota="subnetpool",
    visible_by_rbac=(access.SHARED,),
    shims=("subnet_onboard", "subnetpool-prefix-ops"),
)
