"""What is shown of users, projects, tokens and so on, in the words of the Identity API v3. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weft.identity.tokens import Claims
from weft.identity.users import ADMIN, DOMAIN_ID, DOMAIN_NAME, SERVICE, Directory, Project, Role, User

REGION = "RegionOne"
INTERFACES = ("public", "internal", "admin")

Json = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """Whom a token stands for, and with which roles where."""

    claims: Claims
    user: User
    project: Project | None
    roles: tuple[Role, ...]

    @property
    def is_admin(self) -> bool:
        return any(role.name == ADMIN for role in self.roles)

    @property
    def is_service(self) -> bool:
        return any(role.name == SERVICE for role in self.roles)

    @property
    def is_scoped(self) -> bool:
        return bool(self.claims.project_id or self.claims.domain_id)


@dataclass(frozen=True)
class Sites:
    """Where clients reach Identity (a URL ending in /v3) and Networking (one without a version)."""

    identity: str
    network: str

    def link(self, *path: str) -> str:
        return "/".join((self.identity, *path))


def sites(public_url: str, network_url: str) -> Sites:
    """Sites from URLs with or without `/v3` and `/v2.0`, with or without a slash at the end."""
    return Sites(public_url.rstrip("/").removesuffix("/v3") + "/v3", network_url.rstrip("/").removesuffix("/v2.0"))


def timestamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def version(at: Sites) -> Json:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": at.identity + "/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def domain(at: Sites) -> Json:
    return {
        "id": DOMAIN_ID,
        "name": DOMAIN_NAME,
        "description": "The only domain of this installation",
        "enabled": True,
        "tags": [],
        "options": {},
        "links": {"self": at.link("domains", DOMAIN_ID)},
    }


def project(item: Project, at: Sites) -> Json:
    return {
        "id": item.id,
        "name": item.name,
        "domain_id": DOMAIN_ID,
        "parent_id": DOMAIN_ID,
        "is_domain": False,
        "description": item.description,
        "enabled": item.enabled,
        "tags": [],
        "options": {},
        "links": {"self": at.link("projects", item.id)},
    }


def user(item: User, at: Sites) -> Json:
    return {
        "id": item.id,
        "name": item.name,
        "domain_id": DOMAIN_ID,
        "enabled": item.enabled,
        "password_expires_at": None,
        "options": {},
        "links": {"self": at.link("users", item.id)},
    }


def role(item: Role, at: Sites) -> Json:
    return {
        "id": item.id,
        "name": item.name,
        "domain_id": None,
        "description": None,
        "options": {},
        "links": {"self": at.link("roles", item.id)},
    }


def assignments(directory: Directory, names: bool, at: Sites) -> list[Json]:
    """Who holds which role where; with the names of all three if asked."""
    rows: list[Json] = []
    domain_ref = {"id": DOMAIN_ID, "name": DOMAIN_NAME}
    for grant in directory.grants:
        who, where = directory.user(grant.user_id), directory.project(grant.project_id)
        what = directory.role_by_id(grant.role_id)
        if who is None or where is None or what is None:
            continue
        link = at.link("projects", where.id, "users", who.id, "roles", what.id)
        row: Json = {
            "role": {"id": what.id},
            "user": {"id": who.id},
            "scope": {"project": {"id": where.id}},
            "links": {"assignment": link},
        }
        if names:
            row["role"]["name"] = what.name
            row["user"].update(name=who.name, domain=domain_ref)
            row["scope"]["project"].update(name=where.name, domain=domain_ref)
        rows.append(row)
    return rows


def _fixed_id(*parts: str) -> str:
    """The id of something that is not stored but always the same."""
    return hashlib.blake2b("/".join(parts).encode(), digest_size=16).hexdigest()


def region(at: Sites) -> Json:
    return {"id": REGION, "description": "", "parent_region_id": None, "links": {"self": at.link("regions", REGION)}}


def services(at: Sites) -> list[Json]:
    rows = []
    for kind, name, description in (
        ("identity", "keystone", "Weft's stand-in for Keystone"),
        ("network", "neutron", "OpenStack Networking by Weft"),
    ):
        id = _fixed_id("service", kind)
        link = {"self": at.link("services", id)}
        rows.append({"id": id, "type": kind, "name": name, "description": description, "enabled": True, "links": link})
    return rows


def endpoints(at: Sites) -> list[Json]:
    rows = []
    for service in services(at):
        for interface in INTERFACES:
            id = _fixed_id("endpoint", service["type"], interface)
            rows.append(
                {
                    "id": id,
                    "service_id": service["id"],
                    "interface": interface,
                    "region": REGION,
                    "region_id": REGION,
                    "url": at.identity if service["type"] == "identity" else at.network,
                    "enabled": True,
                    "links": {"self": at.link("endpoints", id)},
                }
            )
    return rows


def catalog(at: Sites) -> list[Json]:
    """Services with their endpoints, as they stand in a token."""
    shown = ("id", "interface", "region", "region_id", "url")
    return [
        {
            **{key: service[key] for key in ("id", "type", "name")},
            "endpoints": [
                {key: endpoint[key] for key in shown}
                for endpoint in endpoints(at)
                if endpoint["service_id"] == service["id"]
            ],
        }
        for service in services(at)
    ]


def token(caller: Caller, at: Sites, with_catalog: bool) -> Json:
    """A token as its holder and the services that validate it see it."""
    claims = caller.claims
    domain_ref = {"id": DOMAIN_ID, "name": DOMAIN_NAME}
    who = {"id": caller.user.id, "name": caller.user.name, "domain": domain_ref, "password_expires_at": None}
    shown: Json = {
        "methods": list(claims.methods),
        "user": who,
        "audit_ids": list(claims.audit_ids),
        "issued_at": timestamp(claims.issued),
        "expires_at": timestamp(claims.expires),
    }
    if caller.project is not None:
        shown["project"] = {"id": caller.project.id, "name": caller.project.name, "domain": domain_ref}
        shown["is_domain"] = False
    elif claims.domain_id:
        shown["domain"] = domain_ref
    if caller.is_scoped:
        shown["roles"] = [{"id": r.id, "name": r.name} for r in caller.roles]
        if with_catalog:
            shown["catalog"] = catalog(at)
    return shown
