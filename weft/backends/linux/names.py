"""What our things are called in the kernel (docs/design/linux.md): recognisable, and derived from ids alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

BRIDGE_PREFIX, TAP_PREFIX, VXLAN_PREFIX, SERVICE_PREFIX = "brq", "tap", "vx", "svc"
Way = Literal["from", "to"]
BESIDE_PREFIX: Mapping[Way, str] = {"from": "qof", "to": "qot"}
SUB_PREFIX = "sub"


def bridge(network_id: str) -> str:
    """The bridge of a network in the host namespace."""
    return f"{BRIDGE_PREFIX}{network_id[:11]}"


def tap(port_id: str) -> str:
    """A workload's or router leg's device on the bridge, in the host namespace."""
    return f"{TAP_PREFIX}{port_id[:11]}"


def beside(tap: str, way: Way) -> str:
    """The device that what comes `from` a tap's workload, or goes `to` it, is sent round by and waits in; host namespace."""
    return BESIDE_PREFIX[way] + tap.removeprefix(TAP_PREFIX)


def tap_beside(device: str) -> str:
    """The tap that such a device is there for; '' for a device that is none of ours."""
    ours = device.startswith(tuple(BESIDE_PREFIX.values()))
    return TAP_PREFIX + device[len(TAP_PREFIX) :] if ours else ""


def vxlan(vni: int) -> str:
    """The VXLAN device of a network in the host namespace."""
    return f"{VXLAN_PREFIX}{vni}"


def is_vxlan(device: str) -> bool:
    """Whether it is called as ours are; others begin with the same letters (vxlan7)."""
    return device.startswith(VXLAN_PREFIX) and device.removeprefix(VXLAN_PREFIX).isdecimal()


def service(network_id: str) -> str:
    """The bridge side of a network's service port, in the host namespace."""
    return f"{SERVICE_PREFIX}{network_id[:11]}"


def service_namespace(host_namespace: str, network_id: str) -> str:
    """Where a network's DNS and metadata listen."""
    return f"{host_namespace}-net-{network_id}"


def router_prefix(host_namespace: str) -> str:
    """What the namespaces of all routers below one host namespace begin with."""
    return f"{host_namespace}-qrouter-" if host_namespace else "qrouter-"


def router_namespace(host_namespace: str, router_id: str) -> str:
    return router_prefix(host_namespace) + router_id


def router_leg(port_id: str) -> str:
    """A router's end of the veth whose other end is `tap(port_id)`, for a tenant network."""
    return f"qr-{port_id[:11]}"


def gateway_leg(port_id: str) -> str:
    """The same for the external network."""
    return f"qg-{port_id[:11]}"


def sub(port_id: str) -> str:
    """The other end of a trunk's sub-port, in the host namespace too: its frames are the parent's that carry its tag."""
    return f"{SUB_PREFIX}{port_id[:11]}"


def is_sub(device: str) -> bool:
    return device.startswith(SUB_PREFIX) and len(device) == len(SUB_PREFIX) + 11


def tap_of_sub(device: str) -> str:
    """The device of the sub-port whose other end that is."""
    return TAP_PREFIX + device.removeprefix(SUB_PREFIX)
