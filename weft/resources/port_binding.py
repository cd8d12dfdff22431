"""Bindings of a port to several hosts: the active one is where it is, the others are where it may go (live migration).

The active binding stands in the port's own row, as its binding:* attributes; only the inactive ones have a table.
Rules: facts of the API, behaviours section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    Column,
    ForeignKey,
    Select,
    String,
    Table,
    delete,
    literal,
    select,
    union_all,
    update,
)

from weft import errors
from weft.registry import types as t
from weft.registry import types_network as net
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Action, Parent, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import binding, port
from weft.resources.port import PORT, PORTS
from weft.store.schema import ID, METADATA
from weft.store.transaction import Transaction

ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
MIGRATING_OWNERS = ("compute:", "manila:")
"""What device_owner of ports begins with that may be bound to several hosts."""

INACTIVE_BINDINGS = Table(
    "inactive_port_bindings",
    METADATA,
    Column("port_id", ID, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("host", String(255), primary_key=True),
    Column("vnic_type", String(64), nullable=False),
    Column("profile", JSON, nullable=False),
    Column("vif_type", String(64), nullable=False),
    Column("vif_details", JSON, nullable=False),
    Column("segment_id", ID),
)


def _bindings() -> Any:
    mine, others = PORTS.c, INACTIVE_BINDINGS.c
    active = select(
        mine.id.label("port_id"),
        mine.binding_host_id.label("host"),
        mine.binding_vnic_type.label("vnic_type"),
        mine.binding_profile.label("profile"),
        mine.binding_vif_type.label("vif_type"),
        mine.binding_vif_details.label("vif_details"),
        mine.binding_segment_id.label("segment_id"),
        literal(ACTIVE, String).label("status"),
    ).where(mine.binding_host_id != "")
    return union_all(active, select(*others, literal(INACTIVE, String).label("status"))).subquery("port_bindings")


ALIAS = "binding-extended"
_EXTENSION: Mapping[str, Any] = {"extension": ALIAS}

ATTRIBUTES = (
    Attribute("host", t.not_empty_name_string, default=REQUIRED, **_EXTENSION),
    read_only("vif_type", t.string(64), policy=True, **_EXTENSION),
    read_only("vif_details", t.anything, filter=False, policy=True, **_EXTENSION),
    Attribute("vnic_type", net.vnic_type, default="normal", policy=True, **_EXTENSION),
    Attribute("profile", t.dictionary_or_none, filter=False, policy=True, **_EXTENSION),
    read_only("status", t.string(16), **_EXTENSION),
    Attribute("project_id", t.project_id, default=REQUIRED, put=False, visible=False, filter=False, **_EXTENSION),
    read_only("tenant_id", t.project_id, visible=False, filter=False, **_EXTENSION),
)

SHOWN = tuple(attribute.name for attribute in ATTRIBUTES if attribute.visible)


class PortBindingStrategy(Strategy):
    """Bindings by host; see behaviours section 6 of the API's facts."""

    def check_parent(self, tx: Transaction, parent: Row) -> None:
        if not parent["device_owner"].startswith(MIGRATING_OWNERS):
            raise errors.BadRequest(
                resource="port",
                reason=f"Invalid port {parent['id']}. Operation only valid on compute and shared filesystem ports",
            )

    def related(self) -> Mapping[str, Callable[[Any, Row], Any]]:
        return {"project_id": lambda tx, row: _port(tx, row)["project_id"]}

    def view(self, tx: Transaction, row: Row) -> None:
        row["vif_details"] = _without_drivers(row["vif_details"])

    def create(self, tx: Transaction, values: Row) -> Row:
        of = _port(tx, values)
        _refuse_second(tx, of, values["host"])
        wanted = {
            "port_id": of["id"],
            "host": values["host"],
            "vnic_type": values["vnic_type"],
            "profile": _kept(values.get("profile")),
        }
        if not of["binding:host_id"]:
            return _change_active(tx, of, wanted)
        made = _attached(tx, of, wanted)
        tx.add(INACTIVE_BINDINGS, [made])
        tx.touch(PORT, of)
        return _shown({**made, "status": INACTIVE})

    def update(self, tx: Transaction, old: Row, changes: Row) -> Row:
        of = _port(tx, old)
        if "profile" in changes:
            changes["profile"] = _kept(changes["profile"])
        new = {**old, **changes}
        if new["host"] != old["host"]:
            _refuse_second(tx, of, new["host"])
        if old["status"] == ACTIVE:
            return _change_active(tx, of, new)
        made = _attached(tx, of, new)
        tx.execute(update(INACTIVE_BINDINGS).where(*_is(old)).values(**made))
        tx.touch(PORT, of)
        return _shown({**made, "status": INACTIVE})

    def delete(self, tx: Transaction, row: Row) -> None:
        of = _port(tx, row)
        if row["status"] == ACTIVE:
            port.change(tx, of, {"binding:host_id": "", "binding:profile": {}})
            return
        tx.execute(delete(INACTIVE_BINDINGS).where(*_is(row)))
        tx.touch(PORT, of)


def _activate(tx: Transaction, row: Row, _body: Any) -> Row:
    """The port is now on that host; where it was, it may go back to. The answer is the binding without a key around it."""
    if row["status"] == ACTIVE:
        raise errors.PortBindingAlreadyActive(port_id=row["port_id"], host=row["host"])
    of = _port(tx, row)
    # A binding that was active before has been taken apart: it is made anew.
    made = _attached(tx, of, row) if row["vif_type"] in binding.FREE else _stored(tx, row)
    tx.execute(delete(INACTIVE_BINDINGS).where(*_is(row)))
    if of["binding:host_id"]:
        left = {
            "port_id": of["id"],
            "host": of["binding:host_id"],
            "vnic_type": of["binding:vnic_type"],
            "profile": of["binding:profile"],
            "vif_type": binding.UNBOUND,
            "vif_details": {},
            "segment_id": None,
        }
        tx.add(INACTIVE_BINDINGS, [left])
    new = {**of, **{f"binding:{name}": made[name] for name in ("vnic_type", "profile", "vif_type", "vif_details")}}
    new |= {"binding:host_id": row["host"], "status": "DOWN", "status_reason": ""}
    new["binding_segment_id"] = made["segment_id"]
    port.move(tx, of, new)
    return {name: value for name, value in _shown({**made, "status": ACTIVE}).items() if name in SHOWN}


# Pieces.


def _port(tx: Transaction, row: Row) -> Row:
    return tx.once(("port of bindings", row["port_id"]), lambda: tx.get(PORT, row["port_id"], everybody=True))


def _is(row: Row) -> tuple[Any, Any]:
    return INACTIVE_BINDINGS.c.port_id == row["port_id"], INACTIVE_BINDINGS.c.host == row["host"]


def _kept(profile: Mapping[str, Any] | None) -> dict[str, Any]:
    if len(msgspec.json.encode(profile)) > binding.LARGEST_PROFILE:
        raise errors.InvalidInput(reason="binding:profile value too large")
    return dict(profile or {})


def _refuse_second(tx: Transaction, of: Row, host: str) -> None:
    if tx.find(PORT_BINDING, host, everybody=True, parent_id=of["id"]):
        raise errors.PortBindingAlreadyExists(port_id=of["id"], host=host)


def _stored(tx: Transaction, row: Row) -> Row:
    """The inactive binding as its table has it, with what the API does not show."""
    found = tx.first(select(INACTIVE_BINDINGS).where(*_is(row)))
    if found is None:
        raise PORT_BINDING.missing(row["host"], row["port_id"])
    return dict(found._mapping)


def _attached(tx: Transaction, of: Row, wanted: Row) -> Row:
    """The binding that `wanted` asks for, as the table keeps it. Raises PortBindingError where there can be none."""
    asked = {f"binding:{name}": wanted[name] for name in ("vnic_type", "profile")}
    found = binding.attempt(tx, {**of, **asked, "binding:host_id": wanted["host"]})
    if found.vif_type in binding.FREE:
        raise errors.PortBindingError(port_id=of["id"], host=wanted["host"], reason=found.reason)
    names = ("port_id", "host", "vnic_type", "profile")
    attached = {"vif_type": found.vif_type, "vif_details": found.vif_details, "segment_id": found.segment_id}
    return {**{name: wanted[name] for name in names}, **attached}


def _change_active(tx: Transaction, of: Row, wanted: Row) -> Row:
    """Bind the port itself as `wanted` says."""
    asked = {f"binding:{name}": wanted[name] for name in ("vnic_type", "profile")}
    now = port.change(tx, of, {**asked, "binding:host_id": wanted["host"]})
    if now["binding:vif_type"] in binding.FREE:
        raise errors.PortBindingError(port_id=of["id"], host=wanted["host"], reason=now["status_reason"])
    shown = {name: now[f"binding:{name}"] for name in ("vnic_type", "profile", "vif_type", "vif_details")}
    return _shown({"port_id": of["id"], "host": wanted["host"], "status": ACTIVE, **shown})


def _shown(row: Row) -> Row:
    return {**row, "vif_details": _without_drivers(row["vif_details"])}


def _without_drivers(details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if name != "bound_drivers"}


# What ports and segments ask of inactive bindings.


def ports_ready_for(segment_id: str) -> Select[Any]:
    """SELECT of the ports with an inactive binding to a segment."""
    return select(INACTIVE_BINDINGS.c.port_id).where(INACTIVE_BINDINGS.c.segment_id == segment_id)


def forget(tx: Transaction, port_id: str, host: str) -> None:
    """The port itself is on that host now."""
    tx.execute(delete(INACTIVE_BINDINGS).where(*_is({"port_id": port_id, "host": host})))


PORT_BINDING = Resource(
    member="binding",
    collection="bindings",
    attributes=ATTRIBUTES,
    table=_bindings(),
    strategy=PortBindingStrategy(),
    not_found=errors.PortBindingNotFound,
    parent=Parent(PORT, "port_id"),
    actions=(Action("activate", _activate, policy="activate", needs_body=False),),
    extension=ALIAS,
    policy_name="port_binding",
    update_rule="create_port_binding",
    key="host",
    internal=("port_id",),
)
