"""Clients at the same time, at one API process and at two on one database: exact counts, no 500, nothing twice."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network
from threading import Barrier
from typing import Any

import pytest
from falcon import testing

from tests.api.conftest import Answer, Api, caller
from tests.api.test_floatingips import connect, inside_subnet, outside_network
from weft import app
from weft.store.engine import Store

CLIENTS = 8
ROUNDS = 4
"""How often what goes wrong seldom is tried."""
Ask = Callable[[Api], Answer]


@pytest.fixture(params=["one process", "two processes"])
def apis(api: Api, request: pytest.FixtureRequest) -> Iterator[Sequence[Api]]:
    """Doors to one database. The second has connections and locks of its own, like another process."""
    if request.param == "one process":
        yield [api]
        return
    store = Store(api.config)
    yield [api, replace(api, client=testing.TestClient(app.make_api(api.config, caller, store=store)), store=store)]
    store.close()


def race(apis: Sequence[Api], asks: Sequence[Ask]) -> list[Answer]:
    """The answers to all of `asks`, which start together, at one door after the other."""
    start = Barrier(len(asks))

    def run(numbered: tuple[int, Ask]) -> Answer:
        number, ask = numbered
        start.wait()
        return ask(apis[number % len(apis)])

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(run, enumerate(asks)))


def outcomes(answers: Sequence[Answer]) -> dict[Any, int]:
    """How many answers of each kind: the status of what succeeded, the type of what was refused."""
    return dict(Counter(status if status < 400 else body["NeutronError"]["type"] for status, body in answers))


def one_wins(fault: str, status: int = 201) -> dict[Any, int]:
    return {status: 1, fault: CLIENTS - 1}


@pytest.fixture
def network(api: Api) -> str:
    made = api.make("networks")["id"]
    api.make("subnets", network_id=made, ip_version=4, cidr="10.0.0.0/24")
    return str(made)


def make(collection: str, member: str, **values: Any) -> Ask:
    return lambda api: api.post(collection, {member: values})


def delete(collection: str, id: str) -> Ask:
    return lambda api: api.delete(f"{collection}/{id}")


def used(api: Api, name: str, project: str = "p1") -> int:
    return int(api.admin.get(f"quotas/{project}/details")[1]["quota"][name]["used"])


def test_one_address(apis: Sequence[Api], network: str) -> None:
    ask = make("ports", "port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.9"}])
    assert outcomes(race(apis, [ask] * CLIENTS)) == one_wins("IpAddressAlreadyAllocated")
    assert used(apis[0], "port") == len(apis[0].list("ports")) == 1


def test_any_addresses(apis: Sequence[Api], network: str) -> None:
    ask = make("ports", "port", network_id=network)
    assert outcomes(race(apis, [ask] * 24)) == {201: 24}
    ports = apis[0].list("ports")
    assert len({port["fixed_ips"][0]["ip_address"] for port in ports}) == 24
    assert used(apis[0], "port") == 24


def test_the_last_addresses(apis: Sequence[Api], api: Api) -> None:
    network = api.make("networks")["id"]
    api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/29")
    ask = make("ports", "port", network_id=network)
    assert outcomes(race(apis, [ask] * 12)) == {201: 5, "IpAddressGenerationFailure": 7}


@pytest.mark.parametrize("collection", ["networks", "ports", "security-groups"])
def test_one_counter_moves_for_all_without_a_try_in_vain(apis: Sequence[Api], network: str, collection: str) -> None:
    """Clients of one project move one counter. Whoever meets another waits for him instead of failing and beginning anew."""
    table = collection.replace("-", "_")
    assert apis[0].admin.put("quotas/p1", {"quota": {table[:-1]: 100}})[0] == 200
    asks = [make(collection, table[:-1], name="n")] * (2 * CLIENTS)
    if collection == "ports":
        asks = [
            make("ports", "port", network_id=network, fixed_ips=[{"ip_address": f"10.0.0.{100 + number}"}])
            for number in range(2 * CLIENTS)
        ]
    assert outcomes(race(apis, asks[:CLIENTS])) == {201: CLIENTS}  # the counter, the default group are there
    with contextlib.ExitStack() as stack:
        told = [stack.enter_context(one.statements()) for one in {id(one.store): one for one in apis}.values()]
        assert outcomes(race(apis, asks[CLIENTS:])) == {201: CLIENTS}
    tries = [one for statements in told for one in statements if f"INSERT INTO {table} " in one]
    assert len(tries) == CLIENTS
    assert used(apis[0], table[:-1]) == len(apis[0].list(collection))


def test_ports_go_without_a_try_in_vain(apis: Sequence[Api], network: str) -> None:
    ports = [apis[0].make("ports", network_id=network)["id"] for _ in range(CLIENTS)]
    with contextlib.ExitStack() as stack:
        told = [stack.enter_context(one.statements()) for one in {id(one.store): one for one in apis}.values()]
        assert outcomes(race(apis, [delete("ports", port) for port in ports])) == {204: CLIENTS}
    tries = [one for statements in told for one in statements if one.startswith("DELETE FROM ports ")]
    assert len(tries) == CLIENTS
    assert used(apis[0], "port") == len(apis[0].list("ports")) == 0


def test_routers_get_their_legs_without_a_try_in_vain(apis: Sequence[Api], api: Api) -> None:
    """A leg is a port, which moves a counter of the project as well."""
    pairs = []
    for number in range(CLIENTS):
        network = api.make("networks")["id"]
        subnet = api.make("subnets", network_id=network, ip_version=4, cidr=f"10.0.{number}.0/24")["id"]
        pairs.append((api.make("routers")["id"], subnet))

    def act(action: str, router: str, subnet: str) -> Ask:
        return lambda api: api.put(f"routers/{router}/{action}_router_interface", {"subnet_id": subnet})

    with contextlib.ExitStack() as stack:
        told = [stack.enter_context(one.statements()) for one in {id(one.store): one for one in apis}.values()]
        for action in ("add", "remove"):
            assert outcomes(race(apis, [act(action, *pair) for pair in pairs])) == {200: CLIENTS}
    made = [one for statements in told for one in statements if "INSERT INTO ports " in one]
    gone = [one for statements in told for one in statements if one.startswith("DELETE FROM ports ")]
    assert (len(made), len(gone)) == (CLIENTS, CLIENTS)
    assert used(api, "port") == 0


def test_rules_of_one_group_without_a_try_in_vain(apis: Sequence[Api], api: Api) -> None:
    group = api.make("security-groups", name="g")["id"]
    before = len(api.show("security-groups", group)["security_group_rules"])

    def rule(number: int) -> Ask:
        values = {"protocol": "tcp", "port_range_min": number, "port_range_max": number, "direction": "ingress"}
        return make("security-group-rules", "security_group_rule", security_group_id=group, **values)

    with contextlib.ExitStack() as stack:
        told = [stack.enter_context(one.statements()) for one in {id(one.store): one for one in apis}.values()]
        assert outcomes(race(apis, [rule(number + 1) for number in range(CLIENTS)])) == {201: CLIENTS}
        revision = api.show("security-groups", group)["revision_number"]
        rules = api.list("security-group-rules", f"security_group_id={group}&protocol=tcp")
        assert outcomes(race(apis, [delete("security-group-rules", one["id"]) for one in rules])) == {204: CLIENTS}
    tries = [one for statements in told for one in statements if "INSERT INTO security_group_rules " in one]
    assert (revision, len(tries)) == (CLIENTS, CLIENTS)
    after = api.show("security-groups", group)
    assert (after["revision_number"], len(after["security_group_rules"])) == (2 * CLIENTS, before)
    assert used(api, "security_group_rule") == len(api.list("security-group-rules"))


def test_a_group_goes_while_rules_come(apis: Sequence[Api], api: Api) -> None:
    """Its own, and those of others that refer to it: none is left, and none is counted that is not there."""
    other = api.make("security-groups", name="other")["id"]
    for number in range(ROUNDS):
        group = api.make("security-groups", name="g")["id"]
        asks = [delete("security-groups", group)]
        for place in range(CLIENTS // 2):
            port = {"protocol": "tcp", "port_range_min": place + 1, "port_range_max": place + 1, "direction": "ingress"}
            mine = {**port, "security_group_id": group}
            refers = {**port, "security_group_id": other, "remote_group_id": group}
            asks += [make("security-group-rules", "security_group_rule", **one) for one in (mine, refers)]
        found = outcomes(race(apis, asks if number % 2 else asks[::-1]))
        assert found.pop(204) == 1
        assert found.keys() <= {201, "SecurityGroupNotFound"}
        assert api.list("security-group-rules", f"remote_group_id={group}") == []
        assert used(api, "security_group_rule") == len(api.list("security-group-rules"))


@pytest.mark.parametrize("what", ["ports", "subnets", "segments"])
def test_a_network_goes_while_it_is_used(apis: Sequence[Api], api: Api, what: str) -> None:
    member = what.removesuffix("s")
    values: dict[str, dict[str, Any]] = {
        "subnets": {"ip_version": 4, "cidr": "10.0.0.0/24"},
        "segments": {"network_type": "vxlan"},
    }
    for number in range(ROUNDS):
        network = api.make("networks")["id"]
        body = {member: {"network_id": network, **values.get(what, {})}}

        def use(api: Api, body: Any = body) -> Answer:
            return (api.admin if what == "segments" else api).post(what, body)

        asks = [use, delete("networks", network)]
        found = outcomes(race(apis, asks if number % 2 else asks[::-1]))
        assert found.keys() <= {201, 204, "NetworkNotFound", "NetworkInUse"}, found
        there = bool(api.list("networks", f"id={network}"))
        assert there == ("NetworkInUse" in found)
        left = api.admin.list(what, f"network_id={network}")
        assert len(left) == (1 + (what == "segments") if there else 0)
        for name in ("network", "port", "subnet"):
            assert used(api, name) == len(api.list(f"{name}s"))


def test_one_default_network(apis: Sequence[Api]) -> None:
    admins = [one.admin for one in apis]
    ask = make("networks", "network", **{"router:external": True, "is_default": True})
    assert outcomes(race(admins, [ask] * CLIENTS)) == one_wins("DefaultExternalNetworkExists")


def test_one_port_goes_once(apis: Sequence[Api], network: str) -> None:
    for _ in range(ROUNDS):
        port = apis[0].make("ports", network_id=network)["id"]
        assert outcomes(race(apis, [delete("ports", port)] * CLIENTS)) == one_wins("PortNotFound", 204)
    assert used(apis[0], "port") == 0


def test_a_port_goes_while_it_changes(apis: Sequence[Api], network: str) -> None:
    """Whoever comes first, nothing is half: the router's interface holds its port, or there is no port for it."""
    for _ in range(ROUNDS):
        port = apis[0].make("ports", network_id=network)["id"]
        router = apis[0].make("routers")["id"]

        def plug(api: Api, router: str = router, port: str = port) -> Answer:
            return api.put(f"routers/{router}/add_router_interface", {"port_id": port})

        found = outcomes(race(apis, [plug, delete("ports", port)]))
        assert found in ({200: 1, "ServicePortInUse": 1}, {"PortNotFound": 1, 204: 1})
        left = apis[0].list("ports", f"id={port}")
        assert [one["device_id"] for one in left] == ([router] if 200 in found else [])
        if left:
            assert apis[0].put(f"routers/{router}/remove_router_interface", {"port_id": port})[0] == 200
    assert used(apis[0], "port") == 0


def test_one_mac(apis: Sequence[Api], network: str) -> None:
    ask = make("ports", "port", network_id=network, mac_address="fa:16:3e:00:00:01")
    assert outcomes(race(apis, [ask] * CLIENTS)) == one_wins("MacAddressInUse")
    assert used(apis[0], "port") == 1


@pytest.mark.parametrize("first", ["list", "network", "group"])
def test_one_default_group(apis: Sequence[Api], first: str) -> None:
    """Whatever a new project does first makes its group `default`, once."""
    asks: dict[str, Ask] = {
        "list": lambda api: api.get("security-groups"),
        "network": make("networks", "network"),
        "group": make("security-groups", "security_group", name="other"),
    }
    new = [one.as_("new") for one in apis]
    assert outcomes(race(new, [asks[first]] * CLIENTS)).keys() <= {200, 201}
    groups = new[0].list("security-groups", "name=default")
    assert len(groups) == 1
    assert len(groups[0]["security_group_rules"]) == 4
    assert used(apis[0], "security_group", "new") == len(new[0].list("security-groups"))
    assert used(apis[0], "security_group_rule", "new") == len(new[0].list("security-group-rules"))


def test_the_limit(apis: Sequence[Api], api: Api) -> None:
    assert api.admin.put("quotas/p1", {"quota": {"network": 3}})[0] == 200
    assert outcomes(race(apis, [make("networks", "network")] * CLIENTS)) == {201: 3, "OverQuota": CLIENTS - 3}
    assert used(api, "network") == len(api.list("networks")) == 3


def test_the_limit_of_a_project_that_never_had_anything(apis: Sequence[Api]) -> None:
    limited = replace(apis[0].config, quotas=replace(apis[0].config.quotas, quota_network=2))
    fresh = [
        replace(one, client=testing.TestClient(app.make_api(limited, caller, store=one.store))).as_("fresh")
        for one in apis
    ]
    assert outcomes(race(fresh, [make("networks", "network")] * CLIENTS)) == {201: 2, "OverQuota": CLIENTS - 2}


def test_overlapping_subnets(apis: Sequence[Api], api: Api) -> None:
    network = api.make("networks")["id"]
    ask = make("subnets", "subnet", network_id=network, ip_version=4, cidr="10.0.0.0/24")
    wider = make("subnets", "subnet", network_id=network, ip_version=4, cidr="10.0.0.0/16")
    assert outcomes(race(apis, [ask, wider] * (CLIENTS // 2))) == one_wins("InvalidInput")
    assert used(api, "subnet") == len(api.list("subnets")) == 1


def test_a_pool(apis: Sequence[Api], api: Api) -> None:
    pool = api.make("subnetpools", name="x", prefixes=["10.0.0.0/24"], default_prefixlen=26)["id"]
    networks = [api.make("networks")["id"] for _ in range(CLIENTS)]
    asks = [make("subnets", "subnet", network_id=one, ip_version=4, subnetpool_id=pool) for one in networks]
    assert outcomes(race(apis, asks)) == {201: 4, "SubnetAllocationError": CLIENTS - 4}
    taken = [ip_network(one["cidr"]) for one in api.list("subnets")]
    assert sorted(map(str, taken)) == ["10.0.0.0/26", "10.0.0.128/26", "10.0.0.192/26", "10.0.0.64/26"]


@pytest.mark.parametrize("round", range(3))
def test_a_pool_shrinks_while_subnets_are_taken(apis: Sequence[Api], api: Api, round: int) -> None:
    """A subnet came first, or has no place any more: none is outside of its pool."""
    pool = api.make("subnetpools", name="x", prefixes=["10.0.0.0/25", "10.0.1.0/25"], default_prefixlen=26)["id"]
    networks = [api.make("networks")["id"] for _ in range(CLIENTS)]
    asks = [make("subnets", "subnet", network_id=one, ip_version=4, subnetpool_id=pool) for one in networks]
    asks.insert(round * 2, lambda one: one.put(f"subnetpools/{pool}/remove_prefixes", {"prefixes": ["10.0.0.0/25"]}))
    found = outcomes(race(apis, asks))
    left = [ip_network(prefix) for prefix in api.show("subnetpools", pool)["prefixes"]]
    taken = [ip_network(one["cidr"]) for one in api.list("subnets")]
    assert all(any(one.subnet_of(prefix) for prefix in left) for one in taken)  # type: ignore[type-var]
    assert found.keys() <= {201, 200, "IllegalSubnetPoolPrefixUpdate", "SubnetAllocationError"}
    assert len(taken) == found[201] == 2 * len(left)


@pytest.mark.parametrize("round", range(3))
def test_a_subnet_goes_while_ports_come(apis: Sequence[Api], api: Api, network: str, round: int) -> None:
    """It stays with those that were first, or it has gone and no port has an address in it."""
    other = api.make("subnets", network_id=network, ip_version=4, cidr="10.0.1.0/24")["id"]
    asks = [make("ports", "port", network_id=network, fixed_ips=[{"subnet_id": other}])] * CLIENTS
    asks.insert(round * 2, delete("subnets", other))
    found = outcomes(race(apis, asks))
    having = [port["id"] for port in api.list("ports") for fixed in port["fixed_ips"] if fixed["subnet_id"] == other]
    if 204 in found:
        assert found.keys() <= {204, "InvalidInput", "SubnetNotFound"}
        assert having == []
    else:
        assert found == {201: len(having), "SubnetInUse": 1} | {
            name: n for name, n in found.items() if name == "InvalidInput"
        }
    assert used(api, "subnet") == len(api.list("subnets"))


@pytest.mark.parametrize("round", range(3))
def test_a_subnet_comes_while_ports_come(apis: Sequence[Api], api: Api, network: str, round: int) -> None:
    """Addresses that workloads make up themselves (SLAAC) are known of every port, whoever was first."""
    slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    asks = [make("ports", "port", network_id=network)] * CLIENTS
    asks.insert(round * 2, make("subnets", "subnet", network_id=network, ip_version=6, cidr="2001:db8::/64", **slaac))
    assert outcomes(race(apis, asks)) == {201: CLIENTS + 1}
    assert [len(port["fixed_ips"]) for port in api.list("ports")] == [2] * CLIENTS


def test_one_interface(apis: Sequence[Api], api: Api) -> None:
    router, subnet = api.make("routers")["id"], inside_subnet(api)["id"]
    answers = race(
        apis, [lambda one: one.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})] * CLIENTS
    )
    assert outcomes(answers) == one_wins("BadRequest", 200)
    assert len(api.list("ports", f"device_id={router}")) == 1


def test_one_floating_ip_for_many_ports(apis: Sequence[Api], api: Api) -> None:
    outside, subnet = outside_network(api, "203.0.113.0/24"), inside_subnet(api)
    connect(api, outside, subnet)
    fip = api.make("floatingips", floating_network_id=outside["id"])["id"]
    ports = [api.make("ports", network_id=subnet["network_id"])["id"] for _ in range(CLIENTS)]
    asks: list[Ask] = [
        lambda one, p=port: one.put(f"floatingips/{fip}", {"floatingip": {"port_id": p}}) for port in ports
    ]
    assert outcomes(race(apis, asks)) == {200: CLIENTS}
    assert api.show("floatingips", fip)["port_id"] in ports
    assert len(api.list("floatingips")) == 1


def test_many_floating_ips_for_one_port(apis: Sequence[Api], api: Api) -> None:
    outside, subnet = outside_network(api, "203.0.113.0/24"), inside_subnet(api)
    connect(api, outside, subnet)
    port = api.make("ports", network_id=subnet["network_id"])["id"]
    ask = make("floatingips", "floatingip", floating_network_id=outside["id"], port_id=port)
    assert outcomes(race(apis, [ask] * CLIENTS)) == one_wins("FloatingIPPortAlreadyAssociated")
    assert used(api, "floatingip") == 1
    assert len(api.admin.list("ports", f"network_id={outside['id']}&device_owner=network:floatingip")) == 1


def test_a_network_goes_while_ports_come(apis: Sequence[Api], api: Api, network: str) -> None:
    def leave(one: Api) -> Answer:
        return one.delete(f"networks/{network}")

    ask = make("ports", "port", network_id=network)
    found = outcomes(race(apis, [ask, ask, leave, ask, ask, leave, ask, ask]))
    assert found.keys() <= {201, 204, "NetworkNotFound", "NetworkInUse"}
    if 204 in found:
        assert 201 not in found
        assert api.list("ports") == []
    assert used(api, "port") == len(api.list("ports")) == found.get(201, 0)
    assert used(api, "network") == len(api.list("networks"))


def test_changes_of_one_object_with_its_revision(apis: Sequence[Api], network: str) -> None:
    """If-Match lets one through; without it each gets a revision of its own."""
    revision = apis[0].show("networks", network)["revision_number"]

    asks = [
        lambda one, n=number: one.put(f"networks/{network}", {"network": {"name": str(n)}}) for number in range(CLIENTS)
    ]
    matched: list[Ask] = [
        lambda one, n=number: one.put(
            f"networks/{network}", {"network": {"name": f"m{n}"}}, If_Match=f"revision_number={revision}"
        )
        for number in range(CLIENTS)
    ]
    assert outcomes(race(apis, matched)) == one_wins("RevisionNumberConstraintFailed", 200)
    assert outcomes(race(apis, asks)) == {200: CLIENTS}
    assert apis[0].show("networks", network)["revision_number"] == revision + 1 + CLIENTS


def test_tags_of_one_object(apis: Sequence[Api], network: str) -> None:
    asks: list[Ask] = [
        lambda one, n=number: one.put(f"networks/{network}/tags/t{n}", None) for number in range(CLIENTS)
    ]
    assert outcomes(race(apis, asks)) == {201: CLIENTS}
    assert sorted(apis[0].show("networks", network)["tags"]) == [f"t{number}" for number in range(CLIENTS)]


def test_one_sharing(apis: Sequence[Api], api: Api, network: str) -> None:
    target = "0123456789abcdef0123456789abcdef"
    policy = {"object_type": "network", "object_id": network, "action": "access_as_shared", "target_tenant": target}
    assert outcomes(race(apis, [make("rbac-policies", "rbac_policy", **policy)] * CLIENTS)) == one_wins(
        "DuplicateRbacPolicy"
    )
    assert used(api, "rbac_policy") == 1


def test_one_vlan(apis: Sequence[Api]) -> None:
    provider = {"network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 1234}
    ask = make("networks", "network", **{f"provider:{name}": value for name, value in provider.items()})
    assert outcomes(race([one.admin for one in apis], [ask] * CLIENTS)) == one_wins("VlanIdInUse")


def test_own_segments(apis: Sequence[Api], api: Api) -> None:
    assert outcomes(race(apis, [make("networks", "network")] * 16)) == {201: 16}
    numbers = [one["provider:segmentation_id"] for one in api.admin.list("networks")]
    assert len(set(numbers)) == 16


def test_one_topology(apis: Sequence[Api], api: Api) -> None:
    outside = outside_network(api, "203.0.113.0/24")
    assert api.admin.put(f"networks/{outside['id']}", {"network": {"is_default": True}})[0] == 200
    pool = {"prefixes": ["10.0.0.0/16"], "is_default": True, "shared": True, "default_prefixlen": 26}
    api.admin.make("subnetpools", name="x", **pool)
    answers = race(apis, [lambda one: one.get("auto-allocated-topology/p1")] * CLIENTS)
    assert outcomes(answers) == {200: CLIENTS}
    assert len({body["auto_allocated_topology"]["id"] for _, body in answers}) == 1
    assert len(api.list("routers")) == 1
    assert used(api, "router") == 1


def test_a_rule_twice(apis: Sequence[Api], api: Api) -> None:
    group = api.make("security-groups", name="x")["id"]
    ask = make(
        "security-group-rules", "security_group_rule", security_group_id=group, direction="ingress", protocol="tcp"
    )
    assert outcomes(race(apis, [ask] * CLIENTS)) == one_wins("SecurityGroupRuleExists")
    assert used(api, "security_group_rule") == len(api.list("security-group-rules"))


def test_a_group_changes_its_statefulness_while_ports_come(apis: Sequence[Api], api: Api, network: str) -> None:
    """A port's groups are of one statefulness, always, and a group that has ports keeps its own."""
    for _ in range(ROUNDS):
        one, other = (api.make("security-groups", name="g")["id"] for _ in range(2))

        def turn(door: Api, group: str = one) -> Answer:
            return door.put(f"security-groups/{group}", {"security_group": {"stateful": False}})

        ask = make("ports", "port", network_id=network, security_groups=[one, other])
        found = outcomes(race(apis, [ask, turn, ask, ask]))
        assert found.keys() <= {201, 200, "SecurityGroupConflict", "SecurityGroupInUse"}
        members = [row for row in api.list("ports") if one in row["security_groups"]]
        assert len(members) == found.get(201, 0)
        assert api.show("security-groups", one)["stateful"] is bool(members)


def test_a_group_changes_its_statefulness_while_rules_come(apis: Sequence[Api], api: Api) -> None:
    group = api.make("security-groups", name="g", stateful=True)

    def turn(door: Api) -> Answer:
        return door.put(f"security-groups/{group['id']}", {"security_group": {"stateful": False}})

    asks: list[Ask] = [
        make("security-group-rules", "security_group_rule", security_group_id=group["id"], direction="ingress", **ports)
        for ports in ({"protocol": "tcp", "port_range_min": n, "port_range_max": n} for n in range(1, CLIENTS))
    ]
    assert outcomes(race(apis, [turn, *asks])) == {200: 1, 201: CLIENTS - 1}
    after = api.show("security-groups", group["id"])
    assert after["stateful"] is False
    assert len(after["security_group_rules"]) == len(group["security_group_rules"]) + CLIENTS - 1
    assert after["revision_number"] == group["revision_number"] + CLIENTS
