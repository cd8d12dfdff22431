"""The machine's own way to the external network: here "the machine" is a namespace with an uplink to somewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from tests.topo.router_lab import Lab, floating, gateway, leg, router, uid
from weft.backends.linux import external, names, netns
from weft.backends.linux.links import Create, Link, Links, Modify
from weft.config import Linux

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ping", "nsenter", "ip", "nft")]

CALL = """
import json, sys
from weft.backends.linux import external
from weft.config import Linux
print(json.dumps(getattr(external, sys.argv[1])(Linux(**json.loads(sys.argv[2])))))
"""


class Machine:
    """Weft was started in this namespace; eth0 leads to another host (192.0.2.9) that knows nothing of 203.0.113.0/24."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.name = f"{lab.prefix}-machine"
        self.other = f"{lab.prefix}-other"
        for name in (self.name, self.other):
            netns.create(name, {"net/ipv6/conf/default/accept_dad": 0})
        uplink = Links(self.name)
        failed = uplink.apply([Create(Link("eth0", "veth", up=True, peer=(self.other, "eth0")))])
        uplink.close()
        assert not failed
        lab.sh(self.name, "ip addr add 192.0.2.1/24 dev eth0")
        lab.sh(self.other, "ip addr add 192.0.2.9/24 dev eth0; ip link set eth0 up")

    def config(self, cidr: str = "203.0.113.1/24", masquerade: bool = False) -> Linux:
        return Linux(namespace=self.lab.prefix, external_cidr=cidr, masquerade=masquerade)

    def call(self, what: str, config: Linux) -> list[str]:
        """`external.<what>(config)` in a process of the machine."""
        command = [sys.executable, "-c", CALL, what, json.dumps(asdict(config))]
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.name}", *command], text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        changes: list[str] = json.loads(done.stdout)
        return changes

    def state(self) -> str:
        return self.lab.sh(
            self.name, "ip -o link; ip -o addr; ip route; nft list ruleset; sysctl -n net.ipv4.ip_forward"
        )


@pytest.fixture
def machine(lab: Lab) -> Machine:
    """With an external network, a router and a workload that has 203.0.113.111, which only lack the way out."""
    for name in ("a", "ext"):
        lab.network(name)
    lab.host("a1", "a", "10.0.0.11/24", via="10.0.0.1")
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
    lab.set(router("r", leg("r", "a", "10.0.0.1/24"), gateway=gate, nats=[floating("203.0.113.111", "10.0.0.11")]))
    return Machine(lab)


def attach(lab: Lab) -> None:
    """What the backend does for a flat network whose physical network is mapped to an interface."""
    assert lab.links.apply([Modify(Link(external.INSIDE, master=names.bridge(uid("ext"))))]) == {}


def test_machine_reaches_a_floating_ip_and_is_reached(lab: Lab, machine: Machine) -> None:
    machine.call("set", machine.config())
    attach(lab)
    assert lab.ping(machine.name, "203.0.113.111").lost == 0
    assert lab.ping(f"{lab.prefix}-a1", "203.0.113.1").lost == 0


def test_twice_changes_nothing(lab: Lab, machine: Machine) -> None:
    assert machine.call("set", machine.config()) != []
    attach(lab)
    before = machine.state()
    flood = lab.flood(machine.name, "203.0.113.111")
    assert machine.call("set", machine.config()) == []
    assert machine.state() == before
    assert flood.stop().lost == 0


def test_nothing_else_of_the_machine_changes(lab: Lab, machine: Machine) -> None:
    before = machine.state()
    machine.call("set", machine.config())
    assert lab.sh(machine.name, "sysctl -n net.ipv4.ip_forward; nft list ruleset").strip() == "0"
    machine.call("remove", machine.config())
    assert machine.state() == before
    assert machine.call("remove", machine.config()) == []


def test_other_address_and_none(lab: Lab, machine: Machine) -> None:
    machine.call("set", machine.config())
    attach(lab)
    machine.call("set", machine.config("203.0.113.2/24,2001:db8:e::1/64"))
    assert lab.ping(f"{lab.prefix}-a1", "203.0.113.2").lost == 0
    addresses = lab.sh(machine.name, "ip -o addr")
    assert "203.0.113.1/24" not in addresses
    assert "2001:db8:e::1/64" in addresses
    machine.call("set", machine.config(""))
    assert "203.0.113" not in lab.sh(machine.name, "ip -o addr; ip -o link")


def test_masquerade_only_when_asked(lab: Lab, machine: Machine) -> None:
    workload = f"{lab.prefix}-a1"
    machine.call("set", machine.config())
    attach(lab)
    assert not lab.reaches(workload, "192.0.2.9")
    machine.call("set", machine.config(masquerade=True))
    seen = lab.talk(machine.other, "192.0.2.9", 80, workload, "192.0.2.9")
    assert seen == "192.0.2.1"
    assert machine.call("set", machine.config(masquerade=True)) == []
    assert machine.call("set", machine.config()) == ["masquerading was removed"]
    assert not lab.reaches(workload, "192.0.2.9")


@pytest.mark.parametrize("end", ["machine", "host", "namespace"])
def test_mended_when_one_end_was_deleted(lab: Lab, machine: Machine, end: str) -> None:
    machine.call("set", machine.config())
    config = machine.config()
    if end == "machine":
        lab.sh(machine.name, f"ip link del {external.link_name(config)}")
    elif end == "host":
        lab.sh(lab.prefix, f"ip link del {external.INSIDE}")
    else:
        lab.sh(lab.prefix, f"ip link set {external.INSIDE} netns {machine.other}")
    assert machine.call("set", config) != []
    attach(lab)
    assert lab.ping(machine.name, "203.0.113.111").lost == 0


def test_bad_address_says_why() -> None:
    with pytest.raises(ValueError, match=r"external_cidr 203\.0\.113\.0/24: that is the network's own address"):
        external.cidrs(Linux(external_cidr="203.0.113.0/24"))
    with pytest.raises(ValueError, match="external_cidr nonsense"):
        external.cidrs(Linux(external_cidr="nonsense"))


def test_mapping() -> None:
    assert external.mapped(Linux()).bridge_mappings == {}
    assert external.mapped(Linux(external_cidr="203.0.113.1/24")).bridge_mappings == {"external": "external"}
    given = Linux(external_cidr="203.0.113.1/24", bridge_mappings={"external": "eth1", "other": "eth2"})
    assert external.mapped(given) == given
