"""The bandwidth of ports: reads the token buckets beside their taps, compares with what is wanted, changes the difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from weft.backends.linux import names
from weft.backends.linux.links import Delete, Link, Links
from weft.backends.linux.names import Way
from weft.backends.linux.qos import Shape
from weft.backends.linux.tc import Bucket, Redirect, SetRoot, Step, Tc

WAYS: tuple[Way, ...] = ("from", "to")


@dataclass(frozen=True, slots=True)
class Detour:
    """One way of a tap: the link beside it that packets are sent round by (None: they are not; 0: it is gone), and the
    bucket there."""

    by: int | None = None
    bucket: Bucket | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a tap has, or was left with. `link`: its index."""

    link: int
    from_: Detour = Detour()
    to: Detour = Detour()

    def way(self, way: Way) -> Detour:
        return self.from_ if way == "from" else self.to


@dataclass(slots=True)
class Outcome:
    """`failed`: taps whose bandwidth could not be limited as wanted, with the reason; `drift`: in words; `removed`: devices
    that nothing is sent round by any more."""

    failed: dict[str, str] = field(default_factory=dict)
    drift: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class Shaper:
    """Buckets of the ports of one namespace. Remembers what it made, so that nothing is read where nothing changed."""

    def __init__(self, namespace: str) -> None:
        self._tc = Tc(namespace)
        self._made: dict[str, Found] = {}

    def close(self) -> None:
        """Let go; what waits goes on waiting."""
        self._tc.close()

    def knows(self, taps: Iterable[str]) -> bool:
        """Whether one of these taps was given a shape."""
        return not self._made.keys().isdisjoint(taps)

    def set(self, wanted: Mapping[str, Shape], actual: Mapping[str, Link], links: Links, full: bool) -> Outcome:
        """Give the taps these shapes. `actual` holds them, and the devices beside them, as they are now; with `full`
        everything is read, and what is ours and unwanted goes."""
        outcome = Outcome()
        have = self._read(actual) if full else self._known(wanted, actual)
        steps: dict[str, list[Step]] = {}
        for tap, shape in wanted.items():
            if tap not in actual:
                self._made.pop(tap, None)
                continue
            before = have.get(tap, Found(actual[tap].index))
            after = Found(actual[tap].index, *(_detour(tap, way, shape, actual) for way in WAYS))
            if full and self._made.get(tap) == after and not _alike(before, after):
                outcome.drift.append(f"the bandwidth limit of {tap} was changed")
            steps[tap] = [step for way in WAYS for step in _steps(after.link, way, before.way(way), after.way(way))]
            self._made[tap] = after
            missing = [names.beside(tap, way) for way in shape if after.way(way).by is None]
            if missing:
                outcome.failed[tap] = f"there is no device {', '.join(missing)}"
        self._take(steps, outcome)
        self._forget(wanted, outcome)
        unused = (names.beside(tap, way) for tap, shape in wanted.items() for way in WAYS if way not in shape)
        outcome.removed = [name for name in unused if name in actual and actual[name].kind == "ifb"]
        links.apply([Delete(name) for name in outcome.removed])
        return outcome

    def _take(self, steps: Mapping[str, list[Step]], outcome: Outcome) -> None:
        failed = self._tc.apply([step for some in steps.values() for step in some])
        for tap, some in steps.items():
            reasons = [failed[step] for step in some if step in failed]
            if reasons:
                outcome.failed[tap] = "; ".join(reasons)

    def _forget(self, wanted: Mapping[str, Shape], outcome: Outcome) -> None:
        """Keep in mind only what is worth it, and was made."""
        for tap, shape in wanted.items():
            if not shape or tap in outcome.failed:
                self._made.pop(tap, None)

    def _known(self, wanted: Iterable[str], actual: Mapping[str, Link]) -> dict[str, Found]:
        """What we made of these taps, if they are still the same links."""
        known = ((tap, self._made.get(tap)) for tap in wanted)
        return {
            tap: replace(
                found, from_=_standing(tap, "from", found.from_, actual), to=_standing(tap, "to", found.to, actual)
            )
            for tap, found in known
            if found and tap in actual and found.link == actual[tap].index
        }

    def _read(self, actual: Mapping[str, Link]) -> dict[str, Found]:
        buckets, redirects = self._tc.read()

        def detour(tap: str, way: Way) -> Detour:
            beside = actual.get(names.beside(tap, way))
            bucket = buckets.get(beside.index) if beside else None
            return Detour(redirects.get((actual[tap].index, way)), bucket)

        taps = (tap for tap in actual if tap.startswith(names.TAP_PREFIX))
        return {tap: Found(actual[tap].index, detour(tap, "from"), detour(tap, "to")) for tap in taps}


def _detour(tap: str, way: Way, shape: Shape, actual: Mapping[str, Link]) -> Detour:
    """What is wanted of one way; without the device beside the tap there is none."""
    beside = actual.get(names.beside(tap, way))
    usable = beside is not None and beside.kind == "ifb" and way in shape
    return Detour(beside.index, shape[way]) if beside and usable else Detour()


def _standing(tap: str, way: Way, found: Detour, actual: Mapping[str, Link]) -> Detour:
    """Without what was in a device that is another now, or gone."""
    beside = actual.get(names.beside(tap, way))
    return found if found.by in (None, beside.index if beside else None) else Detour(0)


def _alike(one: Found, other: Found) -> bool:
    return all(
        one.way(way).by == other.way(way).by and _same(one.way(way).bucket, other.way(way).bucket) for way in WAYS
    )


def _same(one: Bucket | None, other: Bucket | None) -> bool:
    return one.resembles(other) if one and other else one == other


def _steps(link: int, way: Way, before: Detour, after: Detour) -> list[Step]:
    """From one to the other. Pure. A device has its bucket before packets are sent round by it."""
    steps: list[Step] = []
    if after.by and after.bucket and (after.by != before.by or not _same(before.bucket, after.bucket)):
        steps.append(SetRoot(after.by, after.bucket))
    if after.by != before.by:
        steps.append(Redirect(link, way, after.by))
    return steps
