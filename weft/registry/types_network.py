"""What an attribute's value may be: the structured and special values of networks, subnets, ports, routers, trunks."""

from __future__ import annotations

import json
import re
from typing import Any

from weft import errors
from weft.registry.types import (
    Type,
    anything,
    boolean,
    enum,
    integer,
    key_value,
    list_of,
    matching,
    null_is_empty,
    nullable,
    project_id,
    record,
    show,
    string,
    string_or_none,
    text_fault,
    uuid,
    uuid_fault,
    uuid_or_none,
)
from weft.registry.types_address import (
    fixed_ips,
    ip_fault,
    is_group_mac,
    is_multicast,
    mac_fault,
    prefix_fault,
    to_interface,
    to_mac,
)

DEVICE_OWNER = re.compile(r"[A-Za-z][^:\s]*:\S*")
"""Who made a port and what for, as `service:purpose`: services of other names than OpenStack's own may make ports too."""


# Networks.

segments = list_of(
    record(
        {
            "provider:network_type": string_or_none(32),
            "provider:physical_network": string_or_none(64),
            "provider:segmentation_id": nullable(integer),
        }
    ),
    unique=False,
    filter=key_value,
)
"""Segments of a network that is made of several. Duplicates have a fault of their own, found by the resource."""


def _zone_hints_fault(value: Any) -> str | None:
    fault = _zones.validate(value)
    if fault is None and len(json.dumps(value)) > 255:
        raise errors.InvalidInput(reason="Too many availability_zone_hints specified")
    return fault


_zones = list_of(string(255))
availability_zone_hints = Type("availability_zone_hints", _zones.schema, validate=_zone_hints_fault)


# Subnets.


def _pool_fault(value: Any) -> str | None:
    if value is None or value == "prefix_delegation":
        return None
    return uuid_fault(value)


subnetpool_id_or_none = Type(
    "uuid|'prefix_delegation'|null",
    {"anyOf": [uuid.schema, {"const": "prefix_delegation"}, {"type": "null"}]},
    validate=_pool_fault,
)


def _service_types_fault(value: Any) -> str | None:
    if not isinstance(value, list):
        return f"{show(value)} is not a list"
    for one in value:
        if not isinstance(one, str):
            raise errors.InvalidInputSubnetServiceType(service_type=one)
        if not DEVICE_OWNER.fullmatch(one) or text_fault(one, 255) is not None:
            raise errors.InvalidSubnetServiceType(service_type=one)
    return None


def _each_once(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return list({repr(one): one for one in value}.values())


service_types = Type(
    "service_types",
    {"type": "array", "items": {"type": "string", "pattern": f"^{DEVICE_OWNER.pattern}$"}},
    convert=_each_once,
    validate=_service_types_fault,
)
"""Device owners that a subnet is for."""


# Ports.

_pair = record({"ip_address": anything, "mac_address": anything}, ("ip_address",))


def _to_pair(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    pair = dict(value)
    if "ip_address" in pair:
        pair["ip_address"] = to_interface(pair["ip_address"])
    if "mac_address" in pair:
        pair["mac_address"] = to_mac(pair["mac_address"])
    return pair


def _to_pairs(value: Any) -> Any:
    if value is None:
        return []
    return [_to_pair(one) for one in value] if isinstance(value, list) else value


def _pair_fault(pair: Any) -> str | None:
    if isinstance(pair, dict) and "ip_address" not in pair:
        raise errors.AllowedAddressPairsMissingIP
    fault = _pair.validate(pair)
    if fault is not None:
        return fault
    address, mac = pair["ip_address"], pair.get("mac_address")
    fault = prefix_fault(address) if isinstance(address, str) and "/" in address else ip_fault(address)
    if fault is None and is_multicast(address):
        fault = f"{show(address)} is a multicast address, which is nobody's own"
    if fault is None and mac is not None:
        fault = mac_fault(mac)
        if fault is None and is_group_mac(mac):
            fault = f"{show(mac)} is a multicast MAC address, which is nobody's own"
    return fault


def _pairs_fault(value: Any) -> str | None:
    if not isinstance(value, list):
        return "Allowed address pairs must be a list"
    seen = set()
    for pair in value:
        fault = _pair_fault(pair)
        if fault is not None:
            return fault
        key = (pair.get("mac_address"), pair["ip_address"])
        if key in seen:
            raise errors.DuplicateAddressPairInRequest(mac=key[0], ip=key[1])
        seen.add(key)
    return None


allowed_address_pairs = Type(
    "allowed_address_pairs",
    {
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "properties": {"ip_address": {"type": "string"}, "mac_address": {"type": "string"}},
            "required": ["ip_address"],
            "additionalProperties": False,
        },
    },
    convert=_to_pairs,
    validate=_pairs_fault,
    filter=key_value,
)
"""How many there may be is configuration; the port's strategy counts."""

BLANK_DHCP_OPTIONS = ("router", "classless-static-route")
"""Options whose value may be empty: it takes the server's own value away."""

_dhcp_option = record(
    {"opt_name": string(64), "opt_value": string_or_none(255), "ip_version": enum(4, 6)}, ("opt_name", "opt_value")
)


def _dhcp_option_fault(option: Any) -> str | None:
    fault = _dhcp_option.validate(option)
    if fault is not None:
        raise errors.InvalidInput(reason=f"No valid key specs matched for: {show(option)} ({fault})")
    name, value = option["opt_name"], option["opt_value"]
    if not name.strip() or len(name.splitlines()) > 1:
        return f"opt_name: {show(name)} is not one line of text"
    if value is not None and name not in BLANK_DHCP_OPTIONS and (not value.strip() or len(value.splitlines()) > 1):
        return f"opt_value: {show(value)} is not one line of text"
    return None


extra_dhcp_opts = nullable(
    list_of(
        Type("dhcp_option", _dhcp_option.schema, convert=_dhcp_option.convert, validate=_dhcp_option_fault),
        unique=False,
    ),
    "extra_dhcp_opts",
)
"""A null `opt_value` takes the option away."""

hints = nullable(
    record({"openvswitch": record({"other_config": record({"tx-steering": enum("thread", "hash")})})}), "hints"
)

vnic_type = enum(
    "normal",
    "direct",
    "macvtap",
    "baremetal",
    "direct-physical",
    "virtio-forwarder",
    "smart-nic",
    "vdpa",
    "accelerator-direct",
    "accelerator-direct-physical",
    "remote-managed",
)
data_plane_status = enum("ACTIVE", "DOWN", None)
numa_affinity_policy = enum("required", "preferred", "legacy", "socket", None)
pvlan_type = enum("isolated", "promiscuous", "community", None)
pvlan_community = nullable(matching("[a-zA-Z_.][a-zA-Z_.0-9]{0,231}"), "pvlan_community")
hardware_offload_type = enum("switchdev")
security_groups = null_is_empty(list_of(uuid))


# Trunks.

_subport = record(
    {"port_id": uuid, "segmentation_type": string_or_none(32), "segmentation_id": nullable(integer)}, ("port_id",)
)
_subports = list_of(_subport, unique=False)


def _subports_fault(value: Any) -> str | None:
    fault = _subports.validate(value)
    if fault is not None:
        return fault
    ports, tags = set(), set()
    for one in value:
        kind, number = one.get("segmentation_type"), one.get("segmentation_id")
        if kind != "inherit" and (kind is None) != (number is None):
            return f"port {one['port_id']}: segmentation_type and segmentation_id belong together"
        if one["port_id"] in ports:
            return f"Duplicate port {one['port_id']}"
        if number is not None and (kind, number) in tags:
            return f"Duplicate segmentation_id {number}"
        ports.add(one["port_id"])
        tags.add((kind, number))
    return None


sub_ports = Type("sub_ports", _subports.schema, convert=_subports.convert, validate=_subports_fault, filter=key_value)


# Routers.

_gateway_fields = {"network_id": uuid, "external_fixed_ips": fixed_ips, "enable_snat": boolean}
_gateway = record({**_gateway_fields, "qos_policy_id": uuid_or_none}, ("network_id",))

external_gateway_info = Type(
    "external_gateway_info",
    {"anyOf": [_gateway.schema, {"type": "null"}, {"type": "object", "maxProperties": 0}]},
    convert=lambda value: _gateway.convert(value) if value else value,
    validate=lambda value: None if value is None or value == {} else _gateway.validate(value),
)
"""Where a router's default route leads; null and {} mean nowhere."""

external_gateways = nullable(list_of(record(_gateway_fields, ("network_id",)), unique=False), "external_gateways")


# Roles, flavors.

RBAC_OBJECT_TYPES = ("address_group", "address_scope", "network", "qos_policy", "security_group", "subnetpool")


def to_rbac_object_type(value: Any) -> str:
    """What an RBAC policy can share. Raises InvalidInput."""
    if isinstance(value, str) and value in RBAC_OBJECT_TYPES:
        return value
    raise errors.InvalidInput(
        reason=f"{show(value)} is not a valid object type, which is one of {', '.join(RBAC_OBJECT_TYPES)}"
    )


rbac_object_type = Type("rbac_object_type", {"enum": list(RBAC_OBJECT_TYPES)}, convert=to_rbac_object_type)


def _target_fault(value: Any) -> str | None:
    fault = text_fault(value, 255)
    if fault is None and value != "*" and len(value) not in (32, 36):
        raise errors.InvalidInput(reason=f"{show(value)} is not a valid target project ID; expected a UUID or '*'")
    return fault


rbac_target = Type("rbac_target", project_id.schema, validate=_target_fault)
"""The project that something is shared with; * means all."""

SERVICE_TYPES = ("CORE", "DUMMY", "FLAVORS", "L3_ROUTER_NAT", "METERING", "QOS")


def _service_type_fault(value: Any) -> str | None:
    if value not in SERVICE_TYPES:
        raise errors.InvalidServiceType(service_type=value)
    return None


service_type = Type("service_type", {"enum": list(SERVICE_TYPES)}, validate=_service_type_fault)
"""What a flavor is for."""
