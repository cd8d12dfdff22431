"""The one controller: every resource x verb goes through these few functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, Protocol, TypeVar

import falcon

from weft import errors
from weft.api import allocations, if_match, notices, rehearsal, texts
from weft.api import query as queries
from weft.api.door import MOST_AT_ONCE, base_url, read_json
from weft.config import Config
from weft.context import Context
from weft.registry.attributes import Operation, extract
from weft.registry.resource import Action, Resource, Row
from weft.store import repetitions, rows
from weft.store.engine import Store
from weft.store.transaction import Differences, Environment, Transaction

T = TypeVar("T")
Doorbell = Callable[[], None]


class PolicyRules(Protocol):
    """What the controller asks of weft.api.policy.Policy."""

    def allows(self, context: Context, rule: str, target: Mapping[str, Any]) -> bool: ...

    def authorize(
        self,
        context: Context,
        action: str,
        member: str,
        target: Mapping[str, Any],
        explicit: Mapping[str, Any] = ...,
        attributes: Any = ...,
    ) -> None: ...

    def hidden(self, context: Context, member: str, attributes: Any, target: Mapping[str, Any]) -> frozenset[str]: ...

    def depends(self, context: Context, member: str, attributes: Any) -> bool: ...


class Target(dict[str, Any]):
    """What a policy rule is asked about: an API row, and by name (`network:project_id`) what it hangs on, loaded when asked."""

    __slots__ = ("_resource", "_tx")

    def __init__(self, tx: Transaction, resource: Resource, row: Row) -> None:
        super().__init__(row)
        self._tx = tx
        self._resource = resource

    def __missing__(self, key: str) -> Any:
        if key == "tenant_id":
            return self["project_id"]
        parent = self._resource.parent
        if parent is not None and key.startswith("ext_parent:"):
            found = self._tx.find(parent.resource, self[parent.column], everybody=True) or {}
            self[key] = found.get(key.partition(":")[2])
            return self[key]
        load = self._resource.strategy.related().get(key)
        if load is None:
            raise KeyError(key)
        self[key] = load(self._tx, self)
        return self[key]

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default


class Controller:
    """The verbs of the API over one store. `ring` wakes the reconcilers after a commit that changed something."""

    def __init__(
        self, store: Store, policy: PolicyRules, environment: Environment, ring: Doorbell = lambda: None
    ) -> None:
        self.store = store
        self.policy = policy
        self.environment = environment
        self.config: Config = environment.config
        self._ring = ring

    # -- transactions

    def reading(self, context: Context, work: Callable[[Transaction], T], kind: str = "") -> T:
        """Run `work` on one snapshot; `kind`: see Store.read."""
        return self.store.read(lambda connection: work(Transaction(connection, context, self.environment)), kind)

    def writing(
        self, context: Context, work: Callable[[Transaction], T], turn: str = "", *, patient: bool = False
    ) -> T:
        """Run `work` in the request's one transaction (Store.write), then wake who waits for changes.

        One that changes what Placement allocates is begun anew when Placement has agreed: nobody waits for it meanwhile.
        """
        changed, hopeful = False, True
        told: Differences = allocations.NOTHING

        def run(connection: Any) -> T:
            nonlocal changed, hopeful
            tx = Transaction(connection, context, self.environment, hopeful=hopeful)
            hopeful = False
            result = work(tx)
            changed = tx.finish()
            if tx.differences != told:
                raise allocations.Untold(tx.differences)
            return result

        def again(differences: Differences) -> T:
            nonlocal told
            told = differences
            return self.store.write(run, turn, patient=patient)

        try:
            result = self.store.write(run, turn, patient=patient)
        except allocations.Untold as first:
            result = allocations.agreed(again, first.differences, self.environment, self.store, context)
        if changed:
            self._ring()
        return result

    def commit(
        self,
        request: falcon.Request,
        response: falcon.Response,
        work: Callable[[Transaction], Any],
        status: int = 200,
        turn: str = "",
        patient: bool = False,
    ) -> None:
        """A write: run `work` in the request's one transaction and answer with the body that it returns; None: without.

        The one place that knows of dry runs and of repetitions.
        """
        context: Context = request.context.caller
        key = rehearsal.key_of(request, context) if "HTTP_IDEMPOTENCY_KEY" in request.env else None
        response.status = status
        if "dry_run" in request.query_string and rehearsal.is_dry(request.query_string):
            _reply(response, self._rehearse(context, work, status))
            return

        def run(tx: Transaction) -> tuple[repetitions.Kept | None, Any]:
            kept = key and repetitions.find(tx.connection, key)
            if kept:
                return kept, None
            body = work(tx)
            if key:
                repetitions.keep(tx.connection, key, status, b"" if body is None else texts.encode(body), tx.now)
            return None, body

        kept, body = self.writing(context, run, turn, patient=patient)
        if kept is not None:
            assert key is not None
            if kept.fingerprint != key.fingerprint:
                raise errors.IdempotencyKeyReused(key=key.key)
            response.set_header(rehearsal.REPLAYED, "true")
            response.status = kept.status
            response.data = kept.body
            response.content_type = "application/json" if kept.body else None
        elif body is not None:
            _reply(response, body, status)

    def _rehearse(self, context: Context, work: Callable[[Transaction], Any], status: int) -> dict[str, Any]:
        """What a write would have come to: its body and, under `dry_run`, its status and the changes."""

        def run(connection: Any) -> None:
            tx = Transaction(connection, context, self.environment)
            body = work(tx)
            tx.finish()
            said = body if isinstance(body, dict) else {}
            raise rehearsal.Rehearsed({**said, "dry_run": {"status": status, "changes": tx.done()}})

        try:
            self.store.write(run)
        except rehearsal.Rehearsed as end:
            return dict(end.result)
        raise AssertionError("unreachable")

    # -- reading

    def index(
        self, request: falcon.Request, response: falcon.Response, resource: Resource, parent_id: str = ""
    ) -> None:
        context: Context = request.context.caller
        asked = queries.parse(resource, request.query_string, self.config)

        def work(tx: Transaction, writing: bool = False) -> bytes | None:
            if writing:
                resource.strategy.before_list(tx, asked.query)
            elif resource.strategy.lists_write(tx, asked.query):
                return None
            where = [resource.table.c[resource.parent.column] == parent_id] if resource.parent else []
            _look_at_parent(tx, resource, parent_id)
            listed = resource.strategy.listed(tx, asked.query)
            pieces = rows.page(tx, resource, asked.query, *where) if listed is None else [listed]
            text = texts.ListText(resource.items)
            page: list[Row] = []
            for found in pieces:
                self._add(tx, resource, asked.fields, found, text)
                page += found if asked.query.limit is not None else ()
            more: dict[str, Any] = {}
            if asked.query.limit is not None:
                more[f"{resource.items}_links"] = queries.links(asked, self._url(request), page, resource.key)
            return text.end(more)

        body = self.reading(context, work)
        if body is None:
            body = self.writing(context, lambda tx: work(tx, writing=True))
        response.data = body
        response.content_type = "application/json"

    def _add(
        self, tx: Transaction, resource: Resource, fields: frozenset[str], found: list[Row], text: texts.ListText
    ) -> None:
        """Append to a list what the caller may see of the rows that he may see."""
        rule = f"get_{resource.rule}"
        allowed = [row for row in found if self.policy.allows(tx.context, rule, Target(tx, resource, row))]
        if allowed:
            text.add(self._show(tx, resource, allowed, fields))

    def show(
        self, request: falcon.Request, response: falcon.Response, resource: Resource, id: str, parent_id: str = ""
    ) -> None:
        context: Context = request.context.caller
        fields = queries.parse_fields(request.query_string)

        def work(tx: Transaction) -> Row:
            row = self._get(tx, resource, id, parent_id)
            return self._show(tx, resource, [row], fields)[0]

        _reply(response, {resource.member: self.reading(context, work, f"show {resource.member}")})

    # -- writing

    def create(
        self, request: falcon.Request, response: falcon.Response, resource: Resource, parent_id: str = ""
    ) -> None:
        context: Context = request.context.caller
        raw, bulk = extract(resource.member, resource.items, read_json(request))
        if bulk and not resource.bulk:
            raise errors.HTTPBadRequest("Bulk operation not supported")
        if len(raw) > MOST_AT_ONCE:
            raise errors.HTTPRequestEntityTooLarge(f"A request may create {MOST_AT_ONCE} objects.")
        hung = {resource.parent.column: parent_id} if resource.parent else {}
        values = [resource.reader.create(inner, context) for inner in raw]
        explicit = [_explicit(resource, inner, "create") for inner in raw]

        def work(tx: Transaction) -> dict[str, Any]:
            fresh = [{**one, **hung} for one in values]
            _look_at_parent(tx, resource, parent_id, creating=True)
            for one, said in zip(fresh, explicit, strict=True):
                self.policy.authorize(
                    context, "create", resource.rule, Target(tx, resource, one), said, resource.guarded
                )
                if resource.quota:
                    tx.hold_to_limit(one["project_id"], resource.quota)
            if resource.quota and bulk:
                tx.refuse_beyond(resource.quota, [one["project_id"] for one in fresh])
            made = resource.strategy.create_many(tx, fresh) if bulk else [resource.strategy.create(tx, fresh[0])]
            shown = self._show(tx, resource, made, frozenset())
            body: dict[str, Any] = {resource.items: shown} if bulk else {resource.member: shown[0]}
            if tx.config.notifications.on:
                notices.created(tx, resource, {resource.items: raw} if bulk else {resource.member: raw[0]}, body)
            return body

        turn = values[0]["project_id"] if resource.quota else ""
        self.commit(request, response, work, 201, turn, resource.strategy.patient)

    def update(
        self, request: falcon.Request, response: falcon.Response, resource: Resource, id: str, parent_id: str = ""
    ) -> None:
        context: Context = request.context.caller
        raw, bulk = extract(resource.member, resource.items, read_json(request))
        if bulk:
            raise errors.HTTPBadRequest(f"Unable to find '{resource.member}' in request body")
        changes = resource.reader.update(raw[0], context)
        said = _explicit(resource, raw[0], "update")
        expected = if_match.revision(request)

        def work(tx: Transaction) -> dict[str, Any]:
            old = self._get(tx, resource, id, parent_id, action="update", changes=changes, said=said)
            if_match.check(old, expected)
            new = resource.strategy.update(tx, old, dict(changes))
            body = {resource.member: self._show(tx, resource, [new], frozenset())[0]}
            if tx.config.notifications.on:
                notices.updated(tx, resource.member, id, raw[0], body)
            return body

        self.commit(request, response, work, turn=_turn(context, resource.strategy.moves_counters))

    def delete(
        self, request: falcon.Request, response: falcon.Response, resource: Resource, id: str, parent_id: str = ""
    ) -> None:
        if request.content_length:
            raise errors.HTTPBadRequest("Request body is not supported in DELETE.")
        expected = if_match.revision(request)

        def work(tx: Transaction) -> None:
            row = self._get(tx, resource, id, parent_id, action="delete")
            if_match.check(row, expected)
            shown = self._show(tx, resource, [row], frozenset())[0] if tx.config.notifications.on else None
            resource.strategy.delete(tx, row)
            if shown is not None:
                notices.deleted(tx, resource.member, id, shown)

        turn = _turn(request.context.caller, resource.quota)
        self.commit(request, response, work, 204, turn, resource.strategy.patient)

    def act(
        self,
        request: falcon.Request,
        response: falcon.Response,
        resource: Resource,
        action: Action,
        id: str,
        parent_id: str = "",
    ) -> None:
        """A member action: GET rule first, then the rule named like the action."""
        context: Context = request.context.caller
        wanted = action.needs_body or request.content_length
        body = read_json(request) if wanted and action.method != "GET" else None
        expected = if_match.revision(request)

        def work(tx: Transaction) -> Any:
            row = self._get(tx, resource, id, parent_id)
            if_match.check(row, expected)
            if action.policy:
                said = body.get(resource.member) if action.guarded and isinstance(body, dict) else None
                explicit = said if isinstance(said, dict) else {}
                self.policy.authorize(context, action.policy, "", Target(tx, resource, row), explicit, action.guarded)
            result = action.run(tx, row, body)
            if isinstance(result, dict) and isinstance(result.get(resource.member), dict):
                result[resource.member] = self._show(tx, resource, [result[resource.member]], frozenset())[0]
            if tx.config.notifications.on:
                notices.acted(tx, action.name, result)
            return result

        if action.method == "GET":
            _reply(response, self.reading(context, work), action.status)
        else:
            self.commit(request, response, work, action.status, _turn(context, resource.strategy.moves_counters))

    # -- pieces

    def _get(
        self,
        tx: Transaction,
        resource: Resource,
        id: str,
        parent_id: str,
        action: str = "",
        changes: Row | None = None,
        said: Mapping[str, Any] | None = None,
    ) -> Row:
        """The object, if the caller may see it (else 404) and do `action` to it (else 403)."""
        _look_at_parent(tx, resource, parent_id)
        locked = rows.ALONE if action == "delete" and resource.strategy.locked else ""
        row = resource.strategy.shown(tx, id) or tx.get(resource, id, parent_id=parent_id, lock=locked)
        if resource.parent and row[resource.parent.column] != parent_id:
            raise resource.missing(id, parent_id)
        visible = self.policy.allows(tx.context, f"get_{resource.rule}", Target(tx, resource, row))
        if not visible and (not action or not tx.context.sees_everything):
            raise errors.HTTPNotFound()
        if action:
            target = Target(tx, resource, {**row, **(changes or {})})
            rule = resource.update_rule if action == "update" and resource.update_rule else action
            try:
                self.policy.authorize(tx.context, rule, resource.rule, target, said or {}, resource.guarded)
            except errors.PolicyNotAuthorized:
                if action == "update" and self._only_shared(tx, resource, row):
                    raise errors.HTTPNotFound() from None
                raise
        return row

    def _only_shared(self, tx: Transaction, resource: Resource, row: Row) -> bool:
        """The caller sees the object by its sharing alone, which an update does not read unless rules need it: it is not there."""
        shared = resource.by_name.get("shared")
        if shared is None or shared.required_by_policy or not row["shared"]:
            return False
        return not self.policy.allows(
            tx.context, f"get_{resource.rule}", Target(tx, resource, {**row, "shared": False})
        )

    def _show(self, tx: Transaction, resource: Resource, found: list[Row], fields: frozenset[str]) -> list[Row]:
        """What the caller may see of the rows, and asked for."""
        if not found:
            return []
        if len(found) == 1 or not self.policy.depends(tx.context, resource.rule, resource.shown):
            return texts.picked(found, resource.shown, self._hidden(tx, resource, found[0]), fields)
        alike = groupby(found, lambda row: self._hidden(tx, resource, row))
        return [one for hidden, rows in alike for one in texts.picked(list(rows), resource.shown, hidden, fields)]

    def _hidden(self, tx: Transaction, resource: Resource, row: Row) -> frozenset[str]:
        """The attributes of `row` that the caller may not see."""
        return self.policy.hidden(tx.context, resource.rule, resource.shown, Target(tx, resource, row))

    def seen(self, tx: Transaction, resource: Resource, row: Row) -> Row | None:
        """What the caller may see of an object; None where he may not see it at all."""
        if not self.policy.allows(tx.context, f"get_{resource.rule}", Target(tx, resource, row)):
            return None
        return self.shown(tx, resource, row)

    def shown(self, tx: Transaction, resource: Resource, row: Row) -> Row:
        """Of an object that the caller may see, the attributes that he may see."""
        return self._show(tx, resource, [row], frozenset())[0]

    def _url(self, request: falcon.Request) -> str:
        return f"{base_url(self.config, request)}{request.path}"


def _look_at_parent(tx: Transaction, resource: Resource, parent_id: str, *, creating: bool = False) -> None:
    """Raise the fault if there is no such parent for the caller, or none that has these sub-resources."""
    above = resource.parent
    if above:
        everybody = creating and above.strangers_are_refused
        resource.strategy.check_parent(tx, tx.get(above.resource, parent_id, everybody=everybody))


def _turn(context: Context, counted: object) -> str:
    """Whose turn it is in a write that moves counters (Store.write): those of one project come one after the other."""
    return context.project_id if counted else ""


def _explicit(resource: Resource, body: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    """The attributes with a policy rule of their own that a body sets explicitly."""
    names = resource.reader.explicit(body, operation)
    return {name: body.get(name, body.get("tenant_id")) for name in names}


def _reply(response: falcon.Response, body: Any, status: int = 200) -> None:
    response.status = status
    response.data = texts.encode(body)
    response.content_type = "application/json"
