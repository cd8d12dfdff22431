"""The backend writes a real Northbound database: by what changed, altogether, and whatever others do to it meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.ovn_server import PROGRAMS, Server
from tests.waiting import wait_until
from weft.backends.ovn.backend import OvnBackend
from weft.backends.ovn.rows import LOG_METER
from weft.config import Api, Config, Ovn
from weft.logical.model import (
    Acl,
    Address,
    AddressPair,
    DhcpOption,
    DhcpOptions,
    Gateway,
    HostView,
    Key,
    Log,
    LogicalPort,
    LogicalRouter,
    LogicalSwitch,
    Nat,
    PortForwarding,
    PortGroup,
    RouterPort,
    Segment,
)

pytestmark = [pytest.mark.needs_programs(*PROGRAMS)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("ovn"))
    yield made
    made.kill()


Make = Callable[[], OvnBackend]


@pytest.fixture
def make(server: Server) -> Iterator[Make]:
    """Backends of processes that start one after the other; the database is empty at first."""
    server.clear()
    made: list[OvnBackend] = []

    def one() -> OvnBackend:
        for old in made:
            old.close()
        made.clear()
        options = Ovn(ovn_nb_connection=(server.remote,), ovn_sb_connection=(server.remote,))
        made.append(OvnBackend(Config(api=Api(state_path=str(server.folder)), ovn=options)))
        return made[0]

    yield one
    for old in made:
        old.close()


def port(name: str, last: int, **values: Any) -> LogicalPort:
    address = Address(f"10.0.0.{last}", 24, "sub")
    given: dict[str, Any] = {"addresses": (address,), "groups": ("web",), "host": "h1", "name": name, **values}
    return LogicalPort(name, "blue", f"fa:16:3e:00:00:{last:02x}", **given)


def view(*ports: LogicalPort) -> HostView:
    subnet = DhcpOptions("sub", 4, "10.0.0.0/24", "10.0.0.1", True)
    switch = LogicalSwitch("blue", "Blue", "p1", 1442, (Segment("vlan", "physnet1", 7, "seg"),), (subnet,))
    group = PortGroup("web", True, (Acl("r1", "ingress", "IPv4", "tcp", 80, 80, remote_group="web"),))
    return HostView("", {"blue": switch}, {one.id: one for one in ports}, {"web": group})


def changed(backend: OvnBackend, desired: HostView, *keys: Key) -> Any:
    report = backend.set(desired, keys)
    assert report.failed == {}
    return report


def state(server: Server) -> dict[str, list[Any]]:
    """All rows by table, without their UUIDs."""
    names: dict[str, str] = {}
    tables = ("Logical_Switch", "Logical_Switch_Port", "Port_Group", "ACL", "DHCP_Options", "DNS", "QoS")
    rows = {table: server.nb.rows(table) for table in tables}
    for found in rows.values():
        for row in found:
            names[row["_uuid"]] = str(row.get("name") or row.get("match") or row.get("external_ids"))
    plain = {}
    for table, found in rows.items():
        said = [{key: _named(value, names) for key, value in row.items() if key[0] != "_"} for row in found]
        plain[table] = sorted(said, key=str)
    return plain


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return sorted(str(names.get(one, one)) for one in value)
    return names.get(value, value) if isinstance(value, str) else value


def _all(value: Any) -> list[str]:
    """The members of a set, of which a single one is said without."""
    return value if isinstance(value, list) else [value]


def writes(server: Server, work: Callable[[], Any]) -> int:
    """How many transactions that changed something the server's file has got meanwhile."""
    before = _records(server)
    work()
    return _records(server) - before


def _records(server: Server) -> int:
    return (server.folder / "nb.db").read_text().count("OVSDB JSON ")


def rows_written(server: Server) -> dict[str, int]:
    """Table -> rows of it that are in the last transaction of the server's file."""
    last = (server.folder / "nb.db").read_text().rstrip().rpartition("OVSDB JSON ")[2].partition("\n")[2]
    return {table: len(rows) for table, rows in json.loads(last).items() if not table.startswith("_")}


def test_rows_of_upstreams_names(server: Server, make: Make) -> None:
    make().set(view(port("a", 10)), None)
    (switch,) = server.nb.rows("Logical_Switch")
    assert switch["name"] == "neutron-blue" and switch["external_ids"]["neutron:network_name"] == "Blue"
    by_name = {row["name"]: row for row in server.nb.rows("Logical_Switch_Port")}
    assert by_name.keys() == {"a", "provnet-seg", "ovnmeta-blue"}
    assert by_name["provnet-seg"]["tag"] == 7 and by_name["provnet-seg"]["options"]["network_name"] == "physnet1"
    row = by_name["a"]
    assert row["addresses"] == row["port_security"] == "fa:16:3e:00:00:0a 10.0.0.10"
    assert row["options"] == {"requested-chassis": "h1"}
    assert row["external_ids"]["neutron:cidrs"] == "10.0.0.10/24"
    (dhcp,) = server.nb.rows("DHCP_Options")
    assert row["dhcpv4_options"] == dhcp["_uuid"] and dhcp["external_ids"] == {"subnet_id": "sub"}
    groups = {one["name"]: one for one in server.nb.rows("Port_Group")}
    assert groups["pg_web"]["ports"] == groups["neutron_pg_drop"]["ports"] == row["_uuid"]
    rule = next(one for one in server.nb.rows("ACL") if one["external_ids"].get("neutron:security_group_rule_id"))
    assert rule["match"] == "outport == @pg_web && ip4 && ip4.src == $pg_web_ip4 && tcp && tcp.dst == 80"


def test_twice_the_same_writes_nothing(server: Server, make: Make) -> None:
    desired = view(port("a", 10), port("b", 11))
    backend = make()
    assert writes(server, lambda: backend.set(desired, None)) > 0
    assert writes(server, lambda: backend.set(desired, None)) == 0
    assert writes(server, lambda: backend.set(desired, [key.key for key in desired.ports.values()])) == 0
    again = make()
    assert writes(server, lambda: again.set(desired, None)) == 0


def test_changes_are_one_transaction_and_lead_where_a_fresh_start_leads(server: Server, make: Make) -> None:
    backend = make()
    backend.set(view(port("a", 10)), None)
    after = view(
        port("a", 10, enabled=False, groups=()),
        port("b", 11, pairs=(AddressPair("fa:16:3e:00:00:99", "10.0.9.0/24"),)),
        port("c", 12, port_security=False, groups=()),
    )
    keys = [Key("port", id) for id in "abc"]
    assert writes(server, lambda: changed(backend, after, *keys)) == 1
    found = state(server)
    server.clear()
    make().set(after, None)
    assert state(server) == found


def test_a_member_of_a_group_of_two_thousand(server: Server, make: Make) -> None:
    """That two others name in their rules: one transaction of three rows."""
    backend, many = make(), 2000
    ports = [port(f"p{number}", number % 250 + 1, groups=("web",)) for number in range(many)]
    desired = view(*ports)
    for name in ("one", "two"):
        desired.groups[name] = PortGroup(name, True, (Acl(f"r {name}", "ingress", "IPv4", remote_group="web"),))
    assert backend.set(desired, None).failed == {}
    for groups in ((), ("web",)):
        desired.ports["p7"] = replace(desired.ports["p7"], groups=groups)
        assert writes(server, lambda: changed(backend, desired, Key("port", "p7"))) == 1
        assert rows_written(server).keys() <= {"Port_Group", "Logical_Switch_Port"}
        assert sum(rows_written(server).values()) <= 3
    (group,) = server.nb.rows("Port_Group", "ports", name="pg_web")
    assert len(group["ports"]) == many


def test_what_goes_away_is_taken_away(server: Server, make: Make) -> None:
    backend = make()
    named = port("a", 10, dns=(("10.0.0.10", "web", "web.example.org."),))
    backend.set(view(named), None)
    (names,) = server.nb.rows("DNS")
    assert names["records"] == {
        "web": "10.0.0.10",
        "web.example.org": "10.0.0.10",
        "10.0.0.10.in-addr.arpa": "web.example.org",
    }
    changed(backend, view(), Key("port", "a"))
    assert server.nb.rows("DNS")[0]["records"] == {}
    assert "a" not in {row["name"] for row in server.nb.rows("Logical_Switch_Port")}
    empty = HostView("")
    changed(backend, empty, Key("switch", "blue"), Key("group", "web"))
    assert server.nb.rows("Logical_Switch") == server.nb.rows("DHCP_Options") == server.nb.rows("DNS") == []
    assert [row["name"] for row in server.nb.rows("Port_Group")] == ["neutron_pg_drop"]


def test_floating_ips_go_from_router_to_router(server: Server, make: Make) -> None:
    """Back and forth, so that either is looked at first: their rows are moved, and never gone."""
    backend, desired = make(), view(port("a", 10))
    forward = PortForwarding("p", "tcp", "203.0.113.6", (80, 80), "10.0.0.10", (80, 80), floating_ip="g")
    held = {"nats": (Nat("f", "203.0.113.5", "10.0.0.10"),), "forwardings": (forward,)}

    def edge(name: str, last: int) -> LogicalRouter:
        gateway = Gateway(
            f"gw{name}", "blue", f"fa:16:3e:00:02:{last:02x}", 1442, (Address(f"10.0.0.{last}", 24, "sub"),)
        )
        return LogicalRouter(name, gateway=gateway)

    def holders(table: str, column: str) -> dict[str, set[str]]:
        return {row["_uuid"]: {one["name"] for one in server.nb.rows("Logical_Router") if row["_uuid"] in _all(one[column])}
                for row in server.nb.rows(table)}  # fmt: skip

    one, two = edge("r1", 201), edge("r2", 202)
    desired.routers |= {"r1": replace(one, **held), "r2": two}
    backend.set(desired, None)
    nats, balancers = holders("NAT", "nat"), holders("Load_Balancer", "load_balancer")
    assert len(nats) == 2 and len(balancers) == 1
    for here, there in ((one, two), (two, one), (one, two)):
        desired.routers |= {here.id: here, there.id: replace(there, **held)}
        changed(backend, desired, here.key, there.key)
        for before, found in ((nats, holders("NAT", "nat")), (balancers, holders("Load_Balancer", "load_balancer"))):
            assert found == {key: {f"neutron-{there.id}"} for key in before}
        assert backend.set(desired, None).drift == []
    del desired.routers["r2"]
    changed(backend, desired, Key("router", "r2"))
    assert server.nb.rows("NAT") == server.nb.rows("Load_Balancer") == []


def test_a_workloads_port_becomes_a_routers_leg_and_comes_back(server: Server, make: Make) -> None:
    """Nothing stays of what the row said before: neither its port security nor DHCP's options."""
    own = (DhcpOption("mtu", "1400", 4),)
    workload = view(port("a", 10, dhcp_options=own), port("b", 11))
    leg = view(port("b", 11))
    address = (Address("10.0.0.10", 24, "sub"),)
    leg.routers["r"] = LogicalRouter("r", ports=(RouterPort("a", "blue", "fa:16:3e:00:00:0a", 1442, address),))
    said = []
    for desired in (workload, leg):
        make().set(desired, None)
        said.append(state(server))
        server.clear()
    backend = make()
    backend.set(workload, None)
    for _ in range(2):
        changed(backend, leg, Key("port", "a"), Key("router", "r"))
        assert state(server) == said[1]
        changed(backend, workload, Key("port", "a"), Key("router", "r"))
        assert state(server) == said[0]


def test_a_port_goes_to_a_host_of_another_dataplane_and_comes_back(server: Server, make: Make) -> None:
    """It leaves the switch of its network, and stays a member of its groups; an audit finds everything where it belongs."""
    backend = make()
    here = view(port("a", 10), port("b", 11))
    there = view(port("a", 10, elsewhere=True), port("b", 11))

    def places() -> dict[str, set[str]]:
        ids = {row["_uuid"]: row["name"] for row in server.nb.rows("Logical_Switch_Port")}
        return {row["name"]: {ids[one] for one in _all(row["ports"])} for row in server.nb.rows("Logical_Switch")}

    backend.set(here, None)
    for _ in range(2):
        changed(backend, there, Key("port", "a"))
        assert places()["weft-elsewhere"] == {"a"} and "a" not in places()["neutron-blue"]
        (group,) = server.nb.rows("Port_Group", "ports", name="pg_web")
        assert len(_all(group["ports"])) == 2
        assert backend.set(there, None).drift == []
        changed(backend, here, Key("port", "a"))
        assert places().keys() == {"neutron-blue"} and {"a", "b"} <= places()["neutron-blue"]
        assert backend.set(here, None).drift == []


def test_logs_come_and_go_with_a_limit(server: Server, make: Make) -> None:
    backend = make()
    desired = view(port("a", 10))
    backend.set(desired, None)
    (meter,), (band,) = server.nb.rows("Meter"), server.nb.rows("Meter_Band")
    assert (meter["name"], meter["unit"], meter["fair"], meter["bands"]) == (LOG_METER, "pktps", True, band["_uuid"])
    assert (band["action"], band["rate"], band["burst_size"]) == ("drop", 100, 25)
    quiet = state(server)
    logged = view(port("a", 10))
    logged.groups["web"] = replace(logged.groups["web"], logs=(Log("l", "ALL"),))
    assert writes(server, lambda: changed(backend, logged, Key("group", "web"))) == 1
    found = [row for row in server.nb.rows("ACL") if row["log"]]
    assert sorted(row["action"] for row in found) == ["allow-related", "drop", "drop"]
    assert {(row["name"], row["severity"], row["meter"]) for row in found} == {("neutron-l", "info", LOG_METER)}
    changed(backend, desired, Key("group", "web"))
    assert state(server) == quiet


def test_a_limit_of_others_of_that_name_becomes_ours(server: Server, make: Make) -> None:
    """There is one meter of a name; without it, or with another rate, hosts would write too much."""
    server.nb.transact(
        {"op": "insert", "table": "Meter_Band", "uuid-name": "b", "row": {"action": "drop", "rate": 9999}},
        {
            "op": "insert",
            "table": "Meter",
            "row": {"name": LOG_METER, "unit": "kbps", "bands": ["set", [["named-uuid", "b"]]]},
        },
    )
    backend = make()
    assert backend.set(view(), None).failed == {}
    for _ in range(2):
        (meter,), (band,) = server.nb.rows("Meter"), server.nb.rows("Meter_Band")
        assert (meter["unit"], meter["fair"], band["rate"]) == ("pktps", True, 100)
        server.nb.clear("Meter")
        backend.set(view(), None)


@pytest.mark.parametrize("how", ["by what changed", "altogether", "by a new process"])
@pytest.mark.parametrize("what", ["gateway", "router", "port of a card"])
def test_what_lives_on_one_host_is_taken_away(server: Server, make: Make, what: str, how: str) -> None:
    """With the group of hosts that it refers to, which a server does not delete as long as something does."""
    inner = RouterPort("leg", "blue", "fa:16:3e:00:01:01", 1442, (Address("10.0.0.1", 24, "sub"),))
    gateway = Gateway("gw", "blue", "fa:16:3e:00:01:02", 1442, (Address("10.0.0.254", 24, "sub"),))
    router = LogicalRouter("r", ports=(inner,), gateway=gateway)
    desired = view(port("card", 10, vnic_type="direct"))
    desired.routers["r"] = router
    backend = make()
    backend.set(desired, None)
    assert len(server.nb.rows("HA_Chassis_Group")) == 2
    if what == "gateway":
        key, desired.routers["r"] = router.key, replace(router, gateway=None)
    elif what == "router":
        key = desired.routers.pop("r").key
    else:
        key = desired.ports.pop("card").key
    if how == "by a new process":
        backend = make()
    assert backend.set(desired, [key] if how == "by what changed" else None).failed == {}
    assert len(server.nb.rows("HA_Chassis_Group")) == 1
    assert len(server.nb.rows("Logical_Router_Port")) == {"gateway": 1, "router": 0}.get(what, 2)


def test_an_audit_mends_what_was_edited_and_says_so(server: Server, make: Make) -> None:
    desired = view(port("a", 10), port("b", 11))
    backend = make()
    backend.set(desired, None)
    right = state(server)
    a = server.nb.rows("Logical_Switch_Port", name="a")[0]["_uuid"]
    server.nb.update("Logical_Switch_Port", {"addresses": "unknown"}, name="a")
    group = [["name", "==", "pg_web"]]
    server.nb.transact(
        {"op": "mutate", "table": "Port_Group", "where": group, "mutations": [["ports", "delete", ["uuid", a]]]},
        {"op": "delete", "table": "DHCP_Options", "where": []},
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "neutron-gone"}},
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "neutron-blue"}},
    )
    report = backend.set(desired, None)
    assert state(server) == right
    text = "\n".join(report.drift)
    assert "Logical_Switch_Port a: addresses was unknown instead of fa:16:3e:00:00:0a 10.0.0.10" in text
    assert "Logical_Switch_Port a was not in Port_Group pg_web" in text
    assert "DHCP_Options sub was missing" in text
    assert "Logical_Switch neutron-gone should not be there" in text
    assert backend.set(desired, None).drift == []


def test_what_is_not_ours_stays(server: Server, make: Make) -> None:
    server.nb.transact(
        {"op": "insert", "table": "Logical_Switch", "row": {"name": "theirs", "ports": ["named-uuid", "p"]}},
        {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": "their-port"}},
        {"op": "insert", "table": "Load_Balancer", "row": {"name": "octavia"}},
        {"op": "insert", "table": "Port_Group", "row": {"name": "pg_theirs"}},
        {"op": "insert", "table": "Address_Set", "row": {"name": "as_theirs"}},
    )
    desired = view(port("a", 10))
    backend = make()
    backend.set(desired, None)
    where = [["name", "==", "neutron-blue"]]
    lb = server.nb.rows("Load_Balancer")[0]["_uuid"]
    server.nb.transact(
        {
            "op": "mutate",
            "table": "Logical_Switch",
            "where": where,
            "mutations": [
                ["external_ids", "insert", ["map", [["ls_refs", "x"]]]],
                ["other_config", "insert", ["map", [["mcast_querier", "true"]]]],
                ["load_balancer", "insert", ["uuid", lb]],
                ["ports", "insert", ["named-uuid", "p"]],
            ],
        },
        {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {"name": "their-probe"}},
    )
    changed(backend, view(replace(desired.ports["a"], name="new")), Key("port", "a"))
    assert backend.set(view(), None).drift == []
    assert "a" not in {row["name"] for row in server.nb.rows("Logical_Switch_Port")}
    switch = next(row for row in server.nb.rows("Logical_Switch") if row["name"] == "neutron-blue")
    assert switch["external_ids"]["ls_refs"] == "x" and switch["other_config"]["mcast_querier"] == "true"
    assert switch["load_balancer"] == lb
    assert {row["name"] for row in server.nb.rows("Logical_Switch_Port")} >= {"their-port", "their-probe"}
    assert {row["name"] for row in server.nb.rows("Port_Group")} == {"pg_theirs", "neutron_pg_drop", "pg_web"}
    assert [row["name"] for row in server.nb.rows("Address_Set")] == ["as_theirs"]


def test_one_bad_object_holds_nobody_up(server: Server, make: Make) -> None:
    backend = make()
    backend.set(view(), None)
    bad = replace(port("bad", 12), tag=5000)
    lost = port("lost", 13, groups=("nowhere",))
    report = backend.set(view(port("a", 10), bad, lost, port("b", 11)), None)
    assert report.failed.keys() == {Key("port", "bad"), Key("port", "lost")}
    assert "5000" in report.failed[Key("port", "bad")]
    assert report.failed[Key("port", "lost")] == "Port_Group pg_nowhere is not there yet"
    assert {row["name"] for row in server.nb.rows("Logical_Switch_Port")} >= {"a", "b"}


def test_edits_are_told_at_once_and_a_new_server_is_read_anew(server: Server, make: Make) -> None:
    desired = view(port("a", 10))
    backend = make()
    backend.set(desired, None)
    told: list[Key] = []
    asked: list[bool] = []
    backend.watch(told.extend)
    backend.resync = lambda: asked.append(True)
    server.nb.update("Logical_Switch_Port", {"enabled": False}, name="a")
    wait_until(lambda: Key("port", "a") in told)
    changed(backend, desired, Key("port", "a"))
    assert server.nb.rows("Logical_Switch_Port", name="a")[0]["enabled"] is True
    right = state(server)
    server.kill()
    server.start()
    server.clear()
    wait_until(lambda: asked)
    report = backend.set(desired, None)
    assert state(server) == right and "Logical_Switch_Port a was missing" in report.drift


def test_who_is_taken_out_of_a_group_is_noticed_at_once(server: Server, make: Make) -> None:
    desired = view(port("a", 10), port("b", 11))
    backend = make()
    backend.set(desired, None)
    right = state(server)
    asked: list[bool] = []
    backend.watch(lambda keys: None)
    backend.resync = lambda: asked.append(True)
    server.nb.update("Port_Group", {"ports": ["set", []]}, name="pg_web")
    wait_until(lambda: asked)
    backend.set(desired, None)
    assert state(server) == right
    asked.clear()
    server.clear()
    wait_until(lambda: asked)
    backend.set(desired, None)
    assert state(server) == right


def test_what_we_write_ourselves_asks_for_nothing(server: Server, make: Make) -> None:
    backend = make()
    backend.set(view(port("a", 10)), None)
    told: list[Key] = []
    backend.watch(told.extend)
    backend.resync = lambda: told.append(Key("switch", "everything"))
    changed(backend, view(port("a", 10, groups=()), port("b", 11)), Key("port", "a"), Key("port", "b"))
    server.nb.add("Logical_Switch", name="theirs")
    backend.set(view(), None)
    assert told == []


def test_what_holds_for_all_of_ovn(server: Server) -> None:
    server.nb.transact(
        {"op": "insert", "table": "NB_Global", "row": {"options": ["map", [["theirs", "x"], ["bfd-mult", "9"]]]}}
    )
    options = Ovn((server.remote,), ovn_sb_connection=(server.remote,), ha_failover_strategy="aggressive")
    backend = OvnBackend(Config(ovn=options))
    try:
        backend.set(HostView(""), None)
        told = {"bfd-min-rx": "100", "bfd-min-tx": "100", "bfd-mult": "3"}
        assert server.nb.rows("NB_Global")[0]["options"] == {"theirs": "x", **told}
    finally:
        backend.close()
        server.nb.clear("NB_Global")


def test_what_another_driver_made_is_taken_over(server: Server, make: Make) -> None:
    leg = RouterPort("in", "blue", "fa:16:3e:00:01:01", 1442, (Address("10.0.0.1", 24, "sub"),))
    gateway = Gateway("gw", "blue", "fa:16:3e:00:01:02", 1442, (Address("203.0.113.2", 24, "out"),), ("203.0.113.1",))
    desired = view()
    desired.routers["r"] = LogicalRouter("r", ports=(leg,), gateway=gateway)
    nat = {"type": "snat", "external_ip": "203.0.113.2", "logical_ip": "10.0.0.0/24"}
    route = {"ip_prefix": "0.0.0.0/0", "nexthop": "203.0.113.1"}
    theirs = {"name": "neutron-r", "nat": ["named-uuid", "n"], "static_routes": ["named-uuid", "s"]}
    server.nb.transact(
        {"op": "insert", "table": "NAT", "uuid-name": "n", "row": nat},
        {"op": "insert", "table": "Logical_Router_Static_Route", "uuid-name": "s", "row": route},
        {"op": "insert", "table": "Logical_Router", "row": theirs},
    )
    before = {row["_uuid"] for table in ("NAT", "Logical_Router_Static_Route") for row in server.nb.rows(table)}
    backend = make()
    assert backend.set(desired, None).failed == {}
    found = [row for table in ("NAT", "Logical_Router_Static_Route") for row in server.nb.rows(table)]
    assert {row["_uuid"] for row in found} == before
    assert all("weft:id" in row["external_ids"] for row in found)
    assert backend.set(desired, None).drift == []


def test_what_others_do_while_we_write_is_not_lost(server: Server, make: Make) -> None:
    desired = view(port("a", 10))
    backend = make()
    backend.set(desired, None)
    told: list[Key] = []
    backend.watch(told.extend)
    with backend._northbound.lock:  # the replica hears of it no sooner than of our own change
        server.nb.update("Logical_Switch_Port", {"enabled": False}, name="a")
        changed(backend, view(*desired.ports.values(), port("b", 11)), Key("port", "b"))
    wait_until(lambda: Key("port", "a") in told)
    assert Key("port", "b") not in told
