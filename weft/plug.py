"""`weft plug` and `weft unplug`: connect a workload to a port the way a hypervisor does."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from weft.backends.linux import links, names, netns
from weft.backends.linux.links import Create, Delete, Link, Links, Modify
from weft.backends.ovn import offload
from weft.backends.ovn.vsctl import OvsError, Switch
from weft.client import Client, ClientError
from weft.config import Config
from weft.logical.switch import LEAST_MTU

OWNER = "compute:weft"
"""device_owner of ports that `weft plug` connects."""
RESOLVERS = Path("/etc/netns")
"""`ip netns exec` shows a namespace the files below its folder here as /etc."""


class PlugError(RuntimeError):
    """The workload could not be connected; the message is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Plugged:
    """A connected workload, as it is printed."""

    port_id: str
    device: str
    where: str
    mac_address: str
    mtu: int
    addresses: list[str]
    status: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asked for: a namespace `netns` with the device `ifname`, or a tap device `tap`."""

    port: str
    netns: str = ""
    tap: str = ""
    ifname: str = "eth0"
    dhcp: bool = False
    static: bool = False
    timeout: float = 30.0


def plug(config: Config, client: Client, wish: Wish) -> Plugged:
    """Make the device, bind the port to this host, wait until it is ACTIVE, then see to addresses if asked."""
    started = time.monotonic()
    port = client.find("ports", "port", wish.port)
    network = client.get(f"/networks/{port['network_id']}")["network"]
    host_namespace = config.linux.namespace
    if not netns.exists(host_namespace):
        raise PlugError(f"the dataplane's namespace {host_namespace} is not there: `weft up` runs without a dataplane?")
    other = port.get("binding:host_id")
    if other and other != config.api.host and port["status"] == "ACTIVE":
        raise PlugError(f"port {port['id']} is connected on host {other}")
    mtu = max(network["mtu"], LEAST_MTU)
    switch = Switch(config.ovn.ovsdb_connection) if config.api.backend == "ovn" else None
    _make_device(host_namespace, port, mtu, wish, switch)
    if switch:
        _attach(switch, port, wish)
    port = _bind(config, client, port, wish)
    port = _wait_until_active(client, port, wish.timeout)
    if wish.netns and wish.static:
        _configure(client, port, wish)
    if wish.netns and wish.dhcp:
        _lease(wish)
    return Plugged(
        port_id=port["id"],
        device=wish.ifname if wish.netns else wish.tap,
        where=wish.netns or host_namespace,
        mac_address=port["mac_address"],
        mtu=mtu,
        addresses=[fixed["ip_address"] for fixed in port["fixed_ips"]],
        status=port["status"],
        seconds=round(time.monotonic() - started, 3),
    )


def unplug(config: Config, client: Client, name: str) -> str:
    """Take the port's device away and unbind the port; returns its id. A namespace stays, it was the workload's.
    Of a port that was deleted meanwhile the device is still there: its id alone says which."""
    try:
        port = client.find("ports", "port", name)
    except ClientError as error:
        if error.status != 404 or not _is_id(name) or not _take_away(config, name):
            raise
        return name
    if port["device_owner"] != OWNER and port["device_owner"]:
        raise PlugError(f"port {port['id']} belongs to {port['device_owner']}, not to a plugged workload")
    where = port["device_id"].removeprefix("netns:")
    if where != port["device_id"]:
        _stop_dhcp(where)
    _take_away(config, port["id"])
    change = {"binding:host_id": "", "device_id": "", "device_owner": ""}
    client.put(f"/ports/{port['id']}", {"port": change})
    return str(port["id"])


def _is_id(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return str(UUID(name)) == name
    return False


def _take_away(config: Config, port_id: str) -> bool:
    """Remove the port's device, from Open vSwitch too; whether there was one."""
    tap = names.tap(port_id)
    if config.api.backend == "ovn":
        try:
            Switch(config.ovn.ovsdb_connection).unplug([tap])
        except OvsError as error:
            raise PlugError(f"the device could not be taken from Open vSwitch: {error}") from error
    with contextlib.suppress(FileNotFoundError), contextlib.closing(Links(config.linux.namespace)) as connection:
        if connection.get([tap]):
            connection.apply([Delete(tap)])
            return True
    return False


def _make_device(host_namespace: str, port: dict[str, Any], mtu: int, wish: Wish, switch: Switch | None) -> None:
    """A veth whose far end is the workload's, or a tap device, under the name by which the dataplane knows the port; nothing
    if it is there."""
    tap = names.tap(port["id"])
    connection = Links(host_namespace)
    try:
        if tap in connection.get([tap]):
            return
        if switch:
            _forget_device(switch, tap)
        if wish.netns:
            netns.create(wish.netns)
            made = Link(tap, "veth", mtu=mtu, up=True, peer=(wish.netns, wish.ifname), peer_mac=port["mac_address"])
            failed = connection.apply([Create(made)])
        else:
            failed = netns.inside(host_namespace, _make_tap, tap, wish.tap)
            failed = failed or connection.apply([Modify(Link(tap, mtu=mtu, up=True))])
    finally:
        connection.close()
    if failed:
        raise PlugError(f"the device could not be made: {'; '.join(failed.values())}")
    if wish.netns:
        _raise_device(wish, port["mac_address"])


def _forget_device(switch: Switch, tap: str) -> None:
    """The switch may know a device of that name that went. It would open the new one the moment it appears and, by the
    flags that it read before the device was raised, take it down again."""
    try:
        switch.unplug([tap])
    except OvsError as error:
        raise PlugError(f"the device that was there before could not be taken from Open vSwitch: {error}") from error


def _attach(switch: Switch, port: dict[str, Any], wish: Wish) -> None:
    """Make the device a port of OVN's br-int, by the ids that ovn-controller looks for."""
    link = names.tap(port["id"])
    try:
        if wish.netns:
            offload.off(wish.netns, wish.ifname)
        switch.plug({link: {"iface-id": port["id"], "attached-mac": port["mac_address"], "iface-status": "active"}})
    except (OSError, OvsError) as error:
        raise PlugError(f"the device could not be attached to Open vSwitch: {error}") from error


def _raise_device(wish: Wish, mac: str) -> None:
    inner = Links(wish.netns)
    try:
        with contextlib.suppress(FileNotFoundError):  # a link of less than 1280 octets has no IPv6
            netns.set_sysctls(wish.netns, {f"net/ipv6/conf/{wish.ifname}/disable_ipv6": 0})
        failed = inner.apply([Modify(Link(wish.ifname, up=True, mac=mac))])
    finally:
        inner.close()
    if failed:
        raise PlugError(f"the workload's device could not be raised: {'; '.join(failed.values())}")


def _make_tap(tap: str, alias: str) -> dict[str, str]:
    """A persistent tap device, which a hypervisor opens by either name. Runs inside the dataplane's namespace."""
    for command in (
        ["ip", "tuntap", "add", "dev", tap, "mode", "tap"],
        ["ip", "link", "property", "add", "dev", tap, "altname", alias],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return {tap: done.stderr.strip()}
    return {}


def _bind(config: Config, client: Client, port: dict[str, Any], wish: Wish) -> dict[str, Any]:
    device = f"netns:{wish.netns}" if wish.netns else f"tap:{wish.tap}"
    change = {"binding:host_id": config.api.host, "device_id": device, "device_owner": OWNER}
    bound = client.put(f"/ports/{port['id']}", {"port": change})["port"]
    if bound["binding:vif_type"] == "binding_failed":
        raise PlugError(f"port {port['id']} cannot be bound to host {config.api.host}: {bound['status_reason']}")
    return dict(bound)


def _wait_until_active(client: Client, port: dict[str, Any], timeout: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    pause = 0.01
    while port["status"] != "ACTIVE":
        if time.monotonic() > deadline:
            raise PlugError(f"port {port['id']} is {port['status']} after {timeout:.0f} s: {port['status_reason']}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
        port = client.get(f"/ports/{port['id']}")["port"]
    return port


def _configure(client: Client, port: dict[str, Any], wish: Wish) -> None:
    """Give the device the port's addresses and its gateways' routes, as cloud-init does for machines without DHCP."""
    inner = Links(wish.netns)
    try:
        for fixed in port["fixed_ips"]:
            subnet = client.get(f"/subnets/{fixed['subnet_id']}")["subnet"]
            prefix = subnet["cidr"].partition("/")[2]
            inner.change_addresses([links.Address(wish.ifname, f"{fixed['ip_address']}/{prefix}")])
            if subnet["gateway_ip"]:
                anywhere = "::/0" if subnet["ip_version"] == 6 else "0.0.0.0/0"
                inner.change_routes([links.Route(anywhere, subnet["gateway_ip"], wish.ifname)])
    finally:
        inner.close()


# DHCP in the workload's namespace.


def _folder(namespace: str) -> Path:
    return RESOLVERS / namespace


def _lease(wish: Wish) -> None:
    """Run dhclient in the namespace; its resolver goes to /etc/netns/NAME/resolv.conf, where `ip netns exec` looks."""
    program = shutil.which("dhclient") or shutil.which("dhclient", path="/sbin:/usr/sbin")
    if program is None:
        raise PlugError("dhclient is not installed (Debian: isc-dhcp-client)")
    folder = _folder(wish.netns)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resolv.conf").touch()
    run = Path("/run")
    pid, leases = run / f"weft-dhclient-{wish.netns}.pid", run / f"weft-dhclient-{wish.netns}.leases"
    command = ["ip", "netns", "exec", wish.netns, program, "-4", "-1", "-pf", str(pid), "-lf", str(leases), wish.ifname]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=wish.timeout)
    except subprocess.TimeoutExpired as error:
        raise PlugError(f"no DHCP answer within {wish.timeout:.0f} s") from error
    if done.returncode:
        raise PlugError(f"dhclient failed: {done.stderr.strip()[-500:]}")


def _stop_dhcp(namespace: str) -> None:
    pid_file = Path(f"/run/weft-dhclient-{namespace}.pid")
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
        pid = int(pid_file.read_text())
        # numbers of processes are used again: make sure that this one is still the client that we started
        if b"dhclient" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
        pid_file.unlink()
        Path(f"/run/weft-dhclient-{namespace}.leases").unlink(missing_ok=True)
        (_folder(namespace) / "resolv.conf").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            _folder(namespace).rmdir()


__all__ = ["ClientError", "PlugError", "Plugged", "Wish", "plug", "unplug"]
