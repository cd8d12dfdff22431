"""The Northbound database is emptied, edited or restored while packets flow: what was there comes back by itself."""

from __future__ import annotations

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo.lab import Lab, ingress
from tests.topo.ovn_lab import OvnLab
from tests.waiting import wait_until
from weft.logical.model import Key

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS), pytest.mark.dataplanes("ovn")]


def test_it_is_emptied_under_traffic(lab: Lab) -> None:
    """Somebody deletes every switch and group; nobody asks for anything."""
    assert isinstance(lab, OvnLab)
    lab.network("n")
    lab.group("in", ingress())
    for number, name in enumerate("abc", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", groups=("out", "in"), host=f"h{number}")
    lab.up()
    told: set[Key] = set()
    lab.backend.watch(told.update)
    with lab.flood("a", "10.0.0.2", 50) as flood:
        wait_until(lambda: len(flood.answered) > 10)
        lab.cloud.nb.clear("Logical_Switch", "Port_Group", "Address_Set", "DHCP_Options")
        wait_until(lambda: told, what="the backend hears of it")

        def mended() -> bool:
            keys, told_now = set(told), len(told)
            if told_now:
                told.difference_update(keys)
                lab.backend.set(lab.view, keys)
            return lab.pings("a", "10.0.0.3")

        wait_until(mended, 20, "the packets flow again")
        before = len(flood.answered)
        wait_until(lambda: len(flood.answered) > before + 10)
    print(f"{len(flood.lost)} of {len(flood.sent)} pings, 20 ms apart, lost")
    lab.full()
    assert lab.full().drift == []
    assert lab.reach() == {f"{one} {other}" for one in "abc" for other in "abc" if one != other}
