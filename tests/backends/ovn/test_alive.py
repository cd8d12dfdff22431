"""Who lives: one number in the Northbound database, which each host confirms; nothing is written there for a host."""

from __future__ import annotations

import pytest

from tests.ovn_lab import PROGRAMS, Ovn
from tests.waiting import wait_until
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


def test_who_has_just_come_lives(ovn: Ovn) -> None:
    """Ports are bound to a host from its first moment on, though it has confirmed nothing yet."""
    own = {"ovn_nb_connection": (ovn.northbound_remote,), "ovn_sb_connection": (ovn.southbound_remote,)}
    backend = OvnBackend(configuration.load(ovn=own))
    name = {"name": "newcomer"}
    encap = {"type": "geneve", "ip": "192.0.2.99", "chassis_name": "newcomer"}
    host = {**name, "hostname": "newcomer", "encaps": ["named-uuid", "encap"]}
    try:
        backend.ping()
        ovn.sb.transact(
            {"op": "insert", "table": "Encap", "row": encap, "uuid-name": "encap"},
            {"op": "insert", "table": "Chassis", "row": host},
            {"op": "insert", "table": "Chassis_Private", "row": name},
        )
        wait_until(lambda: [one.alive for one in backend.chassis() if one.host == "newcomer"] == [True])
    finally:
        backend.close()
        for table in ("Chassis_Private", "Chassis"):
            ovn.sb.transact({"op": "delete", "table": table, "where": [["name", "==", "newcomer"]]})
