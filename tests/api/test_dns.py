"""Names of ports, networks and floating IPs, and what is published of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from weft.registry.resource import Row

BAD = (400, "HTTPBadRequest")


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    ml2 = {"vni_ranges": ["1:1000"], "network_vlan_ranges": ["physnet1:100:200"], "flat_networks": ["*"]}
    return {"api": {"dns_domain": "cloud.example.", "external_dns_driver": "designate"}, "ml2": ml2}


def net(api: Api, *, domain: str = "", publish: bool = False, **values: Any) -> Row:
    made = api.admin.make("networks", project_id="p1", dns_domain=domain, **values)
    api.admin.make(
        "subnets",
        network_id=made["id"],
        project_id="p1",
        ip_version=4,
        cidr="10.0.0.0/24",
        dns_publish_fixed_ip=publish,
    )
    return made


def provider(kind: str, number: int | None = None, physical: str | None = None) -> dict[str, Any]:
    given = {"network_type": kind, "segmentation_id": number, "physical_network": physical}
    return {f"provider:{name}": value for name, value in given.items() if value is not None}


def fqdn(api: Api, on: Row, **values: Any) -> str:
    made = api.make("ports", network_id=on["id"], **values)
    assert api.show("ports", made["id"])["dns_assignment"] == made["dns_assignment"]
    return str(made["dns_assignment"][0]["fqdn"])


def test_a_name_is_relative_or_in_the_domain_of_the_cloud(api: Api) -> None:
    on = net(api)
    assert fqdn(api, on, dns_name="web") == "web.cloud.example."
    assert fqdn(api, on, dns_name="a.web") == "a.web.cloud.example."
    assert fqdn(api, on, dns_name="web.cloud.example.") == "web.cloud.example."
    assert fqdn(api, on, fixed_ips=[{"ip_address": "10.0.0.99"}]) == "host-10-0-0-99.cloud.example."
    for wrong in ("web.elsewhere.example.", "cloud.example.", f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 59}"):
        assert api.fault(api.post("ports", {"port": {"network_id": on["id"], "dns_name": wrong}})) == BAD, wrong


def test_a_network_of_the_operators_publishes_its_names(api: Api) -> None:
    web = {"dns_name": "web"}
    assert fqdn(api, net(api, domain="n.example."), **web) == "web.cloud.example."
    assert fqdn(api, net(api, domain="n.example.", publish=True), **web) == "web.n.example."
    assert fqdn(api, net(api, domain="n.example.", **provider("flat", None, "physnet1")), **web) == "web.n.example."
    assert fqdn(api, net(api, domain="n.example.", **provider("vlan", 150, "physnet1")), **web) == "web.cloud.example."
    assert fqdn(api, net(api, domain="n.example.", **provider("vlan", 300, "physnet1")), **web) == "web.n.example."
    assert fqdn(api, net(api, domain="n.example.", **provider("vxlan", 70)), **web) == "web.cloud.example."
    assert fqdn(api, net(api, domain="n.example.", **provider("vxlan", 7000)), **web) == "web.n.example."
    assert fqdn(api, net(api, publish=True), **web) == "web.cloud.example."


def test_who_has_no_name_is_not_published(api: Api) -> None:
    on = net(api, domain="n.example.", publish=True)
    assert fqdn(api, on, fixed_ips=[{"ip_address": "10.0.0.9"}]) == "host-10-0-0-9.cloud.example."


def test_the_domain_of_a_port_wins(api: Api) -> None:
    on = net(api, domain="n.example.", publish=True)
    port = api.make("ports", network_id=on["id"], dns_name="web", dns_domain="p.example.")
    assert port["dns_domain"] == "p.example."

    def now(**changes: Any) -> str:
        status, body = api.put(f"ports/{port['id']}", {"port": changes})
        assert status == 200
        return str(body["port"]["dns_assignment"][0]["fqdn"])

    assert port["dns_assignment"][0]["fqdn"] == "web.p.example."
    assert now(dns_domain="") == "web.n.example."
    assert now(dns_name="db") == "db.n.example."
    assert now(dns_name="").endswith(".cloud.example.")


def test_keywords_stand_for_who_names_something(api: Api) -> None:
    assert api.get("extensions/dns-integration-domain-keywords")[0] == 200
    on = net(api, domain="<project_id>.x.example.", publish=True)
    assert on["dns_domain"] == "<project_id>.x.example."
    assert fqdn(api, on, dns_name="web") == "web.p1.x.example."
    own = api.make("ports", network_id=on["id"], dns_name="web", dns_domain="<project_id>.<user_id>.example.")
    assert own["dns_domain"] == "<project_id>.<user_id>.example."
    assert own["dns_assignment"][0]["fqdn"] == "web.p1.user of p1.example."
    assert api.fault(api.post("networks", {"network": {"dns_domain": "<who>.example."}})) == BAD


class Site:
    """A router between a network and the outside."""

    def __init__(self, api: Api, domain: str) -> None:
        self.api = api
        self.outside = api.admin.make("networks", **{"router:external": True})
        api.admin.make("subnets", network_id=self.outside["id"], ip_version=4, cidr="203.0.113.0/24")
        self.inside = net(api, domain=domain)
        router = api.make("routers", external_gateway_info={"network_id": self.outside["id"]})
        subnet = api.show("networks", self.inside["id"])["subnets"][0]
        assert api.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet})[0] == 200
        self.router = router

    def fip(self, **values: Any) -> Row:
        return self.api.make("floatingips", floating_network_id=self.outside["id"], **values)

    def published(self, fip: Row) -> str:
        """What the dataplane's name server is told."""
        from weft.resources.floatingip import FLOATINGIP

        return str(self.api.inside(lambda tx: tx.get(FLOATINGIP, fip["id"]))["dns_published"])


@pytest.fixture
def site(api: Api) -> Site:
    return Site(api, "<project_id>.n.example.")


def test_a_floating_ip_with_a_name_of_its_own(api: Api, site: Site) -> None:
    fip = site.fip(dns_name="www", dns_domain="<project_id>.example.")
    assert (fip["dns_name"], fip["dns_domain"]) == ("www", "<project_id>.example.")
    assert api.show("floatingips", fip["id"]) == fip
    assert site.published(fip) == "www.p1.example."
    port = api.make("ports", network_id=site.inside["id"], dns_name="web")
    api.put(f"floatingips/{fip['id']}", {"floatingip": {"port_id": port["id"]}})
    assert site.published(fip) == "www.p1.example."
    api.put(f"floatingips/{fip['id']}", {"floatingip": {"port_id": None}})
    assert site.published(fip) == "www.p1.example."
    assert api.fault(api.put(f"floatingips/{fip['id']}", {"floatingip": {"dns_name": "w"}})) == BAD


def test_name_and_domain_come_together(api: Api, site: Site) -> None:
    for half in ({"dns_name": "www"}, {"dns_domain": "a.example."}):
        body = {"floatingip": {"floating_network_id": site.outside["id"], **half}}
        assert api.fault(api.post("floatingips", body)) == (400, "BadRequest")


def test_a_floating_ip_goes_by_the_name_of_its_port(api: Api, site: Site) -> None:
    port = api.make("ports", network_id=site.inside["id"], dns_name="web")
    fip = site.fip(port_id=port["id"])
    assert (fip["dns_name"], fip["dns_domain"]) == ("", "")
    assert site.published(fip) == "web.p1.n.example."
    api.put(f"floatingips/{fip['id']}", {"floatingip": {"port_id": None}})
    assert site.published(fip) == ""
    api.put(f"floatingips/{fip['id']}", {"floatingip": {"port_id": port["id"]}})
    assert site.published(fip) == "web.p1.n.example."
    assert api.delete(f"ports/{port['id']}")[0] == 204
    assert site.published(fip) == ""


class TestWithoutAnybodyWhoPublishes:
    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"dns_domain": "cloud.example."}}

    def test_names_stay_inside(self, api: Api) -> None:
        site = Site(api, "n.example.")
        assert fqdn(api, site.inside, dns_name="web", dns_domain="p.example.") == "web.cloud.example."
        fip = site.fip(dns_name="www")
        assert (fip["dns_name"], fip["dns_domain"], site.published(fip)) == ("", "", "")


class TestWithoutADomain:
    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {}

    def test_ports_have_no_names(self, api: Api) -> None:
        on = net(api)
        assert api.make("ports", network_id=on["id"], dns_name="anything.at.all.")["dns_name"] == ""
