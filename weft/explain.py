"""`weft policy explain`: why a caller may do something, or may not: who, what, which rule, each step of the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from weft import errors
from weft.api.handler import Target
from weft.api.policy import Explanation, Policy
from weft.config import Config
from weft.context import Context
from weft.registry.resource import Resource
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction


class ExplainError(RuntimeError):
    """The question cannot be answered; the message is for the person who asked."""


@dataclass(frozen=True)
class Question:
    """`rule` asked for a caller about an object: one of the database (`about`: collection/id), or attributes as said."""

    rule: str
    roles: Sequence[str] = ()
    project: str = ""
    user: str = ""
    about: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    system: bool = False


@dataclass(frozen=True)
class Answer:
    """The decision with its reasons."""

    who: str
    what: str
    rule: str
    because: Explanation
    visible: bool = True

    @property
    def allowed(self) -> bool:
        return self.because.allowed and self.visible

    def lines(self) -> list[str]:
        """For a person."""
        found = [f"who      {self.who}", f"what     {self.what}", f"rule     {self.rule}", *self.because.lines()]
        if not self.visible:
            found.append("but the caller does not see the object at all: the API answers 404")
        return [*found, f"verdict  {'allowed' if self.allowed else 'denied'}"]

    def facts(self) -> dict[str, Any]:
        """For a script."""
        return {
            "allowed": self.allowed,
            "visible": self.visible,
            "who": self.who,
            "what": self.what,
            "rule": self.rule,
            "because": _facts(self.because),
        }


def answer(config: Config, question: Question) -> Answer:
    """Decide as the API would with these policy files. Raises ExplainError."""
    try:
        return _decide(config, Policy(config), question)
    except (errors.ServiceUnavailable, OSError, ValueError) as error:
        raise ExplainError(str(error)) from error


def _decide(config: Config, policy: Policy, question: Question) -> Answer:
    caller = _caller(policy, question)
    if not question.about:
        target = dict(question.attributes)
        target.setdefault("tenant_id", target.get("project_id", ""))
        return _answer(policy, caller, question.rule, target, _words(target) or "nothing in particular", True)
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise ExplainError(f"there is no database {url.database}: name the --config or --state-dir of the service")
    store = Store(config)
    try:
        return store.read(lambda connection: _about(config, policy, caller, question, connection))
    finally:
        store.close()


def _about(config: Config, policy: Policy, caller: Context, question: Question, connection: Any) -> Answer:
    resource, id = _resource(question.about)
    tx = Transaction(connection, caller, Environment(config))
    found = tx.list(resource, resource.table.c.id == id, everybody=True)
    if not found:
        raise ExplainError(f"there is no {resource.member} {id}")
    row = {**found[0], **question.attributes}
    visible = bool(tx.list(resource, resource.table.c.id == id, everybody=False))
    what = f"{resource.member} {id} of project {row.get('project_id') or 'nobody'}"
    more = _words(question.attributes)
    what = f"{what}, with {more}" if more else what
    return _answer(policy, caller, question.rule, Target(tx, resource, row), what, visible)


def _answer(policy: Policy, caller: Context, rule: str, target: Mapping[str, Any], what: str, visible: bool) -> Answer:
    who = f"user {caller.user_id or 'unnamed'} of project {caller.project_id or 'none'}, roles " + (
        ", ".join(sorted(caller.roles)) or "none"
    )
    flags = [word for word, on in (("administrator", caller.is_admin), ("service", caller.is_service)) if on]
    who = f"{who} ({', '.join(flags)})" if flags else who
    source = policy.source(rule)
    text = f"{rule}: {policy.text(rule)}" + (f" ({source})" if source else "")
    return Answer(who, what, text, policy.explain(caller, rule, target), visible)


def _caller(policy: Policy, question: Question) -> Context:
    caller = Context(
        user_id=question.user,
        project_id=question.project,
        roles=frozenset(question.roles),
        system_scope="all" if question.system else "",
    )
    is_admin, is_service = policy.flags(caller)
    return replace(caller, is_admin=is_admin, is_service=is_service)


def _resource(about: str) -> tuple[Resource, str]:
    from weft import hooks
    from weft.resources import RESOURCES

    collection, _, id = about.rpartition("/")
    for resource in (*RESOURCES, *hooks.every_resource()):
        names = {resource.collection, resource.items, resource.member, f"{resource.prefix}/{resource.collection}"}
        if collection in {name.lstrip("/") for name in names} and "id" in resource.table.c:
            return resource, id
    raise ExplainError(f"'{about}' is not COLLECTION/ID, as in networks/{'0' * 8}-...")


def _words(attributes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in attributes.items() if name != "tenant_id" or value)


def _facts(step: Explanation) -> dict[str, Any]:
    return {"check": step.text, "allows": step.allowed, "because": [_facts(part) for part in step.because]}
