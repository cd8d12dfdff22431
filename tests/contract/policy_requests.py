"""The requests that ask the API's default policy rules: one for each rule and operation, put together from the facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.contract.everything import KINDS, MEMBERS, Everything, facts, plain
from tests.contract.policy_oracle import BY_NAME, RULES
from weft.api.routes import paths
from weft.resources import RESOURCES

GUARDED: dict[str, frozenset[str]] = {
    plain(path): frozenset(row["name"] for row in rows if row["policy"]) for path, rows in facts("attributes").items()
}
"""Collection -> attributes with a rule of their own when they are set."""


@dataclass(frozen=True)
class Request:
    """How a rule is asked.

    `kind`: list, show, attribute (of a list or show), create, change (of an object: update, delete, action), tags.
    `rules`: all that must allow it. `member`: what get rules call the object. `values` are those of the body.
    """

    rule: str
    kind: str
    method: str
    template: str
    collection: str
    rules: tuple[str, ...]
    member: str
    body: Any = None
    values: Mapping[str, Any] | None = None
    attribute: str = ""


Values = Callable[[Everything], Any]

NEW: Mapping[str, Mapping[str, Values]] = {
    "/networks": {
        "shared": lambda e: True,
        "router:external": lambda e: True,
        "is_default": lambda e: True,
        "port_security_enabled": lambda e: False,
        "segments": lambda e: [
            {"provider:network_type": "vlan", "provider:physical_network": "physnet1", "provider:segmentation_id": 9}
        ],
        "provider:network_type": lambda e: "vxlan",
        "pvlan": lambda e: True,
    },
    "/ports": {
        "device_id": lambda e: "device",
        "device_owner": lambda e: "network:dhcp",
        "mac_address": lambda e: "fa:16:3e:00:00:77",
        "fixed_ips": lambda e: [{"subnet_id": e.base["in flat"]}],
        "fixed_ips:ip_address": lambda e: [{"ip_address": "10.128.77.7"}],
        "fixed_ips:subnet_id": lambda e: [{"subnet_id": e.base["in flat"]}],
        "port_security_enabled": lambda e: True,
        "binding:host_id": lambda e: "h2",
        "binding:profile": lambda e: {"key": "value"},
        "binding:vnic_type": lambda e: "macvtap",
        "allowed_address_pairs": lambda e: [],
        "allowed_address_pairs:mac_address": lambda e: [
            {"ip_address": "10.128.7.7", "mac_address": "fa:16:3e:00:00:01"}
        ],
        "allowed_address_pairs:ip_address": lambda e: [{"ip_address": "10.128.7.7"}],
        "hints": lambda e: {"openvswitch": {"other_config": {"tx-steering": "hash"}}},
        "trusted": lambda e: True,
        "data_plane_status": lambda e: "ACTIVE",
        "pvlan_type": lambda e: "isolated",
        "pvlan_community": lambda e: "a",
    },
    "/subnets": {"segment_id": lambda e: None, "service_types": lambda e: ["compute:"]},
    "/address-scopes": {"shared": lambda e: True},
    "/subnetpools": {"shared": lambda e: True, "is_default": lambda e: True},
    "/floatingips": {"floating_ip_address": lambda e: "198.18.77.7"},
    "/routers": {
        "distributed": lambda e: False,
        "ha": lambda e: False,
        "external_gateway_info": lambda e: {},
        "external_gateway_info:network_id": lambda e: {"network_id": e.base["outside"]},
        "external_gateway_info:enable_snat": lambda e: {"network_id": e.base["outside"], "enable_snat": False},
        "external_gateway_info:external_fixed_ips": lambda e: {
            "network_id": e.base["outside"],
            "external_fixed_ips": [{"ip_address": "198.18.77.8"}],
        },
        "enable_default_route_bfd": lambda e: False,
        "enable_default_route_ecmp": lambda e: False,
        "evpn_vni": lambda e: 77,
        "external_gateways": lambda e: [],
        "external_gateways:network_id": lambda e: [{"network_id": e.base["outside"]}],
        "external_gateways:enable_snat": lambda e: [{"network_id": e.base["outside"], "enable_snat": True}],
        "external_gateways:external_fixed_ips": lambda e: [
            {"network_id": e.base["outside"], "external_fixed_ips": [{"subnet_id": e.base["in outside"]}]}
        ],
    },
    "/rbac-policies": {"target_tenant": lambda e: "*", "target_project": lambda e: "*"},
}
"""Collection -> attribute, or key within it -> a value that the rule for setting it is asked about."""

TOGETHER: Mapping[tuple[str, str], Values] = {
    ("/networks", "provider:physical_network"): lambda e: {
        "provider:network_type": "vlan",
        "provider:physical_network": "physnet1",
    },
    ("/networks", "provider:segmentation_id"): lambda e: {
        "provider:network_type": "vxlan",
        "provider:segmentation_id": 777,
    },
    ("/networks", "is_default"): lambda e: {"is_default": True, "router:external": True},
    ("/ports", "pvlan_type"): lambda e: {"network_id": e.base["private"], "pvlan_type": "isolated"},
    ("/ports", "pvlan_community"): lambda e: {
        "network_id": e.base["private"],
        "pvlan_type": "community",
        "pvlan_community": "a",
    },
}
"""What means nothing alone. Only in creation; updates say the one attribute."""

ACTIONS: Mapping[str, Values] = {
    "add_addresses": lambda e: {"addresses": ["10.7.0.0/24"]},
    "remove_addresses": lambda e: {"addresses": ["10.0.0.0/24"]},
    "onboard_network_subnets": lambda e: {"network_id": e.base["onboarded"]},
    "add_prefixes": lambda e: {"prefixes": ["10.7.0.0/16"]},
    "remove_prefixes": lambda e: {"prefixes": ["10.0.0.0/24"]},
    "add_router_interface": lambda e: {"subnet_id": e.base["in onboarded"]},
    "remove_router_interface": lambda e: {"subnet_id": e.base["in routed"]},
    "add_extraroutes": lambda e: {"router": {"routes": [{"destination": "10.9.0.0/24", "nexthop": "172.18.0.9"}]}},
    "remove_extraroutes": lambda e: {"router": {"routes": []}},
    "add_subports": lambda e: {
        "sub_ports": [{"port_id": e.base["loose port"], "segmentation_type": "vlan", "segmentation_id": 7}]
    },
    "remove_subports": lambda e: {"sub_ports": [{"port_id": e.base["sub-port"]}]},
    "activate": lambda e: None,
}
"""Member action -> its body."""

DECLARED = {plain(path): frozenset(one.by_name) for one in RESOURCES for path in paths(one)}
"""Collection -> the attributes that its objects have here."""

ONE_FOR_EACH_PROJECT = ("/security-groups-default-statefulness",)

UNASKED = {
    "create_agent": "agents report themselves",
    "create_rbac_policy:target_project": "the API knows no such attribute",
    "update_rbac_policy:target_project": "the API knows no such attribute",
    **{f"{verb}_segments_tags": "segments have no tags" for verb in ("create", "get", "update", "delete")},
}
"""Rule -> why no request asks it."""

GATEWAYS = ("add_external_gateways", "update_external_gateways", "remove_external_gateways")
SHORTENED = (*GATEWAYS, "activate")
"""Actions whose path the facts' policies shorten to the object's."""


def prepare(e: Everything) -> None:
    """What the actions of ACTIONS need."""
    owner = e.owner
    e.base["private"] = owner.make("networks", pvlan=True)["id"]
    for name, cidr in (("onboarded", "172.17.0.0/24"), ("routed", "172.18.0.0/24")):
        e.base[name] = owner.make("networks", name=name)["id"]
        subnet = owner.make("subnets", network_id=e.base[name], ip_version=4, cidr=cidr)
        e.base[f"in {name}"] = subnet["id"]
    router = e.entries["/routers"].id
    assert owner.put(f"routers/{router}/add_router_interface", {"subnet_id": e.base["in routed"]})[0] == 200
    outside = {"router": {"external_gateways": [{"network_id": e.base["outside"]}]}}
    assert owner.put(f"routers/{router}/add_external_gateways", outside)[0] == 200
    e.base["loose port"] = owner.make("ports", network_id=e.base["narrow"])["id"]
    e.base["sub-port"] = owner.make("ports", network_id=e.base["narrow"])["id"]
    sub = {"port_id": e.base["sub-port"], "segmentation_type": "vlan", "segmentation_id": 8}
    assert owner.put(f"trunks/{e.entries['/trunks'].id}/add_subports", {"sub_ports": [sub]})[0] == 200


def every(e: Everything) -> Iterator[Request]:
    """The requests for all rules whose paths are served."""
    for rule in RULES:
        for operation in rule["operations"]:
            method, _, path = operation.partition(" ")
            template = plain(path)
            name = rule["name"]
            action = name.partition(":")[0]
            if action in SHORTENED:
                template += f"/{action}"
            if name in UNASKED or not e.served(template) or not _known(name, template):
                continue
            for part in ("_tags", ":tags"):
                if name.endswith(part):
                    yield _tags(name, method, template)
                    break
            else:
                yield _request(e, name, method, template)


def _known(name: str, template: str) -> bool:
    """Whether the attribute that a rule is about is declared."""
    outer = _within(name.partition(":")[2]) or name.partition(":")[2]
    collection = template.removesuffix("/{}")
    return outer in ("", "tags") or collection not in DECLARED or outer in DECLARED[collection]


def _tags(name: str, method: str, template: str) -> Request:
    collection, _, rest = template.partition("/tags")
    body = {"tags": ["new"]} if method in ("POST", "PUT") and not rest else None
    collection = collection.removesuffix("/{}")
    return Request(name, "tags", method, template, collection, (name,), _called(collection), body)


def _request(e: Everything, name: str, method: str, template: str) -> Request:
    action, _, attribute = name.partition(":")
    last = template.rpartition("/")[2]
    if action in (*ACTIONS, *GATEWAYS, "get_subports"):
        collection = template.removesuffix(f"/{last}").removesuffix("/{}")
        return _acting(e, name, method, template, collection, attribute)
    collection = template.removesuffix("/{}")
    member = action.partition("_")[2]
    if method == "GET":
        if attribute:
            return Request(name, "attribute", method, template, collection, (name,), member, attribute=attribute)
        kind = "show" if template.endswith("}") else "list"
        return Request(name, kind, method, template, collection, (name,), member)
    if method == "DELETE":
        if collection == "/ports/{}/bindings":
            template = f"{collection}/{{}}"
        return Request(name, "change", method, template, collection, (name,), member)
    if method == "POST":
        number = 0 if collection in ONE_FOR_EACH_PROJECT else 2000
        values = {**e.values(collection, number), **_said(e, collection, attribute, creating=True)}
    else:
        values = _said(e, collection, attribute) if attribute else _change(e, collection)
    rules = tuple(_asked(action, collection, values))
    bare = collection in KINDS and KINDS[collection].body == "-"
    body = values if bare else {MEMBERS[collection]: values}
    kind = "create" if method == "POST" else "change"
    return Request(name, kind, method, template, collection, rules, member, body, values)


def _acting(e: Everything, name: str, method: str, template: str, collection: str, attribute: str) -> Request:
    action = name.partition(":")[0]
    if action in GATEWAYS:
        values = _said(e, collection, attribute or "external_gateways:network_id")
        rules = tuple(_asked(action, collection, values))
        return Request(
            name, "change", "PUT", template, collection, rules, "router", {MEMBERS[collection]: values}, values
        )
    body = ACTIONS[action](e) if action in ACTIONS else None
    return Request(name, "change", method, template, collection, (name,), _called(collection), body)


def _said(e: Everything, collection: str, attribute: str, creating: bool = False) -> dict[str, Any]:
    """The value of an attribute that a rule is about, with what it cannot be without."""
    if not attribute:
        return {}
    if creating and (collection, attribute) in TOGETHER:
        return dict(TOGETHER[collection, attribute](e))
    known = NEW[collection]
    names = [one for one in (attribute, attribute.rpartition(":")[0]) if one in known]
    if not names:
        return {attribute: TOGETHER[collection, attribute](e)[attribute]}
    return {attribute if names[0] == attribute and not _within(attribute) else _within(attribute): known[names[0]](e)}


def _within(attribute: str) -> str:
    """The attribute that a rule for one of its keys is about: `fixed_ips:ip_address` -> `fixed_ips`."""
    outer = attribute.rpartition(":")[0]
    return (
        outer if outer in ("fixed_ips", "allowed_address_pairs", "external_gateway_info", "external_gateways") else ""
    )


def _change(e: Everything, collection: str) -> dict[str, Any]:
    special: dict[str, dict[str, Any]] = {
        "/quotas": {"network": -1, "port": -1},
        "/agents": {"description": "changed"},
        "/qos/alias-bandwidth-limit-rules": {"max_kbps": 9},
        "/qos/alias-dscp-marking-rules": {"dscp_mark": 10},
        "/qos/alias-minimum-bandwidth-rules": {"min_kbps": 9},
        "/qos/alias-minimum-packet-rate-rules": {"min_kpps": 9},
    }
    return special[collection] if collection in special else dict(KINDS[collection].change)


def _asked(action: str, collection: str, values: Mapping[str, Any]) -> Iterator[str]:
    """The rules for a body: the operation's, those of the attributes set that have one, those of the keys within."""
    yield action
    if "{}" in collection:
        return
    for name in sorted(GUARDED.get(collection, frozenset()) & values.keys()):
        rule = f"{action}:{name}"
        yield rule
        value = values[name]
        if isinstance(value, list):
            yield from dict.fromkeys(f"{rule}:{key}" for item in value if isinstance(item, dict) for key in item)
        elif isinstance(value, dict) and any(one.startswith(f"{rule}:") for one in BY_NAME):
            yield from (f"{rule}:{key}" for key in value)


def _called(collection: str) -> str:
    """What get rules call the objects of a collection."""
    return {"/ports/{}/bindings": "port_binding"}.get(collection, MEMBERS[collection])
