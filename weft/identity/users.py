"""Users, projects, roles and who holds which role where: one JSON file, read whole and replaced whole."""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

import msgspec

from weft.identity import files
from weft.identity.passwords import hash_password

LOG = logging.getLogger(__name__)

DOMAIN_ID = "default"
DOMAIN_NAME = "Default"
ADMIN, MEMBER, READER, SERVICE = "admin", "member", "reader", "service"
ROLES = (ADMIN, MEMBER, READER, SERVICE)


class IdentityError(ValueError):
    """A change of users or projects that cannot be made; the message says why."""


class Role(msgspec.Struct, frozen=True):
    id: str
    name: str


class Project(msgspec.Struct, frozen=True):
    id: str
    name: str
    description: str = ""
    enabled: bool = True


class User(msgspec.Struct, frozen=True):
    id: str
    name: str
    #: as `passwords.hash_password` made it
    password: str
    enabled: bool = True


class Grant(msgspec.Struct, frozen=True):
    """A user holds a role in a project."""

    user_id: str
    project_id: str
    role_id: str


class Directory(msgspec.Struct, frozen=True):
    """Everything in the file at one moment. A handful of rows, so look-ups are plain scans."""

    roles: tuple[Role, ...] = ()
    projects: tuple[Project, ...] = ()
    users: tuple[User, ...] = ()
    grants: tuple[Grant, ...] = ()

    def role(self, name: str) -> Role | None:
        return next((r for r in self.roles if r.name == name), None)

    def role_by_id(self, id: str) -> Role | None:
        return next((r for r in self.roles if r.id == id), None)

    def project(self, id: str) -> Project | None:
        return next((p for p in self.projects if p.id == id), None)

    def project_named(self, name: str) -> Project | None:
        # names are compared without case, as by Keystone on MySQL
        return next((p for p in self.projects if p.name.casefold() == name.casefold()), None)

    def user(self, id: str) -> User | None:
        return next((u for u in self.users if u.id == id), None)

    def user_named(self, name: str) -> User | None:
        return next((u for u in self.users if u.name.casefold() == name.casefold()), None)

    def roles_of(self, user_id: str, project_id: str) -> tuple[Role, ...]:
        held = {g.role_id for g in self.grants if (g.user_id, g.project_id) == (user_id, project_id)}
        return tuple(role for role in self.roles if role.id in held)

    def roles_anywhere(self, user_id: str) -> frozenset[str]:
        """Names of the roles that a user holds in at least one project."""
        held = {g.role_id for g in self.grants if g.user_id == user_id}
        return frozenset(role.name for role in self.roles if role.id in held)

    def projects_of(self, user_id: str) -> tuple[Project, ...]:
        """Enabled projects in which the user holds a role: those a token can be scoped to."""
        held = {g.project_id for g in self.grants if g.user_id == user_id}
        return tuple(p for p in self.projects if p.id in held and p.enabled)


class Users:
    """The file `identity.json` of a state folder; follows changes that other processes make to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "identity.json"
        self._mutex = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._directory = Directory()
        self._read(strict=True)

    @staticmethod
    def exist(folder: Path) -> bool:
        return (folder / "identity.json").exists()

    @staticmethod
    def create(folder: Path, directory: Directory) -> Users:
        """Begin with `directory`. Overwrites nothing: raises IdentityError if there is a file."""
        if Users.exist(folder):
            raise IdentityError(f"{folder / 'identity.json'} exists")
        _write(folder / "identity.json", directory)
        return Users(folder)

    def now(self) -> Directory:
        """The directory as the file has it now."""
        if self._stat() != self._seen:
            self._read(strict=False)
        return self._directory

    def change(self, step: Callable[[Directory], Directory]) -> Directory:
        """Replace the directory by `step` of it; one writer at a time, in all processes."""
        with (self.path.parent / "identity.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read(strict=True)
            after = step(self._directory)
            _write(self.path, after)
            self._read(strict=True)
        return after

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self, strict: bool) -> None:
        with self._mutex:
            seen = self._stat()
            if seen == self._seen and not strict:
                return
            try:
                self._directory = msgspec.json.decode(self.path.read_bytes(), type=Directory)
            except (OSError, ValueError) as error:
                if strict:
                    raise IdentityError(f"{self.path} cannot be read: {error}") from error
                # a hand that edits the file must not lock everybody out half way
                LOG.error("%s cannot be read, going on with what it said before: %s", self.path, error)
            self._seen = seen


def _write(path: Path, directory: Directory) -> None:
    files.write_private(path, msgspec.json.format(msgspec.json.encode(directory), indent=1) + b"\n")


def empty_directory() -> Directory:
    """No users and no projects; the standard roles."""
    return Directory(roles=tuple(Role(uuid4().hex, name) for name in ROLES))


def new_project(name: str, description: str = "") -> Project:
    return Project(uuid4().hex, name, description)


def new_user(name: str, password: str) -> User:
    """Raises IdentityError without a password."""
    if not password:
        raise IdentityError("a user needs a password")
    return User(uuid4().hex, name, hash_password(password))


def with_project(before: Directory, project: Project) -> Directory:
    """Raises IdentityError if the name is empty or taken."""
    if not project.name.strip():
        raise IdentityError("a project needs a name")
    if before.project_named(project.name):
        raise IdentityError(f"there is a project {project.name} already")
    return msgspec.structs.replace(before, projects=(*before.projects, project))


def with_user(before: Directory, user: User) -> Directory:
    """Raises IdentityError if the name is empty or taken."""
    if not user.name.strip():
        raise IdentityError("a user needs a name")
    if before.user_named(user.name):
        raise IdentityError(f"there is a user {user.name} already")
    return msgspec.structs.replace(before, users=(*before.users, user))


def with_roles(before: Directory, user_name: str, project_name: str, roles: Iterable[str]) -> Directory:
    """The user holds `roles` in the project, too. Raises IdentityError for what does not exist."""
    user, project = _the_user(before, user_name), _the_project(before, project_name)
    grants = list(before.grants)
    for name in roles:
        role = before.role(name)
        if role is None:
            raise IdentityError(f"there is no role {name}")
        wanted = Grant(user.id, project.id, role.id)
        if wanted not in grants:
            grants.append(wanted)
    return msgspec.structs.replace(before, grants=tuple(grants))


def with_password(before: Directory, user_name: str, hashed: str) -> Directory:
    """The user has another password; tokens got with the old one end."""
    user = _the_user(before, user_name)
    after = msgspec.structs.replace(user, password=hashed)
    return msgspec.structs.replace(before, users=tuple(after if u is user else u for u in before.users))


def without_user(before: Directory, name: str) -> Directory:
    """The user and their roles are gone; their tokens end."""
    user = _the_user(before, name)
    return msgspec.structs.replace(
        before,
        users=tuple(u for u in before.users if u is not user),
        grants=tuple(g for g in before.grants if g.user_id != user.id),
    )


def without_project(before: Directory, name: str) -> Directory:
    """The project and the roles held in it are gone. Its networks stay until an administrator deletes them."""
    project = _the_project(before, name)
    return msgspec.structs.replace(
        before,
        projects=tuple(p for p in before.projects if p is not project),
        grants=tuple(g for g in before.grants if g.project_id != project.id),
    )


def add_project(users: Users, name: str, description: str = "") -> Project:
    """Add a project to the file. Raises IdentityError if the name is empty or taken."""
    project = new_project(name, description)
    users.change(lambda before: with_project(before, project))
    return project


def add_user(users: Users, name: str, password: str, project: str, roles: Iterable[str] = (MEMBER, READER)) -> User:
    """Add a user who holds `roles` in `project` (a name) to the file.

    Raises IdentityError for a taken or empty name, an unknown project or role; the file is then as before.
    """
    user, held = new_user(name, password), tuple(roles)
    users.change(lambda before: with_roles(with_user(before, user), name, project, held))
    return user


def set_password(users: Users, name: str, password: str) -> None:
    """Give a user another password. Raises IdentityError for an unknown user or an empty password."""
    hashed = new_user(name, password).password
    users.change(lambda before: with_password(before, name, hashed))


def _the_user(directory: Directory, name: str) -> User:
    user = directory.user_named(name)
    if user is None:
        raise IdentityError(f"there is no user {name}")
    return user


def _the_project(directory: Directory, name: str) -> Project:
    project = directory.project_named(name)
    if project is None:
        raise IdentityError(f"there is no project {name}")
    return project
