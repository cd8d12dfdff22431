"""A new process finds the dataplane of one that was killed: it adopts it, and no packet is lost."""

from __future__ import annotations

import subprocess

import pytest

from tests.topo.lab import Lab, ingress, uid
from weft.backends.linux import netns
from weft.backends.linux.nft import Nft, NftError
from weft.logical.model import Key

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]


@pytest.fixture
def running(lab: Lab) -> Lab:
    lab.network("n")
    lab.group("default", ingress(remote_group="default"))
    for number, name in enumerate("abc", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", groups=("out", "default"))
    lab.up()
    return lab


def snapshot(lab: Lab) -> dict[str, int]:
    return {name: link.index for name, link in lab.links(lambda links: links.dump()).items()}


def test_adoption_loses_nothing(running: Lab) -> None:
    before = snapshot(running)
    with running.flood("a", "10.0.0.2") as flood:
        for _ in range(10):
            running.restart()
            assert running.full().drift == []
    assert len(flood.sent) > 10
    assert flood.lost == set()
    assert snapshot(running) == before


@pytest.mark.parametrize("last", [1, 2, 3])
@pytest.mark.dataplanes("linux", because="looks at the kernel's tables; of OVN's rows tests/backends/ovn tells")
def test_who_died_while_the_tables_were_replaced(running: Lab, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """After that many of its transactions: the rules are in force all the time, and the next one leaves nothing of it."""
    run, left = Nft.run, [last]

    def until_killed(self: Nft, script: str) -> None:
        if "table" in script and not left[0]:
            raise NftError("killed")
        left[0] -= "table" in script
        run(self, script)

    running.port("shut", "n", "10.0.0.9/24", groups=("out",))
    running.up("shut")
    with running.flood("a", "10.0.0.2") as flood:
        running.restart()
        with monkeypatch.context() as patch:
            patch.setattr(Nft, "run", until_killed)
            running.backend.set(running.view, None)
        assert "weft-next" in tables(running)
        assert not running.pings("a", "10.0.0.9"), "nothing is open meanwhile"
        running.restart()
        assert running.full().drift == []
        assert not running.pings("a", "10.0.0.9")
    assert flood.lost == set()
    assert tables(running) == "table bridge weft\ntable inet weft\n"


def tables(lab: Lab) -> str:
    line = ["nsenter", f"--net=/run/netns/{lab.host}", "nft", "list", "tables"]
    return "".join(sorted(subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines(True)))


def test_changes_and_audits_lose_nothing(running: Lab) -> None:
    with running.flood("a", "10.0.0.2") as flood:
        for number in range(20):
            running.set(
                running.group("default", ingress(remote_group="default"), ingress("tcp", number + 1, number + 1))
            )
            running.set(running.port(f"x{number}", "n", f"10.0.0.{100 + number}/24", groups=("out", "default")))
            assert running.full().drift == []
    assert flood.lost == set()


def test_connections_and_zones_survive(running: Lab) -> None:
    """An answer is only let in because conntrack remembers the question, in the zone of the network."""
    running.set(running.change("b", groups=("out",)), Key("addresses", uid("default")))
    running.set(running.port("d", "n", "10.0.0.4/24", groups=("out",)))
    with running.stream("b", "a", 80) as none:
        assert none is None
    running.group("web", ingress("tcp", 80, 80))
    running.set(running.change("a", groups=("out", "web")), Key("group", uid("web")))
    with running.stream("b", "a", 80) as ends:
        assert ends is not None
        client, server = ends
        running.restart()
        running.full()
        server.send(b"late")
        assert client.recv(10) == b"late"


@pytest.mark.dataplanes("linux", because="looks at bridges; of OVN's rows tests/backends/ovn tells")
def test_what_was_removed_meanwhile_is_pruned(running: Lab) -> None:
    running.network("other")
    running.full()
    assert len([name for name in snapshot(running) if name.startswith("brq")]) == 2
    running.restart()
    del running.view.switches[uid("other")]
    running.full()
    assert len([name for name in snapshot(running) if name.startswith("brq")]) == 1


@pytest.mark.dataplanes("linux", because="looks at the kernel's tables; of OVN's rows tests/backends/ovn tells")
def test_nothing_but_ours_is_touched(running: Lab) -> None:
    subprocess.run(["ip", "-n", running.host, "link", "add", "virbr0", "type", "bridge"], check=True)
    netns.inside(running.host, subprocess.run, ["nft", "add table inet mine"])
    running.restart()
    running.full()
    assert "virbr0" in snapshot(running)
    tables = netns.inside(running.host, lambda: subprocess.run(["nft", "list tables"], capture_output=True, text=True))
    assert "table inet mine" in tables.stdout.splitlines()


def test_closing_leaves_the_dataplane_standing(running: Lab) -> None:
    running.backend.close()
    assert running.reach() == {f"{a} {b}" for a in "abc" for b in "abc" if a != b}
    running.restart()
