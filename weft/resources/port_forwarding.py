"""Port forwardings: single ports of a floating IP that lead to ports of different hosts inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    Select,
    String,
    Table,
    and_,
    case,
    literal,
    or_,
    select,
)

from weft import errors
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_rule as rule
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Parent, Resource, Row
from weft.registry.strategy import Filter, Strategy
from weft.resources import floatingip, router
from weft.resources.floatingip import FLOATINGIP, FLOATINGIPS, NOWHERE
from weft.resources.port import PORT
from weft.store.schema import ID, METADATA, identity, json_array, json_object
from weft.store.transaction import Transaction

PORT_FORWARDINGS = Table(
    "port_forwardings",
    METADATA,
    *identity(),
    Column("floatingip_id", ID, ForeignKey("floatingips.id"), nullable=False, index=True),
    Column("protocol", String(16), nullable=False),
    Column("external_port", Integer),
    Column("external_port_range", String(11)),
    Column("internal_port", Integer),
    Column("internal_port_range", String(11)),
    Column("internal_ip_address", String(45), nullable=False),
    Column("internal_port_id", ID, ForeignKey("ports.id"), nullable=False),
    Column("interface_port_id", ID, ForeignKey("ports.id"), nullable=False, index=True),
    Column("description", String(1024), nullable=False, default=""),
    Index("ix_port_forwardings_internal", "internal_port_id", "internal_ip_address", "protocol"),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute(
        "project_id", t.project_id, default=REQUIRED, put=False, visible=False, filter=False, required_by_policy=True
    ),
    Attribute("external_port", t.port_number_or_none, default=None, sort=True),
    Attribute("internal_port", t.port_number_or_none, default=None, filter=False),
    Attribute("internal_ip_address", addresses.ip, default=REQUIRED, filter=False),
    Attribute("protocol", rule.port_protocol, default=REQUIRED, sort=True),
    Attribute("internal_port_id", t.uuid, default=REQUIRED, sort=True),
    Attribute("description", t.long_description, default="", extension="floating-ip-port-forwarding-description"),
    Attribute(
        "external_port_range",
        rule.port_range_or_none,
        default=None,
        sort=True,
        extension="floating-ip-port-forwarding-port-ranges",
    ),
    Attribute(
        "internal_port_range",
        rule.port_range_or_none,
        default=None,
        filter=False,
        extension="floating-ip-port-forwarding-port-ranges",
    ),
    read_only("tenant_id", t.project_id, visible=False, filter=False, required_by_policy=True),
)


WITHOUT_PORTS = ("icmp", "ipv6-icmp")
"""Protocols that are forwarded as a whole."""

Span = tuple[int, int]


class PortForwardingStrategy(Strategy):
    """Port forwardings; see behaviours section 12 of the API's facts."""

    def view(self, tx: Transaction, row: Row) -> None:
        # What policy asks: a forwarding belongs to whom its floating IP belongs to.
        row["ext_parent:project_id"] = row["project_id"]

    def filters(self) -> Mapping[str, Filter]:
        return {"floating_ip_address": _no_filter("floating_ip_address"), "router_id": _no_filter("router_id")}

    def prepare(self, tx: Transaction, values: Row) -> None:
        fip = tx.get(FLOATINGIP, values["floatingip_id"])
        values["project_id"] = fip["project_id"]
        _settle_ports(values, values)
        _check(tx, fip, values)
        self.view(tx, values)

    def write(self, tx: Transaction, row: Row) -> None:
        tx.insert(self.resource, row)

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        _settle_ports(new, changes)
        _check(tx, tx.get(FLOATINGIP, old["floatingip_id"]), new)

    def write_delete(self, tx: Transaction, row: Row) -> None:
        fip = tx.get(FLOATINGIP, row["floatingip_id"], everybody=True)
        tx.delete(self.resource, row)
        if [one["id"] for one in fip["port_forwardings"]] == [row["id"]]:
            tx.update(FLOATINGIP, fip, {**fip, **NOWHERE})
        tx.touch(FLOATINGIP, fip)


def _no_filter(name: str) -> Filter:
    def clause(_tx: Transaction, _values: Sequence[Any]) -> ColumnElement[bool]:
        raise errors.PortForwardingNotSupportFilterField(filter=name)

    return clause


def _refused(reason: str) -> errors.BadRequest:
    return errors.BadRequest(resource="port_forwarding", reason=reason)


# Ports and ranges of ports.


def _settle_ports(row: Row, given: Row) -> None:
    """Bring the two ways to say a port, alone or as a range, in line; what was given last holds."""
    spans: dict[str, Span] = {}
    text: str | None
    for side in ("external", "internal"):
        single, span = f"{side}_port", f"{side}_port_range"
        if given.get(single) is not None:
            text = f"{given[single]}:{given[single]}"
            if given.get(span) not in (None, text, str(given[single])):
                raise _mismatch()
        elif single in given or span in given:
            text = given.get(span)
        else:
            text = row[span]
        spans[side] = _span(text)
        first, last = spans[side]
        row[single] = first if first == last and first else None
        row[span] = f"{first}:{last}" if first else None
    _check_lengths(row["protocol"], spans["external"], spans["internal"])


def _span(text: str | None) -> Span:
    """(first, last) of a range like 80:90 or 80; (0, 0) for none."""
    if not text:
        return 0, 0
    first, _, last = text.partition(":")
    return int(first), int(last or first)


def _check_lengths(protocol: str, external: Span, internal: Span) -> None:
    if (0, 0) in (external, internal):
        if external == internal and protocol in WITHOUT_PORTS:
            return
        raise _refused(f"Protocol {protocol} needs an external and an internal port")
    length = internal[1] - internal[0]
    if length and length != external[1] - external[0]:
        raise _mismatch()


def _mismatch() -> errors.BadRequest:
    return _refused(
        "Invalid ranges of internal and/or external ports. The relation between internal and external ports must be N-N or 1-N"
    )


# What a forwarding hangs on.


def _check(tx: Transaction, fip: Row, row: Row) -> None:
    """Raise what is wrong with the forwarding `row`; settles the way that it takes, on the floating IP as well."""
    _refuse_unforwardable(tx, row)
    if fip["port_id"]:
        raise floatingip.already_associated(fip, fip["port_id"], fip["fixed_ip_address"])
    target = tx.get(PORT, row["internal_port_id"])
    floatingip.check_target(tx, fip, target)
    _refuse_floating(tx, target, row)
    _refuse_collision(tx, row)
    way = _way(tx, fip, target, row)
    row["interface_port_id"] = way.interface_port_id
    tx.update(FLOATINGIP, fip, {**fip, "router_id": way.router_id, "gateway_port_id": way.gateway_port_id})
    tx.touch(FLOATINGIP, fip)


def _refuse_unforwardable(tx: Transaction, row: Row) -> None:
    """What no dataplane of the installation can forward."""
    first, last = _span(row["external_port_range"])
    if reason := tx.environment.unforwardable(row["protocol"], last - first + 1):
        raise _refused(reason)


def _refuse_floating(tx: Transaction, target: Row, row: Row) -> None:
    """A port that has a floating IP of its own answers by that one."""
    columns = (FLOATINGIPS.c.id, FLOATINGIPS.c.floating_ip_address)
    other = tx.first(select(*columns).where(FLOATINGIPS.c.port_id == target["id"]))
    if other:
        raise errors.PortHasBindingFloatingIP(
            floatingip_id=other.id,
            floating_ip_address=other.floating_ip_address,
            port_id=target["id"],
            fixed_ip=row["internal_ip_address"],
        )


def _way(tx: Transaction, fip: Row, target: Row, row: Row) -> router.Way:
    """The way to the internal address; all forwardings of a floating IP take one router."""
    address = row["internal_ip_address"]
    fixed = [one for one in target["fixed_ips"] if one["ip_address"] == address and ":" not in address]
    if not fixed:
        raise _refused(f"The internal IP {address} is no IPv4 address of internal port {target['id']}")
    found = router.ways(tx, fixed[0]["subnet_id"], fip["floating_network_id"])
    if not found:
        raise _refused(
            f"There is no router between internal port {target['id']} and external network {fip['floating_network_id']}"
        )
    for way in found:
        if fip["router_id"] in (None, way.router_id):
            return way
    raise _refused(
        f"Internal port {target['id']} is not reached by router {fip['router_id']} of floating IP {fip['id']}"
    )


def _refuse_collision(tx: Transaction, row: Row) -> None:
    """Two forwardings cannot lead from the same port of the floating IP, nor to the same port inside."""
    table = PORT_FORWARDINGS.c
    inside = and_(
        table.internal_port_id == row["internal_port_id"], table.internal_ip_address == row["internal_ip_address"]
    )
    statement = select(PORT_FORWARDINGS).where(
        table.protocol == row["protocol"],
        table.id != row.get("id", ""),
        or_(table.floatingip_id == row["floatingip_id"], inside),
    )
    for other in tx.all(statement):
        mine = [row["internal_port_id"], row["internal_ip_address"]]
        if other.floatingip_id == row["floatingip_id"]:
            _refuse_overlap("external_port_range", row, other)
        if [other.internal_port_id, other.internal_ip_address] == mine:
            _refuse_overlap("internal_port_range", row, other)


def _refuse_overlap(name: str, row: Row, other: Any) -> None:
    (first, last), (start, end) = _span(row[name]), _span(getattr(other, name))
    if first <= end and start <= last:
        raise _refused(
            f"There is a port collision with the {name}. The following ranges collide: {start}:{end} and {first}:{last}"
        )


# What other resources ask of port forwardings.


def brief(floatingips: Table) -> ColumnElement[Any]:
    """The attribute port_forwardings of floating IPs; ranges only where they are more than one port."""
    table = PORT_FORWARDINGS.c
    whole = {name: case((table[name.removesuffix("_range")].is_(None), table[name])) for name in RANGES}
    names = ("id", "protocol", "internal_ip_address", "internal_port_id", "internal_port", "external_port")
    parts = {**{name: table[name] for name in names}, **whole}
    one = json_object(*(part for pair in parts.items() for part in pair))
    return (
        select(json_array(one)).where(table.floatingip_id == floatingips.c.id).correlate(floatingips).scalar_subquery()
    )


RANGES = ("internal_port_range", "external_port_range")


def leading_to(port_id: str | ColumnElement[str], addresses: Sequence[str] | None = None) -> Select[Any]:
    """SELECT of (id, kind) of the forwardings to a port, or to some of its addresses."""
    table = PORT_FORWARDINGS.c
    found = select(table.id, literal("port_forwarding").label("kind")).where(table.internal_port_id == port_id)
    return found if addresses is None else found.where(table.internal_ip_address.in_(list(addresses)))


def delete_all(tx: Transaction, ids: Sequence[str]) -> None:
    """Delete forwardings whose target goes."""
    for row in tx.list(PORT_FORWARDING, PORT_FORWARDINGS.c.id.in_(list(ids))) if ids else []:
        PORT_FORWARDING.strategy.write_delete(tx, row)


PORT_FORWARDING = Resource(
    member="port_forwarding",
    collection="port_forwardings",
    attributes=ATTRIBUTES,
    table=PORT_FORWARDINGS,
    strategy=PortForwardingStrategy(),
    not_found=errors.PortForwardingNotFound,
    parent=Parent(floatingip.FLOATINGIP, "floatingip_id"),
    bulk=True,
    strict_marker=True,
    extension="floating-ip-port-forwarding",
    shims=("floating-ip-port-forwarding-detail",),
    policy_name="floatingip_port_forwarding",
    internal=("floatingip_id", "interface_port_id"),
)
