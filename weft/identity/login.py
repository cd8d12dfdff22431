"""From a request for a token to the token, and from a token to whom it stands for."""

from __future__ import annotations

import functools
import math
import threading
from typing import Any

import falcon
import msgspec

from weft.identity.passwords import hash_password, new_password, stamp, verify_password
from weft.identity.throttle import Throttle
from weft.identity.tokens import Claims, InvalidTokenError, Tokens
from weft.identity.users import ADMIN, DOMAIN_ID, DOMAIN_NAME, SERVICE, Directory, Project, Role, User, Users
from weft.identity.views import Caller

#: password hashes computed at a time; each takes 16 MiB
HASHING = threading.BoundedSemaphore(2)


class DomainRef(msgspec.Struct, frozen=True):
    id: str | None = None
    name: str | None = None

    @property
    def is_ours(self) -> bool:
        if self.id is not None:
            return self.id == DOMAIN_ID
        return self.name is not None and self.name.casefold() == DOMAIN_NAME.casefold()


class UserRef(msgspec.Struct, frozen=True):
    password: str
    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None


class PasswordMethod(msgspec.Struct, frozen=True):
    user: UserRef


class TokenMethod(msgspec.Struct, frozen=True):
    id: str


class Identity(msgspec.Struct, frozen=True):
    methods: list[str]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None


class ProjectRef(msgspec.Struct, frozen=True):
    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None


class Scope(msgspec.Struct, frozen=True):
    project: ProjectRef | None = None
    domain: DomainRef | None = None
    unscoped: dict[str, Any] | None = None


class Auth(msgspec.Struct, frozen=True):
    identity: Identity
    scope: Scope | str | None = None


class AuthRequest(msgspec.Struct, frozen=True):
    """The body of POST /v3/auth/tokens (Identity API v3, "Authentication and token management")."""

    auth: Auth


@functools.cache
def _nobody() -> str:
    """A hash that is verified when there is no such user, so that the time of the answer does not tell."""
    return hash_password(new_password())


def unauthorized(message: str = "The request you have made requires authentication.") -> falcon.HTTPUnauthorized:
    return falcon.HTTPUnauthorized(description=message)


def bad_request(message: str) -> falcon.HTTPBadRequest:
    return falcon.HTTPBadRequest(description=message)


def parse(body: bytes) -> Auth:
    """The request for a token; 400 with the place and the reason for what is none."""
    try:
        return msgspec.json.decode(body, type=AuthRequest).auth
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The request body is not valid: {error}") from error


class Login:
    """Checks who asks and issues what they may have."""

    def __init__(self, users: Users, tokens: Tokens, throttle: Throttle) -> None:
        self.users = users
        self.tokens = tokens
        self.throttle = throttle

    def caller(self, token: str) -> Caller:
        """Whom `token` stands for now. Raises InvalidTokenError also if the user, project or roles are gone."""
        claims = self.tokens.read(token)
        directory = self.users.now()
        user = directory.user(claims.user_id)
        if user is None or not user.enabled or stamp(user.password) != claims.stamp:
            raise InvalidTokenError("of a user or password that is no more")
        if not (claims.project_id or claims.domain_id):
            return Caller(claims, user, None, ())
        project = directory.project(claims.project_id)
        roles = _roles(directory, user, project)
        if not roles or (claims.project_id and project is None):
            raise InvalidTokenError("of a scope that is no more")
        return Caller(claims, user, project, roles)

    def issue(self, auth: Auth) -> tuple[str, Caller]:
        """A token for what `auth` proves and asks, and whom it stands for."""
        user, parent = self._who(auth.identity)
        directory = self.users.now()
        project, domain_id = _scope(directory, auth.scope)
        roles: tuple[Role, ...] = ()
        if project is not None or domain_id:
            roles = _roles(directory, user, project)
            if not roles:
                raise unauthorized(f"User {user.name} has no access to the requested scope.")
        methods = tuple(sorted({*auth.identity.methods, *(parent.methods if parent else ())}))
        project_id = project.id if project else ""
        token, claims = self.tokens.issue(user.id, stamp(user.password), methods, project_id, domain_id, parent)
        return token, Caller(claims, user, project, roles)

    def _who(self, identity: Identity) -> tuple[User, Claims | None]:
        """The user whom every method given proves, and the claims of the token that was one of them."""
        if not identity.methods:
            raise bad_request("auth.identity.methods is empty.")
        proven: list[User] = []
        parent: Claims | None = None
        for method in identity.methods:
            if method == "password":
                if identity.password is None:
                    raise bad_request("auth.identity.password is missing.")
                proven.append(self._by_password(identity.password.user))
            elif method == "token":
                if identity.token is None:
                    raise bad_request("auth.identity.token is missing.")
                try:
                    caller = self.caller(identity.token.id)
                except InvalidTokenError as error:
                    raise unauthorized() from error
                proven.append(caller.user)
                parent = caller.claims
            else:
                raise unauthorized(f"Attempted to authenticate with an unsupported method: {method}.")
        if any(user.id != proven[0].id for user in proven):
            raise unauthorized()
        return proven[0], parent

    def _by_password(self, given: UserRef) -> User:
        directory = self.users.now()
        if given.id is not None:
            user = directory.user(given.id)
        elif given.name is None:
            raise bad_request("auth.identity.password.user needs an id or a name.")
        elif given.domain is None:
            raise bad_request("auth.identity.password.user.domain is missing.")
        else:
            user = directory.user_named(given.name) if given.domain.is_ours else None
        name = user.id if user else f"{given.id or given.name}"[:255]
        # A service has a random password that a machine made: guessing is hopeless, pausing it would stop the service.
        paused = user is None or SERVICE not in directory.roles_anywhere(user.id)
        if paused and (pause := self.throttle.pause(name)):
            raise falcon.HTTPTooManyRequests(
                description=f"Too many failed logins of this user; try again in {math.ceil(pause)} seconds.",
                retry_after=math.ceil(pause),
            )
        with HASHING:
            right = verify_password(given.password, user.password if user else _nobody())
        if user is None or not right or not user.enabled:
            self.throttle.failed(name)
            raise unauthorized()
        self.throttle.succeeded(name)
        return user


def _roles(directory: Directory, user: User, project: Project | None) -> tuple[Role, ...]:
    """Roles of a user in an enabled project; without a project in the domain, which only administrators have."""
    if project is not None:
        return directory.roles_of(user.id, project.id) if project.enabled else ()
    anywhere = directory.roles_anywhere(user.id)
    return tuple(r for r in directory.roles if r.name in anywhere) if ADMIN in anywhere else ()


def _scope(directory: Directory, scope: Scope | str | None) -> tuple[Project | None, str]:
    """(project, domain id) that is asked for; (None, "") is unscoped. 401 for what does not exist."""
    if scope is None or scope == "unscoped":
        return None, ""
    if isinstance(scope, str):
        raise bad_request("auth.scope: expected an object or 'unscoped'.")
    if scope.project is not None:
        return _project(directory, scope.project), ""
    if scope.domain is not None:
        if not scope.domain.is_ours:
            raise unauthorized("The requested domain does not exist.")
        return None, DOMAIN_ID
    if scope.unscoped is not None:
        return None, ""
    raise bad_request("auth.scope: expected project, domain or unscoped.")


def _project(directory: Directory, given: ProjectRef) -> Project:
    if given.id is not None:
        project = directory.project(given.id)
    elif given.name is None:
        raise bad_request("auth.scope.project needs an id or a name.")
    elif given.domain is None:
        raise bad_request("auth.scope.project.domain is missing.")
    else:
        project = directory.project_named(given.name) if given.domain.is_ours else None
    if project is None:
        raise unauthorized("The requested project does not exist or is not yours.")
    return project
