"""Local IPs: an address that on each host leads to a port there, and which ports those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, ForeignKey, Select, String, Table, delete, literal, select

from weft import errors
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Parent, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import port, standard
from weft.resources.network import NETWORK
from weft.resources.port import PORT, PORTS
from weft.store.schema import ID, METADATA, identity
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

LOCAL_IPS = Table(
    "local_ips",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False),
    Column("local_port_id", ID, ForeignKey("ports.id"), nullable=False, index=True),
    Column("network_id", ID, ForeignKey("networks.id"), nullable=False, index=True),
    Column("local_ip_address", String(45), nullable=False),
    Column("ip_mode", String(16), nullable=False),
    *standard_columns(),
)

ASSOCIATIONS = Table(
    "local_ip_associations",
    METADATA,
    Column("local_ip_id", ID, ForeignKey("local_ips.id"), primary_key=True),
    Column("fixed_port_id", ID, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("fixed_ip", String(45), nullable=False),
)

ALIAS = "local_ip"
OWNER = "network:local_ip"
"""device_owner of the port that holds the address, where it was made for that."""
TRANSLATE, PASSTHROUGH = "translate", "passthrough"

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute("description", t.description, default=""),
    *standard.project(),
    Attribute("local_port_id", t.uuid, put=False, sort=True),
    Attribute("network_id", t.uuid, put=False, sort=True),
    Attribute("local_ip_address", addresses.ip_or_none, put=False, sort=True, policy=True),
    Attribute("ip_mode", t.enum(TRANSLATE, PASSTHROUGH), default=TRANSLATE, put=False, sort=True),
    *standard.versions(),
)


class LocalIPStrategy(Strategy):
    """Local IPs; see behaviours section 15 of the API's facts."""

    def prepare(self, tx: Transaction, values: Row) -> None:
        wanted = values.get("local_ip_address")
        if values.get("local_port_id"):
            holder = tx.get(PORT, values["local_port_id"])
        elif values.get("network_id"):
            holder = _holder(tx, values, wanted)
        else:
            raise errors.LocalIPPortOrNetworkRequired()
        values["local_port_id"], values["network_id"] = holder["id"], holder["network_id"]
        values["local_ip_address"] = _address(holder, wanted)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        if tx.first(select(ASSOCIATIONS.c.fixed_port_id).where(ASSOCIATIONS.c.local_ip_id == row["id"]).limit(1)):
            raise errors.LocalIPInUse(id=row["id"])

    def settle_delete(self, tx: Transaction, row: Row) -> None:
        holder = tx.find(PORT, row["local_port_id"], everybody=True)
        if holder and holder["device_owner"] == OWNER and not tx.first(holding(holder["id"])):
            PORT.strategy.write_delete(tx, holder)


def _holder(tx: Transaction, values: Row, wanted: str | None) -> Row:
    """A port that holds the address on a network that the caller may use."""
    on = tx.get(NETWORK, values["network_id"])
    fixed = {"fixed_ips": [{"ip_address": wanted}]} if wanted else {}
    return port.create(tx, project_id=values["project_id"], network_id=on["id"], device_owner=OWNER, **fixed)


def _address(of: Row, wanted: str | None) -> str:
    """The fixed IP of a port that is meant: `wanted`, or its only one."""
    found = [fixed["ip_address"] for fixed in of["fixed_ips"]]
    if not found:
        raise errors.LocalIPNoIP(port_id=of["id"])
    if wanted and wanted not in found:
        raise errors.LocalIPRequestedIPNotFound(port_id=of["id"], ip=wanted)
    if not wanted and len(found) > 1:
        raise errors.LocalIPNoRequestedIP(port_id=of["id"])
    return wanted or str(found[0])


LOCAL_IP = Resource(
    member="local_ip",
    collection="local-ips",
    attributes=ATTRIBUTES,
    table=LOCAL_IPS,
    strategy=LocalIPStrategy(),
    not_found=errors.LocalIPNotFound,
    bulk=True,
    extension=ALIAS,
)


# Where it leads.

_ASSOCIATION: Mapping[str, Any] = {"visible": False, "filter": False, "required_by_policy": True}


def _of_local_ip(column: Column[Any]) -> ColumnElement[Any]:
    return select(column).where(LOCAL_IPS.c.id == ASSOCIATIONS.c.local_ip_id).correlate(ASSOCIATIONS).scalar_subquery()


class AssociationStrategy(Strategy):
    """A port behind a local IP. The log of changes knows it by the port's id."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        of_port = select(PORTS.c.binding_host_id).where(PORTS.c.id == ASSOCIATIONS.c.fixed_port_id)
        return {
            "local_ip_address": _of_local_ip(LOCAL_IPS.c.local_ip_address),
            "project_id": _of_local_ip(LOCAL_IPS.c.project_id),
            "host": of_port.correlate(ASSOCIATIONS).scalar_subquery(),
        }

    def view(self, tx: Transaction, row: Row) -> None:
        row["id"] = row["fixed_port_id"]
        # What policy asks: an association belongs to whom its local IP belongs to.
        row["ext_parent:project_id"] = row["project_id"]

    def prepare(self, tx: Transaction, values: Row) -> None:
        local_ip = tx.get(LOCAL_IP, values["local_ip_id"])
        target = tx.get(PORT, values["fixed_port_id"])
        values["fixed_ip"] = _address(target, values["fixed_ip"])
        values["local_ip_address"], values["project_id"] = local_ip["local_ip_address"], local_ip["project_id"]
        values["host"] = target["binding:host_id"]
        self.view(tx, values)

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if tx.first(select(ASSOCIATIONS.c.fixed_port_id).where(*_is(new))):
            raise errors.NeutronDbObjectDuplicateEntry(
                resource="LocalIPAssociation",
                attributes=["local_ip_id", "fixed_port_id"],
                values=[new["local_ip_id"], new["fixed_port_id"]],
            )

    def write_delete(self, tx: Transaction, row: Row) -> None:
        tx.execute(delete(ASSOCIATIONS).where(*_is(row)))
        tx.record(self.resource, row, "delete")


def _is(row: Row) -> tuple[ColumnElement[bool], ...]:
    columns = ASSOCIATIONS.c
    return columns.local_ip_id == row["local_ip_id"], columns.fixed_port_id == row["fixed_port_id"]


PORT_ASSOCIATION = Resource(
    member="port_association",
    collection="port_associations",
    attributes=(
        read_only("local_ip_id", t.uuid, filter=False),
        read_only("local_ip_address", addresses.ip, sort=True),
        Attribute("fixed_port_id", t.uuid, default=REQUIRED, put=False, sort=True),
        Attribute("fixed_ip", addresses.ip_or_none, default=None, put=False, sort=True),
        read_only("host", t.string(255), sort=True),
        Attribute("project_id", t.project_id, default=REQUIRED, put=False, **_ASSOCIATION),
        read_only("tenant_id", t.project_id, **_ASSOCIATION),
    ),
    table=ASSOCIATIONS,
    strategy=AssociationStrategy(),
    not_found=errors.LocalIPAssociationNotFound,
    parent=Parent(LOCAL_IP, "local_ip_id"),
    operations=frozenset({"list", "show", "create", "delete"}),
    bulk=True,
    extension=ALIAS,
    policy_name="local_ip_port_association",
    key="fixed_port_id",
)


# What others ask of local IPs.


def holding(port_id: ColumnElement[str]) -> Select[Any]:
    """SELECT of (id, kind) of the local IPs whose address is the port's."""
    return select(LOCAL_IPS.c.id, literal(ALIAS).label("kind")).where(LOCAL_IPS.c.local_port_id == port_id)


def leading_to(tx: Transaction, port_ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """(port, fixed IP, local IP, mode) of what leads to the ports, in a fixed order."""
    columns = ASSOCIATIONS.c
    statement = (
        select(columns.fixed_port_id, columns.fixed_ip, LOCAL_IPS.c.local_ip_address, LOCAL_IPS.c.ip_mode)
        .join(LOCAL_IPS, LOCAL_IPS.c.id == columns.local_ip_id)
        .where(columns.fixed_port_id.in_(list(port_ids)))
        .order_by(columns.fixed_port_id, LOCAL_IPS.c.local_ip_address, LOCAL_IPS.c.id)
    )
    return [tuple(one) for one in tx.all(statement)]
