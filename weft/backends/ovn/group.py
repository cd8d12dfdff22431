"""Security groups as OVN's port groups with ACLs, address groups as address sets (ovn-nb(5)). Pure.

ovn-northd itself keeps the sets $<port group>_ip4 and _ip6 of what the ports of a group have as addresses, so a member that
comes or goes is one change of one port group, whatever rules refer to it. Members' allowed address pairs are in sets of ours
(`paired.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from weft.backends.ovn import acl_log, rows
from weft.backends.ovn.paired import NONE, Said
from weft.backends.ovn.rows import DROP_GROUP, MARK, Hold, Ref, Row
from weft.logical.acl import logged
from weft.logical.model import Acl, AddressSet, Log, PortGroup

DROP, LOGGED_DROP, ALLOW, LOGGED_ALLOW, NEVER = 1000, 1001, 1002, 1003, 1004
"""Priorities: what nothing allows is dropped, and what a workload has no business to send, whatever allows it. Who logs is
asked before who does the same without a word: of two with one priority OVN takes either."""

_ASKING4, _ANSWER4 = "ip4 && udp.src == 68 && udp.dst == 67", "ip4 && udp.src == 67 && udp.dst == 68"
_ASKING6, _ANSWER6 = "ip6 && udp.src == 546 && udp.dst == 547", "ip6 && udp.src == 547 && udp.dst == 546"
_ALWAYS = (
    ("dhcp4", "from-lport", ALLOW, _ASKING4, "allow"),
    ("dhcp6", "from-lport", ALLOW, _ASKING6, "allow"),
    ("dhcp4-answer", "to-lport", ALLOW, _ANSWER4, "allow"),
    ("dhcp6-answer", "to-lport", ALLOW, _ANSWER6, "allow"),
    ("dhcp4-server", "from-lport", NEVER, _ANSWER4, "drop"),
    ("dhcp6-server", "from-lport", NEVER, _ANSWER6, "drop"),
    ("redirect", "from-lport", NEVER, "icmp6.type == 137", "drop"),
)
"""Name, direction, priority, packets, action: addresses can be asked for, and given by whoever serves a provider network;
no workload gives them. (Router advertisements of workloads OVN itself lets pass, before any ACL.)"""

_WITH_PORTS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "sctp": "sctp", "132": "sctp"}
_ICMP = {"IPv4": ("icmp", "1"), "IPv6": ("icmpv6", "ipv6-icmp", "icmp", "58")}
_NUMBERS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "igmp": 2,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "udplite": 136,
    "vrrp": 112,
    "icmp": 1,
    "icmpv6": 58,
    "ipv6-icmp": 58,
}
_DIRECTIONS = {"ingress": ("to-lport", "outport", "src"), "egress": ("from-lport", "inport", "dst")}


def render(group: PortGroup, paired: Said = NONE) -> list[Row]:
    """A security group with its rules; its members are the ports' to say. `paired`: what its members, and those of groups
    that its rules name, have as allowed address pairs."""
    name = rows.group(group.id)
    ids = {"neutron:security_group_id": group.id}
    held = Hold(Ref("Port_Group", name), "acls")
    accepted = logged(group.logs, "ACCEPT")
    found = [
        Row(held.row, {"name": name, "external_ids": ids}),
        *(_pairs(group, version, addresses) for (id, version), addresses in paired.items() if id == group.id),
    ]
    logs = [("", accepted.get("")), *((id, log) for id, log in accepted.items() if id)]
    for only, log in logs:
        for one in group.acls:
            found.append(_rule(one, group, held, log, only))
            if one.remote_group and (one.remote_group, int(one.ethertype[-1])) in paired:
                found.append(_rule(one, group, held, log, only, pairs=True))
    return [*found, *_logged_drops(group, held)]


def _pairs(group: PortGroup, version: int, addresses: frozenset[str]) -> Row:
    name = rows.paired(group.id, version)
    return Row(Ref("Address_Set", name), {"name": name, "addresses": addresses, "external_ids": {MARK: name}})


def default_drop() -> list[Row]:
    """The group of all ports with port security: what it drops unless another group allows it.

    Neighbour discovery is allowed by OVN itself.
    """
    held = Hold(Ref("Port_Group", DROP_GROUP), "acls")
    found = [Row(held.row, {"name": DROP_GROUP})]
    for direction, port, _ in _DIRECTIONS.values():
        found.append(_acl(Ref("ACL", direction), direction, DROP, f"{port} == @{DROP_GROUP} && ip", "drop", {}, held))
    for word, direction, priority, what, action in _ALWAYS:
        port = "inport" if direction == "from-lport" else "outport"
        found.append(
            _acl(
                Ref("ACL", word), direction, priority, f"{port} == @{DROP_GROUP} && {what}", action, {MARK: word}, held
            )
        )
    return found


def address_sets(value: AddressSet) -> list[Row]:
    """An address group, one set for each IP version. Sets of security groups are ovn-northd's own."""
    found = []
    for version in (4, 6):
        members = frozenset(one for one in value.addresses if (6 if ":" in one else 4) == version)
        name = rows.addresses(value.id, version)
        ids = {"neutron:address_group_id": value.id}
        found.append(Row(Ref("Address_Set", name), {"name": name, "addresses": members, "external_ids": ids}))
    return found


def _rule(rule: Acl, group: PortGroup, held: Hold, log: Log | None, only: str = "", pairs: bool = False) -> Row:
    """`only`: once more, for that port of the group; `pairs`: for the remote group's allowed address pairs."""
    direction, side, _ = _DIRECTIONS[rule.direction]
    action = "allow-related" if group.stateful else "allow-stateless"
    own = "/".join(filter(None, (rule.id, only, "pairs" if pairs else "")))
    ids = {"neutron:security_group_rule_id": rule.id} if own == rule.id else {MARK: own}
    priority = LOGGED_ALLOW if log else ALLOW
    what = match(rule, _where(side, group, only), pairs)
    return _acl(Ref("ACL", own), direction, priority, what, action, ids, held, log)


def _where(side: str, group: PortGroup, only: str) -> str:
    """Of whom a row is: the ports of a group, or one of them as long as it is one."""
    whole = f"{side} == @{rows.group(group.id)}"
    return f'{whole} && {side} == "{only}"' if only else whole


def _logged_drops(group: PortGroup, held: Hold) -> Iterator[Row]:
    """What would be dropped anyway, by the group of all ports; ports of others are none of this log's business."""
    for port, log in logged(group.logs, "DROP").items():
        for direction, side, _ in _DIRECTIONS.values():
            own = "/".join(filter(None, (group.id, port, direction)))
            where = f"{_where(side, group, port)} && ip"
            yield _acl(Ref("ACL", own), direction, LOGGED_DROP, where, "drop", {MARK: own}, held, log)


def _acl(
    ref: Ref,
    direction: str,
    priority: int,
    match: str,
    action: str,
    ids: dict[str, str],
    held: Hold,
    log: Log | None = None,
) -> Row:
    columns = {
        "direction": direction,
        "priority": priority,
        "match": match,
        "action": action,
        "external_ids": ids,
        **(acl_log.columns(log) if log else acl_log.SILENT),
    }
    return Row(ref, columns, held)


def match(rule: Acl, where: str, pairs: bool = False) -> str:
    """What packets a rule is about, as an expression of ovn-sb(5)."""
    family = "ip4" if rule.ethertype == "IPv4" else "ip6"
    side = _DIRECTIONS[rule.direction][2]
    parts = [where, family]
    if rule.remote_prefix and ip_network(rule.remote_prefix, strict=False).prefixlen:
        parts.append(f"{family}.{side} == {rule.remote_prefix}")
    elif rule.remote_group and pairs:
        parts.append(f"{family}.{side} == ${rows.paired(rule.remote_group, int(family[-1]))}")
    elif rule.remote_group:
        parts.append(f"{family}.{side} == ${rows.group(rule.remote_group)}_{family}")
    elif rule.remote_addresses:
        parts.append(f"{family}.{side} == ${rows.addresses(rule.remote_addresses, int(family[-1]))}")
    return " && ".join([*parts, *_protocol(rule)])


def _protocol(rule: Acl) -> list[str]:
    if rule.protocol is None:
        return []
    word = rule.protocol.lower()
    if word in _ICMP[rule.ethertype]:
        name = "icmp4" if rule.ethertype == "IPv4" else "icmp6"
        kind = [f"{name}.type == {rule.port_min}"] if rule.port_min is not None else []
        code = [f"{name}.code == {rule.port_max}"] if rule.port_max is not None else []
        return [name, *kind, *code]
    if word in _WITH_PORTS:
        return [_WITH_PORTS[word], *_ports(_WITH_PORTS[word], rule.port_min, rule.port_max)]
    return [f"ip.proto == {_NUMBERS.get(word, word)}"]


def _ports(protocol: str, first: int | None, last: int | None) -> list[str]:
    if first is None or last is None:
        return []
    if first == last:
        return [f"{protocol}.dst == {first}"]
    return [f"{protocol}.dst >= {first}", f"{protocol}.dst <= {last}"]
