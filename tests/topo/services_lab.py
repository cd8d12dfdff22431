"""A host namespace with bridges, workloads and the responder, and the clients that real workloads run."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from tests.waiting import wait_until
from weft.backends.linux import names, netns
from weft.backends.linux.links import Create, Delete, Link, Links
from weft.backends.linux.nameserver import Resolver
from weft.backends.linux.responder import Responder
from weft.backends.linux.routers import Routers
from weft.config import Api, Config, Nova
from weft.logical.model import (
    Address,
    DhcpOptions,
    HostView,
    LogicalPort,
    LogicalRouter,
    LogicalSwitch,
    RouterPort,
)

_serial = itertools.count(1)

SCRIPT = r"""#!/bin/sh
# What dhclient calls: say what was heard, and configure the interface by it.
{ echo "reason=$reason"; env | grep '^new_' | sort; echo; } >> "$EVENTS"
case $reason in
PREINIT) ip link set dev "$interface" up ;;
PREINIT6) ip link set dev "$interface" up ;;
BOUND|REBOOT)
    ip link set dev "$interface" mtu "$new_interface_mtu"
    ip -4 addr flush dev "$interface"
    ip -4 addr add "$new_ip_address/$new_subnet_mask" dev "$interface"
    set -- $new_rfc3442_classless_static_routes
    while [ $# -gt 0 ]; do
        bits=$1; shift; octets=$(( (bits + 7) / 8 )); net=
        for i in 1 2 3 4; do
            if [ $i -le $octets ]; then net=$net.$1; shift; else net=$net.0; fi
        done
        gateway=$1.$2.$3.$4; shift 4
        if [ $gateway = 0.0.0.0 ]; then ip route replace "${net#.}/$bits" dev "$interface"
        else ip route replace "${net#.}/$bits" via $gateway dev "$interface"; fi
    done ;;
BOUND6|REBIND6) ip -6 addr add "$new_ip6_address/64" dev "$interface" nodad ;;
EXPIRE|FAIL|STOP|RELEASE) ip addr flush dev "$interface" scope global ;;
esac
exit 0
"""

CONF = """\
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search, host-name,
  interface-mtu, rfc3442-classless-static-routes, ntp-servers, dhcp6.name-servers, dhcp6.domain-search;
initial-interval 1; retry 5;
"""


def uid(name: str) -> str:
    """The same UUID for the same name."""
    return str(uuid5(NAMESPACE_OID, name))


def mac(name: str) -> str:
    return "fa:16:3e:" + uuid5(NAMESPACE_OID, name).bytes[:3].hex(":")


def subnet(name: str, cidr: str, gateway: str | None = None, **changes: Any) -> DhcpOptions:
    own = DhcpOptions(uid(name), 6 if ":" in cidr else 4, cidr, gateway, True)
    return replace(own, **changes)


def leg(router: str, switch: LogicalSwitch, *addresses: tuple[DhcpOptions, str]) -> RouterPort:
    name = f"{router}/{switch.name}"
    own = tuple(Address(ip, int(on.cidr.partition("/")[2]), on.subnet_id) for on, ip in addresses)
    return RouterPort(uid(name), switch.id, mac(name), switch.mtu, own)


@dataclass
class Lab:
    """Everything below one prefix; `close` removes it. `view` is what the responder is told."""

    prefix: str
    api: Api = field(default_factory=lambda: Api(host="here"))
    nova: Nova = field(default_factory=Nova)
    resolvers: tuple[Resolver, ...] = ()

    def __post_init__(self) -> None:
        self.prefix = f"{self.prefix}s{next(_serial)}"
        self.view = HostView(self.prefix)
        self.said = ""  # by the last program that had something to say
        self.config = Config(api=self.api, nova=self.nova)
        netns.create(self.prefix, netns.HOST_SYSCTLS)
        self.links = Links(self.prefix)
        self.responder = Responder(self.config, self.prefix, self.resolvers)
        self.routers = Routers(self.prefix)
        self.folder = Path(tempfile.mkdtemp(prefix=self.prefix))
        (self.folder / "script").write_text(SCRIPT)
        (self.folder / "script").chmod(0o755)

    def close(self) -> None:
        for file in self.folder.glob("*.pid"):
            subprocess.run(["kill", file.read_text().strip()], check=False, capture_output=True)
        self.responder.close()
        self.routers.close()
        self.links.apply([Delete(link.name) for link in self.links.dump().values() if link.name != "lo"])
        self.links.close()
        for name in netns.names():
            if name == self.prefix or name.startswith(f"{self.prefix}-"):
                netns.delete(name)
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)

    # the network

    def switch(self, name: str, *subnets: DhcpOptions, mtu: int = 1450) -> LogicalSwitch:
        """A network with its bridge; again, with other subnets, to change it."""
        made = LogicalSwitch(uid(name), name, uid(f"project of {name}"), mtu, (), subnets)
        if made.id not in self.view.switches:
            failed = self.links.apply([Create(Link(names.bridge(made.id), kind="bridge", mtu=mtu, up=True))])
            assert not failed, failed
        self.view.switches[made.id] = made
        return made

    def port(
        self, name: str, switch: LogicalSwitch, *addresses: tuple[DhcpOptions, str], **changes: Any
    ) -> LogicalPort:
        """A port and its workload: namespace `self.at(name)` with eth0 up, no address yet, RAs not listened to."""
        own = tuple(Address(ip, int(on.cidr.partition("/")[2]), on.subnet_id) for on, ip in addresses)
        made = LogicalPort(
            uid(name),
            switch.id,
            mac(name),
            name,
            switch.project_id,
            own,
            uid(f"instance of {name}"),
            "compute:nova",
            self.prefix,
            dns=tuple((address.ip, name, f"{name}.example.org.") for address in own),
        )
        made = replace(made, **changes)
        self.view.ports[made.id] = made
        self.plug(made)
        return made

    def plug(self, port: LogicalPort) -> None:
        """The workload's link, as a hypervisor would make it."""
        netns.create(self.at(port.name), {"net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/default/accept_ra": 0})
        bridge = names.bridge(port.switch)
        peer = (self.at(port.name), "eth0")
        tap = Link(names.tap(port.id), "veth", 1450, True, master=bridge, peer=peer, peer_mac=port.mac)
        failed = self.links.apply([Create(tap)])
        assert not failed, failed
        self.sh(port.name, "ip link set lo up; ip link set eth0 up")

    def unplug(self, port: LogicalPort) -> None:
        self.links.apply([Delete(names.tap(port.id))])

    def router(self, name: str, *legs: RouterPort) -> LogicalRouter:
        made = LogicalRouter(uid(name), name, ports=legs)
        self.view.routers[made.id] = made
        return made

    def set(self, **arguments: Any) -> None:
        """Let routers and responder be as the view says; nothing may fail."""
        assert self.routers.set(self.view, None).failed == {}
        assert self.responder.update(self.view, **arguments).failed == {}

    def at(self, name: str) -> str:
        """The namespace of the workload of that name."""
        return f"{self.prefix}-{name}"

    # what runs in workloads

    def sh(self, name: str, command: str, check: bool = True, timeout: float = 60) -> str:
        """Run a command line in a workload; its output."""
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.at(name)}", "sh", "-c", command],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            env={**os.environ, "EVENTS": str(self.events_file(name))},
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def events_file(self, name: str) -> Path:
        return self.folder / f"{name}.events"

    def dhclient(self, name: str, *options: str, timeout: int = 15) -> dict[str, str]:
        """Run ISC's client once; what its script was told at the end. The client goes on in the background."""
        (self.folder / "conf").write_text(f"{CONF}timeout {timeout};\n")
        version = "6" if "-6" in options else "4"
        files = f"-sf {self.folder}/script -cf {self.folder}/conf -e EVENTS={self.events_file(name)}"
        own = f"-lf {self.folder}/{name}.{version}.leases -pf {self.folder}/{name}.{version}.pid"
        self.said = self.sh(name, f"dhclient -1 -v {files} {own} {' '.join(options)} eth0", check=False)
        if self.events(name)[-1]["reason"] not in ("FAIL", "PREINIT", "PREINIT6"):
            # written by the child after its parent has gone; whoever ends it needs it
            file = self.folder / f"{name}.{version}.pid"
            wait_until(lambda: file.exists() and file.read_text().strip())
        return self.events(name)[-1]

    def stop_dhclient(self, name: str, version: int = 4) -> None:
        """As a crash: the lease stays in its file and nobody is told."""
        file = self.folder / f"{name}.{version}.pid"
        subprocess.run(["kill", "-9", file.read_text().strip()], check=True)
        file.unlink()

    def events(self, name: str) -> list[dict[str, str]]:
        """What dhclient's script was told so far."""
        blocks = self.events_file(name).read_text().strip().split("\n\n")
        return [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]

    def addresses(self, name: str) -> dict[str, dict[str, Any]]:
        """Global addresses of eth0 with what the kernel says of them."""
        (link,) = json.loads(self.sh(name, "ip -j addr show dev eth0"))
        return {one["local"]: one for one in link["addr_info"] if one["scope"] == "global"}

    def configure(self, port: LogicalPort) -> None:
        """Give the workload its IPv4 address and the way to the services, without DHCP."""
        address = next(address for address in port.addresses if address.version == 4)
        self.sh(port.name, f"ip addr add {address.ip}/{address.prefixlen} dev eth0")
        self.sh(port.name, "ip route add 169.254.169.254/32 dev eth0")

    def curl(self, name: str, url: str, *options: str) -> tuple[int, str]:
        """(status, body); status 0 when there was no answer."""
        line = ["curl", "-s", "-m", "10", "-w", r"\n%{http_code}", *options, url]
        body, _, status = self.sh(name, shlex.join(line), check=False).rpartition("\n")
        return int(status), body

    def dig(self, name: str, *question: str) -> list[str]:
        """Lines of the short answer of a question to the network's name server."""
        output = self.sh(name, f"dig @169.254.169.254 +short +tries=1 +time=5 {' '.join(question)}", check=False)
        return output.split()
