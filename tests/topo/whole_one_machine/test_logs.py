"""A log from the API to a line, also after the process that reads was killed."""

from __future__ import annotations

import socket

import pytest

from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.linux import netns

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ip")]


def logged(pair: Pair, log: str, event: str, port: int) -> bool:
    """Whether a datagram from a to that port of b is written down in the end, by the installation's log."""
    line = f"action={event} log_resource_ids={log} vm_port={pair.b} direction=ingress pkt=udp src={pair.ip_a} dst={pair.ip_b}"
    with netns.open_socket(pair.weft.workload("a"), socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(b"x", (pair.ip_b, port))
    lines = (pair.weft.folder / "weft.log").read_text().splitlines()
    return any(line in one and one.endswith(f"dport={port}") for one in lines)


def test_from_the_api_to_a_line(pair: Pair) -> None:
    weft = pair.weft
    assert weft.call("GET", "/log/loggable-resources") == {"loggable_resources": [{"type": "security_group"}]}
    wanted = {"resource_type": "security_group", "resource_id": pair.group}
    log = weft.call("POST", "/log/logs", {"log": wanted})["log"]["id"]
    wait_until(lambda: logged(pair, log, "ACCEPT", 4000))
    rules = weft.call("GET", f"/security-group-rules?direction=ingress&security_group_id={pair.group}")
    for rule in rules["security_group_rules"]:
        weft.call("DELETE", f"/security-group-rules/{rule['id']}")
    wait_until(lambda: logged(pair, log, "DROP", 4001))
    weft.kill("dataplane")
    wait_until(lambda: logged(pair, log, "DROP", 4002))
