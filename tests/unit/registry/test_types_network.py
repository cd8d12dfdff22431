"""The structured values of networks, ports, routers and rules."""

from __future__ import annotations

from typing import Any

import pytest

from weft import errors
from weft.registry import types as t
from weft.registry import types_dns as d
from weft.registry import types_network as n
from weft.registry import types_rule as r

ONE, OTHER = "55182d26-86fe-4ad3-9638-51752abe5e9c", "5271a803-7792-4195-89a8-aad87f3bb7b6"
MAC = "fa:16:3e:00:00:01"


def check(type_: t.Type, value: Any) -> str | None:
    return type_.validate(type_.convert(value))


def test_address_pairs() -> None:
    pairs = n.allowed_address_pairs
    assert pairs.convert(None) == []
    assert check(pairs, [{"ip_address": "10.0.0.7/24", "mac_address": MAC}, {"ip_address": "10.0.0.7/24"}]) is None
    assert pairs.convert([{"ip_address": "FD00::1/64", "mac_address": MAC.upper()}]) == [
        {"ip_address": "fd00::1/64", "mac_address": MAC}
    ]
    assert check(pairs, [{"ip_address": "ff5::1"}]) is None
    assert check(pairs, "10.0.0.7") == "Allowed address pairs must be a list"
    assert check(pairs, ["10.0.0.7"]) == "'10.0.0.7' is not a dictionary"
    assert check(pairs, [{"ip_address": "10.0.0.7", "port": 1}]) == "Unexpected keys supplied: port"
    assert check(pairs, [{"ip_address": "x"}]) == "'x' is not a valid IP address"
    assert check(pairs, [{"ip_address": "10.0.0.7", "mac_address": "x"}]) == "'x' is not a valid MAC address"


@pytest.mark.parametrize(
    "pair",
    [
        {"ip_address": "224.0.0.18"},
        {"ip_address": "239.0.0.0/8"},
        {"ip_address": "ff02::12"},
        {"ip_address": "10.0.0.7", "mac_address": "01:00:5e:00:00:12"},
    ],
)
def test_address_pairs_are_not_multicast(pair: dict[str, str]) -> None:
    reason = check(n.allowed_address_pairs, [pair])
    assert reason is not None
    assert "multicast" in reason


def test_address_pairs_with_faults_of_their_own() -> None:
    with pytest.raises(errors.AllowedAddressPairsMissingIP):
        check(n.allowed_address_pairs, [{"mac_address": MAC}])
    with pytest.raises(errors.DuplicateAddressPairInRequest):
        check(n.allowed_address_pairs, [{"ip_address": "fd00::1"}, {"ip_address": "FD00::0:1"}])


def test_dhcp_options() -> None:
    options = n.extra_dhcp_opts
    assert check(options, None) is None
    assert check(options, [{"opt_name": "mtu", "opt_value": "1400", "ip_version": "6"}]) is None
    assert options.convert([{"opt_name": "mtu", "opt_value": "1", "ip_version": "6"}])[0]["ip_version"] == 6
    assert check(options, [{"opt_name": "mtu", "opt_value": None}]) is None
    assert check(options, [{"opt_name": "router", "opt_value": ""}]) is None
    assert check(options, [{"opt_name": "mtu", "opt_value": " "}]) is not None
    assert check(options, [{"opt_name": "mtu", "opt_value": "1\n2"}]) is not None
    assert check(options, [{"opt_name": "", "opt_value": "1"}]) is not None
    with pytest.raises(errors.InvalidInput, match="No valid key specs matched for"):
        check(options, [{"x": 1}])
    with pytest.raises(errors.InvalidInput):
        check(options, [{"opt_name": "mtu", "opt_value": "1", "ip_version": 5}])


def test_service_types() -> None:
    assert n.service_types.convert(["compute:a", "network:b", "compute:a"]) == ["compute:a", "network:b"]
    assert check(n.service_types, ["compute:a", "network:router_gateway", "neutron:x", "baremetal:y", "own:z"]) is None
    assert check(n.service_types, "compute:a") is not None
    with pytest.raises(errors.InvalidSubnetServiceType):
        check(n.service_types, ["foo"])
    with pytest.raises(errors.InvalidInputSubnetServiceType):
        check(n.service_types, [1])


def test_zone_hints() -> None:
    assert check(n.availability_zone_hints, ["a", "b"]) is None
    assert check(n.availability_zone_hints, ["a", "a"]) is not None
    with pytest.raises(errors.InvalidInput):
        check(n.availability_zone_hints, [f"zone-{number}" for number in range(40)])


def test_gateway() -> None:
    gateway = n.external_gateway_info
    assert check(gateway, None) is None
    assert check(gateway, {}) is None
    assert gateway.convert({"network_id": ONE, "enable_snat": "false"}) == {"network_id": ONE, "enable_snat": False}
    assert (
        check(gateway, {"network_id": ONE, "external_fixed_ips": [{"subnet_id": OTHER}], "qos_policy_id": None}) is None
    )
    assert check(gateway, {"enable_snat": True}) == "Required keys not supplied: network_id"
    assert check(gateway, {"network_id": ONE, "snat": True}) == "Unexpected keys supplied: snat"
    assert check(gateway, {"network_id": ONE, "external_fixed_ips": [{"ip_address": "x"}]}) == (
        "external_fixed_ips: ip_address: 'x' is not a valid IP address"
    )
    nothing: list[Any] = ["", 0, [], False]
    assert None not in [check(gateway, value) for value in nothing]
    with pytest.raises(errors.InvalidInput):
        check(gateway, {"network_id": ONE, "enable_snat": "maybe"})
    assert check(n.external_gateways, [{"network_id": ONE}]) is None


def test_subports() -> None:
    def sub(port: str, number: Any = 7, kind: Any = "vlan") -> dict[str, Any]:
        return {"port_id": port, "segmentation_type": kind, "segmentation_id": number}

    assert check(n.sub_ports, [sub(ONE, "7"), sub(OTHER, 8)]) is None
    assert n.sub_ports.convert([sub(ONE, "7")]) == [sub(ONE, 7)]
    assert check(n.sub_ports, [{"port_id": ONE}]) is None
    assert check(n.sub_ports, [{"port_id": ONE, "segmentation_type": "inherit"}]) is None
    assert check(n.sub_ports, [{"port_id": ONE, "segmentation_id": 7}]) is not None
    assert check(n.sub_ports, [sub(ONE), sub(ONE, 8)]) == f"Duplicate port {ONE}"
    assert check(n.sub_ports, [sub(ONE), sub(OTHER)]) == "Duplicate segmentation_id 7"
    assert check(n.sub_ports, [{"segmentation_id": 7}]) is not None


def test_subnet_pool() -> None:
    for value in (None, "prefix_delegation", ONE):
        assert check(n.subnetpool_id_or_none, value) is None
    assert check(n.subnetpool_id_or_none, "x") is not None


def test_hints() -> None:
    assert check(n.hints, None) is None
    assert check(n.hints, {"openvswitch": {"other_config": {"tx-steering": "thread"}}}) is None
    assert check(n.hints, {"foo": 1}) == "Unexpected keys supplied: foo"
    assert check(n.hints, {"openvswitch": {"other_config": {"tx-steering": "x"}}}) is not None


def test_rbac() -> None:
    assert check(n.rbac_target, "*") is None
    assert check(n.rbac_target, "0" * 32) is None
    with pytest.raises(errors.InvalidInput, match="'p2' is not a valid target project ID"):
        check(n.rbac_target, "p2")
    with pytest.raises(errors.InvalidInput):
        n.rbac_object_type.convert("port")


@pytest.mark.parametrize(
    ("value", "result"),
    [(None, None), ("any", None), ("ANY", None), ("TCP", "tcp"), (6, "6"), ("6", "6"), (0, "0"), ("icmpv6", "icmpv6")],
)
def test_rule_protocol(value: Any, result: str | None) -> None:
    assert r.rule_protocol.convert(value) == result


@pytest.mark.parametrize("value", ["foo", "", 256, -1, "256", True, [], {}])
def test_no_rule_protocol(value: Any) -> None:
    with pytest.raises(errors.SecurityGroupRuleInvalidProtocol):
        r.rule_protocol.convert(value)


def test_forwarding_protocol() -> None:
    assert r.port_protocol.convert("17") == "udp"
    assert check(r.port_protocol, "TCP") is None
    assert check(r.port_protocol, "gre") is not None
    assert check(r.port_protocol, 47) is not None
    assert check(r.port_protocol, None) is not None
    with pytest.raises(errors.InvalidInput, match="IP protocol 'foo' is not supported"):
        r.port_protocol.convert("foo")


def test_rule_port() -> None:
    assert [r.rule_port.convert(value) for value in (None, 0, "22", 65535)] == [None, 0, 22, 65535]
    for value in ("", "x", -1, 65536, True, 1.5):
        with pytest.raises(errors.SecurityGroupInvalidPortValue):
            r.rule_port.convert(value)


def test_ethertype() -> None:
    assert [r.ethertype.convert(value) for value in ("ipv4", "IPV6")] == ["IPv4", "IPv6"]
    for value in ("ipv5", None, 4):
        with pytest.raises(errors.SecurityGroupRuleInvalidEtherType):
            r.ethertype.convert(value)


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, None),
        ("", None),
        ("10.0.0.7", "10.0.0.7/32"),
        ("10.0.0.7/24", "10.0.0.7/24"),
        ("FD00::1", "fd00::1/128"),
        ("::/0", "::/0"),
    ],
)
def test_rule_prefix(value: Any, result: str | None) -> None:
    assert r.rule_prefix.convert(value) == result


@pytest.mark.parametrize("value", ["x", "10.0.0.0/33", 10, [], "10.0.0.1/x"])
def test_no_rule_prefix(value: Any) -> None:
    with pytest.raises(errors.InvalidCIDR):
        r.rule_prefix.convert(value)


def test_port_range() -> None:
    for value in (None, "80", "80:90", 80, "80:80"):
        assert check(r.port_range_or_none, value) is None
    assert r.port_range_or_none.convert(80) == "80"
    assert check(r.port_range_or_none, "90:80") == "First port in a port range must be lower than the second port"
    for value in ("", "0", "65536", "1:2:3", "a:b", ":80", "80:", "+80", "８０", True):
        assert check(r.port_range_or_none, value) is not None


@pytest.mark.parametrize("value", ["", "web", "Web-1", "web.example.org", "web.example.org.", "1web", "a" * 63, "9"])
def test_dns_name(value: str) -> None:
    assert d.dns_name.convert(value) == value.lower()
    assert check(d.dns_name, value) is None


@pytest.mark.parametrize(
    "value", ["-web", "web-", "we_b", "a" * 64, "a..b", ".", "web.example.1", "a." * 128, "é", " ", 1, None]
)
def test_no_dns_name(value: Any) -> None:
    assert check(d.dns_name, value) is not None


def test_dns_domain() -> None:
    for value in ("", "Example.org.", "<project_id>.example.org.", "a-<user_name>.example.org."):
        assert check(d.dns_domain, value) is None
    for value in ("example.org", ".", "<x>.example.org.", "a" * 254 + "."):
        assert check(d.dns_domain, value) is not None
    assert d.dns_domain.filter("Example.org.") == "example.org."


def test_floating_ip_dns_name_is_relative() -> None:
    assert check(d.relative_dns_name, "web") is None
    assert check(d.relative_dns_name, "web.example.org.") == (
        "'web.example.org.' is a FQDN. It should be a relative domain name"
    )
