"""Rows of the Northbound database as values: what should be there, and by which marks ours are known (ovn-nb(5)). Pure.

A row is named by its table and an identity that can be read from the row itself, so that a process without memory knows
its own. Names and external_ids are those of upstream's OVN driver: other programs read and write them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MARK = "weft:id"
"""external_ids key with the identity of rows that have no name and no key of upstream's that tells them apart."""
REVISION = "neutron:revision_number"
NAME_PREFIX = "neutron-"
DROP_GROUP = "neutron_pg_drop"
LOG_METER = "acl_log_meter"
ELSEWHERE = "weft-elsewhere"
"""Name of the switch that has the ports of other dataplanes' hosts."""


class Ref(NamedTuple):
    """One row: its table and identity."""

    table: str
    id: str


class Hold(NamedTuple):
    """A column of a row that holds references to others, or a map that others put keys into."""

    row: Ref
    column: str


Value = Any
"""str, int, bool, Ref; None for an empty optional; frozenset for a set; dict for a map."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that should be. Columns that are not named are not ours to say.

    `parent`: where it hangs (rows of most tables exist only while another refers to them). `members`: sets of other rows
    that it belongs to. `entries`: what it puts into maps of other rows.
    """

    ref: Ref
    columns: Mapping[str, Value]
    parent: Hold | None = None
    members: tuple[Hold, ...] = ()
    entries: Mapping[Hold, Mapping[str, str]] = field(default_factory=dict)


def _one(kind: str) -> dict[str, Any]:
    return {"key": kind, "min": 0, "max": 1}


def _many(kind: str) -> dict[str, Any]:
    return {"key": kind, "min": 0, "max": "unlimited"}


def _refers(table: str, strong: bool = True, most: int | str = "unlimited") -> dict[str, Any]:
    kind = {"type": "uuid", "refTable": table, "refType": "strong" if strong else "weak"}
    return {"key": kind, "min": 0, "max": most}


_MAP = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
_NUMBERS = {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}
_TEXT: Any = "string"
_NUMBER: Any = "integer"

COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "Logical_Switch": {
        "name": _TEXT,
        "ports": _refers("Logical_Switch_Port"),
        "qos_rules": _refers("QoS"),
        "dns_records": _refers("DNS", strong=False),
        "load_balancer": _refers("Load_Balancer", strong=False),
        "other_config": _MAP,
        "external_ids": _MAP,
    },
    "Logical_Switch_Port": {
        "name": _TEXT,
        "type": _TEXT,
        "addresses": _many("string"),
        "port_security": _many("string"),
        "enabled": _one("boolean"),
        "parent_name": _one("string"),
        "tag": _one("integer"),
        "options": _MAP,
        "dhcpv4_options": _refers("DHCP_Options", strong=False, most=1),
        "dhcpv6_options": _refers("DHCP_Options", strong=False, most=1),
        "ha_chassis_group": _refers("HA_Chassis_Group", most=1),
        "external_ids": _MAP,
    },
    "Port_Group": {
        "name": _TEXT,
        "ports": _refers("Logical_Switch_Port", strong=False),
        "acls": _refers("ACL"),
        "external_ids": _MAP,
    },
    "ACL": {
        "name": _one("string"),
        "direction": _TEXT,
        "priority": _NUMBER,
        "match": _TEXT,
        "action": _TEXT,
        "log": "boolean",
        "severity": _one("string"),
        "meter": _one("string"),
        "external_ids": _MAP,
    },
    "Meter": {"name": _TEXT, "unit": _TEXT, "fair": _one("boolean"), "bands": _refers("Meter_Band")},
    "Meter_Band": {"action": _TEXT, "rate": _NUMBER, "burst_size": _NUMBER, "external_ids": _MAP},
    "Address_Set": {"name": _TEXT, "addresses": _many("string"), "external_ids": _MAP},
    "DHCP_Options": {"cidr": _TEXT, "options": _MAP, "external_ids": _MAP},
    "DNS": {"records": _MAP, "external_ids": _MAP},
    "QoS": {
        "priority": _NUMBER,
        "direction": _TEXT,
        "match": _TEXT,
        "action": _NUMBERS,
        "bandwidth": _NUMBERS,
        "external_ids": _MAP,
    },
    "Logical_Router": {
        "name": _TEXT,
        "enabled": _one("boolean"),
        "ports": _refers("Logical_Router_Port"),
        "static_routes": _refers("Logical_Router_Static_Route"),
        "nat": _refers("NAT"),
        "load_balancer": _refers("Load_Balancer", strong=False),
        "options": _MAP,
        "external_ids": _MAP,
    },
    "Logical_Router_Port": {
        "name": _TEXT,
        "mac": _TEXT,
        "networks": _many("string"),
        "enabled": _one("boolean"),
        "options": _MAP,
        "ipv6_ra_configs": _MAP,
        "ha_chassis_group": _refers("HA_Chassis_Group", most=1),
        "external_ids": _MAP,
    },
    "Logical_Router_Static_Route": {
        "ip_prefix": _TEXT,
        "nexthop": _TEXT,
        "output_port": _one("string"),
        "bfd": _refers("BFD", strong=False, most=1),
        "external_ids": _MAP,
    },
    "NAT": {
        "type": _TEXT,
        "external_ip": _TEXT,
        "external_mac": _one("string"),
        "logical_ip": _TEXT,
        "logical_port": _one("string"),
        "gateway_port": _refers("Logical_Router_Port", strong=False, most=1),
        "external_ids": _MAP,
    },
    "Load_Balancer": {
        "name": _TEXT,
        "vips": _MAP,
        "protocol": _one("string"),
        "options": _MAP,
        "external_ids": _MAP,
    },
    "HA_Chassis_Group": {"name": _TEXT, "ha_chassis": _refers("HA_Chassis"), "external_ids": _MAP},
    "HA_Chassis": {"chassis_name": _TEXT, "priority": _NUMBER, "external_ids": _MAP},
    "BFD": {"logical_port": _TEXT, "dst_ip": _TEXT, "options": _MAP, "external_ids": _MAP},
    "NB_Global": {"options": _MAP},
}
"""Table -> column -> type (RFC 7047): what is replicated, which is what we write or know our own rows by. Every Northbound
database since OVN 22.09 has them."""

ROOTS = frozenset(
    {
        "Logical_Switch",
        "Port_Group",
        "Meter",
        "Address_Set",
        "DHCP_Options",
        "DNS",
        "Logical_Router",
        "Load_Balancer",
        "HA_Chassis_Group",
        "BFD",
    }
)
"""Tables whose rows stand by themselves."""

HOLDERS: Mapping[str, Mapping[str, str]] = {
    "Logical_Switch": {"ports": "Logical_Switch_Port", "qos_rules": "QoS"},
    "Port_Group": {"acls": "ACL"},
    "Logical_Router": {"ports": "Logical_Router_Port", "static_routes": "Logical_Router_Static_Route", "nat": "NAT"},
    "HA_Chassis_Group": {"ha_chassis": "HA_Chassis"},
}
"""Table -> column -> table of the rows that exist because they are in it."""

NATURAL: Mapping[str, tuple[str, ...]] = {
    "NAT": ("type", "external_ip", "logical_ip"),
    "Logical_Router_Static_Route": ("ip_prefix", "nexthop"),
}
"""Table -> columns that tell rows of one router apart, where upstream's driver leaves no mark."""

REFERRING: Mapping[str, tuple[str, ...]] = {
    "Logical_Switch_Port": ("ha_chassis_group",),
    "Logical_Router_Port": ("ha_chassis_group",),
}
"""Table -> columns that name rows of tables of their own, which cannot be deleted while they do (RFC 7047: strong)."""

BELONGING: Mapping[str, tuple[str, ...]] = {
    "Port_Group": ("ports",),
    "Logical_Switch": ("dns_records", "load_balancer"),
    "Logical_Router": ("load_balancer",),
}
"""Table -> columns of references that do not keep a row alive."""

_OURS = ("neutron:", "weft:")
_KEYS: Mapping[tuple[str, str], frozenset[str]] = {
    ("Logical_Switch", "other_config"): frozenset(
        {
            "mcast_snoop",
            "mcast_flood_unregistered",
            "vlan-passthru",
            "fdb_age_threshold",
            "broadcast-arps-to-all-routers",
        }
    ),
    ("Logical_Switch_Port", "options"): frozenset(
        {
            "requested-chassis",
            "activation-strategy",
            "virtual-ip",
            "virtual-parents",
            "router-port",
            "nat-addresses",
            "exclude-lb-vips-from-garp",
            "arp_proxy",
            "network_name",
            "mcast_flood",
            "mcast_flood_reports",
            "localnet_learn_fdb",
            "ethtype",
            "mac_binding_age_threshold",
            "reside-on-redirect-chassis",
            "qos_min_rate",
            "vif-plug-type",
            "vif-plug:representor:pf-mac",
            "vif-plug:representor:vf-num",
            "vif-plug-mtu-request",
        }
    ),
    ("Logical_Router", "options"): frozenset(
        {
            "always_learn_from_arp_request",
            "dynamic_neigh_routers",
            "mac_binding_age_threshold",
            "snat-ct-zone",
            "mcast_relay",
        }
    ),
    ("NB_Global", "options"): frozenset({"bfd-min-rx", "bfd-min-tx", "bfd-mult"}),
    ("Logical_Router_Port", "options"): frozenset(
        {"gateway_mtu", "gateway_mtu_bypass", "redirect-type", "reside-on-redirect-chassis"}
    ),
}
"""(table, column) -> the keys of a map that we write; an operator may have others there."""
THE_CLOUD = Ref("NB_Global", ".")
"""The only row of its table: what holds for all of OVN."""
_WHOLE = frozenset({"ipv6_ra_configs", "vips", "action", "bandwidth"})
_PLAIN_IDS: Mapping[str, frozenset[str]] = {
    "DHCP_Options": frozenset({"subnet_id", "port_id"}),
    "DNS": frozenset({"ls_name"}),
}
_FREE_OPTIONS = frozenset({"DHCP_Options", "Load_Balancer", "BFD"})
_APART = frozenset({("DNS", "records")})
"""Maps that only `Row.entries` fill."""


def owns(table: str, column: str, key: str) -> bool:
    """Whether that key of a map is ours to write and to remove."""
    if column == "external_ids":
        return key.startswith(_OURS) or key in _PLAIN_IDS.get(table, ())
    if column in _WHOLE or (column == "options" and table in _FREE_OPTIONS) or (table, column) in _APART:
        return True
    return key in _KEYS.get((table, column), ())


def name(id: str) -> str:
    """Of the switch of a network, or of a router."""
    return NAME_PREFIX + id


def leg(port_id: str) -> str:
    """Of the router's side of a leg."""
    return f"lrp-{port_id}"


def group(id: str) -> str:
    """Of the port group of a security group."""
    return "pg_" + id.replace("-", "_")


def addresses(id: str, version: int) -> str:
    """Of the address set of an address group."""
    return f"as_ip{version}_" + id.replace("-", "_")


def paired(id: str, version: int) -> str:
    """Of the address set of the allowed address pairs of a security group's members."""
    return f"as_pairs_ip{version}_" + id.replace("-", "_")


Columns = Callable[[str], Value]
"""Reads a column of a row that is there."""


def identity(table: str, column: Columns) -> str | None:
    """The identity of a row that is there; None for one that is not ours."""
    reader = _IDENTITIES.get(table)
    return reader(column) if reader else None


def _named(*prefixes: str) -> Callable[[Columns], str | None]:
    def read(column: Columns) -> str | None:
        found: str = column("name")
        return found if found.startswith(prefixes) else None

    return read


def _switch_port(column: Columns) -> str | None:
    found: str = column("name")
    ids = column("external_ids")
    ours = "neutron:device_owner" in ids or "neutron:port_name" in ids or found.startswith("provnet-")
    return found if ours or MARK in ids else None


def _port_group(column: Columns) -> str | None:
    found: str = column("name")
    return found if found == DROP_GROUP or "neutron:security_group_id" in column("external_ids") else None


def _acl(column: Columns) -> str | None:
    ids = column("external_ids")
    rule = ids.get("neutron:security_group_rule_id") or ids.get(MARK)
    if rule:
        return str(rule)
    return str(column("direction")) if f"@{DROP_GROUP}" in column("match") else None


def _meter(column: Columns) -> str | None:
    return LOG_METER if column("name") == LOG_METER else None


def _dhcp(column: Columns) -> str | None:
    ids = column("external_ids")
    if "subnet_id" not in ids:
        return None
    return f"{ids['subnet_id']}/{ids['port_id']}" if "port_id" in ids else str(ids["subnet_id"])


def _nat(column: Columns) -> str | None:
    ids = column("external_ids")
    found: str | None = ids.get("neutron:fip_id") or ids.get(MARK)
    return found


def _marked(column: Columns) -> str | None:
    found: str | None = column("external_ids").get(MARK)
    return found


def _dns(column: Columns) -> str | None:
    found: str | None = column("external_ids").get("ls_name")
    return found


def _address_set(column: Columns) -> str | None:
    ids = column("external_ids")
    return str(column("name")) if "neutron:address_group_id" in ids or MARK in ids else None


_IDENTITIES: Mapping[str, Callable[[Columns], str | None]] = {
    "Logical_Switch": _named(NAME_PREFIX, ELSEWHERE),
    "Logical_Switch_Port": _switch_port,
    "Port_Group": _port_group,
    "ACL": _acl,
    "Meter": _meter,
    "Meter_Band": _marked,
    "Address_Set": _address_set,
    "DHCP_Options": _dhcp,
    "DNS": _dns,
    "QoS": _marked,
    "Logical_Router": _named(NAME_PREFIX),
    "Logical_Router_Port": _named("lrp-"),
    "Logical_Router_Static_Route": _marked,
    "NAT": _nat,
    "Load_Balancer": _named("pf-floatingip-"),
    "HA_Chassis_Group": _named(NAME_PREFIX),
    "HA_Chassis": _marked,
    "BFD": _marked,
    "NB_Global": lambda column: THE_CLOUD.id,
}
IDENTIFYING: Mapping[str, frozenset[str]] = {
    "ACL": frozenset({"external_ids", "direction", "match"}),
    "NB_Global": frozenset(),
    **{table: frozenset({"name"}) for table in ("Logical_Switch", "Logical_Router", "Logical_Router_Port")},
}
"""Columns that an identity is read from, where these are others than name and external_ids."""
