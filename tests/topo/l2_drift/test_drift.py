"""What somebody else breaks: noticed, named, mended."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable

import pytest

from tests.topo.lab import Lab, ingress, uid
from weft.backends.linux import names, netns
from weft.logical.model import Key

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ip", "nft")]


@pytest.fixture
def good(lab: Lab) -> Lab:
    lab.network("n")
    lab.group("default", ingress(remote_group="default"))
    for number, name in enumerate("ab", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", groups=("out", "default"))
    lab.up()
    assert lab.full().drift == []
    return lab


def damage(lab: Lab, *command: str) -> None:
    netns.inside(lab.host, lambda: subprocess.run(command, check=True, capture_output=True))


BRIDGE, TAP, GROUP = names.bridge(uid("n")), names.tap(uid("a")), uid("default")

DAMAGES = {
    f"bridge {BRIDGE} was gone": ("ip", "link", "delete", BRIDGE),
    f"{TAP} was on no bridge instead of {BRIDGE}": ("ip", "link", "set", TAP, "nomaster"),
    f"{TAP} had other settings": ("ip", "link", "set", TAP, "down"),
    f"{BRIDGE} had other settings": ("ip", "link", "set", BRIDGE, "type", "bridge", "nf_call_iptables", "0"),
    "nft table inet weft was gone": ("nft", "delete table inet weft"),
    "nft table bridge weft was gone": ("nft", "flush ruleset"),
    f"nft chain inet in-g-{GROUP} had 0 rules instead of 1": ("nft", f"flush chain inet weft in-g-{GROUP}"),
    f"nft set inet a4-{GROUP} had 1 elements instead of 2": (
        "nft",
        f"delete element inet weft a4-{GROUP} {{ 10.0.0.1 }}",
    ),
    "nft set bridge v4 had 0 elements instead of 2": ("nft", "flush set bridge weft v4"),
    "net.bridge.bridge-nf-call-iptables was changed": ("sysctl", "net.bridge.bridge-nf-call-iptables=0"),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_full_pass_mends_and_says_so(good: Lab, words: str) -> None:
    damage(good, *DAMAGES[words])
    assert words in good.full().drift
    assert good.full().drift == []
    assert good.pings("a", "10.0.0.2", patience=2)
    assert good.reach() == {"a b", "b a"}


def test_a_rule_that_was_slipped_in_goes(good: Lab) -> None:
    good.set(good.group("default"))
    assert good.reach() == set()
    damage(good, "nft", f"add rule inet weft in-g-{GROUP} accept")
    assert good.reach() == {"a b", "b a"}
    good.full()
    assert good.reach() == set()


def test_a_scoped_call_notices_too(good: Lab) -> None:
    """Whatever it was called for: a firewall that somebody touched is loaded anew first."""
    damage(good, "nft", "delete table inet weft")
    report = good.set(Key("port", uid("b")))
    assert "nft table inet weft was gone" in report.drift
    assert good.reach() == {"a b", "b a"}


def test_a_namespace_that_lost_its_name_gets_it_back(good: Lab) -> None:
    """`ip netns delete` while we run removes no more than the name."""
    with good.flood("a", "10.0.0.2") as flood:
        netns.delete(good.host)
        assert not netns.exists(good.host)
        assert good.full().drift == [f"network namespace {good.host} had lost its name"]
        assert netns.exists(good.host)
    assert flood.lost == set()
    assert flood.sent


def test_a_namespace_that_was_replaced_is_furnished_anew(good: Lab) -> None:
    netns.delete(good.host)
    netns.create(good.host)
    report = good.full()
    assert report.drift == [f"network namespace {good.host} was replaced by another"]
    assert not report.status[Key("port", uid("a"))].up
    for name in "ab":
        good.workloads[name].links.close()
        netns.delete(good.workloads.pop(name).namespace)
    good.plug("a", "b")
    good.full()
    assert good.pings("a", "10.0.0.2")


class Ears:
    """Collects what the backend reports."""

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self._heard = threading.Condition()

    def __call__(self, keys: Iterable[Key]) -> None:
        with self._heard:
            self.keys |= set(keys)
            self._heard.notify_all()

    def wait(self, key: Key, seconds: float = 5) -> bool:
        with self._heard:
            return self._heard.wait_for(lambda: key in self.keys, seconds)


def test_devices_that_come_and_go_are_heard(good: Lab) -> None:
    ears = Ears()
    good.backend.watch(ears)
    c = good.port("c", "n", "10.0.0.3/24", groups=("out", "default"))
    assert not good.set(c).status[c].up
    good.plug("c")
    assert ears.wait(c)
    assert good.set(c).status[c].up
    ears.keys.clear()
    good.unplug("c")
    assert ears.wait(c)
    assert not good.set(c).status[c].up


def test_a_bridge_that_goes_is_heard(good: Lab) -> None:
    ears = Ears()
    good.backend.watch(ears)
    damage(good, "ip", "link", "delete", BRIDGE)
    assert ears.wait(Key("switch", uid("n")))
    good.set(*ears.keys)
    assert good.pings("a", "10.0.0.2", patience=2)


def test_our_own_changes_are_no_news(good: Lab) -> None:
    ears = Ears()
    good.backend.watch(ears)
    c = good.port("c", "n", "10.0.0.3/24", groups=("out", "default"))
    good.plug("c")
    good.set(c)
    ears.keys.clear()
    good.set(c, Key("switch", uid("n")))
    good.set(good.network("n", mtu=1400))
    good.full()
    assert not ears.wait(c, 0.3)
    assert ears.keys == set()


@pytest.mark.parametrize("command", [("nft", "flush ruleset"), ("ip", "netns", "delete")])
def test_what_makes_no_noise_is_found_within_seconds(good: Lab, command: tuple[str, ...]) -> None:
    ears = Ears()
    good.backend.watch(ears)
    if command[0] == "nft":
        damage(good, *command)
    else:
        subprocess.run([*command, good.host], check=True)
    assert ears.wait(Key("port", uid("a")))
    assert good.set(*ears.keys).drift
    assert good.reach() == {"a b", "b a"}
