"""Addresses, prefixes and MACs: canonical forms, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft import errors
from weft.registry import types as t
from weft.registry import types_address as a

ONE, OTHER = "55182d26-86fe-4ad3-9638-51752abe5e9c", "5271a803-7792-4195-89a8-aad87f3bb7b6"


def check(type_: t.Type, value: Any) -> str | None:
    return type_.validate(type_.convert(value))


@pytest.mark.parametrize(
    ("value", "result"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0::1", "2001:db8::1"), ("::", "::")],
)
def test_ip(value: str, result: str) -> None:
    assert a.ip.convert(value) == result
    assert a.ip.validate(result) is None
    assert a.ip.filter(value) == result


@pytest.mark.parametrize(
    "value",
    [
        "",
        "192.0.2",
        "192.0.2.01",
        "192.0.2.1/32",
        "192.0.2.256",
        " 192.0.2.1",
        "192.0.2.1\n",
        "fe80::1%eth0",
        "x",
        1,
        None,
    ],
)
def test_no_ip(value: Any) -> None:
    assert check(a.ip, value) == f"'{value}' is not a valid IP address"


@settings(deadline=None)
@given(st.ip_addresses())
def test_every_address_is_taken_in_every_form(address: Any) -> None:
    assert a.ip.convert(address.exploded) == str(address)
    assert check(a.ip, address.exploded) is None


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("10.0.0.7/24", "10.0.0.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("FD00:0:0:1::5/64", "fd00:0:0:1::/64"),
        ("192.0.2.1/32", "192.0.2.1/32"),
    ],
)
def test_cidr(value: str, result: str) -> None:
    assert a.cidr.convert(value) == result
    assert a.cidr.validate(result) is None


@pytest.mark.parametrize(
    "value",
    ["10.0.0.5", "10.0.0.0/33", "10.0.0.0/", "/24", "10.0.0.0/255.255.255.0", "10.0/16", "", "x/y", 10, None, "::/129"],
)
def test_no_cidr(value: Any) -> None:
    assert check(a.cidr, value) == f"'{value}' is not a valid IP subnet"


def test_routes() -> None:
    route = {"destination": "10.1.0.0/16", "nexthop": "10.0.0.1"}
    assert check(a.routes, [route]) is None
    assert a.routes.convert(None) == []
    assert a.routes.convert([{"destination": "FD00::/8", "nexthop": "FD00::1"}]) == [
        {"destination": "fd00::/8", "nexthop": "fd00::1"}
    ]
    reason = check(a.routes, [{"destination": "10.1.2.3/16", "nexthop": "10.0.0.1"}])
    assert reason == "destination: '10.1.2.3/16' is not a valid IP subnet: '10.1.0.0/16' is"
    assert check(a.routes, [route, dict(route)]) is not None
    assert check(a.routes, [route, {**route, "nexthop": "10.0.0.2"}]) is None
    assert check(a.routes, [{"destination": "10.1.0.0/16"}]) == "Required keys not supplied: nexthop"
    assert check(a.routes, [{**route, "metric": 1}]) == "Unexpected keys supplied: metric"
    assert check(a.routes, route) is not None


def test_pools_and_nameservers() -> None:
    assert a.allocation_pools.convert([{"start": "FD00::2", "end": "FD00::F"}]) == [
        {"start": "fd00::2", "end": "fd00::f"}
    ]
    assert check(a.allocation_pools, [{"start": "10.0.0.2"}]) is not None
    assert check(a.allocation_pools, None) is not None
    assert check(a.nameservers, ["192.0.2.53", "192.0.2.53"]) == "Duplicate items in the list: '192.0.2.53'"
    assert check(a.nameservers, ["::1", "0::1"]) is not None  # one address, two spellings


def test_fixed_ips() -> None:
    assert check(a.fixed_ips, []) is None
    assert check(a.fixed_ips, [{"subnet_id": ONE}, {"subnet_id": ONE}]) is None
    assert check(a.fixed_ips, [{"subnet_id": ONE, "ip_address": "10.0.0.77"}, {"ip_address": "10.0.0.77"}]) == (
        "Duplicate IP address '10.0.0.77'"
    )
    assert check(a.fixed_ips, [{"ip": "10.0.0.1"}]) == "Unexpected keys supplied: ip"
    assert check(a.fixed_ips, [{"subnet_id": "x"}]) == "subnet_id: 'x' is not a valid UUID"
    assert check(a.fixed_ips, None) is not None
    assert a.fixed_ips.filter("ip_address=2001:DB8::1") == ("ip_address", "2001:db8::1")
    assert a.fixed_ips.filter(f"subnet_id={OTHER}") == ("subnet_id", OTHER)
    with pytest.raises(errors.InvalidInput):
        a.fixed_ips.filter("10.0.0.1")


@pytest.mark.parametrize("value", ["fa:16:3E:00:00:01", "FA-16-3e-00-00-01", "fa16.3e00.0001", "FA163E000001"])
def test_mac(value: str) -> None:
    assert a.mac.convert(value) == "fa:16:3e:00:00:01"
    assert a.mac.filter(value) == "fa:16:3e:00:00:01"
    assert check(a.mac_or_none, value) is None


@pytest.mark.parametrize(
    "value",
    ["xx", "", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "FFFFFFFFFFFF", "fa:16:3e:00:00", "fa:16:3e-00-00-01", 1, []],
)
def test_no_mac(value: Any) -> None:
    reason = check(a.mac, value)
    assert reason is not None
    assert reason.endswith("is not a valid MAC address")


def test_null_mac_asks_for_a_generated_one() -> None:
    assert a.mac_or_none.convert(None) is None
    assert check(a.mac_or_none, None) is None
