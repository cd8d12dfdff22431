"""What others change behind our back is put right within ten seconds, and told."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft import installed
from weft.agent import health
from weft.backends.linux import names
from weft.store import changes
from weft.store.engine import Store

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]

WITHIN = 10.0


def _inside(pair: Pair, *command: str) -> None:
    subprocess.run(["ip", "netns", "exec", pair.weft.namespace, *command], check=True)


def _bridge(pair: Pair) -> None:
    _inside(pair, "ip", "link", "delete", names.bridge(pair.network))


def _tables(pair: Pair) -> None:
    for family in ("bridge", "inet"):
        _inside(pair, "nft", "delete", "table", family, "weft")


def _chains(pair: Pair) -> None:
    _inside(pair, "nft", "flush", "table", "inet", "weft")


def _router(pair: Pair) -> None:
    subprocess.run(["ip", "netns", "delete", names.router_namespace(pair.weft.namespace, pair.router)], check=True)


def _detached(pair: Pair) -> None:
    _inside(pair, "ip", "link", "set", names.tap(pair.a), "nomaster")


def _answered(pair: Pair, address: str) -> bool:
    with pair.weft.flood("a", address) as flood:
        time.sleep(0.1)
    return bool(flood.sent) and not flood.lost


@pytest.mark.parametrize(
    "harm", [_bridge, _tables, _chains, _router, _detached], ids=lambda harm: harm.__name__.strip("_")
)
def test_mended_and_told(pair: Pair, harm: Callable[[Pair], None]) -> None:
    gateway = "10.0.0.1"
    wait_until(lambda: _answered(pair, gateway), WITHIN)
    harm(pair)
    wait_until(lambda: _answered(pair, pair.ip_b) and _answered(pair, gateway), WITHIN)
    wait_until(lambda: "mended" in pair.weft.weft("check").stdout, WITHIN)
    assert pair.weft.port(pair.a)["status"] == "ACTIVE"


def test_what_is_nothing_to_it_is_followed_too(pair: Pair) -> None:
    """What the dataplane says itself, and what changes no packet: `weft check` does not take it for a standstill."""
    config = installed.remembered(str(pair.weft.folder))
    store = Store(config)

    def behind() -> int:
        told = health.read(config.state_path)
        assert told is not None
        return store.read(lambda connection: changes.behind(connection, told.sequence))

    try:
        pair.weft.call("PUT", f"/ports/{pair.a}", {"port": {"admin_state_up": False}})
        wait_until(lambda: pair.weft.port(pair.a)["status"] == "DOWN", WITHIN)
        wait_until(lambda: behind() == 0, WITHIN)
        pair.weft.make("networks", name="without a port here")
        wait_until(lambda: behind() == 0, WITHIN)
    finally:
        store.close()


def test_a_device_that_goes_takes_the_status_along(pair: Pair) -> None:
    weft = pair.weft
    _inside(pair, "ip", "link", "delete", names.tap(pair.a))
    wait_until(lambda: weft.port(pair.a)["status"] == "DOWN", WITHIN)
    assert weft.plug(pair.a, "a")["status"] == "ACTIVE"
    wait_until(lambda: _answered(pair, pair.ip_b), WITHIN)


def test_unplugged(pair: Pair) -> None:
    weft = pair.weft
    weft.weft("unplug", pair.a)
    wait_until(lambda: weft.port(pair.a)["status"] == "DOWN", WITHIN)
    assert weft.port(pair.a)["device_owner"] == ""
    weft.call("DELETE", f"/ports/{pair.a}")
