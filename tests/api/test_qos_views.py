"""What a host is told of QoS: effective policies of ports, floating IPs and gateways, followed as they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_floatingips import Site, changed, site  # noqa: F401 - a fixture
from tests.api.test_qos_attachment import POLICIES, host, policy
from tests.api.test_qos_rules import added
from weft.logical.model import AddressQos, HostView, Key, Limit, Qos
from weft.reconcile.load import HostLoader
from weft.store import changes


class Host:
    """The loader of host h1, as its agent keeps it."""

    def __init__(self, api: Api) -> None:
        self._api, self._loader = api, HostLoader("h1", scheduled=False)
        api.inside(self._loader.load)
        self._sequence = api.inside(lambda tx: changes.last(tx.connection))

    def follow(self) -> set[Key]:
        """The keys that differ after what the change log says; the view is that of a host that begins now."""

        def work(tx: Any) -> set[Key]:
            found = changes.after(tx.connection, self._sequence)
            self._sequence = changes.last(tx.connection)
            return self._loader.refresh(tx, found)

        keys: set[Key] = self._api.inside(work)
        fresh = HostLoader("h1", scheduled=False)
        self._api.inside(fresh.load)
        assert fresh.view == self.view
        return keys

    @property
    def view(self) -> HostView:
        return self._loader.view


@pytest.fixture
def bound(api: Api) -> Callable[..., dict[str, Any]]:
    """Makes ports that are bound to h1."""
    host(api, "h1", None)

    def make(net: str, **more: Any) -> dict[str, Any]:
        return api.admin.make("ports", project_id="p1", network_id=net, **{"binding:host_id": "h1"}, **more)

    return make


def test_a_port_follows_its_own_policy_else_its_networks(api: Api, bound: Any) -> None:
    of_net = policy(api, dscp_marking={"dscp_mark": 8})
    own = policy(api, bandwidth_limit={"max_kbps": 5000, "max_burst_kbps": 100})
    net = api.make("networks", qos_policy_id=of_net)["id"]
    port, serving = bound(net), bound(net, device_owner="network:dhcp")
    here = Host(api)
    assert here.view.ports[port["id"]].qos == Qos(dscp=8)
    assert here.view.ports[serving["id"]].qos is None
    key = Key("port", port["id"])
    assert api.put(f"ports/{port['id']}", {"port": {"qos_policy_id": own}})[0] == 200
    assert here.follow() == {key}
    assert here.view.ports[port["id"]].qos == Qos(egress=Limit(5000, 100))
    rule = added(api.admin, own, "packet_rate_limit", max_kpps=3, direction="ingress")
    assert here.follow() == {key}
    assert here.view.ports[port["id"]].qos == Qos(egress=Limit(5000, 100), ingress_packets=Limit(3))
    assert api.admin.delete(f"{POLICIES}/{own}/packet_rate_limit_rules/{rule['id']}")[0] == 204
    assert here.follow() == {key}
    assert api.put(f"ports/{port['id']}", {"port": {"qos_policy_id": None}})[0] == 200
    assert here.follow() == {key}
    assert here.view.ports[port["id"]].qos == Qos(dscp=8)
    assert api.put(f"networks/{net}", {"network": {"qos_policy_id": None}})[0] == 200
    assert here.follow() == {key}
    assert here.view.ports[port["id"]].qos is None


def test_limits_of_nothing_and_minimums_of_what_comes_in_are_no_matter_of_the_host(api: Api, bound: Any) -> None:
    minimum = policy(api, minimum_bandwidth={"min_kbps": 5, "direction": "ingress"})
    nothing = policy(api, bandwidth_limit={"max_kbps": 0, "direction": "ingress"})
    for one in (minimum, nothing):
        port = bound(api.make("networks")["id"], qos_policy_id=one)
        assert Host(api).view.ports[port["id"]].qos is None


def test_a_minimum_of_what_goes_out_is_told_to_the_host(api: Api, bound: Any) -> None:
    port = bound(api.make("networks")["id"], qos_policy_id=policy(api, minimum_bandwidth={"min_kbps": 5}))
    assert Host(api).view.ports[port["id"]].qos == Qos(minimum=5)


def test_a_policy_that_nobody_follows_moves_nothing(api: Api, bound: Any) -> None:
    port = bound(api.make("networks")["id"], qos_policy_id=policy(api, dscp_marking={"dscp_mark": 8}))
    here, other = Host(api), policy(api)
    added(api.admin, other, "bandwidth_limit")
    assert here.follow() == set()
    assert api.delete(f"ports/{port['id']}")[0] == 204
    assert Key("port", port["id"]) in here.follow()


def test_routers_follow_the_policies_of_their_external_addresses(site: Site) -> None:  # noqa: F811
    api = site.api
    mine, outer = policy(api, bandwidth_limit={"max_kbps": 1}), policy(api, "admin", bandwidth_limit={"max_kbps": 2})
    here, key = Host(api), Key("router", site.router["id"])
    fip = site.fip(port_id=site.port()["id"], qos_policy_id=mine)
    (own,) = (one["ip_address"] for one in site.router["external_gateway_info"]["external_fixed_ips"])
    assert key in here.follow()
    first, second = Qos(egress=Limit(1)), Qos(egress=Limit(2))
    assert here.view.routers[key.id].qos == (AddressQos(fip["floating_ip_address"], first),)
    assert api.admin.put(f"networks/{site.outside['id']}", {"network": {"qos_policy_id": outer}})[0] == 200
    assert key in here.follow()
    address = fip["floating_ip_address"]
    assert set(here.view.routers[key.id].qos) == {AddressQos(address, first), AddressQos(own, second)}
    changed(api, fip, qos_policy_id=None)
    assert here.follow() == {key}
    assert set(here.view.routers[key.id].qos) == {AddressQos(address, second), AddressQos(own, second)}
    info = {"network_id": site.outside["id"], "qos_policy_id": mine}
    assert api.put(f"routers/{key.id}", {"router": {"external_gateway_info": info}})[0] == 200
    assert here.follow() == {key}
    assert set(here.view.routers[key.id].qos) == {AddressQos(address, second), AddressQos(own, first)}
    added(api.admin, mine, "bandwidth_limit", max_kbps=9, direction="ingress")
    assert here.follow() == {key}
    assert AddressQos(own, Qos(egress=Limit(1), ingress=Limit(9))) in here.view.routers[key.id].qos
