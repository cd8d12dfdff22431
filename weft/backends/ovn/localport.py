"""The local port of a network: the same MAC and addresses on every host, which each host answers by itself (ovn-nb(5): type
localport). There the metadata service is. Pure.

It takes no address of a subnet: it has those of the services alone, and hosts learn by DHCP that 169.254.169.254 is on
their link.
"""

from __future__ import annotations

from weft.backends.linux import names
from weft.backends.linux.frames import SERVICE4, SERVICE6, service_mac

ADDRESSES = (SERVICE4, SERVICE6)
ROUTE = f"{SERVICE4}/32,0.0.0.0"
"""As classless_static_route of DHCPv4 wants it (option 121)."""
PREFIX = "ovnmeta-"


def name(network_id: str) -> str:
    """Of its Logical_Switch_Port."""
    return PREFIX + network_id


def mac(network_id: str) -> str:
    return service_mac(network_id)


def addresses(network_id: str) -> str:
    """As Logical_Switch_Port.addresses has it."""
    return " ".join((mac(network_id), *ADDRESSES))


def namespace(network_id: str, host_namespace: str) -> str:
    """Where a host's end is: as operators know it, where the switch runs in the machine's own namespace."""
    return names.service_namespace(host_namespace, network_id) if host_namespace else PREFIX + network_id


def namespaces(host_namespace: str) -> str:
    """What these names begin with."""
    return namespace("", host_namespace)


def link(network_id: str) -> str:
    """The device that is plugged into br-int."""
    return names.service(network_id)
