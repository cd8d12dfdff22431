"""A QoS policy from the API to the packets, followed as it changes, kept when the agent is killed."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from tests.topo import meter
from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.linux import names, netns

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ip", "tc")]

LIMIT, MUCH = 5000, 40_000


def waiting(pair: Pair, way: names.Way) -> int:
    """Bytes a second of the bucket beside port a's tap; 0 for none."""
    device = names.beside(names.tap(pair.a), way)
    command = ["tc", "-j", "qdisc", "show", "dev", device]
    run = netns.inside(
        pair.weft.namespace, lambda: subprocess.run(command, capture_output=True, text=True, check=False)
    )
    found = json.loads(run.stdout) if run.returncode == 0 else []
    return next((int(one["options"]["rate"]) for one in found if one["kind"] == "tbf"), 0)


def passes(pair: Pair) -> float:
    """kbit/s from a to b."""
    mouth = netns.open_socket(pair.weft.workload("a"), socket.AF_INET, socket.SOCK_DGRAM)
    ear = netns.open_socket(pair.weft.workload("b"), socket.AF_INET, socket.SOCK_DGRAM)
    with mouth, ear:
        ear.bind((pair.ip_b, 4000))
        passed = meter.datagrams(mouth, ear, (pair.ip_b, 4000), 2, MUCH)
    assert passed.kbps_offered > 3 * LIMIT, "this machine is too busy to offer enough"
    return passed.kbps


def test_a_policy_from_the_api_to_packets(pair: Pair) -> None:
    weft = pair.weft
    policy = weft.call("POST", "/qos/policies", {"policy": {"name": "bronze"}})["policy"]["id"]
    rules = f"/qos/policies/{policy}/bandwidth_limit_rules"
    rule = weft.call("POST", rules, {"bandwidth_limit_rule": {"max_kbps": LIMIT}})["bandwidth_limit_rule"]["id"]
    types = [one["type"] for one in weft.call("GET", "/qos/rule-types")["rule_types"]]
    assert types == ["bandwidth_limit", "dscp_marking", "packet_rate_limit"]
    weft.call("PUT", f"/networks/{pair.network}", {"network": {"qos_policy_id": policy}})
    wait_until(lambda: waiting(pair, "from") == LIMIT * 125)
    assert 0.8 * LIMIT <= passes(pair) <= 1.2 * LIMIT
    weft.call("PUT", f"{rules}/{rule}", {"bandwidth_limit_rule": {"max_kbps": 2 * LIMIT}})
    wait_until(lambda: waiting(pair, "from") == 2 * LIMIT * 125)
    weft.kill("dataplane")
    weft.call("PUT", f"{rules}/{rule}", {"bandwidth_limit_rule": {"max_kbps": LIMIT}})
    wait_until(lambda: waiting(pair, "from") == LIMIT * 125)
    assert 0.8 * LIMIT <= passes(pair) <= 1.2 * LIMIT
    weft.call("PUT", f"/networks/{pair.network}", {"network": {"qos_policy_id": None}})
    wait_until(lambda: waiting(pair, "from") == 0)
    assert passes(pair) > 3 * LIMIT
