"""DHCP options as people write them (dnsmasq's names or numbers, values as text) and as they travel. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network

from weft.backends.linux.frames import pack4, pack6
from weft.logical.model import LogicalPort, Route

SERVER_IP_ADDRESS = 255
"""dnsmasq's number for what is no option but a field of the header: the address of the boot server (siaddr)."""

INFINITE = 0xFFFFFFFF


def domain_names(names: Iterable[str]) -> bytes:
    """Uncompressed names in a row (RFC 1035, 3.1); raises ValueError for a label that is empty or too long."""
    raw = b""
    for name in names:
        for label in name.rstrip(".").encode("ascii").split(b"."):
            if not 0 < len(label) < 64:
                raise ValueError(name)
            raw += bytes([len(label)]) + label
        raw += b"\0"
    return raw


def search_list(domain: str) -> bytes:
    """A search list of one domain; empty for one that cannot be written so."""
    try:
        return domain_names([domain]) if domain else b""
    except ValueError:
        return b""


def classless_routes(routes: Iterable[tuple[str, str]]) -> bytes:
    """(CIDR, next hop) pairs as option 121 carries them (RFC 3442); next hop 0.0.0.0: on link."""
    raw = b""
    for destination, nexthop in routes:
        address, _, length = destination.partition("/")
        bits = int(length or 32)
        if not 0 <= bits <= 32:
            raise ValueError(destination)
        raw += bytes([bits]) + pack4(address)[: (bits + 7) // 8] + pack4(nexthop)
    return raw


@lru_cache(maxsize=4096)
def routes_of(host_routes: tuple[Route, ...], cidr: str, gateway: str | None, service: str) -> bytes:
    """What option 121 says of a subnet: its host routes, the service address on link, the default route.

    RFC 3442 has the client ignore the router option beside it, so the default route must be here too. A gateway outside
    the subnet needs a route on link of its own before it can be used.
    """
    routes = [(route.destination, route.nexthop) for route in host_routes if ":" not in route.destination]
    known = {destination for destination, _ in routes}
    if f"{service}/32" not in known:
        routes.append((f"{service}/32", "0.0.0.0"))
    if gateway and "0.0.0.0/0" not in known:
        if IPv4Network(f"{gateway}/32").subnet_of(IPv4Network(cidr)) is False and f"{gateway}/32" not in known:
            routes.append((f"{gateway}/32", "0.0.0.0"))
        routes.append(("0.0.0.0/0", gateway))
    return classless_routes(routes)


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part]


def _text(value: str) -> bytes:
    return value.encode()


def _number(size: int) -> Callable[[str], bytes]:
    def encode(value: str) -> bytes:
        return int(value, 0).to_bytes(size, "big")

    return encode


def _seconds(value: str) -> bytes:
    if value == "infinite":
        return INFINITE.to_bytes(4, "big")
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(value[-1:], 0)
    return (int(value[:-1]) * unit if unit else int(value)).to_bytes(4, "big")


def _addresses4(value: str) -> bytes:
    return b"".join(pack4(address) for address in _split(value))


def _addresses6(value: str) -> bytes:
    return b"".join(pack6(address.strip("[]")) for address in _split(value))


def _names(value: str) -> bytes:
    return domain_names(_split(value))


def _sip4(value: str) -> bytes:
    """RFC 3361: addresses (encoding 1) or names (encoding 0)."""
    try:
        return b"\x01" + _addresses4(value)
    except OSError:
        return b"\x00" + _names(value)


def _routes(value: str) -> bytes:
    parts = _split(value)
    if len(parts) % 2:
        raise ValueError(value)
    return classless_routes(zip(parts[::2], parts[1::2], strict=True))


def _prefixed(value: str) -> bytes:
    """RFC 5970, 3.2: each parameter of a boot file with its length before it."""
    return b"".join(len(part.encode()).to_bytes(2, "big") + part.encode() for part in value.split(","))


def _ntp6(value: str) -> bytes:
    """RFC 5908: each server in a suboption, by address (1) or by name (3)."""
    raw = b""
    for server in _split(value):
        try:
            kind, data = 1, pack6(server.strip("[]"))
        except OSError:
            kind, data = 3, domain_names([server])
        raw += kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
    return raw


def _guess(value: str) -> bytes:
    """An option that has no type here: addresses, a number, octets in hexadecimal with colons, or else plain text."""
    try:
        return _addresses4(value)
    except OSError:
        pass
    if value.isdecimal() and int(value) <= INFINITE:
        return int(value).to_bytes(max(1, (int(value).bit_length() + 7) // 8), "big")
    if re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2})+", value):
        return bytes.fromhex(value.replace(":", ""))
    return _text(value)


def _guess6(value: str) -> bytes:
    try:
        return _addresses6(value)
    except OSError:
        return _guess(value)


Encoder = Callable[[str], bytes]

#: number, name, encoding of the options of DHCPv4 (RFC 2132 and successors; names as dnsmasq has them)
OPTIONS4: tuple[tuple[int, str, Encoder], ...] = (
    (1, "netmask", _addresses4),
    (2, "time-offset", _number(4)),
    (3, "router", _addresses4),
    (6, "dns-server", _addresses4),
    (7, "log-server", _addresses4),
    (9, "lpr-server", _addresses4),
    (12, "hostname", _text),
    (13, "boot-file-size", _number(2)),
    (15, "domain-name", _text),
    (16, "swap-server", _addresses4),
    (17, "root-path", _text),
    (18, "extension-path", _text),
    (19, "ip-forward-enable", _number(1)),
    (20, "non-local-source-routing", _number(1)),
    (21, "policy-filter", _addresses4),
    (22, "max-datagram-reassembly", _number(2)),
    (23, "default-ttl", _number(1)),
    (26, "mtu", _number(2)),
    (27, "all-subnets-local", _number(1)),
    (28, "broadcast", _addresses4),
    (31, "router-discovery", _number(1)),
    (32, "router-solicitation", _addresses4),
    (33, "static-route", _addresses4),
    (34, "trailer-encapsulation", _number(1)),
    (35, "arp-timeout", _number(4)),
    (36, "ethernet-encap", _number(1)),
    (37, "tcp-ttl", _number(1)),
    (38, "tcp-keepalive", _number(4)),
    (40, "nis-domain", _text),
    (41, "nis-server", _addresses4),
    (42, "ntp-server", _addresses4),
    (43, "vendor-encap", _guess),
    (44, "netbios-ns", _addresses4),
    (45, "netbios-dd", _addresses4),
    (46, "netbios-nodetype", _number(1)),
    (47, "netbios-scope", _text),
    (48, "x-windows-fs", _addresses4),
    (49, "x-windows-dm", _addresses4),
    (51, "lease-time", _seconds),
    (58, "T1", _seconds),
    (59, "T2", _seconds),
    (60, "vendor-class", _text),
    (64, "nis+-domain", _text),
    (65, "nis+-server", _addresses4),
    (66, "tftp-server", _text),
    (67, "bootfile-name", _text),
    (68, "mobile-ip-home", _addresses4),
    (69, "smtp-server", _addresses4),
    (70, "pop3-server", _addresses4),
    (71, "nntp-server", _addresses4),
    (74, "irc-server", _addresses4),
    (77, "user-class", _text),
    (93, "client-arch", _number(2)),
    (100, "posix-timezone", _text),
    (101, "tzdb-timezone", _text),
    (108, "ipv6-only", _number(4)),
    (114, "captive-portal", _text),
    (119, "domain-search", _names),
    (120, "sip-server", _sip4),
    (121, "classless-static-route", _routes),
    (150, "tftp-server-address", _addresses4),
    (209, "config-file", _text),
    (210, "path-prefix", _text),
    (249, "classless-static-route-ms", _routes),
    (252, "wpad", _text),
    (SERVER_IP_ADDRESS, "server-ip-address", _addresses4),
)

#: the same for DHCPv6 (RFC 8415 and successors)
OPTIONS6: tuple[tuple[int, str, Encoder], ...] = (
    (21, "sip-server-domain", _names),
    (22, "sip-server", _addresses6),
    (23, "dns-server", _addresses6),
    (24, "domain-search", _names),
    (27, "nis-server", _addresses6),
    (28, "nis+-server", _addresses6),
    (29, "nis-domain", _names),
    (30, "nis+-domain", _names),
    (31, "sntp-server", _addresses6),
    (32, "information-refresh-time", _seconds),
    (41, "posix-timezone", _text),
    (42, "tzdb-timezone", _text),
    (56, "ntp-server", _ntp6),
    (59, "bootfile-url", _text),
    (60, "bootfile-param", _prefixed),
    (103, "captive-portal", _text),
)

_NAMES = {
    4: {name: number for number, name, _ in OPTIONS4},
    6: {name: number for number, name, _ in OPTIONS6},
}
_ENCODERS = {
    4: {number: encoder for number, _, encoder in OPTIONS4},
    6: {number: encoder for number, _, encoder in OPTIONS6},
}
#: what the conversation itself decides
_PROTECTED = {4: frozenset({0, 50, 52, 53, 54, 55, 57, 61, 80, 82}), 6: frozenset(range(1, 21))}


def number_of(name: str, version: int) -> int:
    """The number of an option by name or number; raises ValueError for one that is unknown or not a port's to set."""
    name = name.removeprefix("option6:").removeprefix("option:").strip()
    number = int(name) if name.isdecimal() else _NAMES[version].get(name, -1)
    if number in _PROTECTED[version] or not 0 < number < (256 if version == 4 else 65536):
        raise ValueError(name)
    return number


def encode(number: int, value: str, version: int) -> bytes:
    """The octets of an option's value; raises ValueError for a text that does not fit the option's type."""
    encoder = _ENCODERS[version].get(number, _guess if version == 4 else _guess6)
    try:
        raw = encoder(value)
    except (OSError, OverflowError) as fault:
        raise ValueError(value) from fault
    if len(raw) > 1024:
        raise ValueError(value)
    return raw


def extras(port: LogicalPort, version: int, tags: frozenset[str]) -> dict[int, bytes]:
    """A port's own options by number; empty octets: the option must not be sent.

    A name may begin with conditions as boot services write them: `tag:ipxe,67` or `tag:!ipxe,67`. What cannot be
    encoded is left out: a mistake in one option must not take the address away.
    """
    found: dict[int, bytes] = {}
    for option in port.dhcp_options:
        *conditions, name = option.name.split(",")
        if option.ip_version != version or not all(_holds(condition.strip(), tags) for condition in conditions):
            continue
        try:
            number = number_of(name, version)
            found[number] = encode(number, option.value, version)
        except ValueError:
            continue
    return found


def _holds(condition: str, tags: frozenset[str]) -> bool:
    tag = condition.removeprefix("tag:")
    return tag[1:] not in tags if tag.startswith("!") else tag in tags
