"""The host namespace, held: made, settled, kept alive, and our sockets in it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from weft.backends.linux import netlink, netns
from weft.backends.linux.links import Links
from weft.backends.linux.nflog import PacketLog
from weft.backends.linux.nft import Nft
from weft.backends.linux.shaper import Shaper
from weft.backends.linux.tables import Tables
from weft.backends.linux.trunks import Trunks
from weft.config import NetworkLog

_BRIDGE_FILTER = Path("/proc/sys/net/bridge")


class MissingKernelPart(OSError):
    """Something that the firewall of bridges cannot do without."""


@dataclass(slots=True)
class Open:
    """What is open in one namespace. The file descriptor keeps it alive when its name is taken away."""

    fd: int
    identity: int
    links: Links
    nft: Nft
    conntrack: netlink.Socket
    trunks: Trunks
    shaper: Shaper
    tables: Tables
    packets: PacketLog

    def close(self) -> None:
        self.packets.close()
        self.links.close()
        self.shaper.close()
        self.nft.close()
        self.conntrack.close()
        self.trunks.close()
        os.close(self.fd)


class Host:
    """One host namespace by name ('' is the one that the process runs in)."""

    def __init__(self, name: str, logging: NetworkLog) -> None:
        self.name = name
        self._logging = logging
        self.open: Open | None = None

    def enter(self, settle: bool) -> tuple[Open, list[str]]:
        """Have it, with our sockets in it; with `settle`, or when newly entered, its settings too. Returns also what was
        found different from how it had been left. OSError where that is refused."""
        drift = self._recover()
        newly = self.open is None
        if newly:
            netns.create(self.name)
            _need_bridge_filter()
        changed = netns.set_sysctls(self.name, netns.HOST_SYSCTLS) if self.name and (settle or newly) else []
        if self.open is None:
            nft = Nft(self.name)
            tables = Tables(nft)
            self.open = Open(
                netns.open_fd(self.name),
                netns.identity(self.name),
                Links(self.name),
                nft,
                netlink.Socket(self.name, netlink.NETFILTER),
                Trunks(self.name),
                Shaper(self.name),
                tables,
                PacketLog(self.name, tables, self._logging),
            )
        else:
            drift += [f"{name.replace('/', '.')} was changed" for name in changed]
        return self.open, drift

    def lost(self) -> bool:
        """Whether the name is gone, or names another namespace than the one we are in."""
        if self.open is None:
            return False
        return not netns.exists(self.name) or netns.identity(self.name) != self.open.identity

    def _recover(self) -> list[str]:
        if self.open is None or not self.lost():
            return []
        if netns.exists(self.name):
            self.close()
            return [f"network namespace {self.name} was replaced by another"]
        netns.restore(self.name, self.open.fd)
        return [f"network namespace {self.name} had lost its name"]

    def close(self) -> None:
        """Let go of it. It stays as it is."""
        if self.open:
            self.open.close()
            self.open = None


def _need_bridge_filter() -> None:
    """br_netfilter shows bridged frames to the inet hooks: without it security groups would filter nothing."""
    if _BRIDGE_FILTER.exists():
        return
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(["modprobe", "br_netfilter"], check=False, capture_output=True)  # once, at the start
    if not _BRIDGE_FILTER.exists():
        raise MissingKernelPart("this kernel has no br_netfilter (module br_netfilter, CONFIG_BRIDGE_NETFILTER)")
