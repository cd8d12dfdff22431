"""The difference of what should be and what is, as operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.backends.ovn.delta import Batch, differences
from weft.backends.ovn.rows import REVISION, Hold, Ref, Row

PORT, OTHER = Ref("Logical_Switch_Port", "p"), Ref("Logical_Switch_Port", "q")
SWITCH, GROUP = Ref("Logical_Switch", "neutron-n"), Ref("Port_Group", "pg_g")


class There:
    """A row that is there."""

    def __init__(self, uuid: str, columns: Mapping[str, Any]) -> None:
        self.uuid, self._columns = uuid, columns

    def value(self, column: str) -> Any:
        return self._columns[column]


class Database:
    """What is there."""

    def __init__(self, **rows: tuple[Ref, Mapping[str, Any]]) -> None:
        self._rows = {ref: There(uuid, columns) for uuid, (ref, columns) in rows.items()}

    def find(self, ref: Ref) -> There | None:
        return self._rows.get(ref)


def test_only_keys_that_are_ours() -> None:
    row = Row(SWITCH, {"external_ids": {"neutron:mtu": "1400"}, "other_config": {"mcast_snoop": "true"}})
    is_now = {
        "external_ids": {"neutron:mtu": "1500", "neutron:gone": "x", "theirs": "y"},
        "other_config": {"mcast_snoop": "true", "mcast_querier": "true"},
    }
    assert differences(row, There("u", is_now)) == {
        "external_ids": ({"neutron:mtu": "1500", "neutron:gone": "x"}, {"neutron:mtu": "1400", "neutron:gone": None})
    }


def test_the_revision_alone_is_no_difference() -> None:
    row = Row(SWITCH, {"name": "neutron-n", "external_ids": {REVISION: "2"}})
    assert differences(row, There("u", {"name": "neutron-n", "external_ids": {REVISION: "1"}})) == {}
    both = differences(row, There("u", {"name": "x", "external_ids": {REVISION: "1"}}))
    assert both.keys() == {"name", "external_ids"}


def test_new_rows_that_refer_to_each_other() -> None:
    batch = Batch(Database(g=(GROUP, {})))
    batch.set(Row(SWITCH, {"name": "neutron-n", "external_ids": {}}))
    batch.set(Row(PORT, {"name": "p", "tag": None, "enabled": False}, Hold(SWITCH, "ports"), (Hold(GROUP, "ports"),)))
    switch, port, into_switch, into_group = batch.operations()
    assert switch["row"] == {"name": "neutron-n"} and port["row"] == {"name": "p", "enabled": False}
    named = ["named-uuid", port["uuid-name"]]
    assert into_switch["where"] == [["_uuid", "==", ["named-uuid", switch["uuid-name"]]]]
    assert into_switch["mutations"] == into_group["mutations"] == [["ports", "insert", ["set", [named]]]]
    assert into_group["where"] == [["_uuid", "==", ["uuid", "g"]]]


def test_a_thousand_members_are_one_operation_for_each_set() -> None:
    batch = Batch(Database(g=(GROUP, {}), s=(SWITCH, {})))
    for number in range(1000):
        batch.set(Row(Ref("Logical_Switch_Port", str(number)), {}, Hold(SWITCH, "ports"), (Hold(GROUP, "ports"),)))
    assert len(batch.operations()) == 1000 + 2


def test_a_member_that_goes_costs_one_member() -> None:
    batch = Batch(Database(g=(GROUP, {}), p=(PORT, {})))
    batch.unlink(Hold(GROUP, "ports"), PORT)
    (operation,) = batch.operations()
    assert operation["mutations"] == [["ports", "delete", ["set", [["uuid", "p"]]]]]


def test_what_is_missing_is_told_before_anything_is_written() -> None:
    batch = Batch(Database())
    rows = [Row(PORT, {}, Hold(SWITCH, "ports"))]
    assert batch.missing(rows) == SWITCH
    assert batch.missing([Row(SWITCH, {}), *rows]) is None
    batch.set(Row(SWITCH, {}))
    assert batch.missing(rows) is None


def test_rows_without_a_table_of_their_own_go_by_whom_they_hang_on() -> None:
    batch = Batch(Database(s=(SWITCH, {}), p=(PORT, {"ha_chassis_group": None}), g=(GROUP, {})))
    assert batch.drop(PORT, Hold(SWITCH, "ports")) and batch.drop(GROUP, None) and not batch.drop(OTHER, None)
    root, held = batch.operations()
    assert (root["op"], root["where"]) == ("delete", [["_uuid", "==", ["uuid", "g"]]])
    assert held["mutations"] == [["ports", "delete", ["set", [["uuid", "p"]]]]]
