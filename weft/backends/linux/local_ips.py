"""Local IPs of a host: nft rules that translate them, and who answers when workloads look for them. Pure.

The address is rewritten before anything asks who may speak to whom, and the answer's after everybody was asked: groups and
conntrack see the two ports. That a connection is one to a local IP is the mark that conntrack keeps: the address as a number.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from socket import inet_ntoa

from weft.backends.linux import names
from weft.backends.linux.frames import pack_mac
from weft.backends.linux.ruleset import Chain, Fragment, Name
from weft.logical.model import HostView, LocalIp, LogicalPort

ETH_ARP = 0x0806
_REQUEST, _REPLY = 1, 2
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET_IPV4 = (1, 0x0800, 6, 4)

Targets = Mapping[str, tuple[LogicalPort, LocalIp]]
"""Local IP -> the port that it leads to."""


def targets(view: HostView) -> dict[str, dict[str, tuple[LogicalPort, LocalIp]]]:
    """Where local IPs lead, by switch. Of several ports of this host that share one, the first by its id is it."""
    found: dict[str, dict[str, tuple[LogicalPort, LocalIp]]] = {}
    leading = (port for port in view.ports.values() if port.local_ips and port.enabled and port.switch in view.switches)
    for port in sorted(leading, key=lambda port: port.id):
        own = {address.ip for address in port.addresses}
        for one in port.local_ips:
            if one.fixed_ip in own and ":" not in one.ip and ":" not in one.fixed_ip:
                found.setdefault(port.switch, {}).setdefault(one.ip, (port, one))
    return found


def render(view: HostView) -> Fragment | None:
    """The rules of all local IPs of the view; None where there are none, so that others pay nothing."""
    by_switch = targets(view)
    if not by_switch:
        return None
    taps = {
        f'"{names.tap(port.id)}" : goto {_chain(port.switch)}'
        for port in view.ports.values()
        if port.switch in by_switch
    }
    fragment = Fragment()
    fragment.chains[Name("bridge", "local_ips")] = Chain(
        (f"iifname vmap {{ {', '.join(sorted(taps))} }}",), "prerouting priority -280"
    )
    for switch, found in by_switch.items():
        rules = (_there(ip, *target) for ip, target in sorted(found.items()))
        fragment.chains[Name("bridge", _chain(switch))] = Chain(tuple(rules))
    translated = {ip for found in by_switch.values() for ip, (_, one) in found.items() if one.translate}
    back = tuple(rule for ip in sorted(translated) for rule in _back(ip))
    fragment.chains[Name("inet", "local_ips")] = Chain(back, "prerouting priority -140")
    return fragment


def _chain(switch: str) -> str:
    return f"lip-{switch}"


def _number(ip: str) -> str:
    return f"0x{int(IPv4Address(ip)):08x}"


def _there(ip: str, port: LogicalPort, one: LocalIp) -> str:
    """What goes to the local IP, goes to the port. That it did, the packet's priority tells the rules of `_back`."""
    rule = f'iifname != "{names.tap(port.id)}" ip daddr {ip}'
    if one.translate:
        rule += f" meta priority set {_number(ip)} ip daddr set {one.fixed_ip}"
    return f"{rule} ether daddr set {port.mac}"


def _back(ip: str) -> Iterator[str]:
    ours = f'iifname "{names.BRIDGE_PREFIX}*"'
    yield f"{ours} meta priority {_number(ip)} ct mark set {_number(ip)} meta priority set 0"
    yield f"{ours} ct direction reply ct mark {_number(ip)} ip saddr set {ip}"


def answer(frame: bytes, asking: LogicalPort, known: Targets) -> bytes | None:
    """The ARP reply (RFC 826) to a workload that looks for a local IP of its network; None for anything else."""
    if len(frame) < 14 + _ARP.size or frame[12:14] != ETH_ARP.to_bytes(2, "big"):
        return None
    *kind, operation, mac, source, _, wanted = _ARP.unpack_from(frame, 14)
    if tuple(kind) != _ETHERNET_IPV4 or operation != _REQUEST:
        return None
    found = known.get(inet_ntoa(wanted))
    if found is None or found[0].id == asking.id or mac != pack_mac(asking.mac):
        return None
    own = pack_mac(found[0].mac)
    reply = _ARP.pack(*_ETHERNET_IPV4, _REPLY, own, wanted, mac, source)
    return pack_mac(asking.mac) + own + frame[12:14] + reply
