"""Pure: what is wrong with a port, a link or a network of this host, in words for its owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weft.backends.linux import names
from weft.backends.linux.links import Change, Create, Link, Modify
from weft.logical.model import HostView, Key, LogicalPort, LogicalSwitch


def port(port: LogicalPort, switch: LogicalSwitch | None, link: Link | None, namespace: str, trouble: str) -> str:
    """Why the port is not up; '' if it is. `link` is its device as last seen, `trouble` what went wrong in this pass."""
    tap = names.tap(port.id)
    if switch is None:
        return f"network {port.switch} is not known to this host"
    if not port.enabled:
        return f"the port{', or its trunk,' if port.parent else ''} is administratively down"
    if not switch.enabled:
        return "its network is administratively down"
    if link is None:
        return f"no device {tap} in namespace {namespace} yet" if namespace else f"no device {tap} yet"
    if trouble:
        return trouble
    if link.master != names.bridge(switch.id) or not link.up:
        return f"device {tap} was taken off its bridge meanwhile"
    return ""


def part(port: LogicalPort, parent: LogicalPort | None, present: Mapping[str, Link], failed: Mapping[str, str]) -> str:
    """What keeps a trunk's sub-port from its parent's device. `failed`: devices whose tags do not come and go, and why."""
    if not port.parent:
        return ""
    tap, end = names.tap(port.parent), names.sub(port.id)
    if parent is None:
        return f"its parent port {port.parent} is not on this host"
    if not parent.enabled:
        return "its parent port is administratively down"
    if tap not in present:
        return f"its parent port has no device {tap} yet"
    reason = failed.get(names.tap(port.id)) or failed.get(end) or failed.get(tap)
    return f"its frames cannot be told from its parent's: {reason}" if reason else ""


def network_link(link: Link, failed: Mapping[str, str]) -> str:
    """Why a link that carries a network could not be made as wanted."""
    reason = failed.get(link.name, "")
    if reason and link.kind == "vlan" and "Unknown device type" in reason:
        return "this kernel has no VLAN devices (module 8021q)"
    return f"{link.name}: {reason}" if reason and link.kind else reason


def drift(change: Change, actual: Mapping[str, Link]) -> str:
    """What somebody did to a link, told from what mends it."""
    if isinstance(change, Create):
        return f"{change.link.kind} {change.name} was gone"
    if isinstance(change, Modify) and change.link.master is not None:
        return f"{change.name} was on {actual[change.name].master or 'no bridge'} instead of {change.link.master}"
    return f"{change.name} had other settings"


def unlogged(view: HostView, scope: Iterable[Key] | None, problem: str) -> dict[Key, str]:
    """The groups looked at that should be logged, and are not."""
    groups = (group for group in view.groups.values() if group.logs)
    return {group.key: problem for group in groups if scope is None or group.key in scope}
