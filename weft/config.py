"""Every option, typed, in one place. Built once by the command line and passed in; never a global.

An option is a field of a section below: its name and default here, its help in `metadata`. Files are INI as OpenStack
operators know it (oslo.config reads them); names are upstream's where upstream has the option.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from oslo_config import cfg, types


def option(default: Any, help: str, **limits: Any) -> Any:
    """A field that is an option: its default and what it does, for the operator; `limits` as oslo.config's types have them."""
    metadata = {"help": help, "limits": limits}
    if isinstance(default, dict | list | tuple):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Api:
    """[DEFAULT] options of the Networking API."""

    bind_host: str = option("127.0.0.1", "Address that the API listens on.")
    bind_port: int = option(9696, "TCP port that the API listens on.", min=0, max=65535)
    api_workers: int = option(1, "Processes that serve the API.", min=1)
    api_threads: int = option(8, "Threads of each process.", min=1)
    max_watchers: int = option(256, "Most clients of each process that watch changes at the same time.", min=0)
    pagination_max_limit: int = option(-1, "Most items in one page of a list; -1: no limit.", min=-1)
    filter_validation: bool = option(True, "Refuse query parameters that are no filters, instead of ignoring them.")
    network_link_prefix: str = option("", "Scheme, host and path that replace those of the request in links.")
    base_mac: str = option(
        "fa:16:3e:00:00:00",
        "First octets of generated MAC addresses: three, or four when the fourth is not 00.",
        regex="^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$",
    )
    max_dns_nameservers: int = option(5, "Most name servers of a subnet.", min=0)
    max_subnet_host_routes: int = option(20, "Most host routes of a subnet.", min=0)
    max_allowed_address_pair: int = option(10, "Most allowed address pairs of a port.", min=0)
    global_physnet_mtu: int = option(1500, "MTU of the physical networks in bytes.", min=68)
    dns_domain: str = option("openstacklocal", "Domain of port names; the default disables dns_name.")
    external_dns_driver: str = option(
        "",
        "Any word, as upstream's `designate`: names of ports and floating IPs are published outside. Empty: they are not.",
    )
    dhcp_lease_duration: int = option(86400, "DHCP lease in seconds; -1: infinite.", min=-1)
    enable_snat_by_default: bool = option(True, "enable_snat of a gateway that does not say.")
    router_distributed: bool = option(False, "`distributed` of a router that does not say.")
    l3_ha: bool = option(False, "`ha` of a router that does not say.")
    enable_default_route_ecmp: bool = option(False, "enable_default_route_ecmp of a router that does not say.")
    enable_default_route_bfd: bool = option(False, "enable_default_route_bfd of a router that does not say.")
    enable_ndp_proxy_by_default: bool = option(
        False, "enable_ndp_proxy of a router that does not say and whose gateway can."
    )
    max_l3_agents_per_router: int = option(3, "Most L3 agents that an HA router is put on; 0: all.")
    l3_ha_net_cidr: str = option("169.254.192.0/18", "Addresses of the networks by which HA agents hear each other.")
    l3_ha_network_type: str = option("", "Type of these networks; empty: as of others.")
    l3_ha_network_physical_name: str = option("", "Physical network that carries them.")
    enable_dvr: bool = option(True, "Offer distributed routers, where the dataplane can make them.")
    default_availability_zones: tuple[str, ...] = option((), "Zones of networks and routers without hints.")
    dhcp_agents_per_network: int = option(1, "DHCP agents that serve a network.")
    network_auto_schedule: bool = option(True, "Let agents that come serve networks with DHCP that lack agents.")
    allow_automatic_dhcp_failover: bool = option(True, "Let other DHCP agents serve the networks of dead ones.")
    router_auto_schedule: bool = option(True, "Let L3 agents that come host routers that lack agents.")
    allow_automatic_l3agent_failover: bool = option(False, "Move routers from dead L3 agents to others.")
    enable_services_on_agents_with_admin_state_down: bool = option(
        False, "Agents that are switched off go on with what they serve, and are only given no more."
    )
    availability_zone: str = option("nova", "Zone of this host's agents.")
    agent_down_time: int = option(75, "Seconds without a heartbeat after which an agent counts as dead.", min=1)
    report_interval: int = option(30, "Seconds between an agent's heartbeats.", min=1)
    enable_new_agents: bool = option(True, "admin_state_up of an agent that appears.")
    allowed_conntrack_helpers: tuple[str, ...] = option(
        ("tftp:udp", "ftp:tcp", "sip:tcp", "sip:udp"), "helper:protocol pairs that routers may be given."
    )
    backend: str = option("linux", "Dataplane of this host: linux, ovn, or the name of a plugin's.")
    backends: tuple[str, ...] = option(
        (),
        "Dataplanes of all hosts: the API offers what one of them can honour. Empty: `backend`, or any where that is linux.",
    )
    host: str = option(socket.gethostname(), "Name of this host in bindings and agents.")
    state_path: str = option("", "Folder for the database, secrets and sockets of a one-machine installation.")
    vlan_transparent: bool | None = option(None, "Offer vlan_transparent on networks.")
    vlan_qinq: bool | None = option(None, "Offer qinq on networks.")
    notify_nova_on_port_status_changes: bool = option(True, "Tell Nova when an instance's port comes up or goes down.")
    notify_nova_on_port_data_changes: bool = option(
        True, "Tell Nova when an instance's port or its floating IP changes."
    )
    send_events_interval: int = option(2, "Seconds for which events for Nova are gathered before they are sent.", min=0)
    ipv6_pd_enabled: bool = option(False, "Use prefix delegation for IPv6 subnets without a pool.")


@dataclass(frozen=True)
class Database:
    """[database]"""

    connection: str = option(
        "", "SQLAlchemy URL: sqlite:///FILE or postgresql+psycopg://...; empty: weft.db in state_path."
    )
    pool_size: int = option(8, "Connections kept open to PostgreSQL per process.", min=1)
    max_retries: int = option(
        10, "How often a transaction is tried again after a serialization failure or deadlock.", min=0
    )
    change_log_hours: int = option(24, "Age at which entries of the change log are pruned.", min=1)


@dataclass(frozen=True)
class Ml2:
    """[ml2] and its type sections: which segments exist and who gets which."""

    project_network_types: tuple[str, ...] = option(
        ("vxlan",), "Types tried in order for networks without provider attributes."
    )
    external_network_type: str = option("", "Type of external networks without provider attributes.")
    path_mtu: int = option(0, "MTU of the underlay between hosts; 0: that of global_physnet_mtu.")
    physical_network_mtus: dict[str, str] = option({}, "physical network:MTU where it differs.")
    overlay_ip_version: int = option(4, "IP version of the tunnels' outer header.", choices=(4, 6))
    flat_networks: tuple[str, ...] = option(("*",), "Physical networks that may carry a flat network; *: any.")
    network_vlan_ranges: tuple[str, ...] = option(
        ("public", "physnet1:1000:2999"), "physical network[:first:last VLAN tag]."
    )
    vni_ranges: tuple[str, ...] = option(("1:65535",), "first:last VNI for VXLAN networks.")
    geneve_vni_ranges: tuple[str, ...] = option(("1:65535",), "first:last VNI for Geneve networks.")
    geneve_max_header_size: int = option(30, "Bytes of Geneve header without the outer IP header.")
    tunnel_id_ranges: tuple[str, ...] = option((), "first:last key for GRE networks.")
    tunnelled_network_rp_name: str = option(
        "rp_tunnelled", "Name in resource_provider_bandwidths of what the tunnels of a host leave by."
    )


@dataclass(frozen=True)
class Quotas:
    """[quotas]: default limits per project; -1: unlimited."""

    default_quota: int = option(-1, "Limit of what has no option of its own.", min=-1)
    quota_network: int = option(100, "Networks.", min=-1)
    quota_subnet: int = option(100, "Subnets.", min=-1)
    quota_port: int = option(500, "Ports.", min=-1)
    quota_router: int = option(10, "Routers.", min=-1)
    quota_floatingip: int = option(50, "Floating IPs.", min=-1)
    quota_security_group: int = option(10, "Security groups.", min=-1)
    quota_security_group_rule: int = option(100, "Security group rules.", min=-1)
    quota_rbac_policy: int = option(10, "RBAC policies.", min=-1)
    quota_router_route: int = option(30, "Extra routes of one router.", min=-1)


@dataclass(frozen=True)
class Identity:
    """[keystone_authtoken] as the API's door uses it; everything else of that section goes to keystonemiddleware as it is."""

    auth_url: str = option("http://127.0.0.1:5000/v3", "Keystone (or Weft's stand-in).")
    username: str = option("weft", "Service user.")
    password: str = option("", "Its password.")
    project_name: str = option("service", "Its project.")
    user_domain_name: str = option("Default", "Domain of the service user.")
    project_domain_name: str = option("Default", "Domain of its project.")
    region_name: str = option("RegionOne", "Region.")
    token_cache_time: int = option(300, "Seconds for which a validated token is remembered; 0: never.", min=0)


@dataclass(frozen=True)
class OsloPolicy:
    """[oslo_policy]"""

    policy_file: str = option(
        "policy.yaml", "Operator's rules that differ from the defaults; relative: to the configuration's folder."
    )
    policy_dirs: tuple[str, ...] = option(("policy.d",), "Folders with further such files.")
    enforce_new_defaults: bool = option(True, "False: also accept what the deprecated defaults accepted.")


@dataclass(frozen=True)
class OsloMiddleware:
    """[oslo_middleware]: how requests reach the API."""

    max_request_body_size: int = option(16 * 1024 * 1024, "Most bytes in the body of a request.", min=1)
    enable_proxy_headers_parsing: bool = option(
        False, "Believe Forwarded and X-Forwarded-* headers: only behind a proxy that sets or removes them."
    )


@dataclass(frozen=True)
class Nova:
    """[nova]: how to tell Nova what it waits for, and where instances ask for metadata."""

    auth_url: str = option("", "Keystone, for events to Nova; empty: none are sent.")
    username: str = option("", "User who may send events: an administrator or service of Nova.")
    password: str = option("", "Its password.")
    project_name: str = option("service", "Its project.")
    user_domain_name: str = option("Default", "Domain of the user.")
    project_domain_name: str = option("Default", "Domain of its project.")
    region_name: str = option("", "Region of the Nova to tell; empty: the only one.")
    endpoint_type: str = option("public", "Interface of Nova's endpoint in the catalogue: public, internal or admin.")
    endpoint_override: str = option("", "URL of Nova's API, instead of the catalogue's.")
    cafile: str = option("", "Certificates of the authorities that Nova and Keystone are trusted by.")
    insecure: bool = option(False, "Trust any certificate.")
    timeout: int = option(30, "Seconds to wait for an answer.")

    metadata_host: str = option("", "Nova's metadata service (host name or address); empty: none.")
    metadata_port: int = option(8775, "Its TCP port.")
    metadata_protocol: str = option("http", "http or https.")
    metadata_proxy_shared_secret: str = option("", "Secret that signs the instance id, the same as in Nova.")


@dataclass(frozen=True)
class Placement:
    """[placement]: whom to tell how many IPv4 addresses the segments of routed networks have, hosts how much bandwidth, and what
    running servers are to have of it."""

    auth_url: str = option("", "Keystone, for Placement; empty: it is told nothing.")
    username: str = option("", "User who may write resource providers and allocations.")
    password: str = option("", "Its password.")
    project_name: str = option("service", "Its project.")
    user_domain_name: str = option("Default", "Domain of the user.")
    project_domain_name: str = option("Default", "Domain of its project.")
    region_name: str = option("", "Region of the Placement to tell; empty: the only one.")
    endpoint_type: str = option("public", "Interface of its endpoint in the catalogue: public, internal or admin.")
    endpoint_override: str = option("", "URL of its API, instead of the catalogue's.")
    cafile: str = option("", "Certificates of the authorities that Placement and Keystone are trusted by.")
    insecure: bool = option(False, "Trust any certificate.")
    timeout: int = option(30, "Seconds to wait for an answer; where a client of the API waits, 10 at most.")


@dataclass(frozen=True)
class Notifications:
    """[oslo_messaging_notifications]: what others hear on the message bus; needs weft[notifications].

    oslo.messaging reads this section itself, and those of its transports.
    """

    driver: tuple[str, ...] = option((), "messagingv2, messaging, log, test or noop; empty: no notifications.")
    transport_url: str = option("", "Message bus, as rabbit://user:password@host:5672/; empty: that of [DEFAULT].")
    topics: tuple[str, ...] = option(("notifications",), "Topics that they are sent to.")

    @property
    def on(self) -> bool:
        return any(name != "noop" for name in self.driver)


@dataclass(frozen=True)
class Linux:
    """[linux]: this host's dataplane."""

    namespace: str = option("weft", "Network namespace that holds all of it; empty: the one that the process runs in.")
    bridge_mappings: dict[str, str] = option({}, "physical network:interface in that namespace that carries it.")
    external_cidr: str = option(
        "", "Give the machine itself this address (CIDR) on the physical network `external`, over a veth."
    )
    masquerade: bool = option(False, "Masquerade what leaves by that veth to the machine's own network.")
    tunnel_address: str = option("", "This host's address for VXLAN; empty: single host, no tunnels.")
    dns_servers: tuple[str, ...] = option(
        (), "Resolvers (address or address:port) of what is no port's name; empty: /etc/resolv.conf's."
    )
    metering_measure_interval: int = option(30, "Seconds after which routers at last count for a new metering label.")
    metering_report_interval: int = option(300, "Seconds between two messages about what metering labels counted.")
    audit_interval: int = option(300, "Seconds between full passes that find and mend drift no event announced.")


@dataclass(frozen=True)
class Ovn:
    """[ovn]: where OVN's databases are."""

    ovn_nb_connection: tuple[str, ...] = option(
        ("tcp:127.0.0.1:6641",),
        "Northbound database, as tcp:ADDRESS:PORT, ssl:ADDRESS:PORT or unix:FILE; several of a cluster.",
    )
    ovn_nb_private_key: str = option("", "File with our private key, for ssl.")
    ovn_nb_certificate: str = option("", "File with our certificate.")
    ovn_nb_ca_cert: str = option("", "File with the certificates of the authorities that the servers are trusted by.")
    ovn_sb_connection: tuple[str, ...] = option(
        ("tcp:127.0.0.1:6642",), "Southbound database; several of a cluster, or relays."
    )
    ovn_sb_private_key: str = option("", "File with our private key, for ssl.")
    ovn_sb_certificate: str = option("", "File with our certificate.")
    ovn_sb_ca_cert: str = option("", "File with the certificates of the authorities that the servers are trusted by.")
    ovsdb_connection: str = option(
        "unix:/var/run/openvswitch/db.sock", "Database of the Open vSwitch of a host, for its metadata agent."
    )
    namespace: str = option(
        "", "Network namespace that a host's switch runs in; empty: the one that the agent runs in."
    )
    ovsdb_probe_interval: int = option(
        60000, "Milliseconds of silence after which a server is asked whether it lives; 0: never."
    )
    ovn_metadata_enabled: bool = option(True, "Give every network a port for the metadata service.")
    enable_distributed_floating_ip: bool = option(
        False, "Floating IPs on the host of the instance, instead of on that of the router's gateway."
    )
    dns_servers: tuple[str, ...] = option((), "Resolvers that hosts of subnets without name servers are told.")
    ovn_dhcp4_global_options: dict[str, str] = option({}, "option:value in OVN's words that every DHCPv4 answer has.")
    ovn_dhcp6_global_options: dict[str, str] = option({}, "The same of DHCPv6.")
    disable_ovn_dhcp_for_baremetal_ports: bool = option(False, "Answer no DHCP to ports of vnic type baremetal.")
    live_migration_activation_strategy: str = option(
        "rarp", "What the target of a live migration waits for before it passes packets: rarp, or empty: nothing."
    )
    igmp_snooping_enable: bool = option(False, "Send multicast only to who asked for it.")
    localnet_learn_fdb: bool = option(False, "Learn the MACs of physical networks, instead of flooding.")
    fdb_age_threshold: int = option(300, "Seconds after which such a MAC is forgotten; 0: never.")
    mac_binding_age_threshold: int = option(300, "Seconds after which a router forgets a neighbour; 0: never.")
    broadcast_arps_to_all_routers: bool = option(
        True, "Routers of an external network hear ARP requests that are for none of them."
    )
    ha_failover_strategy: str = option(
        "normal",
        "How soon another chassis takes over gateways: normal (OVN's own), aggressive, conservative, or manual: by bfd_*.",
        choices=("normal", "aggressive", "conservative", "manual"),
    )
    bfd_min_rx: int = option(1000, "Milliseconds between BFD packets that a chassis takes, at least.", min=1)
    bfd_min_tx: int = option(100, "Milliseconds between BFD packets that a chassis sends, at least.", min=1)
    bfd_mult: int = option(3, "BFD packets that may be missing before a chassis counts as dead.", min=1, max=255)
    audit_interval: int = option(300, "Seconds between full passes that find and mend drift no event announced.")


@dataclass(frozen=True)
class NetworkLog:
    """[network_log]: how much may be logged of the packets of security groups (API: logs)."""

    rate_limit: int = option(100, "Packets logged each second, at most: by each rule, on each host.", min=1)
    burst_limit: int = option(25, "Packets that may be logged at once after a silence.", min=1)
    local_output_log_base: str = option(
        "",
        "File that the agent of a linux host writes them to; empty: with the rest of its log. OVN's hosts have their own.",
    )


@dataclass(frozen=True)
class Config:
    """The whole configuration."""

    api: Api = field(default_factory=Api)
    database: Database = field(default_factory=Database)
    ml2: Ml2 = field(default_factory=Ml2)
    quotas: Quotas = field(default_factory=Quotas)
    identity: Identity = field(default_factory=Identity)
    policy: OsloPolicy = field(default_factory=OsloPolicy)
    middleware: OsloMiddleware = field(default_factory=OsloMiddleware)
    nova: Nova = field(default_factory=Nova)
    placement: Placement = field(default_factory=Placement)
    notifications: Notifications = field(default_factory=Notifications)
    linux: Linux = field(default_factory=Linux)
    ovn: Ovn = field(default_factory=Ovn)
    network_log: NetworkLog = field(default_factory=NetworkLog)
    #: sections as found in the files, for libraries that read their own (keystonemiddleware)
    files: tuple[str, ...] = ()

    @property
    def state_path(self) -> Path:
        return Path(self.api.state_path or "~/.local/state/weft").expanduser()

    @property
    def consumers(self) -> tuple[str, ...]:
        """Who waits for events of the change log besides watchers: nova, placement, notifications."""
        wanted = {
            "nova": bool(self.nova.auth_url),
            "placement": bool(self.placement.auth_url),
            "notifications": self.notifications.on,
        }
        return tuple(name for name, on in wanted.items() if on)

    @property
    def database_url(self) -> str:
        """SQLAlchemy's; what does not name the driver means ours."""
        stated = self.database.connection or f"sqlite:///{self.state_path / 'weft.db'}"
        return stated.replace("postgresql://", "postgresql+psycopg://", 1)


SECTIONS: Mapping[str, str] = {
    "api": "DEFAULT",
    "database": "database",
    "ml2": "ml2",
    "quotas": "quotas",
    "identity": "keystone_authtoken",
    "policy": "oslo_policy",
    "middleware": "oslo_middleware",
    "nova": "nova",
    "placement": "placement",
    "notifications": "oslo_messaging_notifications",
    "linux": "linux",
    "ovn": "ovn",
    "network_log": "network_log",
}
"""Field of Config -> section of the file."""


def _oslo_type(hint: Any, limits: Mapping[str, Any]) -> Any:
    if get_origin(hint) is tuple:
        return types.List()
    if get_origin(hint) is dict:
        return types.Dict()
    for plain, oslo in ((bool, types.Boolean), (int, types.Integer), (str, types.String)):
        if hint is plain or plain in get_args(hint):
            return oslo(**limits)
    raise TypeError(hint)


def sections() -> Iterable[tuple[str, str, type]]:
    """(field of Config, section of the file, dataclass) for every section."""
    hints = get_type_hints(Config)
    return [(name, section, hints[name]) for name, section in SECTIONS.items()]


def load(files: Iterable[str] = (), **overrides: Mapping[str, Any]) -> Config:
    """Read `files` in order, then apply `overrides` (field of Config -> {option: value}; None means not given).

    Raises oslo_config.cfg.Error, with file and line, for what cannot be read.
    """
    files = tuple(files)
    conf = cfg.ConfigOpts()
    for _, section, kind in sections():
        hints = get_type_hints(kind)
        options = [
            cfg.Opt(f.name, type=_oslo_type(hints[f.name], f.metadata["limits"]), help=f.metadata["help"])
            for f in dataclasses.fields(kind)
        ]
        conf.register_opts(options, group=None if section == "DEFAULT" else section)
    conf([], project="weft", default_config_files=list(files), default_config_dirs=[])
    read: dict[str, Any] = {}
    for name, section, kind in sections():
        group = conf if section == "DEFAULT" else conf[section]
        hints = get_type_hints(kind)
        values = {}
        for f in dataclasses.fields(kind):
            value = overrides.get(name, {}).get(f.name)
            if value is None:
                value = group[f.name]
            if value is not None:
                values[f.name] = tuple(value) if get_origin(hints[f.name]) is tuple else value
        read[name] = kind(**values)
    return Config(files=files, **read)
