"""OVN of one machine as data: which installation has one, what it is told, what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from weft import config as configuration
from weft.backends.ovn import daemons
from weft.backends.ovn.daemons import DaemonError
from weft.config import Config


def installation(folder: Path, backend: str = "ovn", **ovn: object) -> Config:
    return configuration.load(
        api={"backend": backend, "state_path": str(folder), "host": "h"},
        linux={"bridge_mappings": {"provider": "nic0"}, "external_cidr": "203.0.113.1/24"},
        ovn=ovn,
    )


def test_an_ovn_of_its_own_unless_databases_are_named(tmp_path: Path) -> None:
    own = daemons.with_own(installation(tmp_path))
    assert daemons.is_own(own)
    assert own.ovn.ovn_nb_connection == (f"unix:{tmp_path}/ovn/ovnnb_db.sock",)
    assert own.ovn.namespace == own.linux.namespace
    elsewhere = installation(tmp_path, ovn_nb_connection=("tcp:192.0.2.1:6641",))
    assert daemons.with_own(elsewhere) == elsewhere
    assert not daemons.is_own(elsewhere)
    linux = installation(tmp_path, "linux")
    assert daemons.with_own(linux) == linux
    assert not daemons.is_own(linux)


def test_physical_networks_are_bridges(tmp_path: Path) -> None:
    where = daemons.machine(installation(tmp_path))
    assert where.bridges == {"external": "external", "provider": "nic0"}
    told = daemons.settings(where)
    assert told["ovn-bridge-mappings"] == "external:br-ex,provider:br-provider"
    assert (told["hostname"], told["ovn-remote"]) == ("h", f"unix:{tmp_path}/ovn/ovnsb_db.sock")


def test_databases_come_before_who_reads_them(tmp_path: Path) -> None:
    names = [daemon.name for daemon in daemons.machine(installation(tmp_path)).daemons()]
    assert names == ["ovnnb_db", "ovnsb_db", "conf", "ovs-vswitchd", "ovn-northd", "ovn-controller"]


def test_what_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path="": None if name == "ovn-northd" else f"/usr/bin/{name}")
    with pytest.raises(DaemonError, match=r"missing: ovn-northd \(Debian: ovn-central\); scripts/system-packages ovn"):
        daemons.start(daemons.machine(installation(tmp_path)))
    assert not (tmp_path / "ovn").exists()
