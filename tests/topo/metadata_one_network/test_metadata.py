"""Metadata as curl sees it: who asks is told to Nova, and nobody can pretend to be another."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket

import pytest

from tests.topo.nova import CHUNK, CHUNKS, Nova
from tests.topo.services_lab import Lab, subnet, uid
from weft.backends.linux import netns, proxy
from weft.backends.linux.frames import link_local
from weft.logical.model import LogicalPort

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip", "curl")]

V4 = subnet("v4", "10.0.0.0/24", "10.0.0.1")
URL = "http://169.254.169.254"


def build(lab: Lab) -> LogicalPort:
    port = lab.port("vm", lab.switch("net", V4), (V4, "10.0.0.5"))
    lab.configure(port)
    lab.set()
    return port


def raw(lab: Lab, request: bytes) -> bytes:
    """All that comes back for these octets."""
    with netns.open_socket(lab.at("vm"), socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(("169.254.169.254", 80))
        sock.sendall(request)
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer


def test_nova_is_told_who_asks(lab: Lab, nova: Nova) -> None:
    port = build(lab)
    status, body = lab.curl("vm", f"{URL}/latest/meta-data/?a=b", "-H", "X-Anything: kept", "-A", "boot/1")
    assert (status, body) == (200, f"metadata of {port.device_id}")
    ((method, path, headers, _),) = nova.requests
    assert (method, path) == ("GET", "/latest/meta-data/?a=b")
    assert headers["X-Forwarded-For"] == "10.0.0.5"
    assert headers["X-Instance-ID"] == port.device_id
    assert headers["X-Tenant-ID"] == port.project_id
    signature = hmac.new(b"a secret", port.device_id.encode(), hashlib.sha256).hexdigest()
    assert headers["X-Instance-ID-Signature"] == signature
    assert (headers["X-Anything"], headers["User-Agent"]) == ("kept", "boot/1")
    assert headers["Host"] == f"127.0.0.1:{nova.port}"


@pytest.mark.parametrize("spelling", ["X-Instance-ID", "x-instance-id", "X_Instance_ID", "X-Instance_ID"])
def test_claims_of_the_client_do_not_arrive(lab: Lab, nova: Nova, spelling: str) -> None:
    port = build(lab)
    claims = [
        "X-Tenant-ID: other",
        "X-Instance-ID-Signature: forged",
        "X-Forwarded-For: 10.0.0.9",
        f"{spelling}: other",
    ]
    lab.curl("vm", f"{URL}/", *(part for claim in claims for part in ("-H", claim)))
    ((_, _, headers, _),) = nova.requests
    values = [value for name, value in headers.items() if name.lower().replace("_", "-") == "x-instance-id"]
    assert values == [port.device_id]
    assert headers.get_all("X-Tenant-ID") == [port.project_id]
    assert headers.get_all("X-Forwarded-For") == ["10.0.0.5"]
    assert len(headers.get_all("X-Instance-ID-Signature")) == 1
    assert "forged" not in headers.values()


def test_by_ipv6(lab: Lab, nova: Nova) -> None:
    port = build(lab)
    status, body = lab.curl("vm", "http://[fe80::a9fe:a9fe%25eth0]/openstack")
    assert (status, body) == (200, f"metadata of {port.device_id}")
    assert nova.requests[0][2]["X-Forwarded-For"] == link_local(port.mac)


def test_answers_come_through_as_they_are(lab: Lab, nova: Nova) -> None:
    build(lab)
    assert lab.curl("vm", f"{URL}/status/403")[0] == 403
    said = lab.sh("vm", f"curl -s -i -m 10 {URL}/")
    assert "HTTP/1.1 200" in said
    assert "X-From-Nova: yes" in said or "x-from-nova: yes" in said
    assert "text/x-test" in said
    assert lab.curl("vm", f"{URL}/", "-I")[0] == 200
    assert nova.requests[-1][0] == "HEAD"


def test_long_answer_is_streamed(lab: Lab) -> None:
    build(lab)
    for options in ((), ("-0",)):  # HTTP/1.0 knows no chunks
        size = lab.sh("vm", f"curl -s -m 30 {' '.join(options)} {URL}/big | wc -c")
        assert int(size) == len(CHUNK) * CHUNKS


def test_body_goes_up(lab: Lab, nova: Nova) -> None:
    build(lab)
    assert lab.curl("vm", f"{URL}/openstack/latest/password", "-d", "secret")[0] == 200
    assert nova.requests[-1][0::3] == ("POST", b"secret")
    assert lab.curl("vm", f"{URL}/", "-d", "pieces", "-H", "Transfer-Encoding: chunked")[0] == 200
    assert nova.requests[-1][3] == b"pieces"
    assert lab.curl("vm", f"{URL}/", "-d", "patient", "-H", "Expect: 100-continue")[0] == 200
    assert nova.requests[-1][3] == b"patient"
    known = len(nova.requests)
    (lab.folder / "large").write_bytes(bytes(proxy.BODY_BYTES + 1))
    assert lab.curl("vm", f"{URL}/", "--data-binary", f"@{lab.folder}/large")[0] == 413
    assert len(nova.requests) == known


def test_what_is_no_request(lab: Lab, nova: Nova) -> None:
    build(lab)
    assert raw(lab, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(lab, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20000).startswith(b"HTTP/1.1 431 ")
    assert raw(lab, b"CONNECT nova:80 HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 405 ")
    assert raw(lab, b"GET nova HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    both = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    smuggled = raw(lab, both + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
    assert smuggled.count(b"HTTP/1.1 ") == 1
    assert "/second" not in [path for _, path, _, _ in nova.requests]


def test_stranger_learns_nothing(lab: Lab, nova: Nova) -> None:
    build(lab)
    lab.sh("vm", "ip addr add 10.0.0.77/24 dev eth0")
    status, words = lab.curl("vm", f"{URL}/", "--interface", "10.0.0.77")
    assert status == 404
    assert "10.0.0.77" in words
    assert nova.requests == []


def test_two_tenants_with_the_same_address(lab: Lab, nova: Nova) -> None:
    build(lab)
    blue = subnet("blue", "10.0.0.0/24", "10.0.0.1")
    lab.configure(lab.port("other", lab.switch("blue", blue), (blue, "10.0.0.5")))
    lab.set()
    for name in ("vm", "other"):
        assert lab.curl(name, f"{URL}/")[1] == f"metadata of {uid(f'instance of {name}')}"


def test_too_many_requests(lab: Lab, nova: Nova, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "RATE", 0.001)
    monkeypatch.setattr(proxy, "BURST", 2)
    build(lab)
    assert [lab.curl("vm", f"{URL}/")[0] for _ in range(3)] == [200, 200, 429]
    assert len(nova.requests) == 2


def test_nova_is_away(lab: Lab, nova: Nova) -> None:
    build(lab)
    nova.close()
    status, words = lab.curl("vm", f"{URL}/")
    assert status == 503
    assert "try again" in words


def test_without_nova(alone: Lab) -> None:
    port = build(alone)
    assert alone.curl("vm", f"{URL}/latest/meta-data/instance-id") == (200, port.device_id)
    assert alone.curl("vm", f"{URL}/2009-04-04/meta-data/local-ipv4") == (200, "10.0.0.5")
    assert alone.curl("vm", f"{URL}/latest/meta-data/hostname") == (200, "vm")
    assert alone.curl("vm", f"{URL}/latest/user-data")[0] == 404
    said = json.loads(alone.curl("vm", f"{URL}/openstack/latest/meta_data.json")[1])
    assert (said["uuid"], said["hostname"], said["project_id"]) == (port.device_id, "vm", port.project_id)


def test_nothing_else_listens(lab: Lab) -> None:
    build(lab)
    with netns.open_socket(lab.at("vm"), socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        with pytest.raises(TimeoutError):  # dropped, not refused
            sock.connect(("169.254.169.254", 22))
    assert "1 received" in lab.sh("vm", "ping -c 1 -W 5 169.254.169.254")
