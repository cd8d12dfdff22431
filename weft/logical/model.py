"""The network that should exist, as small frozen values in OVN's vocabulary (ovn-nb(5)).

Each value is keyed one by one (`Key`), so that a change re-renders what it touched and not a whole network. Values are
complete: a backend needs no database. Addresses are canonical text (RFC 5952 for IPv6), MACs lower case with colons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["switch", "port", "router", "group", "addresses"]


class Key(NamedTuple):
    """What one value is called: its kind and the id of the API object that it was rendered from."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Segment:
    """How a switch is carried between hosts (API: provider:* attributes).

    `network_type`: local, flat, vlan, vxlan, geneve, gre. `segmentation_id`: VLAN tag or VNI.
    """

    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Route:
    """A static route: CIDR `destination` by way of the address `nexthop`."""

    destination: str
    nexthop: str


@dataclass(frozen=True, slots=True)
class DhcpOptions:
    """One subnet as its hosts learn it: DHCPv4 (RFC 2131), DHCPv6 (RFC 8415), router advertisements (RFC 4861).

    `ra_mode` and `address_mode` are the subnet's ipv6_ra_mode and ipv6_address_mode (slaac, dhcpv6-stateful,
    dhcpv6-stateless) or None. `host_routes` are those of the API; the backend adds what its metadata service needs.
    """

    subnet_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[Route, ...] = ()
    ra_mode: str | None = None
    address_mode: str | None = None
    dns_publish: bool = False


@dataclass(frozen=True, slots=True)
class Private:
    """A port of a private VLAN (RFC 5517) that may not speak to everybody: `community` '' means isolated.

    An isolated port speaks to promiscuous ports alone, one of a community also to others of it. `macs` and `addresses` are
    what it sends from.
    """

    port: str
    community: str
    macs: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogicalSwitch:
    """A network: one broadcast domain. `mtu` in bytes of IP packet.

    `vlan_passthru`: frames of workloads may have tags of their own; `qinq`: they have one of IEEE 802.1ad around that on a
    VLAN. `private`: of a private VLAN, its ports on all hosts that are not promiscuous, by id. `serves_dhcp`: some DHCP agent
    is to answer there.
    """

    id: str
    name: str
    project_id: str
    mtu: int
    segments: tuple[Segment, ...]
    subnets: tuple[DhcpOptions, ...] = ()
    external: bool = False
    enabled: bool = True
    dns_domain: str = ""
    vlan_passthru: bool = False
    qinq: bool = False
    zone_hints: tuple[str, ...] = ()
    revision: int = field(default=0, compare=False)
    private: tuple[Private, ...] = ()
    serves_dhcp: bool = True

    @property
    def key(self) -> Key:
        return Key("switch", self.id)


@dataclass(frozen=True, slots=True)
class Address:
    """One fixed IP of a port, with the prefix length of its subnet."""

    ip: str
    prefixlen: int
    subnet_id: str

    @property
    def version(self) -> int:
        return 6 if ":" in self.ip else 4


@dataclass(frozen=True, slots=True)
class AddressPair:
    """An additional (MAC, address or CIDR) that a port may use as source (API: allowed_address_pairs)."""

    mac: str
    ip: str


@dataclass(frozen=True, slots=True)
class DhcpOption:
    """One of a port's extra DHCP options: name as in dnsmasq or a number, value text, IP version 4 or 6."""

    name: str
    value: str
    ip_version: int = 4


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so much a second. Bandwidth: `rate` in kbit/s, `burst` in kbit; packets: thousands a second, and thousands.

    `burst` 0: what the backend finds fit.
    """

    rate: int
    burst: int = 0


@dataclass(frozen=True, slots=True)
class Qos:
    """What packets are held to; directions as a workload sees them: egress leaves it. `dscp` (RFC 2474) marks egress.

    `minimum` kbit/s that egress has, however busy the way out of the host is; 0 for none.
    """

    egress: Limit | None = None
    ingress: Limit | None = None
    egress_packets: Limit | None = None
    ingress_packets: Limit | None = None
    dscp: int | None = None
    minimum: int = 0


@dataclass(frozen=True, slots=True)
class LocalIp:
    """An address that workloads of the same host and switch reach the port `fixed_ip` is of by.

    `translate`: packets to `ip` are made packets to `fixed_ip`, answers are made to come from `ip`. Otherwise they are
    delivered as they are, to a port that has `ip` as well.
    """

    ip: str
    fixed_ip: str
    translate: bool = True


@dataclass(frozen=True, slots=True)
class LogicalPort:
    """A workload's attachment to a switch (router ports are part of their LogicalRouter, see RouterPort).

    `host` is where it is bound ('' when nowhere); `groups` are security group ids, empty with port_security meaning
    that nothing but what is always allowed (DHCP, ND) passes; port_security False means neither filter nor anti-spoofing.
    `hostname` and `fqdn` are what DNS answers for its addresses; `local_ips` lead to it on its host. A trunk's sub-port has
    the id of its `parent`, on whose device its frames carry the VLAN `tag` (ovn-nb(5): parent_name, tag); ones that do not,
    '' and 0. `also`: other hosts that are ready for it. `elsewhere`: a host of another dataplane than the view's has it.
    """

    id: str
    switch: str
    mac: str
    name: str = ""
    project_id: str = ""
    addresses: tuple[Address, ...] = ()
    device_id: str = ""
    device_owner: str = ""
    host: str = ""
    enabled: bool = True
    port_security: bool = True
    pairs: tuple[AddressPair, ...] = ()
    groups: tuple[str, ...] = ()
    dhcp_options: tuple[DhcpOption, ...] = ()
    dns: tuple[tuple[str, str, str], ...] = ()  # (ip, hostname, fqdn) per address
    qos: Qos | None = None
    parent: str = ""
    tag: int = 0
    local_ips: tuple[LocalIp, ...] = ()
    vnic_type: str = "normal"
    switchdev: bool = False
    also: tuple[str, ...] = ()
    elsewhere: bool = False
    revision: int = field(default=0, compare=False)

    @property
    def key(self) -> Key:
        return Key("port", self.id)


@dataclass(frozen=True, slots=True)
class Acl:
    """One security group rule. All that is None matches anything.

    direction: ingress (to the port) or egress (from it). ethertype: IPv4 or IPv6. protocol: an IANA name or number as
    text. For ICMP `port_min` is the type and `port_max` the code. At most one remote: `remote_prefix` (CIDR),
    `remote_group` (security group id) or `remote_addresses` (address group id); the latter two name an AddressSet.
    """

    id: str
    direction: Literal["ingress", "egress"]
    ethertype: Literal["IPv4", "IPv6"]
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_prefix: str | None = None
    remote_group: str | None = None
    remote_addresses: str | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """That packets of a security group's ports are written down for the operator (API: log).

    event: ACCEPT (what its rules allow), DROP (what nothing allows) or ALL. `port`: only those of that one, '' of all.
    """

    id: str
    event: Literal["ACCEPT", "DROP", "ALL"]
    port: str = ""


@dataclass(frozen=True, slots=True)
class PortGroup:
    """A security group: its ports are those LogicalPorts whose `groups` name it. Not stateful: no conntrack.

    `logs`: by which logs its packets are written down, those that are switched on.
    """

    id: str
    stateful: bool
    acls: tuple[Acl, ...] = ()
    logs: tuple[Log, ...] = ()

    @property
    def key(self) -> Key:
        return Key("group", self.id)


@dataclass(frozen=True, slots=True)
class AddressSet:
    """The addresses behind a remote: of a security group (its members' fixed IPs and address pairs) or an address group.

    `id` is that group's id. Elements are addresses or CIDRs.
    """

    id: str
    addresses: frozenset[str] = frozenset()

    @property
    def key(self) -> Key:
        return Key("addresses", self.id)


@dataclass(frozen=True, slots=True)
class RouterPort:
    """A router's leg in a tenant network. `addresses` are the router's own."""

    id: str
    switch: str
    mac: str
    mtu: int
    addresses: tuple[Address, ...]
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Gateway:
    """A router's leg in an external network. `nexthops`: gateway_ip of the subnets of its addresses (default routes)."""

    id: str
    switch: str
    mac: str
    mtu: int
    addresses: tuple[Address, ...]
    nexthops: tuple[str, ...] = ()
    enable_snat: bool = True


@dataclass(frozen=True, slots=True)
class Nat:
    """A floating IP: one external address for one internal address, both ways (ovn-nb(5): dnat_and_snat).

    `fqdn`: the name under which it is published; '' for none. `gateway_port` is the id of the Gateway that it is reached by;
    '' for the only one.
    """

    id: str
    external_ip: str
    logical_ip: str
    logical_port: str = ""
    gateway_port: str = ""
    fqdn: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True)
class PortForwarding:
    """(protocol, external ip and ports) to (internal ip and ports); ranges are inclusive and of equal length, or N to 1.

    `gateway_port` as of Nat.
    """

    id: str
    protocol: str
    external_ip: str
    external_ports: tuple[int, int]
    internal_ip: str
    internal_ports: tuple[int, int]
    gateway_port: str = ""
    floating_ip: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class AddressQos:
    """What the packets of one external address of a router are held to: a floating IP's, or those of its SNAT."""

    ip: str
    qos: Qos


@dataclass(frozen=True, slots=True)
class ConntrackHelper:
    """A protocol, named as conntrack(8) does, that is read along where it goes to this port: it announces connections."""

    name: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class LogicalRouter:
    """A router with its legs, NAT and routes.

    The default route of an IP version leads to a next hop of the first of the `gateways` that has one; with `ecmp` to
    all next hops of all gateways at equal cost, and with `bfd` (RFC 5880) to none that is found dead, as long as another
    lives. `ndp_proxies` are the inner IPv6 addresses that the gateways answer Neighbor Solicitations for (RFC 4861,
    section 7.2.8) and let in; None: nothing is answered for, and routing is plain.
    """

    id: str
    name: str = ""
    project_id: str = ""
    enabled: bool = True
    ports: tuple[RouterPort, ...] = ()
    gateway: Gateway | None = None
    extra_gateways: tuple[Gateway, ...] = ()
    ecmp: bool = False
    bfd: bool = False
    ndp_proxies: tuple[str, ...] | None = None
    routes: tuple[Route, ...] = ()
    nats: tuple[Nat, ...] = ()
    forwardings: tuple[PortForwarding, ...] = ()
    helpers: tuple[ConntrackHelper, ...] = ()
    qos: tuple[AddressQos, ...] = ()
    zone_hints: tuple[str, ...] = ()
    revision: int = field(default=0, compare=False)

    @property
    def key(self) -> Key:
        return Key("router", self.id)

    @property
    def gateways(self) -> tuple[Gateway, ...]:
        """All legs in external networks."""
        return ((self.gateway,) if self.gateway else ()) + self.extra_gateways

    @property
    def legs(self) -> tuple[RouterPort | Gateway, ...]:
        """Its ports in all networks, outside and inside."""
        return (*self.ports, *self.gateways)


Value = LogicalSwitch | LogicalPort | PortGroup | AddressSet | LogicalRouter


@dataclass(slots=True)
class HostView:
    """The slice of the network that one host needs: the desired state, whole.

    `ports` are those bound to this host; `routers` those that run on it; `switches` those that either of them touches;
    `groups` and `addresses` those that the ports' groups refer to (closed under reference).
    """

    host: str
    switches: dict[str, LogicalSwitch] = field(default_factory=dict)
    ports: dict[str, LogicalPort] = field(default_factory=dict)
    groups: dict[str, PortGroup] = field(default_factory=dict)
    addresses: dict[str, AddressSet] = field(default_factory=dict)
    routers: dict[str, LogicalRouter] = field(default_factory=dict)

    def of(self, kind: Kind) -> Mapping[str, Value]:
        """The values of one kind by id."""
        table: dict[Kind, Mapping[str, Value]] = {
            "switch": self.switches,
            "port": self.ports,
            "group": self.groups,
            "addresses": self.addresses,
            "router": self.routers,
        }
        return table[kind]
