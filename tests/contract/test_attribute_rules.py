"""Every rule that the API has for a value of an attribute has its type here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft import errors
from weft.registry import types as t
from weft.registry import types_address as a
from weft.registry import types_dns as d
from weft.registry import types_network as n
from weft.registry import types_rule as r

FACTS = json.loads((Path(__file__).parent / "facts" / "attributes.json").read_text())
ATTRIBUTES = [(path, row) for path, rows in FACTS.items() for row in rows]

# The rule as the facts have it (long ones up to the dots) -> the type, a value that it accepts.
RULES: dict[str, tuple[t.Type, Any]] = {
    "uuid": (t.uuid, "55182d26-86fe-4ad3-9638-51752abe5e9c"),
    "uuid|null": (t.uuid_or_none, None),
    "name_string <=255": (t.name_string, ""),
    "name_string_or_none <=255": (t.name_string_or_none, None),
    "name_not_default <=255": (t.name_not_default, "web"),
    "not_empty_name_string": (t.not_empty_name_string, "pool"),
    "string <=32": (t.string(32), "vlan"),
    "string <=36": (t.string(36), "x"),
    "string <=64": (t.string(64), "physnet1"),
    "string <=255": (t.string(255), ""),
    "string <=1024": (t.string(1024), ""),
    "string_or_none <=255": (t.string_or_none(255), None),
    "string_or_none <=1024": (t.string_or_none(1024), None),
    "convert: str; string <=64": (t.stringified(t.string(64)), 1),
    "convert: str; enum[switchdev]": (n.hardware_offload_type, "switchdev"),
    "convert: bool": (t.boolean, "true"),
    "convert: bool; bool-like": (t.boolean, 0),
    "convert: bool|null": (t.boolean_or_none, None),
    "convert: int": (t.integer, "-3"),
    "convert: int|null": (t.integer_or_none, None),
    "convert: int; int >=0": (t.non_negative, 0),
    "convert: int; int -1..2147483647": (t.quota_limit, -1),
    "convert: int; int 0..2147483647": (t.non_negative, 2147483647),
    "convert: int; int 0..16777215": (t.integer_between(0, 16777215), 16777215),
    "convert: int; int 1..4294967295": (t.integer_between(1, 4294967295), 4294967295),
    "convert: int; int 1..65535": (t.port_number, 65535),
    "int 1..65535|null": (t.port_number_or_none, None),
    "port or port:port, 1..65535|null": (r.port_range_or_none, "80:90"),
    "convert: int; enum[4, 6]": (t.enum(4, 6), "6"),
    "convert: int; enum[0, 8, 10...": (t.enum(0, 8, 10), 8),
    "enum[ACCEPT, DROP, ALL]": (t.enum("ACCEPT", "DROP", "ALL"), "ALL"),
    "enum[any, ingress, egress]": (t.enum("any", "ingress", "egress"), "any"),
    "enum[ingress, egress]": (r.direction, "egress"),
    "enum[translate, passthrough]": (t.enum("translate", "passthrough"), "translate"),
    "enum[vlan, vxlan, gre, geneve]": (t.enum("vlan", "vxlan", "gre", "geneve"), "gre"),
    "enum[dhcpv6-stateful, dhcpv6-stateless, slaac]": (t.enum("dhcpv6-stateful", "dhcpv6-stateless", "slaac"), "slaac"),
    "enum[null, ACTIVE, DOWN]": (n.data_plane_status, None),
    "enum[isolated, promiscuous, community, null]": (n.pvlan_type, "isolated"),
    "enum[required, preferred, legacy, socket, null]": (n.numa_affinity_policy, "socket"),
    "enum[normal, direct, macvtap...": (n.vnic_type, "remote-managed"),
    "regex [a-zA-Z_.][a-zA-Z_.0-9]{0,231}$|null": (n.pvlan_community, "a1"),
    "dict|null": (t.dictionary_or_none, {"any": ["thing"]}),
    "list<uuid> unique": (t.uuid_list, ["55182d26-86fe-4ad3-9638-51752abe5e9c"]),
    "list<string> unique <=255": (t.tags, ["a", "b"]),
    "list<string> unique, JSON form <=255 chars": (n.availability_zone_hints, ["nova"]),
    "list<string starting with a device_owner prefix...": (n.service_types, ["compute:nova"]),
    "convert: null->[]": (t.null_is_empty(t.list_of(t.anything)), None),
    "convert: null->[]; list<uuid> unique": (n.security_groups, None),
    "convert: null->[]; list<ip> unique": (a.nameservers, ["192.0.2.53"]),
    "convert: null->[]; list<cidr> unique": (t.null_is_empty(a.cidr_list), ["192.0.2.0/24"]),
    "list<cidr> unique": (a.cidr_list, ["2001:db8::/32"]),
    "convert: null->[]; list<{destination...": (a.routes, [{"destination": "0.0.0.0/0", "nexthop": "192.0.2.1"}]),
    "convert: null->[]; filter-convert: key=value list->dict; list<{ip_address: ip|cidr...": (
        n.allowed_address_pairs,
        [{"ip_address": "192.0.2.0/24", "mac_address": "fa:16:3e:00:00:01"}],
    ),
    "filter-convert: key=value list->dict; list<{ip_address?...": (a.fixed_ips, [{"ip_address": "192.0.2.1"}]),
    "filter-convert: key=value list->dict; list<{port_id...": (
        n.sub_ports,
        [{"port_id": "55182d26-86fe-4ad3-9638-51752abe5e9c", "segmentation_type": "vlan", "segmentation_id": 7}],
    ),
    "filter-convert: key=value list->dict; list<{provider:network_type?...": (
        n.segments,
        [{"provider:network_type": "vxlan"}],
    ),
    "convert: pools canonical v6; list<{start: ip, end: ip}>": (a.allocation_pools, []),
    "list<one of: dict{opt_name*: enum[router...": (n.extra_dhcp_opts, [{"opt_name": "router", "opt_value": ""}]),
    "dict{openvswitch...": (n.hints, {"openvswitch": {"other_config": {"tx-steering": "hash"}}}),
    "dict{network_id*...": (n.external_gateway_info, {}),
    "list<dict{network_id*...": (n.external_gateways, None),
    "ip": (a.ip, "2001:DB8::1"),
    "ip|null": (a.ip_or_none, None),
    "cidr|null": (a.cidr_or_none, None),
    "convert: ip canonical v6; ip|null": (a.ip_or_none, "192.0.2.1"),
    "convert: cidr canonical v6; cidr|null": (a.cidr_or_none, "192.0.2.7/24"),
    "convert: null->generated mac; mac (not broadcast/zero)": (a.mac_or_none, None),
    "uuid|'prefix_delegation'|null": (n.subnetpool_id_or_none, "prefix_delegation"),
    "convert: lowercase; dns_domain_name <=255": (d.dns_domain, "Example.org."),
    "convert: lowercase; dns_host_name <=255": (d.dns_name, "web"),
    "convert: lowercase; fip_dns_host_name <=255": (d.relative_dns_name, "web"),
    "loaded service plugin type": (n.service_type, "L3_ROUTER_NAT"),
    "string non-empty or '*' (UUID-size check)": (n.rbac_target, "*"),
    "convert: convert_valid_object_type": (n.rbac_object_type, "network"),
    "convert: convert_protocol": (r.rule_protocol, "TCP"),
    "convert: convert_validate_port_value": (r.rule_port, "22"),
    "convert: convert_ethertype_to_case_insensitive...": (r.ethertype, "ipv4"),
    "convert: convert_ip_prefix_to_cidr": (r.rule_prefix, "192.0.2.1"),
    "convert: ip protocol name|0..255|null; enum...": (r.port_protocol, 17),
}


def known(rule: str) -> list[str]:
    return [key for key in RULES if key == rule or (key.endswith("...") and rule.startswith(key[:-3]))]


@pytest.mark.parametrize("rule", sorted({row["rule"] for _, row in ATTRIBUTES if row["rule"]}))
def test_rule_has_a_type(rule: str) -> None:
    assert len(known(rule)) == 1


def test_no_type_without_a_rule() -> None:
    used = {key for _, row in ATTRIBUTES if row["rule"] for key in known(row["rule"])}
    assert set(RULES) - used == set()


@pytest.mark.parametrize("rule", RULES)
def test_type_accepts_its_example(rule: str) -> None:
    type_, example = RULES[rule]
    value = type_.convert(example)
    assert type_.validate(value) is None
    assert type_.validate(type_.convert(value)) is None


@pytest.mark.parametrize(
    ("path", "row"),
    [(path, row) for path, row in ATTRIBUTES if row["rule"] and row.get("default", "<unset>") not in ("<unset>", None)],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_defaults_are_valid(path: str, row: dict[str, Any]) -> None:
    (key,) = known(row["rule"])
    type_ = RULES[key][0]
    assert type_.validate(type_.convert(row["default"])) is None


JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    "",
    " ",
    "x",
    "\x00",
    "\ud800",
    "a" * 5000,
    [],
    [None],
    [[]],
    [{}],
    {},
    {"x": {}},
]


def outcome(type_: t.Type, value: Any) -> str | errors.Fault | None:
    try:
        return type_.validate(type_.convert(value))
    except errors.Fault as fault:
        return fault


@pytest.mark.parametrize("rule", RULES)
def test_junk_is_refused_politely_or_taken(rule: str) -> None:
    """Whatever JSON can say, a type answers with a value, a reason or a fault of the client: never a crash."""
    wrapped = [{"a": JUNK}, JUNK, [{"ip_address": one} for one in JUNK], [{"opt_name": one} for one in JUNK]]
    for junk in [*JUNK, *wrapped]:
        result = outcome(RULES[rule][0], junk)
        if isinstance(result, errors.Fault):
            assert 400 <= result.status < 500
        else:
            assert result is None or isinstance(result, str)
