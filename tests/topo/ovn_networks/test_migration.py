"""A workload goes to another host while it is pinged: both hosts have it plugged, and it speaks from one after the other."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.ovn_lab import PROGRAMS
from tests.ovn_workload import Device
from tests.topo import frames
from tests.topo.lab import Lab, ingress, mac, uid
from tests.topo.ovn_lab import OvnLab
from tests.waiting import wait_until
from weft.backends.linux import netns
from weft.logical.model import Key

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS), pytest.mark.dataplanes("ovn")]


def rarp(source: str) -> bytes:
    """What a hypervisor sends when the workload runs on it now (RFC 903)."""
    own = bytes.fromhex(source.replace(":", ""))
    body = b"\x00\x01\x08\x00\x06\x04\x00\x03" + own + bytes(4) + own + bytes(4)
    return frames.ethernet(source, frames.BROADCAST, 0x8035, body)


def test_it_moves_under_ping(lab: Lab) -> None:
    assert isinstance(lab, OvnLab)
    lab.network("n")
    lab.group("in", ingress())
    lab.port("vm", "n", "10.0.0.1/24", groups=("out", "in"), host="h1")
    lab.port("peer", "n", "10.0.0.2/24", groups=("out", "in"), host="h3")
    lab.up()
    vm = lab.view.ports[uid("vm")]
    with lab.flood("peer", "10.0.0.1", 50) as flood:
        lab.view.ports[vm.id] = replace(vm, also=("h2",))
        lab.set(vm.key)
        there = Device(f"{lab.name}-vm2", vm.id, vm.mac, ("10.0.0.1/24",))
        lab.plane.plug_also("h2", there)
        rows = lab.cloud.sb
        wait_until(lambda: rows.rows("Port_Binding", "additional_chassis", logical_port=vm.id)[0]["additional_chassis"])
        lab.cloud.sync()
        before = len(flood.answered)
        wait_until(lambda: len(flood.answered) > before + 5, what="it answers from where it is")
        with netns.open_socket(there.namespace, socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind(("eth0", 0))
            wire.send(rarp(mac("vm")))
        lab.plane.plugged[vm.id] = "h2"
        lab.view.ports[vm.id] = replace(vm, host="h2")
        report = lab.set(vm.key)
        before = len(flood.answered)
        wait_until(lambda: len(flood.answered) > before + 20, what="it answers from where it went")
    print(f"{len(flood.lost)} of {len(flood.sent)} pings, 20 ms apart, lost")
    assert report.status[Key("port", vm.id)].up
    assert lab.cloud.bound()[vm.id] == "h2"
