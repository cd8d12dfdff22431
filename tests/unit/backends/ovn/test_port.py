"""A workload's port as rows."""

from __future__ import annotations

from typing import Any

import pytest

from weft.backends.ovn import port
from weft.backends.ovn.port import Around
from weft.backends.ovn.rows import Row
from weft.backends.ovn.switch import ELSEWHERE_PORTS
from weft.config import Config, Ovn
from weft.logical.model import (
    Address,
    AddressPair,
    DhcpOption,
    DhcpOptions,
    Limit,
    LogicalPort,
    LogicalSwitch,
    Qos,
)

MAC = "fa:16:3e:00:00:01"
SUBNETS = (
    DhcpOptions("s4", 4, "10.0.0.0/24", "10.0.0.1", True),
    DhcpOptions("s6", 6, "2001:db8::/64", "2001:db8::1", True, ra_mode="slaac", address_mode="slaac"),
)
SWITCH = LogicalSwitch("n", "n", "p", 1400, (), SUBNETS)
ADDRESSES = (Address("10.0.0.5", 24, "s4"), Address("2001:db8::5", 64, "s6"))


def made(around: Around = port.ALONE, config: Config | None = None, **values: Any) -> dict[str, Row]:
    """Rows by table; where there are several of one, by table and identity."""
    given: dict[str, Any] = {"addresses": ADDRESSES, "host": "h1", **values}
    rows = port.render(LogicalPort("p", "n", MAC, **given), SWITCH, config or Config(), around)
    return {row.ref.table if row.ref.id == "p" else row.ref.id: row for row in rows}


def columns(**values: Any) -> Any:
    return made(**values)["Logical_Switch_Port"].columns


def test_addresses_and_their_security() -> None:
    whole = f"{MAC} 10.0.0.5 2001:db8::5"
    assert columns()["addresses"] == columns()["port_security"] == {whole}
    assert columns(port_security=False)["addresses"] == {whole, "unknown"}
    assert columns(port_security=False)["port_security"] == frozenset()
    pairs = (AddressPair(MAC, "10.0.0.0/28"), AddressPair("02:00:00:00:00:01", "10.0.0.9"))
    with_pairs = columns(pairs=pairs)
    assert with_pairs["port_security"] == {f"{whole} 10.0.0.0/28", "02:00:00:00:00:01 10.0.0.9"}
    assert with_pairs["addresses"] == {whole, "02:00:00:00:00:01"}
    assert columns(addresses=())["addresses"] == {MAC}


def test_a_port_of_another_dataplanes_host_is_a_neighbour() -> None:
    """Its addresses count, on a switch that leads nowhere: on its network's it is a stranger. Nothing is done for it."""
    qos = Qos(egress=Limit(1000))
    found = made(elsewhere=True, groups=("a",), qos=qos, parent="q", tag=5, dhcp_options=(DhcpOption("mtu", "1300"),))
    assert set(found) == {"Logical_Switch_Port"}
    row = found["Logical_Switch_Port"]
    assert row.parent == ELSEWHERE_PORTS
    assert row.columns["type"] == "external" and row.columns["addresses"] == {f"{MAC} 10.0.0.5 2001:db8::5"}
    assert [hold.row.id for hold in row.members] == ["neutron_pg_drop", "pg_a"]
    for name in ("ha_chassis_group", "dhcpv4_options", "dhcpv6_options", "parent_name", "tag"):
        assert row.columns[name] is None
    assert row.columns["options"] == {}
    assert not port.outside(LogicalPort("p", "n", MAC, vnic_type="direct", host="h", elsewhere=True))


def test_groups_are_memberships() -> None:
    row = made(groups=("a-1", "b"))["Logical_Switch_Port"]
    assert [hold.row.id for hold in row.members] == ["neutron_pg_drop", "pg_a_1", "pg_b"]
    assert made(port_security=False)["Logical_Switch_Port"].members == ()


def test_where_it_is_bound() -> None:
    assert columns()["options"] == {"requested-chassis": "h1"}
    assert columns(host="")["options"] == {}
    moving = columns(also=("h2",))["options"]
    assert moving == {"requested-chassis": "h1,h2", "activation-strategy": "rarp"}
    at_once = Config(ovn=Ovn(live_migration_activation_strategy=""))
    assert columns(also=("h2",), config=at_once)["options"] == {"requested-chassis": "h1,h2"}


def test_a_sub_port_has_parent_and_tag() -> None:
    assert (columns(parent="t", tag=7)["parent_name"], columns(parent="t", tag=7)["tag"]) == ("t", 7)
    assert (columns()["parent_name"], columns()["tag"]) == (None, None)


def test_an_address_that_others_may_take() -> None:
    found = columns(host="", around=Around(parents=("a", "b")))
    assert found["type"] == "virtual"
    assert found["options"] == {"virtual-ip": "10.0.0.5", "virtual-parents": "a,b"}
    assert columns(around=Around(parents=("a",)))["type"] == "", "one that is plugged itself is no such address"


@pytest.mark.parametrize("vnic_type", ["direct", "macvtap", "direct-physical", "baremetal"])
def test_devices_outside_of_the_switch(vnic_type: str) -> None:
    rows = made(vnic_type=vnic_type, around=Around(chassis=("c1", "c2")))
    row = rows["Logical_Switch_Port"].columns
    assert row["type"] == "external" and row["options"] == {}
    assert row["ha_chassis_group"].id == "neutron-extport-p"
    ranks = [
        (one.columns["chassis_name"], one.columns["priority"]) for one in rows.values() if one.ref.table == "HA_Chassis"
    ]
    assert ranks == [("c1", 32767), ("c2", 32766)]


def test_a_card_in_switchdev_mode_has_a_port_of_the_switch() -> None:
    assert columns(vnic_type="direct", switchdev=True)["type"] == ""


def test_dhcp_is_that_of_the_subnet_unless_the_port_has_its_own() -> None:
    assert columns()["dhcpv4_options"].id == "s4"
    assert columns()["dhcpv6_options"] is None, "addresses of SLAAC are nobody's to give out"
    rows = made(dhcp_options=(DhcpOption("mtu", "1300"), DhcpOption("bootfile-name", "x"), DhcpOption("nonsense", "1")))
    assert rows["Logical_Switch_Port"].columns["dhcpv4_options"].id == "s4/p"
    own = rows["s4/p"].columns["options"]
    assert own["mtu"] == "1300" and own["bootfile_name"] == '"x"' and own["router"] == "10.0.0.1"
    off = made(dhcp_options=(DhcpOption("dhcp_disabled", "true"),))
    assert off["Logical_Switch_Port"].columns["dhcpv4_options"] is None and "s4/p" not in off
    assert columns(device_owner="network:dhcp")["dhcpv4_options"] is None


def test_names_that_were_given_are_in_the_dns() -> None:
    given = (("10.0.0.5", "web", "web.example.org."), ("2001:db8::5", "web", "web.example.org."))
    ((hold, names),) = made(dns=given)["Logical_Switch_Port"].entries.items()
    assert hold.row.id == "neutron-n"
    assert names["web"] == names["web.example.org"] == "10.0.0.5 2001:db8::5"
    assert names["5.0.0.10.in-addr.arpa"] == "web.example.org"
    assert made(dns=(("10.0.0.5", "host-10-0-0-5", "host-10-0-0-5."),))["Logical_Switch_Port"].entries == {}


def test_limits_and_marks() -> None:
    rows = made(qos=Qos(Limit(1000), Limit(2000, 100), dscp=46))
    out, into = rows["p/egress"].columns, rows["p/ingress"].columns
    assert (out["direction"], out["match"], out["bandwidth"], out["action"]) == (
        "from-lport", 'inport == "p"', {"rate": 1000, "burst": 800}, {"dscp": 46}
    )  # fmt: skip
    assert (into["direction"], into["match"], into["bandwidth"], into["action"]) == (
        "to-lport", 'outport == "p"', {"rate": 2000, "burst": 100}, {}
    )  # fmt: skip
    assert made(qos=Qos(dscp=10))["p/egress"].columns["bandwidth"] == {}
    slowest = made(qos=Qos(Limit(1)))["p/egress"].columns["bandwidth"]
    assert slowest == {"rate": 1, "burst": 1}, "OVN takes no burst of 0"


def test_a_minimum_is_an_option_of_the_port() -> None:
    rows = made(qos=Qos(minimum=3000))
    assert rows["Logical_Switch_Port"].columns["options"]["qos_min_rate"] == "3000000", "bit/s"
    assert "p/egress" not in rows
    assert "qos_min_rate" not in made(qos=Qos(dscp=10))["Logical_Switch_Port"].columns["options"]


def test_off_with_its_network() -> None:
    off = LogicalSwitch("n", "n", "p", 1400, (), SUBNETS, enabled=False)
    (row,) = port.render(LogicalPort("p", "n", MAC), off, Config())
    assert row.columns["enabled"] is False


def test_its_floating_ip() -> None:
    assert columns(around=Around(fip="203.0.113.5"))["external_ids"]["neutron:port_fip"] == "203.0.113.5"
    assert "neutron:port_fip" not in columns()["external_ids"]
