"""What the kind of a router, HA or distributed, means for its ports: whose they are called, and which there are besides."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from weft.registry.resource import Row
from weft.resources import port, router_ha, router_interface
from weft.resources.agent import AGENTS
from weft.store.transaction import Transaction

DISTRIBUTED = "network:router_interface_distributed"
REPLICATED = "network:ha_router_replicated_interface"
SNAT = "network:router_centralized_snat"


def is_distributed(tx: Transaction, row: Row) -> bool:
    """The router is on every host with ports of its networks. Where the dataplane cannot do that, the flag changes nothing."""
    return bool(row["distributed"]) and tx.environment.honours("dvr")


def owner(tx: Transaction, row: Row) -> str:
    """device_owner of the router's interfaces."""
    if is_distributed(tx, row):
        return DISTRIBUTED
    return REPLICATED if router_ha.is_ha(tx, row) else router_interface.OWNER


def rename(tx: Transaction, row: Row) -> None:
    """The router has become of another kind: so have its interfaces."""
    name = owner(tx, row)
    for leg in router_interface.interfaces(tx, row["id"]):
        if leg["device_owner"] != name:
            port.change(tx, leg, {"device_owner": name})


def follow(tx: Transaction, row: Row) -> None:
    """Give a distributed router one port for each inner subnet on which its agent translates what goes outside; take away others.

    With a dataplane that has no L3 agents there is nobody to use such ports.
    """
    legs = router_interface.interfaces(tx, row["id"]) if row["gw_port_id"] and _used(tx, row) else []
    wanted = {fixed["subnet_id"]: leg["network_id"] for leg in legs for fixed in leg["fixed_ips"]}
    for one in tx.list(port.PORT, port.PORTS.c.device_id == row["id"], port.PORTS.c.device_owner == SNAT):
        if all(wanted.pop(fixed["subnet_id"], None) is None for fixed in one["fixed_ips"]):
            port.PORT.strategy.write_delete(tx, one)
    for subnet_id, network_id in wanted.items():
        _make(tx, row, subnet_id, network_id)


def _used(tx: Transaction, row: Row) -> bool:
    return (
        is_distributed(tx, row)
        and tx.first(select(AGENTS.c.id).where(AGENTS.c.agent_type == "L3 agent").limit(1)) is not None
    )


def _make(tx: Transaction, row: Row, subnet_id: str, network_id: str) -> Any:
    """It belongs to no project, so that users don't see it among theirs."""
    return port.create(
        tx,
        project_id="",
        network_id=network_id,
        device_id=row["id"],
        device_owner=SNAT,
        fixed_ips=[{"subnet_id": subnet_id}],
    )
