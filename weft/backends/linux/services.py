"""The service port of each network: where DNS and metadata listen, reachable from the network and from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft.backends.interface import Report
from weft.backends.linux import links, names, netns
from weft.backends.linux.frames import LEAST_IPV6_MTU, SERVICE4, SERVICE6, service_mac
from weft.backends.linux.links import Address, Delete, Link, Links, Route
from weft.backends.linux.nft import Nft, NftError
from weft.logical.model import HostView, Key

INSIDE = "svc0"

SYSCTLS: Mapping[str, int] = {
    "net/ipv4/ip_forward": 0,
    "net/ipv4/conf/all/arp_ignore": 1,
    "net/ipv4/conf/all/arp_announce": 1,
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv4/conf/all/accept_redirects": 0,
    "net/ipv4/conf/default/accept_redirects": 0,
    "net/ipv6/conf/all/forwarding": 0,
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/default/accept_redirects": 0,
    "net/ipv6/conf/default/addr_gen_mode": 1,  # no link-local address but the one that we give
}

# Stateless, so that the kernel tracks no connection here. Policy accept and a last rule, as nft.py explains.
RULES = """\
table inet weft
delete table inet weft
table inet weft {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "lo" accept
    udp dport 53 accept
    tcp dport { 53, 80 } accept
    icmp type { echo-request, destination-unreachable, time-exceeded } accept
    icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded } accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    drop
  }
}
"""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One network's: `link` on the bridge of the host namespace, `INSIDE` in `namespace`. `cidrs`: the IPv4 subnets,
    each reached on link, so that answers find the workloads."""

    network_id: str
    namespace: str
    link: str
    bridge: str
    mac: str
    mtu: int
    cidrs: frozenset[str]


def render(view: HostView, host_namespace: str) -> dict[str, ServicePort]:
    """The service ports that a host needs, by network id: where it has a port, and DHCP or advertisements tell of it."""
    used = {port.switch for port in view.ports.values()}
    return {
        switch.id: ServicePort(
            network_id=switch.id,
            namespace=names.service_namespace(host_namespace, switch.id),
            link=names.service(switch.id),
            bridge=names.bridge(switch.id),
            mac=service_mac(switch.id),
            mtu=switch.mtu,
            cidrs=frozenset(subnet.cidr for subnet in switch.subnets if subnet.ip_version == 4),
        )
        for switch in view.switches.values()
        if switch.id in used and any(subnet.enable_dhcp or subnet.ra_mode for subnet in switch.subnets)
    }


class Services:
    """The service ports of one host namespace. One call at a time."""

    def __init__(self, host_namespace: str) -> None:
        self._host = host_namespace
        self._made: dict[str, ServicePort | None] = {}
        """By network; None where it was not possible, or not all of it."""

    def set(self, view: HostView, full: bool) -> Report:
        """Make those that are wanted, take away ours that are not. `full`: look at every one and at every namespace of
        ours, whatever this process remembers. Failures are reported by the switch and tried again next time."""
        report = Report()
        wanted = render(view, self._host)
        gone = sorted(self._made.keys() - wanted.keys())
        changed = [port for id, port in wanted.items() if full or self._made.get(id) != port]
        if not (full or gone or changed):
            return report
        host = Links(self._host)
        try:
            for network_id in gone:
                del self._made[network_id]
                self._remove(host, names.service(network_id), names.service_namespace(self._host, network_id))
            if full:
                self._prune(host, wanted, report)
            for port in changed:
                self._make(host, port, report)
        finally:
            host.close()
        return report

    def _prune(self, host: Links, wanted: Mapping[str, ServicePort], report: Report) -> None:
        prefix = names.service_namespace(self._host, "")
        namespaces = {port.namespace for port in wanted.values()}
        for namespace in netns.names():
            if namespace.startswith(prefix) and namespace not in namespaces:
                report.drift.append(f"namespace {namespace} serves no network of this host")
                self._remove(host, names.service(namespace.removeprefix(prefix)), namespace)
        known = {port.link for port in wanted.values()}
        for link in host.dump().values():
            if link.kind == "veth" and link.name.startswith(names.SERVICE_PREFIX) and link.name not in known:
                report.drift.append(f"link {link.name} serves no network of this host")
                host.apply([Delete(link.name)])

    def _remove(self, host: Links, link: str, namespace: str) -> None:
        # the link first: a namespace lives on, with its links, while a connection in it does
        host.apply([Delete(link)])
        netns.delete(namespace)

    def _make(self, host: Links, port: ServicePort, report: Report) -> None:
        expected = self._made.get(port.network_id) == port
        self._made[port.network_id] = None
        try:
            changed = netns.create(port.namespace, SYSCTLS)
            inside = Links(port.namespace)
            try:
                changed |= self._connect(host, inside, port)
                changed |= address(inside, port.cidrs, port.mtu)
            finally:
                inside.close()
            hold_to_services(port.namespace)
        except (OSError, NftError, Failed) as fault:
            report.failed[Key("switch", port.network_id)] = f"service port: {fault}"
            return
        if changed and expected:
            report.drift.append(f"service port {port.link} was not as made")
        self._made[port.network_id] = port

    def _connect(self, host: Links, inside: Links, port: ServicePort) -> bool:
        """The veth between bridge and namespace; whether anything had to be done."""
        here = host.get([port.link, port.bridge])
        if port.bridge not in here:
            raise Failed(f"its bridge {port.bridge} is not there")
        there = inside.get([INSIDE])
        changes: list[links.Change] = []
        if port.link in here and INSIDE not in there:
            changes.append(Delete(port.link))
            del here[port.link]
        if port.link not in here and INSIDE in there:
            check(inside.apply([Delete(INSIDE)]))  # its other end is in a host namespace that was
        outer = Link(
            port.link,
            kind="veth",
            mtu=port.mtu,
            up=True,
            master=port.bridge,
            peer=(port.namespace, INSIDE),
            peer_mac=port.mac,
            isolated=True,  # from what leads to other hosts, where the same addresses are
        )
        changes += links.diff(here, [outer])
        check(host.apply(changes))
        inner = links.diff(inside.get([INSIDE]), [Link(INSIDE, mtu=port.mtu, up=True, mac=port.mac)])
        check(inside.apply(inner))
        return bool(changes or inner)


def address(inside: Links, cidrs: frozenset[str], mtu: int) -> bool:
    """Give INSIDE, whose MTU that is, our two addresses, and a route on link to each subnet; whether anything was different.
    Raises Failed."""
    addresses = {Address(INSIDE, f"{SERVICE4}/32")}
    if mtu >= LEAST_IPV6_MTU:
        addresses.add(Address(INSIDE, f"{SERVICE6}/64"))
    have = inside.addresses()
    check(inside.change_addresses(add=addresses - have, remove=have - addresses))
    routes = {Route(cidr, link=INSIDE) for cidr in cidrs}
    present = inside.routes()
    check(inside.change_routes(add=routes - present, remove=present - routes))
    return have != addresses or present != routes


class Failed(Exception):
    """What the kernel refused, in words."""


def check(failed: Mapping[str, str] | Mapping[Address, str] | Mapping[Route, str]) -> None:
    """Raise Failed for the first of these failures."""
    for what, reason in failed.items():
        raise Failed(f"{what}: {reason}")


def hold_to_services(namespace: str) -> None:
    """Let nothing into the namespace but questions to its services. Raises NftError."""
    nft = Nft(namespace)
    try:
        nft.run(RULES)
    finally:
        nft.close()
