"""The small door between the reconciler and whatever makes packets flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from weft.logical.model import HostView, Key, Segment


@dataclass(frozen=True, slots=True)
class Binding:
    """How a port is attached on a host (API: binding:vif_type, binding:vif_details), and to which of the network's
    segments; None: to any."""

    vif_type: str
    vif_details: Mapping[str, Any] = field(default_factory=dict)
    segment: Segment | None = None


@dataclass(frozen=True, slots=True)
class Unbound:
    """Why a port cannot be attached on a host, in words for its owner."""

    reason: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What an agent reported about its host: enough to decide on a binding without asking it.

    `bridge_mappings`: physical network -> bridge. `tunnel_types`: those it can terminate. `alive`: heard of lately.
    """

    host: str
    backend: str
    alive: bool = True
    bridge_mappings: Mapping[str, str] = field(default_factory=dict)
    tunnel_types: Sequence[str] = ("vxlan",)


@dataclass(frozen=True, slots=True)
class Status:
    """What is true now of one object in the dataplane. `up` False comes with a `reason` that its owner can read.

    `unforwarded`: of a router that is up, the gateway ports by which no port is forwarded (API: port_forwarding), each with
    the reason.
    """

    up: bool
    reason: str = ""
    unforwarded: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(slots=True)
class Report:
    """What `Backend.set` found to be true afterwards.

    `status`: of ports and routers that were looked at. `failed`: keys that could not be made so, with the reason; they
    stay dirty. `drift`: what was found different from what this process had made, in words (only from a full set).
    """

    status: dict[Key, Status] = field(default_factory=dict)
    failed: dict[Key, str] = field(default_factory=dict)
    drift: list[str] = field(default_factory=list)


WORDS: Mapping[str, str] = {"linux": "Linux bridges", "ovn": "OVN"}
"""Backend of ours -> what owners of ports know it by."""


def apart(here: str, there: str) -> str:
    """What keeps one backend from ports of another in a network that tunnels alone carry, in words for their owner."""
    one, other = (WORDS.get(backend, backend) for backend in (here, there))
    return f"{one}, whose tunnels do not reach the network's ports on hosts with {other}"


class Backend(Protocol):
    """One dataplane. `capabilities`: API extension aliases that it can honour.

    A backend may also have `qos`: the types of QoS rules that it honours with the values of their parameters (part of
    `weft.logical.qos.RULES`). Of one that does not say it, every rule is expected. And `scheduled`: False where it makes
    routers and answers DHCP wherever they are needed, whatever agents there are.
    """

    name: str
    capabilities: frozenset[str]

    def bind(self, port: Mapping[str, Any], segments: Sequence[Segment], facts: HostFacts) -> Binding | Unbound:
        """How `port` (an API port) would be attached on that host. Pure; called inside the API's transaction.

        `segments` are all of the network's, in order. The answer says which one it is; where that is not the one that the
        port's addresses belong to (routed networks), the port is refused.
        """

    def set(self, desired: HostView, scope: Iterable[Key] | None) -> Report:
        """Make the host as `desired` says. Idempotent.

        With `scope`, only those keys have changed since the last call (what they refer to has not, unless named too) and
        only they need to be looked at. With None: a full pass; read everything that is ours from the system, compare,
        mend, prune ours that is unwanted (`desired` is complete), and report what had drifted.
        """

    def watch(self, report: Callable[[Iterable[Key]], None]) -> None:
        """Start to call `report` from a thread with keys whose reality changed by itself (a tap came or went, a bridge was
        deleted). The reconciler then calls `set` with these in scope."""

    def close(self) -> None:
        """Stop threads and close sockets. Leaves the dataplane standing: a restart loses no packet."""
