"""RBAC policies: with whom an object is shared, and what for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import Select, select

from weft import errors
from weft.registry import types as t
from weft.registry import types_network as net
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import standard
from weft.store import access
from weft.store.access import EVERYBODY, EXTERNAL, SHARED
from weft.store.transaction import Transaction

ALIAS = "rbac-policies"
ENTRIES = access.RBAC_ENTRIES.c

OBJECT_TYPE = replace(net.rbac_object_type, schema={"enum": [*net.RBAC_OBJECT_TYPES, None]})
"""The API gives it the default null, and refuses that."""

ATTRIBUTES = (
    read_only("id", t.uuid, primary_key=True, extension=ALIAS),
    Attribute("object_type", OBJECT_TYPE, default=None, put=False, policy=True, extension=ALIAS),
    Attribute("object_id", t.uuid, default=REQUIRED, put=False, policy=True, extension=ALIAS),
    Attribute("target_tenant", net.rbac_target, default=REQUIRED, policy=True, extension=ALIAS),
    Attribute("action", t.string(255), default=REQUIRED, put=False, policy=True, extension=ALIAS),
    *standard.project(sort=False, extension=ALIAS),
)

Users = Callable[[str], Sequence[Select[Any]]]
"""Id of an object -> SELECTs of the projects that use it by virtue of an action."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of object that can be shared: `users` by action, in the order in which messages name the actions."""

    resource: Resource
    users: Mapping[str, Users]


class RbacPolicyStrategy(Strategy):
    """RBAC policies; see behaviours section 9 of the API's facts."""

    def prepare(self, tx: Transaction, values: Row) -> None:
        kind = _kind(values["object_type"])
        if values["action"] not in kind.users:
            raise errors.InvalidActionForType(
                action=values["action"], object_type=values["object_type"], valid=tuple(kind.users)
            )
        _own_object(tx, values)

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is not None and new["target_tenant"] == old["target_tenant"]:
            return
        _refuse_duplicate(tx, new)
        _check_scope_of_pool(tx, new)
        if old is not None:
            _own_object(tx, old)
            _refuse_loss(tx, old, new["target_tenant"])

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        _refuse_loss(tx, row, None)

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is None or new["target_tenant"] != old["target_tenant"]:
            _tell(tx, new)

    def settle_delete(self, tx: Transaction, row: Row) -> None:
        _tell(tx, row)


@cache
def kinds() -> Mapping[str, Kind]:
    """What can be shared."""
    # These share their objects through this module: they import it.
    from weft.resources.address_group import ADDRESS_GROUP
    from weft.resources.address_scope import ADDRESS_SCOPE
    from weft.resources.network import NETWORK
    from weft.resources.port import PORTS
    from weft.resources.qos_policy import POLICY, users
    from weft.resources.router import ROUTERS
    from weft.resources.router_gateway import EXTRA_GATEWAYS
    from weft.resources.security_group import PORT_BINDINGS, SECURITY_GROUP
    from weft.resources.security_group_rule import RULES
    from weft.resources.subnet import SUBNETS
    from weft.resources.subnetpool import SUBNETPOOL, SUBNETPOOLS

    def on_network(id: str) -> Sequence[Select[Any]]:
        ports = select(PORTS.c.project_id).where(PORTS.c.network_id == id, PORTS.c.device_owner.not_in(OF_GATEWAYS))
        return ports, select(SUBNETS.c.project_id).where(SUBNETS.c.network_id == id)

    def through_network(id: str) -> Sequence[Select[Any]]:
        first = ROUTERS.join(PORTS, ROUTERS.c.gw_port_id == PORTS.c.id)
        extra = ROUTERS.join(EXTRA_GATEWAYS, EXTRA_GATEWAYS.c.router_id == ROUTERS.c.id).join(
            PORTS, EXTRA_GATEWAYS.c.port_id == PORTS.c.id
        )
        using = select(ROUTERS.c.project_id).where(PORTS.c.network_id == id)
        return using.select_from(first), using.select_from(extra)

    def in_group(id: str) -> Sequence[Select[Any]]:
        members = PORTS.join(PORT_BINDINGS, PORT_BINDINGS.c.port_id == PORTS.c.id)
        return (select(PORTS.c.project_id).select_from(members).where(PORT_BINDINGS.c.security_group_id == id),)

    def referring(id: str) -> Sequence[Select[Any]]:
        return (select(RULES.c.project_id).where(RULES.c.remote_address_group_id == id),)

    def in_scope(id: str) -> Sequence[Select[Any]]:
        return (select(SUBNETPOOLS.c.project_id).where(SUBNETPOOLS.c.address_scope_id == id),)

    def from_pool(id: str) -> Sequence[Select[Any]]:
        return (select(SUBNETS.c.project_id).where(SUBNETS.c.subnetpool_id == id),)

    return {
        "network": Kind(NETWORK, {SHARED: on_network, EXTERNAL: through_network}),
        "security_group": Kind(SECURITY_GROUP, {SHARED: in_group}),
        "address_group": Kind(ADDRESS_GROUP, {SHARED: referring}),
        "address_scope": Kind(ADDRESS_SCOPE, {SHARED: in_scope}),
        "subnetpool": Kind(SUBNETPOOL, {SHARED: from_pool}),
        "qos_policy": Kind(POLICY, {SHARED: users}),
    }


OF_GATEWAYS = ("network:router_gateway", "network:floatingip")
"""device_owner of ports that use a network as an external one."""


def _kind(object_type: str | None) -> Kind:
    found = kinds().get(object_type or "")
    if found is None:
        raise errors.InvalidInput(reason=f"'{object_type}' is not a valid RBAC object type")
    return found


def _object(tx: Transaction, policy: Row, *, everybody: bool = True) -> Row | None:
    return tx.find(_kind(policy["object_type"]).resource, policy["object_id"], everybody=everybody)


def _own_object(tx: Transaction, policy: Row) -> None:
    """Objects are shared by their owner or an administrator. What is wrong with the object is the policy's fault: 400."""
    found = _object(tx, policy, everybody=False)
    if found is None:
        reason = _kind(policy["object_type"]).resource.not_found(id=policy["object_id"]).message
        raise errors.InvalidInput(reason=reason.rstrip("."))
    if not tx.context.is_admin and found["project_id"] != tx.context.project_id:
        raise errors.InvalidInput(reason="Only admins can manipulate policies on objects they do not own")


def _same(policy: Row) -> list[Any]:
    """WHERE: policies that grant the same action on the same object."""
    return [ENTRIES.object_id == policy["object_id"], ENTRIES.action == policy["action"]]


def _refuse_duplicate(tx: Transaction, policy: Row) -> None:
    if tx.first(select(ENTRIES.id).where(*_same(policy), ENTRIES.target_tenant == policy["target_tenant"])):
        raise errors.DuplicateRbacPolicy


def _check_scope_of_pool(tx: Transaction, policy: Row) -> None:
    """Who may use a subnet pool must be able to see its address scope."""
    if policy["object_type"] != "subnetpool":
        return
    from weft.resources.address_scope import ADDRESS_SCOPES

    pool = _object(tx, policy) or {}
    scope, target = pool.get("address_scope_id"), policy["target_tenant"]
    if scope is None:
        return
    granted = select(ENTRIES.id).where(
        ENTRIES.object_id == scope, ENTRIES.action == SHARED, ENTRIES.target_tenant.in_([target, EVERYBODY])
    )
    own = select(ADDRESS_SCOPES.c.id).where(ADDRESS_SCOPES.c.id == scope, ADDRESS_SCOPES.c.project_id == target)
    if not tx.first(granted) and not tx.first(own):
        raise errors.InvalidInput(
            reason=f"project {target} has no access to address scope {scope}, which subnet pool {pool['id']} belongs to"
        )


# Taking access away.


def needed(
    tx: Transaction, object_type: str, row: Row, action: str, losing: str = EVERYBODY, gaining: str = ""
) -> bool:
    """Somebody uses the object who could not if the policy for `losing` went and one for `gaining` came."""
    if losing == row["project_id"]:
        return False
    policies = select(ENTRIES.target_tenant).where(*_same({"object_id": row["id"], "action": action}))
    left = {one[0] for one in tx.all(policies)} - {losing}
    if EVERYBODY in left:
        return False
    able = {*left, row["project_id"], gaining, ""}
    for users in kinds()[object_type].users[action](row["id"]):
        owner = users.selected_columns[0]
        lost = users.where(owner.not_in(sorted(able)))
        if losing != EVERYBODY:
            lost = lost.where(owner == losing)
        if tx.first(lost.limit(1)):
            return True
    return False


def _refuse_loss(tx: Transaction, policy: Row, gaining: str | None) -> None:
    """`gaining`: whom the policy is for from now on. Clients expect that this makes up for the loss of an external network,
    but for no other loss, unless it is everybody."""
    found = _object(tx, policy)
    if found is None or gaining == EVERYBODY:
        return
    losing, action = policy["target_tenant"], policy["action"]
    if action == EXTERNAL and losing == EVERYBODY and found["is_default"]:
        raise errors.RbacPolicyInUse(
            object_id=found["id"], reason="Default external networks must be shared to everyone."
        )
    if needed(tx, policy["object_type"], found, action, losing, gaining or "" if action == EXTERNAL else ""):
        who = "Projects without a policy of their own use" if losing == EVERYBODY else f"Project {losing} uses"
        raise errors.RbacPolicyInUse(object_id=found["id"], reason=f"{who} this {policy['object_type']}.")


def _tell(tx: Transaction, policy: Row) -> None:
    """The object after one of its policies came or went: its revision, and whether a network leads outside."""
    found = _object(tx, policy)
    if found is None:
        return
    resource = _kind(policy["object_type"]).resource
    if policy["object_type"] != "network":
        tx.hold(resource, found["id"])
        return
    new = dict(found)
    if policy["action"] == EXTERNAL:
        new["router:external"] = tx.first(select(ENTRIES.id).where(*_same(policy)).limit(1)) is not None
    tx.update(resource, found, new)
    tx.touch(resource, new)


# What other resources ask: the attribute `shared`.


def share(tx: Transaction, object_type: str, row: Row, action: str = SHARED) -> None:
    """Open the object to everybody by an RBAC policy of its owner."""
    policy = {
        "project_id": row["project_id"],
        "object_type": object_type,
        "object_id": row["id"],
        "target_tenant": EVERYBODY,
        "action": action,
    }
    if not tx.first(select(ENTRIES.id).where(*_same(policy), ENTRIES.target_tenant == EVERYBODY)):
        tx.insert(RBAC_POLICY, policy)


def withdraw(tx: Transaction, row: Row, action: str = SHARED, *, everybody_only: bool = True) -> None:
    """Delete the policy that opens the object to everybody, or all that grant the action on it."""
    clauses = _same({"object_id": row["id"], "action": action})
    if everybody_only:
        clauses.append(ENTRIES.target_tenant == EVERYBODY)
    for policy in tx.list(RBAC_POLICY, *clauses, everybody=True):
        tx.delete(RBAC_POLICY, policy)


RBAC_POLICY: Resource = Resource(
    member="rbac_policy",
    collection="rbac-policies",
    attributes=ATTRIBUTES,
    table=access.RBAC_ENTRIES,
    strategy=RbacPolicyStrategy(),
    not_found=errors.RbacPolicyNotFound,
    bulk=True,
    pagination=False,
    quota=access.QUOTA,
    extension=ALIAS,
    shims=("rbac-address-group", "rbac-address-scope", "rbac-security-groups", "rbac-subnetpool"),
)
