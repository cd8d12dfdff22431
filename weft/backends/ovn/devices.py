"""Devices of workloads that are gone, of which Open vSwitch's userspace datapath takes no notice: ports would stay ACTIVE.

The kernel's datapath loses a port with its device, the userspace one keeps what it has opened. So the switch is asked to
open such a device again: its port is then without one, ovn-controller gives the logical port up, and everybody reads so in
the Southbound database. A device that comes back by that name the switch opens by itself. (Our local ports are not among
them: `localports.py` makes and attaches these, and ovn-controller 23.03 does not follow a local port to another number.)
"""

from __future__ import annotations

import logging
import threading

from weft.backends.linux import netns
from weft.backends.linux.links import Links
from weft.backends.linux.monitor import Monitor
from weft.backends.ovn.localports import OURS
from weft.backends.ovn.vsctl import OvsError, Switch

LOG = logging.getLogger(__name__)

LOOK_AGAIN = 5.0
"""Seconds after which links are looked at though none was heard to change."""
SETTLE = 0.1
"""Seconds in which a hypervisor that takes a device away tells the switch too, and nothing is left to do."""


class Devices:
    """Those of one host. `namespace`: where its switch runs. Its own thread looks whenever a link goes; the switch is asked
    only then, and at `look`."""

    def __init__(self, namespace: str, connection: str) -> None:
        self._namespace, self._switch = namespace, Switch(connection)
        self._lock = threading.Lock()
        self._monitor: Monitor | None = None
        self._links: Links | None = None
        self._identity = 0
        self._seen: dict[str, int] = {}
        self._lost: set[str] = set()

    def look(self) -> None:
        """See to all of them, whatever was heard; from now on also when a link goes. Raises OSError where there is no such
        namespace."""
        identity = netns.identity(self._namespace)
        if identity != self._identity:
            self._listen()
            self._identity = identity
        with self._lock:
            self._follow()
            self._let_go()

    def close(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
        if self._links is not None:
            self._links.close()
        self._monitor = self._links = None

    def _listen(self) -> None:
        self.close()
        self._seen, self._lost = {}, set()
        self._links = Links(self._namespace)
        self._monitor = Monitor(self._namespace, self._moved, self._moved, LOOK_AGAIN, SETTLE)

    def _moved(self, names: frozenset[str] | None = frozenset()) -> None:
        """Links of these names have changed; None: any may have."""
        with self._lock:
            self._follow()
            # one that came and went before anybody looked was never seen
            self._lost |= {name for name in names or () if name not in self._seen}
            if self._lost or names is None:
                self._let_go()

    def _follow(self) -> None:
        """Note which links are not those that they were."""
        if self._links is None:
            return
        now = {name: link.index for name, link in self._links.dump().items()}
        self._lost |= {name for name, index in self._seen.items() if now.get(name) != index}
        self._seen = now

    def _let_go(self) -> None:
        """Of those that are gone, and of those that were others a while ago."""
        try:
            if not self._switch.moves_packets_itself():
                self._lost.clear()
                return
            known = self._switch.devices(but=OURS)
            held = {name for name, device in known.items() if device.port > 0}
            gone = sorted(name for name in held if known[name].gone or (name in self._lost and name in self._seen))
            self._switch.open_again(gone, known)
        except OvsError as fault:
            LOG.warning("Open vSwitch did not say which devices it holds: %s", fault)
            return
        for name in gone:
            LOG.info("device %s is gone, or another one: Open vSwitch was told", name)
        # of one that is gone the switch may not have heard yet: it is asked again
        self._lost &= held - set(gone)
