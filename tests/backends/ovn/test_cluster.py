"""A cluster (RAFT) of Northbound servers whose leader dies while much is written: nothing is lost, nothing is there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.ovn_lab import PROGRAMS, Ovn
from weft.backends.ovn.backend import OvnBackend
from weft.config import Config
from weft.config import Ovn as Options
from weft.logical.model import Acl, Address, DhcpOption, DhcpOptions, HostView, LogicalPort, LogicalSwitch, PortGroup

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS), pytest.mark.slow]

LOTS, LOT = 20, 50


@pytest.fixture
def lab(prefix: str) -> Iterator[Ovn]:
    made = Ovn(prefix, hosts=1, servers=3)
    try:
        yield made
    finally:
        made.close()


def port(number: int) -> LogicalPort:
    """With options of its own: rows that no index of the database keeps from being there twice."""
    address = Address(f"10.0.{number // 250}.{number % 250 + 2}", 16, "sub")
    mac = f"fa:16:3e:00:{number // 256:02x}:{number % 256:02x}"
    options = (DhcpOption("mtu", "1300"),)
    return LogicalPort(f"p{number}", "net", mac, addresses=(address,), groups=("web",), dhcp_options=options)


def test_a_leader_dies_during_a_thousand_ports(lab: Ovn) -> None:
    view = HostView("")
    view.switches["net"] = LogicalSwitch(
        "net", "net", "p", 1400, (), (DhcpOptions("sub", 4, "10.0.0.0/16", "10.0.0.1", True),)
    )
    view.groups["web"] = PortGroup("web", True, (Acl("r", "ingress", "IPv4"),))
    remotes = {
        "ovn_nb_connection": tuple(lab.northbound_remote.split(",")),
        "ovn_sb_connection": tuple(lab.southbound_remote.split(",")),
    }
    backend = OvnBackend(Config(ovn=Options(**remotes)))
    try:
        backend.set(view, None)
        for lot in range(LOTS):
            if lot == 5:
                lab.programs.kill(f"{lab.folder}/{lab.leader('nb')}.db")
            ports = [port(lot * LOT + number) for number in range(LOT)]
            view.ports.update({one.id: one for one in ports})
            assert backend.set(view, [one.key for one in ports]).failed == {}
        report = backend.set(view, None)
        assert report.drift == [] and report.failed == {}
    finally:
        backend.close()
    names = Counter(row["name"] for row in lab.nb.rows("Logical_Switch_Port", "name"))
    assert len(names) == LOTS * LOT + 1 and set(names.values()) == {1}
    options = Counter(row["external_ids"].get("port_id") for row in lab.nb.rows("DHCP_Options", "external_ids"))
    assert len(options) == LOTS * LOT + 1 and set(options.values()) == {1}
    (group,) = lab.nb.rows("Port_Group", "ports", name="pg_web")
    assert len(group["ports"]) == LOTS * LOT
