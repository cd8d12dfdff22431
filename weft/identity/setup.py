"""The first start of a one-machine installation: users, projects, and the file with which clients log in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from weft.identity.files import StateFolderError, private_folder, write_private
from weft.identity.passwords import new_password
from weft.identity.tokens import Tokens
from weft.identity.users import (
    ADMIN,
    MEMBER,
    READER,
    SERVICE,
    Users,
    empty_directory,
    new_project,
    new_user,
    with_project,
    with_roles,
    with_user,
)

CLOUDS = "clouds.yaml"
SERVICE_PASSWORD = "service-password"
SERVICE_USER = "weft"
SERVICE_PROJECT = "service"

#: user, project and roles of the first start; clients find all but the service in clouds.yaml as weft-<user>
FIRST_USERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("admin", "admin", (ADMIN, MEMBER, READER)),
    ("demo", "demo", (MEMBER, READER)),
    ("alt", "alt", (MEMBER, READER)),
    (SERVICE_USER, SERVICE_PROJECT, (SERVICE,)),
)


@dataclass(frozen=True)
class Installation:
    """What the state folder holds for Identity."""

    users: Users
    tokens: Tokens
    clouds: Path
    service_password: str


def open_installation(folder: Path, public_url: str) -> Installation:
    """Open the state folder, and fill it at the first start.

    `public_url` is where clients reach Identity; clouds.yaml follows when it changes. Raises StateFolderError or
    IdentityError, with what to do, for a folder that cannot be used.
    """
    private_folder(folder)
    if not Users.exist(folder):
        _first_start(folder, public_url)
    clouds = folder / CLOUDS
    _follow_url(clouds, public_url)
    return Installation(Users(folder), Tokens(folder), clouds, _service_password(folder))


def _first_start(folder: Path, public_url: str) -> None:
    passwords = {name: new_password() for name, _, _ in FIRST_USERS}
    directory = empty_directory()
    for name, project, roles in FIRST_USERS:
        directory = with_project(directory, new_project(project))
        directory = with_user(directory, new_user(name, passwords[name]))
        directory = with_roles(directory, name, project, roles)
    # identity.json comes last: if we die before it is there, the next start begins again with other passwords
    write_private(folder / SERVICE_PASSWORD, passwords[SERVICE_USER] + "\n")
    logins = [(name, project, passwords[name]) for name, project, _ in FIRST_USERS if name != SERVICE_USER]
    write_private(folder / CLOUDS, clouds_yaml(public_url, logins))
    Users.create(folder, directory)


def clouds_yaml(public_url: str, logins: Iterable[tuple[str, str, str]]) -> str:
    """A clouds.yaml (openstacksdk, "Configuration") with a cloud weft-<user> for each (user, project, password)."""
    lines = ["# How OpenStack clients log in here: openstack --os-cloud weft-demo ...", "clouds:"]
    for user, project, password in logins:
        lines += [
            f"  weft-{user}:",
            "    auth_type: v3password",
            "    auth:",
            f"      auth_url: {json.dumps(_auth_url(public_url))}",
            f"      username: {json.dumps(user)}",
            f"      password: {json.dumps(password)}",
            f"      project_name: {json.dumps(project)}",
            "      user_domain_name: Default",
            "      project_domain_name: Default",
            "    region_name: RegionOne",
            "    identity_api_version: 3",
        ]
    return "\n".join(lines) + "\n"


def _auth_url(public_url: str) -> str:
    return public_url.rstrip("/").removesuffix("/v3") + "/v3"


def _follow_url(clouds: Path, public_url: str) -> None:
    """Let the clouds of the first start log in where Identity is now; the rest of the file stays as it is."""
    try:
        text = clouds.read_text()
    except FileNotFoundError:
        return
    names = "|".join(re.escape(name) for name, _, _ in FIRST_USERS)
    pattern = rf"(?m)^(  weft-(?:{names}):\n(?:    .*\n)*?      auth_url: ).*$"
    now = re.sub(pattern, lambda found: found[1] + json.dumps(_auth_url(public_url)), text)
    if now != text:
        write_private(clouds, now)


def _service_password(folder: Path) -> str:
    try:
        return (folder / SERVICE_PASSWORD).read_text().strip()
    except OSError as error:
        raise StateFolderError(f"{folder / SERVICE_PASSWORD} cannot be read: {error.strerror}") from error
