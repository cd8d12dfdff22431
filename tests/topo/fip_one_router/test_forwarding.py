"""Port forwardings of one router: single ports, ranges, protocols, from outside and from inside."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.topo.router_lab import TCP, UDP, Lab, floating, forwarding, gateway, leg, router
from weft.logical.model import LogicalRouter, PortForwarding

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.dataplanes("linux", "ovn"),
    pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump"),
]

IP = "203.0.113.120"


@pytest.fixture
def hosts(lab: Lab) -> dict[str, str]:
    for name in ("a", "b", "ext"):
        lab.network(name)
    hosts = {f"a{n}": lab.host(f"a{n}", "a", f"10.0.0.{n}/24", via="10.0.0.1") for n in (11, 12, 13)}
    hosts["b21"] = lab.host("b21", "b", "10.0.1.21/24", via="10.0.1.1")
    hosts["out"] = lab.host("out", "ext", "203.0.113.1/24", lo="198.51.100.1/32")
    return hosts


def inside(name: str) -> str:
    return f"10.0.{'ab'.index(name[0])}.{name[1:]}"


def edge(*forwardings: PortForwarding) -> LogicalRouter:
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
    legs = (leg("r", "a", "10.0.0.1/24"), leg("r", "b", "10.0.1.1/24"))
    return router("r", *legs, gateway=gate, forwardings=forwardings)


def give(lab: Lab, hosts: dict[str, str], *forwardings: PortForwarding) -> None:
    """The router has them, and has met its neighbour outside: a first answer may be lost on OVN, which UDP won't repeat."""
    lab.set(edge(*forwardings))
    assert lab.reaches(hosts["out"], "203.0.113.10")


@pytest.mark.parametrize(("kind", "protocol"), [(TCP, "tcp"), (UDP, "udp"), (UDP, "17")])
def test_one_port(lab: Lab, hosts: dict[str, str], kind: int, protocol: str) -> None:
    """The client keeps its address; other ports and the other protocol are not forwarded."""
    give(lab, hosts, forwarding(protocol, IP, (2222, 2222), "10.0.0.11", (22, 22)))
    assert lab.talk(hosts["a11"], "10.0.0.11", 22, hosts["out"], IP, 2222, kind) == "203.0.113.1"
    with lab.listen(hosts["a11"], "10.0.0.11", 2223, TCP), pytest.raises(lab.closed):
        lab.connect(hosts["out"], IP, 2223, TCP)
    if kind == UDP:
        with lab.listen(hosts["a11"], "10.0.0.11", 22, TCP), pytest.raises(lab.closed):
            lab.connect(hosts["out"], IP, 2222, TCP)


def test_same_port_for_two_protocols_and_two_workloads(lab: Lab, hosts: dict[str, str]) -> None:
    tcp = forwarding("tcp", IP, (53, 53), "10.0.0.11", (53, 53))
    udp = forwarding("udp", IP, (53, 53), "10.0.0.12", (5353, 5353))
    give(lab, hosts, tcp, udp)
    assert lab.talk(hosts["a11"], "10.0.0.11", 53, hosts["out"], IP, kind=TCP) == "203.0.113.1"
    assert lab.talk(hosts["a12"], "10.0.0.12", 5353, hosts["out"], IP, 53, UDP) == "203.0.113.1"


@pytest.mark.parametrize("kind", [TCP, UDP])
@pytest.mark.parametrize(
    ("outside", "inside", "pairs"),
    [
        ((1000, 1010), (1000, 1010), {1000: 1000, 1005: 1005, 1010: 1010}),
        ((1000, 1010), (2000, 2010), {1000: 2000, 1005: 2005, 1010: 2010}),
        ((1000, 1010), (22, 22), {1000: 22, 1005: 22, 1010: 22}),
        ((1000, 2023), (1000, 2023), {1000: 1000, 2023: 2023}),
        ((1, 65535), (1, 65535), {1: 1, 30000: 30000, 65535: 65535}),
    ],
    ids=["same", "shifted", "many to one", "a thousand", "all"],
)
def test_ranges(
    lab: Lab,
    hosts: dict[str, str],
    kind: int,
    outside: tuple[int, int],
    inside: tuple[int, int],
    pairs: dict[int, int],
) -> None:
    if outside[1] - outside[0] >= lab.most_forwarded:
        pytest.skip("not on ovn: every port is some flows in every host; the API refuses so many")
    protocol = {TCP: "tcp", UDP: "udp"}[socket.SocketKind(kind)]
    give(lab, hosts, forwarding(protocol, IP, outside, "10.0.0.11", inside))
    for port, target in pairs.items():
        assert lab.talk(hosts["a11"], "10.0.0.11", target, hosts["out"], IP, port, kind) == "203.0.113.1"
    if outside[1] < 65535:
        for port in (999, outside[1] + 1):
            with lab.listen(hosts["a11"], "10.0.0.11", port, TCP), pytest.raises(lab.closed):
                lab.connect(hosts["out"], IP, port, TCP)


@pytest.mark.dataplanes(
    "linux", because="OVN's load balancers know ports of TCP, UDP and SCTP only; the API refuses others"
)
def test_ping_is_forwarded(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge(forwarding("icmp", IP, (1, 1), "10.0.0.11", (1, 1))))
    seen = lab.sniff(hosts["a11"], "eth0", "icmp[0]==8")
    assert lab.ping(hosts["out"], IP).lost == 0
    assert "203.0.113.1 > 10.0.0.11" in seen.lines()[0]


@pytest.mark.dataplanes("linux", because="Open vSwitch tracks no SCTP in userspace, and the API refuses DCCP")
@pytest.mark.parametrize(("protocol", "to"), [("sctp", 6000), ("dccp", 5000)])
def test_other_protocols_with_ports(lab: Lab, hosts: dict[str, str], protocol: str, to: int) -> None:
    """Sent as raw packets, since this machine need not speak them. Kernels since 6.17 don't track DCCP's ports: they
    translate its addresses only, so that a forwarding to the same port is the one that works everywhere."""
    lab.set(edge(forwarding(protocol, IP, (5000, 5000), "10.0.0.11", (to, to))))
    number = socket.getprotobyname(protocol)
    seen = lab.sniff(hosts["a11"], "eth0", f"ip proto {number}")
    lab.sh(hosts["out"], PACKET.format(protocol=number, ip=IP))
    lines = seen.lines()
    assert lines, "nothing came through"
    assert f"203.0.113.1.4000 > 10.0.0.11.{to}" in lines[0]


PACKET = """python3 -c '
import socket, struct
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
def ones(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
addresses = socket.inet_aton("203.0.113.1") + socket.inet_aton("{ip}")
if {protocol} == 132:
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 1)
    head = struct.pack("!HHI", 4000, 5000, 0)
    packet = head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk
else:
    body = struct.pack("!HHBBHB3sI", 4000, 5000, 5, 0, 0, 1, bytes(3), 0) + struct.pack("!I", 42)
    total = ones(addresses + struct.pack("!HH", 33, len(body)) + body)
    packet = body[:6] + struct.pack("!H", total) + body[8:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, {protocol})
raw.sendto(packet, ("{ip}", 0))
'"""


@pytest.mark.parametrize("kind", [TCP, UDP])
def test_from_inside(lab: Lab, hosts: dict[str, str], kind: int) -> None:
    """The workload itself, a neighbour, or one of another network, by the outside address: whoever of them lives on the
    host of the gateway, which some do."""
    protocol = {TCP: "tcp", UDP: "udp"}[socket.SocketKind(kind)]
    servers = {2211: "a11", 2212: "a12", 2213: "a13"}
    give(lab, hosts, *(forwarding(protocol, IP, (n, n), inside(name), (22, 22)) for n, name in servers.items()))
    for number, server in servers.items():
        for client in ("a11", "a12", "a13", "b21"):
            seen = lab.talk(hosts[server], inside(server), 22, hosts[client], IP, number, kind)
            assert seen == ("203.0.113.10" if lab.hides_neighbours or client == server else inside(client))
        assert lab.talk(hosts[server], inside(server), 22, hosts["out"], IP, number, kind) == "203.0.113.1"


def test_from_inside_without_snat(lab: Lab, hosts: dict[str, str]) -> None:
    one = edge(forwarding("tcp", IP, (2222, 2222), "10.0.0.11", (22, 22)))
    assert one.gateway is not None
    lab.set(replace(one, gateway=replace(one.gateway, enable_snat=False)))
    for client in ("a11", "a12", "b21"):
        seen = lab.talk(hosts["a11"], "10.0.0.11", 22, hosts[client], IP, 2222)
        assert seen == ("203.0.113.10" if lab.hides_neighbours or client == "a11" else inside(client))


def test_its_address_is_announced(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge())
    heard = lab.sniff(hosts["out"], "eth0", f"arp and src host {IP}")
    lab.set(edge(forwarding("tcp", IP, (2222, 2222), "10.0.0.11", (22, 22))))
    assert heard.lines()


def test_neighbour_with_a_floating_ip_is_seen_as_that(lab: Lab, hosts: dict[str, str]) -> None:
    one = edge(forwarding("tcp", IP, (2222, 2222), "10.0.0.11", (22, 22)))
    lab.set(replace(one, nats=(floating("203.0.113.112", "10.0.0.12"),)))
    seen = "203.0.113.112" if lab.hides_neighbours else "10.0.0.12"
    assert lab.talk(hosts["a11"], "10.0.0.11", 22, hosts["a12"], IP, 2222) == seen


def test_changing_one_leaves_the_others_connections(lab: Lab, hosts: dict[str, str]) -> None:
    kept = forwarding("tcp", IP, (80, 80), "10.0.0.11", (8080, 8080))
    lab.set(edge(kept, forwarding("udp", IP, (53, 53), "10.0.0.11", (53, 53))))
    server = lab.listen(hosts["a11"], "10.0.0.11", 8080)
    client = lab.connect(hosts["out"], IP, 80)
    accepted, _ = server.accept()
    old = lab.listen(hosts["a11"], "10.0.0.11", 53, UDP)
    asking = lab.connect(hosts["out"], IP, 53, UDP)
    asking.send(b"first")
    assert old.recv(10) == b"first"
    lab.set(edge(kept, forwarding("udp", IP, (53, 53), "10.0.0.12", (53, 53))))
    new = lab.listen(hosts["a12"], "10.0.0.12", 53, UDP)
    asking.send(b"second")
    assert new.recv(10) == b"second", "the same client socket reaches the new target"
    accepted.settimeout(2)
    client.send(b"still here")
    assert accepted.recv(100) == b"still here"
    accepted.close()
    lab.set(edge(kept))
    asking.send(b"third")
    with pytest.raises(lab.closed):
        asking.recv(10)


@pytest.mark.dataplanes("linux", because="no router of OVN answers pings to an address that it only forwards ports of")
def test_an_address_changes_from_forwardings_to_a_floating_ip(lab: Lab, hosts: dict[str, str]) -> None:
    """The router itself answered a ping to it; the same ping reaches the workload from now on."""
    lab.set(edge(forwarding("tcp", IP, (80, 80), "10.0.0.11", (80, 80))))
    flood = lab.flood(hosts["out"], IP)
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
    lab.set(router("r", leg("r", "a", "10.0.0.1/24"), gateway=gate, nats=[floating(IP, "10.0.0.11")]))
    seen = lab.sniff(hosts["a11"], "eth0", "icmp[0]==8")
    assert seen.lines()
    assert flood.stop().lost <= 2
