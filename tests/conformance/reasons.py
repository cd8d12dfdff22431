"""Why a case of the suites may be skipped: our word for every reason that they give."""

from __future__ import annotations

import re

OTHER_EXTENSIONS = {
    "agent-resources-synced": "agents of other backends",
    "bgp": "BGP",
    "bgpvpn": "BGP VPN",
    "dhcp_agent_scheduler": "scheduling by hand on agents of many hosts",
    "dvr": "distributed routers",
    "evpn": "EVPN",
    "external-gateway-multihoming": "several gateways of one router",
    "flavors": "flavors",
    "fwaas_v2": "firewall as a service",
    "l3_agent_scheduler": "scheduling by hand on agents of many hosts",
    "l3-conntrack-helper": "conntrack helpers",
    "l3-ha": "routers on several hosts",
    "l3-ndp-proxy": "ND proxy",
    "logging": "packet logging",
    "metering": "metering",
    "network-segment-range": "segment ranges by the API",
    "ovn-bgp": "BGP of OVN",
    "port-trusted-vif": "trusted functions of SR-IOV cards",
    "pvlan": "private VLANs",
    "router_availability_zone": "scheduling on agents of many hosts",
    "service-type": "service types, which flavors need",
    "standard-attr-segment": "segments by the API",
    "trunk": "trunks",
    "trunk-details": "trunks",
}
"""Extensions that another issue brings -> what they are."""

OTHERS = {
    r"(floating-ip-router-writable|router-interface-fip)\b.* not enabled": "the reference implementation does not offer it either",
    r"^tag extension not enabled": "a name that the extension no longer has; the cases of `standard-attr-tag` run",
    r"outdated starting from Ussuri|skipped until LP#1991965": "the suite has given the case up",
    r"neutron\.services\.[\w.]+ is not available": "a class of the reference implementation, which only that can have",
    r"compute service is not available": "there is no Nova here; what it asks of the API is tested without it",
    r"At least one DHCP agent is required": (
        "the suite asks for the agent type `DHCP Agent`, the API's name is `DHCP agent`; "
        "they are one only for a database that ignores case"
    ),
}
"""Expressions that a reason of the suites holds -> why that is right."""


def written(reason: str) -> str:
    """Why a case that gave `reason` may be skipped; empty: it may not."""
    found = re.search(r"([\w-]+) extension not enabled|extension: ([\w-]+) is not enabled", reason)
    what = OTHER_EXTENSIONS.get((found[1] or found[2]).lower()) if found else None
    if what:
        return f"{what}: not part of Weft yet"
    return next((why for expression, why in OTHERS.items() if re.search(expression, reason)), "")
