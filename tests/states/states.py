"""The named states of a network, smallest first."""

from __future__ import annotations

from tests.states.steps import (
    Step,
    attach,
    change,
    floating_ip,
    forwarding,
    further_gateway,
    log,
    make,
    network,
    outside,
    port,
    router,
    rule,
    subnet,
)

SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
STATELESS = {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"}
OPEN = {"port_security_enabled": False, "security_groups": []}

BLUE = (network("blue", 101), subnet("blue4", "blue", "10.0.0.0/24"))
RED = (network("red", 102), subnet("red4", "red", "10.0.1.0/24"))
A = port("a", "blue", 0x0A, fixed={"blue4": "10.0.0.10"})
B = port("b", "blue", 0x0B, fixed={"blue4": "10.0.0.11"})
C = port("c", "red", 0x0C, fixed={"red4": "10.0.1.12"})
OUTSIDE = (outside("out"), subnet("out4", "out", "203.0.113.0/24", enable_dhcp=False))
ROUTED = (
    *OUTSIDE,
    *BLUE,
    *RED,
    A,
    B,
    C,
    router("r", "out4", "203.0.113.10"),
    attach("r", "blue4"),
    attach("r", "red4"),
)

STATES: dict[str, tuple[Step, ...]] = {
    "empty": (),
    "network without ports": BLUE,
    "one network two ports": (*BLUE, A, B),
    "ports of other hosts": (
        *BLUE,
        A,
        port("far", "blue", 0xFA, fixed={"blue4": "10.0.0.99"}, **{"binding:host_id": "elsewhere"}),
        port("nowhere", "blue", 0xFB, fixed={"blue4": "10.0.0.98"}, **{"binding:host_id": ""}),
    ),
    "vlan and flat": (
        make(
            "networks",
            "tagged",
            mtu=1400,
            **{
                "provider:network_type": "vlan",
                "provider:physical_network": "physical",
                "provider:segmentation_id": 120,
            },
        ),
        make("networks", "plain", **{"provider:network_type": "flat", "provider:physical_network": "physical"}),
        port("t", "tagged", 1),
        port("p", "plain", 2, **OPEN),
    ),
    "several segments": (
        make(
            "networks",
            "campus",
            segments=[
                {"provider:network_type": "flat", "provider:physical_network": "elsewhere"},
                {
                    "provider:network_type": "vlan",
                    "provider:physical_network": "physical",
                    "provider:segmentation_id": 121,
                },
            ],
        ),
        make("segments", "more", network_id="@campus", network_type="flat", physical_network="physical"),
        port("a", "campus", 0x0A, **OPEN),
    ),
    "dhcp options": (
        network("blue", 101),
        subnet(
            "blue4",
            "blue",
            "10.0.0.0/24",
            gateway_ip=None,
            dns_nameservers=["198.18.0.53"],
            host_routes=[{"destination": "198.18.1.0/24", "nexthop": "10.0.0.254"}],
        ),
        port(
            "a",
            "blue",
            0x0A,
            fixed={"blue4": "10.0.0.10"},
            extra_dhcp_opts=[{"opt_name": "bootfile-name", "opt_value": "pxelinux.0"}],
        ),
    ),
    "dual stack": (
        network("blue", 101),
        subnet("blue4", "blue", "10.0.0.0/24", allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.10"}]),
        subnet("blue6", "blue", "2001:db8:1::/64", **SLAAC),
        subnet("more6", "blue", "2001:db8:2::/64", **STATELESS),
        port("a", "blue", 0x0A, after=["blue4"]),
        router("r"),
        attach("r", "blue4"),
        attach("r", "blue6"),
    ),
    "groups": (
        *BLUE,
        make("security-groups", "web"),
        make("security-groups", "db"),
        rule("web-in", "web", "ingress", protocol="tcp", port_range_min=80, port_range_max=443),
        rule("web-ping", "web", "ingress", protocol="icmp", port_range_min=8, port_range_max=0),
        rule(
            "db-in", "db", "ingress", protocol="tcp", port_range_min=5432, port_range_max=5432, remote_group_id="@web"
        ),
        rule("db-net", "db", "ingress", "IPv6", remote_ip_prefix="2001:db8::/32"),
        port("a", "blue", 0x0A, fixed={"blue4": "10.0.0.10"}, security_groups=["@web"]),
        port("b", "blue", 0x0B, fixed={"blue4": "10.0.0.11"}, security_groups=["@db"]),
        port("ab", "blue", 0xAB, fixed={"blue4": "10.0.0.12"}, security_groups=["@web", "@db"]),
        port(
            "far",
            "blue",
            0xFA,
            fixed={"blue4": "10.0.0.99"},
            security_groups=["@web"],
            **{"binding:host_id": "elsewhere"},
        ),
    ),
    "logged groups": (
        *BLUE,
        make("security-groups", "web"),
        make("security-groups", "db"),
        make("security-groups", "theirs", project="p2"),
        rule("web-in", "web", "ingress", protocol="tcp", port_range_min=80, port_range_max=80),
        rule("db-in", "db", "ingress", protocol="tcp", port_range_min=5432, port_range_max=5432),
        port("a", "blue", 0x0A, fixed={"blue4": "10.0.0.10"}, security_groups=["@web"]),
        port("b", "blue", 0x0B, fixed={"blue4": "10.0.0.11"}, security_groups=["@db"]),
        port("t", "blue", 0x0C, fixed={"blue4": "10.0.0.12"}, security_groups=["@theirs"]),
        log("all-of-web", resource_id="@web"),
        log("drops-of-b", target_id="@b", event="DROP"),
        log("accepts-of-b", resource_id="@db", target_id="@b", event="ACCEPT"),
        log("accepts-of-p2", project="p2", event="ACCEPT"),
        log("off", resource_id="@db", enabled=False),
    ),
    "stateless group": (
        *BLUE,
        make("security-groups", "fast", stateful=False),
        rule("fast-in", "fast", "ingress", protocol="udp", port_range_min=53, port_range_max=53),
        port("a", "blue", 0x0A, fixed={"blue4": "10.0.0.10"}, security_groups=["@fast"]),
        port("none", "blue", 0x0B, fixed={"blue4": "10.0.0.11"}, security_groups=[]),
    ),
    "address groups": (
        *BLUE,
        make("address-groups", "partners", addresses=["198.18.0.0/24", "198.19.0.7/32", "2001:db8:9::/48"]),
        make("address-groups", "nobody", addresses=[]),
        make("security-groups", "friends"),
        rule("in-partners", "friends", "ingress", remote_address_group_id="@partners"),
        rule("in-partners6", "friends", "ingress", "IPv6", protocol="tcp", remote_address_group_id="@partners"),
        rule("out-nobody", "friends", "egress", protocol="tcp", remote_address_group_id="@nobody"),
        port("a", "blue", 0x0A, fixed={"blue4": "10.0.0.10"}, security_groups=["@friends"]),
    ),
    "allowed pairs": (
        *BLUE,
        port(
            "a",
            "blue",
            0x0A,
            fixed={"blue4": "10.0.0.10"},
            allowed_address_pairs=[
                {"ip_address": "10.0.0.100"},
                {"ip_address": "198.18.0.0/24", "mac_address": "00:00:5e:00:01:07"},
            ],
        ),
        B,
    ),
    "port security off": (*BLUE, port("a", "blue", 0x0A, fixed={"blue4": "10.0.0.10"}, **OPEN), B),
    "switched off": (
        *BLUE,
        *RED,
        A,
        port("off", "blue", 0x0F, fixed={"blue4": "10.0.0.15"}, admin_state_up=False),
        C,
        change("red-off", "networks", "red", {"admin_state_up": False}, {"admin_state_up": True}),
        router("r", admin_state_up=False),
        attach("r", "blue4"),
    ),
    "overlapping tenants": (
        *BLUE,
        A,
        make("networks", "theirs", project="p2", **{"provider:network_type": "vxlan", "provider:segmentation_id": 103}),
        make("subnets", "theirs4", project="p2", network_id="@theirs", cidr="10.0.0.0/24", ip_version=4),
        make(
            "ports",
            "x",
            project="p2",
            network_id="@theirs",
            mac_address=A.body["port"]["mac_address"],
            fixed_ips=[{"subnet_id": "@theirs4", "ip_address": "10.0.0.10"}],
            **{"binding:host_id": "here"},
        ),
        make("routers", "s", project="p2"),
        attach("s", "theirs4"),
        router("r"),
        attach("r", "blue4"),
    ),
    "gateway and snat": ROUTED,
    "gateway without snat": (
        *OUTSIDE,
        *BLUE,
        A,
        router("r", "out4", "203.0.113.10", gateway={"enable_snat": False}),
        attach("r", "blue4"),
    ),
    "two gateways": (
        *ROUTED,
        outside("far", "elsewhere"),
        subnet("far4", "far", "198.18.0.0/24", gateway_ip="198.18.0.1"),
        further_gateway("r", "far4", "198.18.0.10"),
        floating_ip("fip-a", "out", "203.0.113.101", "a", "r-blue4", "out4"),
        floating_ip("fip-far", "far", "198.18.0.101", "a", "r-blue4", "r-far4"),
        change("equal", "routers", "r", {"enable_default_route_ecmp": True}, {"enable_default_route_ecmp": False}),
    ),
    "ndp proxy": (
        make("address-scopes", "world", ip_version=6),
        make("subnetpools", "pool", prefixes=["2001:db8::/48"], address_scope_id="@world", default_prefixlen=64),
        outside("out"),
        subnet("out6", "out", "2001:db8:0:e::/64", subnetpool_id="@pool"),
        network("blue", 101),
        subnet("blue6", "blue", "2001:db8:0:a::/64", subnetpool_id="@pool"),
        port("a", "blue", 0x0A, fixed={"blue6": "2001:db8:0:a::a"}),
        port("b", "blue", 0x0B, fixed={"blue6": "2001:db8:0:a::b"}),
        router("r", "out6", "2001:db8:0:e::10", enable_ndp_proxy=True),
        attach("r", "blue6"),
        make("ndp-proxies", "n", router_id="@r", port_id="@a", after=["r-blue6"]),
    ),
    "extra routes": (
        *BLUE,
        *RED,
        router("r"),
        attach("r", "blue4"),
        attach("r", "red4"),
        change(
            "routes",
            "routers",
            "r",
            {
                "routes": [
                    {"destination": "198.18.0.0/16", "nexthop": "10.0.0.9"},
                    {"destination": "198.18.0.0/16", "nexthop": "10.0.1.9"},
                    {"destination": "198.19.0.0/16", "nexthop": "10.0.1.9"},
                ]
            },
            {"routes": []},
            "r-blue4",
            "r-red4",
        ),
    ),
    "floating ip": (
        *ROUTED,
        floating_ip("fip-a", "out", "203.0.113.101", "a", "r-blue4", "out4"),
        floating_ip("fip-c", "out", "203.0.113.103", "c", "r-red4", "out4"),
        floating_ip("idle", "out", "203.0.113.109", "", "out4"),
    ),
    "port forwarding": (
        *ROUTED,
        floating_ip("shared", "out", "203.0.113.105", "", "out4"),
        forwarding("ssh", "shared", "a", "10.0.0.10", "r-blue4", protocol="tcp", internal_port=22, external_port=2222),
        forwarding(
            "media",
            "shared",
            "c",
            "10.0.1.12",
            "r-red4",
            protocol="udp",
            internal_port_range="5000:5009",
            external_port_range="5000:5009",
        ),
    ),
}
