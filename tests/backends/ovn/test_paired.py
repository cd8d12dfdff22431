"""Allowed address pairs of members in a real Northbound database: what changes with them, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.backends.ovn.test_northbound import Make, changed, make, port, server, view, writes  # noqa: F401 - fixtures
from tests.ovn_server import PROGRAMS, Server
from weft.logical.model import Acl, AddressPair, Key, LogicalPort, PortGroup

pytestmark = [pytest.mark.needs_programs(*PROGRAMS)]

SET = "as_pairs_ip4_web"


def pairs(*ips: str) -> dict[str, Any]:
    return {"pairs": tuple(AddressPair("fa:16:3e:00:00:99", ip) for ip in ips)}


def addresses(server: Server) -> Any:  # noqa: F811
    """Of the set, None where there is none."""
    found = server.nb.rows("Address_Set", "addresses", name=SET)
    return (
        sorted([found[0]["addresses"]] if isinstance(found[0]["addresses"], str) else found[0]["addresses"])
        if found
        else None
    )


def matches(server: Server) -> list[str]:  # noqa: F811
    return sorted(row["match"] for row in server.nb.rows("ACL", "match") if "$" in row["match"])


def test_they_come_and_go_with_ports(server: Server, make: Make) -> None:  # noqa: F811
    """By the change of a port alone: the first one makes set and row, the next ones change the set, the last takes both away."""
    backend = make()
    desired = view(port("a", 5), port("b", 6))
    assert backend.set(desired, None).failed == {}
    plain = ["outport == @pg_web && ip4 && ip4.src == $pg_web_ip4 && tcp && tcp.dst == 80"]
    assert (addresses(server), matches(server)) == (None, plain)

    def become(one: LogicalPort) -> None:
        desired.ports[one.id] = one
        assert writes(server, lambda: changed(backend, desired, one.key)) == 1

    become(port("a", 5, **pairs("10.0.0.100")))
    assert addresses(server) == ["10.0.0.100"]
    assert matches(server) == sorted([*plain, plain[0].replace("$pg_web_ip4", f"${SET}")])
    become(port("b", 6, **pairs("10.0.0.100", "10.1.0.0/16")))
    assert addresses(server) == ["10.0.0.100", "10.1.0.0/16"]
    become(port("a", 5))
    assert addresses(server) == ["10.0.0.100", "10.1.0.0/16"]
    del desired.ports["b"]
    changed(backend, desired, Key("port", "b"))
    assert (addresses(server), matches(server)) == (None, plain)
    assert make().set(desired, None).drift == []


def test_a_rule_that_comes_later(server: Server, make: Make) -> None:  # noqa: F811
    backend = make()
    desired = view(port("a", 5, **pairs("10.0.0.100")))
    backend.set(desired, None)
    desired.groups["other"] = PortGroup("other", True, (Acl("r2", "egress", "IPv4", remote_group="web"),))
    changed(backend, desired, Key("group", "other"))
    assert f"inport == @pg_other && ip4 && ip4.dst == ${SET}" in matches(server)


def test_an_edit_is_mended(server: Server, make: Make) -> None:  # noqa: F811
    backend = make()
    desired = view(port("a", 5, **pairs("10.0.0.100")))
    backend.set(desired, None)
    server.nb.update("Address_Set", {"addresses": ["set", ["10.0.0.101"]]})
    assert any(SET in line for line in backend.set(desired, None).drift)
    assert addresses(server) == ["10.0.0.100"]
