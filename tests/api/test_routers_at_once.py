"""Requests at the same time about one router leave a whole: what one refuses the other may not slip past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.api.conftest import Answer, Api
from tests.api.test_floatingips import Site, change, connect, inside_subnet, outside_network


@pytest.fixture
def site(api: Api) -> Site:
    outside, subnet = outside_network(api, "203.0.113.0/24"), inside_subnet(api)
    return Site(api, outside, connect(api, outside, subnet), subnet)


def at_once(*asks: Callable[[], Answer]) -> list[Answer]:
    """The answers to all of `asks`, which start together."""
    start = Barrier(len(asks))

    def run(ask: Callable[[], Answer]) -> Answer:
        start.wait()
        return ask()

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(run, asks))


def statuses(answers: Sequence[Answer]) -> list[int]:
    return sorted(status for status, _ in answers)


def test_one_of_many_floating_ips_wins_a_port(site: Site) -> None:
    port = site.port()
    fips = [site.fip() for _ in range(6)]
    answers = at_once(*(lambda fip=fip: change(site.api, fip, port_id=port["id"]) for fip in fips))  # type: ignore[misc]
    assert statuses(answers) == [200] + [409] * 5
    assert {site.api.fault(one)[1] for one in answers if one[0] == 409} == {"FloatingIPPortAlreadyAssociated"}
    assert len(site.api.list("floatingips", f"port_id={port['id']}")) == 1


def test_one_of_two_overlapping_subnets_is_attached(api: Api) -> None:
    router = api.make("routers")
    path = f"routers/{router['id']}/add_router_interface"
    subnets = [inside_subnet(api, cidr) for cidr in ("10.0.0.0/24", "10.0.0.0/25", "10.0.0.0/23")]
    answers = at_once(*(lambda one=one: api.put(path, {"subnet_id": one["id"]}) for one in subnets))  # type: ignore[misc]
    assert statuses(answers) == [200, 400, 400]
    assert len(api.list("ports", f"device_id={router['id']}")) == 1


def test_no_route_is_lost(site: Site) -> None:
    path = f"routers/{site.router['id']}/add_extraroutes"
    routes = [{"destination": f"198.18.{number}.0/24", "nexthop": "10.0.0.9"} for number in range(8)]
    answers = at_once(*(lambda one=one: site.api.put(path, {"router": {"routes": [one]}}) for one in routes))  # type: ignore[misc]
    assert statuses(answers) == [200] * 8
    found = site.api.show("routers", site.router["id"])["routes"]
    assert sorted(found, key=lambda one: str(one["destination"])) == routes


@pytest.mark.parametrize("leaving", ["gateway", "interface"])
def test_a_way_goes_or_is_taken(site: Site, leaving: str) -> None:
    path = f"routers/{site.router['id']}"

    def leave() -> Answer:
        if leaving == "gateway":
            return site.api.put(path, {"router": {"external_gateway_info": None}})
        return site.api.put(f"{path}/remove_router_interface", {"subnet_id": site.subnet["id"]})

    for _ in range(5):
        fip, port = site.fip(), site.port()
        left, taken = at_once(leave, lambda fip=fip, port=port: change(site.api, fip, port_id=port["id"]))  # type: ignore[misc]
        assert sorted([left[0] == 200, taken[0] == 200]) == [False, True], (left, taken)
        assert (left[0], taken[0]) in ((200, 404), (409, 200))
        change(site.api, fip, port_id=None)
        if left[0] == 200 and leaving == "gateway":
            info = {"network_id": site.outside["id"]}
            assert site.api.put(path, {"router": {"external_gateway_info": info}})[0] == 200
        elif left[0] == 200:
            assert site.api.put(f"{path}/add_router_interface", {"subnet_id": site.subnet["id"]})[0] == 200


def test_forwardings_of_one_port_do_not_collide(site: Site) -> None:
    fip = site.fip()
    path = f"floatingips/{fip['id']}/port_forwardings"
    ports = [site.port() for _ in range(4)]
    bodies = [
        {
            "protocol": "tcp",
            "external_port": 80,
            "internal_port": 80,
            "internal_port_id": port["id"],
            "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        }
        for port in ports
    ]
    answers = at_once(*(lambda one=one: site.api.post(path, {"port_forwarding": one}) for one in bodies))  # type: ignore[misc]
    assert statuses(answers) == [201, 400, 400, 400]


def test_the_last_address_goes_to_one(api: Api) -> None:
    net = outside_network(api, "203.0.113.0/30")
    body = {"floatingip": {"floating_network_id": net["id"]}}
    answers = at_once(*(lambda: api.post("floatingips", body) for _ in range(4)))
    assert statuses(answers) == [201, 400, 400, 400]
    assert {api.fault(one)[1] for one in answers if one[0] == 400} == {"ExternalIpAddressExhausted"}


def test_no_gateway_is_lost(api: Api) -> None:
    router, outside = api.make("routers"), outside_network(api, "203.0.113.0/24")
    path, body = f"routers/{router['id']}", {"router": {"external_gateways": [{"network_id": outside["id"]}]}}
    answers = at_once(*([lambda: api.put(f"{path}/add_external_gateways", body)] * 6))
    assert statuses(answers) == [200] * 6
    found = api.show("routers", router["id"])["external_gateways"]
    assert len({one["external_fixed_ips"][0]["ip_address"] for one in found}) == 6
    all_of_them = [{"router": {"external_gateways": [one]}} for one in found]
    answers = at_once(*(lambda one=one: api.put(f"{path}/remove_external_gateways", one) for one in all_of_them))  # type: ignore[misc]
    assert statuses(answers) == [200] * 6
    assert api.show("routers", router["id"])["external_gateways"] == []
    assert api.admin.list("ports", f"device_id={router['id']}") == []


def proxying(api: Api) -> tuple[str, dict[str, dict[str, str]]]:
    """A router that may have NDP proxies, and the body that asks for one."""
    scope = api.admin.make("address-scopes", name="s", ip_version=6)["id"]
    pool = api.admin.make("subnetpools", name="p", prefixes=["2001:db8::/48"], address_scope_id=scope)["id"]
    six = {"ip_version": 6, "subnetpool_id": pool, "prefixlen": 64}
    outside = api.admin.make("networks", **{"router:external": True})["id"]
    inside = api.make("networks")["id"]
    api.admin.make("subnets", network_id=outside, **six)
    subnet = api.admin.make("subnets", network_id=inside, **six)["id"]
    router = api.make("routers", external_gateway_info={"network_id": outside}, enable_ndp_proxy=True)["id"]
    assert api.admin.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})[0] == 200
    return router, {"ndp_proxy": {"router_id": router, "port_id": api.make("ports", network_id=inside)["id"]}}


def test_one_of_many_proxies_answers_for_an_address(api: Api) -> None:
    _, body = proxying(api)
    answers = at_once(*([lambda: api.post("ndp-proxies", body)] * 5))
    assert statuses(answers) == [201] + [409] * 4
    assert {api.fault(one)[1] for one in answers if one[0] == 409} == {"NeutronDbObjectDuplicateEntry"}


def test_a_gateway_goes_or_a_proxy_comes(api: Api) -> None:
    """Not both: a proxy without a gateway answers nobody."""
    router, body = proxying(api)
    at_once(
        lambda: api.post("ndp-proxies", body),
        lambda: api.put(f"routers/{router}", {"router": {"external_gateway_info": None}}),
    )
    gone = api.show("routers", router)["external_gateway_info"] is None
    assert bool(api.list("ndp-proxies")) is not gone
