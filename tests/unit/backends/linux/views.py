"""Small desired states for tests of the Linux backend's renderers."""

from __future__ import annotations

from typing import Any

from weft.logical.model import (
    Acl,
    Address,
    AddressPair,
    AddressSet,
    HostView,
    LogicalPort,
    LogicalSwitch,
    PortGroup,
    Segment,
)


def switch(id: str = "net-0000000000", **values: Any) -> LogicalSwitch:
    return LogicalSwitch(id, id, "p", values.pop("mtu", 1450), (Segment("vxlan", None, 7),), **values)


def port(id: str = "port-000000000", ip: str = "10.0.0.5", **values: Any) -> LogicalPort:
    values.setdefault("groups", ("g1",))
    pairs = tuple(AddressPair(*pair) for pair in values.pop("pairs", ()))
    return LogicalPort(
        id,
        values.pop("switch", "net-0000000000"),
        "fa:16:3e:00:00:05",
        addresses=(Address(ip, 24, "s"),),
        pairs=pairs,
        **values,
    )


def view(*values: Any) -> HostView:
    """A view of these values."""
    made = HostView("h")
    for value in values:
        made.of(value.key.kind)[value.id] = value  # type: ignore[index]
    return made


def group(id: str = "g1", *acls: Acl, stateful: bool = True) -> PortGroup:
    return PortGroup(id, stateful, acls)


def addresses(id: str, *members: str) -> AddressSet:
    return AddressSet(id, frozenset(members))
