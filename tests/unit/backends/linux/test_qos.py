"""What QoS comes to on a Linux host, as values: buckets, rules, chains of routers."""

from __future__ import annotations

import pytest

from weft.backends.linux import names, qos
from weft.backends.linux.ruleset import Fragment, Name
from weft.backends.linux.tc import Bucket
from weft.logical.model import AddressQos, Limit, LogicalPort, Qos

ID = "0123456789abcdef"


def port(held: Qos | None) -> LogicalPort:
    return LogicalPort(ID, "switch", "fa:16:3e:00:00:01", qos=held)


@pytest.mark.parametrize(
    ("limit", "bucket"),
    [
        (Limit(8000), Bucket(1_000_000, 100_000, 150_000)),
        (Limit(8000, 80), Bucket(1_000_000, 10_000, 60_000)),
        (Limit(1), Bucket(125, 3028, 6056)),  # two frames at least, or none would ever pass
        (Limit(2**31 - 1), Bucket(268435455875, 1 << 26, (1 << 26) + 268435455875 // 20)),
    ],
)
def test_a_limit_is_a_bucket(limit: Limit, bucket: Bucket) -> None:
    assert qos.shape(port(Qos(egress=limit)), 1500) == {"from": bucket}
    assert qos.shape(port(Qos(ingress=limit)), 1500) == {"to": bucket}


def test_without_bandwidth_limits_nothing_is_shaped() -> None:
    assert qos.shape(port(None), 1500) == qos.shape(port(Qos(dscp=8, egress_packets=Limit(1))), 1500) == {}


def test_packets_and_marks_are_a_chain_of_the_ports_own() -> None:
    fragment = Fragment()
    qos.add_rules(fragment, port(Qos(dscp=26, egress_packets=Limit(2, 1), ingress_packets=Limit(3))))
    assert {name.name: chain.rules for name, chain in fragment.chains.items()} == {
        f"qos-from-{ID}": (
            "limit rate over 2000/second burst 1000 packets drop",
            "ip dscp set 26",
            "ip6 dscp set 26",
        ),
        f"qos-to-{ID}": ("limit rate over 3000/second burst 300 packets drop",),
    }
    tap = (names.tap(ID),)
    assert fragment.elements == {
        Name("bridge", "qos_from"): {tap: f"jump qos-from-{ID}"},
        Name("bridge", "qos_to"): {tap: f"jump qos-to-{ID}"},
    }


def test_a_port_without_such_rules_has_no_chain() -> None:
    for held in (None, Qos(egress=Limit(1))):
        fragment = Fragment()
        qos.add_rules(fragment, port(held))
        assert fragment == Fragment()


def test_addresses_have_chains_on_their_ways() -> None:
    held = [AddressQos("203.0.113.9", Qos(egress=Limit(8, 8), ingress=Limit(16), dscp=10))]
    chains = qos.address_chains('"qg-1"', held)
    assert chains["qos_out_203.0.113.9"] == [
        "limit rate over 1000 bytes/second burst 1000 bytes drop",
        "ip dscp set 10",
        "ip6 dscp set 10",
    ]
    assert chains["qos_in_203.0.113.9"] == ["limit rate over 2000 bytes/second burst 1 bytes drop"]
    assert chains["qos_in"][1] == 'iifname "qg-1" ip daddr vmap { 203.0.113.9 : jump qos_in_203.0.113.9 }'
    assert chains["qos_out"][1] == 'oifname "qg-1" ip saddr vmap { 203.0.113.9 : jump qos_out_203.0.113.9 }'


def test_without_a_gateway_or_limits_there_are_no_chains() -> None:
    assert qos.address_chains("", [AddressQos("203.0.113.9", Qos(dscp=8))]) == {}
    assert qos.address_chains('"qg-1"', []) == {}


def test_devices_beside_taps_have_names_of_their_own() -> None:
    devices = {names.beside(names.tap(ID), way) for way in names.BESIDE_PREFIX}
    assert devices == {"qof0123456789a", "qot0123456789a"}
    assert {names.tap_beside(device) for device in devices} == {names.tap(ID)}
    assert names.tap_beside("ifb0") == ""


def test_what_ticks_lose_is_no_difference() -> None:
    bucket = Bucket(1_000_000, 100_000, 150_000)
    assert bucket.resembles(Bucket(1_000_000, 99_990, 150_000))
    assert not bucket.resembles(Bucket(1_000_000, 90_000, 150_000))
    assert not bucket.resembles(Bucket(1_000_001, 100_000, 150_000))
