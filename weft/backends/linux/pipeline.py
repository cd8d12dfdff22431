"""The fixed part of the firewall: the sets that ports are entered into, and the chains that packets go through. Pure data."""

from __future__ import annotations

from collections.abc import Mapping

from weft.backends.linux import names
from weft.backends.linux.nft import SetType
from weft.backends.linux.ruleset import Chain, Name

METADATA = {4: "169.254.169.254", 6: "fe80::a9fe:a9fe"}

OUT_BIT = 1 << 31
"""Set in the mark of the port where a packet leaves; the mark of the port where it came in lacks it."""

LARGEST_MARK = OUT_BIT - 1
LARGEST_ZONE = 65535

_SOURCE4, _SOURCE6 = ("ifname", "ether_addr", "ipv4_addr"), ("ifname", "ether_addr", "ipv6_addr")
_TARGET = ("ifname", "ether_addr", "target")

FROM, TO = Name("bridge", "ports_from"), Name("bridge", "ports_to")
MARKS_IN, MARKS_OUT = Name("bridge", "marks_in"), Name("bridge", "marks_out")
MACS = Name("bridge", "macs")
QOS_FROM, QOS_TO = Name("bridge", "qos_from"), Name("bridge", "qos_to")
EGRESS, INGRESS, ZONES = Name("inet", "egress"), Name("inet", "ingress"), Name("inet", "zones")

SETS: Mapping[Name, SetType] = {
    FROM: SetType(("ifname",), "verdict"),
    TO: SetType(("ifname",), "verdict"),
    MARKS_IN: SetType(("ifname",), "mark"),
    MARKS_OUT: SetType(("ifname",), "mark"),
    MACS: SetType(("ifname", "ether_addr")),
    QOS_FROM: SetType(("ifname",), "verdict"),
    QOS_TO: SetType(("ifname",), "verdict"),
    Name("bridge", "v4"): SetType(_SOURCE4),
    Name("bridge", "v4_nets"): SetType(_SOURCE4, interval=True),
    Name("bridge", "v6"): SetType(_SOURCE6),
    Name("bridge", "v6_nets"): SetType(_SOURCE6, interval=True),
    Name("bridge", "na"): SetType(_TARGET),
    Name("bridge", "na_nets"): SetType(_TARGET, interval=True),
    EGRESS: SetType(("mark",), "verdict"),
    INGRESS: SetType(("mark",), "verdict"),
    ZONES: SetType(("ifname",), "zone"),
}

_MACHINE = f'{{ "{names.TAP_PREFIX}*", "{names.SERVICE_PREFIX}*", "{names.VXLAN_PREFIX}*" }}'
_OURS = f'"{names.BRIDGE_PREFIX}*"'

CHAINS: Mapping[Name, Chain] = {
    Name("bridge", "prerouting"): Chain(
        ("iifname vmap @ports_from", f'iifname "{names.TAP_PREFIX}*" drop'),
        "prerouting priority -300",
    ),
    # the host itself is nobody's neighbour, whatever address its bridges might have
    Name("bridge", "input"): Chain((f"iifname {_MACHINE} drop",), "input priority -300"),
    Name("bridge", "forward"): Chain(
        ("oifname vmap @ports_to", f'oifname "{names.TAP_PREFIX}*" drop'),
        "forward priority -200",
    ),
    Name("bridge", "qos_in"): Chain(("iifname vmap @qos_from",), "prerouting priority -290"),
    Name("bridge", "qos_out"): Chain(("oifname vmap @qos_to",), "forward priority -190"),
    Name("bridge", "from_secured"): Chain(
        (
            "meta mark set iifname map @marks_in",
            # read from the frame: `meta protocol` would see through a VLAN tag that the inet hooks are not shown
            "ether type vmap { ip : goto from_ip4, arp : goto from_arp, ip6 : goto from_ip6 }",
            "drop",
        )
    ),
    Name("bridge", "from_ip4"): Chain(
        (
            "iifname . ether saddr . ip saddr @v4 accept",
            "iifname . ether saddr . ip saddr @v4_nets accept",
            "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 iifname . ether saddr @macs accept",
            "drop",
        )
    ),
    Name("bridge", "from_arp"): Chain(
        (
            "iifname . ether saddr != @macs drop",
            "iifname . arp saddr ether . arp saddr ip @v4 accept",
            "iifname . arp saddr ether . arp saddr ip @v4_nets accept",
            "arp saddr ip 0.0.0.0 iifname . arp saddr ether @macs accept",  # RFC 5227 probe
            "drop",
        )
    ),
    Name("bridge", "from_ip6"): Chain(
        (
            "icmpv6 type nd-neighbor-advert goto from_na",
            "iifname . ether saddr . ip6 saddr @v6 accept",
            "iifname . ether saddr . ip6 saddr @v6_nets accept",
            # RFC 4861, 4862, 3810: before a host has an address
            "ip6 saddr :: icmpv6 type { nd-router-solicit, nd-neighbor-solicit, mld2-listener-report, "
            "mld-listener-report, mld-listener-done } iifname . ether saddr @macs accept",
            "drop",
        )
    ),
    Name("bridge", "from_na"): Chain(
        (
            "iifname . ether saddr . @th,64,128 @na goto from_na_source",
            "iifname . ether saddr . @th,64,128 @na_nets goto from_na_source",
            "drop",
        )
    ),
    Name("bridge", "from_na_source"): Chain(
        (
            "iifname . ether saddr . ip6 saddr @v6 accept",
            "iifname . ether saddr . ip6 saddr @v6_nets accept",
            "drop",
        )
    ),
    Name("bridge", "to_secured"): Chain(
        (
            "ether type != { ip, arp, ip6 } drop",
            # answers of our own DNS and metadata service; nothing else is on that port
            f'iifname "{names.SERVICE_PREFIX}*" meta mark set 0 accept',
            "meta mark set oifname map @marks_out",
        )
    ),
    Name("inet", "zone"): Chain((f"iifname {_OURS} ct zone set iifname map @zones",), "prerouting priority -300"),
    Name("inet", "from_port"): Chain((f"iifname {_OURS} meta mark vmap @egress",), "prerouting priority -150"),
    Name("inet", "to_port"): Chain((f"oifname {_OURS} meta mark vmap @ingress",), "forward priority 0"),
    Name("inet", "always_out"): Chain(
        (
            "icmpv6 type { nd-router-advert, nd-redirect } drop",
            "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, "
            "mld-listener-report, mld-listener-done, mld2-listener-report } accept",
            "udp sport 67 udp dport 68 drop",
            "udp sport 547 udp dport 546 drop",
            "udp sport 68 udp dport 67 accept",
            "udp sport 546 udp dport 547 accept",
            f"ip daddr {METADATA[4]} meta l4proto {{ tcp, udp }} th dport 53 accept",
            f"ip daddr {METADATA[4]} tcp dport 80 accept",
            f"ip6 daddr {METADATA[6]} meta l4proto {{ tcp, udp }} th dport 53 accept",
            f"ip6 daddr {METADATA[6]} tcp dport 80 accept",
        )
    ),
    Name("inet", "always_in"): Chain(
        (
            "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } accept",
            "udp sport 67 udp dport 68 accept",
            "udp sport 547 udp dport 546 accept",
        )
    ),
}
