"""The name server's own knowledge: names of ports both ways, and what it leaves to others."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.linux.dns import FORWARD, Zone, failure, is_response

ZONE = Zone(
    [
        ("10.0.0.5", "vm", "vm.example.org."),
        ("fd00:1::5", "vm", "vm.example.org."),
        ("10.0.0.6", "host-10-0-0-6", "host-10-0-0-6.openstacklocal."),
        ("10.0.0.7", "twin", "twin.example.org."),
        ("10.0.0.8", "twin", "twin.example.org."),
        ("10.0.0.9", "bad..name", "bad..name."),
    ],
    ["10.0.0.0/24", "fd00:1::/64", "192.0.2.0/24", "8.8.8.0/24"],
)


def query(name: str, kind: str = "A", **options) -> bytes:
    return dns.message.make_query(name, kind, **options).to_wire()


def ask(name: str, kind: str = "A") -> dns.message.Message:
    wire = ZONE.answer(query(name, kind))
    assert wire
    return dns.message.from_wire(wire)


def texts(response: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in response.answer for record in rrset]


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("vm.example.org.", "A", ["10.0.0.5"]),
        ("VM.Example.ORG.", "A", ["10.0.0.5"]),
        ("vm.example.org.", "AAAA", ["fd00:1::5"]),
        ("vm.", "A", ["10.0.0.5"]),
        ("vm.", "MX", []),
        ("host-10-0-0-6.openstacklocal.", "A", ["10.0.0.6"]),
        ("host-10-0-0-6.openstacklocal.", "AAAA", []),
        ("twin.example.org.", "A", ["10.0.0.7", "10.0.0.8"]),
        ("5.0.0.10.in-addr.arpa.", "PTR", ["vm.example.org."]),
    ],
)
def test_names(name: str, kind: str, values: list[str]) -> None:
    response = ask(name, kind)
    assert response.rcode() == dns.rcode.NOERROR
    assert response.flags & dns.flags.AA
    assert sorted(texts(response)) == values  # their order changes from answer to answer


def test_reverse_of_ipv6() -> None:
    assert texts(ask(dns.reversename.from_address("fd00:1::5").to_text(), "PTR")) == ["vm.example.org."]


@pytest.mark.parametrize(("name", "kind"), [("other.", "A"), ("77.0.0.10.in-addr.arpa.", "PTR")])
def test_ours_to_deny(name: str, kind: str) -> None:
    assert ask(name, kind).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("www.example.com.", "A"),
        ("other.example.org.", "A"),
        ("com.", "DS"),
        (".", "NS"),
        ("5.0.1.10.in-addr.arpa.", "PTR"),
        ("8.8.8.8.in-addr.arpa.", "PTR"),
        ("0.10.in-addr.arpa.", "SOA"),
    ],
)
def test_left_to_others(name: str, kind: str) -> None:
    assert ZONE.answer(query(name, kind)) == FORWARD


def test_a_name_that_dns_cannot_say_is_nobodys() -> None:
    response = ask("9.0.0.10.in-addr.arpa.", "PTR")
    assert (texts(response), response.rcode()) == ([], dns.rcode.SERVFAIL)


def test_too_big_for_a_datagram() -> None:
    zone = Zone([(f"10.0.{i // 250}.{i % 250}", "many", "many.example.org.") for i in range(500)])
    small = dns.message.from_wire(zone.answer(query("many.example.org.")))
    assert small.flags & dns.flags.TC
    assert not small.answer
    whole = dns.message.from_wire(zone.answer(query("many.example.org."), over_tcp=True))
    assert len(texts(whole)) == 500


def test_what_is_no_plain_question() -> None:
    response = bytearray(query("vm."))
    response[2] |= 0x80
    assert ZONE.answer(bytes(response)) is None
    assert ZONE.answer(query("vm.")[:7]) is None
    update = bytearray(query("vm."))
    update[2] |= 5 << 3
    assert (ZONE.answer(bytes(update)) or b"")[3] & 15 == dns.rcode.NOTIMP
    assert dns.message.from_wire(ZONE.answer(query("vm.", rdclass="CH")) or b"").rcode() == dns.rcode.REFUSED
    assert dns.message.from_wire(ZONE.answer(query("vm.")[:-2]) or b"").rcode() == dns.rcode.FORMERR


def test_failure_repeats_the_question() -> None:
    asked = query("www.example.com.", use_edns=0)
    said = dns.message.from_wire(failure(asked, dns.rcode.SERVFAIL))
    assert (said.id, said.rcode()) == (dns.message.from_wire(asked).id, dns.rcode.SERVFAIL)
    assert said.question[0].name.to_text() == "www.example.com."


def test_only_the_right_response_is_taken() -> None:
    asked = dns.message.make_query("www.example.com.", "A")
    other = dns.message.make_query("www.example.net.", "A")
    other.id = asked.id
    right = dns.message.make_response(asked).to_wire()
    assert is_response(asked.to_wire(), right)
    assert not is_response(asked.to_wire(), dns.message.make_response(other).to_wire())
    assert not is_response(asked.to_wire(), b"\0\0" + right[2:]) or asked.id == 0
    assert not is_response(asked.to_wire(), asked.to_wire())


@given(st.binary(max_size=120))
def test_noise_is_survived(noise: bytes) -> None:
    for message in (noise, query("vm.")[:12] + noise, query("vm.") + noise):
        ZONE.answer(message)
        is_response(message, message)
        if len(message) >= 12:
            failure(message, dns.rcode.SERVFAIL)
