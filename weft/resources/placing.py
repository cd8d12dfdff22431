"""Which agents are given something to serve: the least loaded, in the zones that were asked for, spread over zones. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Candidate:
    """An agent that may be given more. `load`: how many networks or routers it serves; `mode`: an L3 agent's agent_mode."""

    id: str
    host: str
    zone: str | None
    load: int = 0
    mode: str = "legacy"


def choose(found: Sequence[Candidate], having: Collection[str], number: int, zones: Sequence[str]) -> list[Candidate]:
    """Up to `number` agents besides those `having` it already; their load grows by what they are given.

    `zones`: only agents there; empty: anywhere. The zone that has it least often comes first, then the least loaded
    agent, then the host's name, so that the same state gives the same choice.
    """
    free = [one for one in found if one.id not in having and (not zones or one.zone in zones)]
    times = Counter(one.zone for one in found if one.id in having)
    chosen: list[Candidate] = []
    while free and len(chosen) < number:
        best = min(free, key=lambda one: (times[one.zone], one.load, one.host, one.id))
        free.remove(best)
        best.load += 1
        times[best.zone] += 1
        chosen.append(best)
    return chosen


def slots(taken: Collection[int], number: int) -> list[int]:
    """The lowest `number` that are free. One object's slots are unique, so two who choose at once cannot both have one."""
    found: list[int] = []
    slot = 0
    while len(found) < number:
        if slot not in taken:
            found.append(slot)
        slot += 1
    return found
