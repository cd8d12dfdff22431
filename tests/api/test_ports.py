"""Ports; the rules stand in behaviours sections 3 to 5 of the API's facts."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.api.conftest import Api

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"api": {"dns_domain": "example.org"}}


@pytest.fixture
def network(api: Api) -> str:
    return str(api.make("networks")["id"])


@pytest.fixture
def subnet(api: Api, network: str) -> str:
    return str(api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24")["id"])


def _slaac(api: Api, network: str, prefix: str = "fd00:1::/64") -> str:
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    return str(api.make("subnets", network_id=network, ip_version=6, cidr=prefix, **modes)["id"])


def _put(api: Api, id: str, **values: Any) -> Any:
    return api.put(f"/ports/{id}", {"port": values})


def _refused(api: Api, **values: Any) -> tuple[int, str]:
    return api.fault(api.post("/ports", {"port": values}))


def _ips(port: dict[str, Any]) -> list[str]:
    return sorted(fixed["ip_address"] for fixed in port["fixed_ips"])


def test_defaults(api: Api, network: str, subnet: str) -> None:
    made = api.make("ports", network_id=network)
    assert made == api.show("ports", made["id"])
    assert made["status"] == "DOWN"
    assert made["mac_address"].startswith("fa:16:3e:")
    assert ip_address(_ips(made)[0]) in ip_network("10.0.0.0/24")
    assert made["ip_allocation"] == "immediate"
    assert made["port_security_enabled"] is True
    assert made["binding:vnic_type"] == "normal"
    groups = api.list("security-groups", "name=default")
    assert made["security_groups"] == [groups[0]["id"]]
    assert "binding:host_id" not in made
    seen = api.admin.show("ports", made["id"])
    assert (seen["binding:host_id"], seen["binding:vif_type"], seen["binding:profile"]) == ("", "unbound", {})


def test_a_create_is_few_statements(api: Api, network: str, subnet: str) -> None:
    api.make("ports", network_id=network)
    with api.statements() as seen:
        api.make("ports", network_id=network)
    assert len(seen) <= 15, "\n".join(seen)
    few = len(seen)
    for _ in range(20):
        api.make("ports", network_id=network)
    with api.statements() as seen:
        api.make("ports", network_id=network)
    assert len(seen) == few


def test_addresses_by_wish(api: Api, network: str, subnet: str) -> None:
    made = api.make("ports", network_id=network, fixed_ips=[{"ip_address": "10.0.0.50"}])
    assert made["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.0.0.50"}]
    both = [{"subnet_id": subnet, "ip_address": "10.0.0.1"}, {"subnet_id": subnet}]
    assert len(api.make("ports", network_id=network, fixed_ips=both)["fixed_ips"]) == 2
    none = api.make("ports", network_id=network, fixed_ips=[])
    assert (none["fixed_ips"], none["ip_allocation"]) == ([], "none")


@pytest.mark.parametrize(
    ("wish", "fault"),
    [
        ({"ip_address": "10.0.0.50"}, (409, "IpAddressAlreadyAllocated")),
        ({"ip_address": "10.0.1.50"}, (400, "InvalidIpForNetwork")),
        ({"ip_address": "10.0.0.255"}, (400, "InvalidIpForNetwork")),
        ({"ip_address": "10.0.0"}, (400, "HTTPBadRequest")),
        ({"ip_address": "10.0.1.50", "subnet_id": "SUBNET"}, (400, "InvalidIpForSubnet")),
        ({"ip_address": "10.0.0.0", "subnet_id": "SUBNET"}, (400, "InvalidIpForSubnet")),
        ({"subnet_id": UNKNOWN}, (404, "SubnetNotFound")),
        ({"subnet_id": "OTHER"}, (400, "InvalidInput")),
        ({}, (400, "InvalidInput")),
        ({"colour": "red"}, (400, "HTTPBadRequest")),
    ],
)
def test_wishes_that_are_refused(
    api: Api, network: str, subnet: str, wish: dict[str, str], fault: tuple[int, str]
) -> None:
    api.make("ports", network_id=network, fixed_ips=[{"ip_address": "10.0.0.50"}])
    other = api.make("subnets", network_id=api.make("networks")["id"], ip_version=4, cidr="10.1.0.0/24")["id"]
    wish = {name: {"SUBNET": subnet, "OTHER": other}.get(value, value) for name, value in wish.items()}
    assert _refused(api, network_id=network, fixed_ips=[wish]) == fault


def test_a_pool_is_used_up_and_refilled(api: Api, network: str) -> None:
    pools = [{"start": "10.0.0.10", "end": "10.0.0.12"}]
    api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24", allocation_pools=pools)
    ports = [api.make("ports", network_id=network) for _ in range(3)]
    assert sorted(_ips(port)[0] for port in ports) == ["10.0.0.10", "10.0.0.11", "10.0.0.12"]
    assert _refused(api, network_id=network) == (409, "IpAddressGenerationFailure")
    api.delete(f"/ports/{ports[1]['id']}")
    assert _ips(api.make("ports", network_id=network)) == _ips(ports[1])


def test_large_pools_are_used_up_too(api: Api, network: str) -> None:
    id = api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/21")["id"]
    api.admin.put("/quotas/p1", {"quota": {"port": -1}})
    body = {"ports": [{"network_id": network}] * 500}
    for _ in range(4):
        assert api.post("/ports", body)[0] == 201
    assert api.post("/ports", {"ports": [{"network_id": network}] * 45})[0] == 201
    assert _refused(api, network_id=network) == (409, "IpAddressGenerationFailure")
    used = [ip for port in api.list("ports", "fields=fixed_ips") for ip in _ips(port)]
    assert len(used) == len(set(used)) == 2045
    assert api.fault(api.delete(f"/subnets/{id}")) == (409, "SubnetInUse")


def test_ipv6_of_each_kind(api: Api, network: str, subnet: str) -> None:
    auto = _slaac(api, network)
    stateful = api.make("subnets", network_id=network, ip_version=6, cidr="fd00:2::/64")["id"]
    made = api.make("ports", network_id=network, mac_address="fa:16:3e:00:00:01")
    assert {fixed["subnet_id"] for fixed in made["fixed_ips"]} == {subnet, auto, stateful}
    assert "fd00:1::f816:3eff:fe00:1" in _ips(made)
    wish = [{"subnet_id": auto, "ip_address": "fd00:1::5"}]
    assert _refused(api, network_id=network, fixed_ips=wish) == (400, "AllocationOnAutoAddressSubnet")
    only = api.make("ports", network_id=network, mac_address="fa:16:3e:00:00:02", fixed_ips=[{"subnet_id": auto}])
    assert _ips(only) == ["fd00:1::f816:3eff:fe00:2"]


def test_service_types(api: Api, network: str) -> None:
    special = api.make("subnets", network_id=network, ip_version=4, cidr="10.1.0.0/24", service_types=["compute:nova"])[
        "id"
    ]
    assert _refused(api, network_id=network) == (409, "IpAddressGenerationFailureNoMatchingSubnet")
    general = api.make("subnets", network_id=network, ip_version=4, cidr="10.2.0.0/24")["id"]
    assert api.make("ports", network_id=network)["fixed_ips"][0]["subnet_id"] == general
    nova = api.make("ports", network_id=network, device_owner="compute:nova")
    assert nova["fixed_ips"][0]["subnet_id"] == special


def test_macs(api: Api, network: str) -> None:
    made = api.make("ports", network_id=network, mac_address="AA-BB-CC-DD-EE-F0")
    assert made["mac_address"].lower().replace("-", ":") == "aa:bb:cc:dd:ee:f0"
    assert _refused(api, network_id=network, mac_address="aa:bb:cc:dd:ee:f0") == (409, "MacAddressInUse")
    assert _refused(api, network_id=network, mac_address="00:00:00:00:00:00") == (400, "HTTPBadRequest")
    assert api.list("ports", "mac_address=AA:BB:CC:DD:EE:F0&fields=id") == [{"id": made["id"]}]
    api.make("ports", network_id=api.make("networks")["id"], mac_address="aa:bb:cc:dd:ee:f0")
    assert _put(api.admin, made["id"], mac_address=None)[1]["port"]["mac_address"].startswith("fa:16:3e")


def test_a_new_mac_makes_new_automatic_addresses(api: Api, network: str, subnet: str) -> None:
    _slaac(api, network)
    made = api.make("ports", network_id=network, mac_address="fa:16:3e:00:00:01")
    v4 = _ips(made)[0]
    after = _put(api.admin, made["id"], mac_address="fa:16:3e:00:00:09")[1]["port"]
    assert _ips(after) == [v4, "fd00:1::f816:3eff:fe00:9"]
    assert _ips(api.show("ports", made["id"])) == _ips(after)


def test_changed_addresses(api: Api, network: str, subnet: str) -> None:
    made = api.make("ports", network_id=network)
    old = _ips(made)[0]
    kept = [{"ip_address": old}, {"subnet_id": subnet}]
    after = _put(api, made["id"], fixed_ips=kept)[1]["port"]
    assert old in _ips(after) and len(_ips(after)) == 2
    swapped = _put(api, made["id"], fixed_ips=[{"subnet_id": subnet, "ip_address": "10.0.0.77"}])[1]["port"]
    assert _ips(swapped) == ["10.0.0.77"] == _ips(api.show("ports", made["id"]))
    assert swapped["revision_number"] == api.show("ports", made["id"])["revision_number"]
    assert _put(api, made["id"], fixed_ips=[{"subnet_id": subnet}])[1]["port"]["fixed_ips"] == swapped["fixed_ips"]
    assert _put(api, made["id"], fixed_ips=[])[1]["port"]["fixed_ips"] == []
    api.make("ports", network_id=network, fixed_ips=[{"ip_address": old}])
    assert api.fault(_put(api, made["id"], fixed_ips=[{"ip_address": old}])) == (409, "IpAddressAlreadyAllocated")


def test_an_automatic_address_stays_unless_dropped(api: Api, network: str, subnet: str) -> None:
    auto = _slaac(api, network)
    made = api.make("ports", network_id=network)
    after = _put(api, made["id"], fixed_ips=[{"subnet_id": subnet}])[1]["port"]
    assert {fixed["subnet_id"] for fixed in after["fixed_ips"]} == {subnet, auto}


def test_port_security(api: Api, network: str, subnet: str) -> None:
    group = api.make("security-groups", name="g")["id"]
    pair = [{"ip_address": "10.0.0.99"}]
    off: dict[str, Any] = {"network_id": network, "port_security_enabled": False}
    assert api.make("ports", **off)["security_groups"] == []
    assert _refused(api, **off, security_groups=[group]) == (400, "PortSecurityAndIPRequiredForSecurityGroups")
    assert _refused(api, **off, allowed_address_pairs=pair) == (409, "AddressPairAndPortSecurityRequired")
    made = api.make("ports", network_id=network, security_groups=[group], allowed_address_pairs=pair)
    assert made["allowed_address_pairs"] == [{"ip_address": "10.0.0.99", "mac_address": made["mac_address"]}]
    assert api.fault(_put(api, made["id"], port_security_enabled=False)) == (409, "PortSecurityPortHasSecurityGroup")
    bare = {"port_security_enabled": False, "security_groups": []}
    assert api.fault(_put(api, made["id"], **bare)) == (409, "AddressPairAndPortSecurityRequired")
    assert _put(api, made["id"], **bare, allowed_address_pairs=[])[1]["port"]["port_security_enabled"] is False
    open_network = api.make("networks", port_security_enabled=False)["id"]
    assert api.make("ports", network_id=open_network)["port_security_enabled"] is False


@pytest.mark.parametrize(
    ("pairs", "fault"),
    [
        ([{"mac_address": "fa:16:3e:00:00:01"}], (400, "AllowedAddressPairsMissingIP")),
        ([{"ip_address": "10.0.0.9"}, {"ip_address": "10.0.0.9"}], (400, "DuplicateAddressPairInRequest")),
        ([{"ip_address": "224.0.0.1"}], (400, "HTTPBadRequest")),
        ([{"ip_address": "10.0.0.9", "mac_address": "01:00:5e:00:00:01"}], (400, "HTTPBadRequest")),
        ([{"ip_address": f"10.0.0.{n}"} for n in range(11)], (400, "AllowedAddressPairExhausted")),
        ([{"ip_address": "10.0.0.9", "colour": "red"}], (400, "HTTPBadRequest")),
        ("x", (400, "HTTPBadRequest")),
    ],
)
def test_address_pairs_that_are_refused(api: Api, network: str, pairs: Any, fault: tuple[int, str]) -> None:
    assert _refused(api, network_id=network, allowed_address_pairs=pairs) == fault


def test_security_groups(api: Api, network: str) -> None:
    one, two = (api.make("security-groups", name=name)["id"] for name in "ab")
    made = api.make("ports", network_id=network, security_groups=[one, two])
    assert sorted(made["security_groups"]) == sorted([one, two])
    assert _refused(api, network_id=network, security_groups=[UNKNOWN]) == (404, "SecurityGroupNotFound")
    foreign = api.as_("p2").make("security-groups", name="x")["id"]
    assert _refused(api, network_id=network, security_groups=[foreign]) == (404, "SecurityGroupNotFound")
    after = _put(api, made["id"], security_groups=[two])[1]["port"]
    assert after["security_groups"] == [two] == api.show("ports", made["id"])["security_groups"]
    assert [row["id"] for row in api.list("ports", f"security_groups={two}")] == [made["id"]]
    assert api.list("ports", f"security_groups={one}") == []


def test_the_networks_own_ports_are_trusted(api: Api, network: str, subnet: str) -> None:
    group = api.make("security-groups", name="g")["id"]
    made = api.admin.make(
        "ports", network_id=network, project_id="p1", device_owner="network:dhcp", security_groups=[group]
    )
    assert (made["security_groups"], made["port_security_enabled"]) == ([], False)
    assert _ips(made) == ["10.0.0.2"]  # the lowest


def test_dhcp_options(api: Api, network: str) -> None:
    options = [{"opt_name": "bootfile-name", "opt_value": "a"}, {"opt_name": "router", "opt_value": ""}]
    made = api.make("ports", network_id=network, extra_dhcp_opts=options)
    assert made["extra_dhcp_opts"] == [{**option, "ip_version": 4} for option in options]
    changes = [{"opt_name": "bootfile-name", "opt_value": None}, {"opt_name": "tftp-server", "opt_value": "10.0.0.9"}]
    after = _put(api, made["id"], extra_dhcp_opts=changes)[1]["port"]["extra_dhcp_opts"]
    assert {one["opt_name"]: one["opt_value"] for one in after} == {"router": "", "tftp-server": "10.0.0.9"}
    assert _put(api, made["id"], extra_dhcp_opts=[])[1]["port"]["extra_dhcp_opts"] == after
    twice = [{"opt_name": "mtu", "opt_value": "1"}, {"opt_name": "mtu", "opt_value": "2"}]
    assert _refused(api, network_id=network, extra_dhcp_opts=twice) == (400, "HTTPBadRequest")


def test_names(api: Api, network: str, subnet: str) -> None:
    made = api.make("ports", network_id=network, dns_name="Web", fixed_ips=[{"ip_address": "10.0.0.50"}])
    assert made["dns_name"] == "web"
    expected = {"ip_address": "10.0.0.50", "hostname": "web", "fqdn": "web.example.org."}
    assert made["dns_assignment"] == [expected]
    plain = _put(api, made["id"], dns_name="")[1]["port"]
    assert plain["dns_assignment"][0]["fqdn"] == "host-10-0-0-50.example.org."
    assert _refused(api, network_id=network, dns_name="-") == (400, "HTTPBadRequest")


def test_binding_without_an_agent_fails_and_says_so(api: Api, network: str) -> None:
    made = api.admin.make("ports", network_id=network, **{"binding:host_id": "h1"})
    assert (made["binding:vif_type"], made["status"]) == ("binding_failed", "DOWN")
    freed = _put(api.admin, made["id"], **{"binding:host_id": ""})[1]["port"]
    assert freed["binding:vif_type"] == "unbound"
    assert api.fault(_put(api, made["id"], **{"binding:host_id": "h1"})) == (403, "PolicyNotAuthorized")
    assert [row["id"] for row in api.admin.list("ports", "binding:host_id=h1")] == []


def test_profile_is_the_services(api: Api, network: str) -> None:
    profile = {"binding:profile": {"a": 1}}
    assert api.fault(api.admin.post("/ports", {"port": {"network_id": network, **profile}})) == (
        403,
        "PolicyNotAuthorized",
    )
    service = api.as_("service", "service")
    made = service.make("ports", network_id=network, project_id="p1", **profile)
    assert made["binding:profile"] == {"a": 1}
    large = {"binding:profile": {"a": "x" * 5000}}
    assert api.fault(_put(service, made["id"], **large)) == (400, "InvalidInput")
    assert _put(service, made["id"], **{"binding:profile": None})[1]["port"]["binding:profile"] == {}


def test_who_may(api: Api, network: str) -> None:
    shared = api.admin.make("networks", shared=True)["id"]
    api.admin.make("subnets", network_id=shared, ip_version=4, cidr="10.9.0.0/24")
    other = api.as_("p2")
    assert api.fault(other.post("/ports", {"port": {"network_id": network}})) == (404, "NetworkNotFound")
    guest = other.make("ports", network_id=shared)
    assert api.fault(other.post("/ports", {"port": {"network_id": shared, "mac_address": "fa:16:3e:00:00:05"}})) == (
        403,
        "PolicyNotAuthorized",
    )
    wish = {"network_id": shared, "fixed_ips": [{"ip_address": "10.9.0.9"}]}
    assert api.fault(other.post("/ports", {"port": wish})) == (403, "PolicyNotAuthorized")
    assert api.fault(api.get(f"/ports/{guest['id']}")) == (404, "PortNotFound")
    mine = api.make("networks")["id"]
    foreign = api.admin.make("ports", network_id=mine, project_id="p2")
    assert api.show("ports", foreign["id"])["project_id"] == "p2"  # on my network I see them all
    assert api.delete(f"/ports/{foreign['id']}")[0] == 204


def test_filters(api: Api, network: str, subnet: str) -> None:
    a = api.make("ports", network_id=network, name="a", fixed_ips=[{"ip_address": "10.0.0.50"}], device_id="d1")
    api.make("ports", network_id=network, name="b", fixed_ips=[{"ip_address": "10.0.0.60"}])

    def names(query: str) -> list[str]:
        return sorted(row["name"] for row in api.list("ports", query))

    assert names("fixed_ips=ip_address%3D10.0.0.50") == ["a"]
    assert names(f"fixed_ips=subnet_id%3D{subnet}") == ["a", "b"]
    assert names(f"fixed_ips=subnet_id%3D{UNKNOWN}&fixed_ips=ip_address%3D10.0.0.50") == []
    assert names("fixed_ips=ip_address%3D10.0.0.50&fixed_ips=ip_address%3D10.0.0.60") == ["a", "b"]
    assert names("fixed_ips=ip_address_substr%3D0.6") == ["b"]
    assert names("device_id=d1") == ["a"]
    assert names("device_id=") == ["b"]
    assert names(f"id={a['id']}") == ["a"]
    assert names("name=a&name=b") == ["a", "b"]
    assert api.fault(api.get("/ports?fixed_ips=10.0.0.50")) == (400, "InvalidInput")


def test_bulk_is_all_or_nothing_and_cheap(api: Api, network: str, subnet: str) -> None:
    def cost(count: int) -> int:
        with api.statements() as seen:
            assert api.post("/ports", {"ports": [{"network_id": network}] * count})[0] == 201
        return len(seen)

    cost(1)
    assert cost(60) <= cost(2) + 2
    before = len(api.list("ports"))
    wishes = [{"network_id": network}, {"network_id": network, "fixed_ips": [{"ip_address": "10.9.9.9"}]}]
    assert api.fault(api.post("/ports", {"ports": wishes})) == (400, "InvalidIpForNetwork")
    assert len(api.list("ports")) == before


def test_quota(api: Api, network: str) -> None:
    api.admin.put("/quotas/p1", {"quota": {"port": 2}})
    api.make("ports", network_id=network)
    assert api.fault(api.post("/ports", {"ports": [{"network_id": network}] * 2})) == (409, "OverQuota")
    made = api.make("ports", network_id=network)
    assert _refused(api, network_id=network) == (409, "OverQuota")
    api.delete(f"/ports/{made['id']}")
    api.make("ports", network_id=network)


def test_a_list_is_a_constant_number_of_statements(api: Api, network: str, subnet: str) -> None:
    def cost() -> int:
        with api.statements() as seen:
            api.list("ports")
        return len(seen)

    api.make("ports", network_id=network)
    few = cost()
    api.post("/ports", {"ports": [{"network_id": network}] * 100})
    assert cost() == few <= 2


def test_two_clients_at_once(api: Api, network: str) -> None:
    """Twenty clients want the ten addresses of a pool: ten get one each, ten are told that there are no more."""
    from concurrent.futures import ThreadPoolExecutor

    pools = [{"start": "10.0.0.10", "end": "10.0.0.19"}]
    api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24", allocation_pools=pools)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.post("/ports", {"port": {"network_id": network}}), range(20)))
    assert sorted(status for status, _ in answers) == [201] * 10 + [409] * 10
    ips = [_ips(body["port"])[0] for status, body in answers if status == 201]
    assert len(set(ips)) == 10
