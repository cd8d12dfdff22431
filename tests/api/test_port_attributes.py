"""What extensions let people say about ports and networks; the rules stand in behaviours sections 4 and 23 of the facts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_port_bindings import bind_host

REFUSED = (403, "PolicyNotAuthorized")
BAD = (400, "HTTPBadRequest")


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    """An installation whose dataplane can everything, and that offers what has to be asked for."""
    return {"api": {"backend": "everything", "vlan_transparent": True, "vlan_qinq": True}}


@pytest.fixture
def network(api: Api) -> str:
    return str(api.make("networks")["id"])


@pytest.fixture
def private(api: Api) -> str:
    """A network that is a private VLAN."""
    return str(api.make("networks", pvlan=True)["id"])


@pytest.fixture
def port(api: Api, network: str) -> str:
    return str(api.make("ports", network_id=network)["id"])


@pytest.fixture
def service(api: Api) -> Api:
    for name in ("h1", "h2"):
        bind_host(api, name)
    return api.as_("nova", "service")


def put(api: Api, id: str, **values: Any) -> Any:
    return api.put(f"ports/{id}", {"port": values})


def post(api: Api, **values: Any) -> Any:
    return api.post("ports", {"port": values})


def changed(api: Api, id: str, **values: Any) -> dict[str, Any]:
    status, body = put(api, id, **values)
    assert status == 200, body
    assert body["port"] == api.show("ports", id)
    return dict(body["port"])


def test_defaults(api: Api, network: str) -> None:
    made = api.admin.make("ports", network_id=network)
    for name in ("data_plane_status", "device_profile", "hardware_offload_type", "hints", "numa_affinity_policy"):
        assert made[name] is None
    assert (made["trusted"], made["propagate_uplink_status"]) == (None, True)
    assert (made["pvlan_type"], made["pvlan_community"]) == (None, None)
    assert made == api.admin.show("ports", made["id"])


@pytest.mark.parametrize(
    "alias",
    [
        "data-plane-status",
        "port-device-profile",
        "port-hardware-offload-type",
        "port-hint-ovs-tx-steering",
        "port-hints",
        "port-mac-override",
        "port-numa-affinity-policy",
        "port-numa-affinity-policy-socket",
        "port-security-groups-filtering",
        "port-trusted-vif",
        "pvlan",
        "qinq",
        "tag-ports-during-bulk-creation",
        "uplink-status-propagation",
        "uplink-status-propagation-updatable",
        "vlan-transparent",
    ],
)
def test_extensions_are_listed(api: Api, alias: str) -> None:
    assert api.get(f"extensions/{alias}")[0] == 200


@pytest.mark.parametrize("backend", ["linux", "ovn"])
class TestHintsThatNobodyHeeds:
    @pytest.fixture
    def options(self, backend: str) -> dict[str, dict[str, Any]]:
        return {"api": {"backends": [backend]}}

    def test_are_not_taken(self, api: Api, network: str) -> None:
        assert not {"port-hints", "port-hint-ovs-tx-steering"} & {row["alias"] for row in api.list("extensions")}
        status, body = post(api.admin, network_id=network, hints=STEERING)
        assert status == 400 and "'hints'" in body["NeutronError"]["message"]
        assert "hints" not in api.admin.make("ports", network_id=network)


# data_plane_status


def test_data_plane_status_is_told_by_who_watches_the_data_plane(api: Api, port: str) -> None:
    watcher = api.as_("p1", "member,reader,data_plane_integrator")
    assert changed(watcher, port, data_plane_status="DOWN")["data_plane_status"] == "DOWN"
    assert changed(api.admin, port, data_plane_status="ACTIVE")["data_plane_status"] == "ACTIVE"
    assert changed(watcher, port, data_plane_status=None)["data_plane_status"] is None
    assert api.fault(put(api, port, data_plane_status="DOWN")) == REFUSED
    assert api.fault(put(watcher, port, data_plane_status="X")) == BAD


def test_data_plane_status_is_not_for_new_ports(api: Api, network: str) -> None:
    assert api.fault(post(api.admin, network_id=network, data_plane_status="ACTIVE")) == BAD


# hints, numa_affinity_policy, device_profile, propagate_uplink_status

STEERING = {"openvswitch": {"other_config": {"tx-steering": "hash"}}}


def test_hints_are_the_administrators(api: Api, network: str, port: str) -> None:
    assert changed(api.admin, port, hints=STEERING)["hints"] == STEERING
    assert "hints" not in api.show("ports", port)
    assert api.fault(put(api, port, hints=STEERING)) == REFUSED
    assert api.fault(post(api, network_id=network, hints=STEERING)) == REFUSED
    assert post(api.admin, network_id=network, hints=STEERING)[1]["port"]["hints"] == STEERING
    assert changed(api.admin, port, hints=None)["hints"] is None


@pytest.mark.parametrize(
    "hints",
    [
        {"foo": 1},
        {"openvswitch": {"foo": 1}},
        {"openvswitch": {"other_config": {"foo": 1}}},
        {"openvswitch": {"other_config": {"tx-steering": "much"}}},
        [],
    ],
)
def test_hints_that_nobody_knows(api: Api, port: str, hints: Any) -> None:
    assert api.fault(put(api.admin, port, hints=hints)) == BAD


def test_numa_policy_of_a_bound_port_stays(api: Api, service: Api, port: str) -> None:
    for policy in ("required", "preferred", "legacy", "socket", None, "required"):
        assert changed(api, port, numa_affinity_policy=policy)["numa_affinity_policy"] == policy
    put(service, port, **{"binding:host_id": "h1"})
    answer = put(api, port, numa_affinity_policy="preferred")
    assert api.fault(answer) == (409, "PortBoundNUMAAffinityPolicy")
    assert "h1" in answer[1]["NeutronError"]["message"]
    assert changed(api, port, numa_affinity_policy="required")["numa_affinity_policy"] == "required"
    assert api.fault(put(api, port, numa_affinity_policy="x")) == BAD


def test_device_profile_is_chosen_once(api: Api, network: str) -> None:
    made = api.make("ports", network_id=network, device_profile="fpga")
    assert made["device_profile"] == api.show("ports", made["id"])["device_profile"] == "fpga"
    assert api.fault(put(api, made["id"], device_profile="gpu")) == BAD


def test_uplink_status_propagation(api: Api, network: str, port: str) -> None:
    assert changed(api, port, propagate_uplink_status=False)["propagate_uplink_status"] is False
    assert api.make("ports", network_id=network, propagate_uplink_status="0")["propagate_uplink_status"] is False
    assert api.fault(put(api, port, propagate_uplink_status="x")) == (400, "InvalidInput")


# What hypervisors read in binding:profile


def test_hardware_offload_shows_in_the_profile(api: Api, service: Api, network: str) -> None:
    made = api.make("ports", network_id=network, hardware_offload_type="switchdev")
    assert made["hardware_offload_type"] == "switchdev"
    row = api.admin.show("ports", made["id"])
    assert row["binding:profile"] == {"capabilities": ["switchdev"]}
    kept = changed(service, made["id"], **{"binding:profile": {"capabilities": ["fast"], "a": 1}})
    assert kept["binding:profile"] == {"capabilities": ["fast", "switchdev"], "a": 1}
    assert changed(service, made["id"], **{"binding:profile": None})["binding:profile"] == {
        "capabilities": ["switchdev"]
    }
    assert api.fault(put(api, made["id"], hardware_offload_type="switchdev")) == BAD
    assert api.fault(post(api, network_id=network, hardware_offload_type="x")) == BAD


def test_trust_is_the_administrators_and_shows_in_the_profile(api: Api, service: Api, network: str, port: str) -> None:
    row = changed(api.admin, port, trusted=True)
    assert (row["trusted"], row["binding:profile"]) == (True, {"trusted": True})
    row = changed(api.admin, port, trusted="false")
    assert (row["trusted"], row["binding:profile"]) == (False, {"trusted": False})
    assert changed(service, port, **{"binding:profile": {"a": 1}})["binding:profile"] == {"a": 1, "trusted": False}
    assert "trusted" not in api.show("ports", port)
    assert api.fault(put(api, port, trusted=True)) == REFUSED
    assert api.fault(post(api, network_id=network, trusted=True)) == REFUSED
    assert api.fault(put(api.admin, port, trusted="perhaps")) == (400, "InvalidInput")


def test_trust_moves_with_the_port(api: Api, service: Api, network: str) -> None:
    owned = {"device_owner": "compute:nova", "trusted": True, "binding:host_id": "h1"}
    made = api.admin.make("ports", network_id=network, **owned)["id"]
    service.post(f"ports/{made}/bindings", {"binding": {"host": "h2"}})
    assert service.request("PUT", f"ports/{made}/bindings/h2/activate")[0] == 200
    row = api.admin.show("ports", made)
    assert (row["binding:host_id"], row["binding:profile"]) == ("h2", {"trusted": True})


# port-mac-override

DEVICE = "52:54:00:00:00:07"


@pytest.fixture
def physical(api: Api, network: str) -> dict[str, Any]:
    owned = {"device_owner": "compute:nova", "device_id": "vm"}
    return api.make("ports", network_id=network, **{"binding:vnic_type": "direct-physical"}, **owned)


def test_a_port_has_the_address_of_its_physical_device(api: Api, service: Api, physical: dict[str, Any]) -> None:
    bound = {"binding:host_id": "h1", "binding:profile": {"device_mac_address": "52-54-00-00-00-07"}}
    assert changed(service, physical["id"], **bound)["mac_address"] == DEVICE
    freed = changed(service, physical["id"], device_id="", device_owner="", **{"binding:host_id": ""})
    assert freed["mac_address"] not in (DEVICE, physical["mac_address"])
    assert freed["mac_address"].startswith("fa:16:3e:")


def test_without_a_device_the_address_is_generated_again(api: Api, service: Api, physical: dict[str, Any]) -> None:
    bound = {"binding:host_id": "h1", "binding:profile": {"device_mac_address": DEVICE}}
    changed(service, physical["id"], **bound)
    assert changed(service, physical["id"], **{"binding:profile": {}})["mac_address"].startswith("fa:16:3e:")


def test_a_new_port_with_its_device(api: Api, service: Api, network: str) -> None:
    values = {"binding:vnic_type": "direct-physical", "binding:host_id": "h1"}
    profile = {"binding:profile": {"device_mac_address": DEVICE}}
    assert service.make("ports", network_id=network, **values, **profile)["mac_address"] == DEVICE
    assert api.fault(post(service, network_id=network, **values, **profile)) == (409, "MacAddressInUse")
    profile = {"binding:profile": {"device_mac_address": "nonsense"}}
    assert api.fault(post(service, network_id=network, **values, **profile)) == BAD


def test_other_ports_keep_their_addresses(api: Api, service: Api, port: str) -> None:
    mac = api.show("ports", port)["mac_address"]
    bound = {"binding:host_id": "h1", "binding:profile": {"device_mac_address": DEVICE}}
    assert changed(service, port, **bound)["mac_address"] == mac


# Tags at once, filters


def test_tags_with_many_ports_at_once(api: Api, network: str) -> None:
    ports = [{"network_id": network, "tags": ["a", "b"]}, {"network_id": network}]
    status, body = api.post("ports", {"ports": ports})
    assert (status, [sorted(one["tags"]) for one in body["ports"]]) == (201, [["a", "b"], []])
    assert [one["id"] for one in api.list("ports", "tags=a,b")] == [body["ports"][0]["id"]]
    answer = post(api, network_id=network, tags=["a", "a"])
    assert api.fault(answer)[0] == 400
    assert api.fault(post(api, network_id=network, tags=["x" * 256]))[0] == 400


def test_ports_by_security_group(api: Api, network: str) -> None:
    group = api.make("security-groups", name="web")["id"]
    inside = api.make("ports", network_id=network, security_groups=[group])["id"]
    api.make("ports", network_id=network)
    assert [one["id"] for one in api.list("ports", f"security_groups={group}")] == [inside]


# Private VLANs


def test_a_private_vlan_gives_every_port_a_part(api: Api, network: str, private: str) -> None:
    assert api.show("networks", private)["pvlan"] is True
    assert api.show("networks", network)["pvlan"] is False
    made = api.make("ports", network_id=private)
    assert (made["pvlan_type"], made["pvlan_community"]) == ("promiscuous", None)
    alone = api.make("ports", network_id=private, pvlan_type="isolated")
    assert alone == api.show("ports", alone["id"])
    row = changed(api, alone["id"], pvlan_type="community", pvlan_community="blue")
    assert (row["pvlan_type"], row["pvlan_community"]) == ("community", "blue")
    assert changed(api, alone["id"], pvlan_community="green")["pvlan_community"] == "green"
    assert changed(api, alone["id"], name="x")["pvlan_community"] == "green"
    row = changed(api, alone["id"], pvlan_type="isolated")
    assert (row["pvlan_type"], row["pvlan_community"]) == ("isolated", None)
    assert changed(api, alone["id"], pvlan_type=None)["pvlan_type"] == "promiscuous"
    assert [one["id"] for one in api.list("ports", "pvlan_type=isolated")] == []
    assert len(api.list("ports", "pvlan_type=promiscuous")) == 2


def test_switching_a_network_gives_and_takes(api: Api, network: str, port: str) -> None:
    revision = api.show("ports", port)["revision_number"]
    assert api.put(f"networks/{network}", {"network": {"pvlan": True}})[0] == 200
    row = api.show("ports", port)
    assert (row["pvlan_type"], row["revision_number"]) == ("promiscuous", revision + 1)
    changed(api, port, pvlan_type="community", pvlan_community="blue")
    assert api.put(f"networks/{network}", {"network": {"pvlan": False}})[0] == 200
    row = api.show("ports", port)
    assert (row["pvlan_type"], row["pvlan_community"]) == (None, None)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"pvlan_type": "community"}, "PVLANCommunityNameRequired"),
        ({"pvlan_type": "isolated", "pvlan_community": "blue"}, "PVLANCannotSetCommunityName"),
        ({"pvlan_community": "blue"}, "PVLANCannotSetCommunityName"),
        ({"port_security_enabled": False, "security_groups": []}, "PVLANPortSecurityDisabled"),
        ({"pvlan_type": "lonely"}, "HTTPBadRequest"),
        ({"pvlan_type": "community", "pvlan_community": "no spaces"}, "HTTPBadRequest"),
    ],
)
def test_what_a_private_vlan_refuses(api: Api, private: str, values: dict[str, Any], fault: str) -> None:
    assert api.fault(post(api, network_id=private, **values)) == (400, fault)
    made = api.make("ports", network_id=private)["id"]
    assert api.fault(put(api, made, **values)) == (400, fault)
    row = api.show("ports", made)
    assert (row["pvlan_type"], row["port_security_enabled"]) == ("promiscuous", True)


@pytest.mark.parametrize("values", [{"pvlan_type": "isolated"}, {"pvlan_community": "blue"}])
def test_other_networks_have_no_parts(api: Api, network: str, port: str, values: dict[str, Any]) -> None:
    assert api.fault(post(api, network_id=network, **values)) == (400, "PVLANNotEnabledOnNetwork")
    assert api.fault(put(api, port, **values)) == (400, "PVLANNotEnabledOnNetwork")


def test_a_private_vlan_needs_port_security(api: Api, network: str) -> None:
    off = {"port_security_enabled": False}
    refused = (400, "PVLANNetworkPortSecurityDisabled")
    assert api.fault(api.post("networks", {"network": {"pvlan": True, **off}})) == refused
    unsafe = api.make("networks", **off)["id"]
    assert api.fault(api.put(f"networks/{unsafe}", {"network": {"pvlan": True}})) == refused
    private = api.make("networks", pvlan=True)["id"]
    assert api.fault(api.put(f"networks/{private}", {"network": off})) == refused
    open_port = api.make("ports", network_id=network, **off)["id"]
    answer = api.put(f"networks/{network}", {"network": {"pvlan": True}})
    assert api.fault(answer) == (400, "PVLANPortSecurityDisabled")
    assert open_port in answer[1]["NeutronError"]["message"]
    assert api.show("networks", network)["pvlan"] is False


def test_the_networks_own_ports_are_exempt(api: Api, private: str) -> None:
    made = api.admin.make("ports", network_id=private, device_owner="network:dhcp")
    assert (made["port_security_enabled"], made["pvlan_type"]) == (False, "promiscuous")


# Tags of the workloads' own


def test_vlan_transparent_and_qinq(api: Api, network: str) -> None:
    row = api.show("networks", network)
    assert (row["vlan_transparent"], row["qinq"]) == (None, None)
    assert api.make("networks", vlan_transparent=True)["vlan_transparent"] is True
    made = api.make("networks", qinq="true")
    assert made["qinq"] is api.show("networks", made["id"])["qinq"] is True
    assert [one["id"] for one in api.list("networks", "qinq=true")] == [made["id"]]
    both = {"network": {"vlan_transparent": True, "qinq": True}}
    assert api.fault(api.post("networks", both)) == (400, "BadRequest")
    assert api.fault(api.put(f"networks/{network}", {"network": {"qinq": True}})) == BAD
    assert api.fault(api.put(f"networks/{network}", {"network": {"vlan_transparent": True}})) == BAD


def test_lists_cost_the_same_at_any_length(api: Api, network: str) -> None:
    def cost() -> int:
        with api.statements() as seen:
            api.admin.list("ports")
        return len(seen)

    def more(count: int) -> None:
        ports = [{"network_id": network, "trusted": True, "hints": STEERING} for _ in range(count)]
        assert api.admin.post("ports", {"ports": ports})[0] == 201

    more(10)
    few = cost()
    more(190)
    assert len(api.admin.list("ports")) == 200
    assert cost() == few


class TestWhatIsNotOffered:
    """An installation on Linux bridges that asks for nothing."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"backend": "linux"}}

    @pytest.mark.parametrize("alias", ["qinq", "vlan-transparent", "port-hint-ovs-tx-steering"])
    def test_it_is_not_listed(self, api: Api, alias: str) -> None:
        assert api.get(f"extensions/{alias}")[0] == 404

    def test_clients_do_not_know_the_attributes(self, api: Api, network: str) -> None:
        assert not {"vlan_transparent", "qinq"} & api.show("networks", network).keys()
        for name in ("vlan_transparent", "qinq"):
            answer = api.post("networks", {"network": {name: True}})
            assert api.fault(answer) == BAD
            assert "Unrecognized attribute(s)" in answer[1]["NeutronError"]["message"]
            assert api.fault(api.get(f"networks?{name}=true")) == BAD


class TestWhatTheDataplaneCannot:
    """Offered since somebody configured it, and refused since Linux bridges cannot."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"backends": ["linux"], "vlan_transparent": True, "vlan_qinq": True}}

    def test_it_says_so(self, api: Api) -> None:
        answer = api.post("networks", {"network": {"vlan_transparent": True}})
        assert api.fault(answer) == (400, "VlanTransparencyDriverError")
        assert api.fault(api.post("networks", {"network": {"qinq": True}})) == (400, "VlanQinqDriverError")
        assert api.make("networks", vlan_transparent=False)["vlan_transparent"] is False
