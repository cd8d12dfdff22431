"""Who lives: one number in the Northbound database, which each host confirms; nothing is written there for a host."""

from __future__ import annotations

import pytest

from tests.ovn_lab import PROGRAMS, Ovn, wait_until
from weft import config as configuration
from weft.backends.ovn.backend import OvnBackend

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS)]


def test_every_host_confirms_the_number(ovn: Ovn) -> None:
    own = {"ovn_nb_connection": (ovn.northbound_remote,), "ovn_sb_connection": (ovn.southbound_remote,)}
    backend = OvnBackend(configuration.load(ovn=own))
    try:
        (before,) = ovn.nb.rows("NB_Global", "nb_cfg")
        backend.ping()
        (after,) = ovn.nb.rows("NB_Global", "nb_cfg")
        assert after["nb_cfg"] == before["nb_cfg"] + 1
        wait_until(lambda: {row["nb_cfg"] for row in ovn.sb.rows("Chassis_Private", "nb_cfg")} == {after["nb_cfg"]})
        wait_until(lambda: [one.alive for one in backend.chassis()] == [True, True])
    finally:
        backend.close()
