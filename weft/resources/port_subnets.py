"""What subnets ask of ports: who holds one back, who has addresses in it, who gets one."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select

from weft.ipam import allocate
from weft.ipam.allocate import ALLOCATIONS
from weft.registry.resource import Row
from weft.resources import network, port_addresses, routed
from weft.resources.port import PORT, PORTS
from weft.store.transaction import Transaction


def uses_subnet(tx: Transaction, of: Row, *, ignore_auto: bool) -> bool:
    """A port keeps the subnet from being deleted: a router's always, a workload's unless it made up its address itself. On
    a routed network also then if it has no other: it could not get one of another segment."""
    lasting: ColumnElement[bool] = PORTS.c.device_owner.not_in(network.AUTO_DELETED)
    holding = lasting
    if ignore_auto:
        holding = PORTS.c.device_owner.in_(sorted(allocate.ROUTER_OWNERS))
    if ignore_auto and of["segment_id"]:
        elsewhere = ALLOCATIONS.alias()
        other = exists().where(elsewhere.c.port_id == PORTS.c.id, elsewhere.c.subnet_id != of["id"])
        holding = or_(holding, and_(lasting, ~other))
    statement = select(PORTS.c.id).join(ALLOCATIONS, ALLOCATIONS.c.port_id == PORTS.c.id)
    return bool(tx.first(statement.where(ALLOCATIONS.c.subnet_id == of["id"], holding).limit(1)))


def forget_subnet(tx: Transaction, of: Row) -> None:
    """Take a subnet's addresses from the ports that do not hold it back, and delete its automatic ports left without any."""
    having = select(ALLOCATIONS.c.port_id).where(ALLOCATIONS.c.subnet_id == of["id"])
    rows = tx.list(PORT, PORTS.c.id.in_(having))
    tx.execute(delete(ALLOCATIONS).where(ALLOCATIONS.c.subnet_id == of["id"]))
    for row in rows:
        left = [fixed for fixed in row["fixed_ips"] if fixed["subnet_id"] != of["id"]]
        if not left and row["device_owner"] in network.AUTO_DELETED:
            PORT.strategy.write_delete(tx, row)
        else:
            tx.touch(PORT, row)


def give_auto_addresses(tx: Transaction, of: Row) -> None:
    """A new SLAAC subnet: every port of the network (of its segment) but the routers' has an address in it from now on."""
    rows = tx.list(
        PORT, PORTS.c.network_id == of["network_id"], PORTS.c.device_owner.not_in(sorted(allocate.ROUTER_OWNERS))
    )
    segment_id = of["segment_id"]
    if segment_id:
        mine = (row for row in rows if segment_id in {row["binding_segment_id"], *routed.segments_of(tx, row)})
        rows = list(mine)
    found = []
    for row in rows:
        fixed = allocate.choose(tx, of["network_id"], [of], row, [{"subnet_id": of["id"]}])[0]
        found.append((row["id"], of["id"], fixed["ip_address"]))
        tx.touch(PORT, row)
    port_addresses.insert_many(tx, found)


def router_port_with(tx: Transaction, subnet_id: str, ip: str) -> str | None:
    """The router port that has the address, if one has."""
    statement = select(PORTS.c.id).join(ALLOCATIONS, ALLOCATIONS.c.port_id == PORTS.c.id).where(
        and_(ALLOCATIONS.c.subnet_id == subnet_id, ALLOCATIONS.c.ip_address == ip),
        or_(PORTS.c.device_owner.in_(sorted(allocate.ROUTER_OWNERS))),
    )  # fmt: skip
    found = tx.first(statement)
    return str(found[0]) if found else None
