"""The machine's own way to the external network: a veth from where Weft was started into the host namespace.

With it a floating IP can be tried from the machine itself. The machine's other links, addresses, routes and firewall
stay as they are; only `masquerade` also turns its forwarding on and adds one nft table.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface

from weft.backends.linux import netns
from weft.backends.linux.links import Address, Create, Delete, Link, Links, diff
from weft.backends.linux.nft import Nft
from weft.backends.linux.switches import EXTERNAL
from weft.config import Linux

MACHINE = ""
"""The namespace that the process runs in."""

INSIDE = "external"
"""The veth's end in the host namespace: what carries the physical network `external` there."""

_LONGEST_NAME = 15


def link_name(config: Linux) -> str:
    """The veth's end in the machine's namespace; different for each host namespace."""
    return f"{config.namespace or 'weft'}"[: _LONGEST_NAME - 4] + "-ext"


def mapped(config: Linux) -> Linux:
    """`config` with the physical network `external` on our veth, when the machine is to have an address there.

    What the operator has mapped to `external` stays.
    """
    if not config.external_cidr or EXTERNAL in config.bridge_mappings:
        return config
    return replace(config, bridge_mappings={EXTERNAL: INSIDE, **config.bridge_mappings})


def cidrs(config: Linux) -> tuple[str, ...]:
    """The addresses to give to the machine, canonical. ValueError, in words for the operator, for what is none."""
    texts = [text.strip() for text in config.external_cidr.split(",") if text.strip()]
    for text in texts:
        try:
            one = ip_interface(text)
        except ValueError as error:
            raise ValueError(f"external_cidr {text}: {error}") from None
        if one.network.prefixlen < one.max_prefixlen - 1 and one.ip == one.network.network_address:
            raise ValueError(f"external_cidr {text}: that is the network's own address; give one for this machine")
    return tuple(str(ip_interface(text)) for text in texts)


def set(config: Linux) -> list[str]:
    """Make the machine's way as `config` says: with an address, or not at all. Idempotent; returns what was changed.

    OSError where the kernel refuses, ValueError for a bad address.
    """
    wanted = cidrs(config)
    if not wanted:
        return remove(config)
    machine = Links(MACHINE)
    try:
        changes = _set_link(config, machine)
        changes += _set_addresses(link_name(config), wanted, machine)
    finally:
        machine.close()
    return changes + _set_masquerade(config, wanted if config.masquerade else ())


def remove(config: Linux) -> list[str]:
    """Take the machine's way down again. Forwarding stays as it is: somebody else may count on it by now."""
    machine = Links(MACHINE)
    try:
        here = machine.get([link_name(config)])
        failed = machine.apply([Delete(name) for name in here])
        if failed:
            raise OSError("; ".join(f"{name}: {reason}" for name, reason in failed.items()))
    finally:
        machine.close()
    return [f"{name} was removed" for name in here] + _set_masquerade(config, ())


def _set_link(config: Linux, machine: Links) -> list[str]:
    """Both ends; a half one (its namespace was replaced) is made anew."""
    name = link_name(config)
    netns.create(config.namespace)
    host = Links(config.namespace)
    try:
        inside = host.get([INSIDE])
        here = machine.get([name])
        halves = not (inside and here)
        stale = [Delete(one) for one in here] if halves else []
        failed = machine.apply(stale)
        failed |= host.apply([Delete(one) for one in inside] if halves else [])
        want = Link(name, kind="veth", up=True, peer=(config.namespace, INSIDE))
        changes = diff({} if halves else here, [want])
        failed |= machine.apply(changes)
        # attached to its bridge by whoever makes the network; up, so that there is a carrier until then
        failed |= host.apply(diff(host.get([INSIDE]), [Link(INSIDE, up=True)]))
    finally:
        host.close()
    if failed:
        raise OSError("; ".join(f"{link}: {reason}" for link, reason in failed.items()))
    if any(isinstance(change, Create) for change in changes):
        # the machine takes no routes from routers that tenants own
        netns.set_sysctls(MACHINE, {f"net/ipv6/conf/{name}/accept_ra": 0})
    return [f"{change.name} was {'made' if isinstance(change, Create) else 'changed'}" for change in changes]


def _set_addresses(name: str, wanted: tuple[str, ...], machine: Links) -> list[str]:
    want = {Address(name, cidr) for cidr in wanted}
    have = {a for a in machine.addresses() if a.link == name and not a.cidr.startswith("fe80:")}
    failed = machine.change_addresses(sorted(want - have), sorted(have - want))
    if failed:
        raise OSError("; ".join(f"{address.cidr} on {name}: {reason}" for address, reason in failed.items()))
    gone = [f"{a.cidr} was removed from {name}" for a in sorted(have - want)]
    return gone + [f"{a.cidr} was given to {name}" for a in sorted(want - have)]


def masquerade(config: Linux, wanted: tuple[str, ...]) -> str:
    """Pure: the nft table that hides the external network behind the machine's other addresses; as one transaction."""
    table, name = f"inet {link_name(config)}", link_name(config)
    lines = [f"table {table}", f"delete table {table}"]
    if wanted:
        lines += [
            f"table {table} {{",
            "chain postrouting {",
            "type nat hook postrouting priority srcnat; policy accept;",
        ]
        for cidr in wanted:
            net = ip_interface(cidr).network
            lines.append(f'{"ip" if net.version == 4 else "ip6"} saddr {net} oifname != "{name}" masquerade')
        lines += ["}", "}"]
    return "\n".join(lines) + "\n"


def _set_masquerade(config: Linux, wanted: tuple[str, ...]) -> list[str]:
    tables = Nft(MACHINE)
    try:
        there = bool(tables.read("inet", link_name(config)))
        if not wanted and not there:
            return []
        tables.run(masquerade(config, wanted))
    finally:
        tables.close()
    if not wanted:
        return ["masquerading was removed"]
    forwarding = {"net/ipv4/ip_forward": 1}
    if any(":" in cidr for cidr in wanted):
        forwarding["net/ipv6/conf/all/forwarding"] = 1
    netns.set_sysctls(MACHINE, forwarding)
    return [] if there else ["masquerading was set up"]
