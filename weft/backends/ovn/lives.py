"""Where something lives that is in one place at a time, as OVN's rows (ovn-nb(5): HA_Chassis_Group). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from weft.backends.ovn import rows
from weft.backends.ovn.rows import MARK, THE_CLOUD, Hold, Ref, Row
from weft.config import Ovn

HIGHEST = 32767
"""Priority of the chassis that comes first."""
EXTERNAL = "extport-"
STRATEGIES = {"aggressive": (100, 100, 3), "conservative": (3000, 3000, 5)}
"""How soon a chassis counts as dead: milliseconds between its BFD packets that are taken and sent, and how many of them may
be missing. What is not here is OVN's own: a second, and 5."""


def failover(options: Ovn) -> list[Row]:
    """How soon another chassis takes over, for all gateways at once; with `normal` nothing of it is ours to say."""
    manual = (options.bfd_min_rx, options.bfd_min_tx, options.bfd_mult)
    found = manual if options.ha_failover_strategy == "manual" else STRATEGIES.get(options.ha_failover_strategy)
    if found is None:
        return []
    names = ("bfd-min-rx", "bfd-min-tx", "bfd-mult")
    return [Row(THE_CLOUD, {"options": dict(zip(names, map(str, found), strict=True))})]


def group(id: str) -> Ref:
    """The chassis that the gateway leg `id` may live on, or EXTERNAL and the id of a port that none has a device for."""
    return Ref("HA_Chassis_Group", rows.name(id))


def render(id: str, chassis: Sequence[str], ids: Mapping[str, str]) -> Iterator[Row]:
    """The group with its chassis, the first with the highest priority."""
    ref = group(id)
    yield Row(ref, {"name": ref.id, "external_ids": dict(ids)})
    for rank, name in enumerate(chassis):
        mark = f"{id}/{name}"
        columns = {"chassis_name": name, "priority": HIGHEST - rank, "external_ids": {MARK: mark}}
        yield Row(Ref("HA_Chassis", mark), columns, Hold(ref, "ha_chassis"))
