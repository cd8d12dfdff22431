"""Metadata and names for a workload that ignores option 121: it goes to its default gateway, which is our router."""

from __future__ import annotations

import pytest

from tests.topo.nova import Nova
from tests.topo.services_lab import Lab, leg, subnet
from weft.backends.linux import names

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip", "curl", "dig")]

RED, BLUE = subnet("red", "10.0.0.0/24", "10.0.0.1"), subnet("blue", "10.0.1.0/24", "10.0.1.1")


def test_by_the_router(lab: Lab, nova: Nova) -> None:
    red, blue = lab.switch("red", RED), lab.switch("blue", BLUE)
    for name, switch, on, ip in (("r1", red, RED, "10.0.0.5"), ("b1", blue, BLUE, "10.0.1.5")):
        lab.port(name, switch, (on, ip))
        lab.sh(name, f"ip addr add {ip}/24 dev eth0; ip route add default via {on.gateway_ip}")
    router = lab.router("r", leg("r", red, (RED, "10.0.0.1")), leg("r", blue, (BLUE, "10.0.1.1")))
    lab.set()
    for name, ip in (("r1", "10.0.0.5"), ("b1", "10.0.1.5")):
        status, body = lab.curl(name, "http://169.254.169.254/")
        assert (status, body) == (
            200,
            f"metadata of {next(p for p in lab.view.ports.values() if p.name == name).device_id}",
        )
        assert nova.requests[-1][2]["X-Forwarded-For"] == ip
        assert lab.dig(name, "r1.example.org") == lab.dig(name, "+tcp", "r1.example.org") == ["10.0.0.5"]
    # the port behind the redirection is nobody's to reach
    assert lab.curl("r1", "http://10.0.0.1:9697/")[0] == 0
    assert names.router_namespace(lab.prefix, router.id) in lab.responder._snapshot.places
