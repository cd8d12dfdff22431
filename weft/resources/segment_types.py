"""What kinds of segments there are: what an administrator may say of each, how large its packets are, and where ids come from.

Pure. Rules: facts of the API, behaviours section 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft import errors
from weft.config import Config
from weft.registry.resource import Row

TUNNELS: Mapping[str, str] = {"vxlan": "vni_ranges", "geneve": "geneve_vni_ranges", "gre": "tunnel_id_ranges"}
"""Tunnel type -> option with its ranges."""
TYPES = ("local", "flat", "vlan", *TUNNELS)
VLAN_IDS = (1, 4094)
HIGHEST = {"vxlan": 2**24 - 1, "geneve": 2**24 - 1, "gre": 2**32 - 1}
IPV4_HEADER, IPV6_HEADER = 20, 40
OVERHEAD = {"vxlan": 30, "gre": 22}

PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")

Spans = Mapping[str | None, Sequence[tuple[int, int]]]
"""Physical network (None for tunnels) -> ranges of ids."""


def slot(network_type: str, physical_network: str | None, segmentation_id: int | None) -> str | None:
    """The thing that is taken; None for local networks, of which any number may exist."""
    if network_type == "local":
        return None
    return f"{network_type}:{physical_network or ''}:{'' if segmentation_id is None else segmentation_id}"


def overhead(config: Config, network_type: str) -> int:
    """Bytes that the encapsulation adds to an IP packet."""
    outer = IPV4_HEADER if config.ml2.overlay_ip_version == 4 else IPV6_HEADER
    if network_type == "geneve":
        return config.ml2.geneve_max_header_size + outer
    return OVERHEAD[network_type] + outer if network_type in OVERHEAD else 0


def mtu(config: Config, segment: Mapping[str, Any]) -> int:
    """The largest IP packet in bytes that fits the segment."""
    network_type, physical = segment["network_type"], segment["physical_network"]
    if network_type in TUNNELS:
        underlay = min(filter(None, (config.ml2.path_mtu, config.api.global_physnet_mtu)), default=1500)
        return underlay - overhead(config, network_type)
    known = {name: int(value) for name, value in config.ml2.physical_network_mtus.items()}
    return min(filter(None, (known.get(physical), config.api.global_physnet_mtu)), default=1500)


def vlan_ranges(config: Config) -> dict[str | None, Sequence[tuple[int, int]]]:
    """physical network -> ranges of VLAN tags that tenants may get; configured without a range: administrators only."""
    found: dict[str | None, list[tuple[int, int]]] = {}
    for entry in config.ml2.network_vlan_ranges:
        name, *numbers = entry.strip().split(":")
        ranges = found.setdefault(name, [])
        if len(numbers) == 2:
            ranges.append((int(numbers[0]), int(numbers[1])))
    return dict(found)


def tunnel_ranges(config: Config, network_type: str) -> list[tuple[int, int]]:
    return [
        (int(first), int(last))
        for first, _, last in (entry.strip().partition(":") for entry in getattr(config.ml2, TUNNELS[network_type]))
    ]


def checked(config: Config, network_type: str | None, physical: str | None, number: int | None) -> str:
    """The type of a segment as an administrator wants it. Raises InvalidInput for what may not be said of one."""
    if network_type is None:
        raise errors.InvalidInput(reason="network_type required")
    if network_type not in TYPES:
        raise errors.InvalidInput(reason=f"network_type value '{network_type}' not supported")
    reason = _fault(config, network_type, physical, number)
    if reason:
        raise errors.InvalidInput(reason=reason)
    return network_type


def _fault(config: Config, network_type: str, physical: str | None, number: int | None) -> str:
    """What is wrong with a segment, if anything is."""
    if network_type in TUNNELS:
        if physical:
            return f"provider:physical_network specified for {network_type} network"
        outside = number is not None and not 1 <= number <= HIGHEST[network_type]
        return f"segmentation_id out of range (1 through {HIGHEST[network_type]})" if outside else ""
    if network_type == "vlan":
        return _vlan_fault(config, physical, number)
    if number is not None:
        return f"segmentation_id prohibited for {network_type} provider network"
    if network_type == "local":
        return "physical_network prohibited for local provider network" if physical else ""
    if not physical:
        return "physical_network required for flat provider network"
    known = "*" in config.ml2.flat_networks or physical in config.ml2.flat_networks
    return "" if known else f"physical_network '{physical}' unknown for flat provider network"


def _vlan_fault(config: Config, physical: str | None, number: int | None) -> str:
    if physical and physical not in vlan_ranges(config):
        return f"physical_network '{physical}' unknown for VLAN provider network"
    if number is None:
        return ""
    if not physical:
        return "segmentation_id requires physical_network for VLAN provider network"
    outside = not VLAN_IDS[0] <= number <= VLAN_IDS[1]
    return f"segmentation_id out of range ({VLAN_IDS[0]} through {VLAN_IDS[1]})" if outside else ""


def refuse_duplicates(segments: Sequence[Row]) -> None:
    """Raise SegmentsContainDuplicateEntry where two segments (API: `segments`) are the same. Those that leave their id to us
    are not compared."""
    whole = [tuple(one.get(name) for name in PROVIDER) for one in segments if not _is_partial(one)]
    if len(set(whole)) < len(whole):
        raise errors.SegmentsContainDuplicateEntry()


def _is_partial(one: Row) -> bool:
    return one.get(PROVIDER[0]) not in ("local", "flat") and one.get(PROVIDER[2]) is None


def without(spans: Sequence[tuple[int, int]], holes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans less what lies in holes."""
    left = list(spans)
    for start, end in holes:
        pieces = [((first, min(last, start - 1)), (max(first, end + 1), last)) for first, last in left]
        left = sorted({piece for pair in pieces for piece in pair if piece[0] <= piece[1]})
    return left
