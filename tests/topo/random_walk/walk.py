"""A random walk through the API: requests of every kind on few objects, many of them wrong, so that they meet.

What is sent depends on the seed and on what the answers made, nothing else: a walk that found a fault is walked again by its
seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

Make = Callable[["Walk"], Any]
Send = Callable[[str, str, Any], tuple[int, Any]]
"""Method, path below /v2.0, body; the status and the decoded answer."""


def one_of(*values: Any) -> Make:
    return lambda walk: walk.random.choice(values)


def some_of(*values: Any, most: int = 3) -> Make:
    return lambda walk: walk.random.sample(values, walk.random.randint(0, min(most, len(values))))


def ref(collection: str) -> Make:
    """The id of an object that is there, now and then of none."""
    return lambda walk: walk.id_of(collection)


def refs(collection: str, most: int = 2) -> Make:
    return lambda walk: list({walk.id_of(collection) for _ in range(walk.random.randint(0, most))})


def or_null(make: Make, share: float = 0.3) -> Make:
    return lambda walk: None if walk.random.random() < share else make(walk)


def body(**makes: Make) -> Callable[[Walk], dict[str, Any]]:
    """An object; what ends with `_` is there in a third of the cases."""
    return lambda walk: {
        name.removesuffix("_").replace("__", ":"): make(walk)
        for name, make in makes.items()
        if not name.endswith("_") or walk.random.random() < 0.33
    }


@dataclass(frozen=True)
class Kind:
    """A collection: what its objects are made with and changed to. `{parents}` in the path is a reference."""

    path: str
    member: str
    create: Callable[[Walk], dict[str, Any]]
    update: Callable[[Walk], dict[str, Any]] | None = None
    weight: int = 2


NAME, BOOL = one_of("", "a", "b", "ä", "x" * 255, "x" * 256), one_of(*[True] * 7, False)
CIDR4 = one_of(
    "10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/28", "10.0.0.0/16", "192.0.2.0/29", "203.0.113.128/25", "10.0.0.5/32"
)
CIDR6 = one_of("2001:db8::/64", "2001:db8:1::/64", "2001:db8::/56", "fd00::/120")
IP4 = one_of(
    *(f"10.0.{net}.{n}" for net in (0, 1) for n in (1, 2, 5, 9, 200)), "192.0.2.3", "203.0.113.130", "10.9.9.9"
)
IP6 = one_of("2001:db8::1", "2001:db8::5", "2001:db8:1::9", "fd00::7", "fe80::1")
IP: Make = lambda walk: (IP4 if walk.random.random() < 0.7 else IP6)(walk)  # noqa: E731
PREFIX: Make = lambda walk: one_of(IP4, IP6, CIDR4, CIDR6)(walk)(walk)  # noqa: E731
MAC = one_of(*(f"fa:16:3e:00:00:0{n}" for n in range(6)), "00:00:5e:00:01:01", "ff:ff:ff:ff:ff:ff", "fa163e000009")
NUMBER = one_of(0, 1, 22, 80, 443, 8080, 65535, 65536, -1, "80", None)
FIXED_IP = body(subnet_id_=ref("subnets"), ip_address_=IP)
PAIR = body(ip_address=PREFIX, mac_address_=MAC)


def several(make: Make, most: int = 2) -> Make:
    return lambda walk: [make(walk) for _ in range(walk.random.randint(0, most))]


def _subnet(walk: Walk) -> dict[str, Any]:
    made = body(network_id=ref("networks"), name_=NAME, enable_dhcp_=BOOL, dns_nameservers_=several(IP))(walk)
    if walk.random.random() < 0.6:
        made |= body(ip_version=one_of(4, 4, 4, 6), cidr=CIDR4, gateway_ip_=or_null(IP4))(walk)
        made |= body(host_routes_=several(body(destination=CIDR4, nexthop=IP4)))(walk)
    else:
        modes = one_of("slaac", "dhcpv6-stateful", "dhcpv6-stateless")
        made |= body(ip_version=one_of(6), cidr=CIDR6, gateway_ip_=or_null(IP6), ipv6_address_mode_=modes)(walk)
        made |= body(ipv6_ra_mode_=modes)(walk)
    return made


_GROUP_RULE = body(
    security_group_id=ref("security-groups"),
    direction=one_of("ingress", "egress"),
    ethertype_=one_of("IPv4", "IPv6", "ipv4", "arp"),
    protocol_=one_of("tcp", "udp", "icmp", "icmpv6", "6", "sctp", "vrrp", 254, 256, None),
    port_range_min_=NUMBER,
    port_range_max_=NUMBER,
    remote_ip_prefix_=or_null(PREFIX, 0.6),
    remote_group_id_=or_null(ref("security-groups"), 0.6),
)
_PORT = {
    "name_": NAME,
    "admin_state_up_": BOOL,
    "fixed_ips_": several(FIXED_IP),
    "security_groups_": refs("security-groups"),
    "allowed_address_pairs_": several(PAIR),
    "port_security_enabled_": BOOL,
    "mac_address_": MAC,
    "qos_policy_id_": or_null(ref("qos/policies"), 0.7),
    "binding__host_id_": lambda walk: walk.random.choice((walk.host, walk.host, "elsewhere", "")),
    "binding__vnic_type_": one_of("normal", "normal", "direct", "macvtap"),
    "extra_dhcp_opts_": several(
        body(opt_name=one_of("mtu", "66", "bootfile-name", "?"), opt_value=one_of("1400", "x", None))
    ),
    "dns_name_": one_of("", "web", "a.b", "-"),
    "device_id_": one_of("", "vm-1"),
    "device_owner_": one_of("", "compute:nova", "compute:nova", "network:dhcp"),
}
_GATEWAY = body(
    network_id=ref("networks"),
    enable_snat_=BOOL,
    external_fixed_ips_=several(FIXED_IP),
    qos_policy_id_=or_null(ref("qos/policies"), 0.7),
)
_ROUTE = body(destination=CIDR4, nexthop=IP)
_FLOATING = {"port_id_": or_null(ref("ports")), "fixed_ip_address_": or_null(IP4, 0.6), "description_": NAME}
_FORWARDING = {
    "protocol": one_of("tcp", "udp", "icmp"),
    "external_port": NUMBER,
    "internal_port": NUMBER,
    "internal_ip_address": IP4,
    "internal_port_id": ref("ports"),
}
_LIMIT = {
    "max_kbps": one_of(1, 1000, 10**9, -1),
    "max_burst_kbps_": one_of(0, 800),
    "direction_": one_of("ingress", "egress"),
}

KINDS = [
    Kind(
        "networks",
        "network",
        body(
            name_=NAME,
            admin_state_up_=BOOL,
            mtu_=one_of(68, 576, 1279, 1280, 1400, 1442, 1500, 9000, 67, 0),
            port_security_enabled_=BOOL,
            shared_=BOOL,
            router__external_=one_of(False, False, False, True),
            provider__network_type_=one_of("geneve", "vxlan", "flat", "local", "gre", None),
            provider__physical_network_=one_of(None, None, "external", "nowhere"),
            provider__segmentation_id_=one_of(None, None, 7, 8, 4095),
            qos_policy_id_=or_null(ref("qos/policies"), 0.7),
            dns_domain_=one_of("", "example.org.", "bad"),
        ),
        body(name_=NAME, admin_state_up_=BOOL, mtu_=one_of(1279, 1280, 1400, 1500), shared_=BOOL, port_security_enabled_=BOOL),
        3,
    ),
    Kind(
        "subnets",
        "subnet",
        _subnet,
        body(
            name_=NAME,
            enable_dhcp_=BOOL,
            gateway_ip_=or_null(IP),
            dns_nameservers_=several(IP),
            host_routes_=several(body(destination=CIDR4, nexthop=IP4)),
            allocation_pools_=several(body(start=IP4, end=IP4)),
        ),
        4,
    ),
    Kind("ports", "port", body(network_id=ref("networks"), **_PORT), body(**_PORT), 8),
    Kind(
        "routers",
        "router",
        body(name_=NAME, admin_state_up_=BOOL, external_gateway_info_=or_null(_GATEWAY)),
        body(name_=NAME, admin_state_up_=BOOL, external_gateway_info_=or_null(_GATEWAY), routes_=several(_ROUTE)),
    ),
    Kind("floatingips", "floatingip", body(floating_network_id=ref("networks"), **_FLOATING), body(**_FLOATING), 3),
    Kind(
        "floatingips/{floatingips}/port_forwardings", "port_forwarding", body(**_FORWARDING), body(**_FORWARDING)
    ),
    Kind("security-groups", "security_group", body(name=NAME, stateful_=BOOL), body(name_=NAME, stateful_=BOOL)),
    Kind("security-group-rules", "security_group_rule", _GROUP_RULE, None, 6),
    Kind("address-groups", "address_group", body(name_=NAME, addresses_=several(PREFIX)), body(name=NAME), 1),
    Kind("address-scopes", "address_scope", body(name=NAME, ip_version=one_of(4, 6)), body(name_=NAME), 1),
    Kind(
        "subnetpools",
        "subnetpool",
        body(name=NAME, prefixes=several(CIDR4), default_prefixlen_=one_of(8, 26), address_scope_id_=or_null(ref("address-scopes"))),
        body(name_=NAME, prefixes_=several(CIDR4), address_scope_id_=or_null(ref("address-scopes"))),
        1,
    ),
    Kind("qos/policies", "policy", body(name=NAME, shared_=BOOL), body(name_=NAME, shared_=BOOL), 1),
    Kind("qos/policies/{qos/policies}/bandwidth_limit_rules", "bandwidth_limit_rule", body(**_LIMIT), body(**_LIMIT), 1),
    Kind(
        "qos/policies/{qos/policies}/dscp_marking_rules",
        "dscp_marking_rule",
        body(dscp_mark=one_of(0, 26, 56, 1)),
        body(dscp_mark=one_of(0, 10)),
        1,
    ),
    Kind(
        "trunks",
        "trunk",
        body(port_id=ref("ports"), admin_state_up_=BOOL, sub_ports_=several(
            body(port_id=ref("ports"), segmentation_type=one_of("vlan"), segmentation_id=one_of(1, 2, 4095))
        )),
        body(name_=NAME, admin_state_up_=BOOL),
    ),
    Kind(
        "rbac-policies",
        "rbac_policy",
        body(
            object_type=one_of("network", "security_group", "qos_policy", "address_scope", "nothing"),
            object_id=lambda walk: walk.id_of(walk.random.choice(("networks", "security-groups", "qos/policies"))),
            action=one_of("access_as_shared", "access_as_external"),
            target_tenant=one_of("*", "someone"),
        ),
        None,
        1,
    ),
    Kind("log/logs", "log", body(
        resource_type=one_of("security_group"), event_=one_of("ALL", "ACCEPT", "DROP"),
        resource_id_=or_null(ref("security-groups")), target_id_=or_null(ref("ports")), enabled_=BOOL,
    ), body(enabled_=BOOL), 1),
    Kind("metering/metering-labels", "metering_label", body(name_=NAME, shared_=BOOL), None, 1),
    Kind("metering/metering-label-rules", "metering_label_rule", body(
        metering_label_id=ref("metering/metering-labels"), direction_=one_of("ingress", "egress"),
        source_ip_prefix_=PREFIX, destination_ip_prefix_=PREFIX, excluded_=BOOL,
    ), None, 1),
    Kind("local_ips", "local_ip", body(
        name_=NAME, network_id_=ref("networks"), local_port_id_=ref("ports"), local_ip_address_=IP4,
    ), body(name_=NAME), 1),
    Kind("local_ips/{local_ips}/port_associations", "port_association", body(
        fixed_port_id=ref("ports"), fixed_ip_=IP4,
    ), None, 1),
]  # fmt: skip


@dataclass
class Walk:
    """Who walks: `made` is what the answers said is there, by collection, oldest first."""

    send: Send
    seed: int
    host: str
    made: dict[str, list[str]] = field(default_factory=dict)
    statuses: dict[tuple[str, int], int] = field(default_factory=dict)
    """How often a kind of request was answered so."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def begin(self) -> None:
        """Two networks with addresses of both versions, and a group: where much of what comes is right."""
        for net in (0, 1):
            status, answer = self.send("POST", "/networks", {"network": {"name": f"n{net}"}})
            assert status == 201, answer
            network = answer["network"]["id"]
            self.made.setdefault("networks", []).append(network)
            for version, cidr in ((4, f"10.0.{net}.0/24"), (6, f"2001:db8{':1' * net}::/64")):
                subnet = {"network_id": network, "ip_version": version, "cidr": cidr}
                status, answer = self.send("POST", "/subnets", {"subnet": subnet})
                assert status == 201, answer
                self.made.setdefault("subnets", []).append(answer["subnet"]["id"])

    def id_of(self, collection: str) -> str:
        there = self.made.get(collection)
        if there and self.random.random() < 0.97:
            return self.random.choice(there)
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def step(self) -> None:
        """One request."""
        steps = {self._create: 10, self._update: 6, self._delete: 4, self._act: 6}
        (chosen,) = self.random.choices(list(steps), list(steps.values()))
        chosen()

    def _kind(self) -> Kind:
        return self.random.choices(KINDS, [kind.weight for kind in KINDS])[0]

    def _path(self, kind: Kind) -> str:
        before, _, rest = kind.path.partition("{")
        parents, _, after = rest.partition("}")
        return f"/{before}{self.id_of(parents)}{after}" if parents else f"/{kind.path}"

    def _create(self) -> None:
        kind = self._kind()
        path = self._path(kind)
        status, answer = self._ask(kind.path, "POST", path, {kind.member: kind.create(self)})
        if status == 201:
            collection = path[1:] if "{" in kind.path else kind.path
            self.made.setdefault(collection, []).append(answer[kind.member]["id"])

    def _those(self, kind: Kind) -> list[tuple[str, str]]:
        """(collection, id) of what is there of a kind."""
        start, _, rest = kind.path.partition("{")
        end = rest.rpartition("}")[2]
        found = [
            path for path in self.made if path == kind.path or (rest and path.startswith(start) and path.endswith(end))
        ]
        return [(path, id) for path in found for id in self.made[path]]

    def _update(self) -> None:
        kind = self._kind()
        if kind.update and (there := self._those(kind)):
            path, id = self.random.choice(there)
            self._ask(kind.path, "PUT", f"/{path}/{id}", {kind.member: kind.update(self)})

    def _delete(self) -> None:
        if there := self._those(self._kind()):
            self._remove(*self.random.choice(there))

    def _remove(self, path: str, id: str) -> int:
        status, _ = self._ask(path.partition("/")[0], "DELETE", f"/{path}/{id}", None)
        if status in (204, 404):
            self.made[path].remove(id)
        return status

    def _act(self) -> None:
        """What is no attribute of an object."""
        ports, subnets, routers = self.id_of("ports"), self.id_of("subnets"), self.id_of("routers")
        leg = self.random.choice(({"subnet_id": subnets}, {"subnet_id": subnets}, {"port_id": ports}))
        addresses = {"addresses": several(PREFIX)(self)}
        routes = {"router": {"routes": several(_ROUTE)(self)}}
        trunk, group = f"/trunks/{self.id_of('trunks')}", f"/address-groups/{self.id_of('address-groups')}"
        sub = {"port_id": ports, "segmentation_type": "vlan", "segmentation_id": self.random.choice((1, 2, 3))}
        gateways = {"router": {"external_gateways": [_GATEWAY(self)]}}
        tagged, tag = self.random.choice(("networks", "ports", "routers", "security-groups")), self.random.choice("abc")
        path, said = self.random.choice(
            [
                *[(f"/routers/{routers}/add_router_interface", leg)] * 5,
                *[(f"/routers/{routers}/remove_router_interface", leg)] * 2,
                (f"/routers/{routers}/add_extraroutes", routes),
                (f"/routers/{routers}/remove_extraroutes", routes),
                (f"/routers/{routers}/add_external_gateways", gateways),
                (f"/routers/{routers}/remove_external_gateways", gateways),
                (f"{group}/add_addresses", addresses),
                (f"{group}/remove_addresses", addresses),
                (f"{trunk}/add_subports", {"sub_ports": [sub]}),
                (f"{trunk}/remove_subports", {"sub_ports": [{"port_id": ports}]}),
                (f"/{tagged}/{self.id_of(tagged)}/tags/{tag}", None),
            ]
        )
        self._ask(path.rpartition("/")[2], "PUT", path, said)

    def _ask(self, kind: str, method: str, path: str, said: Any) -> tuple[int, Any]:
        status, answer = self.send(method, path, said)
        key = (f"{method} {kind}", status)
        self.statuses[key] = self.statuses.get(key, 0) + 1
        return status, answer

    def home(self, everything: Callable[[], Mapping[str, list[dict[str, Any]]]]) -> list[str]:
        """Delete all there is, in whatever order works; what cannot be deleted, and why."""
        while True:
            tried = [(one, *self._undo(path, one)) for path, objects in everything().items() for one in objects]
            if all(status >= 400 for _, status, _ in tried):
                return [f"{answer} of {one}" for one, _, answer in tried]

    def _undo(self, collection: str, one: dict[str, Any]) -> tuple[int, Any]:
        if collection == "ports" and one["device_owner"].startswith("network:router_interface"):
            path, said = f"/routers/{one['device_id']}/remove_router_interface", {"port_id": one["id"]}
            return self.send("PUT", path, said)
        if collection == "routers" and (one["external_gateway_info"] or one["routes"]):
            self.send("PUT", f"/routers/{one['id']}", {"router": {"routes": []}})
            self.send("PUT", f"/routers/{one['id']}", {"router": {"external_gateway_info": None}})
        if collection == "trunks" and not one["admin_state_up"]:
            self.send("PUT", f"/trunks/{one['id']}", {"trunk": {"admin_state_up": True}})
        return self.send("DELETE", f"/{collection}/{one['id']}", None)
