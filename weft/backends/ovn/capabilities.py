"""What OVN can honour of the API, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.backends.linux import capabilities as linux
from weft.backends.ovn.bind import KNOWN, passes
from weft.logical.qos import RULES

WITHOUT = frozenset(
    {
        "expose-l3-conntrack-helper",
        "l3-conntrack-helper",
        "l3-ext-ndp-proxy",
        "l3-ndp-proxy",
        "local_ip",
        "pvlan",
        "metering",
        "metering_source_and_destination_fields",
        "qos-pps",
    }
)
"""What a Linux host does and OVN does not."""
BESIDES = frozenset({"enable-default-route-bfd", "qinq", "vlan-transparent"})
"""What OVN does and a Linux host does not."""

CAPABILITIES: frozenset[str] = (linux.CAPABILITIES - WITHOUT) | BESIDES

QOS: Mapping[str, Any] = {
    "bandwidth_limit": RULES["bandwidth_limit"],
    "dscp_marking": RULES["dscp_marking"],
    "minimum_bandwidth": {**RULES["minimum_bandwidth"], "direction": ["egress"]},
}
"""Rules that are made into something, with the values of their parameters. Nothing of OVN counts packets."""

FORWARDED = ("tcp", "udp", "sctp")
"""Protocols whose ports can be forwarded: those that load balancers know (ovn-nb(5))."""
FORWARDED_PORTS = 1024
"""Ports of a range that can be forwarded: each is a flow of its own in every host."""


def unforwardable(protocol: str, ports: int) -> str:
    """Why so many ports of that protocol cannot be forwarded, in words for their owner; '' if they can."""
    if protocol not in FORWARDED:
        return f"OVN forwards ports of {', '.join(FORWARDED)}, and not {protocol}"
    if ports > FORWARDED_PORTS:
        return f"OVN forwards at most {FORWARDED_PORTS} ports as one range, and not {ports}"
    return ""


def unloggable(port: Mapping[str, Any]) -> str:
    """Why what the groups of a port (of the API) do cannot be logged, in words for its owner; '' if it can."""
    vnic_type = port["binding:vnic_type"]
    if passes(vnic_type, port["binding:profile"]):
        return f"packets of vnic type {vnic_type} go past Open vSwitch, which is what would log them"
    return "" if vnic_type in KNOWN else f"OVN has no ports of vnic type {vnic_type}"
