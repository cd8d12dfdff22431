"""A tap device for a hypervisor, on a machine whose dataplane is OVN."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import struct
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.topo.whole import Installation
from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.linux import names, netns
from weft.backends.linux.links import Links
from weft.backends.ovn.daemons import PACKAGES
from weft.backends.ovn.vsctl import Switch

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PACKAGES, "socat"), pytest.mark.slow]

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def open_tap(name: str) -> int:
    """The far end of a tap device, in the namespace of the calling thread."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class Hypervisor:
    """Opens the tap device of a port, and moves frames between it and the network card of its machine, a namespace."""

    def __init__(self, host: str, tap: str, machine: str, mac: str, cidr: str) -> None:
        self.machine = machine
        netns.create(machine)
        card = netns.inside(machine, open_tap, "eth0")
        for line in (["link", "set", "dev", "eth0", "address", mac, "up"], ["addr", "add", cidr, "dev", "eth0"]):
            subprocess.run(["ip", "-n", machine, *line], check=True)
        self._ends = (netns.inside(host, open_tap, tap), card)
        self._stop, self._stopper = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        there = dict(zip(self._ends, reversed(self._ends), strict=True))
        poll = select.poll()
        for fd in (*there, self._stop):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._stop:
                    return
                with contextlib.suppress(OSError):  # the other end is down: the frame is lost
                    os.write(there[fd], os.read(fd, 65536))

    def close(self) -> None:
        os.write(self._stopper, b"x")
        self._thread.join()
        for fd in (*self._ends, self._stop, self._stopper):
            os.close(fd)


@contextlib.contextmanager
def hypervisor(weft: Installation, tap: str, port: str, cidr: str) -> Iterator[Hypervisor]:
    one = Hypervisor(weft.namespace, tap, weft.workload("machine"), weft.port(port)["mac_address"], cidr)
    try:
        yield one
    finally:
        one.close()


def test_packets_through_a_tap(pair: Pair) -> None:
    """Pings and TCP, both ways; the hypervisor comes after the port is ACTIVE, and comes back after an end."""
    weft = pair.weft
    port = weft.make("ports", network_id=pair.network, name="m")
    address = port["fixed_ips"][0]["ip_address"]
    told = json.loads(weft.weft("plug", "m", "--tap", "vnet7", "--json").stdout)
    assert (told["status"], told["device"], told["where"]) == ("ACTIVE", "vnet7", weft.namespace)
    for device in (names.tap(port["id"]), "vnet7"):  # it has two names
        with hypervisor(weft, device, port["id"], f"{address}/24") as machine:
            with weft.flood("a", address) as flood:
                wait_until(lambda flood=flood: len(flood.answered) > 3)
            line = ["socat", "-u", "TCP-LISTEN:8080,reuseaddr", "STDOUT"]
            server = subprocess.Popen(
                ["ip", "netns", "exec", machine.machine, *line], stdout=subprocess.PIPE, text=True
            )
            try:
                send = ["ip", "netns", "exec", weft.workload("a"), "socat", "-u", "-", f"TCP:{address}:8080"]
                wait_until(
                    lambda send=send: (
                        subprocess.run(send, input="hello", text=True, capture_output=True).returncode == 0
                    )
                )
                assert server.communicate(timeout=10)[0] == "hello"
            finally:
                server.kill()
                server.wait()
        assert weft.port(port["id"])["status"] == "ACTIVE", (
            "a hypervisor that ends leaves the device, and the port, as they are"
        )
    weft.weft("unplug", "m")
    wait_until(lambda: weft.port(port["id"])["status"] == "DOWN")
    with contextlib.closing(Links(weft.namespace)) as links:
        assert links.get([names.tap(port["id"])]) == {}
    assert names.tap(port["id"]) not in Switch(f"unix:{weft.folder}/ovn/db.sock").marked("iface-id")


def test_a_tap_that_is_deleted(pair: Pair) -> None:
    """Plugging twice changes nothing; a device that somebody deletes is made again."""
    weft = pair.weft
    port = weft.make("ports", network_id=pair.network, name="m")["id"]
    for _ in range(2):
        assert "ACTIVE" in weft.weft("plug", "m", "--tap", "vnet8").stdout
        show = ["ip", "-netns", weft.namespace, "-json", "link", "show", "vnet8"]
        link = json.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)[0]
        assert link["ifname"] == names.tap(port)
    subprocess.run(["ip", "-n", weft.namespace, "link", "del", "vnet8"], check=True)
    wait_until(lambda: weft.port(port)["status"] == "DOWN")
    assert "ACTIVE" in weft.weft("plug", "m", "--tap", "vnet8").stdout
