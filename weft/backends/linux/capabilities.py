"""What of the API the Linux backend can honour, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAPABILITIES = frozenset(
    {
        "address-group",
        "allowed-address-pairs",
        "binding",
        "enable-default-route-bfd",
        "enable-default-route-ecmp",
        "expose-l3-conntrack-helper",
        "external-gateway-multihoming",
        "external-net",
        "ext-gw-mode",
        "extra_dhcp_opt",
        "extraroute",
        "floating-ip-port-forwarding",
        "l3-conntrack-helper",
        "l3-ext-ndp-proxy",
        "l3-ndp-proxy",
        "local_ip",
        "logging",
        "metering",
        "metering_source_and_destination_fields",
        "net-mtu",
        "port-security",
        "provider",
        "pvlan",
        "qos",
        "qos-bw-limit-direction",
        "qos-default",
        "qos-fip",
        "qos-fip-network-policy",
        "qos-gateway-ip",
        "qos-port-network-policy",
        "qos-pps",
        "qos-rule-type-details",
        "qos-rule-type-filter",
        "qos-rules-alias",
        "router",
        "security-group",
        "security-groups-remote-address-group",
        "stateful-security-group",
        "trunk",
        "trunk-details",
    }
)


def unloggable(port: Mapping[str, Any]) -> str:
    """Why what the groups of a port (of the API) do cannot be logged, in words for its owner; '' if it can."""
    vnic_type = port["binding:vnic_type"]
    return "" if vnic_type == "normal" else f"Linux bridges have no ports of vnic type {vnic_type}"
