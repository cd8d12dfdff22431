"""What a host answers to a workload's DHCPv4 (RFC 2131, 2132, 3442, 4039, 6842): a pure function of frame and port.

Every answer follows from the port alone; no lease is kept. So any host gives the same answer, also after a restart.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from weft.backends.linux import frames
from weft.backends.linux.dhcp_options import INFINITE, SERVER_IP_ADDRESS, extras, routes_of, search_list
from weft.config import Api
from weft.logical.model import Address, DhcpOptions, LogicalPort, LogicalSwitch

SERVER_PORT, CLIENT_PORT = 67, 68
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
COOKIE = b"\x63\x82\x53\x63"
SERVER_ID = frames.pack4(frames.SERVICE4)
EVERYBODY = b"\xff" * 4
#: sent whether asked for or not, and first when space is short
ALWAYS = (53, 54, 51, 58, 59, 61, 80, 1, 26)

Options = Mapping[int, bytes]


def answer(frame: bytes, port: LogicalPort, switch: LogicalSwitch, api: Api) -> bytes | None:
    """The frame that answers `frame` from `port`; None when it is not for us to answer.

    Only the port's own MAC is spoken to, only about its addresses in subnets with enable_dhcp. A message that a relay
    passed on (giaddr) is not answered: workloads are on our link.
    """
    packet = frames.parse(frame)
    mac = frames.pack_mac(port.mac)
    if packet is None or packet.dport != SERVER_PORT or len(packet.src) != 4 or packet.src_mac != mac:
        return None
    message = packet.payload
    if len(message) < 241 or message[:3] != b"\x01\x01\x06" or message[236:240] != COOKIE:
        return None
    if message[28:34] != mac or message[24:28] != frames.UNSPECIFIED4:
        return None
    leases = leasable(port, switch)
    asked = parse_options(message[240:])
    if not leases or len(asked.get(53, b"")) != 1:
        return None
    return _answer(message, asked, leases, port, switch, api)


def leasable(port: LogicalPort, switch: LogicalSwitch) -> list[tuple[Address, DhcpOptions]]:
    """The port's IPv4 addresses that DHCP gives out, with their subnets, in the port's order."""
    if not switch.serves_dhcp:
        return []
    subnets = {subnet.subnet_id: subnet for subnet in switch.subnets if subnet.enable_dhcp and subnet.ip_version == 4}
    return [
        (address, subnets[address.subnet_id])
        for address in port.addresses
        if address.subnet_id in subnets and address.version == 4
    ]


def parse_options(raw: bytes) -> dict[int, bytes]:
    """Options by number; one that occurs twice is one that was split (RFC 3396). Stops at what is cut off."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(raw) and raw[at] != 255:
        if raw[at] == 0:
            at += 1
            continue
        if at + 1 >= len(raw) or at + 2 + raw[at + 1] > len(raw):
            break
        end = at + 2 + raw[at + 1]
        found[raw[at]] = found.get(raw[at], b"") + raw[at + 2 : end]
        at = end
    return found


def _answer(
    message: bytes,
    asked: Options,
    leases: list[tuple[Address, DhcpOptions]],
    port: LogicalPort,
    switch: LogicalSwitch,
    api: Api,
) -> bytes | None:
    by_address = {frames.pack4(address.ip): (address, subnet) for address, subnet in leases}
    decided = _decide(message[12:16], asked, list(by_address))
    if decided is None:
        return None
    verdict, chosen = decided
    values: dict[int, bytes] = {53: bytes([verdict]), 54: SERVER_ID}
    if 61 in asked:
        values[61] = asked[61]
    if verdict == NAK:
        values[56] = b"not an address of this port"
        return _frame(message, b"", values, asked, port, switch)
    address, subnet = by_address[chosen]
    values |= _offered(address, subnet, port, switch, api)
    if asked[53][0] == INFORM:
        return _frame(message, b"", _merge(values, _own(subnet, port, asked), asked, (51, 58, 59)), asked, port, switch)
    if asked[53][0] == DISCOVER and verdict == ACK:
        values[80] = b""
    values |= _times(api.dhcp_lease_duration)
    return _frame(message, chosen, _merge(values, _own(subnet, port, asked), asked), asked, port, switch)


def _decide(ciaddr: bytes, asked: Options, ours: list[bytes]) -> tuple[int, bytes] | None:
    """(type of the reply, the address it is about) by RFC 2131, 4.3; None: stay silent."""
    kind = asked[53][0]
    wanted = asked.get(50, ciaddr)
    if kind == DISCOVER:
        # RFC 4039: who asks for it gets the lease at once
        return ACK if 80 in asked else OFFER, wanted if wanted in ours else ours[0]
    if kind == REQUEST:
        if asked.get(54, SERVER_ID) != SERVER_ID or wanted == frames.UNSPECIFIED4:
            return None  # somebody else's offer was taken, or nothing was asked for
        return ACK if wanted in ours else NAK, wanted
    if kind == INFORM and ciaddr != frames.UNSPECIFIED4:
        return ACK, ciaddr if ciaddr in ours else ours[0]
    return None  # DECLINE and RELEASE: the address stays the port's


def _own(subnet: DhcpOptions, port: LogicalPort, asked: Options) -> dict[int, bytes]:
    """The port's extra options; a router of its own is also the default route of the routes that win over it."""
    own = extras(port, 4, frozenset({"ipxe"}) if 175 in asked else frozenset())
    if 3 in own and 121 not in own:
        router = ".".join(str(octet) for octet in own[3][:4]) or None
        own[121] = routes_of(subnet.host_routes, subnet.cidr, router, frames.SERVICE4)
    if 121 in own:
        own.setdefault(249, own[121])
    if 51 in own:
        # the network's renewal times may lie beyond the end of such a lease; the client then takes its own fractions
        own.setdefault(58, b"")
        own.setdefault(59, b"")
    return own


def _merge(values: Options, own: Options, asked: Options, without: tuple[int, ...] = ()) -> dict[int, bytes]:
    """What is sent: of `values` what was asked for, and all of the port's own, which replace or (empty) remove."""
    wants = frozenset(asked[55]) if 55 in asked else None
    kept = {number: value for number, value in values.items() if _is_wanted(number, wants)}
    for number, value in own.items():
        kept.pop(number, None)
        # routes in a form that the client does not know would only cost space
        if value and number not in without and (number not in (121, 249) or _is_wanted(number, wants)):
            kept[number] = value
    return kept


def _is_wanted(number: int, wants: frozenset[int] | None) -> bool:
    return number in ALWAYS or (number != 249 if wants is None else number in wants)


def _times(duration: int) -> dict[int, bytes]:
    if duration < 0:
        return {51: struct.pack("!I", INFINITE)}
    return {
        51: struct.pack("!I", duration),
        58: struct.pack("!I", duration // 2),
        59: struct.pack("!I", duration * 7 // 8),
    }


def _offered(
    address: Address, subnet: DhcpOptions, port: LogicalPort, switch: LogicalSwitch, api: Api
) -> dict[int, bytes]:
    """What the network says of itself, by option number, in order of importance."""
    mask = (INFINITE << (32 - address.prefixlen)) & INFINITE
    broadcast = int.from_bytes(frames.pack4(address.ip), "big") | ~mask & INFINITE
    routes = routes_of(subnet.host_routes, subnet.cidr, subnet.gateway_ip, frames.SERVICE4)
    hostname, domain = name_of(port, address.ip, api)
    servers = name_servers(subnet, frames.SERVICE4)
    values = {
        1: struct.pack("!I", mask),
        26: struct.pack("!H", min(switch.mtu, 65535)) if switch.mtu >= 68 else b"",
        121: routes,
        249: routes,
        3: frames.pack4(subnet.gateway_ip) if subnet.gateway_ip else b"",
        6: b"".join(frames.pack4(server) for server in servers),
        28: struct.pack("!I", broadcast),
        15: domain.encode(),
        12: hostname.encode(),
        119: search_list(domain),
    }
    return {number: value for number, value in values.items() if value}


def name_servers(subnet: DhcpOptions, service: str) -> list[str]:
    """A subnet's name servers, else our own. The unspecified address alone means: none, as the API reference has it."""
    servers = [server for server in subnet.dns_nameservers if (":" in server) == (subnet.ip_version == 6)]
    if not subnet.dns_nameservers:
        return [service]
    return [server for server in servers if server not in ("0.0.0.0", "::")]


def name_of(port: LogicalPort, ip: str, api: Api) -> tuple[str, str]:
    """(host name, domain) of a port's address as DNS has them; the domain is the installation's when DNS has none."""
    for entry, hostname, fqdn in port.dns:
        if entry == ip:
            domain = fqdn.removeprefix(hostname).strip(".") if fqdn.startswith(f"{hostname}.") else ""
            return hostname, domain or api.dns_domain.strip(".")
    return "", api.dns_domain.strip(".")


def _frame(
    message: bytes, address: bytes, values: Options, asked: Options, port: LogicalPort, switch: LogicalSwitch
) -> bytes:
    """The reply as a frame. `address`: yiaddr, empty for none."""
    refused = values[53][0] == NAK
    ciaddr = frames.UNSPECIFIED4 if refused else message[12:16]
    next_server = values.get(SERVER_IP_ADDRESS) or values.get(150) or frames.UNSPECIFIED4
    bootfile = values.get(67, b"")
    server_name = values.get(66, b"")
    limit = max(576, int.from_bytes(asked.get(57, b"")[:2], "big"))
    payload = b"".join(
        (
            b"\x02\x01\x06\x00",
            message[4:8],
            b"\0\0",
            message[10:12],
            ciaddr,
            address or frames.UNSPECIFIED4,
            next_server[:4],
            frames.UNSPECIFIED4,
            message[28:44],
            server_name[:63].ljust(64, b"\0"),
            (bootfile if len(bootfile) < 128 else b"").ljust(128, b"\0"),
            COOKIE,
            _options(values, min(limit, max(switch.mtu, 576)) - 28 - 240),
        )
    )
    mac = frames.pack_mac(port.mac)
    to_mac, to = mac, ciaddr if ciaddr != frames.UNSPECIFIED4 else address
    if refused or not to or (message[10] & 0x80 and ciaddr == frames.UNSPECIFIED4):
        to_mac, to = frames.BROADCAST, EVERYBODY
    source = frames.pack_mac(frames.service_mac(switch.id))
    return frames.udp4(
        frames.Packet(source, to_mac, SERVER_ID, to, SERVER_PORT, CLIENT_PORT, payload.ljust(300, b"\0"))
    )


def _options(values: Options, space: int) -> bytes:
    """Options one after the other, the important ones first; what does not fit into `space` is left out."""
    raw = b""
    for number in (*(one for one in ALWAYS if one in values), *(one for one in values if one not in ALWAYS)):
        if number == SERVER_IP_ADDRESS:
            continue
        value = values[number]
        coded = bytes((number, len(value))) + value if len(value) < 256 else _split(number, value)
        if len(raw) + len(coded) < space:
            raw += coded
    return raw + b"\xff"


def _split(number: int, value: bytes) -> bytes:
    """RFC 3396: what is longer than one option holds continues in the next of the same number."""
    parts = [value[at : at + 255] for at in range(0, len(value), 255)]
    return b"".join(bytes((number, len(part))) + part for part in parts)
