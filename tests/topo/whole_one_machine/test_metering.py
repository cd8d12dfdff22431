"""A metering label from the API to packets, and from packets to the message bus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.topo.whole import Installation, installed
from tests.topo.whole_one_machine.conftest import Pair, plugged_pair
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.one_database]

CONFIG = """\
[oslo_messaging_notifications]
driver = log
[linux]
metering_measure_interval = 1
metering_report_interval = 1
"""


@pytest.fixture
def installation(tmp_path: Path, prefix: str) -> Iterator[Installation]:
    pytest.importorskip("oslo_messaging", reason="needs oslo.messaging: pip install -e .[notifications]")
    (tmp_path / "weft.conf").write_text(CONFIG)
    with installed(tmp_path, prefix, "--config", str(tmp_path / "weft.conf")) as one:
        yield one


def told(pair: Pair) -> list[dict[str, Any]]:
    """The payloads of `l3.meter` that the bus has heard."""
    text = (pair.weft.folder.parent / f"{pair.weft.prefix}.log").read_text()
    said = (line.partition("oslo.messaging.notification.l3.meter: ")[2] for line in text.splitlines())
    return [json.loads(one)["payload"] for one in said if one]


def test_a_label_from_the_api_to_packets_to_the_bus(installation: Installation) -> None:
    pair = plugged_pair(installation)
    weft = pair.weft
    outside = weft.make("networks", name="outside", **{"router:external": True})["id"]
    weft.make("subnets", network_id=outside, ip_version=4, cidr="203.0.113.0/24")
    weft.call("PUT", f"/routers/{pair.router}", {"router": {"external_gateway_info": {"network_id": outside}}})
    far = weft.make("ports", network_id=outside, name="far", port_security_enabled=False)
    assert weft.plug(far["id"], "far")["status"] == "ACTIVE"
    address = far["fixed_ips"][0]["ip_address"]
    label = weft.call("POST", "/metering/metering-labels", {"metering_label": {"name": "far"}})["metering_label"]
    rule = {"metering_label_id": label["id"], "direction": "egress", "remote_ip_prefix": "203.0.113.0/24"}
    weft.call("POST", "/metering/metering-label-rules", {"metering_label_rule": rule})
    wait_until(lambda: any(one["label_id"] == label["id"] for one in told(pair)))  # it counts from now on
    with weft.flood("a", address, rate=50) as flood:
        wait_until(lambda: len(flood.answered) >= 20)
    weft.kill("dataplane")

    def counted() -> int:
        return sum(one["pkts"] for one in told(pair) if one["label_id"] == label["id"])

    wait_until(lambda: counted() >= len(flood.sent))
    assert counted() == len(flood.sent)
