"""NDP proxies by the API, and the flag of routers that allows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from weft.logical.model import LogicalRouter
from weft.reconcile.load import HostLoader
from weft.registry.resource import Row
from weft.store.changes import Change


@dataclass(frozen=True)
class Site:
    """An external network and one inside, both with addresses of one scope; a router between them; a port inside."""

    api: Api
    outside: Row
    inside: Row
    subnet: Row
    router: Row
    port: Row


def six(api: Api, network: Row, pool: Row | None = None, **more: Any) -> Row:
    wanted = {"subnetpool_id": pool["id"], "prefixlen": 64} if pool else {}
    return api.admin.make("subnets", network_id=network["id"], ip_version=6, **wanted, **more)


def pool(api: Api, prefix: str = "2001:db8::/48") -> Row:
    scope = api.admin.make("address-scopes", name="scope", ip_version=6)
    return api.admin.make("subnetpools", name="pool", prefixes=[prefix], address_scope_id=scope["id"])


@pytest.fixture
def site(api: Api) -> Site:
    addresses = pool(api)
    outside = api.admin.make("networks", **{"router:external": True})
    six(api, outside, addresses)
    inside = api.make("networks")
    subnet = six(api, inside, addresses)
    info = {"network_id": outside["id"]}
    router = api.make("routers", name="r", external_gateway_info=info, enable_ndp_proxy=True)
    assert api.admin.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})[0] == 200
    return Site(api, outside, inside, subnet, router, api.make("ports", network_id=inside["id"]))


def ask(site: Site, **values: Any) -> Answer:
    body = {"router_id": site.router["id"], "port_id": site.port["id"], **values}
    return site.api.post("ndp-proxies", {"ndp_proxy": body})


def made(site: Site, **values: Any) -> Row:
    status, body = ask(site, **values)
    assert status == 201, body
    return dict(body["ndp_proxy"])


def change(site: Site, **values: Any) -> Answer:
    return site.api.put(f"routers/{site.router['id']}", {"router": values})


def address(port: Row) -> str:
    return str(port["fixed_ips"][0]["ip_address"])


# Their life.


def test_a_proxy(site: Site) -> None:
    found = made(site, name="n", description="d")
    assert found == {
        "id": found["id"],
        "name": "n",
        "description": "d",
        "project_id": "p1",
        "tenant_id": "p1",
        "router_id": site.router["id"],
        "port_id": site.port["id"],
        "ip_address": address(site.port),
        "revision_number": 0,
        "created_at": found["created_at"],
        "updated_at": found["created_at"],
    }
    assert site.api.show("ndp-proxies", found["id"]) == found
    assert site.api.list("ndp-proxies", "name=n") == [found]
    assert site.api.list("ndp_proxies") == [found]
    assert site.api.delete(f"ndp-proxies/{found['id']}")[0] == 204
    assert site.api.fault(site.api.get(f"ndp-proxies/{found['id']}")) == (404, "NDPProxyNotFound")


def test_name_and_description_may_change(site: Site) -> None:
    found = made(site)
    path = f"ndp-proxies/{found['id']}"
    status, body = site.api.put(path, {"ndp_proxy": {"name": "m", "description": "e"}})
    assert (status, body["ndp_proxy"]["name"], body["ndp_proxy"]["revision_number"]) == (200, "m", 1)
    for values in ({"ip_address": "2001:db8::9"}, {"port_id": site.port["id"]}, {"router_id": site.router["id"]}):
        assert site.api.fault(site.api.put(path, {"ndp_proxy": values})) == (400, "HTTPBadRequest")


def test_several_at_once(site: Site) -> None:
    other = site.api.make("ports", network_id=site.inside["id"])
    two = [{"router_id": site.router["id"], "port_id": port["id"]} for port in (site.port, other)]
    status, body = site.api.post("ndp-proxies", {"ndp_proxies": two})
    assert (status, [one["ip_address"] for one in body["ndp_proxies"]]) == (201, [address(site.port), address(other)])
    assert site.api.fault(site.api.post("ndp-proxies", {"ndp_proxies": two})) == (409, "NeutronDbObjectDuplicateEntry")


def test_proxies_of_others_are_not_there(site: Site) -> None:
    found = made(site)
    other = site.api.as_("p2")
    assert other.list("ndp-proxies") == []
    assert site.api.fault(other.delete(f"ndp-proxies/{found['id']}")) == (404, "NDPProxyNotFound")
    body = {"ndp_proxy": {"router_id": site.router["id"], "port_id": site.port["id"]}}
    assert site.api.fault(other.post("ndp-proxies", body)) == (404, "RouterNotFound")


# What may be.


def test_an_address_is_answered_for_once(site: Site) -> None:
    made(site)
    assert site.api.fault(ask(site)) == (409, "NeutronDbObjectDuplicateEntry")


def test_the_router_must_allow_it(site: Site) -> None:
    assert change(site, enable_ndp_proxy=False)[0] == 200
    assert site.api.fault(ask(site)) == (409, "RouterNDPProxyNotEnable")


def test_the_address_is_an_ipv6_address_of_the_port(site: Site) -> None:
    for wrong in ("fd99::1", "10.0.0.1"):
        assert site.api.fault(ask(site, ip_address=wrong)) == (400, "InvalidAddress")
    assert made(site, ip_address=address(site.port))["ip_address"] == address(site.port)


def test_the_router_reaches_the_port(site: Site) -> None:
    elsewhere = site.api.make("networks")
    six(site.api, elsewhere, cidr="2001:db8:9::/64")
    port = site.api.make("ports", network_id=elsewhere["id"])
    assert site.api.fault(ask(site, port_id=port["id"])) == (409, "PortUnreachableRouter")
    nobody = "6f3d1c3e-0000-4000-8000-000000000000"
    assert site.api.fault(ask(site, port_id=nobody)) == (404, "PortNotFound")
    assert site.api.fault(ask(site, router_id=nobody)) == (404, "RouterNotFound")


@pytest.mark.parametrize("scoped", [True, False])
def test_the_scope_is_that_outside(site: Site, scoped: bool) -> None:
    api, inner = site.api, site.api.make("networks")
    subnet = six(api, inner, pool(api, "2001:db9::/48")) if scoped else six(api, inner, cidr="2001:db9::/64")
    assert api.admin.put(f"routers/{site.router['id']}/add_router_interface", {"subnet_id": subnet["id"]})[0] == 200
    port = api.make("ports", network_id=inner["id"])
    assert api.fault(ask(site, port_id=port["id"])) == (409, "AddressScopeConflict")


# The flag of routers.


def test_proxies_are_off_unless_asked_for(api: Api) -> None:
    assert api.make("routers")["enable_ndp_proxy"] is False


def test_the_flag_needs_a_gateway_with_a_scope(api: Api) -> None:
    net = api.admin.make("networks", **{"router:external": True})
    six(api, net, cidr="2001:db8:1::/64")
    info = {"network_id": net["id"]}
    for values in ({}, {"external_gateway_info": info}):
        body = {"router": {"enable_ndp_proxy": True, **values}}
        assert api.fault(api.post("routers", body)) == (409, "RouterGatewayNotValid")
        router = api.make("routers")
        assert api.fault(api.put(f"routers/{router['id']}", body)) == (409, "RouterGatewayNotValid")
        assert api.show("routers", router["id"]) == router


def test_other_changes_leave_the_flag(site: Site) -> None:
    assert change(site, name="s")[1]["router"]["enable_ndp_proxy"] is True
    assert change(site, enable_ndp_proxy=None, name="t")[1]["router"]["enable_ndp_proxy"] is True
    assert change(site, enable_ndp_proxy=False)[1]["router"]["enable_ndp_proxy"] is False
    assert change(site, name="u")[1]["router"]["enable_ndp_proxy"] is False
    assert site.api.list("routers", "enable_ndp_proxy=true") == []


def test_the_flag_falls_with_the_gateway(site: Site) -> None:
    both = change(site, external_gateway_info={}, enable_ndp_proxy=True)
    assert site.api.fault(both) == (409, "RouterGatewayNotValid")
    status, body = change(site, external_gateway_info={})
    assert (status, body["router"]["enable_ndp_proxy"]) == (200, False)
    assert site.api.show("routers", site.router["id"])["enable_ndp_proxy"] is False


def test_it_may_be_switched_off_over_proxies(site: Site) -> None:
    found = made(site)
    assert change(site, enable_ndp_proxy=False)[0] == 200
    assert site.api.show("ndp-proxies", found["id"])["ip_address"] == address(site.port)


# What proxies hold.


@pytest.mark.parametrize("off", [True, False])
def test_proxies_hold_the_gateway(site: Site, off: bool) -> None:
    found = made(site)
    if off:
        assert change(site, enable_ndp_proxy=False)[0] == 200
    assert site.api.fault(change(site, external_gateway_info={})) == (409, "RouterGatewayInUseByNDPProxy")
    assert site.api.delete(f"ndp-proxies/{found['id']}")[0] == 204
    assert change(site, external_gateway_info={})[0] == 200


def test_proxies_hold_the_gateways_ipv6_address(site: Site) -> None:
    four = site.api.admin.make("subnets", network_id=site.outside["id"], ip_version=4, cidr="203.0.113.0/24")
    made(site)
    info = {"network_id": site.outside["id"], "external_fixed_ips": [{"subnet_id": four["id"]}]}
    path = f"routers/{site.router['id']}"
    answer = site.api.admin.put(path, {"router": {"external_gateway_info": info}})
    assert site.api.fault(answer) == (409, "RouterIPv6GatewayInUse")


def test_another_gateway_of_the_scope_will_do(site: Site) -> None:
    made(site)
    path, whole = f"routers/{site.router['id']}", {"network_id": site.outside["id"]}
    both = {"router": {"external_gateways": [whole]}}
    assert site.api.put(f"{path}/add_external_gateways", both)[0] == 200
    found = site.api.show("routers", site.router["id"])["external_gateways"]
    first = {"router": {"external_gateways": [found[0]]}}
    assert site.api.put(f"{path}/remove_external_gateways", first)[0] == 200
    last = {"router": {"external_gateways": [found[1]]}}
    answer = site.api.put(f"{path}/remove_external_gateways", last)
    assert site.api.fault(answer) == (409, "RouterGatewayInUseByNDPProxy")


def test_proxies_hold_the_interface(site: Site) -> None:
    found = made(site)
    path, body = f"routers/{site.router['id']}/remove_router_interface", {"subnet_id": site.subnet["id"]}
    assert site.api.fault(site.api.put(path, body)) == (409, "RouterInterfaceInUseByNDPProxy")
    assert site.api.delete(f"ndp-proxies/{found['id']}")[0] == 204
    assert site.api.put(path, body)[0] == 200


def test_proxies_go_with_their_port(site: Site) -> None:
    made(site)
    assert site.api.delete(f"ports/{site.port['id']}")[0] == 204
    assert site.api.list("ndp-proxies") == []


def test_proxies_go_with_their_address(site: Site) -> None:
    made(site)
    fixed = [{"subnet_id": site.subnet["id"], "ip_address": site.subnet["cidr"].replace("/64", "abcd")}]
    status, body = site.api.put(f"ports/{site.port['id']}", {"port": {"fixed_ips": fixed}})
    assert status == 200, body
    assert site.api.list("ndp-proxies") == []


# What the dataplane is told.


def rendered(site: Site) -> LogicalRouter:
    loader = HostLoader("h", scheduled=False)
    site.api.inside(loader.load)
    return loader.view.routers[site.router["id"]]


def test_the_router_is_told(site: Site) -> None:
    loader = HostLoader("h", scheduled=False)
    site.api.inside(loader.load)
    assert loader.view.routers[site.router["id"]].ndp_proxies == ()
    found = made(site)
    before = site.api.show("routers", site.router["id"])["revision_number"]
    moved = [Change("router", site.router["id"], before, "p1", "update", "", "")]
    site.api.inside(lambda tx: loader.refresh(tx, moved))
    assert loader.view.routers[site.router["id"]].ndp_proxies == (address(site.port),)
    assert rendered(site) == loader.view.routers[site.router["id"]]
    assert site.api.delete(f"ports/{site.port['id']}")[0] == 204
    assert site.api.show("routers", site.router["id"])["revision_number"] == before + 1
    assert rendered(site).ndp_proxies == ()
    assert site.api.fault(site.api.get(f"ndp-proxies/{found['id']}")) == (404, "NDPProxyNotFound")
    assert change(site, enable_ndp_proxy=False)[0] == 200
    assert rendered(site).ndp_proxies is None


class TestDefault:
    """Where the operator wants proxies."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"enable_ndp_proxy_by_default": True}}

    def test_on_where_the_gateway_can(self, site: Site) -> None:
        info = {"network_id": site.outside["id"]}
        assert site.api.make("routers", external_gateway_info=info)["enable_ndp_proxy"] is True
        assert site.api.make("routers")["enable_ndp_proxy"] is False
        assert site.api.make("routers", external_gateway_info=info, enable_ndp_proxy=False)["enable_ndp_proxy"] is False
