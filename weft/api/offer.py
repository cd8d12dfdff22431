"""What of the API an installation offers: what its configuration switches on and its dataplanes can honour.

Most of the API is kept by the database and the reconcilers whatever the dataplane; `BY_DATAPLANE` is what is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
        "port-hints",
        "pvlan",
        "router-admin-state-down-before-update",
        "trunk",
        "trunk-details",
    }
)
"""Extensions that promise packets which only some dataplanes can deliver."""


ON_REQUEST = {"vlan-transparent": "vlan_transparent", "qinq": "vlan_qinq"}
"""Extensions that are offered where an option says so; a network that no dataplane can carry so is refused."""

LEFT_OUT = {
    "floating-ip-distributed": "no dataplane here has floating IPs of two kinds",
    "floatingip-autodelete-internal": "of one vendor's plug-in; who makes a network internal deletes its floating IPs himself",
    "network-cascade-delete": "of one vendor's plug-in; clients that want it delete ports themselves, and see which",
    "project-default-networks": "no plug-in of the reference implementation brings it, and no client asks for it",
    "sort-key-validation": "sort keys are checked, as the reference does, which does not list it either",
    "subnet-segmentid-enforce": "a policy rule of its own for segment_id, which the reference does not have",
    "vpn-aes-ccm-gcm": "of a service beside the core API",
    "vpn-no-sha1-3des": "of a service beside the core API",
    "rbac-bgpvpn": "of a service beside the core API",
    "standard-attr-bgpvpn": "of a service beside the core API",
    "standard-attr-bgpvpn-network-association": "of a service beside the core API",
    "standard-attr-bgpvpn-port-association": "of a service beside the core API",
    "standard-attr-bgpvpn-router-association": "of a service beside the core API",
    "standard-attr-fwaas-v2": "of a service beside the core API",
    "network": "a name for what every service has; the reference does not list it",
    "port": "a name for what every service has; the reference does not list it",
    "subnet": "a name for what every service has; the reference does not list it",
    "subnetpool": "a name for what every service has; the reference does not list it",
}
"""Extensions that are defined for the API and not served -> why not."""


def absent(config: Config, capabilities: frozenset[str] | None) -> frozenset[str]:
    """Aliases that are not offered. `capabilities` are those of the installation's dataplanes; None: they can everything."""
    found = set() if capabilities is None else set(BY_DATAPLANE - capabilities)
    if not config.api.enable_dvr:
        found |= {"dvr", "router-admin-state-down-before-update"}
    found |= {alias for alias, name in ON_REQUEST.items() if not getattr(config.api, name)}
    return frozenset(found)


def honoured(alias: str, capabilities: Mapping[str, frozenset[str]]) -> dict[str, bool]:
    """Which backends honour an extension. What none of them names and no dataplane is needed for, is the same on all."""
    depends = alias in BY_DATAPLANE or alias in ON_REQUEST or any(alias in able for able in capabilities.values())
    return {name: not depends or alias in able for name, able in capabilities.items()}


def offered(resources: Iterable[Resource], absent: frozenset[str]) -> tuple[Resource, ...]:
    """The resources without what is not offered."""
    return tuple(one.without(absent) for one in resources if one.extension not in absent)
