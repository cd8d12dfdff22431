"""Pure: the links that carry a network on this host, from its LogicalSwitch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.backends.linux import names
from weft.backends.linux.links import Link
from weft.config import Linux
from weft.logical.model import LogicalPort, LogicalSwitch, Segment

EXTERNAL = "external"
"""The physical network that needs no interface: its bridge alone is it (see `external_cidr`)."""

TUNNELS = ("vxlan",)
"""Types of tunnels that end here."""

_LONGEST_NAME = 15


@dataclass(frozen=True, slots=True)
class Switch:
    """What a network is made of here: its bridge, what carries it elsewhere, and what keeps that from working."""

    bridge: Link
    uplinks: tuple[Link, ...] = ()
    problem: str = ""

    @property
    def links(self) -> tuple[Link, ...]:
        return (self.bridge, *self.uplinks)


def render(switch: LogicalSwitch, config: Linux) -> Switch:
    """The bridge and uplinks of a network. A network that is administratively down has a bridge that is down.

    Of several segments the host is on one: what joins segments is not here, and two hosts that joined them were a loop.
    What leads to other hosts is isolated, as service ports are: their addresses are equal on all hosts and must not meet.
    """
    bridge = Link(names.bridge(switch.id), kind="bridge", mtu=switch.mtu, up=switch.enabled)
    uplinks: list[Link] = []
    problems = []
    own = carried(switch.segments, config.bridge_mappings)
    for segment in (own,) if own else switch.segments:
        links, problem = _segment(segment, bridge.name, switch.mtu, config)
        uplinks += links
        problems += [problem] if problem else []
    return Switch(bridge, tuple(uplinks), "; ".join(problems))


def carried(
    segments: Sequence[Segment], mappings: Mapping[str, str], tunnel_types: Sequence[str] = TUNNELS
) -> Segment | None:
    """The segment of a network by which a host takes part in it: the first one that it can carry."""
    return next((one for one in segments if not refusal(one, mappings, tunnel_types)), None)


def refusal(segment: Segment, mappings: Mapping[str, str], tunnel_types: Sequence[str]) -> str:
    """Why this host cannot carry the segment."""
    if segment.network_type == "local" or segment.network_type in tunnel_types:
        return ""
    if segment.network_type in ("flat", "vlan"):
        return uplink(segment.physical_network or "", mappings)[1]
    return f"this host cannot carry networks of type {segment.network_type}"


def _segment(segment: Segment, bridge: str, mtu: int, config: Linux) -> tuple[list[Link], str]:
    if segment.network_type == "vxlan" and config.tunnel_address and segment.segmentation_id:
        name = names.vxlan(segment.segmentation_id)
        vni, local = segment.segmentation_id, config.tunnel_address
        return [Link(name, kind="vxlan", vni=vni, local=local, mtu=mtu, up=True, master=bridge, isolated=True)], ""
    if segment.network_type not in ("flat", "vlan"):
        return [], ""
    interface, problem = uplink(segment.physical_network or "", config.bridge_mappings)
    if problem or not interface:
        return [], problem
    if segment.network_type == "flat":
        return [Link(interface, up=True, master=bridge, isolated=True)], ""
    name = f"{interface}.{segment.segmentation_id}"
    if len(name) > _LONGEST_NAME:
        return [], f"the name {name} of the VLAN device would be longer than {_LONGEST_NAME} characters"
    tag = segment.segmentation_id or 0
    return [Link(name, kind="vlan", vlan=tag, parent=interface, mtu=mtu, up=True, master=bridge, isolated=True)], ""


def made_here(actual: Mapping[str, Link], mappings: Mapping[str, str]) -> set[str]:
    """The links of ours: bridges, VXLAN devices, and VLAN devices on such bridges. What carries a physical network is the
    operator's, and may be a VLAN device or tunnel too."""

    def ours(link: Link) -> bool:
        match link.kind:
            case "bridge":
                return link.name.startswith(names.BRIDGE_PREFIX)
            case "vxlan":
                return names.is_vxlan(link.name)
            case "vlan":
                return (link.master or "").startswith(names.BRIDGE_PREFIX)
        return False

    return {link.name for link in actual.values() if ours(link)} - set(mappings.values())


def uplink(physical_network: str, mappings: Mapping[str, str]) -> tuple[str, str]:
    """(interface that carries a physical network, or '' where its bridge alone is it; what is wrong)."""
    if physical_network in mappings:
        return mappings[physical_network], ""
    if physical_network == EXTERNAL:
        return "", ""
    return "", f"no bridge mapping for physical network {physical_network} on this host"


def attached(port: LogicalPort, switch: LogicalSwitch) -> Link:
    """A workload's device as it must be; nobody here makes it."""
    return Link(names.tap(port.id), mtu=switch.mtu, up=True, master=names.bridge(switch.id))
