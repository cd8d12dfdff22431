"""Metadata: which port asks, how Nova is told so, and a small document where there is no Nova. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from weft.backends.linux.frames import link_local
from weft.logical.model import LogicalPort

Header = tuple[bytes, bytes]

#: of one connection, not of the message (RFC 9110, 7.6.1); framing is written anew
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
#: who asks is for us to say
CLAIMS = frozenset(
    (
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-instance-id",
        b"x-instance-id-signature",
        b"x-metadata-provider",
        b"x-metadata-provider-signature",
        b"x-real-ip",
        b"x-tenant-id",
    )
)


class Answer(NamedTuple):
    """A whole response."""

    status: int
    content_type: str
    body: str


def by_address(ports: Iterable[LogicalPort]) -> dict[tuple[str, str], LogicalPort]:
    """(network id, source address) -> port: its addresses, and the link-local one that its MAC gives."""
    return {
        (port.switch, address): port
        for port in ports
        for address in (*(a.ip for a in port.addresses), link_local(port.mac))
    }


def find(known: Mapping[tuple[str, str], LogicalPort], networks: Iterable[str], source: str) -> LogicalPort | None:
    """The port that asks from `source` on one of `networks`."""
    address = ip_address(source.partition("%")[0]).compressed
    return next((known[network, address] for network in networks if (network, address) in known), None)


def instance_id(port: LogicalPort) -> str:
    """What the port belongs to; a port that nobody has claimed yet stands for itself."""
    return port.device_id or port.id


def signature(instance: str, secret: str) -> str:
    """The proof for Nova that we, and not the instance, say which instance it is: HMAC-SHA256 in hexadecimal."""
    return hmac.new(secret.encode(), instance.encode(), hashlib.sha256).hexdigest()


def request_headers(headers: Iterable[Header], port: LogicalPort, source: str, secret: str, host: str) -> list[Header]:
    """The client's headers as Nova gets them: without what it claims of itself, with what we know of it.

    An underscore counts as a hyphen: a server behind WSGI cannot tell them apart.
    """
    instance = instance_id(port)
    kept = [(name, value) for name, value in headers if name.lower().replace(b"_", b"-") not in HOP_BY_HOP | CLAIMS]
    ours = {
        "Host": host,
        "X-Forwarded-For": source.partition("%")[0],
        "X-Instance-ID": instance,
        "X-Tenant-ID": port.project_id,
        "X-Instance-ID-Signature": signature(instance, secret),
        "Connection": "close",
    }
    return kept + [(name.encode(), value.encode()) for name, value in ours.items()]


def response_headers(headers: Iterable[Header]) -> list[Header]:
    """Nova's headers as the client gets them; the length is kept, since it says how the body ends."""
    gone = HOP_BY_HOP - {b"content-length"}
    return [(name, value) for name, value in headers if name.lower() not in gone] + [(b"Connection", b"close")]


def document(target: str, port: LogicalPort) -> Answer:
    """What is served without Nova, for trying things out: identity, name and addresses of the port; no keys, no user data.

    The shapes are those of EC2 (/latest/meta-data/...) and of OpenStack (/openstack/latest/meta_data.json).
    """
    path = [part for part in target.partition("?")[0].split("/") if part]
    name = next((hostname for _, hostname, _ in port.dns), "") or port.name or f"host-{port.id[:8]}"
    if not path:
        return Answer(200, "text/plain", "1.0\n2009-04-04\nlatest")
    if path[0] == "openstack":
        return _openstack(path[1:], port, name)
    if path[0] not in ("1.0", "2009-04-04", "latest"):
        return NOTHING
    if len(path) == 1:
        return Answer(200, "text/plain", "meta-data/")
    values = {
        "hostname": name,
        "instance-id": instance_id(port),
        "local-hostname": name,
        "local-ipv4": next((address.ip for address in port.addresses if address.version == 4), ""),
        "mac": port.mac,
    }
    if path[1:] == ["meta-data"]:
        return Answer(200, "text/plain", "\n".join(values))
    if path[1] == "meta-data" and len(path) == 3 and path[2] in values:
        return Answer(200, "text/plain", values[path[2]])
    return NOTHING


def _openstack(path: list[str], port: LogicalPort, name: str) -> Answer:
    if not path:
        return Answer(200, "text/plain", "2012-08-10\nlatest")
    if path[0] in ("2012-08-10", "latest") and len(path) == 1:
        return Answer(200, "text/plain", "meta_data.json")
    if path[0] in ("2012-08-10", "latest") and path[1:] == ["meta_data.json"]:
        values = {
            "uuid": instance_id(port),
            "name": name,
            "hostname": name,
            "project_id": port.project_id,
            "launch_index": 0,
            "meta": {},
        }
        return Answer(200, "application/json", json.dumps(values))
    return NOTHING


NOTHING = Answer(
    404, "text/plain", "No Nova is configured here; this is not among the little that is served without it."
)
