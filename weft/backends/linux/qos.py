"""Pure: what QoS comes to on this host: token buckets of a port, its nft chain, chains of a router's external addresses.

Bandwidth of a port is shaped: what comes from it and what goes to it is sent round by devices of their own (ifb) and
waits there; the tap's own queue is left alone, as to give it another one would lose packets. Packets a second are counted
by nft, and DSCP is set by nft where the frame comes in. What passes a router by an external address is not kept waiting
but dropped above the rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weft.backends.linux import names
from weft.backends.linux.names import Way
from weft.backends.linux.pipeline import QOS_FROM, QOS_TO
from weft.backends.linux.ruleset import Chain, Fragment, Name
from weft.backends.linux.tc import Bucket
from weft.logical import qos
from weft.logical.model import AddressQos, Limit, LogicalPort, Qos

RULES: Mapping[str, qos.Parameters] = {
    name: qos.RULES[name] for name in ("bandwidth_limit", "dscp_marking", "packet_rate_limit")
}
"""What this backend honours. Minimums need queues of links whose capacity is known: not here."""

_HEADER = 14  # bytes of Ethernet before the IP packet
_LARGEST_BURST = 1 << 26
_QUEUE = 20
"""A queue holds what passes in 1/20 s: enough to keep TCP going, too little to be noticed."""
_BURST = 10
"""Where nobody says, as much as passes in 1/10 s may pass at once."""


Shape = Mapping[Way, Bucket]
"""The buckets of a port: for what comes `from` its workload, and for what goes `to` it."""


def shape(port: LogicalPort, mtu: int) -> Shape:
    """How a port's bandwidth is limited, on a network of that MTU."""
    if port.qos is None:
        return {}
    limits: dict[Way, Limit | None] = {"from": port.qos.egress, "to": port.qos.ingress}
    return {way: _bucket(limit, mtu) for way, limit in limits.items() if limit}


def _bucket(limit: Limit, mtu: int) -> Bucket:
    rate, frame = limit.rate * 125, mtu + _HEADER
    burst = limit.burst * 125 or rate // _BURST
    burst = min(max(burst, 2 * frame), _LARGEST_BURST)
    return Bucket(rate, burst, burst + max(rate // _QUEUE, 2 * frame))


# nft: packets a second, and DSCP.


def add_rules(fragment: Fragment, port: LogicalPort) -> None:
    """Put into a port's share of the firewall what its QoS says about packets."""
    if port.qos is None:
        return
    for map_, way, rules in (
        (QOS_FROM, "from", _outward(port.qos, bandwidth=False)),
        (QOS_TO, "to", _inward(port.qos, bandwidth=False)),
    ):
        if rules:
            chain = f"qos-{way}-{port.id}"
            fragment.chains[Name("bridge", chain)] = Chain(tuple(rules))
            fragment.add(map_, names.tap(port.id), data=f"jump {chain}")


def _outward(held: Qos, bandwidth: bool) -> list[str]:
    marks = [] if held.dscp is None else [f"ip dscp set {held.dscp}", f"ip6 dscp set {held.dscp}"]
    return [*_limits(held.egress if bandwidth else None, held.egress_packets), *marks]


def _inward(held: Qos, bandwidth: bool) -> list[str]:
    return _limits(held.ingress if bandwidth else None, held.ingress_packets)


def _limits(bandwidth: Limit | None, packets: Limit | None) -> list[str]:
    rules = []
    if packets:
        burst = packets.burst * 1000 or packets.rate * 1000 // _BURST
        rules.append(f"limit rate over {packets.rate * 1000}/second burst {min(burst, 2**31)} packets drop")
    if bandwidth:
        # nft lets a second's worth pass at once besides the burst: it is as small as can be, where nobody says
        burst = bandwidth.burst * 125 or 1
        rules.append(f"limit rate over {bandwidth.rate * 125} bytes/second burst {min(burst, 2**31)} bytes drop")
    return rules


def address_chains(outside: str, held: Iterable[AddressQos]) -> dict[str, list[str]]:
    """Chains of a router's table for its external addresses, by name, the hook first: before anything is translated on the
    way in, after everything is on the way out. `outside`: the legs that they are behind, as nft writes them; '' for none."""
    found: dict[str, list[str]] = {}
    jumps: dict[str, list[str]] = {"in": [], "out": []}
    for one in held if outside else ():
        for way, rules in (("in", _inward(one.qos, bandwidth=True)), ("out", _outward(one.qos, bandwidth=True))):
            if rules:
                found[f"qos_{way}_{one.ip}"] = rules
                jumps[way].append(f"{one.ip} : jump qos_{way}_{one.ip}")
    hooks = {
        "in": ("prerouting priority raw - 10", f"iifname {outside} ip daddr"),
        "out": ("postrouting priority srcnat + 10", f"oifname {outside} ip saddr"),
    }
    for way, (hook, match) in hooks.items():
        if jumps[way]:
            found[f"qos_{way}"] = [
                f"type filter hook {hook}; policy accept;",
                f"{match} vmap {{ {', '.join(jumps[way])} }}",
            ]
    return found
