"""Trunks: one port that carries several networks, told apart by VLAN tags; each tag is a sub-port.

A sub-port is an ordinary port of its network. While it is part of a trunk it has device_owner trunk:subport, the trunk's id
as device_id, and is bound to the host of the parent port. Our dataplanes follow what the database says at any time, so
trunks are made, changed and taken away while their parent is bound. Rules: facts of the API, behaviours section 14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    Select,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    case,
    delete,
    exists,
    literal,
    or_,
    select,
    update,
)

from weft import errors
from weft.registry import types as t
from weft.registry import types_network as net
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Action, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import network, port, standard
from weft.resources.port import PORT, PORTS
from weft.store.schema import ID, METADATA, identity, json_array, json_object
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

TRUNKS = Table(
    "trunks",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("port_id", ID, ForeignKey("ports.id"), nullable=False, unique=True),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("status", String(16), nullable=False, default="DOWN"),
    Column("status_reason", String(255), nullable=False, default=""),
    *standard_columns(),
)

SUB_PORTS = Table(
    "trunk_sub_ports",
    METADATA,
    Column("port_id", ID, ForeignKey("ports.id"), primary_key=True),
    Column("trunk_id", ID, ForeignKey("trunks.id", ondelete="CASCADE"), nullable=False),
    Column("segmentation_type", String(32), nullable=False),
    Column("segmentation_id", Integer, nullable=False),
    UniqueConstraint("trunk_id", "segmentation_type", "segmentation_id"),
)

ALIAS = "trunk"
ACTIVE, DOWN, DEGRADED, ERROR = "ACTIVE", "DOWN", "DEGRADED", "ERROR"
VLAN, INHERIT = "vlan", "inherit"
"""segmentation_type: a VLAN tag; the one of the sub-port's own provider network."""
TAGS = range(1, 4095)
SUB_PORT_OWNER = "trunk:subport"

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    *standard.project(),
    Attribute("port_id", t.uuid, default=REQUIRED, put=False, sort=True, required_by_policy=True),
    Attribute("admin_state_up", t.boolean, default=True, sort=True),
    read_only("status", t.string(16), sort=True),
    read_only("status_reason", t.string(255), filter=False, extension="status-reason"),
    Attribute("sub_ports", net.sub_ports, default=[], put=False, filter=False, policy=True),
    *standard.stamps(),
)

_IDENTITY = ("port_id", "segmentation_type", "segmentation_id")


class TrunkStrategy(Strategy):
    """Trunks; see behaviours section 14 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        one = json_object(*(part for name in _IDENTITY for part in (name, SUB_PORTS.c[name])))
        mine = select(json_array(one)).where(SUB_PORTS.c.trunk_id == TRUNKS.c.id)
        return {"sub_ports": mine.correlate(TRUNKS).scalar_subquery()}

    def view(self, tx: Transaction, row: Row) -> None:
        row["sub_ports"].sort(key=_by_tag)

    def prepare(self, tx: Transaction, values: Row) -> None:
        parent = tx.get(PORT, values["port_id"])
        values["id"] = str(uuid4())
        values["status"], values["status_reason"] = DOWN, ""
        _refuse_part(tx, [parent["id"]])
        asked, values["sub_ports"] = values["sub_ports"], []
        values["sub_ports"] = sorted(_complete(tx, values, parent, asked), key=_by_tag)

    def write(self, tx: Transaction, row: Row) -> None:
        parent = tx.get(PORT, row["port_id"], everybody=True)
        tx.insert(self.resource, row)
        _take_in(tx, row, parent, row["sub_ports"])
        tx.touch(PORT, parent)

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        if new["admin_state_up"] != old["admin_state_up"]:
            new |= _judged(tx, [new])[new["id"]]

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        _refuse_disabled(row)

    def write_delete(self, tx: Transaction, row: Row) -> None:
        _let_go(tx, [one["port_id"] for one in row["sub_ports"]])
        tx.delete(self.resource, row)
        tx.touch(PORT, tx.get(PORT, row["port_id"], everybody=True))


def _by_tag(sub: Mapping[str, Any]) -> tuple[str, int]:
    return sub["segmentation_type"], sub["segmentation_id"]


# Actions on sub-ports. Their answers are the trunk without a key around it.


def _add(tx: Transaction, row: Row, body: Any) -> Row:
    asked = _read(body)
    _refuse_disabled(row)
    if row["status"] == ERROR:
        raise errors.TrunkInErrorState(id=row["id"])
    parent = tx.get(PORT, row["port_id"], everybody=True)
    come = _complete(tx, row, parent, asked)
    new = {**row, "sub_ports": sorted([*row["sub_ports"], *come], key=_by_tag)}
    if come:
        new["status"], new["status_reason"] = DOWN, "its sub-ports have changed"
    _take_in(tx, new, parent, come)
    return _changed(tx, row, new)


def _remove(tx: Transaction, row: Row, body: Any) -> Row:
    asked = [one["port_id"] for one in _read(body)]
    _refuse_disabled(row)
    mine = {one["port_id"] for one in row["sub_ports"]}
    for id in asked:
        if id not in mine:
            raise errors.SubPortNotFound(port_id=id, trunk_id=row["id"])
    new = {**row, "sub_ports": [one for one in row["sub_ports"] if one["port_id"] not in asked]}
    _let_go(tx, asked)
    new |= _judged(tx, [new])[new["id"]]
    return _changed(tx, row, new)


def _get(_tx: Transaction, row: Row, _body: Any) -> Row:
    return {"sub_ports": row["sub_ports"]}


def _changed(tx: Transaction, old: Row, new: Row) -> Row:
    tx.update(TRUNK, old, new)
    if new["sub_ports"] != old["sub_ports"]:
        tx.touch(TRUNK, new)
        tx.touch(PORT, tx.get(PORT, new["port_id"], everybody=True))
    return {**{name: new[name] for name in TRUNK.shown if name in new}, "tenant_id": new["project_id"]}


def _read(body: Any) -> list[Row]:
    """The sub-ports of an action's body."""
    if not isinstance(body, dict) or "sub_ports" not in body:
        raise errors.InvalidInput(reason="sub_ports are missing in the request body")
    found = net.sub_ports.convert(body["sub_ports"])
    reason = net.sub_ports.validate(found)
    if reason is not None:
        raise errors.InvalidInput(reason=reason)
    return list(found)


def _refuse_disabled(row: Row) -> None:
    if not row["admin_state_up"]:
        raise errors.TrunkDisabled(id=row["id"])


# What may become a sub-port.


def _complete(tx: Transaction, trunk: Row, parent: Row, asked: Sequence[Row]) -> list[Row]:
    """Further sub-ports of a trunk as wished, each with its tag; or the fault why one may not be."""
    rows = {row["id"]: row for row in tx.list(PORT, PORTS.c.id.in_([one["port_id"] for one in asked]), everybody=False)}
    for one in asked:
        if one["port_id"] not in rows:
            raise errors.PortNotFound(id=one["port_id"])
        if one["port_id"] == parent["id"]:
            raise errors.ParentPortInUse(port_id=parent["id"])
    ids = {row["network_id"] for row in rows.values()} | {parent["network_id"]}
    networks = {one["id"]: one for one in tx.list(network.NETWORK, network.NETWORKS.c.id.in_(sorted(ids)))}
    most = networks[parent["network_id"]]["mtu"]
    found = []
    for one in asked:
        row = rows[one["port_id"]]
        on = networks[row["network_id"]]
        if on["mtu"] > most:
            raise errors.SubPortMtuGreaterThanTrunkPortMtu(
                port_mtu=on["mtu"], port_id=row["id"], trunk_mtu=most, trunk_id=trunk["id"]
            )
        found.append({"port_id": row["id"], **_tag(one, on)})
    _refuse_part(tx, list(rows))
    for row in rows.values():
        if row["device_id"]:
            raise errors.PortInUse(id=row["id"], network_id=row["network_id"], device_id=row["device_id"])
    if len({_by_tag(one) for one in found}) < len(found):
        raise errors.InvalidInput(reason="two sub-ports of the request have the same segmentation")
    _refuse_taken(trunk, found)
    return found


def _tag(asked: Row, on: Row) -> Row:
    """Type and id of a sub-port's segmentation on the wire of its parent; `on` is its own network."""
    kind, number = asked.get("segmentation_type"), asked.get("segmentation_id")
    if kind == INHERIT:
        kind, number = on.get("provider:network_type"), on.get("provider:segmentation_id")
        if kind != VLAN:
            raise errors.InvalidInput(
                reason=f"sub-port {asked['port_id']} cannot inherit the segmentation of a network of type {kind}"
            )
    if kind is None or number is None:
        raise errors.InvalidInput(
            reason=f"Invalid subport details of port {asked['port_id']}: missing segmentation information. "
            "Must specify both segmentation_id and segmentation_type"
        )
    if kind != VLAN:
        raise errors.InvalidInput(reason=f"Unknown segmentation_type '{kind}'")
    if number not in TAGS:
        raise errors.InvalidInput(reason=f"Segmentation ID '{number}' is not in range")
    return {"segmentation_type": kind, "segmentation_id": number}


def _refuse_part(tx: Transaction, ports: Sequence[str]) -> None:
    """Raise the fault if one of the ports is part of a trunk already."""
    taken = tx.first(select(SUB_PORTS.c.port_id).where(SUB_PORTS.c.port_id.in_(ports)))
    if taken:
        raise errors.TrunkPortInUse(port_id=taken[0])
    taken = tx.first(select(TRUNKS.c.port_id).where(TRUNKS.c.port_id.in_(ports)))
    if taken:
        raise errors.ParentPortInUse(port_id=taken[0])


def _refuse_taken(trunk: Row, come: Sequence[Row]) -> None:
    present = {_by_tag(one) for one in trunk["sub_ports"]}
    for one in come:
        if _by_tag(one) in present:
            raise errors.DuplicateSubPort(
                segmentation_type=one["segmentation_type"],
                segmentation_id=one["segmentation_id"],
                trunk_id=trunk["id"],
            )


# Sub-ports come and go.


def _take_in(tx: Transaction, trunk: Row, parent: Row, come: Sequence[Row]) -> None:
    if not come:
        return
    tx.add(SUB_PORTS, [{**one, "trunk_id": trunk["id"]} for one in come])
    host = parent["binding:host_id"]
    for row in tx.list(PORT, PORTS.c.id.in_([one["port_id"] for one in come])):
        owned = {"device_owner": SUB_PORT_OWNER, "device_id": trunk["id"], "binding:host_id": host}
        port.change(tx, row, owned)


def _let_go(tx: Transaction, ids: Sequence[str]) -> None:
    tx.execute(delete(SUB_PORTS).where(SUB_PORTS.c.port_id.in_(ids)))
    for row in tx.list(PORT, PORTS.c.id.in_(ids)):
        port.change(tx, row, {"device_owner": "", "device_id": "", "binding:host_id": ""})


# What a trunk's status is: it follows from those of its ports.


def _judged(tx: Transaction, trunks: Sequence[Row]) -> dict[str, Row]:
    """id -> status and status_reason of trunks as their ports are now."""
    ids = [row["id"] for row in trunks]
    parents = select(TRUNKS.c.id, PORTS.c.status, PORTS.c.status_reason, PORTS.c.binding_host_id)
    joined = parents.join(PORTS, PORTS.c.id == TRUNKS.c.port_id).where(TRUNKS.c.id.in_(ids))
    above = {row.id: row for row in tx.all(joined)}
    parts = select(SUB_PORTS.c.trunk_id, PORTS.c.id, PORTS.c.status, PORTS.c.status_reason)
    joined = parts.join(PORTS, PORTS.c.id == SUB_PORTS.c.port_id).where(SUB_PORTS.c.trunk_id.in_(ids))
    below = tx.all(joined.order_by(SUB_PORTS.c.segmentation_id))
    found = {}
    for row in trunks:
        mine = [one for one in below if one.trunk_id == row["id"]]
        status, reason = _judge(row["admin_state_up"], above[row["id"]], mine)
        found[row["id"]] = {"status": status, "status_reason": reason[:255]}
    return found


def _judge(enabled: bool, parent: Any, parts: Sequence[Any]) -> tuple[str, str]:
    if not enabled:
        return DOWN, "the trunk is administratively down"
    if parent.status != ACTIVE:
        reason = parent.status_reason or ("it is bound to no host" if not parent.binding_host_id else "")
        return DOWN, f"its parent port is {parent.status}" + (f": {reason}" if reason else "")
    down = [one for one in parts if one.status != ACTIVE]
    if not down:
        return ACTIVE, ""
    reason = f"sub-port {down[0].id} is {down[0].status}: {down[0].status_reason}".removesuffix(": ")
    return (DEGRADED if len(down) < len(parts) else DOWN), reason


def refresh(tx: Transaction, ports: Iterable[str]) -> None:
    """The status of these ports has moved: so may have that of the trunks that they are part of."""
    ids = sorted(ports)
    parts = select(SUB_PORTS.c.trunk_id).where(SUB_PORTS.c.port_id.in_(ids))
    rows = tx.list(TRUNK, or_(TRUNKS.c.port_id.in_(ids), TRUNKS.c.id.in_(parts))) if ids else []
    judged = _judged(tx, rows) if rows else {}
    for row in rows:
        new = {**row, **judged[row["id"]]}
        if new != row:
            values = {**judged[row["id"]], "updated_at": tx.now, "revision_number": row["revision_number"] + 1}
            tx.execute(update(TRUNKS).where(TRUNKS.c.id == bindparam("row_id")), {"row_id": row["id"], **values})
            tx.record(TRUNK, {**new, **values}, "status", row)


# What ports ask of trunks.


def parts_of_parent() -> ColumnElement[Any]:
    """SQL: the trunk that a port is the parent of, as rows of its sub-ports; one without any for a trunk that has none.

    NULL for other ports, which are many: a look into one index each."""
    sub = PORTS.alias()
    names = ("segmentation_type", "segmentation_id", "port_id")
    one = json_object(
        "trunk_id", TRUNKS.c.id,
        "mac_address", sub.c.mac_address,
        *(part for name in names for part in (name, SUB_PORTS.c[name])),
    )  # fmt: skip
    joined = TRUNKS.outerjoin(SUB_PORTS, SUB_PORTS.c.trunk_id == TRUNKS.c.id).outerjoin(
        sub, sub.c.id == SUB_PORTS.c.port_id
    )
    mine = select(json_array(one)).select_from(joined).where(TRUNKS.c.port_id == PORTS.c.id)
    return case((exists().where(TRUNKS.c.port_id == PORTS.c.id), mine.correlate(PORTS).scalar_subquery()))


def details(parts: Sequence[Row]) -> Row:
    """The attribute trunk_details of a parent port, from what `parts_of_parent` found."""
    subs = [{name: value for name, value in one.items() if name != "trunk_id"} for one in parts if one["port_id"]]
    return {"trunk_id": parts[0]["trunk_id"], "sub_ports": sorted(subs, key=_by_tag)}


def parts(tx: Transaction, ports: Sequence[str]) -> dict[str, tuple[str, int, bool]]:
    """Sub-port -> (parent port, tag, whether the trunk is enabled), of those of the ports that are one."""
    mine, above = SUB_PORTS.c, TRUNKS.c
    columns = (mine.port_id, above.port_id.label("parent"), mine.segmentation_id.label("tag"), above.admin_state_up)
    joined = select(*columns).join(TRUNKS, above.id == mine.trunk_id).where(mine.port_id.in_(ports))
    return {row.port_id: (row.parent, row.tag, row.admin_state_up) for row in tx.all(joined)}


def sub_ports(tx: Transaction, trunks: Iterable[str]) -> set[str]:
    """The sub-ports of some trunks."""
    statement = select(SUB_PORTS.c.port_id).where(SUB_PORTS.c.trunk_id.in_(sorted(trunks)))
    return {row[0] for row in tx.all(statement)}


def follow(tx: Transaction, parent: Row) -> None:
    """The parent port is on another host, or on none: its sub-ports go with it."""
    details = parent["trunk_details"]
    for row in tx.list(PORT, PORTS.c.id.in_([one["port_id"] for one in details["sub_ports"]])):
        port.change(tx, row, {"binding:host_id": parent["binding:host_id"]})
    refresh(tx, [parent["id"]])


def refuse_deletion(row: Row) -> None:
    """Raise the fault if the port is the parent of a trunk."""
    if "trunk_details" in row:
        raise errors.PortInUseAsTrunkParent(port_id=row["id"], trunk_id=row["trunk_details"]["trunk_id"])


SUB_PORT = "sub-port"


def having(port: ColumnElement[str]) -> Select[Any]:
    """SELECT of (id, kind) of the trunk of which the port is a sub-port."""
    return select(SUB_PORTS.c.trunk_id, literal(SUB_PORT).label("kind")).where(SUB_PORTS.c.port_id == port)


_Run = Callable[[Any, Row, Any], Any]
_ACTIONS: Sequence[tuple[str, str, _Run]] = (
    ("add_subports", "PUT", _add),
    ("remove_subports", "PUT", _remove),
    ("get_subports", "GET", _get),
)

TRUNK = Resource(
    member="trunk",
    collection="trunks",
    attributes=ATTRIBUTES,
    table=TRUNKS,
    strategy=TrunkStrategy(),
    not_found=errors.TrunkNotFound,
    actions=tuple(Action(name, run, method=method, policy=name) for name, method, run in _ACTIONS),
    tags=True,
    quota="trunk",
    extension=ALIAS,
)
