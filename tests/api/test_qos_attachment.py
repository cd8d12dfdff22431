"""QoS policies on floating IPs and gateways, what hosts can honour, what ports ask of Placement."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from tests.api.conftest import Api
from tests.api.test_floatingips import Site, changed, site  # noqa: F401 - a fixture
from tests.api.test_qos_rules import add, added
from weft.logical import qos
from weft.resources import agent

POLICIES = "qos/policies"
LIMITS = {name: qos.RULES[name] for name in ("bandwidth_limit", "dscp_marking")}


def policy(api: Api, project: str = "p1", **rules: dict[str, Any]) -> str:
    """A policy with rules, a type each."""
    id = str(api.admin.make(POLICIES, project_id=project)["id"])
    for kind, values in rules.items():
        added(api.admin, id, kind, **values)
    return id


def host(api: Api, name: str, rules: Any, backend: str = "linux") -> None:
    """A host whose agent says which rules its backend honours."""
    facts: Any = {"agent_type": "Linux bridge agent", "binary": "weft", "topic": "N/A", "host": name}
    said = {"backend": backend, "tunnel_types": ["vxlan"], **({} if rules is None else {"qos": rules})}
    api.inside(lambda tx: agent.report(tx, configurations=said, **facts))


@pytest.fixture
def net(api: Api) -> str:
    return str(api.make("networks")["id"])


# Floating IPs.


def test_floating_ips_have_policies(site: Site) -> None:  # noqa: F811
    own, outer = policy(site.api), policy(site.api, "admin")
    fip = site.fip(qos_policy_id=own)
    assert (fip["qos_policy_id"], fip["qos_network_policy_id"]) == (own, None)
    path = f"networks/{site.outside['id']}"
    assert site.api.admin.put(path, {"network": {"qos_policy_id": outer}})[0] == 200
    shown = site.api.show("floatingips", fip["id"])
    assert (shown["qos_policy_id"], shown["qos_network_policy_id"]) == (own, outer)
    assert site.fip()["qos_network_policy_id"] == outer
    cleared = changed(site.api, fip, qos_policy_id=None)
    assert (cleared["qos_policy_id"], cleared["revision_number"]) == (None, fip["revision_number"] + 1)


def test_a_floating_ips_policy_says_nothing_of_where_it_leads(site: Site) -> None:  # noqa: F811
    fip = site.fip(port_id=site.port()["id"])
    assert changed(site.api, fip, qos_policy_id=policy(site.api))["port_id"] == fip["port_id"]


def test_floating_ips_hold_their_policy(site: Site) -> None:  # noqa: F811
    own, hidden = policy(site.api), policy(site.api, "admin")
    assert site.api.fault(site.ask(qos_policy_id=hidden)) == (404, "QosPolicyNotFound")
    assert site.api.fault(site.ask(qos_policy_id=str(uuid4()))) == (404, "QosPolicyNotFound")
    fip = site.fip(qos_policy_id=own)
    used = site.api.admin.delete(f"{POLICIES}/{own}")
    assert site.api.fault(used) == (409, "QosPolicyInUse")
    assert f"floatingip {fip['id']}" in used[1]["NeutronError"]["message"]
    assert site.api.delete(f"floatingips/{fip['id']}")[0] == 204
    assert site.api.admin.delete(f"{POLICIES}/{own}")[0] == 204


# Gateways.


def gateway(api: Api, router: dict[str, Any], **info: Any) -> dict[str, Any]:
    status, body = api.put(f"routers/{router['id']}", {"router": {"external_gateway_info": info}})
    assert status == 200, body
    return dict(body["router"]["external_gateway_info"] or {})


def test_gateways_have_policies(site: Site) -> None:  # noqa: F811
    own, on = policy(site.api), site.outside["id"]
    assert "qos_policy_id" not in site.router["external_gateway_info"]
    assert gateway(site.api, site.router, network_id=on, qos_policy_id=own)["qos_policy_id"] == own
    shown = site.api.show("routers", site.router["id"])
    assert shown["external_gateway_info"]["qos_policy_id"] == own
    assert shown["revision_number"] > site.router["revision_number"]
    assert gateway(site.api, site.router, network_id=on)["qos_policy_id"] == own
    used = site.api.admin.delete(f"{POLICIES}/{own}")
    assert site.api.fault(used) == (409, "QosPolicyInUse")
    assert f"router {site.router['id']}" in used[1]["NeutronError"]["message"]
    assert "qos_policy_id" not in gateway(site.api, site.router, network_id=on, qos_policy_id=None)
    assert site.api.admin.delete(f"{POLICIES}/{own}")[0] == 204


def test_a_router_may_begin_with_a_policy(api: Api) -> None:
    outside = api.admin.make("networks", **{"router:external": True})
    api.admin.make("subnets", network_id=outside["id"], ip_version=4, cidr="203.0.113.0/24")
    own = policy(api)
    made = api.make("routers", external_gateway_info={"network_id": outside["id"], "qos_policy_id": own})
    assert made["external_gateway_info"]["qos_policy_id"] == own
    assert api.show("routers", made["id"])["external_gateway_info"] == made["external_gateway_info"]
    assert gateway(api, made) == {}
    assert api.admin.delete(f"{POLICIES}/{own}")[0] == 204


def test_gateways_take_policies_that_are_seen(site: Site) -> None:  # noqa: F811
    info = {"network_id": site.outside["id"], "qos_policy_id": policy(site.api, "admin")}
    asked = site.api.put(f"routers/{site.router['id']}", {"router": {"external_gateway_info": info}})
    assert site.api.fault(asked) == (404, "QosPolicyNotFound")
    gateway(site.api.admin, site.router, **info)
    info["qos_policy_id"] = None  # type: ignore[assignment]
    asked = site.api.put(f"routers/{site.router['id']}", {"router": {"external_gateway_info": info}})
    assert site.api.fault(asked) == (403, "PolicyRemoveAuthorizationError")


# What hosts can honour.


def test_rule_types_are_those_of_the_backends(api: Api) -> None:
    host(api, "h1", LIMITS)
    host(api, "h2", {"dscp_marking": LIMITS["dscp_marking"]}, "other")
    host(api, "h3", None, "silent")

    def types(query: str = "") -> list[str]:
        return sorted(one["type"] for one in api.list("qos/rule-types", query))

    assert types() == ["dscp_marking"]
    assert types("all_supported=true") == ["bandwidth_limit", "dscp_marking"]
    assert types("all_rules=true") == sorted(qos.RULES)
    assert types("all_rules=false") == ["dscp_marking"]
    drivers = api.admin.get("qos/rule-types/dscp_marking")[1]["rule_type"]["drivers"]
    assert [one["name"] for one in drivers] == ["linux", "other"]
    assert api.admin.get("qos/rule-types/minimum_bandwidth")[1]["rule_type"]["drivers"] == []


def test_what_no_host_honours_is_refused(api: Api, net: str) -> None:
    minimum = policy(api, minimum_bandwidth={"min_kbps": 1})
    with_minimum = api.make("ports", network_id=net, qos_policy_id=minimum)
    host(api, "h1", LIMITS)
    asked = api.post("ports", {"port": {"network_id": net, "qos_policy_id": minimum}})
    assert api.fault(asked) == (409, "QosRuleNotSupported")
    port = api.make("ports", network_id=net)
    asked = api.put(f"ports/{port['id']}", {"port": {"qos_policy_id": minimum}})
    assert api.fault(asked) == (409, "QosRuleNotSupported")
    asked = api.put(f"networks/{net}", {"network": {"qos_policy_id": minimum}})
    assert api.fault(asked) == (409, "QosRuleNotSupportedByNetwork")
    assert api.fault(api.post("networks", {"network": {"qos_policy_id": minimum}})) == (
        409,
        "QosRuleNotSupportedByNetwork",
    )
    assert api.put(f"ports/{with_minimum['id']}", {"port": {"name": "x"}})[0] == 200
    host(api, "h2", qos.RULES, "other")
    assert api.put(f"ports/{port['id']}", {"port": {"qos_policy_id": minimum}})[0] == 200


def test_a_bound_port_has_what_its_host_honours(api: Api, net: str) -> None:
    host(api, "h1", LIMITS)
    host(api, "h2", qos.RULES, "other")
    good, bad = policy(api, bandwidth_limit={"max_kbps": 1}), policy(api, packet_rate_limit={"max_kpps": 1})
    port = api.admin.make("ports", project_id="p1", network_id=net, qos_policy_id=good, **{"binding:host_id": "h1"})
    assert port["binding:vif_type"] == "bridge"
    asked = api.put(f"ports/{port['id']}", {"port": {"qos_policy_id": bad}})
    assert api.fault(asked) == (409, "QosRuleNotSupported")
    assert api.fault(add(api.admin, good, "packet_rate_limit")) == (409, "QosRuleNotSupported")
    assert add(api.admin, good, "dscp_marking")[0] == 201
    asked = api.put(f"networks/{net}", {"network": {"qos_policy_id": bad}})
    assert asked[0] == 200, "the port has a policy of its own"
    asked = api.put(f"ports/{port['id']}", {"port": {"qos_policy_id": None}})
    assert api.fault(asked) == (409, "QosRuleNotSupported"), "it would follow its network's"


def test_a_host_that_cannot_does_not_bind(api: Api, net: str) -> None:
    host(api, "h1", LIMITS)
    host(api, "h2", qos.RULES, "other")
    port = api.make("ports", network_id=net, qos_policy_id=policy(api, packet_rate_limit={"max_kpps": 1}))
    body = api.admin.put(f"ports/{port['id']}", {"port": {"binding:host_id": "h1"}})[1]["port"]
    assert body["binding:vif_type"] == "binding_failed"
    assert body["status_reason"] == "host h1 cannot honour QoS rules of type packet_rate_limit"


def test_a_networks_ports_are_asked_too(api: Api, net: str) -> None:
    host(api, "h1", LIMITS)
    host(api, "h2", qos.RULES, "other")
    api.admin.make("ports", network_id=net, **{"binding:host_id": "h1"})
    asked = api.put(f"networks/{net}", {"network": {"qos_policy_id": policy(api, packet_rate_limit={"max_kpps": 1})}})
    assert api.fault(asked) == (409, "QosRuleNotSupported")


def test_ports_of_the_networks_own_do_not_follow_its_policy(api: Api, net: str) -> None:
    host(api, "h1", LIMITS)
    host(api, "h2", qos.RULES, "other")
    api.admin.make("ports", network_id=net, device_owner="network:dhcp", **{"binding:host_id": "h1"})
    own = policy(api, packet_rate_limit={"max_kpps": 1})
    assert api.put(f"networks/{net}", {"network": {"qos_policy_id": own}})[0] == 200


# Placement.


def test_a_port_asks_for_its_minimums(api: Api, net: str) -> None:
    own = policy(api, bandwidth_limit={"max_kbps": 9000})
    port = api.make("ports", network_id=net, qos_policy_id=own)
    assert "resource_request" not in port
    assert api.admin.show("ports", port["id"])["resource_request"] is None
    egress = added(api.admin, own, "minimum_bandwidth", min_kbps=1000)
    ingress = added(api.admin, own, "minimum_bandwidth", min_kbps=2000, direction="ingress")
    packets = added(api.admin, own, "minimum_packet_rate", min_kpps=500, direction="any")
    asked = api.admin.show("ports", port["id"])["resource_request"]
    bandwidth, rate = asked["request_groups"]
    assert bandwidth["required"] == ["CUSTOM_NETWORK_TUNNEL_PROVIDER", "CUSTOM_VNIC_TYPE_NORMAL"]
    assert bandwidth["resources"] == {"NET_BW_EGR_KILOBIT_PER_SEC": 1000, "NET_BW_IGR_KILOBIT_PER_SEC": 2000}
    assert bandwidth["id"] == str(uuid5(UUID(port["id"]), f"{egress['id']}:{ingress['id']}"))
    assert rate["id"] == str(uuid5(UUID(port["id"]), packets["id"]))
    assert (rate["required"], rate["resources"]) == (
        ["CUSTOM_VNIC_TYPE_NORMAL"],
        {"NET_PACKET_RATE_KILOPACKET_PER_SEC": 500},
    )
    assert asked["same_subtree"] == [bandwidth["id"], rate["id"]]
    (listed,) = api.admin.list("ports", f"id={port['id']}")
    assert listed["resource_request"] == asked
    updated = api.admin.put(f"ports/{port['id']}", {"port": {"qos_policy_id": None}})[1]["port"]
    assert updated["resource_request"] is None


def test_directions_of_packets_are_resources_of_their_own(api: Api, net: str) -> None:
    own = policy(api, minimum_packet_rate={"min_kpps": 1})
    added(api.admin, own, "minimum_packet_rate", min_kpps=2, direction="ingress")
    port = api.admin.make("ports", network_id=net, qos_policy_id=own, **{"binding:vnic_type": "direct"})
    (group,) = port["resource_request"]["request_groups"]
    assert group["required"] == ["CUSTOM_VNIC_TYPE_DIRECT"]
    assert group["resources"] == {
        "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC": 1,
        "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC": 2,
    }


def test_a_physical_network_is_a_trait_and_policies_are_inherited(api: Api) -> None:
    own = policy(api, "admin", minimum_bandwidth={"min_kbps": 1})
    flat = {"provider:network_type": "flat", "provider:physical_network": "physnet-1"}
    on = api.admin.make("networks", qos_policy_id=own, **flat)["id"]
    port = api.admin.make("ports", network_id=on)
    (group,) = port["resource_request"]["request_groups"]
    assert group["required"] == ["CUSTOM_PHYSNET_PHYSNET_1", "CUSTOM_VNIC_TYPE_NORMAL"]
    serving = api.admin.make("ports", network_id=on, device_owner="network:dhcp")
    assert serving["resource_request"] is None


def test_minimums_of_running_servers_stay(api: Api, net: str) -> None:
    host(api, "h1", None)
    own = policy(api, minimum_bandwidth={"min_kbps": 1000})
    (rule,) = api.show(POLICIES, own)["rules"]
    server = {"device_owner": "compute:nova", "binding:host_id": "h1"}
    port = api.admin.make("ports", project_id="p1", network_id=net, qos_policy_id=own, **server)
    path = f"{POLICIES}/{own}/minimum_bandwidth_rules/{rule['id']}"
    for answer in (
        api.admin.delete(path),
        api.admin.put(path, {"minimum_bandwidth_rule": {"direction": "ingress"}}),
        add(api.admin, own, "minimum_packet_rate"),
    ):
        assert (answer[0], list(answer[1])) == (501, ["NotImplementedError"])
    assert api.admin.put(path, {"minimum_bandwidth_rule": {"min_kbps": 2000}})[0] == 200
    assert api.admin.put(f"ports/{port['id']}", {"port": {"binding:host_id": ""}})[0] == 200
    assert api.admin.delete(path)[0] == 204


def test_ports_with_policies_are_listed_at_a_constant_cost(api: Api, net: str) -> None:
    def cost() -> int:
        with api.statements() as seen:
            api.admin.list("ports")
        return len(seen)

    api.make("ports", network_id=net, qos_policy_id=policy(api, minimum_bandwidth={"min_kbps": 1}))
    few = cost()
    for _ in range(5):
        api.make("ports", network_id=net, qos_policy_id=policy(api, minimum_bandwidth={"min_kbps": 1}))
    assert cost() == few
