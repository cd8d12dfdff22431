"""A network with two ports here and one elsewhere, and a resolver of the machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.topo.dns_one_network.resolver import Resolver
from tests.topo.services_lab import Lab, subnet, uid

V4 = subnet("v4", "10.0.0.0/24", "10.0.0.1")
V6 = subnet("v6", "fd00:1::/64", "fd00:1::1")


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def lab(prefix: str, resolver: Resolver) -> Iterator[Lab]:
    made = Lab(prefix, resolvers=(resolver.address,))
    try:
        switch = made.switch("net", V4, V6)
        for name, ip, ip6 in (("vm", "10.0.0.5", "fd00:1::5"), ("db", "10.0.0.6", "fd00:1::6")):
            made.configure(made.port(name, switch, (V4, ip), (V6, ip6)))
        made.set(names={uid("net"): (("10.0.0.7", "far", "far.example.org."),)})
        yield made
    finally:
        made.close()
