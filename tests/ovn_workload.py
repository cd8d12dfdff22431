"""Workloads of OVN's hosts: a namespace whose eth0 is a port of br-int, as a hypervisor makes it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.ovn_lab import Chassis
from weft.backends.linux import names, netns
from weft.backends.linux.links import Address, Create, Delete, Link, Links, Modify
from weft.backends.ovn import offload

QUIET = {"net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/all/accept_dad": 0, "net/ipv6/conf/default/accept_ra": 0}


@dataclass(frozen=True)
class Device:
    """What a workload's port is to a hypervisor."""

    namespace: str
    port: str
    mac: str
    cidrs: tuple[str, ...] = ()
    mtu: int = 1500

    @property
    def link(self) -> str:
        return names.tap(self.port)


def plug(chassis: Chassis, devices: Iterable[Device]) -> None:
    """Make them and attach them, all at once; a namespace that is there gets its device (again)."""
    assert chassis.links is not None
    devices = list(devices)
    for one in devices:
        netns.create(one.namespace, QUIET)
    taps = [Link(one.link, "veth", one.mtu, True, peer=(one.namespace, "eth0"), peer_mac=one.mac) for one in devices]
    assert chassis.links.apply([Create(tap) for tap in taps]) == {}
    for one in devices:
        offload.off(one.namespace, "eth0")
        links = Links(one.namespace)
        assert links.apply([Modify(Link("eth0", up=True, mtu=one.mtu))]) == {}
        assert links.change_addresses(Address("eth0", cidr) for cidr in one.cidrs) == {}
        links.close()
    chassis.plug({one.link: (one.port, one.mac) for one in devices})


def unplug(chassis: Chassis, *ports: str) -> None:
    """The devices of these ports are no longer attached, and gone."""
    assert chassis.links is not None
    taps = [names.tap(port) for port in ports]
    chassis.unplug(*taps)
    assert chassis.links.apply([Delete(tap) for tap in taps]) == {}


def watched_switch(folder: Path, namespace: str, link: str) -> Path:
    """A folder to be first in PATH: its ovs-vsctl does what the real one does, and notes what it is asked to do with that
    device, and whether the device was there, as lines of the file `asked` beside it."""
    folder.mkdir()
    program = folder / "ovs-vsctl"
    there = f"ip -n {namespace} link show {link} >/dev/null 2>&1 && echo there || echo away"
    program.write_text(
        f"""#!/bin/sh
for word; do
    case "$word" in
        add-port|del-port) verb=$word ;;
        {link}) [ "$verb" ] && echo "$verb $({there})" >> {folder}/asked; verb= ;;
    esac
done
exec {shutil.which("ovs-vsctl")} "$@"
"""
    )
    program.chmod(0o755)
    return folder
