"""The whole API in one process on a real database: callers of any project, and a count of the statements they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from sqlalchemy import event

from weft import app, config
from weft.context import Context
from weft.registry.resource import Row
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

Answer = tuple[int, Any]


def caller(environ: Mapping[str, Any]) -> Context:
    """Who asks, read from headers: the tests' stand-in for Keystone."""
    roles = frozenset(environ["HTTP_X_ROLES"].split(","))
    return Context(
        user_id=environ["HTTP_X_USER_ID"],
        project_id=environ["HTTP_X_PROJECT_ID"],
        roles=roles,
        is_admin="admin" in roles,
        is_service="service" in roles,
    )


@dataclass(frozen=True)
class Api:
    """A caller of the API. Paths are below /v2.0; every verb returns (status, decoded body or None)."""

    client: testing.TestClient
    store: Store
    config: config.Config
    project: str = "p1"
    roles: str = "member,reader"

    def as_(self, project: str, roles: str = "member,reader") -> Api:
        return replace(self, project=project, roles=roles)

    @property
    def admin(self) -> Api:
        """An administrator, whose own project is `admin`."""
        return self.as_("admin", "admin,member,reader")

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, None, headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.request("POST", path, body, headers)

    def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self.request("PUT", path, body, headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.request("DELETE", path, None, headers)

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """`headers` are written like If_Match."""
        who = {"X-User-Id": f"user of {self.project}", "X-Project-Id": self.project, "X-Roles": self.roles}
        path, _, query = path.partition("?")
        more: dict[str, Any] = {} if body is None else {"json": body}
        answer = self.client.simulate_request(
            method,
            f"/v2.0/{path.lstrip('/')}",
            query_string=query,
            headers={**who, **{name.replace("_", "-"): value for name, value in (headers or {}).items()}},
            **more,
        )
        return answer.status_code, answer.json if answer.content else None

    def make(self, collection: str, **values: Any) -> Row:
        """POST one object that must come to be; returns its inner body."""
        member = _member(collection)
        status, body = self.post(collection, {member: values})
        assert status == 201, body
        return dict(body[member])

    def show(self, collection: str, id: str) -> Row:
        status, body = self.get(f"{collection}/{id}")
        assert status == 200, body
        return dict(body[_member(collection)])

    def list(self, collection: str, query: str = "") -> list[Row]:
        status, body = self.get(f"{collection}?{query}" if query else collection)
        assert status == 200, body
        return next(list(value) for key, value in body.items() if not key.endswith("_links"))

    def fault(self, answer: Answer) -> tuple[int, str]:
        """(status, type) of an answer that is a fault."""
        status, body = answer
        assert status >= 400, body
        return status, body["NeutronError"]["type"]

    def inside(self, work: Callable[[Transaction], Any], context: Context | None = None) -> Any:
        """Run `work` in a transaction of its own, as Weft itself does."""
        who = context or Context(user_id="weft", project_id="", roles=frozenset({"admin"}), is_admin=True)

        def run(connection: Any) -> Any:
            tx = Transaction(connection, who, Environment(self.config))
            result = work(tx)
            tx.finish()
            return result

        return self.store.write(run)

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL statements that run inside the `with`; BEGIN and COMMIT are not among them."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            seen.append(statement)

        event.listen(self.store.engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(self.store.engine, "before_cursor_execute", note)


IRREGULAR = {"qos/policies": "policy", "security-groups-default-statefulness": "security_groups_default_statefulness"}


def _member(collection: str) -> str:
    """security-groups -> security_group."""
    known = IRREGULAR.get(collection)
    if known:
        return known
    name = collection.rpartition("/")[2].replace("-", "_")
    return f"{name[:-3]}y" if name.endswith("ies") else f"{name[:-2]}" if name.endswith("sses") else name[:-1]


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    """Options of the installation, by field of Config; a test module overrides this fixture."""
    return {}


@pytest.fixture
def api(tmp_path: Path, database: str, options: dict[str, dict[str, Any]]) -> Iterator[Api]:
    """An empty installation on a database of its own."""
    given = {section: dict(values) for section, values in options.items()}
    given.setdefault("api", {}).setdefault("state_path", str(tmp_path))
    given.setdefault("database", {}).setdefault("connection", database)
    settings = config.load(**given)
    store = Store(settings)
    try:
        yield Api(testing.TestClient(app.make_api(settings, caller, store=store)), store, settings)
    finally:
        store.close()
