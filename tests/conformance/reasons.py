"""Why a case of the suites may be skipped: our word for every reason that they give."""

from __future__ import annotations

import re

BESIDE_THE_CORE = {
    "bgp": "BGP, a service of its own",
    "bgpvpn": "BGP VPN, a service of its own",
    "fwaas_v2": "firewalls, a service of their own",
    "ovn-bgp": "BGP by OVN, a service of its own",
}
"""Extensions of services beside the core API -> what they are."""

OTHERS = {
    r"(floating-ip-router-writable|router-interface-fip)\b.* not enabled": (
        "an extension that the reference implementation does not offer either"
    ),
    r"^tag extension not enabled": "a name that the extension no longer has; the cases of `standard-attr-tag` run",
    r"outdated starting from Ussuri|skipped until LP#1991965": "the suite has given the case up",
    r"compute service is not available": "there is no Nova here; what it asks of the API is tested without it",
    r"At least one DHCP agent is required": (
        "the suite asks for agents of the type `DHCP Agent`; the API's name is `DHCP agent`, which is the same only to "
        "a database that ignores case. It looks at their ports, and hosts of ours answer DHCP without one"
    ),
}
"""Expressions that a reason of the suites holds -> why that is right."""


def written(reason: str) -> str:
    """Why a case that gave `reason` may be skipped; empty: it may not."""
    found = re.search(r"([\w-]+) extension not enabled|extension: ([\w-]+) is not enabled", reason)
    alias = (found[1] or found[2]).lower() if found else ""
    if alias in BESIDE_THE_CORE:
        return BESIDE_THE_CORE[alias]
    return next((why for expression, why in OTHERS.items() if re.search(expression, reason)), "")
