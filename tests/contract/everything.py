"""An installation in which one project has one of everything that the API knows, and how each kind of object is made.

Paths are those of the facts, below /v2.0, with hyphens and `{}` for ids: `/floatingips/{}/port-forwardings`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falcon import testing

from tests.api.conftest import Api
from weft import app, config
from weft.api.routes import paths
from weft.context import Context
from weft.registry.resource import Row
from weft.resources import RESOURCES, agent
from weft.store.engine import Store

OWNER = "0" * 31 + "1"
EVERY_ROLE = "admin,manager,member,reader,service"
FACTS = Path(__file__).parent / "facts"
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "api": {
        "backend": "elsewhere",
        "vlan_transparent": True,
        "vlan_qinq": True,
        "default_availability_zones": (),
        "agent_down_time": 100_000,
    },
    "ml2": {"network_vlan_ranges": ("physnet1:1:2000",), "project_network_types": ("vxlan",)},
    "quotas": {
        f"quota_{name}": -1
        for name in ("network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule")
    }
    | {"quota_rbac_policy": -1},
}
"""A dataplane that is taken at its word, and no limits."""


def facts(name: str) -> Any:
    return json.loads((FACTS / f"{name}.json").read_text())


ACTIONS = frozenset(name for row in facts("operations").values() for name in row["actions"])
"""What objects can be told to do: the last word of paths that keep their underscores."""


def plain(path: str) -> str:
    """A path as it is written here: `/v2.0/log/logs/{log_id}` -> `/log/logs/{}`."""
    below = re.sub(r"\{[^}]*\}", "{}", path.removeprefix("/v2.0").rstrip("/"))
    head, slash, last = below.rpartition("/")
    below = head.replace("_", "-") + slash + (last if last in ACTIONS else last.replace("_", "-"))
    return {"/quota": "/quotas", "/quota/{}": "/quotas/{}"}.get(below, re.sub("^/policies", "/qos/policies", below))


@dataclass(frozen=True)
class Entry:
    """An object: as an administrator sees it, how URLs name it, and the id of what it hangs below."""

    row: Row
    id: str
    above: str = ""


@dataclass
class Everything:
    """`entries`: one of each collection. `base`: the ids of what they hang on, which is used by nothing else."""

    api: Api
    entries: dict[str, Entry] = field(default_factory=dict)
    base: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> Api:
        return self.api.as_(OWNER, EVERY_ROLE)

    def served(self, path: str) -> bool:
        """Whether the API has a route for a path."""
        router = self.api.client.app._router
        return router.find(f"/v2.0{path.replace('{}', 'x')}") is not None

    def collections(self) -> list[str]:
        """Those of KINDS that are served, in an order in which they can be made."""
        return [path for path in KINDS if self.served(path)]

    def path(self, template: str) -> str:
        """`template` with the ids of the entries in it."""
        collection = next((one for one in sorted(self.entries, key=len, reverse=True) if _covers(one, template)), "")
        if not collection:
            return template
        entry = self.entries[collection]
        rest = template[len(collection) :].replace("{}", entry.id, 1)
        return f"{collection.replace('{}', entry.above, 1)}{rest}".replace("/tags/{}", "/tags/old")

    def spread(self, collection: str, i: int, **values: Any) -> str:
        """The id of what the `i`th of something hangs on, which has fifty of them at most."""
        name = f"{collection} {i // 50}"
        if name not in self.base:
            self.base[name] = self.owner.make(collection, name=name, **values)["id"]
        return self.base[name]

    def address(self, i: int) -> str:
        """A floating IP for the `i`th port forwarding."""
        name = f"floatingip {i // 50}"
        if name not in self.base:
            self.base[name] = self.owner.make("floatingips", floating_network_id=self.base["outside"])["id"]
        return self.base[name]

    def bound(self, i: int) -> str:
        """A port that is bound to h1."""
        server = {"device_owner": "compute:nova", "device_id": "vm", "binding:host_id": "h1"}
        return str(self.owner.make("ports", network_id=self.base["flat"], **server)["id"])

    def reachable(self, i: int) -> dict[str, Any]:
        """A port that an NDP proxy can stand for."""
        made = self.owner.make("ports", network_id=self.base["six"])
        return {"router_id": self.base["outer"], "port_id": made["id"]}

    def values(self, path: str, i: int) -> dict[str, Any]:
        """What the `i`th object of a collection is made of."""
        return KINDS[path].values(self, i)

    def make(self, path: str, i: int = 0) -> Entry:
        """Make the `i`th object of a collection."""
        kind = KINDS[path]
        above = kind.above(self, i)
        member = "" if kind.body == "-" else MEMBERS[path]
        values = self.values(path, i)
        status, body = self.owner.post(path.replace("{}", above, 1), _wrapped(member, values))
        assert status == 201, (path, body)
        row = values if body is None else body.get(member, body)
        return Entry(row, str(row[kind.key] if kind.key in row else values[kind.key]), above)

    def fill(self, path: str, numbers: Iterable[int]) -> None:
        """Make many objects of a collection in one transaction, without a request for each where none is needed."""
        if KINDS[path].key != "id":
            for i in numbers:
                self.make(path, i)
            return
        (resource,) = {one for one in RESOURCES if path in {plain(each) for each in paths(one)}}
        roles = frozenset(EVERY_ROLE.split(","))
        context = Context(user_id="u", project_id=OWNER, roles=roles, is_admin=True, is_service=True)
        made = [(self.values(path, i), KINDS[path].above(self, i)) for i in numbers]

        def work(tx: Any) -> None:
            for values, above in made:
                row = resource.reader.create(values, context)
                if resource.parent:
                    row[resource.parent.column] = above
                resource.strategy.create(tx, row)

        self.api.inside(work, context)


def _covers(collection: str, template: str) -> bool:
    return template == collection or template.startswith(f"{collection}/{{}}")


def _wrapped(member: str, values: dict[str, Any]) -> dict[str, Any]:
    return {member: values} if member else values


@dataclass(frozen=True)
class Kind:
    """How the objects of a collection are made: the values of the `i`th, the id of its parent, and what an update sets.

    `key`: by which URLs name it. `body`: the key of the bodies, where it is not the member; '-' is none.
    """

    values: Callable[[Everything, int], dict[str, Any]]
    above: Callable[[Everything, int], str] = lambda _, i: ""
    change: Mapping[str, Any] = field(default_factory=lambda: {"name": "changed"})
    key: str = "id"
    body: str = ""


OPERATIONS: dict[str, dict[str, Any]] = {plain(path): row for path, row in facts("operations").items()}
MEMBERS = {path: row["member"] for path, row in OPERATIONS.items()}


def below_ten(i: int) -> str:
    """The `i`th prefix of 24 bits of 10.0.0.0/9."""
    return f"10.{i // 250}.{i % 250}.0/24"


def _vlan(e: Everything, i: int) -> dict[str, Any]:
    """A port of its own for the `i`th of something."""
    return {"port_id": e.owner.make("ports", network_id=e.base["narrow"])["id"]}


def _forwarding(e: Everything, i: int) -> dict[str, Any]:
    inside = {"internal_port_id": e.base["server"], "internal_ip_address": e.base["server's address"]}
    return {**inside, "internal_port": i + 1, "external_port": i + 1, "protocol": "tcp"}


def _qos(field: str, **more: Any) -> Kind:
    """Rules of policies of their own: a policy has few."""

    def policy(e: Everything, i: int) -> str:
        return str(e.owner.make("qos/policies", name=f"of rule {i}")["id"])

    return Kind(lambda _, i: {field: 8, **more}, policy, {field: 10})


KINDS: dict[str, Kind] = {
    "/networks": Kind(lambda e, i: {"name": f"n{i}"}),
    "/subnets": Kind(lambda e, i: {"network_id": e.spread("networks", i), "ip_version": 4, "cidr": below_ten(i)}),
    "/ports": Kind(lambda e, i: {"network_id": e.base["flat"], "name": f"p{i}"}),
    "/security-groups": Kind(lambda e, i: {"name": f"g{i}"}),
    "/security-group-rules": Kind(
        lambda e, i: {
            "security_group_id": e.base["group"],
            "direction": "ingress",
            "protocol": "tcp",
            "port_range_min": i + 1,
            "port_range_max": i + 1,
        }
    ),
    "/default-security-group-rules": Kind(
        lambda e, i: {
            "direction": "ingress",
            "protocol": "tcp",
            "port_range_min": i + 1,
            "port_range_max": i + 1,
            "used_in_default_sg": False,
            "used_in_non_default_sg": False,
        }
    ),
    "/security-groups-default-statefulness": Kind(
        lambda e, i: {"stateful": True, **({"project_id": f"{i + 9:032x}"} if i else {})}, change={"stateful": False}
    ),
    "/address-groups": Kind(lambda e, i: {"name": f"a{i}", "addresses": ["10.0.0.0/24"]}),
    "/address-scopes": Kind(lambda e, i: {"name": f"s{i}", "ip_version": 4}),
    "/subnetpools": Kind(lambda e, i: {"name": f"p{i}", "prefixes": ["10.0.0.0/16"]}),
    "/routers": Kind(lambda e, i: {"name": f"r{i}"}),
    "/routers/{}/conntrack-helpers": Kind(
        lambda e, i: {"protocol": "tcp", "port": i + 1, "helper": "ftp"},
        lambda e, i: e.base["router"],
        {"port": 60000},
    ),
    "/floatingips": Kind(lambda e, i: {"floating_network_id": e.base["outside"]}, change={"description": "changed"}),
    "/floatingips/{}/port-forwardings": Kind(_forwarding, lambda e, i: e.address(i), {"internal_port": 60000}),
    "/ports/{}/bindings": Kind(
        lambda e, i: {"host": "h2"}, lambda e, i: e.bound(i), {"profile": {"key": "value"}}, key="host"
    ),
    "/rbac-policies": Kind(
        lambda e, i: {
            "object_type": "network",
            "object_id": e.base["flat"],
            "action": "access_as_shared",
            "target_tenant": f"{i + 3:032x}",
        },
        change={"target_tenant": "f" * 32},
    ),
    "/flavors": Kind(lambda e, i: {"name": f"f{i}", "service_type": "L3_ROUTER_NAT"}),
    "/service-profiles": Kind(lambda e, i: {"metainfo": f"m{i}"}, change={"description": "changed"}),
    "/flavors/{}/service-profiles": Kind(
        lambda e, i: {"id": e.owner.make("service_profiles", metainfo=f"bound {i}")["id"]},
        lambda e, i: e.base["flavor"],
    ),
    "/network-segment-ranges": Kind(
        lambda e, i: {"network_type": "vxlan", "minimum": 100000 + 2 * i, "maximum": 100000 + 2 * i}
    ),
    "/metering/metering-labels": Kind(lambda e, i: {"name": f"m{i}"}),
    "/metering/metering-label-rules": Kind(
        lambda e, i: {
            "metering_label_id": e.spread("metering/metering-labels", i),
            "direction": "ingress",
            "remote_ip_prefix": below_ten(i),
        }
    ),
    "/log/logs": Kind(lambda e, i: {"resource_type": "security_group", "name": f"l{i}"}),
    "/trunks": Kind(_vlan),
    "/qos/policies": Kind(lambda e, i: {"name": f"q{i}"}),
    "/qos/policies/{}/bandwidth-limit-rules": _qos("max_kbps"),
    "/qos/policies/{}/dscp-marking-rules": _qos("dscp_mark"),
    "/qos/policies/{}/minimum-bandwidth-rules": _qos("min_kbps"),
    "/qos/policies/{}/minimum-packet-rate-rules": _qos("min_kpps"),
    "/qos/policies/{}/packet-rate-limit-rules": _qos("max_kpps"),
    "/segments": Kind(
        lambda e, i: {
            "network_id": e.base["segmented"],
            "network_type": "vlan",
            "physical_network": "physnet1",
            "segmentation_id": i + 100,
        }
    ),
    "/local-ips": Kind(lambda e, i: {"name": f"l{i}", "network_id": e.base["flat"]}),
    "/local-ips/{}/port-associations": Kind(
        lambda e, i: {"fixed_port_id": e.owner.make("ports", network_id=e.base["flat"])["id"]},
        lambda e, i: e.base["local ip"],
        key="fixed_port_id",
    ),
    "/ndp-proxies": Kind(lambda e, i: e.reachable(i), change={"description": "changed"}),
    "/agents/{}/l3-routers": Kind(
        lambda e, i: {"router_id": e.owner.make("routers")["id"]},
        lambda e, i: e.base["L3 agent"],
        change={"ha_chassis_priority": 5},
        key="router_id",
        body="-",
    ),
    "/agents/{}/dhcp-networks": Kind(
        lambda e, i: {"network_id": e.owner.make("networks")["id"]},
        lambda e, i: e.base["DHCP agent"],
        key="network_id",
        body="-",
    ),
}
"""Collection -> how its objects are made, in an order in which they can be."""

MADE_OTHERWISE = {
    "/agents": "they report themselves",
    "/auto-allocated-topology": "the first GET builds it",
    "/quotas": "every project has them",
    "/networks/{}/dhcp-agents": "the agents' side makes them",
    "/routers/{}/l3-agents": "the agents' side makes them",
    "/qos/alias-bandwidth-limit-rules": "a second address of the rules of policies",
    "/qos/alias-dscp-marking-rules": "a second address of the rules of policies",
    "/qos/alias-minimum-bandwidth-rules": "a second address of the rules of policies",
    "/qos/alias-minimum-packet-rate-rules": "a second address of the rules of policies",
    "/flavors/{}/next-providers": "computed",
    "/availability-zones": "computed",
    "/floatingip-pools": "computed",
    "/log/loggable-resources": "computed",
    "/network-ip-availabilities": "computed",
    "/qos/rule-types": "computed",
    "/service-providers": "computed",
}
"""Collection -> why nobody creates its objects."""


def _settle(e: Everything) -> None:
    """What the objects hang on: hosts, networks and their subnets, routers with and without a gateway."""
    for host in ("h1", "h2"):
        for agent_type in ("Linux bridge agent", "L3 agent", "DHCP agent"):
            facts = {"agent_type": agent_type, "host": host, "binary": "weft", "topic": "N/A"}
            configurations = {"backend": "linux", "tunnel_types": ["vxlan"], "bridge_mappings": {"physnet1": "eth9"}}
            e.api.inside(lambda tx, f=facts, c=configurations: agent.report(tx, configurations=c, **f))
    for row in e.owner.list("agents", "host=h1"):
        e.base[row["agent_type"]] = row["id"]

    def network(name: str, cidr: str = "", **values: Any) -> str:
        made = str(e.owner.make("networks", name=name, **values)["id"])
        e.base[name] = made
        if cidr:
            version = 6 if ":" in cidr else 4
            e.base[f"in {name}"] = e.owner.make("subnets", network_id=made, ip_version=version, cidr=cidr)["id"]
        return made

    network("outside", "198.18.0.0/16", **{"router:external": True, "is_default": True})
    network("flat", "10.128.0.0/9")  # so large that the first address that is tried is free
    network("narrow")
    network("inner", "172.16.0.0/24")
    physical = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    network("segmented", **physical, **{"provider:segmentation_id": 1})
    gateway = {"external_gateway_info": {"network_id": e.base["outside"]}}
    e.base["router"] = e.owner.make("routers", name="base", **gateway)["id"]
    for name in ("flat", "inner"):
        path = f"routers/{e.base['router']}/add_router_interface"
        assert e.owner.put(path, {"subnet_id": e.base[f"in {name}"]})[0] == 200
    e.base["group"] = e.owner.make("security-groups", name="base")["id"]
    server = e.owner.make("ports", network_id=e.base["inner"])
    e.base["server"], e.base["server's address"] = server["id"], server["fixed_ips"][0]["ip_address"]
    e.base["flavor"] = e.owner.make("flavors", name="base", service_type="QOS")["id"]
    _settle_what_may_be_missing(e, network)


def _settle_what_may_be_missing(e: Everything, network: Callable[..., str]) -> None:
    if e.served("/local-ips"):
        e.base["local ip"] = e.owner.make("local-ips", network_id=e.base["flat"])["id"]
    if e.served("/ndp-proxies"):
        scope = e.owner.make("address-scopes", name="six", ip_version=6)["id"]
        pool = e.owner.make("subnetpools", name="six", prefixes=["2001:db8::/48"], address_scope_id=scope)["id"]
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        wanted = {"ip_version": 6, "subnetpool_id": pool, "prefixlen": 64}
        outer = network("outer", **{"router:external": True})
        e.owner.make("subnets", network_id=outer, **wanted)
        inside = e.owner.make("subnets", network_id=network("six"), **wanted, **modes)["id"]
        info = {"external_gateway_info": {"network_id": outer}}
        e.base["outer"] = e.owner.make("routers", name="outer", enable_ndp_proxy=True, **info)["id"]
        assert e.owner.put(f"routers/{e.base['outer']}/add_router_interface", {"subnet_id": inside})[0] == 200


def _find_the_rest(e: Everything) -> None:
    """Entries for what nobody creates."""
    topology = e.owner.request("GET", f"auto-allocated-topology/{OWNER}")
    assert topology[0] == 200, topology
    e.entries["/auto-allocated-topology"] = Entry(topology[1]["auto_allocated_topology"], OWNER)
    row = e.owner.list("agents", "host=h2")[0]
    e.entries["/agents"] = Entry(row, row["id"])
    limits = e.owner.put(f"quotas/{OWNER}", {"quota": {"network": -1}})
    e.entries["/quotas"] = Entry({**limits[1]["quota"], "project_id": OWNER}, OWNER)
    flat = e.base["flat"]
    e.entries["/network-ip-availabilities"] = Entry(e.owner.show("network-ip-availabilities", flat), flat)
    for rule in ("bandwidth", "dscp", "minimum-bandwidth", "minimum-packet"):
        path = next(one for one in e.entries if one.startswith(f"/qos/policies/{{}}/{rule}"))
        entry = e.entries[path]
        e.entries[f"/qos/alias-{path.rpartition('/')[2]}"] = Entry(entry.row, entry.id)
    for path, above in (("/networks/{}/dhcp-agents", e.base["flat"]), ("/routers/{}/l3-agents", e.base["router"])):
        e.entries[path] = Entry(e.owner.list(path.replace("{}", above))[0], "", above)
    for path in ("/availability-zones", "/floatingip-pools", "/log/loggable-resources", "/service-providers"):
        rows = e.owner.list(path)
        e.entries[path] = Entry(rows[0] if rows else {}, "")
    e.entries["/qos/rule-types"] = Entry({"name": "dscp_marking"}, "dscp_marking")


def build(folder: Path, authenticate: Any, database: str = "") -> Everything:
    """An installation that `authenticate` says the callers of. Its store is the caller's to close."""
    given = {section: dict(values) for section, values in OPTIONS.items()}
    given["api"]["state_path"] = str(folder)
    given["database"] = {"connection": database}
    chosen = config.load(**given)
    store = Store(chosen)
    app.create_schema(store)
    e = Everything(Api(testing.TestClient(app.make_api(chosen, authenticate, store=store)), store, chosen))
    for version, prefix, length in ((4, "10.200.0.0/16", 26), (6, "fd00::/48", 64)):
        values = {"prefixes": [prefix], "default_prefixlen": length, "is_default": True, "shared": True}
        e.api.admin.make("subnetpools", name=f"default-{version}", **values)
    _settle(e)
    for path in e.collections():
        e.entries[path] = e.make(path)
        if OPERATIONS[path]["tags"]:
            assert e.owner.put(f"{e.path(path + '/{}')}/tags", {"tags": ["old"]})[0] == 200
    _find_the_rest(e)
    return e
