"""A router as rows: legs, gateways, routes, translation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from weft.backends.ovn import lives, router
from weft.backends.ovn.rows import Row
from weft.config import Config, Ovn
from weft.logical.model import (
    Address,
    AddressQos,
    DhcpOptions,
    Gateway,
    HostView,
    Limit,
    LogicalPort,
    LogicalRouter,
    LogicalSwitch,
    Nat,
    PortForwarding,
    Qos,
    Route,
    RouterPort,
    Segment,
)

LEG = RouterPort("in", "blue", "fa:16:3e:00:00:01", 1400, (Address("10.0.0.1", 24, "b4"),))
GATEWAY = Gateway("gw", "out", "fa:16:3e:00:00:02", 1500, (Address("203.0.113.2", 24, "o4"),), ("203.0.113.1",))
OTHER = Gateway("gw2", "out", "fa:16:3e:00:00:03", 1500, (Address("203.0.113.3", 24, "o4"),), ("203.0.113.1",))
ROUTER = LogicalRouter("r", "R", ports=(LEG,), gateway=GATEWAY)


def view(**switches: LogicalSwitch) -> HostView:
    out = LogicalSwitch("out", "o", "", 1500, (Segment("flat", "physnet1"),),
                        (DhcpOptions("o4", 4, "203.0.113.0/24", "203.0.113.1", False),), external=True)  # fmt: skip
    found = {"blue": LogicalSwitch("blue", "b", "p", 1400, (Segment("geneve", None, 1),)), "out": out, **switches}
    return HostView("", found, {"vm": LogicalPort("vm", "blue", "fa:16:3e:00:00:09")})


def made(value: LogicalRouter = ROUTER, around: HostView | None = None, **ovn: Any) -> dict[tuple[str, str], Row]:
    rows = router.render(value, around or view(), Config(ovn=Ovn(**ovn)), {"gw": ("c1", "c2"), "gw2": ("c2",)})
    assert len({row.ref for row in rows}) == len(rows)
    return {(row.ref.table, row.ref.id): row for row in rows}


def of(rows: dict[tuple[str, str], Row], table: str) -> list[Any]:
    return [row.columns for (kind, _), row in rows.items() if kind == table]


def test_both_ends_of_a_leg() -> None:
    rows = made()
    own, other = rows["Logical_Router_Port", "lrp-in"], rows["Logical_Switch_Port", "in"]
    assert own.columns["networks"] == {"10.0.0.1/24"} and own.parent.row.id == "neutron-r"  # type: ignore[union-attr]
    assert other.columns["type"] == "router" and other.columns["options"] == {"router-port": "lrp-in"}
    assert other.parent.row.id == "neutron-blue"  # type: ignore[union-attr]


def test_a_gateway_lives_somewhere() -> None:
    rows = made()
    assert rows["Logical_Router_Port", "lrp-gw"].columns["ha_chassis_group"].id == "neutron-gw"
    assert {one["chassis_name"]: one["priority"] for one in of(rows, "HA_Chassis")} == {"c1": 32767, "c2": 32766}
    assert rows["Logical_Router_Port", "lrp-in"].columns["ha_chassis_group"] is None


def test_how_soon_another_chassis_takes_over() -> None:
    def told(**options: Any) -> list[Any]:
        return [row.columns["options"] for row in lives.failover(Ovn(**options))]

    assert told() == []
    assert told(ha_failover_strategy="aggressive") == [{"bfd-min-rx": "100", "bfd-min-tx": "100", "bfd-mult": "3"}]
    manual = told(ha_failover_strategy="manual", bfd_min_rx=200, bfd_min_tx=300, bfd_mult=4)
    assert manual == [{"bfd-min-rx": "200", "bfd-min-tx": "300", "bfd-mult": "4"}]


def test_translation_of_what_leaves() -> None:
    (row,) = of(made(), "NAT")
    assert (row["type"], row["external_ip"], row["logical_ip"], row["gateway_port"]) == (
        "snat", "203.0.113.2", "10.0.0.0/24", None
    )  # fmt: skip
    assert of(made(replace(ROUTER, gateway=replace(GATEWAY, enable_snat=False))), "NAT") == []
    assert of(made(replace(ROUTER, gateway=None)), "NAT") == []


def test_floating_ips_where_the_operator_wants_them() -> None:
    nat = Nat("fip", "203.0.113.9", "10.0.0.9", "vm", mac="fa:16:3e:00:00:ff")
    value = replace(ROUTER, nats=(nat,))
    row = made(value)["NAT", "fip"].columns
    assert row["type"] == "dnat_and_snat" and row["external_mac"] is row["logical_port"] is None
    spread = made(value, enable_distributed_floating_ip=True)["NAT", "fip"].columns
    assert (spread["external_mac"], spread["logical_port"]) == ("fa:16:3e:00:00:ff", "vm")
    forwarding = PortForwarding("pf", "tcp", "203.0.113.10", (2222, 2222), "10.0.0.9", (22, 22), floating_ip="other")
    shared = made(replace(value, forwardings=(forwarding,)), enable_distributed_floating_ip=True)["NAT", "fip"].columns
    assert shared["external_mac"] is None, "else the forwarding would get no answers"
    elsewhere = replace(value, nats=(replace(nat, logical_port="no-workload"),))
    assert made(elsewhere, enable_distributed_floating_ip=True)["NAT", "fip"].columns["external_mac"] is None


def test_several_gateways_are_told_apart() -> None:
    value = replace(ROUTER, extra_gateways=(OTHER,), nats=(Nat("fip", "203.0.113.9", "10.0.0.9", "vm", "gw2"),))
    rows = made(value)
    assert {row["gateway_port"].id for row in of(rows, "NAT")} == {"lrp-gw", "lrp-gw2"}
    assert rows["NAT", "fip"].columns["gateway_port"].id == "lrp-gw2"
    assert [row["output_port"] for row in of(rows, "Logical_Router_Static_Route")] == ["lrp-gw"]
    both = made(replace(value, ecmp=True, bfd=True))
    assert {row["output_port"] for row in of(both, "Logical_Router_Static_Route")} == {"lrp-gw", "lrp-gw2"}
    assert {row["bfd"].id for row in of(both, "Logical_Router_Static_Route")} == {
        f"{leg}/203.0.113.1" for leg in ("lrp-gw", "lrp-gw2")
    }
    assert {row["logical_port"] for row in of(both, "BFD")} == {"lrp-gw", "lrp-gw2"}


def test_routes() -> None:
    rows = made(replace(ROUTER, routes=(Route("198.18.0.0/16", "10.0.0.9"), Route("198.18.0.0/16", "10.0.0.8"))))
    found = {(row["ip_prefix"], row["nexthop"]) for row in of(rows, "Logical_Router_Static_Route")}
    assert found == {("0.0.0.0/0", "203.0.113.1"), ("198.18.0.0/16", "10.0.0.9"), ("198.18.0.0/16", "10.0.0.8")}


def test_forwardings_are_load_balancers_by_protocol() -> None:
    one = PortForwarding("a", "tcp", "203.0.113.9", (2222, 2222), "10.0.0.9", (22, 22), floating_ip="fip")
    span = PortForwarding("b", "udp", "203.0.113.9", (5000, 5002), "10.0.0.9", (6000, 6002), floating_ip="fip")
    many = PortForwarding("c", "udp", "203.0.113.9", (7000, 7001), "10.0.0.9", (53, 53), floating_ip="fip")
    rows = made(replace(ROUTER, forwardings=(one, span, many)))
    tcp, udp = rows["Load_Balancer", "pf-floatingip-fip-tcp"], rows["Load_Balancer", "pf-floatingip-fip-udp"]
    assert tcp.columns["vips"] == {"203.0.113.9:2222": "10.0.0.9:22"}
    assert udp.columns["vips"]["203.0.113.9:5002"] == "10.0.0.9:6002"
    assert udp.columns["vips"]["203.0.113.9:7000"] == udp.columns["vips"]["203.0.113.9:7001"] == "10.0.0.9:53"
    switches = {f"neutron-{leg.switch}" for leg in ROUTER.ports}
    assert {hold.row.id for hold in tcp.members} == {f"neutron-{ROUTER.id}", *switches}, (
        "for clients outside and inside"
    )
    assert {hold.column for hold in tcp.members} == {"load_balancer"}
    announced = rows["NAT", "fip/announced"].columns
    assert (announced["type"], announced["external_ip"]) == ("snat", "203.0.113.9")


def test_forwardings_by_number_and_what_no_load_balancer_knows() -> None:
    """One row that the database refuses would keep all of the router from it."""
    ports = ((53, 53), "10.0.0.9", (53, 53))
    one = [PortForwarding(p, p, "203.0.113.9", *ports, floating_ip="fip") for p in ("17", "132", "dccp", "33", "icmp")]
    rows = made(replace(ROUTER, forwardings=tuple(one)))
    assert [row["protocol"] for row in of(rows, "Load_Balancer")] == ["sctp", "udp"]


def test_limits_of_external_addresses() -> None:
    nat = Nat("fip", "203.0.113.9", "10.0.0.9", "vm")
    held = (
        AddressQos("203.0.113.9", Qos(egress=Limit(1000), ingress=Limit(500))),
        AddressQos("203.0.113.2", Qos(dscp=8)),
    )
    found = {row["match"]: row for row in of(made(replace(ROUTER, nats=(nat,), qos=held)), "QoS")}
    assert found.keys() == {
        'inport == "gw" && ip4.src == 203.0.113.9',
        'outport == "gw" && ip4.dst == 203.0.113.9',
        'inport == "gw" && ip4.src == 203.0.113.2',
    }


def test_advertisements_and_mtu() -> None:
    subnet = DhcpOptions(
        "b6", 6, "2001:db8::/64", "2001:db8::1", True, ("2001:db8::53",), (), "dhcpv6-stateful", "dhcpv6-stateful"
    )
    blue = LogicalSwitch("blue", "b", "p", 9000, (Segment("geneve", None, 1),), (subnet,))
    leg = replace(LEG, addresses=(Address("2001:db8::1", 64, "b6"),))
    rows = made(replace(ROUTER, ports=(leg,)), view(blue=blue))
    assert rows["Logical_Router_Port", "lrp-in"].columns["ipv6_ra_configs"] == {
        "address_mode": "dhcpv6_stateful", "send_periodic": "true", "mtu": "9000", "rdnss": "2001:db8::53"
    }  # fmt: skip
    assert rows["Logical_Router_Port", "lrp-gw"].columns["options"]["gateway_mtu"] == "1500"


def test_who_comes_from_a_network_of_larger_packets_is_told() -> None:
    wide, narrow = (LogicalSwitch(id, id, "p", mtu, ()) for id, mtu in (("blue", 1500), ("red", 1400)))
    legs = (LEG, replace(LEG, id="far", switch="red", mtu=1400))
    rows = made(replace(ROUTER, ports=legs), view(blue=wide, red=narrow))
    told = {id: row.columns["options"].get("gateway_mtu") for (table, id), row in rows.items() if id[:4] == "lrp-"}
    assert told == {"lrp-in": None, "lrp-far": "1400", "lrp-gw": None}


def test_physical_tenant_networks() -> None:
    blue = LogicalSwitch("blue", "b", "p", 1500, (Segment("vlan", "physnet1", 7),))
    rows = made(around=view(blue=blue))
    assert rows["Logical_Router_Port", "lrp-in"].columns["options"] == {"reside-on-redirect-chassis": "true"}
    spread = made(around=view(blue=blue), enable_distributed_floating_ip=True)
    assert spread["Logical_Router_Port", "lrp-gw"].columns["options"]["redirect-type"] == "bridged"
    assert spread["Logical_Router_Port", "lrp-in"].columns["options"] == {}
