"""Where something lives that is in one place at a time, as OVN's rows (ovn-nb(5): HA_Chassis_Group). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from weft.backends.ovn import rows
from weft.backends.ovn.rows import MARK, Hold, Ref, Row

HIGHEST = 32767
"""Priority of the chassis that comes first."""
EXTERNAL = "extport-"


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
