"""The firewall's tables in the kernel: load, change a little, and notice when somebody else changed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from weft.backends.linux import ruleset
from weft.backends.linux.firewall import Firewall
from weft.backends.linux.nft import Nft
from weft.backends.linux.pipeline import ZONES
from weft.backends.linux.ruleset import Change, Owner

FAMILIES = ("bridge", "inet")


class Tables:
    """Tables `bridge weft` and `inet weft` of one namespace. `loaded` is what this process put there; None before."""

    def __init__(self, nft: Nft) -> None:
        self._nft = nft
        self.generation: int | None = None
        self.loaded: Firewall | None = None

    def zones(self) -> dict[str, int]:
        """Conntrack zones by bridge: of the rule set loaded here, or of the one that an earlier process left."""
        if self.loaded:
            return dict(self.loaded.zones.of)
        for table in (ruleset.TABLE, ruleset.BESIDE):
            for thing in self._nft.read(ZONES.family, table):
                if thing.get("map", {}).get("name") == ZONES.name:
                    return {str(bridge): int(zone) for bridge, zone in thing["map"].get("elem", [])}
        return {}

    def port(self, mark: int) -> str:
        """The port that has this mark, '' for none."""
        marks = self.loaded.marks.of if self.loaded else {}
        return next((id for id, number in marks.items() if number == mark), "")

    def disturbed(self) -> bool:
        """Whether somebody else has changed the namespace's nftables since (or may have)."""
        return self.loaded is not None and self._nft.generation() != self.generation

    def load(self, firewall: Firewall) -> None:
        """Replace both tables: established connections and packets in flight don't notice.

        Not by one transaction where tables are there. When it takes effect the elements of maps that go are gone also for
        packets that the old rules are being run for, and these are lost (kernel 6.18). So the rules go first, and with them
        the others come, in tables beside; what nobody asks any more goes after that; then the same way back.
        """
        self._count(lambda: self._replace(firewall))
        self.loaded = firewall

    def _replace(self, firewall: Firewall) -> int:
        """The number of transactions. Whoever is killed on the way leaves one of the two in force, and the next goes on."""
        first = self._take_over(firewall, ruleset.BESIDE, ruleset.TABLE)
        then = self._take_over(firewall, ruleset.TABLE, ruleset.BESIDE)
        if not then:
            self._nft.run(ruleset.text(firewall.rules))
        return first + then or 1

    def _take_over(self, firewall: Firewall, to: str, of: str) -> int:
        """The rule set is in the tables `to` instead of `of`, if these are there; the number of transactions."""
        hooked = [(family, chain) for family in FAMILIES for chain in self._hooked(family, of)]
        if not hooked:
            return 0
        flush = (f"flush chain {family} {of} {chain}\n" for family, chain in hooked)
        self._nft.run(ruleset.text(firewall.rules, table=to) + "".join(flush))
        self._nft.run("".join(f"add table {family} {of}\ndelete table {family} {of}\n" for family in FAMILIES))
        return 2

    def _hooked(self, family: str, table: str) -> list[str]:
        """The chains of a table that the kernel gives packets to."""
        chains = (thing.get("chain", {}) for thing in self._nft.read(family, table))
        return [chain["name"] for chain in chains if "hook" in chain]

    def change(self, firewall: Firewall, owners: Iterable[Owner]) -> Change:
        """Go from what is loaded to `firewall`, which differs in these owners' fragments only. Returns what was done."""
        if self.loaded is None:
            raise RuntimeError("nothing is loaded to be changed")
        owners = list(owners)
        old, new = self.loaded.rules, firewall.rules
        types = ruleset.owned_sets({owner: rules[owner] for rules in (old, new) for owner in _declaring(rules, owners)})
        change = ruleset.diff(old, new, owners, types)
        if change.elements_only and change.elements:
            self._count(lambda: self._nft.elements(change.elements))
        elif change:
            self._count(lambda: self._nft.run(change.script()))
        self.loaded = firewall
        return change

    def _count(self, work: Callable[[], int | None]) -> None:
        """`work` returns how many transactions it was, if not one."""
        before = self._nft.generation()
        ours = work() or 1
        after = self._nft.generation()
        # more than our own means that somebody else's came between and nobody has looked at it
        self.generation = after if after == before + ours and self.generation in (None, before) else None

    def probe(self, script: str) -> None:
        """Run a script that leaves nothing behind. NftError where the kernel cannot do what is in it."""
        self._count(lambda: self._nft.run(script))

    def drift(self) -> list[str]:
        """In words, how what is there differs from what was loaded. Empty although `disturbed` if only rules were edited."""
        if self.loaded is None:
            return []
        words = []
        for family in FAMILIES:
            things = self._nft.read(family, ruleset.TABLE)
            if not things:
                words.append(f"nft table {family} {ruleset.TABLE} was gone")
                continue
            words += _differences(family, self.loaded, things)
        return words


def _declaring(rules: Mapping[Owner, Any], owners: Iterable[Owner]) -> set[Owner]:
    """The owners whose fragments declare the sets that these owners' elements are in: their own and the static ones."""
    return {owner for owner in (Owner("static", ""), *owners) if owner in rules}


def _differences(family: str, firewall: Firewall, things: Iterable[Mapping[str, Any]]) -> list[str]:
    rules: Counter[str] = Counter()
    chains: set[str] = set()
    sizes: dict[str, int] = {}
    for thing in things:
        if "rule" in thing:
            rules[thing["rule"]["chain"]] += 1
        elif "chain" in thing:
            chains.add(thing["chain"]["name"])
        elif "set" in thing or "map" in thing:
            value = thing.get("set") or thing["map"]
            sizes[value["name"]] = len(value.get("elem", []))
    words = []
    for fragment in firewall.rules.values():
        for name, chain in fragment.chains.items():
            if name.family == family and name.name not in chains:
                words.append(f"nft chain {family} {name.name} was gone")
            elif name.family == family and rules[name.name] != len(chain.rules):
                words.append(
                    f"nft chain {family} {name.name} had {rules[name.name]} rules instead of {len(chain.rules)}"
                )
    wanted: Counter[str] = Counter()
    for fragment in firewall.rules.values():
        wanted.update({name.name: 0 for name in fragment.sets if name.family == family})
        wanted.update({name.name: len(keys) for name, keys in fragment.elements.items() if name.family == family})
    for name_, size in wanted.items():
        if name_ not in sizes:
            words.append(f"nft set {family} {name_} was gone")
        elif sizes[name_] != size:
            words.append(f"nft set {family} {name_} had {sizes[name_]} elements instead of {size}")
    return words
