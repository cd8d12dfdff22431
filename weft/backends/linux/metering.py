"""Metering of routers: what passes between a router's networks and the outside is counted by the nft table `inet weft-meter`.

A table of its own in the router's namespace, so that rules of NAT come and go without a packet being forgotten. The counts
stay in the kernel until they are taken, whoever restarts in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple

from weft.backends.linux import names
from weft.backends.linux.nft import Nft
from weft.logical.model import LogicalRouter

TABLE = "weft-meter"


class Count(NamedTuple):
    """Packets, and bytes of IP."""

    packets: int = 0
    bytes: int = 0

    def plus(self, other: Count) -> Count:
        return Count(self.packets + other.packets, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a label counts, or with `excluded` does not: packets from (`ingress`) or to the outside, by their prefixes."""

    ingress: bool
    excluded: bool
    source: str = ""
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A name under which traffic is counted, by rules. A packet counts once."""

    id: str
    rules: tuple[Rule, ...]


def rules(router: LogicalRouter, labels: Sequence[Label]) -> dict[str, list[str]]:
    """Chain -> its rules in nft's words; none where nothing can be counted. Pure."""
    outside = ", ".join(f'"{names.gateway_leg(one.id)}"' for one in router.gateways)
    if not outside or not labels:
        return {}
    chains = {"forward": [f"jump m-{label.id}" for label in labels]}
    for label in labels:
        ordered = sorted(label.rules, key=lambda one: (not one.excluded, one.ingress, one.source, one.destination))
        chains[f"m-{label.id}"] = [line for one in ordered for line in _rule(label.id, one, outside)]
    return chains


def _rule(label: str, rule: Rule, outside: str) -> Iterator[str]:
    versions = {ip_network(text).version for text in (rule.source, rule.destination) if text}
    if len(versions) != 1:
        return  # no packet has addresses of two versions
    version = versions.pop()
    words = [f"{'iifname' if rule.ingress else 'oifname'} {{ {outside} }} meta nfproto ipv{version}"]
    for side, text in (("saddr", rule.source), ("daddr", rule.destination)):
        if text and ip_network(text).prefixlen:
            words.append(f"{'ip' if version == 4 else 'ip6'} {side} {text}")
    yield " ".join([*words, "return" if rule.excluded else f'counter name "l-{label}" return'])


def script(chains: Mapping[str, Sequence[str]], counts: Mapping[str, Count]) -> str:
    """One transaction that puts the table in place of whatever was there; the counters go on from `counts`, by label. Pure."""
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}"]
    if not chains:
        return "\n".join(lines) + "\n"
    lines.append(f"table inet {TABLE} {{")
    for label, count in counts.items():
        lines.append(f" counter l-{label} {{ packets {count.packets} bytes {count.bytes} }}")
    for name, body in chains.items():
        hook = ["type filter hook forward priority filter + 10; policy accept;"] if name == "forward" else []
        lines += [f" chain {name} {{", *(f"  {line}" for line in (*hook, *body)), " }"]
    return "\n".join([*lines, "}", ""])


class Meters:
    """The meters of the routers below one host namespace."""

    def __init__(self, host_namespace: str, told: Callable[[str, int, int], None] = lambda *_: None) -> None:
        """`told`: hears of each transaction in a router's namespace: its number before and after (see Routers.transacted)."""
        self._host_namespace, self._told = host_namespace, told
        self._made: dict[str, dict[str, list[str]]] = {}
        self._counted: dict[str, dict[str, Count]] = {}  # router -> label -> as last seen
        self._left: dict[str, Count] = {}  # of what is gone since the last time that counts were taken

    def measure(self, routers: Iterable[LogicalRouter], labels: Mapping[str, Sequence[Label]]) -> None:
        """Have the routers count for their labels (by router), from where they were. What cannot be looked at is left alone.

        Looks at the kernel, not at memory: a table that somebody removed or flushed is there again afterwards.
        """
        seen = set()
        for router in routers:
            try:
                self._look(router, labels.get(router.id, ()))
            except FileNotFoundError:
                continue  # its namespace is not there yet
            seen.add(router.id)
        for id in self._counted.keys() - seen:
            self._leave(self._counted.pop(id))
            self._made.pop(id, None)

    def take(self, routers: Iterable[LogicalRouter]) -> dict[str, Count]:
        """What was counted since the last time, by label; the counters begin anew."""
        found, self._left = self._left, {}
        for router in routers:
            if router.id not in self._counted:
                continue
            try:
                nft = Nft(names.router_namespace(self._host_namespace, router.id))
            except FileNotFoundError:
                continue
            try:
                for label, count in _counts(nft.reset_counters("inet", TABLE)).items():
                    found[label] = found.get(label, Count()).plus(count)
            finally:
                nft.close()
            self._counted[router.id] = dict.fromkeys(self._counted[router.id], Count())
        return found

    def _look(self, router: LogicalRouter, labels: Sequence[Label]) -> None:
        wanted = rules(router, labels)
        if not wanted and router.id in self._made and not self._made[router.id]:
            return
        nft = Nft(names.router_namespace(self._host_namespace, router.id))
        try:
            things = nft.read("inet", TABLE)
            counts = _counts(things)
            there = sum("rule" in thing for thing in things)
            names_ = {one.id for one in labels} if wanted else set()
            whole = there == sum(map(len, wanted.values())) and counts.keys() == names_
            if (wanted or things) and (self._made.get(router.id) != wanted or not whole):
                known = self._counted.get(router.id, {})
                latest = {
                    id: max(counts.get(id, Count()), known.get(id, Count())) for id in counts.keys() | known.keys()
                }
                keep = {label.id: latest.pop(label.id, Count()) for label in labels} if wanted else {}
                before = nft.generation()
                nft.run(script(wanted, keep))
                self._told(router.id, before, nft.generation())
                self._leave(latest)
                counts = keep
        finally:
            nft.close()
        self._made[router.id], self._counted[router.id] = wanted, counts

    def _leave(self, counts: Mapping[str, Count]) -> None:
        for label, count in counts.items():
            if count.packets:
                self._left[label] = self._left.get(label, Count()).plus(count)


def _counts(things: Iterable[Mapping[str, Mapping[str, object]]]) -> dict[str, Count]:
    found = {}
    for thing in things:
        if "counter" in thing and "handle" in thing["counter"]:
            one = thing["counter"]
            found[str(one["name"]).removeprefix("l-")] = Count(int(str(one["packets"])), int(str(one["bytes"])))
    return found
