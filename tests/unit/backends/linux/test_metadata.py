"""Metadata: who asks, what Nova is told, and the document without Nova."""

from __future__ import annotations

import json

import pytest

from tests.unit.backends.linux.packets import NETWORK, port
from weft.backends.linux import metadata

CLIENT = [
    (b"Host", b"169.254.169.254"),
    (b"User-Agent", b"boot"),
    (b"Connection", b"keep-alive"),
    (b"X_Tenant_ID", b"forged"),
    (b"x-forwarded-for", b"1.2.3.4"),
    (b"Transfer-Encoding", b"chunked"),
    (b"X-Metadata-Provider", b"forged"),
]


def test_port_is_found_by_network_and_address() -> None:
    here, there = port(), port(id="other", switch="elsewhere", mac="fa:16:3e:00:00:06")
    known = metadata.by_address([here, there])
    assert metadata.find(known, [NETWORK], "10.0.0.5") == here
    assert metadata.find(known, ["elsewhere"], "10.0.0.5") == there
    assert metadata.find(known, ["nowhere", NETWORK], "fd00:1::5") == here
    assert metadata.find(known, [NETWORK], "fe80::f816:3eff:fe00:5%svc0") == here
    assert metadata.find(known, [NETWORK], "fe80::f816:3eff:fe00:6%svc0") is None
    assert metadata.find(known, [NETWORK], "10.0.0.6") is None


def test_headers_for_nova() -> None:
    own = port(device_id="instance", project_id="project")
    headers = metadata.request_headers(CLIENT, own, "fe80::5%svc0", "secret", "nova:8775")
    assert headers == [
        (b"User-Agent", b"boot"),
        (b"Host", b"nova:8775"),
        (b"X-Forwarded-For", b"fe80::5"),
        (b"X-Instance-ID", b"instance"),
        (b"X-Tenant-ID", b"project"),
        (b"X-Instance-ID-Signature", b"fac450cbc556373851e9f5755126936b598b1749a007d96b7e0b7f1a5cd274e9"),
        (b"Connection", b"close"),
    ]


def test_headers_for_the_client() -> None:
    said = [(b"content-length", b"3"), (b"Keep-Alive", b"5"), (b"x-other", b"1"), (b"connection", b"keep-alive")]
    assert metadata.response_headers(said) == [(b"content-length", b"3"), (b"x-other", b"1"), (b"Connection", b"close")]


def test_unclaimed_port_stands_for_itself() -> None:
    assert metadata.instance_id(port(device_id="")) == port().id


@pytest.mark.parametrize("root", ["/latest", "/2009-04-04", "/1.0"])
def test_ec2(root: str) -> None:
    own = port(device_id="instance")
    assert metadata.document(f"{root}/meta-data/", own).body.split() == [
        "hostname",
        "instance-id",
        "local-hostname",
        "local-ipv4",
        "mac",
    ]
    values = [
        metadata.document(f"{root}/meta-data/{name}?x=y", own).body for name in ("instance-id", "hostname", "mac")
    ]
    assert values == ["instance", "vm", own.mac]


def test_openstack() -> None:
    assert "latest" in metadata.document("/openstack", port()).body.split()
    answer = metadata.document("/openstack/latest/meta_data.json", port(device_id="instance", project_id="project"))
    assert answer.content_type == "application/json"
    assert json.loads(answer.body)["uuid"] == "instance"


@pytest.mark.parametrize(
    "target", ["/latest/user-data", "/other", "/latest/meta-data/public-keys", "/openstack/2999-01-01", "/latest/x/y/z"]
)
def test_what_only_nova_knows(target: str) -> None:
    assert metadata.document(target, port()).status == 404
