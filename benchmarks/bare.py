"""What PostgreSQL allows at all: the statements of a request alone, by psycopg, without Weft, HTTP or tokens.

Each request is a rehearsal (`dry_run`), so that its statements can be sent again and again: the recorded ones, in one
transaction that is rolled back; what a COMMIT costs is measured with one counter. A list is its statement alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import msgspec
import psycopg
from falcon import testing
from psycopg.types.json import set_json_loads
from sqlalchemy import event

from benchmarks.api import DURABLE, LIMITED, ROOT
from weft import app, config
from weft.context import Context
from weft.store.engine import Store

Row = dict[str, Any]
Statements = list[tuple[str, Any]]
WHO = Context(user_id="u", project_id="p", roles=frozenset({"member", "reader"}))


class Weft:
    """The API in this process, whose statements can be recorded."""

    def __init__(self, url: str, folder: str) -> None:
        limits = {f"quota_{kind}": 1_000_000 for kind in LIMITED}
        settings = config.load(api={"state_path": folder}, database={"connection": url}, quotas=limits)
        app.prepare(settings)
        self.store = Store(settings)
        self._client = testing.TestClient(app.make_api(settings, lambda _environ: WHO, store=self.store))
        self._seen: Statements = []
        event.listen(self.store.engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        self._seen.append((statement, values))

    def ask(self, method: str, path: str, body: Any = None) -> Row:
        path, _, query = path.partition("?")
        more: dict[str, Any] = {} if body is None else {"json": body}
        answer = self._client.simulate_request(method, f"/v2.0/{path}", query_string=query, **more)
        if answer.status_code >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.text}")
        return dict(answer.json) if answer.content else {}

    def make(self, path: str, **values: Any) -> str:
        member = path.replace("-", "_")[:-1]
        return str(self.ask("POST", path, {member: values})[member]["id"])

    def record(self, method: str, path: str, body: Any = None) -> Statements:
        """The statements of a request."""
        self._seen = []
        self.ask(method, path, body)
        return self._seen


def requests(weft: Weft, ports: int, rules: int) -> Iterator[tuple[str, Statements]]:
    """(what it does, its statements) on a network with `ports`, in a project with `rules` in groups of 20."""
    on = weft.make("networks", name="n")
    weft.make("subnets", network_id=on, cidr="10.0.0.0/8", ip_version=4)
    for _ in range(max(1, ports // 500)):
        port = weft.ask("POST", "ports", {"ports": [{"network_id": on} for _ in range(min(ports, 500))]})["ports"][0][
            "id"
        ]
    group = weft.make("security-groups", name="g")
    for _ in range(rules // 20):
        several = weft.make("security-groups", name="g")
        made = [{"security_group_id": several, "direction": "ingress", "protocol": "tcp"} for _ in range(18)]
        for number, rule in enumerate(made, 1):
            rule |= {"port_range_min": number, "port_range_max": number}  # type: ignore[dict-item]
        weft.ask("POST", "security-group-rules", {"security_group_rules": made})
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    rehearsed: tuple[tuple[str, str, str, Any], ...] = (
        ("create a network", "POST", "networks", {"network": {"name": "n"}}),
        (
            "create a subnet",
            "POST",
            "subnets",
            {"subnet": {"network_id": empty(weft), "cidr": "10.0.0.0/24", "ip_version": 4}},
        ),
        ("create a port", "POST", "ports", {"port": {"network_id": on}}),
        ("create a group", "POST", "security-groups", {"security_group": {"name": "n"}}),
        ("create a rule", "POST", "security-group-rules", {"security_group_rule": rule}),
        ("change a port", "PUT", f"ports/{port}", {"port": {"name": "another"}}),
        ("delete a network", "DELETE", f"networks/{empty(weft)}", None),
        ("delete a port", "DELETE", f"ports/{port}", None),
        ("delete a group", "DELETE", f"security-groups/{group}", None),
    )
    for what, method, path, body in rehearsed:
        yield what, weft.record(method, f"{path}?dry_run=true", body)
    yield "show a port", weft.record("GET", f"ports/{port}")
    yield "show a group", weft.record("GET", f"security-groups/{group}")
    yield f"list {ports} ports", weft.record("GET", "ports")
    yield f"list 100 of {ports} ports", weft.record("GET", "ports?limit=100")
    yield f"list {rules} rules", weft.record("GET", "security-group-rules")
    yield f"list groups with {rules} rules", weft.record("GET", "security-groups")


def empty(weft: Weft) -> str:
    return weft.make("networks", name="empty")


def best(work: Callable[[], None], seconds: float) -> float:
    """Milliseconds of the quickest of several runs, after enough of them for the server to have prepared what it will."""
    for _ in range(10):
        work()
    found, until = float("inf"), time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - began)
    return found * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", type=int, default=1000)
    parser.add_argument("--rules", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each line")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests import postgresql

    with postgresql.running(DURABLE) as server, TemporaryDirectory() as folder:
        url = server.url(server.create())
        weft = Weft(url, str(Path(folder)))
        found = list(requests(weft, arguments.ports, arguments.rules))
        weft.store.close()
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CREATE TABLE counter (n int)")
            connection.execute("INSERT INTO counter VALUES (0)")
            connection.prepared_max = 500
            cursor = connection.cursor()
            set_json_loads(msgspec.json.decode, connection)

            def run(*statements: LiteralString) -> None:
                for one in statements:
                    cursor.execute(one)

            begun = best(lambda: run("BEGIN", "ROLLBACK"), arguments.seconds)
            committed = best(lambda: run("BEGIN", "UPDATE counter SET n = n + 1", "COMMIT"), arguments.seconds) - begun
            print(f"BEGIN and ROLLBACK {begun:.2f} ms; COMMIT of a changed row {committed:.2f} ms more\n")
            print(f"{'':34} {'statements':>10} {'ms':>8} {'at most/s':>10}")
            for what, statements in found:

                def replay(statements: Statements = statements) -> None:
                    cursor.execute("BEGIN")
                    for statement, values in statements:
                        cursor.execute(statement, values)
                        if cursor.description:
                            cursor.fetchall()
                    cursor.execute("ROLLBACK")

                run("VACUUM ANALYZE")  # what was rolled back is in nobody's way
                reads = what.startswith(("show", "list"))
                took = best(replay, arguments.seconds) + (-begun if reads else committed)
                print(f"{what:34} {len(statements):10} {took:8.2f} {1000 / took:10.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
