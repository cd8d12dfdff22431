"""The local ports of one host: namespace, veth and port of br-int for each network that has a workload here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from weft.backends.interface import Report
from weft.backends.linux import links, netns, services
from weft.backends.linux.links import Create, Delete, Link, Links, Modify
from weft.backends.linux.nft import NftError
from weft.backends.ovn import localport, offload
from weft.backends.ovn.vsctl import OvsError, Switch
from weft.logical.model import HostView, Key

OURS = "weft-localport"
"""external_ids of the interfaces that we plugged: the network's id."""


@dataclass(frozen=True, slots=True)
class LocalPort:
    """One network's, as this host needs it. `cidrs`: the IPv4 subnets, each reached on link."""

    network_id: str
    mtu: int
    cidrs: frozenset[str]


def render(view: HostView) -> dict[str, LocalPort]:
    """By network id: where a workload is that may ask. Pure."""
    used = {port.switch for port in view.ports.values() if port.enabled}
    return {
        switch.id: LocalPort(
            switch.id, switch.mtu, frozenset(subnet.cidr for subnet in switch.subnets if subnet.ip_version == 4)
        )
        for switch in view.switches.values()
        if switch.id in used and switch.enabled and switch.subnets
    }


def _ids(network_id: str) -> dict[str, str]:
    """By which ovn-controller and we know the interface."""
    return {"iface-id": localport.name(network_id), OURS: network_id}


class LocalPorts:
    """Those of one host. `namespace`: where its switch runs. One call at a time."""

    def __init__(self, namespace: str, connection: str) -> None:
        self._host, self._switch = namespace, Switch(connection)
        self._made: dict[str, LocalPort] = {}

    def set(self, view: HostView, full: bool) -> Report:
        """Make those that are wanted, take away ours that are not. `full`: look at every one, and at everything that is
        ours, whatever this process remembers."""
        report = Report()
        wanted = render(view)
        if not full and wanted == self._made:
            return report
        known = frozenset(self._made)
        host = Links(self._host)
        try:
            plugged = self._switch.marked(OURS)
            self._remove(host, wanted, plugged)
            loose = [id for id in wanted if localport.link(id) not in plugged]
            self._forget(set(plugged) - set(host.get(list(plugged))), plugged)
            for port in wanted.values():
                if full or self._made.get(port.network_id) != port:
                    self._make(host, port, plugged, report)
            report.drift += [f"the local port of network {id} was not plugged" for id in loose if id in known]
            missing = [id for id in wanted if id in self._made and localport.link(id) not in plugged]
            self._switch.plug({localport.link(id): _ids(id) for id in missing})
        except OvsError as fault:
            report.failed |= {Key("switch", id): f"Open vSwitch: {fault}" for id in wanted}
            self._made.clear()
        finally:
            host.close()
        return report

    def _remove(self, host: Links, wanted: Mapping[str, LocalPort], plugged: dict[str, str]) -> None:
        """Take away what is ours and nobody needs."""
        unwanted = [link for link, id in plugged.items() if id not in wanted]
        self._forget(unwanted, plugged)
        host.apply([Delete(link) for link in unwanted])
        prefix = localport.namespaces(self._host)
        for name in netns.names():
            if name.startswith(prefix) and name.removeprefix(prefix) not in wanted:
                netns.delete(name)
        self._made = {id: port for id, port in self._made.items() if id in wanted}

    def _forget(self, links: Collection[str], plugged: dict[str, str]) -> None:
        """Have the switch know these devices no longer, which are gone or about to go, so that it does not open the next of
        their names by itself: by the flags that it read before the device was raised it would take it down again."""
        self._switch.unplug(links)
        for link in links:
            del plugged[link]

    def _make(self, host: Links, port: LocalPort, plugged: dict[str, str], report: Report) -> None:
        id = port.network_id
        namespace = localport.namespace(id, self._host)
        try:
            changed = netns.create(namespace, services.SYSCTLS)
            inside = Links(namespace)
            try:
                changed |= self._connect(host, inside, port, plugged, namespace)
                changed |= services.address(inside, port.cidrs, port.mtu)
            finally:
                inside.close()
            offload.off(namespace, services.INSIDE)
            services.hold_to_services(namespace)
        except (OSError, NftError, services.Failed) as fault:
            self._made.pop(id, None)
            report.failed[Key("switch", id)] = f"local port: {fault}"
            return
        if changed and self._made.get(id) == port:
            report.drift.append(f"the local port of network {id} was not as made")
        self._made[id] = port

    def _connect(self, host: Links, inside: Links, port: LocalPort, plugged: dict[str, str], namespace: str) -> bool:
        """The veth between the switch and the namespace; whether anything had to be done."""
        name = localport.link(port.network_id)
        mac = localport.mac(port.network_id)
        here, there = host.get([name]), inside.get([services.INSIDE])
        changes: list[links.Change] = []
        if name in here and services.INSIDE not in there:
            changes.append(Delete(name))
            here = {}
        if name not in here:
            self._forget({name} & set(plugged), plugged)
            inside.apply([Delete(services.INSIDE)])
            made = Link(name, "veth", port.mtu, True, peer=(namespace, services.INSIDE), peer_mac=mac)
            changes.append(Create(made))
        elif (here[name].mtu, here[name].up) != (port.mtu, True):
            changes.append(Modify(Link(name, mtu=port.mtu, up=True)))
        services.check(host.apply(changes))
        inner = links.diff(inside.get([services.INSIDE]), [Link(services.INSIDE, mtu=port.mtu, up=True, mac=mac)])
        services.check(inside.apply(inner))
        return bool(changes or inner)
