"""Each value of the logical model as the rows that it is in the Northbound database. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weft.backends.ovn import acl_log, group, lives, port, router, switch
from weft.backends.ovn.paired import NONE, Said
from weft.backends.ovn.port import ALONE, Around
from weft.backends.ovn.rows import Row
from weft.config import Config
from weft.logical.model import AddressSet, HostView, Key, LogicalPort, LogicalRouter, LogicalSwitch, PortGroup

ORDER = {"switch": 0, "addresses": 1, "group": 2, "router": 3, "port": 4}
"""Kinds, those first that others refer to."""
EVERYWHERE = Key("group", "")
"""What is of no object alone: the group that drops, the limit of logs, what holds for all of OVN, and the switch of ports
elsewhere while there are any."""

Places = Mapping[str, Sequence[str]]
"""Gateway -> the chassis that it may live on, the first one first."""


def rows(
    view: HostView,
    key: Key,
    config: Config,
    around: Around = ALONE,
    places: Places | None = None,
    paired: Said = NONE,
) -> list[Row]:
    """The rows of one value; none where the view has no such value. `around`: of a port, `places`: of a router, `paired`: of
    a group."""
    if key == EVERYWHERE:
        beside = [switch.elsewhere()] if any(port.elsewhere for port in view.ports.values()) else []
        limit = acl_log.meter(config.network_log)
        return [*group.default_drop(), *limit, *lives.failover(config.ovn), *beside]
    value = view.of(key.kind).get(key.id)
    if isinstance(value, LogicalPort):
        on = view.switches.get(value.switch)
        return port.render(value, on, config, around) if on else []
    if isinstance(value, LogicalSwitch):
        return switch.render(value, config)
    if isinstance(value, PortGroup):
        return group.render(value, paired)
    if isinstance(value, AddressSet):
        return group.address_sets(value)
    if isinstance(value, LogicalRouter):
        return router.render(value, view, config, places or {})
    return []


def keys(view: HostView) -> list[Key]:
    """Everything that has rows, in the order of reference."""
    kinds = sorted(ORDER, key=lambda kind: ORDER[kind])
    return [EVERYWHERE, *(value.key for kind in kinds for value in view.of(kind).values())]  # type: ignore[arg-type]
