"""tempest.conf for a Networking endpoint, and what the suites expect to find there: an external network, default pools."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import requests

from tests.conformance.identity_service import PASSWORD, REGION, Keystone

ABSENT = ("nova", "glance", "cinder", "swift", "horizon", "heat", "designate")

EXTERNAL_SUBNETS: tuple[dict[str, Any], ...] = (
    {
        "ip_version": 4,
        "cidr": "203.0.113.0/24",
        "gateway_ip": "203.0.113.1",
        "allocation_pools": [{"start": "203.0.113.2", "end": "203.0.113.254"}],
    },
    {"ip_version": 6, "cidr": "2001:db8::/64", "gateway_ip": "2001:db8::2"},
)

POOLS = ((4, "10.0.0.0/20", 26), (6, "fd3e:1b2c:7d00::/56", 64))
"""(IP version, prefix, length of a subnet) of the default subnet pools."""


def write(path: Path, keystone: Keystone, network_url: str) -> None:
    """Make what is expected, and `path` that says so."""
    admin = _Admin(keystone, f"{network_url}/v2.0")
    extensions = sorted(one["alias"] for one in admin("GET", "/extensions")["extensions"])
    external = _external_network(admin, extensions)
    if "default-subnetpools" in extensions:
        for version, prefix, length in POOLS:
            pool = {"name": f"default-v{version}", "prefixes": [prefix], "default_prefixlen": length}
            admin("POST", "/subnetpools", {"subnetpool": {**pool, "is_default": True, "shared": True}})
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "lock").mkdir(exist_ok=True)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(_sections(path.parent, keystone.url, extensions, external))
    with path.open("w") as file:
        parser.write(file)


class _Admin:
    """Requests of the administrator to the Networking API."""

    def __init__(self, keystone: Keystone, url: str) -> None:
        self._url, self._headers = url, {"X-Auth-Token": keystone.token}

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, self._url + path, json=body, headers=self._headers, timeout=30)
        assert answer.ok, (method, path, answer.status_code, answer.text)
        return answer.json()


def _external_network(admin: _Admin, extensions: list[str]) -> str:
    body: dict[str, Any] = {"name": "public", "router:external": True}
    body |= {"provider:network_type": "flat", "provider:physical_network": "public"}
    if "auto-allocated-topology" in extensions:
        body["is_default"] = True
    id = str(admin("POST", "/networks", {"network": body})["network"]["id"])
    for subnet in EXTERNAL_SUBNETS:
        name = f"public-v{subnet['ip_version']}"
        admin("POST", "/subnets", {"subnet": {"network_id": id, "name": name, "enable_dhcp": False, **subnet}})
    return id


def _sections(folder: Path, keystone_url: str, extensions: list[str], external: str) -> dict[str, dict[str, str]]:
    return {
        "DEFAULT": {"log_dir": str(folder), "log_file": "tempest.log", "debug": "false"},
        "oslo_concurrency": {"lock_path": str(folder / "lock")},
        "auth": {
            "use_dynamic_credentials": "true",
            "tempest_roles": "member",
            "admin_username": "admin",
            "admin_password": PASSWORD,
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
            "admin_domain_scope": "false",
        },
        "identity": {"uri_v3": keystone_url, "auth_version": "v3", "region": REGION},
        "identity-feature-enabled": {"api_v2": "false", "api_v3": "true"},
        "service_available": {**dict.fromkeys(ABSENT, "false"), "neutron": "true"},
        "enforce_scope": {"neutron": "true", "keystone": "true"},
        "validation": {"run_validation": "false"},
        "network": {
            "public_network_id": external,
            "floating_network_name": "public",
            "project_networks_reachable": "false",
            "build_timeout": "60",
            "build_interval": "1",
        },
        "network-feature-enabled": {
            "api_extensions": ",".join(extensions),
            "ipv6": "true",
            "ipv6_subnet_attributes": "true",
            "floating_ips": "true",
            "port_security": str("port-security" in extensions).lower(),
            "available_features": "ipv6_metadata",
        },
        "neutron_plugin_options": {
            "available_type_drivers": "flat,local,vlan,vxlan,geneve",
            "provider_vlans": "physnet1",
            "agent_availability_zone": "nova",
            "l3_agent_mode": "legacy",
            "create_shared_resources": "true",
        },
    }
