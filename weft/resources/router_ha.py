"""What HA routers need between the hosts that they are on: a network of the project, a port on it for each, a number."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Column, ForeignKey, Integer, Table, UniqueConstraint, delete, select

from weft import errors
from weft.context import internal
from weft.registry.resource import Row
from weft.store.schema import ID, METADATA, PROJECT
from weft.store.transaction import Transaction

HA_NETWORKS = Table(
    "ha_networks",
    METADATA,
    Column("project_id", PROJECT, primary_key=True),
    Column("network_id", ID, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False, unique=True),
)

HA_ROUTERS = Table(
    "ha_routers",
    METADATA,
    Column("router_id", ID, ForeignKey("routers.id", ondelete="CASCADE"), primary_key=True),
    Column("network_id", ID, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False),
    Column("vr_id", Integer, nullable=False),
    UniqueConstraint("network_id", "vr_id"),
)
"""`vr_id`: the router's number in VRRP (RFC 5798) on that network."""

OWNER = "network:router_ha_interface"
NUMBERS = range(1, 255)

_draw = random.SystemRandom()


def is_ha(tx: Transaction, row: Row) -> bool:
    """The router is on several hosts. Where the dataplane cannot do that, the flag alone changes nothing."""
    return bool(row["ha"]) and tx.environment.honours("l3-ha")


def ports(tx: Transaction, row: Row, hosts: Sequence[str]) -> dict[str, str]:
    """host -> id of a new port there, on the HA network of the router's project. Raises NoVRIDAvailable."""
    from weft.resources import port

    network_id = _join(tx, row)
    _network(tx, network_id)
    return {
        host: port.create(
            tx,
            project_id="",
            name=f"HA port project {row['project_id']}",
            network_id=network_id,
            device_id=row["id"],
            device_owner=OWNER,
            **{"binding:host_id": host},
        )["id"]
        for host in hosts
    }


def drop_ports(tx: Transaction, ids: Iterable[str | None]) -> None:
    from weft.resources import port

    wanted = [id for id in ids if id]
    for one in tx.list(port.PORT, port.PORTS.c.id.in_(wanted)) if wanted else ():
        port.PORT.strategy.write_delete(tx, one)


def leave(tx: Transaction, row: Row) -> None:
    """The router is none of the project's HA routers any more; the last one takes their network along."""
    from weft.resources import network, port

    found = tx.first(select(HA_ROUTERS.c.network_id).where(HA_ROUTERS.c.router_id == row["id"]))
    if found is None:
        return
    tx.execute(delete(HA_ROUTERS).where(HA_ROUTERS.c.router_id == row["id"]))
    others = select(HA_ROUTERS.c.router_id).where(HA_ROUTERS.c.network_id == found.network_id).limit(1)
    if not tx.first(others) and not port.ids_holding_network(tx, found.network_id):
        network.NETWORK.strategy.delete(tx, _network(tx, found.network_id))


def _network(tx: Transaction, id: str) -> Row:
    """The HA network, which whoever asks for a router need not see."""
    from weft.resources import network

    return tx.once(("network", id), lambda: tx.get(network.NETWORK, id, everybody=True))


def claim(tx: Transaction, project_id: str, network_id: str) -> None:
    """A network is the HA network of a project. Raises DuplicatedHANetwork."""
    if tx.first(select(HA_NETWORKS.c.network_id).where(HA_NETWORKS.c.project_id == project_id)):
        raise errors.DuplicatedHANetwork(project_id=project_id)
    tx.add(HA_NETWORKS, [{"project_id": project_id, "network_id": network_id}])


def _join(tx: Transaction, row: Row) -> str:
    """The HA network of the router's project, where the router has a number from now on."""
    known = tx.first(select(HA_ROUTERS.c.network_id).where(HA_ROUTERS.c.router_id == row["id"]))
    if known:
        return str(known[0])
    found = tx.first(select(HA_NETWORKS.c.network_id).where(HA_NETWORKS.c.project_id == row["project_id"]))
    network_id = str(found[0]) if found else _make(tx, row["project_id"])
    taken = {one.vr_id for one in tx.all(select(HA_ROUTERS.c.vr_id).where(HA_ROUTERS.c.network_id == network_id))}
    values = {"router_id": row["id"], "network_id": network_id, "vr_id": _number(taken, row["id"])}
    tx.add(HA_ROUTERS, [values])
    return network_id


def _number(taken: Collection[int], router_id: str) -> int:
    free = [number for number in NUMBERS if number not in taken]
    if not free:
        raise errors.NoVRIDAvailable(router_id=router_id)
    return _draw.choice(free)


def _make(tx: Transaction, project_id: str) -> str:
    """The HA network of a project and its subnet. They belong to no project, so that users don't see them among theirs."""
    from weft.resources import network, subnet

    api, ml2 = tx.config.api, tx.config.ml2
    values: Row = {"name": f"HA network project {project_id}", "project_id": ""}
    if api.l3_ha_network_type:
        values["provider:network_type"] = api.l3_ha_network_type
    if api.l3_ha_network_physical_name:
        values["provider:physical_network"] = api.l3_ha_network_physical_name
        values.setdefault("provider:network_type", ml2.project_network_types[0])
    made = network.NETWORK.strategy.create(tx, network.NETWORK.reader.create(values, internal()))
    _network(tx, made["id"])
    wanted = {
        "name": f"HA subnet project {project_id}",
        "project_id": "",
        "network_id": made["id"],
        "ip_version": 4,
        "cidr": api.l3_ha_net_cidr,
        "gateway_ip": None,
        "enable_dhcp": False,
    }
    subnet.SUBNET.strategy.create(tx, subnet.SUBNET.reader.create(wanted, internal()))
    tx.add(HA_NETWORKS, [{"project_id": project_id, "network_id": made["id"]}])
    return str(made["id"])
