"""EVPN by the API: the VNI of routers, where the dataplane does not say what it can; and where it can not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from weft.registry.resource import Row


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"api": {"backend": "elsewhere"}}


def refused(api: Api, **values: Any) -> tuple[int, str]:
    return api.fault(api.admin.post("routers", {"router": values}))


def interface(api: Api, router: Row, **more: Any) -> tuple[int, Any]:
    net = api.make("networks")
    subnet = api.make("subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    return api.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"], **more})


def test_a_router_has_none_unless_asked_for(api: Api) -> None:
    assert api.make("routers")["evpn_vni"] is None


def test_the_vni_that_is_asked_for(api: Api) -> None:
    router = api.admin.make("routers", evpn_vni=500, project_id="p1")
    assert (router["evpn_vni"], api.show("routers", router["id"])["evpn_vni"]) == (500, 500)
    assert [one["id"] for one in api.admin.list("routers", "evpn_vni=500")] == [router["id"]]


def test_a_vni_is_one_routers(api: Api) -> None:
    api.admin.make("routers", evpn_vni=500)
    assert refused(api, evpn_vni=500) == (409, "EVPNVNIInUse")


def test_any_vni(api: Api) -> None:
    api.admin.make("routers", evpn_vni=2)
    assert [api.admin.make("routers", evpn_vni=0)["evpn_vni"] for _ in range(3)] == [1, 3, 4]


def test_no_vni_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.resources.evpn.LAST", 2)
    for _ in range(2):
        api.admin.make("routers", evpn_vni=0)
    assert refused(api, evpn_vni=0) == (409, "EVPNNoVniAvailable")


def test_a_vni_is_an_administrators_and_stays(api: Api) -> None:
    assert api.fault(api.post("routers", {"router": {"evpn_vni": 7}})) == (403, "PolicyNotAuthorized")
    router = api.admin.make("routers", evpn_vni=7)
    assert api.fault(api.admin.put(f"routers/{router['id']}", {"router": {"evpn_vni": 8}})) == (400, "HTTPBadRequest")


@pytest.mark.parametrize("vni", [-1, 1 << 24, "x", None])
def test_bad_vnis(api: Api, vni: Any) -> None:
    assert refused(api, evpn_vni=vni)[0] == 400


def test_flavors_bring_other_providers(api: Api) -> None:
    flavor = api.admin.make("flavors", name="f", service_type="L3_ROUTER_NAT")
    driver = "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver"
    profile = api.admin.make("service-profiles", driver=driver)
    body = {"service_profile": {"id": profile["id"]}}
    assert api.admin.post(f"flavors/{flavor['id']}/service_profiles", body)[0] == 201
    assert refused(api, evpn_vni=5, flavor_id=flavor["id"]) == (400, "EVPNRequiresOVN")


def test_hosts_are_advertised_by_routers_with_a_vni(api: Api) -> None:
    assert api.fault(interface(api, api.make("routers"), advertise_host=True)) == (404, "EVPNVNINotFound")
    assert interface(api, api.make("routers"), advertise_host=False)[0] == 200
    router = api.admin.make("routers", evpn_vni=5, project_id="p1")
    assert api.fault(interface(api, router, advertise_host="x")) == (400, "InvalidInput")
    status, body = interface(api, router, advertise_host=True)
    assert (status, "advertise_host" in body) == (200, False)


class TestWithoutADataplane:
    """Linux has no EVPN."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {}

    def test_it_is_not_offered(self, api: Api) -> None:
        assert api.get("extensions/evpn")[0] == 404
        assert "evpn_vni" not in api.make("routers")
        assert refused(api, evpn_vni=5) == (400, "HTTPBadRequest")
        assert interface(api, api.make("routers"), advertise_host=True)[0] == 200
