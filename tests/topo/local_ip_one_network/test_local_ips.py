"""Local IPs with real packets: who is reached by one, as whom he answers, and what rules say about it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.topo.lab import Lab, egress, ingress, uid
from weft.backends.linux import names, netns
from weft.backends.linux.backend import LinuxBackend
from weft.backends.linux.links import Address as LinkAddress
from weft.backends.linux.responder import Responder
from weft.logical.model import Key, LocalIp

pytestmark = pytest.mark.needs_root

LOCAL = "10.0.0.100"


@pytest.fixture
def host(lab: Lab) -> Iterator[Lab]:
    """Client and two servers on one network, the same addresses on another; the responder answers for local IPs."""
    responder = Responder(lab.config, lab.host, ())
    lab.backend = LinuxBackend(lab.config, responder=responder)
    lab.group("servers", ingress(), ingress(ethertype="IPv6"))
    for network, ports in (("n", ("client", "first", "second")), ("m", ("stranger", "twin"))):
        lab.network(network)
        for number, name in enumerate(ports, 1):
            groups = ("out",) if number == 1 else ("out", "servers")
            lab.port(name, network, f"10.0.0.{number}/24", groups=groups)
    try:
        lab.up()
        yield lab
    finally:
        responder.close()
        for namespace in netns.names():
            if namespace.startswith(names.service_namespace(lab.host, "")):
                netns.delete(namespace)


def leads(lab: Lab, name: str, *, translate: bool = True, on: bool = True) -> Key:
    fixed = lab.view.ports[uid(name)].addresses[0].ip
    return lab.change(name, local_ips=(LocalIp(LOCAL, fixed, translate),) if on else ())


def asks(lab: Lab, source: str, target: str, *, address: str = LOCAL, at: str = "", port: int = 4000) -> bool:
    """Whether a datagram to the address arrives at the target, and its answer comes from that address."""
    with (
        lab.socket(target, socket.AF_INET, socket.SOCK_DGRAM) as server,
        lab.socket(source, socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind((at or lab.workloads[target].ip, port))
        try:
            client.connect((address, port))  # hears nothing from elsewhere
            client.send(b"question")
            _, peer = server.recvfrom(100)
            assert peer[0] == lab.workloads[source].ip
            server.sendto(b"answer", peer)
            return client.recv(100) == b"answer"
        except OSError:
            return False


@contextlib.contextmanager
def stream(lab: Lab, source: str, target: str) -> Iterator[tuple[socket.socket, socket.socket] | None]:
    """Both ends of a TCP connection to the local IP, if it leads to the target."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(lab.socket(target, socket.AF_INET, socket.SOCK_STREAM))
        listener.bind((lab.workloads[target].ip, 5000))
        listener.listen()
        client = stack.enter_context(lab.socket(source, socket.AF_INET, socket.SOCK_STREAM))
        try:
            client.connect((LOCAL, 5000))
            server = stack.enter_context(listener.accept()[0])
            server.settimeout(lab.patience)
        except OSError:
            yield None
            return
        yield client, server


def test_a_local_ip_leads_to_its_port(host: Lab) -> None:
    assert not asks(host, "second", "first")
    host.set(leads(host, "first"))
    assert asks(host, "client", "first")
    assert asks(host, "client", "first", address="10.0.0.2"), "its own address goes on"
    assert host.pings("client", LOCAL)
    with stream(host, "client", "first") as ends:
        assert ends
        client, server = ends
        client.sendall(b"x" * 50_000)
        received = 0
        while received < 50_000:
            received += len(server.recv(50_000))
        assert client.getpeername()[0] == LOCAL and server.getsockname()[0] == "10.0.0.2"
    assert not asks(host, "stranger", "twin"), "another network has nothing to do with it"


def test_it_moves_and_goes(host: Lab) -> None:
    host.set(leads(host, "first"))
    assert asks(host, "client", "first")
    host.set(leads(host, "first", on=False), leads(host, "second"))
    assert asks(host, "client", "second") and not asks(host, "client", "first")
    host.set(leads(host, "second", on=False))
    assert not asks(host, "client", "second")
    assert "local_ips" not in nft(host, "list", "ruleset")


def test_of_several_ports_one_is_it(host: Lab) -> None:
    host.set(leads(host, "first"), leads(host, "second"))
    one, other = sorted(("first", "second"), key=uid)
    assert asks(host, "client", one) and not asks(host, "client", other)
    host.set(host.without(one))
    assert asks(host, "client", other)


def test_rules_are_about_the_ports_behind_it(host: Lab) -> None:
    """The client may send to the first server alone, and that lets in one port: both hold by way of the local IP too."""
    host.group("to first", egress("udp", remote_prefix="10.0.0.2/32"))
    host.group("web", ingress("udp", 4000, 4000, remote_prefix="10.0.0.1/32"))
    host.change("client", groups=["to first"])
    host.change("first", groups=["web"])
    host.set(leads(host, "first"), Key("port", uid("client")), Key("group", uid("to first")), Key("group", uid("web")))
    assert asks(host, "client", "first")
    assert not asks(host, "client", "first", port=4001)
    host.set(leads(host, "first", on=False), leads(host, "second"))
    assert not asks(host, "client", "second")


def test_connections_live_through_changes_and_restarts(host: Lab) -> None:
    host.set(leads(host, "first"))
    with stream(host, "client", "first") as ends:
        assert ends
        client, server = ends
        host.port("new", "n", "10.0.0.9/24")
        host.plug("new")
        host.set(Key("port", uid("new")))
        host.restart()
        assert host.full().drift == []
        client.sendall(b"still")
        assert server.recv(10) == b"still"
        server.sendall(b"here")
        assert client.recv(10) == b"here"
    host.backend.close()


def test_a_new_port_reaches_it_too(host: Lab) -> None:
    host.set(leads(host, "first"))
    host.port("new", "n", "10.0.0.9/24")
    host.plug("new")
    host.set(Key("port", uid("new")))
    assert asks(host, "new", "first")


def test_passed_through_as_it_is(host: Lab) -> None:
    """Without translation the port itself has the address, by an allowed address pair."""
    port = host.view.ports[uid("first")]
    key = host.port("first", "n", "10.0.0.2/24", groups=("out", "servers"), pairs=[(port.mac, LOCAL)])
    assert leads(host, "first", translate=False) == key
    host.set(key)
    inside = host.workloads["first"].links
    assert inside.change_addresses([LinkAddress("eth0", f"{LOCAL}/32")]) == {}
    assert asks(host, "client", "first", at=LOCAL)


def test_drift_is_found_and_mended(host: Lab) -> None:
    host.set(leads(host, "first"))
    nft(host, "flush", "chain", "bridge", "weft", "local_ips")
    assert not asks(host, "client", "first")
    assert any("local_ips" in word for word in host.full().drift)
    assert asks(host, "client", "first")


def test_a_port_that_is_down_is_none(host: Lab) -> None:
    host.set(leads(host, "first"), leads(host, "second"))
    one, other = sorted(("first", "second"), key=uid)
    host.set(host.change(one, enabled=False))
    assert asks(host, "client", other)


def nft(lab: Lab, *words: str) -> str:
    done = subprocess.run(["ip", "netns", "exec", lab.host, "nft", *words], check=True, text=True, capture_output=True)
    return done.stdout
