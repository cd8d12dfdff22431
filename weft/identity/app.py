"""The Identity API v3 as far as clients of a one-machine installation need it: tokens, and read-only listings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

import falcon
import msgspec

from weft.context import new_request_id
from weft.identity import login, views
from weft.identity.throttle import Throttle
from weft.identity.tokens import InvalidTokenError, Tokens
from weft.identity.users import ADMIN, DOMAIN_ID, Directory, Role, Users
from weft.identity.views import Caller, Json, Sites

LOG = logging.getLogger(__name__)

#: bytes of the largest request body; a request for a token has some hundred
MAX_BODY = 64 * 1024

FORBIDDEN = "You are not authorized to perform the requested action: it needs the role admin."
READ_ONLY = "Users, projects and roles of this installation are kept in its state folder; HTTP only reads them."


App = falcon.App[falcon.Request, falcon.Response]


def make_app(users: Users, tokens: Tokens, public_url: str, network_url: str, throttle: Throttle | None = None) -> App:
    """The WSGI application; the URLs are those under which clients reach Identity and Networking."""
    at = views.sites(public_url, network_url)
    door = login.Login(users, tokens, throttle or Throttle())
    app = falcon.App(middleware=[_Headers()])
    app.req_options.strip_url_path_trailing_slash = True
    app.set_error_serializer(_envelope(at))
    app.add_route("/", Versions(at))
    app.add_route("/v3", Version(at))
    app.add_route("/v3/auth/tokens", AuthTokens(door, at))
    app.add_route("/v3/auth/catalog", AuthCatalog(door, at))
    app.add_route("/v3/auth/projects", AuthProjects(door, at))
    app.add_route("/v3/auth/domains", AuthDomains(door, at))
    app.add_route("/v3/users/{id}/projects", UserProjects(door, at))
    app.add_route("/v3/projects/{id}/users/{user_id}/roles", ProjectUserRoles(door, at))
    app.add_route("/v3/projects/{id}/users/{user_id}/roles/{role_id}", ProjectUserRoles(door, at), suffix="one")
    app.add_route("/v3/role_assignments", RoleAssignments(door, at))
    for kind in KINDS:
        app.add_route(f"/v3/{kind.collection}", Collection(kind, door, at))
        app.add_route(f"/v3/{kind.collection}/{{id}}", Member(kind, door, at))
    return app


class _Headers:
    """What every answer carries."""

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        resp.append_header("Vary", "X-Auth-Token")
        resp.set_header("X-Openstack-Request-Id", new_request_id())


def _envelope(at: Sites) -> Callable[[falcon.Request, falcon.Response, falcon.HTTPError], None]:
    """Faults as Keystone sends them."""

    def serialize(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
        status = HTTPStatus(falcon.http_status_to_code(error.status))
        message = error.description or status.description or status.phrase
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            message = READ_ONLY
        elif status == HTTPStatus.UNAUTHORIZED:
            resp.set_header("WWW-Authenticate", f'Keystone uri="{at.identity}"')
        elif status == HTTPStatus.NOT_FOUND and not error.description:
            message = "The resource could not be found."
        fault = {
            "code": status.value,
            "title": falcon.code_to_http_status(error.status).partition(" ")[2],
            "message": message,
        }
        resp.data = msgspec.json.encode({"error": fault})
        resp.content_type = falcon.MEDIA_JSON

    return serialize


def _answer(resp: falcon.Response, body: Json, status: str = falcon.HTTP_200) -> None:
    resp.status = status
    resp.data = msgspec.json.encode(body)
    resp.content_type = falcon.MEDIA_JSON


class Versions:
    """GET /: which versions there are; 300 as Keystone answers."""

    def __init__(self, at: Sites) -> None:
        self.at = at

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        _answer(resp, {"versions": {"values": [views.version(self.at)]}}, falcon.HTTP_300)

    on_head = on_get


class Version:
    """GET /v3: this version."""

    def __init__(self, at: Sites) -> None:
        self.at = at

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        _answer(resp, {"version": views.version(self.at)})

    on_head = on_get


class _Guarded:
    """Something that only holders of a token see."""

    def __init__(self, door: login.Login, at: Sites) -> None:
        self.door = door
        self.at = at

    def caller(self, req: falcon.Request) -> Caller:
        """Who asks: 401 without a good X-Auth-Token."""
        try:
            return self.door.caller(req.get_header("X-Auth-Token") or "")
        except InvalidTokenError as error:
            raise login.unauthorized() from error

    def listing(self, req: falcon.Request, resp: falcon.Response, name: str, rows: Iterable[Json]) -> None:
        path = req.path.removeprefix("/v3/") + (f"?{req.query_string}" if req.query_string else "")
        links = {"self": self.at.link(path), "previous": None, "next": None}
        _answer(resp, {name: list(rows), "links": links})


class AuthTokens(_Guarded):
    """/v3/auth/tokens: get, validate and revoke tokens."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = req.bounded_stream.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise falcon.HTTPContentTooLarge(description=f"The request body is larger than {MAX_BODY} bytes.")
        token, caller = self.door.issue(login.parse(body))
        self._show(req, resp, token, caller, falcon.HTTP_201)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = self.caller(req)
        token, subject = self._subject(req)
        if subject.user.id != caller.user.id and not (caller.is_admin or caller.is_service):
            raise falcon.HTTPForbidden(description=FORBIDDEN)
        self._show(req, resp, token, subject, falcon.HTTP_200)

    on_head = on_get

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = self.caller(req)
        _, subject = self._subject(req)
        if subject.user.id != caller.user.id and not caller.is_admin:
            raise falcon.HTTPForbidden(description=FORBIDDEN)
        self.door.tokens.revoke(subject.claims)
        resp.status = falcon.HTTP_204

    def _subject(self, req: falcon.Request) -> tuple[str, Caller]:
        """The token asked about: 400 without X-Subject-Token, 404 if it is not good."""
        token = req.get_header("X-Subject-Token")
        if not token:
            raise login.bad_request("The header X-Subject-Token is missing.")
        try:
            return token, self.door.caller(token)
        except InvalidTokenError as error:
            raise falcon.HTTPNotFound(description="Could not find token.") from error

    def _show(self, req: falcon.Request, resp: falcon.Response, token: str, caller: Caller, status: str) -> None:
        resp.set_header("X-Subject-Token", token)
        with_catalog = not req.has_param("nocatalog")
        _answer(resp, {"token": views.token(caller, self.at, with_catalog)}, status)


class AuthCatalog(_Guarded):
    """/v3/auth/catalog: the services; 403 without a scope, as Keystone answers."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        if not self.caller(req).is_scoped:
            raise falcon.HTTPForbidden(description="An unscoped token has no service catalog.")
        self.listing(req, resp, "catalog", views.catalog(self.at))

    on_head = on_get


class AuthProjects(_Guarded):
    """/v3/auth/projects: projects that the caller can get a token for."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = self.caller(req)
        projects = self.door.users.now().projects_of(caller.user.id)
        self.listing(req, resp, "projects", (views.project(p, self.at) for p in projects))

    on_head = on_get


class AuthDomains(_Guarded):
    """/v3/auth/domains: the domain, for those who can get a token for it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = self.caller(req)
        reachable = ADMIN in self.door.users.now().roles_anywhere(caller.user.id)
        self.listing(req, resp, "domains", [views.domain(self.at)] if reachable else [])

    on_head = on_get


class UserProjects(_Guarded):
    """/v3/users/{id}/projects: projects of a user, for the user and administrators."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        caller = self.caller(req)
        directory = self.door.users.now()
        if id != caller.user.id and not caller.is_admin:
            raise falcon.HTTPForbidden(description=FORBIDDEN)
        if directory.user(id) is None:
            raise falcon.HTTPNotFound(description=f"Could not find user: {id}.")
        rows = (views.project(p, self.at) for p in directory.projects_of(id))
        self.listing(req, resp, "projects", _filtered(rows, req))

    on_head = on_get


class ProjectUserRoles(_Guarded):
    """/v3/projects/{project}/users/{user}/roles[/{role}]: roles that a user holds in a project."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str, user_id: str) -> None:
        held = self._held(req, id, user_id)
        self.listing(req, resp, "roles", (views.role(role, self.at) for role in held))

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, id: str, user_id: str, role_id: str) -> None:
        if all(role.id != role_id for role in self._held(req, id, user_id)):
            raise falcon.HTTPNotFound(description=f"Could not find role: {role_id}.")
        resp.status = falcon.HTTP_204

    on_head = on_get
    on_head_one = on_get_one

    def _held(self, req: falcon.Request, project_id: str, user_id: str) -> tuple[Role, ...]:
        if not self.caller(req).is_admin:
            raise falcon.HTTPForbidden(description=FORBIDDEN)
        directory = self.door.users.now()
        if directory.project(project_id) is None:
            raise falcon.HTTPNotFound(description=f"Could not find project: {project_id}.")
        if directory.user(user_id) is None:
            raise falcon.HTTPNotFound(description=f"Could not find user: {user_id}.")
        return directory.roles_of(user_id, project_id)


class RoleAssignments(_Guarded):
    """/v3/role_assignments: who holds which role where; callers may ask about themselves."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = self.caller(req)
        user_id, project_id = req.get_param("user.id"), req.get_param("scope.project.id")
        role_id = req.get_param("role.id")
        if not caller.is_admin and user_id != caller.user.id:
            raise falcon.HTTPForbidden(description=FORBIDDEN)
        # there are no groups, and no roles on the domain or the system
        elsewhere = any(req.has_param(name) for name in ("group.id", "scope.domain.id", "scope.system"))
        names = req.has_param("include_names") and _truth(req.get_param("include_names"))
        rows = [
            row
            for row in views.assignments(self.door.users.now(), names, self.at)
            if user_id in (None, row["user"]["id"])
            and project_id in (None, row["scope"]["project"]["id"])
            and role_id in (None, row["role"]["id"])
        ]
        self.listing(req, resp, "role_assignments", [] if elsewhere else rows)

    on_head = on_get


@dataclass(frozen=True)
class Kind:
    """Something that is listed and shown: its names on the wire, its rows, and which of them who may see.

    `own` gives the ids that a caller without the role admin may show; `everybody` opens list and all members.
    """

    collection: str
    member: str
    rows: Callable[[Directory, Sites], list[Json]]
    own: Callable[[Directory, Caller], set[str]] = lambda directory, caller: set()
    everybody: bool = False


KINDS = (
    Kind(
        "projects",
        "project",
        lambda directory, at: [views.project(p, at) for p in directory.projects],
        own=lambda directory, caller: {p.id for p in directory.projects_of(caller.user.id)},
    ),
    Kind(
        "users",
        "user",
        lambda directory, at: [views.user(u, at) for u in directory.users],
        own=lambda directory, caller: {caller.user.id},
    ),
    Kind("roles", "role", lambda directory, at: [views.role(r, at) for r in directory.roles]),
    Kind("domains", "domain", lambda directory, at: [views.domain(at)], own=lambda directory, caller: {DOMAIN_ID}),
    Kind("services", "service", lambda directory, at: views.services(at)),
    Kind("endpoints", "endpoint", lambda directory, at: views.endpoints(at)),
    Kind("regions", "region", lambda directory, at: [views.region(at)], everybody=True),
)


class Collection(_Guarded):
    """GET /v3/{collection}: all of a kind, or those whose attributes equal the query's.

    Listing is for administrators. Others find themselves and their projects by name, as clients do before they show
    something (Keystone refuses that, and `openstack project show` with it).
    """

    def __init__(self, kind: Kind, door: login.Login, at: Sites) -> None:
        super().__init__(door, at)
        self.kind = kind

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = self.caller(req)
        directory = self.door.users.now()
        rows = _filtered(self.kind.rows(directory, self.at), req)
        if not (caller.is_admin or self.kind.everybody):
            own = self.kind.own(directory, caller)
            rows = [row for row in rows if row["id"] in own and req.has_param("name")]
            if not rows:
                raise falcon.HTTPForbidden(description=FORBIDDEN)
        self.listing(req, resp, self.kind.collection, rows)

    on_head = on_get


class Member(_Guarded):
    """GET /v3/{collection}/{id}. Who may not see all learns nothing about what exists: 403 also for what does not."""

    def __init__(self, kind: Kind, door: login.Login, at: Sites) -> None:
        super().__init__(door, at)
        self.kind = kind

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        caller = self.caller(req)
        directory = self.door.users.now()
        if not (caller.is_admin or self.kind.everybody or id in self.kind.own(directory, caller)):
            raise falcon.HTTPForbidden(description=FORBIDDEN)
        row = next((row for row in self.kind.rows(directory, self.at) if row["id"] == id), None)
        if row is None:
            raise falcon.HTTPNotFound(description=f"Could not find {self.kind.member}: {id}.")
        _answer(resp, {self.kind.member: row})

    on_head = on_get


def _truth(value: str | None) -> bool:
    return (value or "").lower() not in ("0", "false", "no", "off")


def _filtered(rows: Iterable[Json], req: falcon.Request) -> list[Json]:
    """Rows whose attributes equal those in the query; parameters that are no attributes are ignored, as by Keystone."""

    def matches(row: Json) -> bool:
        for name, wanted in req.params.items():
            if name not in row or isinstance(row[name], list | dict):
                continue
            wanted = wanted[-1] if isinstance(wanted, list) else wanted
            have = row[name]
            if isinstance(have, bool):
                same = have == _truth(wanted)
            else:
                same = str("" if have is None else have).casefold() == wanted.casefold()
            if not same:
                return False
        return True

    return [row for row in rows if matches(row)]
