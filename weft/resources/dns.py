"""Names of ports and floating IPs: what they are, and the domain in which they are published outside.

Rules: facts of the API, behaviours section 23.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft import errors
from weft.config import Config
from weft.context import Context
from weft.registry.resource import Row
from weft.registry.types_dns import LONGEST_NAME
from weft.resources import network, subnet
from weft.resources import segment_types as kinds
from weft.store.transaction import Transaction

NO_DOMAIN = "openstacklocal"
"""The default of dns_domain, which turns port names off."""


def kept(config: Config, name: str) -> str:
    """The dns_name of a port that is stored: none while the installation has no domain of its own.

    A relative name has room in the domain, an absolute one is in it. Raises HTTPBadRequest.
    """
    domain = config.api.dns_domain.strip(".")
    if domain == NO_DOMAIN or not name:
        return ""
    if not name.endswith("."):
        if domain and len(f"{name}.{domain}.") > LONGEST_NAME:
            raise _invalid(f"'{name}' in the domain '{domain}.' is longer than {LONGEST_NAME} characters")
    elif domain and not name.endswith(f".{domain}."):
        raise _invalid(f"'{name}' is a FQDN. It must be in the domain '{domain}.'")
    return name


def _invalid(reason: str) -> errors.HTTPBadRequest:
    return errors.HTTPBadRequest(f"Invalid input for dns_name. Reason: {reason}.")


def assignment(config: Config, row: Row) -> list[dict[str, str]]:
    """Names of the port's addresses: its dns_name, or host-10-0-0-3 for the address 10.0.0.3."""
    own = config.api.dns_domain.strip(".")
    domain = row["dns_published"] or (f"{own}." if own else "")
    ips = [fixed["ip_address"] for fixed in row["fixed_ips"]]
    name = row["dns_name"]
    if not name:
        hosts = [(ip, "host-" + ip.translate(_AS_NAME)) for ip in ips]
        return [
            {"ip_address": ip, "hostname": host, "fqdn": f"{host}.{domain}" if domain else host} for ip, host in hosts
        ]
    if name.endswith("."):
        host, fqdn = name.partition(".")[0], name
    else:
        host, fqdn = name, f"{name}.{domain}" if domain else name
    return [{"ip_address": ip, "hostname": host, "fqdn": fqdn} for ip in ips]


_AS_NAME = str.maketrans(".:", "--")


# Published outside.


def expanded(domain: str, context: Context) -> str:
    """The domain with what its keywords stand for: who names something in it."""
    for keyword in ("project_id", "project_name", "user_id", "user_name"):
        if f"<{keyword}>" in domain:
            domain = domain.replace(f"<{keyword}>", getattr(context, keyword).lower())
    return domain


def published(tx: Transaction, port: Row, on: Row) -> str:
    """The domain in which a port's name is published; '' if it is not."""
    domain = port["dns_domain"] or on["dns_domain"]
    if not tx.config.api.external_dns_driver or not port["dns_name"] or not domain:
        return ""
    return expanded(domain, tx.context) if _publishes(tx, on) else ""


def _publishes(tx: Transaction, on: Row) -> bool:
    """Fixed IPs of a network mean something outside: an administrator made the network of what is there, or says so."""
    if any(one["dns_publish_fixed_ip"] for one in subnet.of_network(tx, on["id"])):
        return True
    segments = on["_segments"]
    if on["router:external"]:
        return False
    if len(segments) != 1:
        return True
    kind, number = segments[0]["network_type"], segments[0]["segmentation_id"]
    if kind in ("local", "flat"):
        return bool(kind == "flat")
    spans = (
        kinds.vlan_ranges(tx.config).get(segments[0]["physical_network"], ())
        if kind == "vlan"
        else kinds.tunnel_ranges(tx.config, kind)
    )
    return not any(first <= number <= last for first, last in spans)


def prepare_floatingip(tx: Transaction, values: Row) -> None:
    """A floating IP's own name, which never changes; none where nobody publishes it. Raises BadRequest."""
    name, domain = values["dns_name"], values["dns_domain"]
    values["dns_published"] = ""
    if not tx.config.api.external_dns_driver:
        values["dns_name"] = values["dns_domain"] = ""
        return
    if bool(name) != bool(domain):
        raise errors.BadRequest(
            resource="floatingip",
            reason=f"dns_{'name' if name else 'domain'} cannot be specified without a dns_{'domain' if name else 'name'}",
        )
    if name:
        values["dns_published"] = f"{name}.{expanded(domain, tx.context)}"


def follow_target(tx: Transaction, fip: Row, target: Mapping[str, Any] | None) -> None:
    """A floating IP without a name of its own is published under that of the port that it leads to, if that has one."""
    if fip["dns_name"]:
        return
    fip["dns_published"] = ""
    if target and target["dns_name"] and tx.config.api.external_dns_driver:
        name, on = target["dns_name"], tx.get(network.NETWORK, target["network_id"], everybody=True)
        if on["dns_domain"]:
            fip["dns_published"] = name if name.endswith(".") else f"{name}.{expanded(on['dns_domain'], tx.context)}"
