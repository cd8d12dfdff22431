"""Security groups and address groups as the API has them, rendered to port groups and address sets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from weft.logical.model import Acl, AddressSet, Log, PortGroup

Row = Mapping[str, Any]


def acl(rule: Row) -> Acl:
    """One security group rule."""
    return Acl(
        id=rule["id"],
        direction=rule["direction"],
        ethertype=rule["ethertype"],
        protocol=rule["protocol"],
        port_min=rule["port_range_min"],
        port_max=rule["port_range_max"],
        remote_prefix=rule["normalized_cidr"] or rule["remote_ip_prefix"],
        remote_group=rule["remote_group_id"],
        remote_addresses=rule["remote_address_group_id"],
    )


def port_group(group: Row, logs: Iterable[Log] = ()) -> PortGroup:
    """A security group with its rules, and what is logged of it."""
    rules = sorted(group["security_group_rules"], key=lambda rule: str(rule["id"]))
    return PortGroup(group["id"], group["stateful"], tuple(acl(rule) for rule in rules), tuple(logs))


def logged(logs: Iterable[Log], event: str) -> dict[str, Log]:
    """Port -> the log that its ACCEPTs or DROPs are written down by: the first of several; '' alone where it is all ports."""
    found: dict[str, Log] = {}
    for one in logs:
        if one.event in (event, "ALL"):
            found.setdefault(one.port, one)
    return {"": found[""]} if "" in found else found


def member_addresses(port: Row) -> frozenset[str]:
    """What a port contributes to the address set of its groups: its fixed IPs and address pairs."""
    fixed = {one["ip_address"] for one in port["fixed_ips"]}
    return frozenset(fixed | {one["ip_address"] for one in port["allowed_address_pairs"]})


def address_set(id: str, members: Iterable[Iterable[str]]) -> AddressSet:
    """The union of what the members contribute."""
    return AddressSet(id=id, addresses=frozenset(address for member in members for address in member))


def remotes(groups: Iterable[PortGroup]) -> tuple[set[str], set[str]]:
    """(security groups, address groups) that the rules of `groups` refer to."""
    rules = [rule for group in groups for rule in group.acls]
    return (
        {rule.remote_group for rule in rules if rule.remote_group},
        {rule.remote_addresses for rule in rules if rule.remote_addresses},
    )
