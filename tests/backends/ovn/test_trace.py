"""Every named state in a real OVN: for each two workloads `ovn-trace` (ovn-trace(8)) judges as the logical model does.

Logical flows say all that is asked here, so no host is needed. Gateways and translated addresses live on hosts, and are the
scenarios' to try.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from ovs.unixctl.client import UnixctlClient

from tests.backends.ovn.verdict import Packet, arrives, way
from tests.ovn_lab import PROGRAMS, Ovn
from tests.states.conftest import Install, install  # noqa: F401 - a fixture
from tests.states.follower import Follower
from tests.states.states import STATES
from tests.states.steps import Site
from tests.waiting import wait_until
from weft.backends.ovn.backend import OvnBackend
from weft.config import Config
from weft.config import Ovn as Options
from weft.logical.model import Acl, Address, HostView, LogicalPort, LogicalSwitch, PortGroup, Segment
from weft.reconcile.cloud import CloudLoader

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ovn-trace")]

STRANGER = {4: "192.0.2.77", 6: "2001:db8:ffff::77"}
"""An address of nobody, that a workload claims to have."""
NEW = ["--ct=new"] * 20_000
"""What connection tracking says, each time that one ovn-trace asks it: the packet is a connection's first."""


class Cloud:
    """Databases and northd without a host, and Weft."""

    def __init__(self, prefix: str) -> None:
        self.ovn = Ovn(prefix, hosts=0)
        remotes = {
            "ovn_nb_connection": (self.ovn.northbound_remote,),
            "ovn_sb_connection": (self.ovn.southbound_remote,),
        }
        self.backend = OvnBackend(Config(ovn=Options(**remotes)))

    def become(self, view: HostView) -> None:
        """Until the logical flows are those of `view`, whatever was there before."""
        assert self.backend.set(view, None).failed == {}
        self.backend.ping()
        (wanted,) = self.ovn.nb.rows("NB_Global", "nb_cfg")

        def done() -> bool:
            return bool(self.ovn.nb.rows("NB_Global", "sb_cfg")[0]["sb_cfg"] >= wanted["nb_cfg"])

        wait_until(done, what="ovn-northd")

    def close(self) -> None:
        self.backend.close()
        self.ovn.close()


class Tracer:
    """An ovn-trace that has read what the Southbound database says now; it reads it once."""

    def __init__(self, remote: str, folder: Path) -> None:
        control = folder / "trace.ctl"
        line = ["ovn-trace", f"--db={remote}", "--no-friendly-names", "--detach", "--no-chdir", f"--unixctl={control}"]
        subprocess.run([*line, *NEW, "-vconsole:off", "-vsyslog:off"], check=True, timeout=30)
        error, self._client = UnixctlClient.create(str(control))
        assert not error

    def reaches(self, source: LogicalPort, target: LogicalPort, mac: str, packet: Packet) -> tuple[bool, str]:
        """Whether the packet goes out at `target`'s port; and all that was said."""
        family = f"ip{packet.version}"
        flow = [f'inport == "{source.id}"', f"eth.src == {source.mac}", f"eth.dst == {mac}", "ip.ttl == 64"]
        flow += [f"{family}.src == {packet.source}", f"{family}.dst == {packet.target}"]
        if packet.protocol == "icmp":
            flow.append(
                "icmp4.type == 8 && icmp4.code == 0" if packet.version == 4 else "icmp6.type == 128 && icmp6.code == 0"
            )
        else:
            flow += [packet.protocol, f"{packet.protocol}.src == 40000", f"{packet.protocol}.dst == {packet.number}"]
        words = [f"neutron-{source.switch}", " && ".join(flow)]
        code, error, said = self._client.transact("trace", words)
        assert not code and not error, (error, words)
        assert "ct_state=est" not in said, "it asked more often than NEW answers"
        return f'/* output to "{target.id}"' in said, f"{flow}\n{said}"

    def close(self) -> None:
        self._client.transact("exit", [])
        self._client.close()


@pytest.fixture(scope="module")
def cloud(prefix: str) -> Iterator[Cloud]:
    made = Cloud(prefix)
    try:
        yield made
    finally:
        made.close()


def guests(view: HostView) -> dict[str, LogicalPort]:
    """A workload more on each switch, without port security: it takes everything, and may claim to be anybody."""
    found = {}
    for number, switch in enumerate(view.switches.values(), start=1):
        cidrs = [(ip_network(one.cidr), one.subnet_id) for one in switch.subnets]
        addresses = tuple(Address(str(cidr[250]), cidr.prefixlen, subnet) for cidr, subnet in cidrs)
        mac = f"fa:16:3e:ff:00:{number:02x}"
        id = f"guest-{switch.id}"
        found[id] = LogicalPort(id, switch.id, mac, name=id, addresses=addresses, port_security=False)
    return found


def claims(view: HostView, source: LogicalPort, version: int) -> set[str]:
    """Addresses to send from: the workload's own, those that it may take, those that rules name, and one of nobody."""
    rules = [rule for group in view.groups.values() for rule in group.acls]
    named = [STRANGER[version], *(one.ip for one in (*source.addresses, *source.pairs))]
    named += [rule.remote_prefix for rule in rules if rule.remote_prefix]
    named += [one for addresses in view.addresses.values() for one in addresses.addresses]
    first = (ip_network(one, strict=False)[0] for one in named)
    return {str(one) for one in first if one.version == version and not one.is_unspecified}


def packets(view: HostView, source: LogicalPort, target: LogicalPort) -> Iterator[Packet]:
    """Of each protocol, and to ports around those that rules name."""
    rules = [rule for group in view.groups.values() for rule in group.acls if rule.protocol not in ("icmp", "1")]
    named = {number for rule in rules for number in (rule.port_min, rule.port_max) if number}
    numbers = sorted({80, *(number + step for number in named for step in (-1, 0, 1))} - {0})
    for far in target.addresses:
        for ip in claims(view, source, far.version):
            yield Packet(ip, far.ip, "icmp")
            for protocol, number in itertools.product(("tcp", "udp"), numbers):
                yield Packet(ip, far.ip, protocol, number)


def asked(view: HostView) -> Iterator[tuple[LogicalPort, LogicalPort, str, Packet]]:
    """For each two workloads what the first may send to the second, and the MAC address that it sends to."""
    for source, target in itertools.permutations(view.ports.values(), 2):
        for packet in packets(view, source, target):
            mac = way(view, source, target, packet)
            if mac is not None:
                yield source, target, mac, packet


@pytest.mark.parametrize("name", [name for name, steps in STATES.items() if steps])
def test_the_verdict_is_the_models(cloud: Cloud, install: Install, name: str) -> None:  # noqa: F811
    site = Site(install(agents=()))
    for step in STATES[name]:
        site.do(step)
    view = Follower(site.api, CloudLoader).view
    view.ports.update(guests(view))
    cloud.become(view)
    wrong: list[tuple[str, str]] = []
    with contextlib.closing(Tracer(cloud.ovn.southbound_remote, cloud.ovn.folder)) as tracer:
        for source, target, mac, packet in asked(view):
            found, said = tracer.reaches(source, target, mac, packet)
            if found != arrives(view, source, target, packet):
                wrong.append((f"{source.name} to {target.name}: {packet}: OVN says {found}", said))
    assert not wrong, "\n".join([*(line for line, _ in wrong), wrong[0][1]])


def test_a_neighbour_of_another_dataplane_is_reached_by_the_physical_network(cloud: Cloud) -> None:
    """Its address counts in groups, its frames are not kept for a device that OVN will never have."""
    segment = Segment("flat", "physnet1", None, "seg")
    view = HostView("", switches={"net": LogicalSwitch("net", "net", "p", 1500, (segment,), ())})
    view.groups["g"] = PortGroup(
        "g", True, (Acl("in", "ingress", "IPv4", remote_group="g"), Acl("out", "egress", "IPv4"))
    )
    for number, name in enumerate(("here", "there"), start=1):
        address = (Address(f"10.0.0.{number}", 24, "sub"),)
        view.ports[name] = LogicalPort(
            name, "net", f"fa:16:3e:00:00:0{number}", addresses=address, groups=("g",), host=name, elsewhere=number == 2
        )
    cloud.become(view)
    here, there = view.ports["here"], view.ports["there"]
    with contextlib.closing(Tracer(cloud.ovn.southbound_remote, cloud.ovn.folder)) as tracer:
        reached, said = tracer.reaches(here, there, there.mac, Packet("10.0.0.1", "10.0.0.2", "icmp"))
        assert not reached and 'output to "provnet-seg"' in said, said
        outside = LogicalPort("provnet-seg", "net", there.mac)
        reached, said = tracer.reaches(outside, here, here.mac, Packet("10.0.0.2", "10.0.0.1", "icmp"))
        assert reached, said
        assert not tracer.reaches(outside, here, here.mac, Packet("10.0.0.3", "10.0.0.1", "icmp"))[0]
