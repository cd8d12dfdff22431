"""What the Southbound database says of a port or router, as its status with the reason (ovn-sb(5): Port_Binding). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from weft.backends.interface import Status
from weft.backends.ovn import placement
from weft.backends.ovn.chassis import Chassis
from weft.logical.model import LogicalPort, LogicalRouter, LogicalSwitch

UP = Status(True)


@dataclass(frozen=True, slots=True)
class Seen:
    """A row of Port_Binding. `chassis` the id of that which has it, '' for none; `also` those that have it besides, while
    it migrates; `up`: flows for it are in place. `type`: '' of a workload's port, else as in ovn-nb(5)."""

    type: str = ""
    chassis: str = ""
    also: tuple[str, ...] = ()
    up: bool = False


@dataclass(frozen=True, slots=True)
class Hosts:
    """The chassis, by their id and by their host's name."""

    by_id: Mapping[str, Chassis]
    by_host: Mapping[str, Chassis]

    @classmethod
    def of(cls, chassis: Iterable[Chassis]) -> Hosts:
        """Where two have the same host name, that which lives counts."""
        found = sorted(chassis, key=lambda one: (one.alive, one.id))
        return cls({one.id: one for one in found}, {one.host: one for one in found})

    def name(self, id: str) -> str:
        """The name of that chassis' host."""
        return self.by_id[id].host if id in self.by_id else id


def gateway_port(gateway_id: str) -> str:
    """What OVN calls the part of a router's gateway leg that lives on one chassis."""
    return f"cr-lrp-{gateway_id}"


def port(value: LogicalPort, switch: LogicalSwitch | None, seen: Seen | None, hosts: Hosts) -> Status:
    """Of a workload's port, or of a virtual address, which is bound nowhere and lives with one of its parents."""
    reason = _held_back(value, switch)
    if not reason and seen is not None and seen.type == "virtual":
        return UP if seen.chassis else Status(False, "no port that it may be on has announced its address yet")
    reason = reason or _nowhere(value, switch, hosts)
    if reason:
        return Status(False, reason)
    if seen is None:
        return Status(False, "waiting for ovn-northd to take it over")
    if seen.type == "external":
        return UP if seen.chassis else Status(False, "no chassis serves it yet")
    wanted = hosts.by_host[value.host]
    if wanted.id not in (seen.chassis, *seen.also):
        if not seen.chassis:
            dead = "" if wanted.alive else ", whose ovn-controller does not answer"
            return Status(False, f"waiting for the host {value.host} to plug it{dead}")
        return Status(False, f"it is plugged on host {hosts.name(seen.chassis)}, not on host {value.host}")
    return UP if seen.up else Status(False, f"the host {value.host} is still making its flows")


def _held_back(value: LogicalPort, switch: LogicalSwitch | None) -> str:
    if not value.enabled:
        return "the port is administratively down"
    if switch is not None and not switch.enabled:
        return "its network is administratively down"
    return ""


def _nowhere(value: LogicalPort, switch: LogicalSwitch | None, hosts: Hosts) -> str:
    """Why the port's host could not have it whatever it did."""
    if not value.host:
        return "it is bound to no host"
    wanted = hosts.by_host.get(value.host)
    if wanted is None:
        return f"no chassis named {value.host}"
    physical = [segment.physical_network for segment in (switch.segments if switch else ()) if segment.physical_network]
    overlay = any(not segment.physical_network for segment in (switch.segments if switch else ()))
    if not physical or overlay or any(network in wanted.bridge_mappings for network in physical):
        return ""
    for network in physical:
        if not any(network in one.bridge_mappings for one in hosts.by_id.values()):
            return f"no chassis has physical network {network}"
    return f"host {value.host} has no physical network {', '.join(physical)}"


def router(
    value: LogicalRouter, wishes: Mapping[str, placement.Wish], lead: str, ports: Mapping[str, Seen], hosts: Hosts
) -> Status:
    """Of a router: its legs are known to every chassis, each gateway lives on one. `wishes`: what each gateway needs;
    `lead`: the gateway at whose place ports are forwarded, '' where that is all the same."""
    if not value.enabled:
        return Status(False, "the router is administratively down")
    if any(f"lrp-{leg.id}" not in ports for leg in value.ports):
        return Status(False, "waiting for ovn-northd to take it over")
    reasons = [_homeless(gateway.id, wishes[gateway.id], ports, hosts) for gateway in value.gateways]
    reason = next(filter(None, reasons), "")
    if reason or not lead:
        return Status(not reason, reason)
    return Status(True, unforwarded=_unforwarded(value, wishes, lead, ports, hosts))


def _unforwarded(
    value: LogicalRouter, wishes: Mapping[str, placement.Wish], lead: str, ports: Mapping[str, Seen], hosts: Hosts
) -> dict[str, str]:
    """The gateways that live elsewhere than the one at whose place ports are forwarded, with the reason, for owners of
    floating IPs."""
    homes = {one.id: ports[gateway_port(one.id)].chassis for one in value.gateways}
    apart = [id for id, home in homes.items() if home != homes[lead]]
    if not apart:
        return {}
    network = next(one.switch for one in value.gateways if one.id == lead)
    why = placement.why_none(placement.together([wishes[id] for id in homes]), hosts.by_id.values())
    reason = f"OVN forwards a router's ports on one host, here that of the gateway in network {network}"
    return dict.fromkeys(apart, f"{reason}; {why or 'its own gateway is not there yet'}")


def _homeless(gateway: str, wish: placement.Wish, ports: Mapping[str, Seen], hosts: Hosts) -> str:
    """Why that gateway lives nowhere; '' where it does."""
    seen = ports.get(gateway_port(gateway))
    if seen is not None and seen.chassis:
        return ""
    waiting = "no chassis has taken its gateway yet" if seen else "waiting for ovn-northd to take it over"
    return placement.why_none(wish, hosts.by_id.values()) or waiting
