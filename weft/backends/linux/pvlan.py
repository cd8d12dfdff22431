"""Private VLANs of a host as nft rules: what may not come to a port is dropped where it leaves for it. Pure.

The destination's host decides, by the source's MAC, which anti-spoofing vouches for, so that it does not matter on which
host the source is; and by its address, as a router of the network would bring it back under a MAC of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from weft.backends.linux import names
from weft.backends.linux.ruleset import Chain, Fragment, Name
from weft.logical.model import HostView, Private


def render(view: HostView) -> Fragment | None:
    """The rules of all private VLANs of the view; None where there are none."""
    fragment = Fragment()
    taps: list[str] = []
    for switch in view.switches.values():
        of_port = {one.port: one.community for one in switch.private}
        here = {id: of_port[id] for id in of_port if id in view.ports}
        for community in set(here.values()):
            chain = f"pvlan-{switch.id}-{hashlib.sha256(community.encode()).hexdigest()[:16]}"  # nft: 127 characters
            others = [one for one in switch.private if not community or one.community != community]
            fragment.chains[Name("bridge", chain)] = Chain(tuple(_drop(others)))
            taps += [f'"{names.tap(id)}" : jump {chain}' for id, own in here.items() if own == community]
    if not taps:
        return None
    fragment.chains[Name("bridge", "pvlan")] = Chain(
        (f"oifname vmap {{ {', '.join(sorted(taps))} }}",), "forward priority -195"
    )
    return fragment


def _drop(others: Sequence[Private]) -> Iterator[str]:
    addresses = {address for one in others for address in one.addresses}
    four = {address for address in addresses if ":" not in address}
    yield from _rule("ether saddr", (mac for one in others for mac in one.macs))
    yield from _rule("ip saddr", four)
    yield from _rule("arp saddr ip", four)
    yield from _rule("ip6 saddr", addresses - four)


def _rule(what: str, values: Iterable[str]) -> Iterator[str]:
    listed = ", ".join(sorted(set(values)))
    if listed:
        yield f"{what} {{ {listed} }} drop"
