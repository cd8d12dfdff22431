"""Local IPs by the API: addresses that lead to a port on each host."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from weft.registry.resource import Row

NOWHERE = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def network(api: Api) -> Row:
    found = api.make("networks", name="n")
    api.make("subnets", network_id=found["id"], ip_version=4, cidr="10.0.0.0/24")
    return found


@pytest.fixture
def local_ip(api: Api, network: Row) -> Row:
    return api.make("local-ips", name="l", network_id=network["id"])


def below(local_ip: Row, port_id: str = "") -> str:
    return f"local_ips/{local_ip['id']}/port_associations{'/' + port_id if port_id else ''}"


def associate(api: Api, local_ip: Row, port: Row, **values: Any) -> Answer:
    return api.post(below(local_ip), {"port_association": {"fixed_port_id": port["id"], **values}})


def refused(api: Api, **values: Any) -> tuple[int, str]:
    return api.fault(api.post("local-ips", {"local_ip": values}))


def test_on_a_network_it_gets_a_port_of_its_own(api: Api, network: Row) -> None:
    found = api.make("local-ips", name="l", network_id=network["id"])
    holder = api.show("ports", found["local_port_id"])
    assert holder["device_owner"] == "network:local_ip"
    assert (holder["network_id"], holder["project_id"], holder["security_groups"]) == (network["id"], "p1", [])
    assert found == {
        "id": found["id"],
        "name": "l",
        "description": "",
        "project_id": "p1",
        "tenant_id": "p1",
        "local_port_id": holder["id"],
        "network_id": network["id"],
        "local_ip_address": holder["fixed_ips"][0]["ip_address"],
        "ip_mode": "translate",
        "revision_number": 0,
        "created_at": found["created_at"],
        "updated_at": found["updated_at"],
    }
    assert api.show("local-ips", found["id"]) == found
    assert api.list("local_ips") == [found]
    assert api.list("local-ips", f"local_ip_address={found['local_ip_address']}&sort_key=ip_mode&sort_dir=asc") == [
        found
    ]


def test_it_gets_the_address_that_it_asks_for(api: Api, network: Row) -> None:
    found = api.make("local-ips", network_id=network["id"], local_ip_address="10.0.0.99", ip_mode="passthrough")
    assert (found["local_ip_address"], found["ip_mode"]) == ("10.0.0.99", "passthrough")
    assert refused(api, network_id=network["id"], local_ip_address="10.0.0.99") == (409, "IpAddressAlreadyAllocated")
    assert refused(api, network_id=network["id"], local_ip_address="10.9.0.9") == (400, "InvalidIpForNetwork")


def test_it_takes_the_address_of_a_port(api: Api, network: Row) -> None:
    port = api.make("ports", network_id=network["id"], fixed_ips=[{"ip_address": "10.0.0.7"}])
    found = api.make("local-ips", local_port_id=port["id"])
    assert (found["local_ip_address"], found["network_id"]) == ("10.0.0.7", network["id"])
    assert api.delete(f"local-ips/{found['id']}")[0] == 204
    assert api.show("ports", port["id"])["id"] == port["id"]


def test_what_is_wrong_with_a_port(api: Api, network: Row) -> None:
    bare = api.make("ports", network_id=network["id"], fixed_ips=[])
    several = api.make("ports", network_id=network["id"], fixed_ips=[{"ip_address": f"10.0.0.{n}"} for n in (5, 6)])
    assert refused(api) == (400, "LocalIPPortOrNetworkRequired")
    assert refused(api, local_port_id=bare["id"]) == (400, "LocalIPNoIP")
    assert refused(api, local_port_id=several["id"]) == (400, "LocalIPNoRequestedIP")
    assert refused(api, local_port_id=several["id"], local_ip_address="10.0.0.9") == (400, "LocalIPRequestedIPNotFound")
    assert refused(api, local_port_id=NOWHERE) == (404, "PortNotFound")
    assert refused(api, network_id=NOWHERE) == (404, "NetworkNotFound")
    assert refused(api, network_id=network["id"], ip_mode="magic") == (400, "HTTPBadRequest")
    found = api.make("local-ips", local_port_id=several["id"], local_ip_address="10.0.0.6")
    assert found["local_ip_address"] == "10.0.0.6"


def test_name_and_description_change_and_nothing_else(api: Api, local_ip: Row) -> None:
    status, body = api.put(f"local-ips/{local_ip['id']}", {"local_ip": {"name": "m", "description": "d"}})
    assert status == 200
    assert {**body["local_ip"], "updated_at": ""} == {
        **local_ip,
        "name": "m",
        "description": "d",
        "revision_number": 1,
        "updated_at": "",
    }
    for name in ("network_id", "local_port_id", "local_ip_address", "ip_mode"):
        answer = api.put(f"local-ips/{local_ip['id']}", {"local_ip": {name: local_ip[name]}})
        assert api.fault(answer) == (400, "HTTPBadRequest")


def test_its_own_port_goes_with_it(api: Api, local_ip: Row) -> None:
    assert api.fault(api.delete(f"ports/{local_ip['local_port_id']}")) == (409, "ServicePortInUse")
    assert api.delete(f"local-ips/{local_ip['id']}") == (204, None)
    assert api.fault(api.get(f"local-ips/{local_ip['id']}")) == (404, "LocalIPNotFound")
    assert api.fault(api.get(f"ports/{local_ip['local_port_id']}")) == (404, "PortNotFound")


def test_a_port_stays_while_a_local_ip_has_its_address(api: Api, network: Row) -> None:
    port = api.make("ports", network_id=network["id"])
    found = api.make("local-ips", local_port_id=port["id"])
    assert api.fault(api.delete(f"ports/{port['id']}")) == (409, "ServicePortInUse")
    assert api.fault(api.delete(f"networks/{network['id']}")) == (409, "NetworkInUse")
    assert api.delete(f"local-ips/{found['id']}")[0] == 204
    assert api.delete(f"ports/{port['id']}")[0] == 204


def test_association(api: Api, local_ip: Row, network: Row) -> None:
    port = api.admin.make("ports", network_id=network["id"], project_id="p1", **{"binding:host_id": "h1"})
    status, body = associate(api, local_ip, port)
    found = body["port_association"]
    assert status == 201
    assert found == {
        "local_ip_id": local_ip["id"],
        "local_ip_address": local_ip["local_ip_address"],
        "fixed_port_id": port["id"],
        "fixed_ip": port["fixed_ips"][0]["ip_address"],
        "host": "h1",
    }
    assert api.show(below(local_ip), port["id"]) == found
    assert api.list(below(local_ip)) == [found]
    assert api.list(below(local_ip), "host=h2") == []
    assert api.list(below(local_ip), f"fixed_ip={found['fixed_ip']}&host=h1&sort_key=host&sort_dir=asc") == [found]
    assert api.fault(associate(api, local_ip, port)) == (409, "NeutronDbObjectDuplicateEntry")
    assert api.fault(api.delete(f"local-ips/{local_ip['id']}")) == (409, "LocalIPInUse")
    assert api.put(below(local_ip, port["id"]), {"port_association": {}})[0] == 405
    assert api.delete(below(local_ip, port["id"])) == (204, None)
    assert api.fault(api.delete(below(local_ip, port["id"]))) == (404, "LocalIPAssociationNotFound")
    assert api.fault(api.get(below(local_ip, port["id"]))) == (404, "LocalIPAssociationNotFound")
    assert api.delete(f"local-ips/{local_ip['id']}")[0] == 204


def test_the_address_of_an_association(api: Api, local_ip: Row, network: Row) -> None:
    bare = api.make("ports", network_id=network["id"], fixed_ips=[])
    several = api.make("ports", network_id=network["id"], fixed_ips=[{"ip_address": f"10.0.0.{n}"} for n in (205, 206)])
    assert api.fault(associate(api, local_ip, bare)) == (400, "LocalIPNoIP")
    assert api.fault(associate(api, local_ip, several)) == (400, "LocalIPNoRequestedIP")
    assert api.fault(associate(api, local_ip, several, fixed_ip="10.0.0.209")) == (400, "LocalIPRequestedIPNotFound")
    assert api.fault(associate(api, local_ip, {"id": NOWHERE})) == (404, "PortNotFound")
    assert api.fault(associate(api, {"id": NOWHERE}, several)) == (404, "LocalIPNotFound")
    assert associate(api, local_ip, several, fixed_ip="10.0.0.206")[1]["port_association"]["fixed_ip"] == "10.0.0.206"


def test_several_at_once(api: Api, local_ip: Row, network: Row) -> None:
    ports = [api.make("ports", network_id=network["id"]) for _ in range(2)]
    many = {"port_associations": [{"fixed_port_id": port["id"]} for port in ports]}
    status, body = api.post(below(local_ip), many)
    assert status == 201
    assert [one["fixed_port_id"] for one in body["port_associations"]] == [port["id"] for port in ports]
    twice = {"local_ips": [{"network_id": network["id"]}, {"network_id": network["id"]}]}
    status, body = api.post("local-ips", twice)
    assert status == 201 and len({one["local_ip_address"] for one in body["local_ips"]}) == 2


def test_an_association_goes_with_its_port(api: Api, local_ip: Row, network: Row) -> None:
    port = api.make("ports", network_id=network["id"])
    associate(api, local_ip, port)
    assert api.delete(f"ports/{port['id']}")[0] == 204
    assert api.list(below(local_ip)) == []
    assert api.delete(f"local-ips/{local_ip['id']}")[0] == 204


def test_others(api: Api, local_ip: Row, network: Row) -> None:
    port = api.make("ports", network_id=network["id"])
    associate(api, local_ip, port)
    other = api.as_("p2")
    assert other.list("local-ips") == []
    assert api.fault(other.get(f"local-ips/{local_ip['id']}")) == (404, "LocalIPNotFound")
    assert api.fault(other.get(below(local_ip))) == (404, "LocalIPNotFound")
    assert api.fault(other.delete(below(local_ip, port["id"]))) == (404, "LocalIPNotFound")
    assert refused(other, network_id=network["id"]) == (404, "NetworkNotFound")
    assert refused(other, local_port_id=port["id"]) == (404, "PortNotFound")
    reader = api.as_("p1", "reader")
    assert reader.list(below(local_ip))[0]["fixed_port_id"] == port["id"]
    assert api.fault(associate(reader, local_ip, port)) == (403, "PolicyNotAuthorized")
    assert api.fault(reader.delete(f"local-ips/{local_ip['id']}")) == (403, "PolicyNotAuthorized")
    assert [one["id"] for one in api.admin.list("local-ips")] == [local_ip["id"]]


def test_on_a_network_that_somebody_shares(api: Api, network: Row) -> None:
    other = api.as_(NOWHERE)
    shared = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared"}
    policy = api.make("rbac-policies", **shared, target_tenant=NOWHERE)
    found = other.make("local-ips", network_id=network["id"])
    assert other.show("ports", found["local_port_id"])["project_id"] == NOWHERE
    mine = other.make("ports", network_id=network["id"])
    assert associate(other, found, mine)[0] == 201
    foreign = api.make("ports", network_id=network["id"])
    assert api.fault(associate(other, found, foreign)) == (404, "PortNotFound")
    assert api.fault(api.delete(f"rbac-policies/{policy['id']}")) == (409, "RbacPolicyInUse")


def test_lists_take_as_many_statements_whatever_their_length(api: Api, network: Row, local_ip: Row) -> None:
    def counted(path: str) -> int:
        with api.statements() as seen:
            api.list(path)
        return len(seen)

    paths = ("local-ips", below(local_ip))
    associate(api, local_ip, api.make("ports", network_id=network["id"]))
    few = [counted(path) for path in paths]
    for _ in range(5):
        api.make("local-ips", network_id=network["id"])
        associate(api, local_ip, api.make("ports", network_id=network["id"]))
    assert [counted(path) for path in paths] == few


def test_the_log_tells_of_it(api: Api, local_ip: Row, network: Row) -> None:
    from weft.store import changes

    port = api.make("ports", network_id=network["id"])
    associate(api, local_ip, port)
    api.delete(below(local_ip, port["id"]))
    told = api.store.read(lambda connection: connection.execute(changes.CHANGES.select()).all())
    mine = [(one.kind, one.id, one.operation) for one in told if one.kind in ("local_ip", "port_association")]
    assert mine == [
        ("local_ip", local_ip["id"], "create"),
        ("port_association", port["id"], "create"),
        ("port_association", port["id"], "delete"),
    ]
