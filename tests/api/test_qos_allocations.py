"""Minimums of running servers change: Placement allocates accordingly, or the change is refused. Behaviours section 19."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Answer, Api
from tests.api.placement_server import PlacementServer
from tests.api.test_qos_attachment import POLICIES, host, policy
from tests.api.test_qos_rules import KINDS, added
from weft.store.engine import unavailable
from weft.store.transaction import Transaction

EGRESS, INGRESS = "NET_BW_EGR_KILOBIT_PER_SEC", "NET_BW_IGR_KILOBIT_PER_SEC"
PACKETS = "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC"
CONFLICT = (409, "QosPlacementAllocationUpdateConflict")


@pytest.fixture
def placement() -> Iterator[PlacementServer]:
    made = PlacementServer()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def options(placement: PlacementServer) -> dict[str, dict[str, Any]]:
    section = {"auth_url": f"{placement.url}/v3", "username": "weft", "password": "secret", "timeout": 1}
    return {"placement": section, "ml2": {"project_network_types": ("vxlan",)}}


class Cloud:
    """A host with 10,000 kbit/s each way, and what Nova does: it has servers there, with ports."""

    def __init__(self, api: Api, placement: PlacementServer) -> None:
        self.api, self.placement = api, placement
        self.nova = api.as_("service", "service,admin,member,reader")
        host(api, "h1", None)
        self.net = str(api.make("networks")["id"])
        self.machine, self.device = placement.add("h1")["uuid"], placement.add("h1: a device")["uuid"]
        placement.providers[self.machine]["inventories"] = {"VCPU": {"total": 100}}
        placement.providers[self.device]["inventories"] = {
            name: {"total": 10000} for name in (EGRESS, INGRESS, PACKETS)
        }

    def server(self) -> str:
        id = str(uuid4())
        self.placement.allocate(id, self.machine, {"VCPU": 2})
        return id

    def port(self, server: str, qos_policy: str | None, network: str = "", **more: Any) -> dict[str, Any]:
        """Nova sees what a port asks for, allocates it on the host that it chooses, and binds the port there."""
        on = {"network_id": network or self.net, "device_id": server, "device_owner": "compute:nova"}
        made = self.api.admin.make("ports", project_id="p1", qos_policy_id=qos_policy, **on, **more)
        groups = (made["resource_request"] or {"request_groups": []})["request_groups"]
        for group in groups:
            self.placement.allocate(server, self.device, group["resources"])
        profile = {"allocation": {group["id"]: self.device for group in groups}, "kept": "yes"}
        said = {"binding:host_id": "h1", "binding:profile": profile}
        status, body = self.nova.put(f"ports/{made['id']}", {"port": said})
        assert (status, body["port"]["binding:vif_type"]) == (200, "bridge"), body
        return dict(body["port"])

    def held(self, server: str) -> dict[str, int]:
        """What Placement allocates to the server on the device; what it has of the machine is never touched."""
        found = self.placement.consumers[server]
        assert found["allocations"][self.machine] == {"resources": {"VCPU": 2}}
        assert (found["project_id"], found["user_id"]) == ("a project", "a user")
        return dict(found["allocations"].get(self.device, {"resources": {}})["resources"])

    def rule(self, of: str, kind: str = "minimum_bandwidth") -> str:
        (found,) = [rule for rule in self.api.show(POLICIES, of)["rules"] if rule["type"] == kind]
        return f"{POLICIES}/{of}/{KINDS[kind][0]}/{found['id']}"

    def set(self, of: str, least: int, query: str = "") -> Answer:
        """Change the one minimum of bandwidth of a policy."""
        return self.api.admin.put(self.rule(of) + query, {"minimum_bandwidth_rule": {"min_kbps": least}})

    def value(self, of: str) -> int:
        return int(self.api.admin.get(self.rule(of))[1]["minimum_bandwidth_rule"]["min_kbps"])

    def follow(self, port: dict[str, Any], **said: Any) -> Answer:
        return self.nova.put(f"ports/{port['id']}", {"port": said})

    def groups(self, port: dict[str, Any]) -> set[str]:
        """What the port asks for now, by ids."""
        asked = self.api.admin.show("ports", port["id"])["resource_request"]
        return {group["id"] for group in asked["request_groups"]} if asked else set()

    def granted(self, port: dict[str, Any]) -> dict[str, str]:
        profile = self.api.admin.show("ports", port["id"])["binding:profile"]
        assert profile.pop("kept") == "yes"
        return dict(profile.pop("allocation", {}))


@pytest.fixture
def cloud(api: Api, placement: PlacementServer) -> Cloud:
    return Cloud(api, placement)


def least(cloud: Cloud, amount: int = 1000) -> str:
    return policy(cloud.api, minimum_bandwidth={"min_kbps": amount})


# Values.


def test_a_value_goes_up_and_down(cloud: Cloud) -> None:
    own, server = least(cloud), cloud.server()
    port = cloud.port(server, own)
    assert cloud.held(server) == {EGRESS: 1000}
    for amount in (2000, 500):
        assert cloud.set(own, amount)[0] == 200
        assert (cloud.value(own), cloud.held(server)) == (amount, {EGRESS: amount})
    assert cloud.set(own, 500)[0] == 200
    assert cloud.placement.written == 2, "nothing was different the third time"
    alias = f"qos/alias-minimum-bandwidth-rules/{cloud.rule(own).rpartition('/')[2]}"
    assert cloud.api.admin.put(alias, {"alias_minimum_bandwidth_rule": {"min_kbps": 700}})[0] == 200
    assert cloud.held(server) == {EGRESS: 700}
    assert cloud.granted(port) == dict.fromkeys(cloud.groups(port), cloud.device)
    before = cloud.api.show(POLICIES, own)["revision_number"]
    assert cloud.set(own, 800)[0] == 200
    assert cloud.api.show(POLICIES, own)["revision_number"] == before + 1, "told between two tries, done once"


def test_down_to_nothing_and_up_again(cloud: Cloud) -> None:
    own, server = least(cloud), cloud.server()
    cloud.port(server, own)
    assert cloud.set(own, 0)[0] == 200
    assert cloud.placement.consumers[server]["allocations"].keys() == {cloud.machine}
    assert cloud.set(own, 300)[0] == 200
    assert cloud.held(server) == {EGRESS: 300}


def test_packets_and_both_directions_are_amounts_of_their_own(cloud: Cloud) -> None:
    own, server = policy(cloud.api, minimum_packet_rate={"min_kpps": 5}), cloud.server()
    added(cloud.api.admin, own, "minimum_bandwidth", min_kbps=100, direction="ingress")
    cloud.port(server, own)
    path = cloud.rule(own, "minimum_packet_rate")
    assert cloud.api.admin.put(path, {"minimum_packet_rate_rule": {"min_kpps": 9}})[0] == 200
    assert cloud.held(server) == {INGRESS: 100, PACKETS: 9}
    assert cloud.set(own, 200)[0] == 200
    assert cloud.held(server) == {INGRESS: 200, PACKETS: 9}


def test_all_ports_of_all_servers_at_once(cloud: Cloud) -> None:
    """One by itself and by its network, another by its own: what their ports ask for adds up, beside what others ask for."""
    own, other, one, two = least(cloud), least(cloud, 10), cloud.server(), cloud.server()
    inheriting = cloud.api.admin.make("networks", qos_policy_id=own)["id"]
    cloud.port(one, own)
    cloud.port(one, None, inheriting)
    cloud.port(one, other)
    cloud.port(two, own)
    assert cloud.set(own, 1500)[0] == 200
    assert (cloud.held(one), cloud.held(two)) == ({EGRESS: 3010}, {EGRESS: 1500})
    assert cloud.placement.written == 1


def test_who_holds_nothing_is_left_alone(cloud: Cloud) -> None:
    """Ports that are bound nowhere, are no server's, or for which Nova has not said what was granted."""
    own, server = least(cloud), cloud.server()
    cloud.follow(cloud.port(server, own), **{"binding:host_id": ""})
    on = {"network_id": cloud.net, "qos_policy_id": own, "binding:host_id": "h1"}
    cloud.api.admin.make("ports", device_owner="compute:nova", device_id=server, **on)
    cloud.follow(cloud.port(server, own), device_id="a name")
    cloud.follow(cloud.port(server, own), device_owner="baremetal:none")
    cloud.follow(cloud.port(server, own), **{"binding:profile": {"allocation": "a text"}})
    cloud.follow(cloud.port(server, own), **{"binding:profile": {"allocation": {"another group": cloud.device}}})
    assert cloud.set(own, 2000)[0] == 200
    assert (cloud.held(server), cloud.placement.written) == ({EGRESS: 5000}, 0)


# Refusals.


def test_what_exceeds_the_capacity_is_refused_for_all(cloud: Cloud) -> None:
    own, one, two = least(cloud), cloud.server(), cloud.server()
    cloud.port(one, own)
    cloud.port(two, own)
    before = cloud.api.show(POLICIES, own)
    answer = cloud.set(own, 5001)
    assert cloud.api.fault(answer) == CONFLICT
    message = answer[1]["NeutronError"]["message"]
    assert one in message and two in message and f"{EGRESS} +4001" in message and "capacity" in message
    assert cloud.api.show(POLICIES, own) == before
    assert (cloud.held(one), cloud.held(two)) == ({EGRESS: 1000}, {EGRESS: 1000})
    assert cloud.set(own, 5000)[0] == 200


def test_a_server_that_has_moved_in_placement_is_not_given_more_where_it_was(cloud: Cloud) -> None:
    own, server = least(cloud), cloud.server()
    cloud.port(server, own)
    del cloud.placement.consumers[server]["allocations"][cloud.device]
    assert cloud.api.fault(cloud.set(own, 2000)) == CONFLICT
    assert (cloud.held(server), cloud.value(own)) == ({}, 1000)
    del cloud.placement.consumers[server]
    assert cloud.api.fault(cloud.set(own, 500)) == CONFLICT


@pytest.mark.parametrize("how", ["answers 503", "is not there", "says nothing"])
def test_without_placement_minimums_do_not_change(cloud: Cloud, how: str) -> None:
    own, server, release = least(cloud), cloud.server(), threading.Event()
    port = cloud.port(server, own)
    if how == "says nothing":
        cloud.placement.meanwhile += [release.wait, release.wait]
    elif how == "answers 503":
        cloud.placement.refuse = True
    else:
        cloud.placement.stop()
    try:
        for amount in (2000, 500):
            answer = cloud.set(own, amount)
            assert cloud.api.fault(answer) == CONFLICT
            assert "Placement did not do it" in answer[1]["NeutronError"]["message"]
            assert cloud.value(own) == 1000
        if how != "says nothing":
            assert cloud.api.fault(cloud.follow(port, qos_policy_id=None)) == CONFLICT
            assert cloud.api.show("ports", port["id"])["qos_policy_id"] == own
        assert cloud.follow(port, name="x")[0] == 200
    finally:
        release.set()


def test_others_may_be_quicker_for_a_while(cloud: Cloud) -> None:
    own, server = least(cloud), cloud.server()
    cloud.port(server, own)

    def another() -> None:
        cloud.placement.allocate(server, cloud.device, {INGRESS: 1})

    cloud.placement.meanwhile += [another] * 3
    assert cloud.set(own, 2000)[0] == 200
    assert cloud.held(server) == {EGRESS: 2000, INGRESS: 3}
    cloud.placement.meanwhile += [another] * 5
    assert cloud.api.fault(cloud.set(own, 3000)) == CONFLICT
    assert (cloud.held(server), cloud.value(own)) == ({EGRESS: 2000, INGRESS: 8}, 2000)


# Another policy.


def test_a_running_port_gets_another_policy(cloud: Cloud) -> None:
    own, server = least(cloud), cloud.server()
    more = policy(cloud.api, minimum_bandwidth={"min_kbps": 4000})
    added(cloud.api.admin, more, "minimum_bandwidth", min_kbps=50, direction="ingress")
    port = cloud.port(server, own)
    cloud.port(server, own)
    changed = cloud.follow(port, qos_policy_id=more)[1]["port"]
    assert cloud.held(server) == {EGRESS: 5000, INGRESS: 50}
    assert changed["binding:vif_type"] == "bridge" and changed["binding:host_id"] == "h1"
    assert changed["revision_number"] == port["revision_number"] + 1
    assert cloud.granted(port) == dict.fromkeys(cloud.groups(port), cloud.device), "Nova finds its groups by these"
    assert cloud.set(own, 100)[0] == 200
    assert cloud.held(server) == {EGRESS: 4100, INGRESS: 50}
    refused = cloud.follow(port, qos_policy_id=least(cloud, 10000))
    assert cloud.api.fault(refused) == CONFLICT
    shown = cloud.api.admin.show("ports", port["id"])
    assert (shown["qos_policy_id"], cloud.granted(port).keys()) == (more, cloud.groups(port))
    assert cloud.follow(port, qos_policy_id=None)[0] == 200
    assert (cloud.held(server), cloud.granted(port), cloud.groups(port)) == ({EGRESS: 100}, {}, set())


def test_what_was_never_granted_is_not_asked_for(cloud: Cloud) -> None:
    """A port without minimums has no device that could give one; it keeps within what the dataplane does."""
    plain, server = policy(cloud.api, bandwidth_limit={"max_kbps": 9000}), cloud.server()
    port = cloud.port(server, plain)
    assert cloud.follow(port, qos_policy_id=least(cloud))[0] == 200
    assert (cloud.placement.written, cloud.granted(port)) == (0, {})


@pytest.mark.parametrize("said", [{"device_id": ""}, {"binding:host_id": ""}, {"binding:profile": {}}])
def test_who_moves_a_port_in_the_same_request_says_himself_what_it_holds(cloud: Cloud, said: dict[str, Any]) -> None:
    own, server = least(cloud), cloud.server()
    port = cloud.port(server, own)
    assert cloud.follow(port, qos_policy_id=None, **said)[0] == 200
    assert (cloud.held(server), cloud.placement.written) == ({EGRESS: 1000}, 0)


def test_a_network_gets_another_policy(cloud: Cloud) -> None:
    own, other, server = least(cloud), least(cloud, 300), cloud.server()
    network = cloud.api.admin.make("networks", qos_policy_id=own)["id"]
    inheriting, apart = cloud.port(server, None, network), cloud.port(server, own, network)
    strange = {"allocation": "a text"}
    other_way = cloud.follow(cloud.port(cloud.server(), None, network), **{"binding:profile": strange})[1]["port"]
    assert cloud.api.admin.put(f"networks/{network}", {"network": {"qos_policy_id": other}})[0] == 200
    assert cloud.held(server) == {EGRESS: 1300}
    for port in (inheriting, apart):
        assert cloud.granted(port) == dict.fromkeys(cloud.groups(port), cloud.device)
    assert cloud.api.admin.show("ports", other_way["id"])["binding:profile"] == strange
    before = cloud.api.admin.show("ports", inheriting["id"])
    refused = cloud.api.admin.put(f"networks/{network}", {"network": {"qos_policy_id": least(cloud, 9999)}})
    assert cloud.api.fault(refused) == CONFLICT
    assert cloud.api.admin.show("ports", inheriting["id"]) == before
    assert cloud.follow(inheriting, qos_policy_id=own)[0] == 200
    assert cloud.held(server) == {EGRESS: 2000}
    assert cloud.api.admin.put(f"networks/{network}", {"network": {"qos_policy_id": None}})[0] == 200
    assert cloud.held(server) == {EGRESS: 2000}


# Once, and only if it is done.


def test_a_dry_run_tells_nobody(cloud: Cloud) -> None:
    own, server = least(cloud), cloud.server()
    cloud.port(server, own)
    status, body = cloud.set(own, 2000, "?dry_run=true")
    assert (status, body["minimum_bandwidth_rule"]["min_kbps"], body["dry_run"]["status"]) == (200, 2000, 200)
    assert (cloud.held(server), cloud.placement.written, cloud.value(own)) == ({EGRESS: 1000}, 0, 1000)


def test_a_request_that_is_repeated_is_told_once(cloud: Cloud) -> None:
    own, server = least(cloud), cloud.server()
    cloud.port(server, own)
    body = {"minimum_bandwidth_rule": {"min_kbps": 2000}}
    for _ in range(2):
        assert cloud.api.admin.put(cloud.rule(own), body, Idempotency_Key="once")[0] == 200
    assert (cloud.held(server), cloud.placement.written) == ({EGRESS: 2000}, 1)


@pytest.mark.parametrize("when", ["meanwhile", "afterwards"])
def test_two_who_change_the_same_come_to_what_the_later_said(cloud: Cloud, when: str) -> None:
    own, server = least(cloud), cloud.server()
    cloud.port(server, own)
    answers: list[Answer] = []
    getattr(cloud.placement, when).append(lambda: answers.append(cloud.set(own, 5000)))
    assert cloud.set(own, 2000)[0] == 200
    assert [status for status, _ in answers] == [200]
    assert (cloud.value(own), cloud.held(server)) == (2000, {EGRESS: 2000})


def test_what_turns_out_to_be_nobody_s_is_taken_back(cloud: Cloud) -> None:
    """While Placement answers, one port leaves the policy and another comes to it."""
    own, one, two = least(cloud), cloud.server(), cloud.server()
    leaving, coming = cloud.port(one, own), cloud.port(two, least(cloud, 10))

    def meanwhile() -> None:
        assert cloud.follow(leaving, qos_policy_id=None)[0] == 200
        assert cloud.follow(coming, qos_policy_id=own)[0] == 200

    cloud.placement.afterwards.append(meanwhile)
    assert cloud.set(own, 2000)[0] == 200
    assert (cloud.held(one), cloud.held(two)) == ({}, {EGRESS: 2000})


@pytest.mark.on_postgresql
def test_a_rule_that_changes_while_a_port_comes_to_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would decide by what the other is about to change: one of them begins anew."""
    own, other, server = least(cloud), least(cloud, 10), cloud.server()
    port = cloud.port(server, other)
    hold, holds = Transaction.hold, []

    def holding(tx: Transaction, *what: Any) -> None:
        holds.append(what)
        if len(holds) == 3:  # of the try after Placement was told, which has read the rules
            assert cloud.set(own, 5000)[0] == 200
        hold(tx, *what)

    monkeypatch.setattr(Transaction, "hold", holding)
    assert cloud.follow(port, qos_policy_id=own)[0] == 200
    assert cloud.held(server) == {EGRESS: 5000}


def test_what_fails_after_placement_was_told_is_taken_back(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    own, server = least(cloud), cloud.server()
    cloud.port(server, own)
    finish = Transaction.finish

    def failing(tx: Transaction) -> bool:
        if cloud.placement.written:
            raise unavailable("The disk is full.")
        return finish(tx)

    monkeypatch.setattr(Transaction, "finish", failing)
    assert cloud.set(own, 2000)[0] == 503
    assert cloud.placement.written == 2
    assert (cloud.held(server), cloud.value(own)) == ({EGRESS: 1000}, 1000)


def test_what_is_committed_stays_told_though_nobody_heard(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    own, server = least(cloud), cloud.server()
    cloud.port(server, own)
    write = cloud.api.store.write

    def losing(*args: Any, **options: Any) -> Any:
        write(*args, **options)
        raise unavailable("The connection was lost at COMMIT.")

    monkeypatch.setattr(cloud.api.store, "write", losing)
    assert cloud.set(own, 2000)[0] == 503
    assert (cloud.held(server), cloud.value(own)) == ({EGRESS: 2000}, 2000)


def test_who_has_no_minimum_pays_nothing(cloud: Cloud) -> None:
    """Policies of a server's port change with as many statements as those of a port that is nobody's."""
    plain = [policy(cloud.api, bandwidth_limit={"max_kbps": amount}) for amount in (1, 2)]
    least_one = least(cloud)
    running, idle = cloud.port(cloud.server(), plain[0]), cloud.api.admin.make("ports", network_id=cloud.net)

    def cost(port: dict[str, Any], to: str) -> int:
        with cloud.api.statements() as seen:
            assert cloud.follow(port, qos_policy_id=to)[0] == 200
        return len(seen)

    assert cloud.follow(idle, qos_policy_id=plain[0])[0] == 200
    assert cost(running, plain[1]) == cost(idle, plain[1])
    assert cost(cloud.port(cloud.server(), least_one), plain[1]) > cost(idle, plain[0])


class TestWithoutPlacement:
    """No `[placement]`: values and policies change, and nobody is told."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"ml2": {"project_network_types": ("vxlan",)}}

    def test_nothing_is_told(self, cloud: Cloud) -> None:
        own, server = least(cloud), cloud.server()
        port = cloud.port(server, own)
        before = cloud.granted(port)
        assert cloud.set(own, 20000)[0] == 200
        assert cloud.follow(port, qos_policy_id=least(cloud, 5))[0] == 200
        assert (cloud.held(server), cloud.granted(port)) == ({EGRESS: 1000}, before)
