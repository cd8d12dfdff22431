"""Conntrack helpers by the API: protocols that a router reads along."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from weft.registry.resource import Row


@pytest.fixture
def router(api: Api) -> Row:
    return api.make("routers", name="r")


def path(router: Row, id: str = "") -> str:
    return f"routers/{router['id']}/conntrack_helpers{'/' + id if id else ''}"


def ask(api: Api, router: Row, protocol: Any = "udp", port: Any = 69, helper: Any = "tftp") -> Answer:
    return api.post(path(router), {"conntrack_helper": {"protocol": protocol, "port": port, "helper": helper}})


def made(api: Api, router: Row, **values: Any) -> Row:
    status, body = ask(api, router, **values)
    assert status == 201, body
    return dict(body["conntrack_helper"])


def test_a_helper(api: Api, router: Row) -> None:
    found = made(api, router)
    assert found == {"id": found["id"], "protocol": "udp", "port": 69, "helper": "tftp"}
    assert api.show(path(router), found["id"]) == found
    assert api.list(path(router)) == [found]


def test_the_router_tells_of_its_helpers(api: Api, router: Row) -> None:
    assert router["conntrack_helpers"] == []
    found = made(api, router)
    seen = api.show("routers", router["id"])
    assert seen["conntrack_helpers"] == [{"protocol": "udp", "port": 69, "helper": "tftp"}]
    assert seen["revision_number"] == router["revision_number"] + 1
    assert api.delete(path(router, found["id"]))[0] == 204
    seen = api.show("routers", router["id"])
    assert (seen["conntrack_helpers"], seen["revision_number"]) == ([], router["revision_number"] + 2)


def test_update(api: Api, router: Row) -> None:
    found = made(api, router)
    status, body = api.put(path(router, found["id"]), {"conntrack_helper": {"port": 6969}})
    assert (status, body["conntrack_helper"]) == (200, {**found, "port": 6969})
    assert api.show("routers", router["id"])["conntrack_helpers"] == [
        {"protocol": "udp", "port": 6969, "helper": "tftp"}
    ]
    assert api.put(path(router, found["id"]), {"conntrack_helper": {"port": 6969}})[0] == 200
    assert api.fault(api.put(path(router, found["id"]), {"conntrack_helper": {"protocol": "tcp"}})) == (
        400,
        "InvalidProtocolForHelper",
    )


def test_helpers_are_those_that_the_operator_allows(api: Api, router: Row) -> None:
    assert api.fault(ask(api, router, helper="foo")) == (400, "ConntrackHelperNotAllowed")
    assert api.fault(ask(api, router, protocol="tcp", port=1723, helper="pptp")) == (400, "ConntrackHelperNotAllowed")


def test_helpers_read_their_own_protocols(api: Api, router: Row) -> None:
    status, body = ask(api, router, protocol="tcp")
    assert (status, body["NeutronError"]["type"]) == (400, "InvalidProtocolForHelper")
    assert "Supported protocols are: udp" in body["NeutronError"]["message"]
    made(api, router, protocol="tcp", port=5060, helper="sip")
    made(api, router, protocol="udp", port=5060, helper="sip")


def test_duplicates_are_refused(api: Api, router: Row) -> None:
    made(api, router)
    status, body = ask(api, router)
    assert (status, body["NeutronError"]["type"]) == (400, "BadRequest")
    assert "A duplicate conntrack helper entry with same attributes already exists" in body["NeutronError"]["message"]
    other = made(api, router, port=70)
    assert api.fault(api.put(path(router, other["id"]), {"conntrack_helper": {"port": 69}})) == (400, "BadRequest")
    made(api, api.make("routers"))


@pytest.mark.parametrize("port", [0, 65536, "x", None])
def test_ports_are_ports(api: Api, router: Row, port: Any) -> None:
    assert ask(api, router, port=port)[0] == 400


@pytest.mark.parametrize("name", ["protocol", "port", "helper"])
def test_everything_is_required(api: Api, router: Row, name: str) -> None:
    values: Row = {"protocol": "udp", "port": 69, "helper": "tftp"}
    del values[name]
    assert api.post(path(router), {"conntrack_helper": values})[0] == 400


def test_numbers_name_protocols(api: Api, router: Row) -> None:
    assert made(api, router, protocol=17)["protocol"] == "udp"


def test_filters(api: Api, router: Row) -> None:
    one, two = made(api, router), made(api, router, protocol="tcp", port=21, helper="ftp")
    assert api.list(path(router), "helper=ftp") == [two]
    assert api.list(path(router), "port=69") == [one]
    assert api.list(path(router), "sort_key=port&sort_dir=asc") == [two, one]


def test_strangers(api: Api, router: Row) -> None:
    found, other = made(api, router), api.as_("p2")
    assert other.get(path(router))[0] == 404
    assert other.get(path(router, found["id"]))[0] == 404
    assert ask(other, router)[0] == 404
    assert other.delete(path(router, found["id"]))[0] == 404
    assert api.as_("p1", "reader").delete(path(router, found["id"]))[0] == 403


def test_an_administrators_helper_is_the_owners(api: Api, router: Row) -> None:
    found = made(api.admin, router)
    assert api.list(path(router)) == [found]
    assert api.delete(path(router, found["id"]))[0] == 204


def test_unknown(api: Api, router: Row) -> None:
    nobody = "6f3d1c3e-0000-4000-8000-000000000000"
    assert api.fault(api.get(path(router, nobody))) == (404, "ConntrackHelperNotFound")
    assert api.fault(ask(api, {"id": nobody})) == (404, "RouterNotFound")
    found = made(api, router)
    assert api.fault(api.get(path(api.make("routers"), found["id"]))) == (404, "ConntrackHelperNotFound")


def test_a_router_takes_its_helpers_along(api: Api, router: Row) -> None:
    made(api, router)
    assert api.delete(f"routers/{router['id']}")[0] == 204
    assert api.get(path(router))[0] == 404


def test_statements(api: Api, router: Row) -> None:
    def count(collection: str) -> int:
        with api.statements() as seen:
            api.list(collection)
        return len(seen)

    before = count("routers"), count(path(router))
    for number in range(8):
        made(api, router, port=100 + number)
        api.make("routers")
    assert (count("routers"), count(path(router))) == before


def test_extensions(api: Api) -> None:
    aliases = {row["alias"] for row in api.list("extensions")}
    assert {"l3-conntrack-helper", "expose-l3-conntrack-helper"} <= aliases
