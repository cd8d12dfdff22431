"""Auto-allocated topologies: a network that leads outside, for a project that only wants one and does not care which."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Table, delete, select

from weft import errors
from weft.registry.resource import Row
from weft.resources import network, router, router_interface, router_kind, subnet, subnetpool
from weft.store.schema import ID, METADATA, PROJECT
from weft.store.transaction import Transaction

TOPOLOGIES = Table(
    "auto_allocated_topologies",
    METADATA,
    Column("project_id", PROJECT, primary_key=True),  # of two requests at once only one builds
    Column("network_id", ID, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("router_id", ID, ForeignKey("routers.id", ondelete="SET NULL"), index=True),
)


def find(tx: Transaction, project_id: str) -> str | None:
    """The network of the project's topology, if it has one."""
    found = tx.first(select(TOPOLOGIES.c.network_id).where(TOPOLOGIES.c.project_id == project_id))
    return str(found[0]) if found else None


def check(tx: Transaction) -> tuple[str, dict[int, str]]:
    """What a topology is made of: the default external network, default subnet pools by IP version.

    Raises AutoAllocationFailure.
    """
    default = select(network.NETWORKS.c.id).where(network.NETWORKS.c.is_default, network.NETWORKS.c.router_external)
    outside = tx.first(default)
    if outside is None:
        raise errors.AutoAllocationFailure(reason="No default router:external network")
    pools = {version: subnetpool.find_default(tx, version) for version in (4, 6)}
    found = {version: id for version, id in pools.items() if id}
    if not found:
        raise errors.AutoAllocationFailure(reason="No default subnetpools defined")
    return str(outside[0]), found


def ensure(tx: Transaction, project_id: str) -> str:
    """The network of the project's topology, which is built when it is first asked for.

    The project's limits hold. Raises AutoAllocationFailure, OverQuota and the faults of addresses.
    """
    found = find(tx, project_id)
    if found:
        return found
    outside, pools = check(tx)
    for name in ("network", "subnet", "router"):
        tx.hold_to_limit(project_id, name)
    inside = _make_network(tx, project_id, pools)
    row = {"project_id": project_id, "network_id": inside, "router_id": _make_router(tx, project_id, inside, outside)}
    tx.add(TOPOLOGIES, [row])
    return inside


def _make_network(tx: Transaction, project_id: str, pools: dict[int, str]) -> str:
    try:
        values = {"name": "auto_allocated_network", "project_id": project_id}
        made = network.NETWORK.strategy.create(tx, network.NETWORK.reader.create(values, tx.context))
        for version, pool in pools.items():
            wanted = {
                "name": f"auto_allocated_subnet_v{version}",
                "project_id": project_id,
                "network_id": made["id"],
                "ip_version": version,
                "subnetpool_id": pool,
            }
            subnet.SUBNET.strategy.create(tx, subnet.SUBNET.reader.create(wanted, tx.context))
    except (errors.SubnetAllocationError, errors.BadRequest, errors.HTTPBadRequest, errors.NotFound) as error:
        raise errors.AutoAllocationFailure(
            reason=f"Unable to provide project private network: {error.message.rstrip('.')}"
        ) from error
    return str(made["id"])


def _make_router(tx: Transaction, project_id: str, inside: str, outside: str) -> str:
    try:
        values = {
            "name": "auto_allocated_router",
            "project_id": project_id,
            "external_gateway_info": {"network_id": outside},
        }
        made = router.ROUTER.strategy.create(tx, router.ROUTER.reader.create(values, tx.context))
        for one in subnet.of_network(tx, inside):
            router_interface.add(tx, made, {"subnet_id": one["id"]})
        if made["distributed"]:
            router_kind.follow(tx, made)
    except (errors.BadRequest, errors.HTTPBadRequest, errors.IpAddressGenerationFailure) as error:
        raise errors.AutoAllocationFailure(
            reason=f"Unable to provide external connectivity: {error.message.rstrip('.')}"
        ) from error
    return str(made["id"])


def remove(tx: Transaction, project_id: str) -> None:
    """Take the project's topology down, if it has one; all of it or, where something still uses it, nothing."""
    known = tx.first(select(TOPOLOGIES).where(TOPOLOGIES.c.project_id == project_id))
    if known is None:
        return
    tx.execute(delete(TOPOLOGIES).where(TOPOLOGIES.c.project_id == project_id))
    gateway: Row | None = tx.find(router.ROUTER, known.router_id, everybody=True) if known.router_id else None
    if gateway is not None:
        for leg in router_interface.interfaces(tx, gateway["id"]):
            router_interface.remove(tx, gateway, {"port_id": leg["id"]})
        router.ROUTER.strategy.delete(tx, gateway)
    inside = tx.find(network.NETWORK, known.network_id, everybody=True)
    if inside is not None:
        network.NETWORK.strategy.delete(tx, inside)
