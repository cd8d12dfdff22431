"""What plugs into the Linux backend beside switching and security groups: routers and the responder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from weft.backends.interface import Report
from weft.logical.model import HostView, Key


class Routers(Protocol):
    """The routers of this host, with their namespaces and legs."""

    def set(self, desired: HostView, scope: Iterable[Key] | None) -> Report:
        """Make the routers so. Called by `LinuxBackend.set` with its arguments, one call at a time, after the namespace,
        bridges and firewall stand (bridge `names.bridge(switch id)`; legs' taps are already trusted by the firewall).

        Makes each leg as a veth with `master` that bridge; deletes legs and namespaces of its own that nobody wants:
        those of routers in `scope` that are not in `desired`, or with scope None all such. A router is affected by its own
        key and by those of switches that it touches. Reports status and failures of routers, and drift on a full pass."""

    def watch(self, report: Callable[[Iterable[Key]], None]) -> None:
        """Report, from a thread, routers in whose namespaces somebody else changed something."""

    def transacted(self, router_id: str, before: int, after: int) -> None:
        """Another part of ours changed nft rules in the router's namespace; the numbers of transactions before and after."""

    def names(self) -> Iterable[str]:
        """Names of links in the host namespace that are its own now (taps of legs): the backend's monitor calls for a set
        of `owner(name)` when one of them goes or is detached."""

    def owner(self, link: str) -> Key | None:
        """Whose leg the link is, or None."""

    def close(self) -> None:
        """Stop threads and sockets; leave packets flowing."""


class Responder(Protocol):
    """DHCP, router advertisements, DNS and metadata of this host's ports."""

    def update(self, desired: HostView, scope: Iterable[Key] | None) -> Report:
        """Answer by these values from now on. Called like `Routers.set`, after it and after ports are attached. Makes the
        service ports (veth `names.service(id)` with master `names.bridge(id)`) of the switches in `desired`, and
        deletes those that nobody wants. Reports what failed by the key of the switch."""

    def close(self) -> None:
        """Stop threads and sockets."""
