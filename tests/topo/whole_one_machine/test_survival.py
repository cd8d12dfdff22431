"""Processes die, packets flow."""

from __future__ import annotations

import signal
import time

import pytest

from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]


@pytest.mark.parametrize("process", ["api", "identity", "dataplane"])
def test_a_process_is_killed(pair: Pair, process: str) -> None:
    """kill -9 under a flood of 100 pings a second: none is lost, and the process comes back."""
    weft = pair.weft
    with weft.flood("a", pair.ip_b) as flood:
        time.sleep(0.3)
        weft.kill(process)
        wait_until(weft.answers)
        made = weft.make("ports", network_id=pair.network, name="c")
        assert weft.plug(made["id"], "c")["status"] == "ACTIVE"
    assert len(flood.sent) > 30
    assert flood.lost == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_everything_ends_and_starts_again(pair: Pair, number: signal.Signals) -> None:
    """Stopped or killed, Weft leaves packets flowing; started again it adopts what is there, and knows what it knew."""
    weft = pair.weft
    with weft.flood("a", pair.ip_b) as flood:
        time.sleep(0.3)
        weft.stop(number)
        time.sleep(0.5)
        weft.start()
        assert weft.port(pair.a)["status"] == "ACTIVE"
        weft.weft("check", "--repair")
    assert len(flood.sent) > 80
    assert flood.lost == set()
    assert weft.port(pair.b)["name"] == "b"
    assert "mended" not in weft.weft("check").stdout


def test_what_changed_while_nobody_looked(pair: Pair) -> None:
    """The network that was asked for while the dataplane was dead is there when it is back."""
    weft = pair.weft
    third = weft.make("ports", network_id=pair.network, name="c")
    assert weft.plug(third["id"], "c")["status"] == "ACTIVE"
    weft.kill("dataplane")
    rules = weft.call("GET", f"/security-group-rules?security_group_id={pair.group}&direction=ingress")
    for rule in rules["security_group_rules"]:
        weft.call("DELETE", f"/security-group-rules/{rule['id']}")

    def silent() -> bool:
        with weft.flood("a", pair.ip_b) as flood:
            time.sleep(0.2)
        return not flood.answered

    wait_until(silent)
