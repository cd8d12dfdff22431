"""What a network's name server knows itself (RFC 1035, 3596): its ports' names, both ways. Pure; the rest is forwarded."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset
from dns.rdatatype import RdataType

TTL = 60
"""Seconds: a port may be gone a minute from now."""

FORWARD = b""
"""What `Zone.answer` says of a question that is not for us."""

Name = tuple[str, str, str]
"""(address, host name, fully qualified name) as in LogicalPort.dns."""


class Zone:
    """The names of one network. Frozen after construction.

    Ours alone are: the names of ports, the addresses of bare names without a dot (they mean nothing outside), and the
    reverse names of private addresses in the network's own subnets. Of a name that exists we also know what does not exist (no AAAA).
    """

    def __init__(self, names: Iterable[Name], subnets: Iterable[str] = ()) -> None:
        # plain text, because ten thousand of dnspython's names take half a second to make
        self._addresses: dict[str, list[str]] = {}
        self._names: dict[str, list[str]] = {}
        self._subnets = [ip_network(cidr) for cidr in subnets]
        for address, hostname, fqdn in names:
            full = (fqdn or hostname).rstrip(".").lower()
            for name in {full, hostname.lower()} - {""}:
                self._addresses.setdefault(name, []).append(address)
            if full:
                self._names.setdefault(address, []).append(f"{full}.")

    def answer(self, query: bytes, over_tcp: bool = False) -> bytes | None:
        """The response to a query; FORWARD when others have to be asked; None for what deserves no answer."""
        if len(query) < 12 or query[2] & 0x80:
            return None
        if query[2] >> 3 & 15 != dns.opcode.QUERY:
            return failure(query, dns.rcode.NOTIMP)
        try:
            asked = dns.message.from_wire(query)
        except (dns.exception.DNSException, ValueError):
            return failure(query, dns.rcode.FORMERR)
        if len(asked.question) != 1:
            return failure(query, dns.rcode.FORMERR)
        name, kind, klass = asked.question[0].name, asked.question[0].rdtype, asked.question[0].rdclass
        if klass not in (dns.rdataclass.IN, dns.rdataclass.ANY):
            return failure(query, dns.rcode.REFUSED)
        text = name.to_text(omit_final_dot=True).lower()
        records = self._forward(text) or self._reverse(name)
        if not records and not self._is_ours(name, kind):
            return FORWARD
        response = dns.message.make_response(asked, recursion_available=True)
        response.flags |= dns.flags.AA
        if not records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        for each, values in records.items():
            if kind in (each, dns.rdatatype.ANY):
                try:
                    response.answer.append(dns.rrset.from_text_list(name, TTL, dns.rdataclass.IN, each, values))
                except dns.exception.DNSException:
                    return failure(query, dns.rcode.SERVFAIL)  # a port's name that DNS cannot say
        return _wire(response, 65535 if over_tcp else max(512, asked.payload))

    def _forward(self, text: str) -> dict[RdataType, list[str]]:
        found: dict[RdataType, list[str]] = {}
        for address in self._addresses.get(text, ()):
            kind = dns.rdatatype.AAAA if ":" in address else dns.rdatatype.A
            if address not in found.setdefault(kind, []):
                found[kind].append(address)
        return found

    def _reverse(self, name: dns.name.Name) -> dict[RdataType, list[str]]:
        address = _address(name)
        names = self._names.get(address.compressed, []) if address else []
        return {dns.rdatatype.PTR: list(dict.fromkeys(names))} if names else {}

    def _is_ours(self, name: dns.name.Name, kind: RdataType) -> bool:
        if len(name) == 2 and kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            return True
        address = _address(name)
        if address is None or not (address.is_private or address.is_link_local):
            return False
        return any(address in subnet for subnet in self._subnets if subnet.version == address.version)


def _address(name: dns.name.Name) -> IPv4Address | IPv6Address | None:
    """The address that a complete reverse name stands for."""
    try:
        return ip_address(dns.reversename.to_address(name))
    except (dns.exception.DNSException, ValueError):
        return None


def _wire(response: dns.message.Message, size: int) -> bytes:
    try:
        return response.to_wire(max_size=size)
    except dns.exception.TooBig:
        response.answer.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()


def failure(query: bytes, code: dns.rcode.Rcode) -> bytes:
    """A response that says no more than why there is none; the question is repeated where it can be read."""
    flags = 0x8080 | (query[2] & 0x79) << 8 | int(code)
    question = _question(query)
    counts = b"\0\1" if question else b"\0\0"
    return query[:2] + flags.to_bytes(2, "big") + counts + bytes(6) + question


def _question(query: bytes) -> bytes:
    """The octets of the first question, as they are; empty when they are cut off or compressed."""
    at = 12
    while at < len(query) and 0 < query[at] < 64:
        at += query[at] + 1
    complete = query[4:6] != b"\0\0" and at + 5 <= len(query) and query[at] == 0
    return query[12 : at + 5] if complete else b""


def is_response(query: bytes, response: bytes) -> bool:
    """Whether `response`, as it came from outside, answers `query`: same id, same question, and not a question."""
    if len(response) < 12 or response[:2] != query[:2] or not response[2] & 0x80:
        return False
    asked, said = _question(query), _question(response)
    return not said or asked.lower() == said.lower()
