"""How a port is attached to a host whose backend is this one. Pure: decided from what the host reported about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.backends.interface import Binding, HostFacts, Unbound
from weft.backends.linux import names
from weft.backends.linux.switches import carried, refusal
from weft.logical.model import Segment

VIF_TYPE = "bridge"


def bind(port: Mapping[str, Any], segments: Sequence[Segment], host: HostFacts) -> Binding | Unbound:
    """A bridge port on `host`, or the reason why not, in words for the port's owner."""
    vnic_type = port.get("binding:vnic_type") or "normal"
    if vnic_type != "normal":
        return Unbound(
            f"host {host.host} has Linux bridges: vnic type {vnic_type} is not supported there, only normal is"
        )
    if not host.alive:
        return Unbound(f"the agent of host {host.host} is dead")
    segment = carried(segments, host.bridge_mappings, host.tunnel_types)
    if segment is None:
        reasons = [refusal(one, host.bridge_mappings, host.tunnel_types) for one in segments]
        words = "; ".join(reasons).replace("this host cannot", f"host {host.host} has Linux bridges, which cannot")
        return Unbound(words.replace("this host", f"host {host.host}") or "the network has no segment")
    details = {
        "port_filter": True,
        "connectivity": "l2",
        "bridge_name": names.bridge(str(port["network_id"])),
        "bound_drivers": {"0": "linux"},
    }
    return Binding(VIF_TYPE, details, segment)
