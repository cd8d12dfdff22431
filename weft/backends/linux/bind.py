"""How a port is attached to a host whose backend is this one. Pure: decided from what the host reported about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.backends.interface import Binding, HostFacts, Unbound
from weft.backends.linux import names
from weft.backends.linux.switches import uplink
from weft.logical.model import Segment

VIF_TYPE = "bridge"


def bind(port: Mapping[str, Any], segments: Sequence[Segment], host: HostFacts) -> Binding | Unbound:
    """A bridge port on `host`, or the reason why not, in words for the port's owner."""
    vnic_type = port.get("binding:vnic_type") or "normal"
    if vnic_type != "normal":
        return Unbound(f"vnic type {vnic_type} is not supported by Linux bridges, only normal is")
    if not host.alive:
        return Unbound(f"the agent of host {host.host} is dead")
    reasons = []
    for segment in segments:
        reason = _refusal(segment, host)
        if not reason:
            return Binding(
                VIF_TYPE,
                {
                    "port_filter": True,
                    "connectivity": "l2",
                    "bridge_name": names.bridge(str(port["network_id"])),
                    "bound_drivers": {"0": "linux"},
                },
            )
        reasons.append(reason)
    return Unbound("; ".join(reasons) or "the network has no segment")


def _refusal(segment: Segment, host: HostFacts) -> str:
    if segment.network_type == "local" or segment.network_type in host.tunnel_types:
        return ""
    if segment.network_type in ("flat", "vlan"):
        _, problem = uplink(segment.physical_network or "", host.bridge_mappings)
        return problem.replace("this host", f"host {host.host}")
    return f"host {host.host} cannot carry networks of type {segment.network_type}"
