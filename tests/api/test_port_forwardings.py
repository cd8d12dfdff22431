"""Port forwardings by the API: single ports of a floating IP that lead inside."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Answer, Api
from tests.api.test_floatingips import Site, change, connect, inside_subnet, outside_network
from weft.backends.interface import Report, Status
from weft.reconcile import status
from weft.reconcile.cloud import CloudLoader
from weft.registry.resource import Row


@pytest.fixture
def site(api: Api) -> Site:
    outside, subnet = outside_network(api, "203.0.113.0/24"), inside_subnet(api)
    return Site(api, outside, connect(api, outside, subnet), subnet)


@pytest.fixture
def fip(site: Site) -> Row:
    return site.fip()


@pytest.fixture
def port(site: Site) -> Row:
    return site.port()


def path(fip: Row, id: str = "") -> str:
    return f"floatingips/{fip['id']}/port_forwardings{'/' + id if id else ''}"


def values(port: Row, **more: Any) -> Row:
    """SSH to the port, unless told."""
    base = {
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "protocol": "tcp",
    }
    if not any("_port" in name for name in more):
        base.update(external_port=2222, internal_port=22)
    return {**base, **more}


def ask(site: Site, fip: Row, port: Row, **more: Any) -> Answer:
    return site.api.post(path(fip), {"port_forwarding": values(port, **more)})


def made(site: Site, fip: Row, port: Row, **more: Any) -> Row:
    return site.api.make(path(fip), **values(port, **more))


def refused(answer: Answer) -> str:
    status, body = answer
    assert (status, body["NeutronError"]["type"]) == (400, "BadRequest"), body
    return str(body["NeutronError"]["message"]).removeprefix("Bad port_forwarding request: ")


def test_a_port_is_forwarded(site: Site, fip: Row, port: Row) -> None:
    found = made(site, fip, port)
    assert found == {
        "id": found["id"],
        "external_port": 2222,
        "external_port_range": "2222:2222",
        "internal_port": 22,
        "internal_port_range": "22:22",
        "protocol": "tcp",
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "description": "",
    }
    assert site.api.show(path(fip), found["id"]) == found
    assert site.api.list(path(fip)) == [found]


def test_the_floating_ip_tells_of_its_forwardings(site: Site, fip: Row, port: Row) -> None:
    one = made(site, fip, port)
    many = made(site, fip, port, external_port_range="8080:8082", internal_port_range="80:82")
    found = site.api.show("floatingips", fip["id"])
    assert (found["port_id"], found["fixed_ip_address"]) == (None, None)
    assert (found["router_id"], found["status"]) == (site.router["id"], "DOWN")
    assert found["revision_number"] > fip["revision_number"]
    common = {"protocol": "tcp", "internal_port_id": port["id"], "internal_ip_address": one["internal_ip_address"]}
    assert sorted(found["port_forwardings"], key=lambda row: "internal_port" not in row) == [
        {"id": one["id"], **common, "internal_port": 22, "external_port": 2222},
        {"id": many["id"], **common, "internal_port_range": "80:82", "external_port_range": "8080:8082"},
    ]


def test_ranges_are_forwarded_one_to_one_or_to_one(site: Site, fip: Row, port: Row) -> None:
    many = made(site, fip, port, external_port_range="8080:8082", internal_port_range="80:82")
    assert (many["external_port"], many["internal_port"]) == (None, None)
    assert (many["external_port_range"], many["internal_port_range"]) == ("8080:8082", "80:82")
    single = made(site, fip, port, external_port_range="9000:9009", internal_port=90)
    assert (single["external_port_range"], single["internal_port"]) == ("9000:9009", 90)
    alone = made(site, fip, port, external_port_range="7000", internal_port_range="70:70")
    assert (alone["external_port"], alone["internal_port"], alone["external_port_range"]) == (7000, 70, "7000:7000")


@pytest.mark.parametrize(
    "ports",
    [
        {"external_port_range": "8080:8083", "internal_port_range": "80:82"},
        {"external_port": 8080, "internal_port_range": "80:82"},
        {"external_port": 8080, "external_port_range": "8080:8082", "internal_port": 80},
    ],
)
def test_other_relations_are_refused(site: Site, fip: Row, port: Row, ports: Row) -> None:
    assert "must be N-N or 1-N" in refused(ask(site, fip, port, **ports))


@pytest.mark.parametrize("ports", [{"external_port": 80}, {"internal_port": 80}, {"external_port": None}])
def test_both_ports_must_be_given(site: Site, fip: Row, port: Row, ports: Row) -> None:
    assert "needs an external and an internal port" in refused(ask(site, fip, port, **ports))


def test_icmp_is_forwarded_as_a_whole(site: Site, fip: Row, port: Row) -> None:
    found = made(site, fip, port, protocol="icmp", external_port=None, internal_port=None)
    assert (found["external_port"], found["external_port_range"]) == (None, None)
    assert "collision" in refused(ask(site, fip, port, protocol="icmp", external_port=None, internal_port=None))


@pytest.mark.parametrize("number", [0, 65536, "x"])
def test_ports_are_ports(site: Site, fip: Row, port: Row, number: Any) -> None:
    assert ask(site, fip, port, external_port=number, internal_port=22)[0] == 400
    assert ask(site, fip, port, external_port_range=f"{number}:70000", internal_port=22)[0] == 400


def test_protocols_have_names_or_numbers(site: Site, fip: Row, port: Row) -> None:
    assert site.api.fault(ask(site, fip, port, protocol="foo")) == (400, "InvalidInput")
    assert ask(site, fip, port, protocol="gre")[0] == 400
    assert made(site, fip, port, protocol=17, external_port=53, internal_port=53)["protocol"] == "udp"


class TestOnOvn:
    """Where every host is one of OVN, what its load balancers don't know is refused and not left to lie."""

    @pytest.fixture
    def options(self, backends: list[str]) -> dict[str, dict[str, Any]]:
        return {"api": {"backends": backends}}

    @pytest.mark.parametrize("backends", [["ovn"]])
    def test_what_cannot_be_forwarded(self, site: Site, fip: Row, port: Row) -> None:
        whole = {"external_port": None, "internal_port": None}
        for protocol, ports in (("icmp", whole), ("ipv6-icmp", whole), ("dccp", {}), (33, {})):
            assert "OVN forwards ports of tcp, udp, sctp" in refused(ask(site, fip, port, protocol=protocol, **ports))
        many = {"external_port_range": "1000:2024", "internal_port": 22}
        assert "at most 1024 ports as one range, and not 1025" in refused(ask(site, fip, port, **many))
        for protocol in ("tcp", 17, 132):
            one = made(site, fip, port, protocol=protocol, external_port_range="1000:2023", internal_port=22)
        answer = site.api.put(path(fip, one["id"]), {"port_forwarding": {"protocol": "dccp"}})
        assert "and not dccp" in refused(answer)

    @pytest.mark.parametrize("backends", [["ovn", "linux"]])
    def test_another_host_can(self, site: Site, fip: Row, port: Row) -> None:
        made(site, fip, port, protocol="dccp")
        made(site, fip, port, external_port_range="1:65535", internal_port=22)


def test_external_ports_do_not_collide(site: Site, fip: Row, port: Row) -> None:
    made(site, fip, port, external_port_range="2220:2229", internal_port=22)
    answer = ask(site, fip, site.port(), external_port=2222, internal_port=22)
    assert refused(answer) == (
        "There is a port collision with the external_port_range. The following ranges collide: 2220:2229 and 2222:2222."
    )
    made(site, fip, port, protocol="udp", external_port=2222, internal_port=22)
    made(site, site.fip(), site.port(), external_port=2222, internal_port=22)


def test_internal_ports_do_not_collide(site: Site, fip: Row, port: Row) -> None:
    made(site, fip, port)
    answer = ask(site, fip, port, external_port=2223, internal_port=22)
    assert "port collision with the internal_port_range" in refused(answer)
    answer = ask(site, site.fip(), port, external_port=2223, internal_port=22)
    assert "port collision with the internal_port_range" in refused(answer)
    made(site, fip, site.port(), external_port=2223, internal_port=22)


def test_the_internal_address_is_an_ipv4_address_of_the_port(site: Site, fip: Row, port: Row) -> None:
    assert "is no IPv4 address of internal port" in refused(ask(site, fip, port, internal_ip_address="10.0.0.250"))
    site.api.make("subnets", network_id=port["network_id"], ip_version=6, cidr="2001:db8::/64")
    six = site.port(fixed_ips=[{"ip_address": "2001:db8::9"}])
    assert "is no IPv4 address of internal port" in refused(ask(site, fip, six))


def test_ports_that_are_not_there_or_not_ones_own_are_refused(site: Site, fip: Row, port: Row) -> None:
    assert site.api.fault(ask(site, fip, {**port, "id": str(uuid4())})) == (404, "PortNotFound")
    theirs = site.port(site.api.admin, project_id="p2")
    assert ask(site, fip, theirs)[0] == 400


def test_a_port_that_no_router_reaches_is_refused(site: Site, fip: Row) -> None:
    away = site.api.make("ports", network_id=inside_subnet(site.api, "10.0.1.0/24")["network_id"])
    assert "There is no router between" in refused(ask(site, fip, away))
    assert site.api.show("floatingips", fip["id"])["router_id"] is None


def test_all_forwardings_take_one_router(site: Site, fip: Row, port: Row) -> None:
    made(site, fip, port)
    subnet = inside_subnet(site.api, "10.0.1.0/24")
    connect(site.api, site.outside, subnet)
    away = site.api.make("ports", network_id=subnet["network_id"])
    assert "is not reached by router" in refused(ask(site, fip, away, external_port=80, internal_port=80))


def test_a_floating_ip_either_leads_to_a_port_or_forwards(site: Site, fip: Row, port: Row) -> None:
    whole = site.fip(port_id=site.port()["id"])
    assert site.api.fault(ask(site, whole, port)) == (409, "FloatingIPPortAlreadyAssociated")
    made(site, fip, port)
    in_use = (409, "FipInUseByPortForwarding")
    assert site.api.fault(change(site.api, fip, port_id=site.port()["id"])) == in_use
    assert site.api.fault(site.api.delete(f"floatingips/{fip['id']}")) == in_use
    status, body = change(site.api, fip, port_id=None)
    assert (status, body["floatingip"]["router_id"]) == (200, site.router["id"])


def test_a_port_with_a_floating_ip_is_not_forwarded_to(site: Site, fip: Row, port: Row) -> None:
    site.fip(port_id=port["id"])
    assert site.api.fault(ask(site, fip, port)) == (409, "PortHasBindingFloatingIP")


class TestDistributed:
    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"backend": "elsewhere"}}

    def test_a_forwarded_port_gets_a_floating_ip_unless_its_router_is_distributed(
        self, site: Site, fip: Row, port: Row
    ) -> None:
        made(site, fip, port)
        other = site.fip()
        assert change(site.api, other, port_id=port["id"])[0] == 200
        assert change(site.api, other, port_id=None)[0] == 200
        for values in ({"admin_state_up": False}, {"distributed": True}):
            assert site.api.admin.put(f"routers/{site.router['id']}", {"router": values})[0] == 200
        assert site.api.fault(change(site.api, other, port_id=port["id"])) == (400, "PortHasPortForwarding")


def test_forwardings_hold_the_way_they_take(site: Site, fip: Row, port: Row) -> None:
    one = made(site, fip, port)
    router = f"routers/{site.router['id']}"
    way = {"subnet_id": site.subnet["id"]}
    answer = site.api.put(f"{router}/remove_router_interface", way)
    assert site.api.fault(answer) == (409, "RouterInterfaceInUseByFloatingIP")
    answer = site.api.put(router, {"router": {"external_gateway_info": None}})
    assert site.api.fault(answer) == (409, "RouterExternalGatewayInUseByFloatingIp")
    assert site.api.delete(path(fip, one["id"]))[0] == 204
    assert site.api.put(f"{router}/remove_router_interface", way)[0] == 200
    assert site.api.put(router, {"router": {"external_gateway_info": None}})[0] == 200


def test_the_last_forwarding_frees_the_floating_ip(site: Site, fip: Row, port: Row) -> None:
    one, other = made(site, fip, port), made(site, fip, port, external_port=80, internal_port=80)
    assert site.api.delete(path(fip, one["id"]))[0] == 204
    assert site.api.show("floatingips", fip["id"])["router_id"] == site.router["id"]
    assert site.api.delete(path(fip, other["id"]))[0] == 204
    found = site.api.show("floatingips", fip["id"])
    assert (found["router_id"], found["port_forwardings"]) == (None, [])
    assert change(site.api, fip, port_id=port["id"])[0] == 200


def test_deleting_the_port_deletes_its_forwardings(site: Site, fip: Row, port: Row) -> None:
    other = site.port()
    for number in (1, 2):
        made(site, fip, port, external_port=number, internal_port=number)
    kept = made(site, fip, other, external_port=3, internal_port=3)
    assert site.api.delete(f"ports/{port['id']}")[0] == 204
    assert site.api.list(path(fip)) == [kept]
    assert site.api.show("floatingips", fip["id"])["router_id"] == site.router["id"]
    assert site.api.delete(f"ports/{other['id']}")[0] == 204
    assert site.api.show("floatingips", fip["id"])["router_id"] is None


def test_an_address_that_goes_takes_its_forwardings_with_it(site: Site, fip: Row) -> None:
    port = site.port(fixed_ips=[{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}])
    made(site, fip, port)
    kept = made(site, fip, port, internal_ip_address="10.0.0.51", external_port=80, internal_port=80)
    body = {"port": {"fixed_ips": [{"ip_address": "10.0.0.51"}]}}
    assert site.api.put(f"ports/{port['id']}", body)[0] == 200
    assert site.api.list(path(fip)) == [kept]


def test_a_forwarding_changes(site: Site, fip: Row, port: Row) -> None:
    one = made(site, fip, port)
    other = site.port()

    def put(**changes: Any) -> Row:
        status, body = site.api.put(path(fip, one["id"]), {"port_forwarding": changes})
        assert status == 200, body
        assert site.api.show(path(fip), one["id"]) == body["port_forwarding"]
        return dict(body["port_forwarding"])

    assert put(description="d") == {**one, "description": "d"}
    assert put(external_port=2223)["external_port_range"] == "2223:2223"
    found = put(external_port_range="3000:3001", internal_port_range="30:31")
    assert (found["external_port"], found["internal_port"]) == (None, None)
    found = put(internal_port_id=other["id"], internal_ip_address=other["fixed_ips"][0]["ip_address"], protocol="udp")
    assert (found["internal_port_id"], found["protocol"], found["external_port_range"]) == (
        other["id"],
        "udp",
        "3000:3001",
    )


def test_changes_are_held_to_the_same_rules(site: Site, fip: Row, port: Row) -> None:
    one = made(site, fip, port)
    other = made(site, fip, port, external_port=80, internal_port=80)

    def put(**changes: Any) -> Answer:
        return site.api.put(path(fip, other["id"]), {"port_forwarding": changes})

    assert "collision with the external_port_range" in refused(put(external_port=2222))
    assert "collision with the internal_port_range" in refused(put(internal_port=22))
    assert "N-N or 1-N" in refused(put(internal_port_range="80:81"))
    assert "is no IPv4 address" in refused(put(internal_ip_address="10.0.0.250"))
    taken = site.port()
    site.fip(port_id=taken["id"])
    answer = put(internal_port_id=taken["id"], internal_ip_address=taken["fixed_ips"][0]["ip_address"])
    assert site.api.fault(answer) == (409, "PortHasBindingFloatingIP")
    assert one in site.api.list(path(fip))


def test_forwardings_are_found_below_their_own_floating_ip(site: Site, fip: Row, port: Row) -> None:
    one = made(site, fip, port)
    other = site.fip()
    assert site.api.list(path(other)) == []
    assert site.api.fault(site.api.get(path(other, one["id"]))) == (404, "PortForwardingNotFound")
    assert site.api.fault(site.api.get(path(fip, str(uuid4())))) == (404, "PortForwardingNotFound")
    assert site.api.fault(site.api.get(path({"id": str(uuid4())}))) == (404, "FloatingIPNotFound")


def test_forwardings_are_the_owners_of_the_floating_ip(site: Site, fip: Row, port: Row) -> None:
    one = site.api.admin.make(path(fip), **values(port))
    assert site.api.list(path(fip)) == [one]
    assert site.api.fault(site.api.as_("p2").get(path(fip))) == (404, "FloatingIPNotFound")
    reader = site.api.as_("p1", "reader")
    assert reader.list(path(fip)) == [one]
    assert site.api.fault(reader.delete(path(fip, one["id"]))) == (403, "PolicyNotAuthorized")
    assert site.api.delete(path(fip, one["id"]))[0] == 204


def test_lists_are_filtered_and_some_filters_refused(site: Site, fip: Row, port: Row) -> None:
    one, other = made(site, fip, port), made(site, fip, port, protocol="udp", external_port=53, internal_port=53)
    assert site.api.list(path(fip), "protocol=udp") == [other]
    assert site.api.list(path(fip), "external_port=2222") == [one]
    for name in ("floating_ip_address", "router_id"):
        answer = site.api.get(f"{path(fip)}?{name}=x")
        assert site.api.fault(answer) == (400, "PortForwardingNotSupportFilterField")


def test_several_at_once_or_none(site: Site, fip: Row, port: Row) -> None:
    many = [values(port, external_port=number, internal_port=number) for number in (1, 2, 2)]
    assert site.api.post(path(fip), {"port_forwardings": many})[0] == 400
    assert site.api.list(path(fip)) == []
    assert site.api.post(path(fip), {"port_forwardings": many[:2]})[0] == 201
    assert len(site.api.list(path(fip))) == 2


def test_a_list_costs_the_same_however_long(site: Site, fip: Row, port: Row) -> None:
    counts = []
    for number in range(1, 201):
        made(site, fip, port, external_port=number, internal_port=number)
        if number in (10, 200):
            with site.api.statements() as seen:
                assert len(site.api.list(path(fip))) == number
            counts.append(len(seen))
    assert counts[0] == counts[1] <= 3


# What is true of them.


def test_the_owner_reads_why_a_port_is_not_forwarded(site: Site, fip: Row, port: Row) -> None:
    """By one of two gateways nothing is forwarded: that gateway's floating IP is down with the reason, the other is up."""
    blue = outside_network(site.api, "198.18.0.0/24")
    gateways = {"external_gateways": [{"network_id": blue["id"]}]}
    path = f"routers/{site.router['id']}/add_external_gateways"
    assert site.api.put(path, {"router": gateways})[0] == 200
    other = site.api.make("floatingips", floating_network_id=blue["id"])
    made(site, fip, port)
    made(site, other, port, external_port=2222, internal_port=23)
    loader = CloudLoader()
    site.api.inside(loader.load)
    router = loader.view.routers[site.router["id"]]
    key, second = router.key, router.gateways[1].id

    def told(found: Status) -> list[tuple[str, str]]:
        report = Report(status={key: found})
        site.api.inside(lambda tx: status.write(tx, report, loader.view.routers, ""))
        rows = [site.api.show("floatingips", one["id"]) for one in (fip, other)]
        return [(row["status"], row["status_reason"]) for row in rows]

    up = ("ACTIVE", "")
    assert told(Status(True, unforwarded={second: "no host has both"})) == [up, ("DOWN", "no host has both")]
    assert told(Status(True, unforwarded={second: "x" * 300})) == [up, ("DOWN", "x" * 255)]
    revision = site.api.show("floatingips", other["id"])["revision_number"]
    told(Status(True, unforwarded={second: "x" * 300}))
    assert site.api.show("floatingips", other["id"])["revision_number"] == revision
    assert told(Status(False, "it is off")) == [("DOWN", "it is off")] * 2
    assert told(Status(True)) == [up, up]
    told(Status(True, unforwarded={second: "no host has both"}))
    (one,) = site.api.list(f"floatingips/{other['id']}/port_forwardings")
    assert site.api.delete(f"floatingips/{other['id']}/port_forwardings/{one['id']}")[0] == 204
    assert site.api.show("floatingips", other["id"])["status_reason"] == ""
