"""Routed networks: each segment has subnets of its own, and which addresses a port may have follows from its host.

A host reaches a segment whose physical network, or whose type of tunnel, one of its agents has reported; nothing of this
is stored. Rules: facts of the API, behaviours sections 2, 3 and 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from weft import errors
from weft.ipam import allocate
from weft.registry.resource import Row
from weft.resources import agent, segment, subnet
from weft.store.transaction import Transaction

ON_EVERY_SEGMENT = "network:distributed"
"""device_owner of ports that may have addresses of several segments."""


def reached(tx: Transaction, network_id: str, host: str) -> list[str]:
    """The segments of a network that the host is on, in order."""
    carried = agent.carries(tx, host)
    found = segment.of_network(tx, network_id)
    return [one["id"] for one in found if (one["physical_network"] or one["network_type"]) in carried]


def candidates(
    tx: Transaction, subnets: Sequence[Row], port: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]] | None
) -> list[Row] | None:
    """Those of a routed network's `subnets` in which `port` may have addresses; None: that is not known before it has a host.

    `wanted`: the addresses that it asks for (API: fixed_ips). Raises HostNotConnectedToAnySegment,
    FixedIpsSubnetsNotOnSameSegment, InvalidInput.
    """
    if wanted == []:
        return list(subnets)
    owner = port["device_owner"]
    if port["binding:host_id"]:
        return _of_host(tx, subnets, port, wanted or ())
    if wanted:
        return list(subnets) if owner == ON_EVERY_SEGMENT else _of_one_segment(subnets, wanted)
    everywhere = [one for one in subnets if one["segment_id"] is None]
    if allocate.eligible(everywhere, owner):
        return everywhere
    return None if allocate.eligible(subnets, owner) else list(subnets)


def _of_host(
    tx: Transaction, subnets: Sequence[Row], port: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]
) -> list[Row]:
    host, network_id = port["binding:host_id"], port["network_id"]
    order: dict[str | None, int] = {id: at for at, id in enumerate([None, *reached(tx, network_id, host)])}
    found = [one for one in subnets if one["segment_id"] in order]
    if not allocate.eligible(found, port["device_owner"]):
        raise errors.HostNotConnectedToAnySegment(host=host, network_id=network_id)
    elsewhere = {one["id"] for one in subnets if one["segment_id"] not in order}
    for wish in wanted:
        if wish.get("subnet_id") in elsewhere:
            raise errors.InvalidInput(
                reason=f"fixed_ips: subnet {wish['subnet_id']} belongs to a segment that host {host} is not connected to"
            )
    return sorted(found, key=lambda one: order[one["segment_id"]])


def _of_one_segment(subnets: Sequence[Row], wanted: Sequence[Mapping[str, Any]]) -> list[Row]:
    meant = {one["segment_id"] for one in subnets if any(_means(wish, one) for wish in wanted)}
    if len(meant) > 1:
        raise errors.FixedIpsSubnetsNotOnSameSegment()
    return [one for one in subnets if one["segment_id"] in meant]


def _means(wish: Mapping[str, Any], of: Row) -> bool:
    if wish.get("subnet_id"):
        return bool(wish["subnet_id"] == of["id"])
    return bool(wish.get("ip_address")) and ip_address(wish["ip_address"]) in ip_network(of["cidr"])


def check_move(tx: Transaction, new: Row) -> None:
    """Raise HostNotConnectedToAnySegment or HostNotCompatibleWithFixedIps if the addresses of `new` do not work on its host."""
    if not any(one["routed"] for one in segment.of_network(tx, new["network_id"])):
        return
    subnets = subnet.of_network(tx, new["network_id"])
    here = {one["id"] for one in _of_host(tx, subnets, new, ())}
    if any(fixed["subnet_id"] not in here for fixed in new["fixed_ips"]):
        raise errors.HostNotCompatibleWithFixedIps(host=new["binding:host_id"], port_id=new["id"])


def segments_of(tx: Transaction, port: Row) -> set[str]:
    """The segments that the addresses of a port belong to."""
    mine = {fixed["subnet_id"] for fixed in port["fixed_ips"]}
    subnets = subnet.of_network(tx, port["network_id"])
    return {one["segment_id"] for one in subnets if one["id"] in mine and one["segment_id"]}


def place(tx: Transaction, port: Row, chosen: Sequence[str]) -> tuple[str | None, str]:
    """(the segment that a port is attached to, why it cannot be where its addresses are).

    `chosen`: the segment by which its host takes part in the network; empty: any that the host reaches.
    """
    here = chosen or reached(tx, port["network_id"], port["binding:host_id"])
    wanted = sorted(segments_of(tx, port))
    if not set(wanted) <= set(here):
        return None, (
            f"host {port['binding:host_id']} takes part in the network by segment {', '.join(here) or '-'}, "
            f"the port has addresses of segment {', '.join(wanted)}"
        )
    return next(iter([*wanted, *here]), None), ""
