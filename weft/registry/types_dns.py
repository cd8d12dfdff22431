"""What an attribute's value may be: domain names (RFC 1035 as amended by RFC 1123)."""

from __future__ import annotations

import re
from typing import Any

from weft.registry.types import Type, show, text_fault

LONGEST_NAME = 255
"""Characters of a name with all its labels."""

_LABEL = re.compile("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEYWORD = re.compile("<(?:project_id|project_name|user_id|user_name)>")
"""Stand for the caller in a network's dns_domain (extension dns-integration-domain-keywords)."""


def to_lower(value: Any) -> Any:
    """Names are compared without case; they are kept in lower case."""
    return value.lower() if isinstance(value, str) else value


def name_fault(value: Any) -> str | None:
    """Why `value` is no domain name, relative or absolute (with a dot at its end), or None. The empty text is none, too,
    but means that there is no name."""
    fault = text_fault(value, LONGEST_NAME)
    if fault is not None or not value:
        return fault
    labels = value.removesuffix(".").split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            return (
                f"{show(value)} not a valid PQDN or FQDN. Reason: '{label}' is no label: 1 to 63 letters, digits and "
                "hyphens, which neither begins nor ends with a hyphen"
            )
    if len(labels) > 1 and labels[-1].isdigit():
        return f"{show(value)} not a valid PQDN or FQDN. Reason: the top-level domain '{labels[-1]}' is all numeric"
    return None


def _domain_fault(value: Any) -> str | None:
    fault = text_fault(value, LONGEST_NAME)
    if fault is not None or not value:
        return fault
    if not value.endswith("."):
        return f"{show(value)} is not a FQDN: it lacks the dot at its end"
    if len(value) > LONGEST_NAME - 2:
        return f"{show(value)} leaves no room for a host name within {LONGEST_NAME} characters"
    return name_fault(_KEYWORD.sub("x", value))


def _relative_fault(value: Any) -> str | None:
    fault = name_fault(value)
    if fault is None and value.endswith("."):
        fault = f"{show(value)} is a FQDN. It should be a relative domain name"
    if fault is None and len(value) > LONGEST_NAME - 3:
        fault = f"{show(value)} leaves no room for a domain within {LONGEST_NAME} characters"
    return fault


_SCHEMA = {"type": "string", "maxLength": LONGEST_NAME}

dns_name = Type("dns_host_name", _SCHEMA, convert=to_lower, validate=name_fault, filter=to_lower)
"""A port's name, relative to the server's domain or absolute."""

relative_dns_name = Type("fip_dns_host_name", _SCHEMA, convert=to_lower, validate=_relative_fault, filter=to_lower)
"""A floating IP's name."""

dns_domain = Type("dns_domain_name", _SCHEMA, convert=to_lower, validate=_domain_fault, filter=to_lower)
"""An absolute domain, e.g. `example.org.`; or empty."""
