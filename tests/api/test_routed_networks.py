"""Routed networks: subnets of segments, addresses by host; the rules stand in behaviours sections 2, 3 and 16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from weft.reconcile.load import HostLoader
from weft.registry.resource import Row
from weft.resources import agent
from weft.store import changes

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
SERVER = {"device_owner": "compute:nova", "device_id": "vm"}


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {
        "ml2": {"network_vlan_ranges": ("rack1:10:12", "rack2:10:12", "rack3"), "project_network_types": ("vxlan",)}
    }


@dataclass
class Routed:
    """A network of three segments, by physical network; two have a subnet. Hosts h1, h2: on one of them each; both: on
    two; h3: on the third; h9: there is no such host."""

    api: Api
    network: str
    segments: dict[str, str]
    one: str = ""
    two: str = ""

    def subnet(self, cidr: str, segment: str | None, **more: Any) -> Answer:
        of = {"network_id": self.network, "ip_version": 6 if ":" in cidr else 4, "cidr": cidr}
        segment_id = self.segments.get(segment, segment) if segment else None
        return self.api.admin.post("subnets", {"subnet": {**of, "segment_id": segment_id, **more}})

    def made(self, cidr: str, segment: str | None, **more: Any) -> Row:
        status, body = self.subnet(cidr, segment, **more)
        assert status == 201, body
        return dict(body["subnet"])

    def port(self, host: str = "", **more: Any) -> Answer:
        values = {"network_id": self.network, **SERVER, **({"binding:host_id": host} if host else {}), **more}
        return self.api.admin.post("ports", {"port": values})

    def change(self, port: Row, **values: Any) -> Answer:
        return self.api.admin.put(f"ports/{port['id']}", {"port": values})


def report(api: Api, host: str, *racks: str, agent_type: str = "Linux bridge agent", **more: Any) -> None:
    facts: Any = {"agent_type": agent_type, "binary": "weft", "topic": "N/A", "host": host}
    said = {"backend": "linux", "tunnel_types": [], "bridge_mappings": dict.fromkeys(racks, "eth1"), **more}
    api.inside(lambda tx: agent.report(tx, configurations=said, **facts))


@pytest.fixture
def bare(api: Api) -> Routed:
    """No subnets yet."""
    report(api, "h1", "rack1")
    report(api, "h2", "rack2")
    report(api, "h3", "rack3")
    report(api, "both", "rack1", "rack2")
    kind = {"provider:network_type": "vlan", "provider:segmentation_id": 10}
    racks = ("rack1", "rack2", "rack3")
    made = api.admin.make("networks", segments=[{**kind, "provider:physical_network": rack} for rack in racks])
    found = api.admin.list("segments", f"network_id={made['id']}")
    return Routed(api, made["id"], {row["physical_network"]: row["id"] for row in found})


@pytest.fixture
def routed(bare: Routed) -> Routed:
    bare.one = bare.made("10.1.0.0/24", "rack1")["id"]
    bare.two = bare.made("10.2.0.0/24", "rack2")["id"]
    return bare


def placed(answer: Answer) -> list[str]:
    """The subnets of a port's addresses."""
    status, body = answer
    assert status in (200, 201), body
    return [fixed["subnet_id"] for fixed in body["port"]["fixed_ips"]]


def message(answer: Answer) -> str:
    return str(answer[1]["NeutronError"]["message"])


# Subnets and segments.


def test_l2_adjacency(routed: Routed) -> None:
    api = routed.api
    assert api.admin.show("networks", routed.network)["l2_adjacency"] is False
    found = api.admin.list("networks", "fields=l2_adjacency")
    assert [row["l2_adjacency"] for row in found] == [False]
    for subnet in (routed.one, routed.two):
        assert api.admin.delete(f"subnets/{subnet}")[0] == 204
    assert api.admin.show("networks", routed.network)["l2_adjacency"] is True


def test_subnets_show_their_segment(routed: Routed) -> None:
    admin, id = routed.api.admin, routed.segments["rack1"]
    assert admin.show("subnets", routed.one)["segment_id"] == id
    assert [row["id"] for row in admin.list("subnets", f"segment_id={id}")] == [routed.one]
    order = [row["segment_id"] for row in admin.list("subnets", "sort_key=segment_id&sort_dir=desc")]
    assert order == sorted(order, reverse=True)
    plain = routed.api.make("networks")["id"]
    made = routed.api.make("subnets", network_id=plain, ip_version=4, cidr="10.0.0.0/24")
    assert "segment_id" not in made, "that is for administrators"
    assert admin.show("subnets", made["id"])["segment_id"] is None


def test_all_subnets_have_a_segment_or_none(routed: Routed) -> None:
    assert routed.api.fault(routed.subnet("10.3.0.0/24", None)) == (400, "SubnetsNotAllAssociatedWithSegments")
    assert routed.subnet("10.3.0.0/24", "rack1")[0] == 201, "a segment has any number of them"
    plain = routed.made("10.4.0.0/24", None, service_types=["network:routed", "network:floatingip"])
    assert plain["segment_id"] is None
    assert routed.api.admin.delete(f"subnets/{plain['id']}")[0] == 204


def test_a_network_with_plain_subnets_gets_none_with_a_segment(bare: Routed) -> None:
    bare.made("10.1.0.0/24", None)
    assert bare.api.fault(bare.subnet("10.3.0.0/24", "rack1")) == (400, "SubnetsNotAllAssociatedWithSegments")


def test_segments_that_a_subnet_cannot_have(bare: Routed) -> None:
    assert bare.api.fault(bare.subnet("10.1.0.0/24", UNKNOWN)) == (404, "SegmentNotFound")
    other = bare.api.admin.make("networks", **{"provider:network_type": "vxlan"})["id"]
    (foreign,) = bare.api.admin.list("segments", f"network_id={other}")
    assert bare.api.fault(bare.subnet("10.1.0.0/24", foreign["id"])) == (400, "NetworkIdsDontMatch")
    assert bare.api.fault(bare.subnet("10.1.0.0/24", "no-uuid")) == (400, "HTTPBadRequest")


def test_a_usual_network_becomes_a_routed_one(api: Api) -> None:
    id = api.make("networks")["id"]
    of = {"network_id": id, "ip_version": 4}
    subnet = api.make("subnets", **of, cidr="10.0.0.0/24")["id"]
    (segment,) = api.admin.list("segments", f"network_id={id}")

    def put(subnet: str, segment_id: str | None) -> Answer:
        return api.admin.put(f"subnets/{subnet}", {"subnet": {"segment_id": segment_id}})

    assert api.fault(put(subnet, UNKNOWN)) == (404, "SegmentNotFound")
    second = api.make("subnets", **of, cidr="10.9.0.0/24")["id"]
    assert api.fault(put(subnet, segment["id"])) == (400, "SubnetsNotAllAssociatedWithSegments")
    assert api.delete(f"subnets/{second}")[0] == 204
    several = api.admin.make("segments", network_id=id, network_type="vlan")["id"]
    assert api.fault(put(subnet, segment["id"])) == (400, "NoUpdateSubnetWhenMultipleSegmentsOnNetwork")
    assert api.admin.delete(f"segments/{several}")[0] == 204
    status, body = put(subnet, segment["id"])
    assert (status, body["subnet"]["segment_id"]) == (200, segment["id"])
    assert put(subnet, segment["id"])[0] == 200, "nothing changes"
    assert api.admin.show("networks", id)["l2_adjacency"] is False
    several = api.admin.make("segments", network_id=id, network_type="vlan")["id"]
    for other in (several, None):
        assert api.fault(put(subnet, other)) == (400, "SubnetSegmentAssociationChangeNotAllowed")
    assert api.fault(api.admin.delete(f"segments/{segment['id']}")) == (409, "SegmentInUse")
    assert api.delete(f"subnets/{subnet}")[0] == 204
    assert api.admin.delete(f"segments/{segment['id']}")[0] == 204


def test_a_routed_network_is_deleted_whole(routed: Routed) -> None:
    assert routed.api.admin.delete(f"networks/{routed.network}")[0] == 204
    assert routed.api.admin.list("segments") == []
    assert routed.api.admin.list("subnets") == []


# Addresses by host.


def test_without_a_host_addresses_wait(routed: Routed) -> None:
    _, body = routed.port()
    port = body["port"]
    assert (port["fixed_ips"], port["ip_allocation"]) == ([], "deferred")
    assert routed.change(port, name="still")[1]["port"]["ip_allocation"] == "deferred"
    found = routed.api.admin.list("ports", "ip_allocation=deferred")
    assert [row["id"] for row in found] == [port["id"]]
    _, body = routed.change(port, **{"binding:host_id": "h2"})
    now = body["port"]
    assert [fixed["subnet_id"] for fixed in now["fixed_ips"]] == [routed.two]
    assert (now["ip_allocation"], now["binding:vif_type"]) == ("immediate", "bridge")
    shown = routed.api.admin.show("ports", port["id"])
    assert (shown["fixed_ips"], shown["ip_allocation"]) == (now["fixed_ips"], "immediate")


def test_the_host_s_segment_gives_the_address(routed: Routed) -> None:
    assert placed(routed.port("h1")) == [routed.one]
    assert placed(routed.port("h2")) == [routed.two]
    for host in ("h9", "h3"):
        answer = routed.port(host)
        assert routed.api.fault(answer) == (409, "HostNotConnectedToAnySegment")
        assert host in message(answer)
    _, body = routed.port()
    answer = routed.change(body["port"], **{"binding:host_id": "h9"})
    assert routed.api.fault(answer) == (409, "HostNotConnectedToAnySegment")
    assert routed.api.admin.show("ports", body["port"]["id"])["binding:host_id"] == ""


def test_a_bulk_of_ports(routed: Routed) -> None:
    many = [{"network_id": routed.network, "binding:host_id": host} for host in ("h1", "h2", "h1", "")]
    status, body = routed.api.admin.post("ports", {"ports": many})
    assert status == 201
    subnets = [[fixed["subnet_id"] for fixed in port["fixed_ips"]] for port in body["ports"]]
    assert subnets == [[routed.one], [routed.two], [routed.one], []]


def test_no_addresses_at_all(routed: Routed) -> None:
    for host in ("", "h1", "h9"):
        _, body = routed.port(host, fixed_ips=[])
        assert (body["port"]["fixed_ips"], body["port"]["ip_allocation"]) == ([], "none")
    _, body = routed.port()
    _, body = routed.change(body["port"], fixed_ips=[], **{"binding:host_id": "h1"})
    assert (body["port"]["fixed_ips"], body["port"]["ip_allocation"]) == ([], "none")
    _, body = routed.change(body["port"], fixed_ips=[{"subnet_id": routed.one}])
    assert (len(body["port"]["fixed_ips"]), body["port"]["ip_allocation"]) == (1, "immediate")


def test_addresses_that_are_asked_for(routed: Routed) -> None:
    assert placed(routed.port(fixed_ips=[{"ip_address": "10.2.0.77"}])) == [routed.two]
    both = [{"subnet_id": routed.one}, {"ip_address": "10.2.0.78"}]
    assert routed.api.fault(routed.port(fixed_ips=both)) == (400, "FixedIpsSubnetsNotOnSameSegment")
    assert set(placed(routed.port(fixed_ips=both, device_owner="network:distributed"))) == {routed.one, routed.two}
    assert placed(routed.port(fixed_ips=[{"subnet_id": routed.two}])) == [routed.two]
    answer = routed.port("h1", fixed_ips=[{"subnet_id": routed.two}])
    assert routed.api.fault(answer) == (400, "InvalidInput")
    assert "host h1 is not connected to" in message(answer)
    assert routed.api.fault(routed.port("h1", fixed_ips=[{"ip_address": "10.2.0.79"}])) == (400, "InvalidIpForNetwork")
    assert routed.api.fault(routed.port("h1", fixed_ips=[{"subnet_id": UNKNOWN}])) == (404, "SubnetNotFound")
    port = routed.port(fixed_ips=[{"subnet_id": routed.one}])[1]["port"]
    more = [{"subnet_id": routed.one}, {"subnet_id": routed.two}]
    assert routed.api.fault(routed.change(port, fixed_ips=more)) == (400, "FixedIpsSubnetsNotOnSameSegment")


def test_a_port_moves_within_its_segment(routed: Routed) -> None:
    report(routed.api, "h1b", "rack1")
    port = routed.port("h1")[1]["port"]
    _, body = routed.change(port, **{"binding:host_id": "h1b"})
    assert (body["port"]["fixed_ips"], body["port"]["binding:vif_type"]) == (port["fixed_ips"], "bridge")
    answer = routed.change(port, **{"binding:host_id": "h2"})
    assert routed.api.fault(answer) == (409, "HostNotCompatibleWithFixedIps")
    assert port["id"] in message(answer)
    assert routed.api.fault(routed.change(port, **{"binding:host_id": "h9"})) == (409, "HostNotConnectedToAnySegment")
    assert routed.api.admin.show("ports", port["id"])["binding:host_id"] == "h1b"
    _, body = routed.change(port, **{"binding:host_id": "h2"}, fixed_ips=[{"subnet_id": routed.two}])
    assert ([f["subnet_id"] for f in body["port"]["fixed_ips"]], body["port"]["binding:vif_type"]) == (
        [routed.two],
        "bridge",
    )
    _, body = routed.change(port, **{"binding:host_id": ""})
    assert [f["subnet_id"] for f in body["port"]["fixed_ips"]] == [routed.two], "it keeps what it has"


def test_migration_to_another_segment_is_refused_at_once(routed: Routed) -> None:
    port = routed.port("h1")[1]["port"]
    nova = routed.api.as_("nova", "service")
    answer = nova.post(f"ports/{port['id']}/bindings", {"binding": {"host": "h2"}})
    assert answer[0] >= 400
    assert "the port has addresses of segment" in message(answer)


def test_a_host_on_two_segments_is_wired_to_the_first(routed: Routed) -> None:
    for _ in range(5):
        _, body = routed.port("both")
        assert [f["subnet_id"] for f in body["port"]["fixed_ips"]] == [routed.one]
        assert body["port"]["binding:vif_type"] == "bridge"
    _, body = routed.port("both", fixed_ips=[{"subnet_id": routed.two}])
    port = body["port"]
    assert port["binding:vif_type"] == "binding_failed"
    assert port["status_reason"] == (
        f"host both takes part in the network by segment {routed.segments['rack1']}, "
        f"the port has addresses of segment {routed.segments['rack2']}"
    )


def test_what_agents_report_is_known_at_once(routed: Routed) -> None:
    assert routed.api.fault(routed.port("h3")) == (409, "HostNotConnectedToAnySegment")
    report(routed.api, "h3", "rack2")
    assert placed(routed.port("h3")) == [routed.two]
    report(routed.api, "ovs", agent_type="NIC Switch agent", device_mappings={"rack1": ["ens1"]})
    assert placed(routed.port("ovs")) == [routed.one]


def test_segments_that_are_tunnels(api: Api) -> None:
    id = api.admin.make("networks", **{"provider:network_type": "vxlan"})["id"]
    (segment,) = api.admin.list("segments", f"network_id={id}")
    subnet = {"network_id": id, "ip_version": 4, "cidr": "10.1.0.0/24", "segment_id": segment["id"]}
    api.admin.make("subnets", **subnet)
    report(api, "near", tunnel_types=["vxlan"])
    report(api, "far")
    port = api.admin.make("ports", network_id=id, **{"binding:host_id": "near"})
    assert (len(port["fixed_ips"]), port["binding:vif_type"]) == (1, "bridge")
    answer = api.admin.post("ports", {"port": {"network_id": id, "binding:host_id": "far"}})
    assert api.fault(answer) == (409, "HostNotConnectedToAnySegment")


def test_service_types(routed: Routed) -> None:
    anywhere = routed.made("10.4.0.0/24", None, service_types=["network:routed", "network:floatingip"])["id"]
    assert placed(routed.port(device_owner="network:floatingip")) == [anywhere]
    assert placed(routed.port("h1")) == [routed.one]
    _, body = routed.port()
    assert body["port"]["ip_allocation"] == "deferred"


def test_both_ip_versions_and_slaac(routed: Routed) -> None:
    old = routed.port("h1")[1]["port"]
    other = routed.port("h2")[1]["port"]
    slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    six = routed.made("fd00:1::/64", "rack1", **slaac)["id"]
    routed.made("fd00:2::/64", "rack2")
    show = routed.api.admin.show
    assert {f["subnet_id"] for f in show("ports", old["id"])["fixed_ips"]} == {routed.one, six}, "it is of that segment"
    assert {f["subnet_id"] for f in show("ports", other["id"])["fixed_ips"]} == {routed.two}
    assert set(placed(routed.port("h1"))) == {routed.one, six}
    assert len(placed(routed.port("h2"))) == 2
    alone = routed.port("h1", fixed_ips=[{"subnet_id": six}])[1]["port"]
    assert routed.api.fault(routed.api.admin.delete(f"subnets/{six}")) == (409, "SubnetInUse"), "one has nothing else"
    assert routed.api.admin.delete(f"ports/{alone['id']}")[0] == 204
    assert routed.api.admin.delete(f"subnets/{six}")[0] == 204


def test_a_full_segment_does_not_take_from_another(bare: Routed) -> None:
    small = bare.made("10.1.0.0/30", "rack1", gateway_ip=None)["id"]
    bare.made("10.2.0.0/24", "rack2")
    assert [placed(bare.port("h1")) for _ in range(2)] == [[small]] * 2
    assert bare.api.fault(bare.port("h1")) == (409, "IpAddressGenerationFailure")


def test_ports_of_usual_networks_cost_nothing_more(api: Api, routed: Routed) -> None:
    plain = api.make("networks")["id"]
    api.make("subnets", network_id=plain, ip_version=4, cidr="10.0.0.0/24")
    report(api, "tunnels", tunnel_types=["vxlan"])
    api.admin.make("ports", network_id=plain)

    def cost(**values: Any) -> int:
        with api.statements() as found:
            api.admin.make("ports", **SERVER, **values)
        return len(found)

    without = cost(network_id=plain)
    with_host = cost(network_id=plain, **{"binding:host_id": "tunnels"})
    assert with_host == without + 2, "the segments and the host's agent, as ever"
    assert cost(network_id=routed.network, **{"binding:host_id": "h1"}) <= with_host + 1


# Routes between peers.


def routes(routed: Routed, subnet: str) -> list[tuple[str, str]]:
    found = routed.api.admin.show("subnets", subnet)["host_routes"]
    return [(one["destination"], one["nexthop"]) for one in found]


def test_peers_have_routes_to_each_other(routed: Routed) -> None:
    assert routes(routed, routed.one) == [("10.2.0.0/24", "10.1.0.1")]
    assert routes(routed, routed.two) == [("10.1.0.0/24", "10.2.0.1")]
    before = routed.api.admin.show("subnets", routed.one)["revision_number"]
    third = routed.made("10.3.0.0/24", "rack3")
    assert [one["destination"] for one in third["host_routes"]] == ["10.1.0.0/24", "10.2.0.0/24"]
    assert routes(routed, routed.one) == [("10.2.0.0/24", "10.1.0.1"), ("10.3.0.0/24", "10.1.0.1")]
    assert routed.api.admin.show("subnets", routed.one)["revision_number"] == before + 1
    neighbour = routed.made("10.5.0.0/24", "rack1")
    assert "10.1.0.0/24" not in [one["destination"] for one in neighbour["host_routes"]], "one segment, no router"
    assert routed.api.admin.delete(f"subnets/{third['id']}")[0] == 204
    assert routed.api.admin.delete(f"subnets/{neighbour['id']}")[0] == 204
    assert routes(routed, routed.one) == [("10.2.0.0/24", "10.1.0.1")]
    assert routed.api.admin.show("subnets", routed.one)["revision_number"] > before + 1


def test_routes_follow_the_gateway(routed: Routed) -> None:
    def put(**values: Any) -> Row:
        status, body = routed.api.admin.put(f"subnets/{routed.one}", {"subnet": values})
        assert status == 200, body
        return dict(body["subnet"])

    pools = [{"start": "10.1.0.10", "end": "10.1.0.20"}]
    assert put(gateway_ip="10.1.0.254", allocation_pools=pools)["host_routes"] == [
        {"destination": "10.2.0.0/24", "nexthop": "10.1.0.254"}
    ]
    read = routed.api.admin.show("subnets", routed.one)["host_routes"]
    assert put(gateway_ip="10.1.0.253", host_routes=read)["host_routes"] == [
        {"destination": "10.2.0.0/24", "nexthop": "10.1.0.253"}
    ], "what a client read before is not his own"
    assert put(gateway_ip=None)["host_routes"] == []
    assert routes(routed, routed.two) == [("10.1.0.0/24", "10.2.0.1")]


def test_own_routes_go_before(routed: Routed) -> None:
    def put(*given: tuple[str, str]) -> list[tuple[str, str]]:
        wanted = [{"destination": destination, "nexthop": nexthop} for destination, nexthop in given]
        status, body = routed.api.admin.put(f"subnets/{routed.one}", {"subnet": {"host_routes": wanted}})
        assert status == 200, body
        shown = [(one["destination"], one["nexthop"]) for one in body["subnet"]["host_routes"]]
        assert shown == routes(routed, routed.one)
        return shown

    computed = ("10.2.0.0/24", "10.1.0.1")
    mine = ("192.0.2.0/24", "10.1.0.9")
    assert put(mine) == [mine, computed]
    assert put(mine, computed) == [mine, computed], "clients write back what they read"
    other_way = ("10.2.0.0/24", "10.1.0.9")
    assert put(mine, other_way) == [mine, other_way]
    assert put() == [computed]
    assert put(computed) == [computed]
    assert routed.api.admin.delete(f"subnets/{routed.two}")[0] == 204
    assert routes(routed, routed.one) == [], "what was written back is not kept"


def test_ip_versions_have_their_own_routes(routed: Routed) -> None:
    one = routed.made("fd00:1::/64", "rack1", gateway_ip="fd00:1::1")
    two = routed.made("fd00:2::/64", "rack2", gateway_ip="fd00:2::1")
    assert two["host_routes"] == [{"destination": "fd00:1::/64", "nexthop": "fd00:2::1"}]
    assert routes(routed, one["id"]) == [("fd00:2::/64", "fd00:1::1")]
    assert routes(routed, routed.one) == [("10.2.0.0/24", "10.1.0.1")]


def test_lists_of_subnets_cost_the_same(routed: Routed) -> None:
    def cost() -> int:
        with routed.api.statements() as found:
            listed = routed.api.admin.list("subnets", f"network_id={routed.network}")
        assert all(
            len(one["host_routes"]) == len(listed) - len([o for o in listed if o["segment_id"] == one["segment_id"]])
            for one in listed
        )
        return len(found)

    before = cost()
    for number in range(3, 13):
        routed.made(f"10.{number}.0.0/24", f"rack{number % 2 + 1}")
    assert cost() == before


# Routers outside.


def test_gateways_and_floating_ips_on_a_routed_network(routed: Routed) -> None:
    api = routed.api
    assert api.admin.put(f"networks/{routed.network}", {"network": {"router:external": True}})[0] == 200
    router = api.admin.make("routers", external_gateway_info={"network_id": routed.network})
    assert router["external_gateway_info"]["external_fixed_ips"] == []
    info = {"network_id": routed.network, "external_fixed_ips": [{"subnet_id": routed.two}]}
    status, body = api.admin.put(f"routers/{router['id']}", {"router": {"external_gateway_info": info}})
    assert status == 200
    fixed = body["router"]["external_gateway_info"]["external_fixed_ips"]
    assert [one["subnet_id"] for one in fixed] == [routed.two]
    six = routed.made("fd00:1::/64", "rack1")
    shown = api.admin.show("routers", router["id"])["external_gateway_info"]["external_fixed_ips"]
    assert six["id"] not in [one["subnet_id"] for one in shown], "it is on another segment"
    assert api.make("floatingips", floating_network_id=routed.network)["floating_ip_address"]


# What the hosts are told.


def test_dhcp_tells_of_peers_as_they_come_and_go(routed: Routed) -> None:
    api = routed.api
    assert routed.port("h1")[0] == 201
    loader = HostLoader("h1")
    api.inside(loader.load)

    def told() -> list[tuple[str, str]]:
        (switch,) = loader.view.switches.values()
        (own,) = [one for one in switch.subnets if one.subnet_id == routed.one]
        return [(route.destination, route.nexthop) for route in own.host_routes]

    def follow(since: int) -> None:
        found = api.store.read(lambda connection: changes.after(connection, since))
        api.inside(lambda tx: loader.refresh(tx, found))

    assert told() == [("10.2.0.0/24", "10.1.0.1")]
    start = api.store.read(changes.last)
    third = routed.made("10.3.0.0/24", "rack3")["id"]
    follow(start)
    assert told() == [("10.2.0.0/24", "10.1.0.1"), ("10.3.0.0/24", "10.1.0.1")]
    start = api.store.read(changes.last)
    assert api.admin.delete(f"subnets/{third}")[0] == 204
    follow(start)
    assert told() == [("10.2.0.0/24", "10.1.0.1")]


def test_a_sub_port_gets_its_address_where_its_parent_goes(routed: Routed) -> None:
    api = routed.api
    flat = {"provider:network_type": "flat", "provider:physical_network": "rack1"}
    plain = api.admin.make("networks", **flat)["id"]
    parent = api.admin.make("ports", network_id=plain, **SERVER)["id"]
    sub = routed.port(device_id="", device_owner="")[1]["port"]
    part = {"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": 7}
    api.admin.make("trunks", port_id=parent, sub_ports=[part])
    assert api.admin.show("ports", sub["id"])["ip_allocation"] == "deferred"
    assert api.admin.put(f"ports/{parent}", {"port": {"binding:host_id": "h1"}})[0] == 200
    now = api.admin.show("ports", sub["id"])
    assert ([fixed["subnet_id"] for fixed in now["fixed_ips"]], now["binding:host_id"]) == ([routed.one], "h1")


def test_a_dry_run_and_a_repetition(routed: Routed) -> None:
    api = routed.api
    values = {"port": {"network_id": routed.network, "binding:host_id": "h1"}}
    status, body = api.admin.post("ports?dry_run=true", values)
    assert (status, body["dry_run"]["status"], len(body["port"]["fixed_ips"])) == (200, 201, 1)
    assert api.admin.list("ports") == []
    segment = {"segment": {"network_id": routed.network, "network_type": "vlan", "physical_network": "rack2"}}
    first, again = (api.admin.post("segments", segment, Idempotency_Key="k") for _ in range(2))
    assert (first[0], first[1]) == (again[0], again[1]) == (201, first[1])
    assert len(api.admin.list("segments", f"network_id={routed.network}")) == 4
