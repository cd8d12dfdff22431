"""OVN for tests: its databases, northd and hosts with the userspace datapath, all in network namespaces of their own.

Control goes by unix sockets, which no namespace bounds; only tunnels and provider networks use the underlay. Every process
is a child that the kernel kills when the tests end, however they end, so no pid of somebody else's is ever signalled.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.ovn_db import Database, Refused, mapped
from tests.waiting import wait_until
from weft.backends.linux import netns
from weft.backends.linux.links import Address, Create, Delete, Link, Links, Modify
from weft.backends.ovn import offload

PROGRAMS = (
    "ovn-nbctl",
    "ovn-northd",
    "ovn-controller",
    "ovs-vsctl",
    "ovs-vswitchd",
    "ovsdb-server",
    "setpriv",
    "nsenter",
)
UNDERLAY_MTU = 9100
"""Room for Geneve's 58 octets around jumbo packets: what does not fit is lost without a word."""
PHYSICAL_NETWORK = "physnet1"

_SCHEMAS = {
    "nb": "/usr/share/ovn/ovn-nb.ovsschema",
    "sb": "/usr/share/ovn/ovn-sb.ovsschema",
    "ovs": "/usr/share/openvswitch/vswitch.ovsschema",
}
_DATABASES = {"nb": "OVN_Northbound", "sb": "OVN_Southbound"}
_NB_ROOTS = [
    "Logical_Switch",
    "Logical_Router",
    "Port_Group",
    "Address_Set",
    "DHCP_Options",
    "HA_Chassis_Group",
    "Load_Balancer",
    "Load_Balancer_Group",
    "Meter",
    "DNS",
    "Copp",
    "BFD",
    "Mirror",
    "Static_MAC_Binding",
]
_serial = itertools.count(1)


@dataclass
class Programs:
    """Processes below one folder and namespace, by name."""

    folder: Path
    namespace: str
    environment: Mapping[str, str] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> None:
        """Start a program; it ends with this process at the latest."""
        line = ["nsenter", f"--net=/run/netns/{self.namespace}", "setpriv", "--pdeathsig", "KILL", name, *arguments]
        line += ["-vconsole:off", "-vsyslog:off", f"--log-file={self.folder / name}.log"]
        self._running[arguments[-1] if name == "ovsdb-server" else name] = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )  # fmt: skip

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def alive(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send the signal and wait for the end."""
        process = self._running.pop(name)
        process.send_signal(number)
        process.wait(10)

    def wait(self, name: str) -> None:
        """Until it has ended as it was asked to."""
        self._running.pop(name).wait(10)

    def kill_all(self) -> None:
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait(10)
        self._running.clear()

    def dead(self) -> list[str]:
        """Those that ended without being told to: name, exit status (or minus the signal), and their last words."""
        ended = ((name, process.poll()) for name, process in self._running.items())
        return [f"{name} ({status}): {self._last_words(name)}" for name, status in ended if status is not None]

    def _last_words(self, name: str) -> str:
        log = self.folder / f"{name if '/' not in name else 'ovsdb-server'}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else "no log"


class Chassis:
    """A host: Open vSwitch and ovn-controller in a namespace. `ul0` leads to the other hosts, `px0` to the provider."""

    def __init__(self, lab: Ovn, number: int) -> None:
        self.lab, self.number = lab, number
        self.host = f"h{number}"
        self.id = f"chassis-{self.host}"
        self.namespace = f"{lab.name}-{self.host}"
        self.folder = lab.folder / self.host
        self.folder.mkdir()
        folders = {
            f"{who}_{what}DIR": str(self.folder) for who in ("OVS", "OVN") for what in ("RUN", "DB", "LOG", "SYSCONF")
        }
        self.programs = Programs(self.folder, self.namespace, folders)
        self.socket = self.folder / "db.sock"
        self.database = Database("Open_vSwitch", self.socket)
        self.ip = f"198.18.{lab.subnet}.{10 + number}"
        self.links: Links | None = None

    @property
    def mac(self) -> str:
        return f"02:00:c6:12:00:{10 + self.number:02x}"

    def make(self) -> None:
        """Its namespace, and wires into the underlay and the provider's network."""
        netns.create(self.namespace, {"net/ipv6/conf/default/disable_ipv6": 1})
        wires = [
            Link(f"{self.host}-{nic}", "veth", UNDERLAY_MTU, True, master=bridge, peer=(self.namespace, nic))
            for nic, bridge in (("ul0", "underlay"), ("px0", "provider"))
        ]
        assert self.lab.links.apply([Create(wire) for wire in wires]) == {}
        self.links = Links(self.namespace)
        ups = [Modify(Link(nic, up=True, mtu=UNDERLAY_MTU)) for nic in ("ul0", "px0")]
        assert self.links.apply(ups) == {}
        create_database(self.folder / "conf.db", "ovs")

    def start_database(self) -> None:
        self.programs.start("ovsdb-server", f"--remote=punix:{self.socket}", "--unixctl", str(self.folder / "ovsdb.ctl"),
                            str(self.folder / "conf.db"))  # fmt: skip

    def configure(self, **more: str) -> None:
        """What a host is told once; `more` are external ids of the Open_vSwitch row."""
        wait_until(lambda: answers(self.database, "Open_vSwitch"), what=f"ovsdb-server of {self.host}")
        ids = {
            "system-id": self.id,
            "hostname": self.host,
            "ovn-remote": self.lab.southbound_remote,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": self.ip,
            "ovn-bridge-datapath-type": "netdev",
            "ovn-bridge-mappings": f"{PHYSICAL_NETWORK}:br-ex",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        line = ["init", "--", "set", "open", ".", *(f'external_ids:{name}="{value}"' for name, value in ids.items())]
        for bridge, port in (("br-phy", "ul0"), ("br-ex", "px0"), ("br-int", "")):
            mode = "secure" if bridge == "br-int" else "standalone"
            line += ["--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", f"fail_mode={mode}"]
            line += ["--", "add-port", bridge, port] if port else []
        line += ["--", "set", "bridge", "br-phy", f'other_config:hwaddr="{self.mac}"']
        self.vsctl("--no-wait", *line)

    def identify(self, **ids: str) -> None:
        """Change external ids of the Open_vSwitch row ("ovn-cms-options" as ovn_cms_options)."""
        self.vsctl(
            "set", "open", ".", *(f'external_ids:{name.replace("_", "-")}="{value}"' for name, value in ids.items())
        )

    def start_switch(self) -> None:
        self.programs.start("ovs-vswitchd", "--disable-system", "--unixctl", str(self.folder / "vswitchd.ctl"),
                            f"unix:{self.socket}")  # fmt: skip

    def join_underlay(self) -> None:
        """Give br-phy the tunnel address, as soon as it is there."""
        assert self.links is not None
        links = self.links
        wait_until(lambda: {"br-phy", "br-ex"} <= set(links.dump()), what=f"bridges of {self.host}")
        offload.off(self.namespace, "br-phy")
        assert links.apply([Modify(Link("br-phy", up=True, mtu=UNDERLAY_MTU)), Modify(Link("br-ex", up=True))]) == {}
        assert links.change_addresses([Address("br-phy", f"{self.ip}/24")]) == {}

    def start_controller(self) -> None:
        self.programs.start("ovn-controller", f"unix:{self.socket}")

    def know(self, others: Iterable[Chassis]) -> None:
        """Tell the switch the others' MAC addresses: else the first packet to each is lost in the underlay's ARP, or all of
        them, as long as the flow of earlier answers stays in the datapath, where the switch does not see the new one. It
        forgets those that it has not used for a quarter of an hour."""
        for other in others:
            self.appctl("tnl/neigh/set", "br-phy", other.ip, other.mac)

    def restart_switch(self) -> None:
        self.start_switch()
        self.join_underlay()
        self.know(one for one in self.lab.chassis.values() if one is not self)

    def vsctl(self, *arguments: str) -> str:
        return run("ovs-vsctl", f"--db=unix:{self.socket}", "--timeout=20", *arguments)

    def appctl(self, *arguments: str) -> str:
        """Ask ovs-vswitchd."""
        wait_until((self.folder / "vswitchd.ctl").exists, what=f"ovs-vswitchd of {self.host}")
        return run("ovs-appctl", "-t", str(self.folder / "vswitchd.ctl"), *arguments)

    def flows(self) -> str:
        return run("ovs-ofctl", "dump-flows", f"unix:{self.folder}/br-int.mgmt")

    def plug(self, ports: Mapping[str, tuple[str, str]]) -> None:
        """What a hypervisor does: links of this namespace (name -> (port id, MAC)) become ports of br-int."""
        line: list[str] = []
        for link, (port, mac) in ports.items():
            offload.off(self.namespace, link)
            ids = {"iface-id": port, "attached-mac": mac, "iface-status": "active"}
            line += ["--", "--may-exist", "add-port", "br-int", link, "--", "set", "interface", link]
            line += [f'external_ids:{name}="{value}"' for name, value in ids.items()]
        self.vsctl(*line[1:])

    def unplug(self, *links: str) -> None:
        wait = [] if self.programs.alive("ovs-vswitchd") else ["--no-wait"]
        self.vsctl(*wait, *[word for link in links for word in ("--", "--if-exists", "del-port", "br-int", link)][1:])

    def leave(self) -> None:
        """As an operator takes a host away: ovn-controller is told to stop for good and deletes its chassis."""
        pid = self.programs.pid("ovn-controller")
        run("ovn-appctl", "-t", str(self.folder / f"ovn-controller.{pid}.ctl"), "exit")
        self.programs.wait("ovn-controller")

    def close(self) -> None:
        self.programs.kill_all()
        if self.links is not None:
            self.links.close()
        netns.delete(self.namespace)


class Ovn:
    """A cloud: `nb` and `sb`, northd, and `chassis` by host name (h1, h2, ...)."""

    def __init__(self, prefix: str, hosts: int = 1, servers: int = 1) -> None:
        """`servers`: of each database; several are a cluster (RAFT)."""
        serial = next(_serial)
        self.name = f"{prefix}o{serial}"
        self.subnet = serial % 200
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.underlay = f"{self.name}-net"
        self.chassis: dict[str, Chassis] = {}
        self.links: Links
        environment = {"OVS_RUNDIR": str(self.folder), "OVN_RUNDIR": str(self.folder)}
        self.programs = Programs(self.folder, self.underlay, environment)
        self.servers = {
            kind: [kind] if servers == 1 else [f"{kind}{n}" for n in range(servers)] for kind in ("nb", "sb")
        }
        self.nb = Database(_DATABASES["nb"], *(self.folder / f"{one}.sock" for one in self.servers["nb"]))
        self.sb = Database(_DATABASES["sb"], *(self.folder / f"{one}.sock" for one in self.servers["sb"]))
        try:
            self._make()
            self.join(*range(1, hosts + 1))
        except BaseException:
            self.close()
            raise

    @property
    def northbound_remote(self) -> str:
        return ",".join(f"unix:{self.folder / one}.sock" for one in self.servers["nb"])

    @property
    def southbound_remote(self) -> str:
        return ",".join(f"unix:{self.folder / one}.sock" for one in self.servers["sb"])

    def _make(self) -> None:
        netns.create(self.underlay, {"net/ipv6/conf/default/disable_ipv6": 1})
        self.links = Links(self.underlay)
        bridges = [Link(name, "bridge", UNDERLAY_MTU, True) for name in ("underlay", "provider")]
        assert self.links.apply([Create(bridge) for bridge in bridges]) == {}
        for kind, names in self.servers.items():
            self._create(kind, names)
            for name in names:
                self.start_database(name)
        for name in (*self.servers["nb"], *self.servers["sb"]):
            wait_until((self.folder / f"{name}.sock").exists, what=f"the server {name}")
        wait_until(lambda: answers(self.nb, "NB_Global") and answers(self.sb, "SB_Global"))
        for kind, names in self.servers.items():
            for name in names if len(names) > 1 else ():
                wait_until(lambda kind=kind, name=name: self._joined(kind, name), 30, f"{name} a member of its cluster")
        self.nb.transact({"op": "insert", "table": "NB_Global", "row": {}})
        self.sb.transact({"op": "insert", "table": "SB_Global", "row": {}})
        self.start_northd()

    def _create(self, kind: str, names: Sequence[str]) -> None:
        if len(names) == 1:
            create_database(self.folder / f"{kind}.db", kind)
            return
        raft = [f"unix:{self.folder / name}.raft" for name in names]
        first, *others = [str(self.folder / f"{name}.db") for name in names]
        run("ovsdb-tool", "create-cluster", first, _SCHEMAS[kind], raft[0])
        for path, own in zip(others, raft[1:], strict=True):
            run("ovsdb-tool", "join-cluster", path, _DATABASES[kind], own, raft[0])

    def answers(self, kind: str) -> bool:
        """Whether one of the servers of `nb` or `sb` does."""
        return answers(self.nb, "NB_Global") if kind == "nb" else answers(self.sb, "SB_Global")

    def _joined(self, kind: str, name: str) -> bool:
        """Whether the server counts: before that, the first one is the whole cluster, and whoever kills it has killed all."""
        return "Status: cluster member" in self._said(kind, name)

    def _said(self, kind: str, name: str) -> str:
        """What a server of a cluster says of it."""
        return run("ovs-appctl", "-t", f"{self.folder}/{name}.ctl", "cluster/status", _DATABASES[kind])

    def leader(self, kind: str) -> str:
        """Which server of the cluster leads."""
        for name in self.servers[kind]:
            if self.programs.alive(f"{self.folder}/{name}.db") and "Role: leader" in self._said(kind, name):
                return name
        raise AssertionError(f"nobody leads {kind}")

    def start_database(self, name: str) -> None:
        """A server: `nb` or `sb`, or a cluster's `nb0`, `nb1` ..."""
        self.programs.start("ovsdb-server", f"--remote=punix:{self.folder}/{name}.sock", "--unixctl",
                            f"{self.folder}/{name}.ctl", f"{self.folder}/{name}.db")  # fmt: skip

    def stop_database(self, name: str) -> None:
        self.programs.kill(f"{self.folder}/{name}.db")
        (self.folder / f"{name}.sock").unlink(missing_ok=True)

    def start_northd(self) -> None:
        self.programs.start("ovn-northd", f"--ovnnb-db={self.northbound_remote}", f"--ovnsb-db={self.southbound_remote}",
                            "--unixctl", f"{self.folder}/northd.ctl")  # fmt: skip

    def join(self, *numbers: int, **more: str) -> None:
        """Hosts come; `more` are external ids of theirs. Returns when all are chassis."""
        new = [Chassis(self, number) for number in numbers]
        for one in new:
            self.chassis[one.host] = one
            one.make()
            one.start_database()
        for one in new:
            one.configure(**more)
            one.start_switch()
        for one in new:
            one.join_underlay()
            one.start_controller()
        self._introduce()
        wanted = {one.id for one in new}
        wait_until(lambda: wanted <= {row["name"] for row in self.sb.rows("Chassis", "name")}, what="chassis")

    def _introduce(self) -> None:
        for one in self.chassis.values():
            one.know(other for other in self.chassis.values() if other is not one)

    def leave(self, host: str) -> None:
        """A host goes for good."""
        one = self.chassis.pop(host)
        one.leave()
        one.close()

    def sync(self, seconds: float = 10) -> None:
        """Until what the Northbound database says is in the flow tables of every host that lives, and switches do it."""
        result = self.nb.transact(
            {"op": "mutate", "table": "NB_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]},
            {"op": "select", "table": "NB_Global", "where": [], "columns": ["nb_cfg"]},
        )
        number = result[1]["rows"][0]["nb_cfg"]
        living = {one.id for one in self.chassis.values() if one.programs.alive("ovn-controller")}

        def done() -> bool:
            rows = self.sb.rows("Chassis_Private", "name", "nb_cfg")
            return living <= {row["name"] for row in rows if row["nb_cfg"] >= number}

        wait_until(done, seconds, f"nb_cfg {number} on {sorted(living)}: {self.sb.rows('Chassis_Private')}")
        self.refresh()

    def bound(self) -> dict[str, str]:
        """Logical port -> the host that has it, of those that are up."""
        hosts = {row["_uuid"]: row["hostname"] for row in self.sb.rows("Chassis", "_uuid", "hostname")}
        rows = self.sb.rows("Port_Binding", "logical_port", "chassis", "up")
        return {
            row["logical_port"]: hosts.get(row["chassis"], "") for row in rows if row["chassis"] and row["up"] is True
        }

    def refresh(self) -> None:
        """What the switches have made of the flow tables for packets that they saw is made anew.

        Of flows that overlap, the userspace datapath of Open vSwitch 3.1.0 may change another one than that which it was told
        to (mended in 3.1.3: "dpif-netdev: Fix dpif_netdev_flow_put"); it does the old thing as long as packets come then.
        """
        for one in self.chassis.values():
            if one.programs.alive("ovs-vswitchd"):
                one.appctl("revalidator/purge")

    def settle_bfd(self) -> None:
        """Until every host has heard all others that it watches, because gateways live there: until then it sends them
        nothing."""
        what = "BFD between hosts"
        try:
            wait_until(lambda: not self._unheard(), 5, what)
        except AssertionError:
            warnings.warn(f"{what}: made anew, for it did not happen: {self._bfd()}", stacklevel=2)
            self.refresh()
            try:
                wait_until(lambda: not self._unheard(), what=what)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self._bfd()}") from None

    def _unheard(self) -> bool:
        """Whether one host waits for another's BFD."""
        return any(
            row["bfd"].get("enable") == "true" and row["bfd_status"].get("state") != "up"
            for one in self.chassis.values()
            for row in one.database.rows("Interface", "bfd", "bfd_status")
        )

    def _bfd(self) -> str:
        """What those who watch each other say of it, for whoever reads of a test that failed."""
        if broken := self.broken():
            return "\n".join(broken)
        said = [f"watched by, of gateways: {self.sb.rows('HA_Chassis_Group', 'name', 'ha_chassis', 'ref_chassis')}"]
        said += [f"chassis: {self.sb.rows('Chassis', '_uuid', 'name')}"]
        for one in self.chassis.values():
            tunnels = one.database.rows("Interface", "name", "options", "bfd", "bfd_status", type="geneve")
            said += [f"{one.host}: {tunnel}" for tunnel in tunnels]
            for words in (("bfd/show",), ("tnl/neigh/show",), ("ovs/route/show",), ("dpctl/dump-flows", "-m")):
                said.append(f"{one.host} {words[0]}:\n{one.appctl(*words)}")
        return "\n".join(said)

    def outsider(self, name: str, *cidrs: str, tag: int = 0) -> str:
        """A machine on the provider's network, known to nobody; its namespace has eth0. With `tag` in that VLAN."""
        namespace = f"{self.name}-{name}"
        netns.create(namespace, {"net/ipv6/conf/default/accept_dad": 0})
        wire = Link(f"x-{name}"[:15], "veth", 1500, True, master="provider", peer=(namespace, "eth0"))
        assert self.links.apply([Create(wire)]) == {}
        with contextlib.closing(Links(namespace)) as links:
            assert links.apply([Modify(Link("eth0", up=True))]) == {}
            assert links.change_addresses(Address("eth0", cidr) for cidr in cidrs) == {}
        offload.off(namespace, "eth0")
        return namespace

    def clear(self) -> None:
        """Nothing logical is left: as if it had just been started, but for the hosts."""
        self._introduce()
        self.nb.clear(*(table for table in _NB_ROOTS if table != "HA_Chassis_Group"))
        self.nb.clear("HA_Chassis_Group")  # once nothing refers to it
        self.nb.update("NB_Global", {"options": mapped({}), "external_ids": mapped({})})
        for one in self.chassis.values():
            found = one.database.rows("Interface", "name", "external_ids")
            plugged = [row["name"] for row in found if "iface-id" in row["external_ids"]]
            if plugged:
                one.unplug(*plugged)
        self.sync()
        wait_until(lambda: not self.sb.rows("Port_Binding", "logical_port"), what="empty Southbound database")

    def broken(self) -> list[str]:
        """Programs that ended by themselves."""
        found = [f"central: {name}" for name in self.programs.dead()]
        return found + [f"{one.host}: {name}" for one in self.chassis.values() for name in one.programs.dead()]

    def close(self) -> None:
        """Everything of it is gone."""
        for one in self.chassis.values():
            one.close()
        self.programs.kill_all()
        if hasattr(self, "links"):
            self.links.apply([Delete(name) for name in self.links.dump() if name != "lo"])
            self.links.close()
        for name in netns.names():
            if name.startswith(f"{self.name}-"):
                netns.delete(name)
        shutil.rmtree(self.folder, ignore_errors=True)


def answers(database: Database, table: str) -> bool:
    """Whether its server does. Its socket is there a moment before anybody listens."""
    try:
        database.rows(table)
    except (Refused, OSError):
        return False
    return True


def create_database(path: Path, schema: str) -> None:
    run("ovsdb-tool", "create", str(path), _SCHEMAS[schema])


def run(*line: str) -> str:
    """A command's output; its complaint as an AssertionError."""
    done = subprocess.run(line, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    assert done.returncode == 0, f"{' '.join(line)}: {done.stdout}"
    return done.stdout


def version() -> tuple[int, ...]:
    """Of OVN, as (23, 3, 1)."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", run("ovn-nbctl", "--version"))
    assert found
    return tuple(map(int, found.groups()))
