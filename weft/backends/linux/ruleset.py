"""A rule set as values: fragments by owner, compared to give the one transaction that turns the old into the new."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from weft.backends.linux.nft import ElementChange, SetType

TABLE = "weft"
BESIDE = "weft-next"
"""The same for as long as another rule set takes the place of that which is in TABLE."""


class Name(NamedTuple):
    """A chain or a set: family of its table (all tables of ours are called `weft`) and its own name."""

    family: str
    name: str


class Owner(NamedTuple):
    """What a fragment was rendered from: a kind ("port", "group", ..., "policy", "static") and an id."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order. `hook`: of a base chain, e.g. "prerouting priority -300"; '' for one that is jumped to."""

    rules: tuple[str, ...] = ()
    hook: str = ""


@dataclass(slots=True)
class Fragment:
    """One owner's share of the rule set. An element (set, key) has one owner; `elements[set][key]` is a map's data or ''."""

    chains: dict[Name, Chain] = field(default_factory=dict)
    sets: dict[Name, SetType] = field(default_factory=dict)
    elements: dict[Name, dict[tuple[str, ...], str]] = field(default_factory=dict)

    def add(self, set_: Name, *key: str, data: str = "") -> None:
        self.elements.setdefault(set_, {})[key] = data


Ruleset = dict[Owner, Fragment]


@dataclass(slots=True)
class Change:
    """What turns one rule set into another. Elements alone can go past libnftables; with chains or sets it is a script."""

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    elements: list[ElementChange] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.elements)

    @property
    def elements_only(self) -> bool:
        return not (self.before or self.after)

    @property
    def removes(self) -> bool:
        """Whether something that was allowed may not be any more."""
        return any(not change.add for change in self.elements) or any(
            "flush" in line for line in self.before + self.after
        )

    def script(self) -> str:
        removed = [_element_line(change) for change in self.elements if not change.add]
        added = [_element_line(change) for change in self.elements if change.add]
        return "\n".join([*removed, *self.before, *added, *self.after, ""])


def owned_sets(ruleset: Mapping[Owner, Fragment]) -> dict[Name, SetType]:
    """Every set with its type."""
    return {name: type_ for fragment in ruleset.values() for name, type_ in fragment.sets.items()}


def diff(old: Ruleset, new: Ruleset, owners: Iterable[Owner], types: Mapping[Name, SetType]) -> Change:
    """The change for these owners. `types`: of every set of both rule sets, as elements are in sets of other owners."""
    nothing = Fragment()
    declare: list[str] = []
    fill: list[str] = []
    empty: list[str] = []
    drop: list[str] = []
    elements: list[ElementChange] = []
    for owner in owners:
        had, has = old.get(owner, nothing), new.get(owner, nothing)
        declare += [f"add set {_at(name)} {_body(type_)}" for name, type_ in has.sets.items() if name not in had.sets]
        drop += [f"delete {_noun(type_)} {_at(name)}" for name, type_ in had.sets.items() if name not in has.sets]
        gone = [name for name in had.chains if name not in has.chains]
        empty += [f"flush chain {_at(name)}" for name in gone]
        drop += [f"delete chain {_at(name)}" for name in gone]
        for name, chain in has.chains.items():
            if name not in had.chains:
                declare.append(f"add chain {_at(name)}{_hook(chain)}")
            elif had.chains[name] != chain:
                fill.append(f"flush chain {_at(name)}")
            if had.chains.get(name) != chain:
                fill += [f"add rule {_at(name)} {rule}" for rule in chain.rules]
        elements += _element_changes(had, has, types)
    elements.sort(key=lambda change: change.add)
    declare = [line.replace("add set", "add map", 1) if " : " in line else line for line in declare]
    return Change(before=declare + fill, after=empty + drop, elements=elements)


def _element_changes(had: Fragment, has: Fragment, types: Mapping[Name, SetType]) -> Iterator[ElementChange]:
    for name in had.elements.keys() | has.elements.keys():
        before, now = had.elements.get(name, {}), has.elements.get(name, {})
        if before == now or (name in had.sets and name not in has.sets):
            continue
        for key in before.keys() - now.keys():
            yield _element(name, types[name], key, before[key], add=False)
        for key, data in now.items():
            if key in before and before[key] != data:
                yield _element(name, types[name], key, before[key], add=False)
            if key not in before or before[key] != data:
                yield _element(name, types[name], key, data, add=True)


def _element(name: Name, type_: SetType, key: tuple[str, ...], data: str, add: bool) -> ElementChange:
    return ElementChange(name.family, TABLE, name.name, type_, key, data, add)


def text(ruleset: Ruleset, families: Sequence[str] = ("bridge", "inet"), table: str = TABLE) -> str:
    """The whole rule set as a script that replaces our tables, whatever was in them, in one transaction."""
    types = owned_sets(ruleset)
    elements: dict[Name, list[str]] = {}
    for fragment in ruleset.values():
        for name, entries in fragment.elements.items():
            elements.setdefault(name, []).extend(_entry(types[name], key, data) for key, data in entries.items())
    lines = []
    for family in families:
        lines += [f"add table {family} {table}", f"delete table {family} {table}", f"table {family} {table} {{"]
        for name, type_ in sorted(types.items()):
            if name.family == family:
                lines.append(f" {_noun(type_)} {name.name} {{ {_type_text(type_)}")
                if elements.get(name):
                    lines.append(f"  elements = {{ {', '.join(sorted(elements[name]))} }}")
                lines.append(" }")
        chains = {name: chain for fragment in ruleset.values() for name, chain in fragment.chains.items()}
        for name, chain in sorted(chains.items()):
            if name.family == family:
                lines.append(f" chain {name.name} {{")
                lines += [f"  type filter hook {chain.hook}; policy accept;"] if chain.hook else []
                lines += [f"  {rule}" for rule in chain.rules]
                lines.append(" }")
        lines.append("}")
    return "\n".join(lines) + "\n"


def _at(name: Name) -> str:
    return f"{name.family} {TABLE} {name.name}"


def _hook(chain: Chain) -> str:
    return f" {{ type filter hook {chain.hook}; policy accept; }}" if chain.hook else ""


def _noun(type_: SetType) -> str:
    return "map" if type_.data else "set"


_EXPRESSIONS = {"ifname": "iifname", "ether_addr": "ether saddr", "target": "@th,64,128", "zone": "ct zone"}
"""Types that have no name of their own (and those that come together with them) are written as an expression of that type."""


def _type_text(type_: SetType) -> str:
    fields = [*type_.key, type_.data] if type_.data else list(type_.key)
    by_expression = "target" in fields or "zone" in fields
    words = [_EXPRESSIONS[field] for field in fields] if by_expression else fields
    key = " . ".join(words[: len(type_.key)])
    data = f" : {words[-1]}" if type_.data else ""
    return f"{'typeof' if by_expression else 'type'} {key}{data};{' flags interval;' if type_.interval else ''}"


def _body(type_: SetType) -> str:
    return f"{{ {_type_text(type_)} }}"


def _key_text(kind: str, value: str) -> str:
    if kind == "ifname":
        return f'"{value}"'
    if kind == "target":
        return target_text(value)
    return value


def _entry(type_: SetType, key: tuple[str, ...], data: str) -> str:
    words = " . ".join(_key_text(kind, value) for kind, value in zip(type_.key, key, strict=True))
    return f"{words} : {data}" if type_.data else words


def _element_line(change: ElementChange) -> str:
    verb = "add" if change.add else "delete"
    type_ = change.type if change.add else SetType(change.type.key, interval=change.type.interval)
    return f"{verb} element {change.family} {change.table} {change.set} {{ {_entry(type_, change.key, change.data)} }}"


def target_text(value: str) -> str:
    """An IPv6 address or CIDR as the integer, or range of integers, that raw payload expressions are compared with."""
    network = ipaddress.ip_network(value)
    first, last = int(network.network_address), int(network.broadcast_address)
    return f"0x{first:032x}" if first == last else f"0x{first:032x}-0x{last:032x}"
