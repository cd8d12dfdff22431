"""How a port is attached to a host of OVN. Pure: decided from what its chassis says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.backends.interface import Binding, HostFacts, Unbound
from weft.logical.model import Segment

OVERLAYS = ("geneve", "vxlan")
"""Types of networks that OVN's own tunnels carry, whatever these are encapsulated in."""

SWITCHED = ("normal", "vdpa", "remote-managed")
"""vnic types of devices that are ports of br-int."""
PASSED_THROUGH = {"direct": "hw_veb", "macvtap": "hw_veb", "direct-physical": "hostdev_physical"}
"""vnic type -> vif_type of devices that go past br-int, out by the host's network card (SR-IOV); OVN serves them DHCP as
external ports. Cards in switchdev mode have ports of br-int for them."""
OUTSIDE = {"baremetal": "other"}
"""The same of machines that are no host's."""
KNOWN = (*SWITCHED, *PASSED_THROUGH, *OUTSIDE)
REMOTE = ("card_serial_number", "pf_mac_address", "vf_num")
"""What binding:profile says of a port whose switch runs on a network card (SmartNIC)."""


def bind(port: Mapping[str, Any], segments: Sequence[Segment], host: HostFacts) -> Binding | Unbound:
    """A port of OVN on `host`, or the reason why not, in words for the port's owner."""
    vnic_type = port.get("binding:vnic_type") or "normal"
    profile = port.get("binding:profile") or {}
    past = passes(vnic_type, profile)
    problem = _problem(vnic_type, profile, host)
    if problem:
        return Unbound(problem)
    reasons = []
    for segment in segments:
        reason = _refusal(segment, host, vnic_type if past else "")
        if not reason:
            return _past(past, segment) if past else _switched()
        reasons.append(reason)
    return Unbound("; ".join(reasons) or "the network has no segment")


def passes(vnic_type: str, profile: Mapping[str, Any]) -> str | None:
    """The vif_type of a device that is no port of br-int; None where it is one."""
    direct = PASSED_THROUGH.get(vnic_type) if "switchdev" not in profile.get("capabilities", ()) else None
    return direct or OUTSIDE.get(vnic_type)


def _problem(vnic_type: str, profile: Mapping[str, Any], host: HostFacts) -> str:
    if vnic_type not in KNOWN:
        return f"host {host.host} has OVN: vnic type {vnic_type} is not supported there, only {', '.join(KNOWN)} are"
    missing = [name for name in REMOTE if name not in profile]
    if vnic_type == "remote-managed" and missing:
        return f"vnic type remote-managed needs {', '.join(missing)} in binding:profile"
    return "" if host.alive else f"the ovn-controller of host {host.host} does not answer"


def _switched() -> Binding:
    details = {"port_filter": True, "connectivity": "l2", "bridge_name": "br-int", "bound_drivers": {"0": "ovn"}}
    return Binding("ovs", details)


def _past(vif_type: str, segment: Segment) -> Binding:
    details: dict[str, Any] = {"port_filter": False, "connectivity": "l2", "bound_drivers": {"0": "ovn"}}
    if vif_type == "hw_veb":
        details["vlan"] = str(segment.segmentation_id or 0)
    return Binding(vif_type, details)


def _refusal(segment: Segment, host: HostFacts, past: str) -> str:
    """Why this segment does not reach ports on that host; `past` the vnic type of what is no port of br-int."""
    kind = segment.network_type
    if kind in ("flat", "vlan"):
        if segment.physical_network in host.bridge_mappings:
            return ""
        return f"host {host.host} has no physical network {segment.physical_network}"
    if past:
        return f"vnic type {past} needs a flat or VLAN network, not {kind}"
    return (
        ""
        if kind == "local" or kind in OVERLAYS
        else f"host {host.host} has OVN, which cannot carry networks of type {kind}"
    )
