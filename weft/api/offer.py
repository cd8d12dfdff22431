"""What of the API an installation offers: what its configuration switches on and its dataplane can honour.

Most of the API is kept by the database and the reconcilers whatever the dataplane; `BY_DATAPLANE` is what is not.
"""

from __future__ import annotations

from collections.abc import Iterable

from weft.config import Config
from weft.registry.resource import Resource

BY_DATAPLANE = frozenset(
    {
        "dvr",
        "enable-default-route-bfd",
        "enable-default-route-ecmp",
        "evpn",
        "expose-l3-conntrack-helper",
        "external-gateway-multihoming",
        "l3-agent-scheduler-ha-chassis-priority",
        "l3-conntrack-helper",
        "l3-ext-ndp-proxy",
        "l3-ha",
        "l3-ndp-proxy",
        "local_ip",
        "logging",
        "metering",
        "metering_source_and_destination_fields",
        "network_ha",
        "port-hint-ovs-tx-steering",
        "pvlan",
        "router-admin-state-down-before-update",
        "trunk",
        "trunk-details",
    }
)
"""Extensions that promise packets which only some dataplanes can deliver."""


def absent(config: Config, capabilities: frozenset[str] | None) -> frozenset[str]:
    """Aliases that are not offered. `capabilities` are those of the installation's backend; None: it can everything."""
    found = set() if capabilities is None else set(BY_DATAPLANE - capabilities)
    if not config.api.vlan_transparent:
        found.add("vlan-transparent")
    if not config.api.enable_dvr:
        found |= {"dvr", "router-admin-state-down-before-update"}
    if not config.api.vlan_qinq:
        found.add("qinq")
    return frozenset(found)


def offered(resources: Iterable[Resource], absent: frozenset[str]) -> tuple[Resource, ...]:
    """The resources without what is not offered."""
    return tuple(one.without(absent) for one in resources if one.extension not in absent)
