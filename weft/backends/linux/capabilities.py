"""What of the API the Linux backend can honour, as data."""

from __future__ import annotations

CAPABILITIES = frozenset(
    {
        "address-group",
        "allowed-address-pairs",
        "binding",
        "expose-l3-conntrack-helper",
        "external-net",
        "ext-gw-mode",
        "extra_dhcp_opt",
        "extraroute",
        "floating-ip-port-forwarding",
        "l3-conntrack-helper",
        "net-mtu",
        "port-security",
        "provider",
        "router",
        "security-group",
        "security-groups-remote-address-group",
        "stateful-security-group",
    }
)
