"""A workload moves from one host of OVN to another as Nova does it: by the API, under ping."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.ovn_lab import PROGRAMS
from tests.ovn_workload import Device, plug
from tests.topo.mixed_cloud.conftest import FLAT, OLD, Mixed
from tests.topo.ovn_networks.test_migration import rarp
from tests.waiting import wait_until
from weft.backends.linux import netns

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ip"), pytest.mark.one_database]


@pytest.mark.parametrize(("kind", "peer"), [("flat", OLD), ("geneve", "h2")])
def test_bindings_move_it(mixed: Mixed, kind: str, peer: str) -> None:
    """An inactive binding, both plugged, activation, the old one gone. Between the two ends of the way no ping is lost but
    those that were underway when the workload itself went."""
    nova = mixed.api.as_("nova", "admin,service")
    provider = FLAT if kind == "flat" else {"provider:network_type": kind}
    network = mixed.api.admin.make("networks", shared=True, **provider)["id"]
    mixed.api.admin.make("subnets", network_id=network, cidr="198.18.250.0/24", ip_version=4, enable_dhcp=False)
    vm = mixed.workload("vm", network, "h1", device_owner="compute:nova")
    mixed.workload("peer", network, peer)
    mixed.all_up()
    ip = mixed.workloads["vm"].ip
    wait_until(lambda: mixed.pings("peer", ip))
    there = Device(f"{mixed.name}-vm2", vm["id"], vm["mac_address"], (f"{ip}/24",))

    def plugged() -> dict[str, Any]:
        (row,) = mixed.ovn.sb.rows("Port_Binding", "additional_chassis", "options", logical_port=vm["id"])
        return row

    with mixed.flood("peer", ip, 50) as flood:

        def goes_on() -> None:
            before = len(flood.answered)
            wait_until(lambda: len(flood.answered) > before + 10, what="pings are answered")

        status, body = nova.post(f"ports/{vm['id']}/bindings", {"binding": {"host": "h2"}})
        assert (status, body["binding"]["vif_type"], body["binding"]["status"]) == (201, "ovs", "INACTIVE")
        plug(mixed.ovn.chassis["h2"], [there])
        wait_until(lambda: plugged()["additional_chassis"])
        goes_on()
        assert mixed.told("vm") == ("ACTIVE", "")
        with netns.open_socket(there.namespace, socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind(("eth0", 0))
            wire.send(rarp(vm["mac_address"]))
        mixed.detach("vm")  # the source is paused for good
        goes_on()
        status, body = nova.put(f"ports/{vm['id']}/bindings/h2/activate", {})
        assert status == 200, body
        assert nova.delete(f"ports/{vm['id']}/bindings/h1")[0] == 204
        wait_until(
            lambda: mixed.ovn.bound().get(vm["id"]) == "h2" and mixed.told("vm") == ("ACTIVE", ""), 30, "it is there"
        )
        goes_on()
    assert len(flood.lost) <= 25
    print(f"{len(flood.lost)} of {len(flood.sent)} pings, 20 ms apart, lost")
    row = plugged()
    assert not row["additional_chassis"] and row["options"]["requested-chassis"] == "h2"
    mixed.moved("vm", "h2")
