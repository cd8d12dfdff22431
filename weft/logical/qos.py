"""QoS policies rendered to what the packets of a port or an external address are held to; and which rules there are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from weft.logical.model import AddressQos, Limit, Qos

Row = Mapping[str, Any]
Parameters = Mapping[str, Any]
"""Parameter -> the values that it may have: a list, or {"start": least, "end": most}."""

_NUMBER = {"start": 0, "end": 2**31 - 1}
_ONE_WAY = ["ingress", "egress"]
_MARKS = [0, *range(8, 41, 2), 44, 46, 48, 56]

RULES: Mapping[str, Parameters] = {
    "bandwidth_limit": {"max_kbps": _NUMBER, "max_burst_kbps": _NUMBER, "direction": _ONE_WAY},
    "dscp_marking": {"dscp_mark": _MARKS},
    "minimum_bandwidth": {"min_kbps": _NUMBER, "direction": _ONE_WAY},
    "minimum_packet_rate": {"min_kpps": _NUMBER, "direction": ["any", *_ONE_WAY]},
    "packet_rate_limit": {"max_kpps": _NUMBER, "max_burst_kpps": _NUMBER, "direction": _ONE_WAY},
}
"""Every type of rules of the API, with all values of its parameters."""

INHERITING = ("network:router_gateway", "network:floatingip_agent_gateway")
"""device_owner of ports of the network's own that its policy is about, as it is about workloads."""


def admits(parameters: Parameters, rule: Row) -> bool:
    """Whether all that the rule says is within `parameters`."""
    for name, allowed in parameters.items():
        value = rule.get(name)
        if isinstance(allowed, Mapping):
            if value is not None and not allowed["start"] <= value <= allowed["end"]:
                return False
        elif value is not None and value not in allowed:
            return False
    return True


def either(one: Parameters, other: Parameters) -> Parameters:
    """What one of two admits. Ranges are those of the API, and the same."""
    if one == other:
        return one
    lists = {name: values for name, values in other.items() if not isinstance(values, Mapping)}
    return {**one, **{name: list(dict.fromkeys([*one.get(name, ()), *values])) for name, values in lists.items()}}


def inherits(device_owner: str) -> bool:
    """Whether a port of that owner follows the policy of its network, having none of its own."""
    return device_owner in INHERITING or not device_owner.startswith(("network:", "neutron:"))


def qos(rules: Iterable[Row]) -> Qos | None:
    """What a policy's rules come to in the dataplane; None for nothing. Limits of 0 are none; minimums of packets, and of what
    comes in, are Placement's alone."""
    values: dict[str, Any] = {}
    for rule in rules:
        if rule["type"] == "dscp_marking":
            values["dscp"] = rule["dscp_mark"]
        elif rule["type"] == "minimum_bandwidth" and rule["direction"] == "egress" and rule["min_kbps"]:
            values["minimum"] = rule["min_kbps"]
        elif rule["type"] == "bandwidth_limit" and rule["max_kbps"]:
            values[rule["direction"]] = Limit(rule["max_kbps"], rule["max_burst_kbps"])
        elif rule["type"] == "packet_rate_limit" and rule["max_kpps"]:
            values[f"{rule['direction']}_packets"] = Limit(rule["max_kpps"], rule["max_burst_kpps"])
    return Qos(**values) if values else None


def of_port(port: Row, policies: Mapping[str, Row]) -> Qos | None:
    """A port's: by its own policy, else by its network's."""
    policy = policies.get(effective(port) or "")
    return qos(policy["rules"]) if policy else None


def effective(port: Row) -> str | None:
    """The id of the policy that a port follows."""
    own: str | None = port["qos_policy_id"]
    return own or (port["qos_network_policy_id"] if inherits(port["device_owner"]) else None)


def followed(router: Row, floatingips: Iterable[Row]) -> frozenset[str]:
    """The ids of the policies that a router's external addresses follow."""
    return frozenset(id for id in _wanted(router, floatingips).values() if id)


def of_addresses(router: Row, floatingips: Iterable[Row], policies: Mapping[str, Row]) -> tuple[AddressQos, ...]:
    """What each external address of a router is held to: floating IPs, and its own that others share by SNAT.

    Without a policy of their own they follow the external network's.
    """
    wanted = sorted(_wanted(router, floatingips).items())
    held = ((ip, qos(policies[id]["rules"])) for ip, id in wanted if id in policies)
    return tuple(AddressQos(ip, one) for ip, one in held if one)


def _wanted(router: Row, floatingips: Iterable[Row]) -> dict[str, str]:
    """External address -> id of its policy ('' for none)."""
    wanted = {
        fip["floating_ip_address"]: fip["qos_policy_id"] or fip["qos_network_policy_id"] or "" for fip in floatingips
    }
    for one in router["_gateway_ips"]:
        if ":" not in one["ip_address"]:  # IPv6 is not translated: workloads keep their own
            wanted[one["ip_address"]] = router["gateway_qos_policy_id"] or router["_gateway_network_qos"] or ""
    for extra in router["_extra_gateways"]:
        own = (one["ip_address"] for one in extra["fixed_ips"])
        wanted.update((ip, extra["network_qos"] or "") for ip in own if ":" not in ip)
    return wanted
