"""Requests that build a named state, as data: what each makes, what it needs first, how it is taken back."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.api.conftest import Api

_NAME = re.compile(r"@([\w.-]+)")


@dataclass(frozen=True)
class Step:
    """One request. `@name` in path and body stands for the id of what the step of that name made.

    `undo` is the request that takes it back: (method, path, body). `after`: names of steps that come first although
    nothing in the request says so.
    """

    name: str
    method: str
    path: str
    body: Any = None
    undo: tuple[str, str, Any] = ("", "", None)
    after: tuple[str, ...] = ()
    project: str = "p1"

    @property
    def needs(self) -> set[str]:
        return set(_NAME.findall(f"{self.path} {self.body}")) | set(self.after)


def make(collection: str, name: str, *, project: str = "p1", after: Iterable[str] = (), **values: Any) -> Step:
    """POST to a collection. The object is called by its name in goldens."""
    named = values if collection in ("floatingips", "security-group-rules") else {"name": name, **values}
    undo = ("DELETE", f"{collection}/@{name}", None)
    return Step(name, "POST", collection, {_member(collection): named}, undo, tuple(after), project)


def network(name: str, vni: int, **values: Any) -> Step:
    return make("networks", name, **{"provider:network_type": "vxlan", "provider:segmentation_id": vni, **values})


def outside(name: str, physical: str = "external") -> Step:
    flat = {"provider:network_type": "flat", "provider:physical_network": physical}
    return make("networks", name, **flat, **{"router:external": True})


def subnet(name: str, on: str, cidr: str, **values: Any) -> Step:
    version = 6 if ":" in cidr else 4
    return make("subnets", name, network_id=f"@{on}", cidr=cidr, ip_version=version, **values)


def port(name: str, on: str, number: int, **values: Any) -> Step:
    """A port on the host of the follower, whose MAC ends in `number`; `fixed` are its addresses as subnet=ip."""
    fixed = values.pop("fixed", {})
    if fixed:
        values["fixed_ips"] = [{"subnet_id": f"@{of}", "ip_address": ip} for of, ip in fixed.items()]
    values.setdefault("binding:host_id", "here")
    return make("ports", name, network_id=f"@{on}", mac_address=f"fa:16:3e:00:00:{number:02x}", **values)


def rule(name: str, group: str, direction: str, ethertype: str = "IPv4", **values: Any) -> Step:
    said = {"security_group_id": f"@{group}", "direction": direction, "ethertype": ethertype, **values}
    return make("security-group-rules", name, **said)


def log(name: str, *, project: str = "p1", after: Iterable[str] = (), **values: Any) -> Step:
    body = {"name": name, "resource_type": "security_group", **values}
    return Step(name, "POST", "log/logs", {"log": body}, ("DELETE", f"log/logs/@{name}", None), tuple(after), project)


def router(name: str, outside: str = "", address: str = "", **values: Any) -> Step:
    """A router, with the gateway `address` on the subnet `outside` of the network of that name without its number."""
    if outside:
        fixed = [{"subnet_id": f"@{outside}", "ip_address": address}]
        gateway = {"network_id": f"@{outside[:-1]}", "external_fixed_ips": fixed}
        values["external_gateway_info"] = gateway | values.pop("gateway", {})
    return make("routers", name, **values)


def attach(router: str, subnet: str) -> Step:
    body = {"subnet_id": f"@{subnet}"}
    path = f"routers/@{router}"
    undo = ("PUT", f"{path}/remove_router_interface", body)
    return Step(f"{router}-{subnet}", "PUT", f"{path}/add_router_interface", body, undo)


def further_gateway(router: str, outside: str, address: str, *after: str) -> Step:
    """One more gateway of a router, which is created with one."""
    fixed = [{"subnet_id": f"@{outside}", "ip_address": address}]
    body = {"router": {"external_gateways": [{"network_id": f"@{outside[:-1]}", "external_fixed_ips": fixed}]}}
    path = f"routers/@{router}"
    undo = ("PUT", f"{path}/remove_external_gateways", body)
    return Step(f"{router}-{outside}", "PUT", f"{path}/add_external_gateways", body, undo, after)


def change(name: str, collection: str, of: str, now: dict[str, Any], before: dict[str, Any], *after: str) -> Step:
    """PUT `now`; taken back by PUT `before`."""
    path, member = f"{collection}/@{of}", _member(collection)
    return Step(name, "PUT", path, {member: now}, ("PUT", path, {member: before}), after)


def floating_ip(name: str, outside: str, address: str, port: str, *way: str) -> Step:
    """A floating IP; `way`: the steps that lead from outside to its port."""
    said = {"floating_network_id": f"@{outside}", "floating_ip_address": address}
    return make("floatingips", name, **said, **({"port_id": f"@{port}"} if port else {}), after=way)


def forwarding(name: str, fip: str, port: str, ip: str, *way: str, **values: Any) -> Step:
    path = f"floatingips/@{fip}/port_forwardings"
    said = {"internal_port_id": f"@{port}", "internal_ip_address": ip, **values}
    return Step(name, "POST", path, {"port_forwarding": said}, ("DELETE", f"{path}/@{name}", None), way)


def _member(collection: str) -> str:
    name = collection.replace("-", "_")
    return f"{name[:-3]}y" if name.endswith("ies") else name[:-1]


@dataclass
class Site:
    """What has been built of a state by an administrator."""

    api: Api
    ids: dict[str, str] = field(default_factory=dict)

    def do(self, step: Step) -> None:
        answer = self._ask(step.project, step.method, step.path, step.body)
        if step.method == "POST":
            (made,) = answer.values()
            self.ids[step.name] = made["id"]

    def undo(self, step: Step) -> None:
        self._ask(step.project, *step.undo)
        self.ids.pop(step.name, None)

    def _ask(self, project: str, method: str, path: str, body: Any) -> Any:
        api = self.api.as_(project, "admin,member,reader")
        status, answer = api.request(method, self._filled(path), self._filled(body))
        assert status < 400, (method, path, body, answer)
        return answer

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return _NAME.sub(lambda found: self.ids[found[1]], value)
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if isinstance(value, dict):
            return {key: self._filled(one) for key, one in value.items()}
        return value


def in_order(steps: Sequence[Step], wish: Iterable[Step]) -> list[Step]:
    """All steps in the order of `wish`, as far as what each needs comes first."""
    left, done, found = list(wish), set[str](), []
    assert len(left) == len(steps)
    while left:
        step = next(one for one in left if one.needs <= done)
        left.remove(step)
        done.add(step.name)
        found.append(step)
    return found


def backwards(steps: Sequence[Step]) -> list[Step]:
    return in_order(steps, reversed(steps))


def shuffled(steps: Sequence[Step], seed: int) -> list[Step]:
    return in_order(steps, random.Random(seed).sample(steps, len(steps)))
