"""Hosts as OVN knows them (ovn-sb(5): Chassis), and how they appear in /agents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.backends.ovn import bandwidths
from weft.backends.ovn.capabilities import QOS
from weft.logical.qos import RULES

CONTROLLER, GATEWAY, METADATA = "OVN Controller agent", "OVN Controller Gateway agent", "OVN Metadata agent"
"""agent_type in /agents. A chassis is the first or, where routers' gateways may live on it, the second."""

METADATA_ID = "neutron:ovn-metadata-id"
"""external_ids of Chassis_Private by which a metadata agent that is not ours makes itself known."""


@dataclass(frozen=True, slots=True)
class Chassis:
    """A host with ovn-controller.

    `id` is its system-id, `host` its hostname: what ports are bound to. `bridge_mappings`: physical network -> bridge.
    `gateway`: an operator wants gateways of routers here (enable-chassis-as-gw). `zones`: availability zones, sorted.
    `encaps`: tunnel types, sorted; `ip` the tunnels' address. `alive`: ovn-controller follows what the databases say.
    `resources`: what it has to give, as its agent's configurations say it.
    """

    id: str
    host: str
    alive: bool = True
    bridge_mappings: Mapping[str, str] = field(default_factory=dict)
    gateway: bool = False
    zones: tuple[str, ...] = ()
    encaps: tuple[str, ...] = ("geneve",)
    ip: str = ""
    datapath: str = ""
    metadata: str = ""
    card_serial: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """One row of /agents as a chassis makes it. `kinds`: agent types that the same row may have had before. An agent's row
    has one zone: that of a chassis in several is the first, and all stand in its configurations."""

    id: str
    agent_type: str
    kinds: tuple[str, ...]
    binary: str
    host: str
    alive: bool
    availability_zone: str
    configurations: Mapping[str, Any]


def parse(
    name: str,
    hostname: str,
    settings: Mapping[str, str],
    encaps: Iterable[tuple[str, str]] = (),
    private: Mapping[str, str] | None = None,
    alive: bool = True,
) -> Chassis:
    """A chassis from its row: `settings` are other_config, in old databases external_ids; `encaps` (type, address);
    `private` the external_ids of its Chassis_Private row."""
    options = _pairs(settings.get("ovn-cms-options", ""), "=")
    encaps = sorted(encaps)
    private = private or {}
    return Chassis(
        id=name,
        host=hostname or name,
        alive=alive,
        bridge_mappings=_pairs(settings.get("ovn-bridge-mappings", ""), ":"),
        gateway="enable-chassis-as-gw" in options,
        zones=tuple(sorted(filter(None, options.get("availability-zones", "").split(":")))),
        encaps=tuple(sorted({kind for kind, _ in encaps})),
        ip=encaps[0][1] if encaps else "",
        datapath=settings.get("datapath-type", ""),
        metadata=private.get(METADATA_ID, ""),
        card_serial=options.get("card-serial-number", ""),
        versions={key: private[key] for key in sorted(private) if key.endswith("-version")},
        resources=bandwidths.parse(options, hostname or name),
    )


def _pairs(text: str, separator: str) -> dict[str, str]:
    """ "a=1,b" -> {"a": "1", "b": ""}."""
    parts = [part.strip().partition(separator) for part in text.split(",")]
    return {key: value for key, _, value in parts if key}


def agents(chassis: Iterable[Chassis]) -> list[AgentFacts]:
    """What /agents shows of these hosts."""
    found = []
    for one in chassis:
        kind = GATEWAY if one.gateway else CONTROLLER
        found.append(
            AgentFacts(
                one.id,
                kind,
                (CONTROLLER, GATEWAY),
                "ovn-controller",
                one.host,
                one.alive,
                one.zones[0] if one.zones else "",
                _told(one),
            )
        )
        if one.metadata:
            told = {"chassis_name": one.id}
            binary = "neutron-ovn-metadata-agent"
            found.append(AgentFacts(one.metadata, METADATA, (METADATA,), binary, one.host, one.alive, "", told))
    return found


def _told(one: Chassis) -> dict[str, Any]:
    """`backend`, `bridge_mappings` and `tunnel_types` are what a port's binding is decided on, `qos` what policies are."""
    return {
        "backend": "ovn",
        "qos": _qos(one),
        "chassis_name": one.id,
        "bridge_mappings": dict(one.bridge_mappings),
        "bridge-mappings": ",".join(f"{network}:{bridge}" for network, bridge in one.bridge_mappings.items()),
        "tunnel_types": list(one.encaps),
        "tunneling_ip": one.ip,
        "datapath_type": one.datapath,
        "availability_zones": list(one.zones),
        **({"card_serial_number": one.card_serial} if one.card_serial else {}),
        **({"versions": dict(one.versions)} if one.versions else {}),
        **one.resources,
    }


def _qos(one: Chassis) -> Mapping[str, Any]:
    """What comes in has its minimum where the host says how much of it there is: Placement puts no more servers there."""
    rates = one.resources.get(bandwidths.BANDWIDTHS, {}).values()
    if not any(rate["ingress"] for rate in rates):
        return QOS
    return {**QOS, "minimum_bandwidth": RULES["minimum_bandwidth"]}
