"""The Northbound database is lost, or restored from an old backup, under traffic: nobody does anything, and it is as before."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.ovn_lab import PROGRAMS, create_database
from tests.topo.mixed_cloud.conftest import Mixed
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ip"), pytest.mark.one_database]


@pytest.mark.parametrize("what", ["lost", "restored from an old backup"])
def test_it_becomes_what_the_api_says(mixed: Mixed, what: str) -> None:
    network = mixed.api.make("networks")["id"]
    mixed.api.make("subnets", network_id=network, cidr="10.0.0.0/24", ip_version=4, enable_dhcp=False)
    mixed.workload("old", network, "h1")
    mixed.workload("gone", network, "h1")
    mixed.all_up()
    file = mixed.ovn.folder / "nb.db"
    backup = mixed.folder / "backup.db"
    shutil.copyfile(file, backup)
    mixed.workload("a", network, "h1")  # what happened since
    mixed.workload("b", network, "h2")
    mixed.forget("gone")
    mixed.all_up()
    ip = mixed.workloads["b"].ip
    wait_until(lambda: mixed.pings("a", ip))
    with mixed.flood("a", ip, 50) as flood:
        mixed.ovn.stop_database("nb")
        if what == "lost":
            file.unlink()
            create_database(file, "nb")
        else:
            shutil.copyfile(backup, file)
        mixed.ovn.start_database("nb")
        began = time.monotonic()
        wait_until(lambda: mixed.ovn.answers("nb"), what="the server")

        def complete() -> bool:
            """As the API says, also in the flow tables."""
            named = {row["name"] for row in mixed.ovn.nb.rows("Logical_Switch_Port", "name")}
            wanted = {one.port for one in mixed.workloads.values()}
            return wanted <= named and gone not in named and mixed.pings("a", ip) and mixed.pings("old", ip)

        gone = mixed.forgotten["gone"]
        wait_until(complete, 60, "everything is as before")
        took = time.monotonic() - began
        before = len(flood.answered)
        wait_until(lambda: len(flood.answered) > before + 20, what="pings are answered")
    print(f"{what}: as before after {took:.1f} s; {len(flood.lost)} of {len(flood.sent)} pings, 20 ms apart, lost")
    mixed.all_up()
    mixed.workload("later", network, "h2")
    mixed.all_up()
    wait_until(lambda: mixed.pings("later", mixed.workloads["a"].ip))
