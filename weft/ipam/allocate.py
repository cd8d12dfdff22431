"""Which addresses a port gets: chosen and checked inside the caller's transaction, flat in the number of ports.

Rules: facts of the API, behaviours section 3. The unique constraint (subnet, address) is what makes a choice safe: a
collision with a concurrent request is a violated constraint, and the store runs the transaction again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, PrimaryKeyConstraint, String, Table, bindparam, select

from weft import errors
from weft.ipam import ranges
from weft.registry.resource import Row
from weft.store.schema import ID, METADATA, Texts, among
from weft.store.transaction import Transaction

ALLOCATIONS = Table(
    "ip_allocations",
    METADATA,
    Column("subnet_id", ID, ForeignKey("subnets.id"), nullable=False),
    Column("ip_address", String(45), nullable=False),
    Column("port_id", ID, ForeignKey("ports.id", ondelete="CASCADE"), nullable=False, index=True),
    PrimaryKeyConstraint("subnet_id", "ip_address"),
    Index("ix_ip_allocations_ip_address", "ip_address"),
)

Fixed = dict[str, str]
"""{"subnet_id": ..., "ip_address": ...}"""

AUTO_MODES = frozenset({"slaac", "dhcpv6-stateless"})
LOWEST_FIRST = frozenset({"network:dhcp", "network:distributed"})
ROUTER_OWNERS = frozenset(
    {
        "network:router_interface",
        "network:ha_router_replicated_interface",
        "network:router_interface_distributed",
        "network:router_centralized_snat",
    }
)

_draw = random.SystemRandom()
_TAKEN = select(ALLOCATIONS.c.ip_address).where(
    ALLOCATIONS.c.subnet_id == bindparam("subnet"), among(ALLOCATIONS.c.ip_address, bindparam("addresses", type_=Texts))
)
_ALL_TAKEN = select(ALLOCATIONS.c.ip_address).where(ALLOCATIONS.c.subnet_id == bindparam("subnet"))


def is_auto(subnet: Row) -> bool:
    """Hosts of the subnet give themselves their addresses (SLAAC)."""
    return subnet["ipv6_address_mode"] in AUTO_MODES


def eligible(subnets: Iterable[Row], owner: str) -> list[Row]:
    """Subnets that serve ports of `owner`: those that name it as service type first, then those that name none."""
    if owner == "network:dhcp":
        return [subnet for subnet in subnets if subnet["enable_dhcp"]]
    matching = [subnet for subnet in subnets if owner in subnet["service_types"]]
    return matching + [subnet for subnet in subnets if not subnet["service_types"]]


def choose(
    tx: Transaction,
    network_id: str,
    subnets: Sequence[Row],
    port: Mapping[str, Any],
    requested: Sequence[Mapping[str, Any]] | None,
    expected: int = 1,
) -> list[Fixed]:
    """The fixed IPs of `port` on a network with those `subnets`; `requested` None: what the network gives by itself.

    `expected`: how many ports this transaction is going to ask for (bulk). Raises the API's faults.
    """
    owner, mac = port["device_owner"], port["mac_address"]
    if requested is None:
        return _whatever_fits(tx, network_id, subnets, owner, mac, expected)
    return _as_requested(tx, network_id, subnets, owner, mac, requested, expected)


def _whatever_fits(
    tx: Transaction, network_id: str, subnets: Sequence[Row], owner: str, mac: str, expected: int
) -> list[Fixed]:
    if not subnets:
        return []
    serving = eligible(subnets, owner)
    if not serving:
        raise errors.IpAddressGenerationFailureNoMatchingSubnet(network_id=network_id, service_type=owner)
    router = owner in ROUTER_OWNERS
    found = []
    for version in (4, 6):
        drawn_from = [s for s in serving if s["ip_version"] == version and (router or not is_auto(s))]
        if drawn_from:
            found.append(_any_of(tx, network_id, drawn_from, owner, expected))
    if not router:
        found += [_auto(subnet, mac) for subnet in serving if is_auto(subnet)]
    return found


def _as_requested(
    tx: Transaction,
    network_id: str,
    subnets: Sequence[Row],
    owner: str,
    mac: str,
    requested: Sequence[Mapping[str, Any]],
    expected: int,
) -> list[Fixed]:
    by_id = {subnet["id"]: subnet for subnet in subnets}
    given: list[Fixed] = []
    drawn: list[Row] = []
    for wish in requested:
        subnet = _wished_subnet(network_id, subnets, by_id, wish, owner)
        address = wish.get("ip_address")
        if is_auto(subnet) and owner not in ROUTER_OWNERS:
            auto = _auto(subnet, mac)
            if address and ip_address(address) != ip_address(auto["ip_address"]):
                raise errors.AllocationOnAutoAddressSubnet(ip=address, subnet_id=subnet["id"])
            given.append(auto)
        elif address:
            given.append({"subnet_id": subnet["id"], "ip_address": str(ip_address(address))})
        else:
            drawn.append(subnet)
    _refuse_taken(tx, [fixed for fixed in given if not is_auto(by_id[fixed["subnet_id"]]) or owner in ROUTER_OWNERS])
    for fixed in given:
        _reserve(tx, fixed)
    return given + [_any_of(tx, network_id, [subnet], owner, expected) for subnet in drawn]


def _wished_subnet(
    network_id: str, subnets: Sequence[Row], by_id: Mapping[str, Row], wish: Mapping[str, Any], owner: str
) -> Row:
    """The subnet that an entry of fixed_ips means; its address must be one that a host there may have."""
    address, subnet_id = wish.get("ip_address"), wish.get("subnet_id")
    if subnet_id:
        subnet = by_id.get(subnet_id)
        if subnet is None:
            raise errors.InvalidInput(
                reason=f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet {subnet_id}"
            )
        if address and not valid_in(subnet, address, owner):
            raise errors.InvalidIpForSubnet(ip=address, subnet_id=subnet_id)
        return subnet
    if not address:
        raise errors.InvalidInput(reason="IP allocation requires subnet_id or ip_address")
    for subnet in subnets:
        if valid_in(subnet, address, owner):
            return subnet
    raise errors.InvalidIpForNetwork(ip=address)


def valid_in(subnet: Row, address: str, owner: str = "") -> bool:
    """A host in `subnet` may have `address`: inside, and neither network nor broadcast address."""
    network, ip = ip_network(subnet["cidr"]), ip_address(address)
    if ip not in network:
        return False
    if network.version == 4 and network.prefixlen <= 30:
        return ip not in (network.network_address, network.broadcast_address)
    if network.version == 6 and network.prefixlen <= 126:
        return ip != network.network_address or owner in ROUTER_OWNERS
    return True


def _auto(subnet: Row, mac: str) -> Fixed:
    return {"subnet_id": subnet["id"], "ip_address": ranges.eui64(subnet["cidr"], mac)}


def _refuse_taken(tx: Transaction, wanted: Sequence[Fixed]) -> None:
    for fixed in wanted:
        if fixed["ip_address"] in _reserved(tx, fixed["subnet_id"]) or taken(
            tx, fixed["subnet_id"], [fixed["ip_address"]]
        ):
            raise errors.IpAddressAlreadyAllocated(ip=fixed["ip_address"], subnet_id=fixed["subnet_id"])


def taken(tx: Transaction, subnet_id: str, addresses: Sequence[str]) -> set[str]:
    """Those of `addresses` that a port has."""
    return {row[0] for row in tx.all(_TAKEN, {"subnet": subnet_id, "addresses": list(addresses)})}


def _reserved(tx: Transaction, subnet_id: str) -> set[str]:
    """What this transaction has promised and not yet written."""
    empty: Callable[[], set[str]] = set
    return tx.once(("reserved", subnet_id), empty)


def _reserve(tx: Transaction, fixed: Fixed) -> None:
    _reserved(tx, fixed["subnet_id"]).add(fixed["ip_address"])


def _any_of(tx: Transaction, network_id: str, subnets: Sequence[Row], owner: str, expected: int) -> Fixed:
    for subnet in subnets:
        address = _lowest(tx, subnet) if owner in LOWEST_FIRST else _drawn(tx, subnet, expected)
        if address is not None:
            fixed = {"subnet_id": subnet["id"], "ip_address": address}
            _reserve(tx, fixed)
            return fixed
    raise errors.IpAddressGenerationFailure(network_id=network_id)


def _drawn(tx: Transaction, subnet: Row, expected: int) -> str | None:
    """A free address by lot. What a query found free beyond the need serves the next ports of the same transaction."""
    reserved = _reserved(tx, subnet["id"])
    spare: list[str] = tx.once(("free", subnet["id"]), list)
    while spare:
        address = spare.pop()
        if address not in reserved:
            return address
    pools = ranges.as_ranges(subnet["allocation_pools"])
    version = subnet["ip_version"]
    for batch in ranges.candidates(pools, expected, _draw):
        texts = [ranges.text(value, version) for value in batch]
        gone = taken(tx, subnet["id"], texts) | reserved
        spare += [address for address in texts if address not in gone]
        if spare:
            return spare.pop()
    return _lowest(tx, subnet) if ranges.size(pools) > ranges.WINDOW else None


def _lowest(tx: Transaction, subnet: Row) -> str | None:
    """The first free address; reads all of the subnet's allocations."""
    reserved = _reserved(tx, subnet["id"])
    used = {ranges.number(row[0]) for row in tx.all(_ALL_TAKEN, {"subnet": subnet["id"]})}
    used |= {ranges.number(address) for address in reserved}
    for value in ranges.free(ranges.as_ranges(subnet["allocation_pools"]), used):
        return ranges.text(value, subnet["ip_version"])
    return None
