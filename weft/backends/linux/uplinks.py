"""Pure: how a router uses its gateways: where its default routes lead, and with several, that what began by one stays there.

With several gateways each has a number. A connection gets that of the gateway by which its first packet came in or went
out, as its conntrack mark; what comes from inside carries it as packet mark, and a rule leads it to the routing table of
that gateway. A workload with a floating IP begins by the gateway that its floating IP is reached by. Everything but default
routes is looked up before, in the main table: neighbours, networks inside, static routes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from zlib import crc32

from weft.logical.model import Gateway

TABLE = 57000
"""The routing table of gateway number n is this plus n."""
_NUMBERS = 4096

DEFAULTS: Mapping[int, str] = {4: "0.0.0.0/0", 6: "::/0"}
"""IP version -> destination of its default route."""


@dataclass(frozen=True, slots=True, order=True)
class Hop:
    """One way of a route: the next router's address and the leg that leads there. `onlink`: in none of its subnets."""

    via: str
    leg: str
    onlink: bool = False


@dataclass(frozen=True, slots=True)
class Uplink:
    """One gateway as a router uses it: its leg, number, what SNAT makes of inner addresses, its next hop by IP version, and
    its own address that the next hop is asked from whether it lives."""

    id: str
    leg: str
    number: int
    snat_ip: str | None
    enable_snat: bool
    hops: Mapping[int, Hop]
    sources: Mapping[Hop, str]


def uplinks(gateways: Sequence[Gateway], legs: Mapping[str, str]) -> tuple[Uplink, ...]:
    """The gateways, in their order. `legs`: their devices by id."""
    numbered = _numbers(one.id for one in gateways)
    return tuple(_uplink(one, legs[one.id], numbered[one.id]) for one in gateways)


def _uplink(gateway: Gateway, leg: str, number: int) -> Uplink:
    hops = _hops(gateway, leg)
    return Uplink(
        id=gateway.id,
        leg=leg,
        number=number,
        snat_ip=next((address.ip for address in gateway.addresses if address.version == 4), None),
        enable_snat=gateway.enable_snat,
        hops=hops,
        sources={hop: source for version, hop in hops.items() if (source := _source(gateway, version, hop))},
    )


def _source(gateway: Gateway, version: int, hop: Hop) -> str | None:
    """The gateway's address on the next hop's subnet. None where that is another's, or the hop has no address but the link's."""
    via = ip_address(hop.via)
    own = [address for address in gateway.addresses if address.version == version]
    return next((one.ip for one in own if via in ip_interface(f"{one.ip}/{one.prefixlen}").network), None)


def _numbers(ids: Iterable[str]) -> dict[str, int]:
    """A number for each, which does not depend on the others but in the rare case of two that would have the same."""
    found: dict[str, int] = {}
    for id in sorted(ids):
        number = crc32(id.encode()) % _NUMBERS
        while number + 1 in found.values():
            number = (number + 1) % _NUMBERS
        found[id] = number + 1
    return found


def _hops(gateway: Gateway, leg: str) -> dict[int, Hop]:
    """One for each IP version. Of several next hops the one in the subnet of the first address, which is also the SNAT
    address: another might refuse packets from there."""
    nets = [ip_interface(f"{address.ip}/{address.prefixlen}").network for address in gateway.addresses]
    found = {}
    for version in DEFAULTS:
        ways = [via for via in map(ip_address, gateway.nexthops) if via.version == version]
        if ways:
            via = next((via for net in nets for via in ways if via in net), ways[0])
            onlink = not via.is_link_local and not any(via in net for net in nets)
            found[version] = Hop(str(via), leg, onlink)
    return found


def defaults(ups: Sequence[Uplink], ecmp: bool, dead: Collection[Hop] = ()) -> dict[str, frozenset[Hop]]:
    """The default routes: by the first gateway that has a next hop, or by all at equal cost; not by a `dead` one as long as
    another lives."""
    found = {}
    for version, destination in DEFAULTS.items():
        ways = [up.hops[version] for up in ups if version in up.hops]
        living = [hop for hop in ways if hop not in dead] or ways
        if living:
            found[destination] = frozenset(living if ecmp else living[:1])
    return found


def own_tables(ups: Sequence[Uplink], main: Mapping[str, frozenset[Hop]]) -> dict[str, frozenset[Hop]]:
    """The default routes of each gateway's own table. A static default route by the gateway's leg comes before its own.

    Those by dead next hops too: what began there would mean nothing by another gateway.
    """
    found = {}
    for up in ups:
        for version, hop in up.hops.items():
            stated = [one for one in main.get(DEFAULTS[version], ()) if one.leg == up.leg]
            found[f"{DEFAULTS[version]} table {TABLE + up.number}"] = frozenset(sorted(stated)[:1] or [hop])
    return found


def sessions(ups: Sequence[Uplink]) -> dict[Hop, str]:
    """The next hops that are asked whether they live, and from which address. An only gateway has no other to turn to."""
    return {hop: source for up in ups for hop, source in up.sources.items()} if len(ups) > 1 else {}


def rules(ups: Sequence[Uplink]) -> frozenset[tuple[int, int]]:
    """Which routing rules there are: (IP version, number of the gateway; 0: the main table first, but default routes)."""
    found = {(version, up.number) for up in ups for version in up.hops}
    return frozenset(found | {(version, 0) for version in DEFAULTS} if found else ())


# nft


def names(ups: Iterable[Uplink]) -> str:
    """The devices as an operand: "qg-1", or { "qg-1", "qg-2" }."""
    quoted = [f'"{up.leg}"' for up in ups]
    return quoted[0] if len(quoted) == 1 else f"{{ {', '.join(quoted)} }}"


MAPS: Mapping[str, str] = {
    "floating_by": "type ifname . ipv4_addr : ipv4_addr",
    "floating_uplink": "type ipv4_addr : mark",
}
"""The maps that several gateways need: (gateway, inner address) -> floating IP; inner address -> the gateway it begins by."""


def elements(ups: Sequence[Uplink], floating: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Of those maps. `floating`: (id of the gateway, external, inner address) of floating IPs; where one inner address has
    several, the first gateway counts."""
    place = {up.id: number for number, up in enumerate(ups)}
    found: dict[str, dict[str, str]] = {name: {} for name in MAPS}
    for gateway, outer, inner in sorted(floating, key=lambda one: (-place.get(one[0], 0), one[1])):
        up = ups[place.get(gateway, 0)]
        found["floating_by"][f'"{up.leg}" . {inner}'] = outer
        found["floating_uplink"][inner] = f"{up.number:#010x}"
    return found


def chains(ups: Sequence[Uplink]) -> dict[str, list[str]]:
    """Chains of the router's table that keep connections with their gateways; conntrack knows them by then (-200)."""
    kept = "ct mark != 0 meta mark set ct mark"
    return {
        "uplink_in": [
            "type filter hook prerouting priority mangle; policy accept;",
            *(f'iifname "{up.leg}" ct mark 0 ct mark set {up.number}' for up in ups),
            f"iifname {names(ups)} accept",
            f"{kept} accept",
            "meta mark set ip saddr map @floating_uplink",
        ],
        "uplink_out": [
            "type filter hook postrouting priority mangle; policy accept;",
            *(f'oifname "{up.leg}" ct mark 0 ct mark set {up.number}' for up in ups),
        ],
        "uplink_own": ["type route hook output priority mangle; policy accept;", kept],
    }


def source_translation(ups: Sequence[Uplink]) -> Iterable[str]:
    """Rules of postrouting: as whom a workload is seen that leaves by one of several gateways."""
    outside, own = names(ups), [up.snat_ip for up in ups if up.snat_ip]
    yield f'ip saddr {{ {", ".join(own)} }} accept comment "the router itself"'
    yield f"oifname {outside} snat ip to oifname . ip saddr map @floating_by"
    yield f"oifname != {outside} snat ip to ip saddr map @floating_out"
    for up in ups:
        if up.enable_snat and up.snat_ip:
            yield f'oifname "{up.leg}" snat ip to {up.snat_ip} fully-random'
    yield f"oifname != {outside} snat ip to {own[0]} fully-random"
