"""What a client may send, sensible and not: hypothesis strategies made from the declared types of the resources."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from weft.registry.attributes import REQUIRED, Attribute
from weft.registry.resource import Resource

Values = st.SearchStrategy[Any]


@dataclass(frozen=True)
class Ref:
    """Stands for the id of an object that exists when the request is sent: the `number`th of the member `kind`."""

    kind: str
    number: int


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


NOWHERE = "11111111-2222-4333-8444-555555555555"
"""An id that nobody has."""

JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 4, 6, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**63, 2**64, 10**30, -(10**300),
    0.5, 1.0, 1e308, 1e16, float("nan"), float("inf"), "", " ", "0", "-1", "1e3", "+1", "٣", "²", "1_000", "9" * 19,
    "9" * 21, "9" * 5000, "true", "None", "null", "default", "DEFAULT", "x", "\0", "a\0b", "\ud800", "\U0001f4a9",
    "é" * 255, "a" * 255, "a" * 256, "a" * 1025, "a" * 70_000, "\r\nX-Evil: 1", "' OR 1=1 --", "%00", "../../x", "{id}",
    NOWHERE, NOWHERE.replace("-", ""), f"{{{NOWHERE}}}", NOWHERE.upper(), f"{NOWHERE}\n", "*",
    [], [None], [[]], ["x"], [{}], {}, {"": ""}, {"id": NOWHERE}, {"\0": "\0"}, {"x": {"y": [{}]}}, nested(60),
    ["x"] * 3000, [{}] * 500, {str(number): number for number in range(500)},
)  # fmt: skip
"""Values that are wrong nearly everywhere."""

ADDRESSES = (
    "10.0.0.1", "10.0.0.2", "10.0.0.9", "10.0.0.255", "10.0.0.0", "10.0.1.5", "203.0.113.1", "203.0.113.7", "fd00::5",
    "fd00::", "fe80::1", "fe80::1%eth0", "::", "::1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1",
    "::ffff:10.0.0.1", "010.0.0.1", "10.0.0", "1", "169.254.169.254", "127.0.0.1",
)  # fmt: skip
CIDRS = (
    "10.0.0.0/24", "10.0.0.0/16", "10.0.1.0/24", "10.0.2.0/30", "10.0.3.0/31", "10.0.4.0/32", "0.0.0.0/0", "0.0.0.0/1",
    "::/0", "::/64", "fd00::/64", "fd00:1::/64", "fd00:2::/120", "fd00:3::/127", "fd00:4::/128", "224.0.0.0/4", "127.0.0.0/8",
    "ff00::/8", "fe80::/10", "10.0.0.5/24", "10.0.0.0/33", "10.0.0.0/255.255.255.0", "10.0.0.0/-1", "10.0.0.0/", "/24",
    "198.18.0.0/15", "fd00::/8", "10.0.0.0/٣",
)  # fmt: skip
MACS = (
    "fa:16:3e:00:00:01", "FA-16-3E-00-00-02", "fa163e000003", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01",
    "fa:16:3e", "zz:16:3e:00:00:01",
)  # fmt: skip
OWNERS = (
    "", "compute:nova", "network:dhcp", "network:router_interface", "network:router_gateway", "network:floatingip",
    "network:distributed", "network:routed", "baremetal:none", "trunk:subport",
)  # fmt: skip
REFERENCES: Mapping[str, tuple[str, ...]] = {
    "network_id": ("network",),
    "floating_network_id": ("network",),
    "port_id": ("port",),
    "internal_port_id": ("port",),
    "subnet_id": ("subnet",),
    "subnetpool_id": ("subnetpool",),
    "router_id": ("router",),
    "security_group_id": ("security_group",),
    "remote_group_id": ("security_group",),
    "remote_address_group_id": ("address_group",),
    "address_scope_id": ("address_scope",),
    "object_id": ("network", "subnetpool", "security_group", "address_scope", "address_group", "port"),
    "device_id": ("router", "floatingip", "port"),
}
"""Attribute -> members of the objects whose ids it holds."""

PROJECTS = ("p1", "p2", "admin", "*", "", "0123456789abcdef0123456789abcdef")
"""Values of project_id, tenant_id, target_tenant."""

junk: Values = st.sampled_from(JUNK)
numbers = st.integers(0, 7)


def reference(kinds: tuple[str, ...]) -> Values:
    return st.builds(Ref, st.sampled_from(kinds), numbers)


def named(name: str) -> Values | None:
    """Values that fit what an attribute is called."""
    if name in REFERENCES:
        return reference(REFERENCES[name])
    if name in ("project_id", "tenant_id", "target_tenant"):
        return st.sampled_from(PROJECTS)
    if name == "cidr" or name.endswith(("prefix", "destination")):
        return st.sampled_from(CIDRS)
    if name in ("prefixes", "addresses"):
        return st.lists(st.sampled_from(CIDRS), max_size=3)
    if name in ("dns_nameservers", "remote_ip"):
        return st.lists(st.sampled_from(ADDRESSES), max_size=3)
    if name.endswith(("ip_address", "gateway_ip", "nexthop", "start", "end")):
        return st.sampled_from(ADDRESSES)
    if name.endswith("mac_address"):
        return st.sampled_from(MACS)
    if name == "device_owner":
        return st.sampled_from(OWNERS)
    if name == "security_groups":
        return st.lists(reference(("security_group",)), max_size=2)
    return None


def fitting(schema: Mapping[str, Any], name: str = "") -> Values:
    """Values of a JSON schema as the types of weft.registry write them; ids and addresses by the attribute's name."""
    known = named(name)
    if known is not None:
        return known
    if not schema:
        return junk
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if "anyOf" in schema and "type" not in schema:
        return st.one_of(*(fitting(one, name) for one in schema["anyOf"]))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of(*(_of_kind(kind, schema, name) for kind in kinds))


def _of_kind(kind: str, schema: Mapping[str, Any], name: str) -> Values:
    if kind == "object":
        return _object(schema)
    if kind == "array":
        return st.lists(fitting(schema.get("items", {}), name), max_size=3)
    if kind == "integer":
        return st.integers(schema.get("minimum", -5), schema.get("maximum", 4096))
    if kind == "string" and "pattern" in schema:
        return st.from_regex(schema["pattern"].removesuffix("$") + r"\Z", alphabet=st.characters(max_codepoint=127))
    if kind == "string" and "anyOf" in schema:
        return st.sampled_from(ADDRESSES)
    plain: dict[str, Values] = {
        "string": st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=12),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return plain[kind]


def _object(schema: Mapping[str, Any]) -> Values:
    inner = {key: fitting(one, key) for key, one in schema.get("properties", {}).items()}
    required = schema.get("required", ())
    return st.fixed_dictionaries(
        {key: value for key, value in inner.items() if key in required},
        optional={key: value for key, value in inner.items() if key not in required},
    )


def _attribute(attribute: Attribute) -> Values:
    """Mostly what the attribute may be, now and then what it may not."""
    good = fitting(attribute.type.schema, attribute.name)
    return st.one_of(good, good, good, good, good, good, good, junk)


def body(resource: Resource, operation: str) -> Values:
    """The inner body of a POST (`create`) or PUT (`update`): what must be there, a few others, rarely what may not."""
    able = [a for a in resource.attributes if (a.post if operation == "create" else a.put)]
    required = {a.name: _attribute(a) for a in able if operation == "create" and a.default is REQUIRED}
    required.pop("project_id", None)
    optional = {a.name: _attribute(a) for a in able if a.name not in required}
    few = st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True) if optional else st.just([])
    whole = few.flatmap(lambda names: st.fixed_dictionaries({**required, **{name: optional[name] for name in names}}))
    strange = st.sampled_from(
        [
            "id",
            "status",
            "revision_number",
            "created_at",
            "_segments",
            "network:project_id",
            "gw_port_id",
            "",
            "\0",
            "x",
        ]
    )
    spoilt = st.builds(lambda good, name, value: {**good, name: value}, whole, strange, junk)
    lacking = whole.map(lambda good: dict(list(good.items())[1:]))
    return st.one_of(*[whole] * 12, spoilt, lacking)


def query_name(resource: Resource) -> Values:
    special = [
        "fields",
        "sort_key",
        "sort_dir",
        "limit",
        "marker",
        "page_reverse",
        "tags",
        "tags-any",
        "not-tags",
        "x",
        "",
    ]
    return st.sampled_from([a.name for a in resource.attributes] + list(resource.strategy.filters()) + special)


ENCODED = (
    "", "%00", "%ff", "%ed%a0%80", "%", "%zz", "+", "a" * 3000, "1", "-1", "0", "9" * 19, "9" * 40, "9" * 5000, "1.5", "nan",
    "true", "TRUE", "none", "asc", "desc", "id", "name", "_segments", "network%3Aproject_id", "%27%20OR%201%3D1", "a,b", ",",
    "ip_address%3D10.0.0.5", "subnet_id%3Dx", "ip_address_substr%3D10.", "x%3Dy", "port_id%3Dx", "ip_address%3D", "%3D", "%D9%A3",
    "fa%3A16%3A3e%3A00%3A00%3A01", "10.0.0.0/24", "10.0.0.1", "p2", "%2A", NOWHERE,
)  # fmt: skip
"""Values of query parameters as they stand in a URL."""

ODD_IDS = (
    NOWHERE, "x", "%00", "%0a", "%ff", "%ed%a0%80", "..", "%2e%2e", "%2f", "a%2fb", "a" * 3000, "None", "null", " ", "%20", "*", "'",
    "{id}", "%7Bid%7D", ";", "x.json", ".json", "%F0%9F%92%A9", "tags", "default",
)  # fmt: skip


def address_of(text: str) -> bool:
    """True for what is an address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
