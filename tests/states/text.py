"""A host's view as text that is the same whenever the state is: by the names of things, not by their ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any

from tests.states.steps import Site
from weft.backends.linux import firewall, router, switches
from weft.backends.linux.links import Link
from weft.config import Linux, NetworkLog
from weft.logical.model import Acl, HostView, Segment

LINUX = Linux(tunnel_address="192.0.2.1", bridge_mappings={"physical": "eth1"})


# -- names


def named(view: HostView, site: Site) -> HostView:
    """`view` with names for ids and for MAC addresses that were drawn."""
    names = {id: name for name, id in site.ids.items()}
    for group in site.api.admin.list("security-groups", "name=default"):
        names[group["id"]] = f"default-{group['project_id']}"
    ports = {row["id"]: row for row in site.api.admin.list("ports")}
    for id, row in ports.items():
        if id not in names and row["device_id"] in names:
            names[id] = f"{names[row['device_id']]}-{names[row['network_id']]}"
            names[row["mac_address"]] = _mac(names[id])
    return HostView(view.host, **{name: _renamed(getattr(view, name), names) for name in _tables(view)})


def _tables(view: HostView) -> list[str]:
    return [one.name for one in fields(view) if one.name != "host"]


def _mac(name: str) -> str:
    return "fa:16:3e:" + ":".join(f"{octet:02x}" for octet in hashlib.sha256(name.encode()).digest()[:3])


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return dict(sorted((names.get(key, key), _renamed(one, names)) for key, one in value.items()))
    if isinstance(value, tuple):
        if value and isinstance(value[0], Segment):
            return value  # their order says which one a host takes
        return tuple(sorted((_renamed(one, names) for one in value), key=str))
    if isinstance(value, Acl):
        made = replace(value, **{one.name: _renamed(getattr(value, one.name), names) for one in fields(value)})
        return replace(made, id=" ".join(said(replace(made, id=""))))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _renamed(getattr(value, one.name), names) for one in fields(value)})
    return value


# -- the logical model


def logical(view: HostView) -> str:
    """Everything in the view that is not as by default."""
    lines = []
    for table in _tables(view):
        for id, value in getattr(view, table).items():
            lines.append(f"{value.key.kind} {id}")
            lines += [f"    {line}" for line in _body(value)]
    return "\n".join(lines) + "\n"


def _body(value: Any) -> Iterator[str]:
    for one in fields(value):
        found = getattr(value, one.name)
        if one.name == "id" or found == _default(one) or not one.compare:
            continue
        if isinstance(found, tuple) and found and is_dataclass(found[0]):
            for part in found:
                yield f"{one.name}: {' '.join(said(part))}"
        elif is_dataclass(found):
            yield f"{one.name}: {' '.join(said(found))}"
        else:
            yield f"{one.name}: {_word(found)}"


def _default(one: Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def said(value: Any) -> Iterator[str]:
    """The fields of a small value that are not as by default, as words."""
    for one in fields(value):
        found = getattr(value, one.name)
        if (
            found == _default(one)
            or found in ("", None)
            or not one.compare
            or (isinstance(value, Acl) and one.name == "id")
        ):
            continue
        yield f"{one.name}={_word(found)}"


def _word(value: Any) -> str:
    if is_dataclass(value):
        return f"({' '.join(said(value))})"
    if isinstance(value, frozenset):
        return " ".join(sorted(value)) or "-"
    if isinstance(value, tuple):
        return ",".join(_word(one) for one in value)
    return str(value)


# -- the kernel


def linux(view: HostView) -> str:
    """What the Linux backend makes of it: links, the firewall without its fixed part, and each router's namespace."""
    lines: list[str] = []
    for switch in view.switches.values():
        made = switches.render(switch, LINUX)
        lines += [_link(one) for one in made.links] + ([f"problem: {made.problem}"] if made.problem else [])
    for port in view.ports.values():
        if port.switch in view.switches:
            lines.append(_link(switches.attached(port, view.switches[port.switch])))
    lines += _firewall(view)
    for value in view.routers.values():
        lines += ["", *_router(router.render(value, "weft"))]
    return "\n".join(lines).strip() + "\n"


def _link(link: Link) -> str:
    return f"link {' '.join(said(link))}"


def _firewall(view: HostView) -> Iterator[str]:
    rules = firewall.render(view, {}, NetworkLog()).rules
    for owner, fragment in sorted(rules.items()):
        if owner == firewall.STATIC:
            continue
        yield f"\nrules of {owner.kind} {owner.id}"
        for name, chain in fragment.chains.items():
            yield f"    {name.family} chain {name.name} {{ {'; '.join(chain.rules)} }}"
        for name in sorted(fragment.sets.keys() | fragment.elements.keys()):
            elements = fragment.elements.get(name, {})
            words = sorted(" . ".join(key) + (f" : {data}" if data else "") for key, data in elements.items())
            yield f"    {name.family} {name.name} {{ {', '.join(words)} }}"


def _router(state: router.RouterState) -> list[str]:
    lines = [f"namespace {state.namespace}{'' if state.enabled else ' (off)'}"]
    lines += [f"leg {' '.join(said(leg))}" for leg in state.legs.values()]
    for destination, hops in sorted(state.routes.items()):
        ways = ", ".join(f"{hop.via} {hop.leg}{' onlink' if hop.onlink else ''}" for hop in sorted(hops))
        lines.append(f"route {destination} via {ways}")
    lines += [f"rule IPv{version} mark {mark}" for version, mark in sorted(state.rules)]
    lines += [f"proxy {ip} on {leg}" for leg, ip in sorted(state.proxied)]
    return [*lines, *(f"problem: {one}" for one in state.problems), *router.table(state).splitlines()]
