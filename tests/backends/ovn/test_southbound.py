"""Status from a real Southbound database: walks of a port and a router, hosts that come, change and die, and lost events."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest

from tests.ovn_lab import PROGRAMS, Ovn, run
from tests.ovn_workload import Device, plug, unplug
from tests.waiting import wait_until
from weft.backends.interface import Status
from weft.backends.ovn import sb
from weft.backends.ovn.chassis import Chassis
from weft.backends.ovn.sb import Southbound
from weft.logical.model import Gateway, HostView, Key, LogicalPort, LogicalRouter, LogicalSwitch, RouterPort, Segment

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS)]

MAC = "02:00:00:00:00:01"


def uid(name: str) -> str:
    return str(uuid5(NAMESPACE_OID, name))


class Watch:
    """A Southbound with a view of one port on h1 and what it reported by itself."""

    def __init__(self, ovn: Ovn, down_time: int = 75) -> None:
        self.ovn = ovn
        self.view = HostView("")
        self.view.switches["n"] = LogicalSwitch("n", "n", "p", 1442, (Segment("geneve", None, 7),))
        self.port = LogicalPort(uid("port"), "n", MAC, host="h1")
        self.view.ports[self.port.id] = self.port
        own = {"ovn_sb_connection": (ovn.southbound_remote,), "ovn_sb_private_key": "", "ovsdb_probe_interval": 5000}
        config: Any = SimpleNamespace(ovn=SimpleNamespace(**own), api=SimpleNamespace(agent_down_time=down_time))
        self.southbound = Southbound(config)
        assert self.southbound.wait(10)
        self.reported: set[Key] = set()
        self.southbound.watch(self.reported.update)

    def now(self, key: Key | None = None) -> Status:
        key = key or self.port.key
        return self.southbound.status(self.view, [key], {})[key]

    def becomes(self, reason: str, key: Key | None = None) -> None:
        """It reports by itself that something is different, and this is what it is then."""
        key = key or self.port.key
        wait_until(lambda: key in self.reported and self._is(reason, key), what=f"{reason!r}, is {self.now(key)}")

    def _is(self, reason: str, key: Key) -> bool:
        self.reported.discard(key)
        return self.now(key) == Status(not reason, reason)

    def chassis(self) -> dict[str, Chassis]:
        return {one.host: one for one in self.southbound.chassis()}

    def nb(self, *words: str) -> None:
        run("ovn-nbctl", f"--db={self.ovn.northbound_remote}", *words)


@pytest.fixture
def watch(ovn: Ovn) -> Iterator[Watch]:
    made = Watch(ovn)
    try:
        yield made
    finally:
        made.southbound.close()


def test_a_port_comes_up_and_goes(watch: Watch) -> None:
    assert watch.now() == Status(False, "waiting for ovn-northd to take it over")
    watch.nb("ls-add", "n", "--", "lsp-add", "n", watch.port.id, "--", "lsp-set-addresses", watch.port.id, MAC)
    watch.becomes("waiting for the host h1 to plug it")
    device = Device(f"{watch.ovn.name}-vm", watch.port.id, MAC)
    plug(watch.ovn.chassis["h2"], [device])
    watch.becomes("it is plugged on host h2, not on host h1")
    unplug(watch.ovn.chassis["h2"], watch.port.id)
    watch.becomes("waiting for the host h1 to plug it")
    plug(watch.ovn.chassis["h1"], [device])
    watch.becomes("")
    watch.nb("lsp-del", watch.port.id)
    watch.becomes("waiting for ovn-northd to take it over")


def test_what_is_as_it_was_told_is_not_reported(watch: Watch) -> None:
    watch.now()
    watch.nb("ls-add", "other", "--", "lsp-add", "other", "somebody-elses")
    watch.ovn.sync()
    watch.ovn.sync()
    assert watch.reported == set()


def test_a_lost_report_is_made_again(ovn: Ovn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb, "LOOK_AGAIN", 0.2)
    watch = Watch(ovn)
    try:
        watch.now()
        watch.nb("ls-add", "n", "--", "lsp-add", "n", watch.port.id)
        for _ in range(3):
            wait_until(lambda: watch.port.key in watch.reported)
            watch.reported.clear()  # and nobody looked
        assert watch.now().reason == "waiting for the host h1 to plug it"
    finally:
        watch.southbound.close()


def test_what_happened_while_the_server_was_away(watch: Watch) -> None:
    """A port that came, one that went and a host that changed meanwhile: of none an event was heard."""
    watch.now()
    watch.nb("ls-add", "n", "--", "lsp-add", "n", watch.port.id, "--", "lsp-add", "n", "gone")
    watch.becomes("waiting for the host h1 to plug it")
    wait_until(lambda: "gone" in watch.southbound._ports)
    watch.ovn.stop_database("sb")
    watch.nb("lsp-del", watch.port.id, "--", "lsp-del", "gone", "--", "lsp-add", "n", "new")
    watch.ovn.start_database("sb")
    watch.becomes("waiting for ovn-northd to take it over")
    assert set(watch.southbound._ports) == {"new"}


def test_a_database_that_was_made_anew(watch: Watch) -> None:
    """Hosts and northd fill it again; so does what we know."""
    watch.now()
    watch.nb("ls-add", "n", "--", "lsp-add", "n", watch.port.id)
    watch.becomes("waiting for the host h1 to plug it")
    watch.ovn.sb.clear("Port_Binding", "Chassis", "Chassis_Private")
    wait_until(lambda: set(watch.chassis()) == {"h1", "h2"} and watch.now().reason.startswith("waiting for the host"))


def test_hosts_come_change_and_go(watch: Watch) -> None:
    assert watch.chassis()["h1"].bridge_mappings == {"physnet1": "br-ex"}
    watch.ovn.join(5, ovn_cms_options="enable-chassis-as-gw,availability-zones=az1:az2")
    wait_until(lambda: "h5" in watch.chassis())
    assert (watch.chassis()["h5"].gateway, watch.chassis()["h5"].zones) == (True, ("az1", "az2"))
    watch.ovn.chassis["h5"].identify(ovn_cms_options="", ovn_bridge_mappings="physnet2:br-ex")
    wait_until(lambda: watch.chassis()["h5"].bridge_mappings == {"physnet2": "br-ex"})
    assert (watch.chassis()["h5"].gateway, watch.chassis()["h5"].zones) == (False, ())
    room = "resource_provider_bandwidths=br-ex:10:20;rp_tunnelled:5:,resource_provider_hypervisors=br-ex:h5.example.org"
    watch.ovn.chassis["h5"].vsctl("set", "open", ".", f"external_ids:ovn-cms-options={room}")
    wait_until(lambda: watch.chassis()["h5"].resources != {})
    said = watch.chassis()["h5"].resources
    assert said["resource_provider_bandwidths"] == {
        "br-ex": {"egress": 10, "ingress": 20},
        "rp_tunnelled": {"egress": 5, "ingress": None},
    }
    assert said["resource_provider_hypervisors"] == {"br-ex": "h5.example.org", "rp_tunnelled": "h5"}
    watch.ovn.leave("h5")
    wait_until(lambda: set(watch.chassis()) == {"h1", "h2"})


def test_a_host_that_is_gone_is_the_reason(watch: Watch) -> None:
    watch.ovn.join(6)
    watch.view.ports[watch.port.id] = LogicalPort(watch.port.id, "n", MAC, host="h6")
    watch.now()
    watch.nb("ls-add", "n", "--", "lsp-add", "n", watch.port.id)
    watch.becomes("waiting for the host h6 to plug it")
    watch.ovn.leave("h6")
    watch.becomes("no chassis named h6")


def test_a_host_that_does_not_answer(ovn: Ovn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of a host: one number in the Northbound database, which every living one confirms."""
    monkeypatch.setattr(sb, "LOOK_AGAIN", 0.2)
    watch = Watch(ovn, down_time=1)
    victim = ovn.chassis["h2"]
    try:
        victim.programs.kill("ovn-controller")
        ovn.sync()
        wait_until(lambda: not watch.chassis()["h2"].alive)
        assert watch.chassis()["h1"].alive
        victim.start_controller()
        wait_until(lambda: watch.chassis()["h2"].alive)
    finally:
        watch.southbound.close()
        if not victim.programs.alive("ovn-controller"):
            victim.start_controller()
        ovn.sync()


def test_a_routers_gateway(watch: Watch) -> None:
    """It lives where its group says; nobody who could have it is the reason where it does not."""
    watch.view.switches["ext"] = LogicalSwitch("ext", "ext", "p", 1500, (Segment("flat", "physnet1"),))
    leg, gate = RouterPort(uid("leg"), "n", MAC, 1442, ()), Gateway(uid("gate"), "ext", MAC, 1500, ())
    router = LogicalRouter(uid("router"), ports=(leg,), gateway=gate)
    watch.view.routers[router.id] = router
    assert watch.now(router.key) == Status(False, "waiting for ovn-northd to take it over")
    watch.nb("lr-add", "r", "--", "lrp-add", "r", f"lrp-{leg.id}", "02:00:00:00:00:02", "10.0.0.1/24")
    watch.nb("lrp-add", "r", f"lrp-{gate.id}", "02:00:00:00:00:03", "203.0.113.2/24")
    for switch, port in (("n", leg.id), ("ext", gate.id)):
        peer = ["lsp-set-type", port, "router", "--", "lsp-set-options", port, f"router-port=lrp-{port}"]
        watch.nb("--may-exist", "ls-add", switch, "--", "lsp-add", switch, port, "--", *peer)
    watch.nb("lrp-set-gateway-chassis", f"lrp-{gate.id}", "chassis-h1", "2")
    watch.becomes("", router.key)
    watch.nb("lrp-del-gateway-chassis", f"lrp-{gate.id}", "chassis-h1")
    watch.nb("lrp-set-gateway-chassis", f"lrp-{gate.id}", "chassis-nobody", "2")
    watch.becomes("no chassis has taken its gateway yet", router.key)
    for one in watch.ovn.chassis.values():
        one.identify(ovn_bridge_mappings="other:br-ex")
    try:
        watch.becomes("no chassis has physical network physnet1", router.key)
    finally:
        for one in watch.ovn.chassis.values():
            one.identify(ovn_bridge_mappings="physnet1:br-ex")
