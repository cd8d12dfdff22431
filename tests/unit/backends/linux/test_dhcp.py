"""DHCPv4: who is answered, with what, and where the answer goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.backends.linux.packets import API, MAC, V4, Reply4, dhcp, option, port, switch
from weft.backends.linux import frames
from weft.backends.linux.dhcp import answer
from weft.logical.model import Address, DhcpOption, DhcpOptions

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
pack = frames.pack4
OURS = option(54, pack("169.254.169.254"))
ALL = option(55, bytes([1, 3, 6, 12, 15, 26, 28, 119, 121]))


def ask(frame: bytes, own=None, net=None, api=API) -> Reply4:
    return Reply4(answer(frame, own or port(), net or switch(), api))


def test_discover_is_offered_the_ports_address() -> None:
    reply = ask(dhcp(DISCOVER))
    assert (reply.kind, reply.xid, reply.yiaddr) == (OFFER, b"\1\2\3\4", pack("10.0.0.5"))
    assert reply.packet.dst_mac == frames.pack_mac(MAC)
    assert (reply.packet.src, reply.packet.dst) == (pack("169.254.169.254"), pack("10.0.0.5"))
    assert (reply.packet.sport, reply.packet.dport) == (67, 68)


def test_options_of_the_network() -> None:
    options = ask(dhcp(DISCOVER, ALL)).options
    assert options[1] == pack("255.255.255.0")
    assert options[3] == pack("10.0.0.1")
    assert options[6] == pack("198.18.0.53")
    assert options[12] == b"vm"
    assert options[15] == b"example.org"
    assert options[26] == (1450).to_bytes(2, "big")
    assert options[28] == pack("10.0.0.255")
    assert options[51] == (86400).to_bytes(4, "big")
    assert options[58] == (43200).to_bytes(4, "big")
    assert options[59] == (75600).to_bytes(4, "big")
    assert options[119] == b"\7example\3org\0"
    assert options[121] == (
        b"\x10\x0a\x09" + pack("10.0.0.7") + b"\x20" + pack("169.254.169.254") + bytes(4) + b"\0" + pack("10.0.0.1")
    )
    assert 249 not in options


def test_only_what_was_asked_for_but_always_the_mtu() -> None:
    options = ask(dhcp(DISCOVER, option(55, bytes([3])))).options
    assert set(options) == {53, 54, 51, 58, 59, 1, 26, 3}


def test_windows_gets_its_own_number_of_the_routes() -> None:
    options = ask(dhcp(DISCOVER, option(55, bytes([249])))).options
    assert options[249] == ask(dhcp(DISCOVER, ALL)).options[121]
    assert 121 not in options


def test_infinite_lease_has_no_renewal_times() -> None:
    options = ask(dhcp(DISCOVER), api=replace(API, dhcp_lease_duration=-1)).options
    assert options[51] == b"\xff" * 4
    assert 58 not in options
    assert 59 not in options


def test_no_gateway_no_router() -> None:
    options = ask(dhcp(DISCOVER, ALL), net=switch(replace(V4, gateway_ip=None, host_routes=()))).options
    assert 3 not in options
    assert options[121] == b"\x20" + pack("169.254.169.254") + bytes(4)


def test_gateway_outside_the_subnet_is_reachable_first() -> None:
    options = ask(dhcp(DISCOVER, ALL), net=switch(replace(V4, gateway_ip="10.1.0.1", host_routes=()))).options
    assert options[121].endswith(b"\x20" + pack("10.1.0.1") + bytes(4) + b"\0" + pack("10.1.0.1"))


@pytest.mark.parametrize(
    ("servers", "expected"),
    [((), b"\xa9\xfe\xa9\xfe"), (("0.0.0.0",), None), (("198.18.0.1", "198.18.0.2"), b"\xc6\x12\0\1\xc6\x12\0\2")],
)
def test_name_servers(servers: tuple[str, ...], expected: bytes | None) -> None:
    options = ask(dhcp(DISCOVER, ALL), net=switch(replace(V4, dns_nameservers=servers))).options
    assert options.get(6) == expected


class TestRequest:
    """RFC 2131, 4.3.2: a request means one of four things, by what it carries."""

    @pytest.mark.parametrize(
        ("options", "ciaddr", "verdict"),
        [
            (OURS + option(50, pack("10.0.0.5")), "0.0.0.0", ACK),  # selecting
            (OURS + option(50, pack("10.0.0.6")), "0.0.0.0", NAK),
            (option(50, pack("10.0.0.5")), "0.0.0.0", ACK),  # init-reboot
            (option(50, pack("192.168.1.5")), "0.0.0.0", NAK),
            (b"", "10.0.0.5", ACK),  # renewing, rebinding
            (b"", "10.0.0.6", NAK),
        ],
    )
    def test_verdict(self, options: bytes, ciaddr: str, verdict: int) -> None:
        reply = ask(dhcp(REQUEST, options, ciaddr=ciaddr))
        assert reply.kind == verdict
        assert reply.yiaddr == (pack("10.0.0.5") if verdict == ACK else bytes(4))

    def test_somebody_elses_offer(self) -> None:
        options = option(54, pack("10.0.0.2")) + option(50, pack("10.0.0.5"))
        assert answer(dhcp(REQUEST, options), port(), switch(), API) is None

    def test_nothing_requested(self) -> None:
        assert answer(dhcp(REQUEST), port(), switch(), API) is None

    def test_refusal_is_broadcast_and_tells_nothing(self) -> None:
        reply = ask(dhcp(REQUEST, ciaddr="10.0.0.6"))
        assert (reply.packet.dst_mac, reply.packet.dst) == (b"\xff" * 6, b"\xff" * 4)
        assert set(reply.options) == {53, 54, 56}

    def test_renewal_is_answered_to_the_address_in_use(self) -> None:
        reply = ask(dhcp(REQUEST, ciaddr="10.0.0.5", broadcast=True))
        assert (reply.packet.dst_mac, reply.packet.dst) == (frames.pack_mac(MAC), pack("10.0.0.5"))
        assert reply.ciaddr == pack("10.0.0.5")


def test_broadcast_flag() -> None:
    reply = ask(dhcp(DISCOVER, broadcast=True))
    assert (reply.packet.dst_mac, reply.packet.dst) == (b"\xff" * 6, b"\xff" * 4)


def test_inform_has_options_but_no_lease() -> None:
    reply = ask(dhcp(INFORM, ALL, ciaddr="10.0.0.77"))
    assert (reply.kind, reply.yiaddr, reply.packet.dst) == (ACK, bytes(4), pack("10.0.0.77"))
    assert 6 in reply.options
    assert not {51, 58, 59} & reply.options.keys()


@pytest.mark.parametrize("kind", [DECLINE, RELEASE, OFFER, ACK, NAK, 0, 99])
def test_no_answer_to(kind: int) -> None:
    assert answer(dhcp(kind, option(50, pack("10.0.0.5"))), port(), switch(), API) is None


@pytest.mark.parametrize(
    "frame",
    [
        dhcp(DISCOVER, mac="fa:16:3e:00:00:06"),
        dhcp(DISCOVER, chaddr="fa:16:3e:00:00:06"),
        dhcp(DISCOVER, giaddr="10.0.0.9"),
        dhcp(DISCOVER)[:200],
        dhcp(DISCOVER)[:-20],
    ],
    ids=["other source", "other hardware address", "relayed", "short", "cut off"],
)
def test_not_ours(frame: bytes) -> None:
    assert answer(frame, port(), switch(), API) is None


def test_subnet_without_dhcp() -> None:
    off = switch(replace(V4, enable_dhcp=False))
    for frame in (dhcp(DISCOVER), dhcp(REQUEST, ciaddr="10.0.0.9")):
        assert answer(frame, port(), off, API) is None


def test_several_addresses_first_unless_asked() -> None:
    second = DhcpOptions("s5", 4, "10.5.0.0/16", "10.5.0.1", True)
    net = switch(V4, second)
    own = port(addresses=(Address("10.0.0.5", 24, "s4"), Address("10.5.0.9", 16, "s5")))
    assert ask(dhcp(DISCOVER), own, net).yiaddr == pack("10.0.0.5")
    reply = ask(dhcp(DISCOVER, option(50, pack("10.5.0.9")) + ALL), own, net)
    assert (reply.yiaddr, reply.options[3]) == (pack("10.5.0.9"), pack("10.5.0.1"))
    assert ask(dhcp(REQUEST, ciaddr="10.5.0.9"), own, net).kind == ACK


def test_client_id_comes_back() -> None:
    assert ask(dhcp(DISCOVER, option(61, b"\xff1234"))).options[61] == b"\xff1234"
    assert 61 in ask(dhcp(REQUEST, option(61, b"\xff1234"), ciaddr="10.0.0.6")).options


def test_rapid_commit() -> None:
    reply = ask(dhcp(DISCOVER, option(80, b"")))
    assert (reply.kind, reply.options[80], reply.yiaddr) == (ACK, b"", pack("10.0.0.5"))


def extra(*options: tuple[str, str]):
    return port(dhcp_options=tuple(DhcpOption(name, value) for name, value in options))


class TestExtraOptions:
    def test_network_boot(self) -> None:
        own = extra(("tftp-server", "198.18.0.9"), ("bootfile-name", "pxelinux.0"), ("server-ip-address", "198.18.0.8"))
        reply = ask(dhcp(DISCOVER, option(55, b"\3")), own)
        assert (reply.options[66], reply.options[67]) == (b"198.18.0.9", b"pxelinux.0")
        assert (reply.siaddr, reply.file, reply.sname) == (pack("198.18.0.8"), b"pxelinux.0", b"198.18.0.9")

    def test_conditions_of_boot_services(self) -> None:
        own = extra(("tag:!ipxe,67", "undionly.kpxe"), ("tag:ipxe,67", "http://198.18.0.9/boot"), ("255", "198.18.0.8"))
        assert ask(dhcp(DISCOVER), own).file == b"undionly.kpxe"
        assert ask(dhcp(DISCOVER, option(175, b"\1")), own).file == b"http://198.18.0.9/boot"
        assert ask(dhcp(DISCOVER), own).siaddr == pack("198.18.0.8")

    def test_router_is_also_the_default_route(self) -> None:
        options = ask(dhcp(DISCOVER, ALL), extra(("router", "10.0.0.254"))).options
        assert options[3] == pack("10.0.0.254")
        assert options[121].endswith(b"\0" + pack("10.0.0.254"))

    def test_blank_router_takes_it_away(self) -> None:
        options = ask(dhcp(DISCOVER, ALL), extra(("router", ""))).options
        assert 3 not in options
        assert not options[121].endswith(b"\0" + pack("10.0.0.1"))

    def test_routes_replace_ours(self) -> None:
        own = extra(("classless-static-route", "0.0.0.0/0,10.0.0.3,198.18.0.0/15,10.0.0.4"))
        expected = b"\0" + pack("10.0.0.3") + b"\x0f\xc6\x12" + pack("10.0.0.4")
        assert ask(dhcp(DISCOVER, ALL), own).options[121] == expected

    def test_lease_time_of_its_own_leaves_renewal_to_the_client(self) -> None:
        options = ask(dhcp(DISCOVER), extra(("lease-time", "10m"))).options
        assert options[51] == (600).to_bytes(4, "big")
        assert not {58, 59} & options.keys()

    @pytest.mark.parametrize(
        ("name", "value", "number", "raw"),
        [
            ("mtu", "9000", 26, b"\x23\x28"),
            ("domain-search", "a.org,b.org", 119, b"\1a\3org\0\1b\3org\0"),
            ("ntp-server", "198.18.0.1,198.18.0.2", 42, b"\xc6\x12\0\1\xc6\x12\0\2"),
            ("42", "198.18.0.1", 42, b"\xc6\x12\0\1"),
            ("option:dns-server", "198.18.0.1", 6, b"\xc6\x12\0\1"),
            ("224", "01:02:ff", 224, b"\1\2\xff"),
            ("225", "some words", 225, b"some words"),
            ("domain-name", "other.org", 15, b"other.org"),
        ],
    )
    def test_encoding(self, name: str, value: str, number: int, raw: bytes) -> None:
        assert ask(dhcp(DISCOVER, ALL), extra((name, value))).options[number] == raw

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("mtu", "big"),
            ("router", "ten"),
            ("no-such-option", "1"),
            ("53", "5"),
            ("300", "1"),
            ("domain-search", "a..b"),
        ],
    )
    def test_a_mistake_leaves_the_rest(self, name: str, value: str) -> None:
        reply = ask(dhcp(DISCOVER, ALL), extra((name, value)))
        assert reply.kind == OFFER
        assert reply.options[26] == (1450).to_bytes(2, "big")


def test_long_options_are_split_and_what_does_not_fit_is_left_out() -> None:
    own = extra(("225", "x" * 300), ("226", "y" * 1000))
    small = ask(dhcp(DISCOVER), own)
    assert not {225, 226} & small.options.keys()
    assert len(small.packet.payload) <= 576 - 28
    large = ask(dhcp(DISCOVER, option(57, (1400).to_bytes(2, "big"))), own)
    assert large.options[225] == b"x" * 300
    assert 226 not in large.options


@given(st.binary(max_size=400), st.integers(0, 41), st.booleans())
def test_malformed_input_is_survived(noise: bytes, cut: int, inside: bool) -> None:
    frame = dhcp(DISCOVER)
    base = frame[:278] if inside else frame[:cut]
    whole = base + noise
    if inside:  # well-formed outside, so that the noise is read as options
        packet = frames.parse(frame)
        assert packet is not None
        whole = frames.udp4(packet._replace(payload=packet.payload[:240] + noise))
    answer(whole, port(), switch(), API)


@given(st.dictionaries(st.integers(1, 254), st.binary(max_size=8), max_size=12), st.integers(0, 8))
def test_any_options_are_survived(options: dict[int, bytes], kind: int) -> None:
    raw = b"".join(option(number, value) for number, value in options.items() if number != 53)
    reply = answer(dhcp(kind, raw, ciaddr="10.0.0.5"), port(), switch(), API)
    assert reply is None or Reply4(reply).kind in (OFFER, ACK, NAK)


@given(st.text(max_size=12), st.text(max_size=40), st.sampled_from([4, 6]))
def test_any_extra_option_is_survived(name: str, value: str, version: int) -> None:
    own = port(dhcp_options=(DhcpOption(name, value, version), DhcpOption("119", value), DhcpOption("121", value)))
    assert ask(dhcp(DISCOVER), own).kind == OFFER
