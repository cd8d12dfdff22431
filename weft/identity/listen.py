"""Where a server that hands out tokens over plain HTTP may listen."""

from __future__ import annotations

import ipaddress


class ListenError(ValueError):
    """An address that must not be listened on; the message says why and what to do."""


def check_listen(address: str, allow_remote: bool = False) -> str:
    """`address` again if it is loopback or the operator allowed others explicitly; else ListenError."""
    if allow_remote or address == "localhost":
        return address
    try:
        loopback = ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        # a name may point anywhere tomorrow
        loopback = False
    if not loopback:
        raise ListenError(
            f"{address} is not a loopback address: passwords and tokens would travel unencrypted. "
            "Put a TLS proxy in front, or allow it explicitly"
        )
    return address
