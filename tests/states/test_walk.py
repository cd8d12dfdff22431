"""A walk at random through the API: after every request, what a follower knows is what the database says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from tests.api.conftest import Api
from tests.states.conftest import AGENTS, Install
from tests.states.follower import HOST, Follower, obey
from weft.reconcile.cloud import CloudLoader
from weft.registry.resource import Row
from weft.store.changes import CHANGES

OBJECTS = ("networks", "subnets", "ports", "routers", "floatingips", "security-groups", "address-groups")
PROJECTS = ("p1", "p2")
CIDRS = ("10.0.0.0/24", "10.0.1.0/24", "10.1.0.0/16", "2001:db8:1::/64", "2001:db8:2::/64")
SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
MANAGED = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}
OWNERS = ("", "compute:nova", "network:dhcp", "network:router_interface")
HOSTS = (HOST, HOST, "elsewhere", "")
PREFIXES = ("198.18.0.0/16", "198.19.1.0/24", "2001:db8:ffff::/48")

CHANGES_BY_AGE = select(CHANGES.c.id, func.min(CHANGES.c.sequence).label("sequence")).group_by(CHANGES.c.id)

some = st.integers(0, 1_000_000)
"""Chooses one of what there is, however many those are by then."""


class Walk(RuleBasedStateMachine):
    """Requests of an administrator, legal or not: those that are refused change nothing, and the law holds anyway.

    Names like `p1` are projects; what a rule's numbers mean depends on what exists when it runs.
    """

    def __init__(self, install: Install, agents: Sequence[str] = AGENTS) -> None:
        """Without `agents` routers are OVN's."""
        super().__init__()
        self.api: Api = install(agents)
        self.followers = (Follower(self.api), Follower(self.api, CloudLoader))
        self.furnish()

    def furnish(self) -> None:
        """Something of everything, so that few steps lead to where kinds of objects meet."""
        api = self.api.as_("p1", "admin,member,reader")
        outside = api.make("networks", name="outside", **{"router:external": True})
        api.make("subnets", network_id=outside["id"], cidr="203.0.113.0/24", ip_version=4)
        members = api.make("address-groups", name="members", addresses=[PREFIXES[0]])
        gateway = {"network_id": outside["id"]}
        router = api.make("routers", external_gateway_info=gateway)
        api.make("routers", external_gateway_info=gateway)
        for tag, cidr in enumerate(CIDRS[:2], start=100):
            physical = {"provider:network_type": "vlan", "provider:physical_network": "physical"}
            network = api.make("networks", **physical, **{"provider:segmentation_id": tag})
            subnet = api.make("subnets", network_id=network["id"], cidr=cidr, ip_version=4)
            assert api.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})[0] == 200
            port = api.make("ports", network_id=network["id"], **{"binding:host_id": HOST})
            fip = api.make("floatingips", floating_network_id=outside["id"])
        self.answer("PUT", f"floatingips/{fip['id']}", {"floatingip": {"port_id": port["id"]}})
        group = port["security_groups"][0]
        self.post("security-group-rules", security_group_id=group, direction="ingress", ethertype="IPv4",
                  remote_address_group_id=members["id"])  # fmt: skip

    # -- saying things

    def answer(self, method: str, path: str, body: Any = None, project: str = "p1") -> Any:
        status, answer = self.api.as_(project, "admin,member,reader").request(method, path, body)
        assert status < 500, answer
        return answer

    def post(self, collection: str, project: str = "p1", **values: Any) -> None:
        said = {name: value for name, value in values.items() if value is not None}
        self.answer("POST", collection, {_member(collection): said}, project)

    def put(self, collection: str, which: int, **values: Any) -> None:
        if id := self.one(collection, which):
            self.answer("PUT", f"{collection}/{id}", {_member(collection): values})

    def one(self, collection: str, which: int) -> str:
        """The id of one of the objects; '' without any."""
        return self._choose(self.api.admin.list(collection, "fields=id"), which)

    def _choose(self, found: list[Row], which: int) -> str:
        """By age, which is the same when the walk is walked again; ids are not."""
        age = self.api.store.read(
            lambda connection: {row.id: row.sequence for row in connection.execute(CHANGES_BY_AGE)}
        )
        ids = sorted((str(row["id"]) for row in found), key=lambda id: age[id])
        return ids[which % len(ids)] if ids else ""

    # -- networks and subnets

    @rule(project=st.sampled_from(PROJECTS), vlan=st.sampled_from((None, None, 110, 111)))
    def new_network(self, project: str, vlan: int | None) -> None:
        physical = {"provider:network_type": "vlan", "provider:physical_network": "physical"} if vlan else {}
        self.post("networks", project, **physical, **({"provider:segmentation_id": vlan} if vlan else {}))

    @rule(
        which=some,
        values=st.sampled_from(
            (
                {"mtu": 1400},
                {"mtu": 1280},
                {"admin_state_up": False},
                {"admin_state_up": True},
                {"name": "other"},
                {"router:external": True},
                {"router:external": False},
                {"provider:segmentation_id": 150},
                {"provider:segmentation_id": 151},
                {"port_security_enabled": False},
                {"dns_domain": "example.org."},
            )
        ),
    )
    def change_network(self, which: int, values: dict[str, Any]) -> None:
        self.put("networks", which, **values)

    @rule(on=some, cidr=st.sampled_from(CIDRS), mode=st.sampled_from(({}, SLAAC, MANAGED)))
    def new_subnet(self, on: int, cidr: str, mode: dict[str, str]) -> None:
        version = 6 if ":" in cidr else 4
        self.post(
            "subnets",
            network_id=self.one("networks", on),
            cidr=cidr,
            ip_version=version,
            **mode if version == 6 else {},
        )

    @rule(
        which=some,
        values=st.sampled_from(
            (
                {"enable_dhcp": False},
                {"enable_dhcp": True},
                {"gateway_ip": None},
                {"gateway_ip": "10.0.0.254", "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.200"}]},
                {"gateway_ip": "203.0.113.254", "allocation_pools": [{"start": "203.0.113.2", "end": "203.0.113.200"}]},
                {"dns_nameservers": ["198.18.0.1"]},
                {"host_routes": [{"destination": "198.18.0.0/24", "nexthop": "10.0.0.9"}]},
                {"name": "other"},
            )
        ),
    )
    def change_subnet(self, which: int, values: dict[str, Any]) -> None:
        self.put("subnets", which, **values)

    # -- ports

    @rule(
        on=some,
        project=st.sampled_from(PROJECTS),
        host=st.sampled_from(HOSTS),
        owner=st.sampled_from(OWNERS),
        group=st.none() | some,
    )
    def new_port(self, on: int, project: str, host: str, owner: str, group: int | None) -> None:
        groups = None if group is None else [self.one("security-groups", group)]
        self.post(
            "ports",
            project,
            network_id=self.one("networks", on),
            device_owner=owner,
            security_groups=groups,
            **{"binding:host_id": host},
        )

    @rule(on=some, host=st.sampled_from(HOSTS), count=st.integers(2, 3))
    def new_ports(self, on: int, host: str, count: int) -> None:
        one = {"network_id": self.one("networks", on), "binding:host_id": host}
        self.answer("POST", "ports", {"ports": [one] * count})

    @rule(
        which=some,
        values=st.sampled_from(
            (
                *({"binding:host_id": host} for host in HOSTS),
                *({"device_owner": owner} for owner in OWNERS),
                {"admin_state_up": False},
                {"admin_state_up": True},
                {"name": "other"},
                {"security_groups": []},
                {"security_groups": [], "allowed_address_pairs": [], "port_security_enabled": False},
                {"port_security_enabled": True},
                {"allowed_address_pairs": [{"ip_address": "198.18.7.0/24"}]},
                {"allowed_address_pairs": []},
                {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1300"}]},
                {"fixed_ips": []},
                {"dns_name": "other"},
            )
        ),
    )
    def change_port(self, which: int, values: dict[str, Any]) -> None:
        self.put("ports", which, **values)

    @rule(which=some, router=some)
    def port_claims_a_router(self, which: int, router: int) -> None:
        self.put("ports", which, device_id=self.one("routers", router))

    @rule(which=some, groups=st.lists(some, max_size=2))
    def port_changes_groups(self, which: int, groups: list[int]) -> None:
        self.put("ports", which, security_groups=[self.one("security-groups", one) for one in groups])

    @rule(which=some, on=st.lists(some, min_size=1, max_size=2))
    def port_changes_addresses(self, which: int, on: list[int]) -> None:
        self.put("ports", which, fixed_ips=[{"subnet_id": self.one("subnets", one)} for one in on])

    # -- groups

    @rule(project=st.sampled_from(PROJECTS), stateful=st.booleans())
    def new_group(self, project: str, stateful: bool) -> None:
        self.post("security-groups", project, name="group", stateful=stateful)

    @rule(which=some, values=st.sampled_from(({"name": "other"}, {"stateful": True}, {"stateful": False})))
    def change_group(self, which: int, values: dict[str, Any]) -> None:
        self.put("security-groups", which, **values)

    @rule(
        of=some,
        direction=st.sampled_from(("ingress", "egress")),
        ethertype=st.sampled_from(("IPv4", "IPv6")),
        port=st.sampled_from((None, 22, 80)),
        remote=st.sampled_from(("", "group", "addresses", "prefix")),
        which=some,
    )
    def new_rule(self, of: int, direction: str, ethertype: str, port: int | None, remote: str, which: int) -> None:
        said: dict[str, Any] = {"direction": direction, "ethertype": ethertype}
        if port:
            said.update(protocol="tcp", port_range_min=port, port_range_max=port)
        if remote == "group":
            said["remote_group_id"] = self.one("security-groups", which)
        elif remote == "addresses":
            said["remote_address_group_id"] = self.one("address-groups", which) or None
        elif remote == "prefix":
            said["remote_ip_prefix"] = "198.18.0.0/24" if ethertype == "IPv4" else "2001:db8::/48"
        self.post("security-group-rules", security_group_id=self.one("security-groups", of), **said)

    @rule(addresses=st.lists(st.sampled_from(PREFIXES), max_size=2, unique=True))
    def new_address_group(self, addresses: list[str]) -> None:
        self.post("address-groups", name="addresses", addresses=addresses)

    @rule(
        which=some,
        verb=st.sampled_from(("add_addresses", "remove_addresses")),
        addresses=st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=2, unique=True),
    )
    def change_address_group(self, which: int, verb: str, addresses: list[str]) -> None:
        if id := self.one("address-groups", which):
            self.answer("PUT", f"address-groups/{id}/{verb}", {"addresses": addresses})

    # -- routers

    def outside(self, which: int) -> str:
        return self._choose(self.api.admin.list("networks", "router:external=true&fields=id"), which)

    @rule(project=st.sampled_from(PROJECTS), outside=st.none() | some)
    def new_router(self, project: str, outside: int | None) -> None:
        gateway = None if outside is None else {"network_id": self.outside(outside)}
        self.post("routers", project, external_gateway_info=gateway)

    @rule(which=some, outside=st.none() | some, snat=st.booleans())
    def change_gateway(self, which: int, outside: int | None, snat: bool) -> None:
        wanted = {} if outside is None else {"network_id": self.outside(outside), "enable_snat": snat}
        self.put("routers", which, external_gateway_info=wanted)

    @rule(
        which=some,
        values=st.sampled_from(
            (
                {"admin_state_up": False},
                {"admin_state_up": True},
                {"name": "other"},
                {"routes": [{"destination": "198.18.0.0/16", "nexthop": "10.0.0.9"}]},
                {"routes": []},
            )
        ),
    )
    def change_router(self, which: int, values: dict[str, Any]) -> None:
        self.put("routers", which, **values)

    @rule(which=some, subnet=some)
    def attach_subnet(self, which: int, subnet: int) -> None:
        self._interface("add_router_interface", which, subnet_id=self.one("subnets", subnet))

    @rule(which=some, port=some)
    def attach_port(self, which: int, port: int) -> None:
        self._interface("add_router_interface", which, port_id=self.one("ports", port))

    @rule(which=some, subnet=some)
    def detach_subnet(self, which: int, subnet: int) -> None:
        self._interface("remove_router_interface", which, subnet_id=self.one("subnets", subnet))

    def _interface(self, verb: str, which: int, **body: str) -> None:
        if (id := self.one("routers", which)) and all(body.values()):
            self.answer("PUT", f"routers/{id}/{verb}", body)

    # -- floating IPs

    @rule(outside=some, port=st.none() | some, project=st.sampled_from(PROJECTS))
    def new_floating_ip(self, outside: int, port: int | None, project: str) -> None:
        port_id = None if port is None else self.one("ports", port) or None
        self.post("floatingips", project, floating_network_id=self.outside(outside), port_id=port_id)

    @rule(which=some, port=st.none() | some)
    def move_floating_ip(self, which: int, port: int | None) -> None:
        self.put("floatingips", which, port_id=None if port is None else self.one("ports", port) or None)

    @rule(which=some, port=some, number=st.integers(1, 3), protocol=st.sampled_from(("tcp", "udp")))
    def new_forwarding(self, which: int, port: int, number: int, protocol: str) -> None:
        fip = self.one("floatingips", which)
        if not fip or not (id := self.one("ports", port)):
            return
        fixed = [one["ip_address"] for one in self.api.admin.show("ports", id)["fixed_ips"]]
        for ip in fixed[:1]:
            said = {"protocol": protocol, "internal_port_id": id, "internal_ip_address": ip}
            said |= {"internal_port": number, "external_port": number}
            self.answer("POST", f"floatingips/{fip}/port_forwardings", {"port_forwarding": said})

    @rule(which=some, number=st.integers(1, 3), remove=st.booleans())
    def change_forwarding(self, which: int, number: int, remove: bool) -> None:
        fip = self.one("floatingips", which)
        found = self.api.admin.list(f"floatingips/{fip}/port_forwardings") if fip else []
        for one in found[:1]:
            path = f"floatingips/{fip}/port_forwardings/{one['id']}"
            body = {"port_forwarding": {"external_port": number}}
            self.answer("DELETE", path) if remove else self.answer("PUT", path, body)

    # -- the end of things

    @rule(collection=st.sampled_from(OBJECTS), which=some)
    def delete(self, collection: str, which: int) -> None:
        if id := self.one(collection, which):
            self.answer("DELETE", f"{collection}/{id}")

    @rule(which=some)
    def delete_rule(self, which: int) -> None:
        if id := self.one("security-group-rules", which):
            self.answer("DELETE", f"security-group-rules/{id}")

    # -- reading on

    @rule()
    def restart(self) -> None:
        for one in self.followers:
            one.restart()

    @rule(at_once=st.sampled_from((1, 2, 1000)))
    def follow(self, at_once: int) -> None:
        for one in self.followers:
            one.follow(at_once)
            obey(one)


class Closely(Walk):
    """Reads on after every single request."""

    @invariant()
    def law(self) -> None:
        for one in self.followers:
            one.follow()
            obey(one)


def _member(collection: str) -> str:
    return collection.replace("-", "_")[:-1]


def walk(machine: Callable[[], RuleBasedStateMachine], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_close_behind(install: Install) -> None:
    walk(lambda: Closely(install), examples=12, steps=40)


def test_now_and_then(install: Install) -> None:
    walk(lambda: Walk(install), examples=12, steps=40)


def test_without_agents(install: Install) -> None:
    walk(lambda: Walk(install, ()), examples=6, steps=40)
