"""Policy rules as questions: oslo.policy's check trees, settled as far as a caller's roles decide them.

`specialise` walks a check tree once for a set of roles. What the roles decide becomes True or False; what remains is a
small function of the object and the caller, which asks for what has to be looked up (the owner of a port's network) only
where the object's own attributes do not decide. Checks have no side effects, so their order is free.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from oslo_policy import policy as oslo

from weft.context import Context

LOG = logging.getLogger(__name__)

Target = Mapping[str, Any]
"""What a rule is asked about: an object's attributes, and keys like `network:project_id`. KeyError: there is none."""

Ask = Callable[[Target, Context], bool]


class Question(NamedTuple):
    """What roles leave open. `related`: it may need more than the object's own attributes, so a look-up."""

    ask: Ask
    related: bool = False


Verdict = bool | Question
"""True or False where the caller's roles decide, else what must be asked of the object."""

CREDENTIALS: Mapping[str, str] = {
    "user_id": "user_id",
    "user": "user_id",
    "user_name": "user_name",
    "user_domain_id": "user_domain_id",
    "user_domain": "user_domain_id",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "tenant": "project_id",
    "project_name": "project_name",
    "tenant_name": "project_name",
    "project_domain_id": "project_domain_id",
    "project_domain": "project_domain_id",
    "domain_id": "domain_id",
    "domain": "domain_id",
    "system_scope": "system_scope",
    "system": "system_scope",
    "is_admin": "is_admin",
}
"""Left side of a check -> the caller's attribute that it means."""

_KEY = re.compile(r"%\(([^()%]+)\)s")
_TRUE = frozenset({"true", "1"})


def parse(name: str, text: Any) -> Any:
    """The check tree of one rule. What oslo.policy cannot parse it logs and denies."""
    return oslo.Rules.from_dict({name: text})[name]


def specialise(
    check: Any, roles: frozenset[str], rule: Callable[[str], Verdict], foreign: Callable[[Any], Ask]
) -> Verdict:
    """`check` for a caller with `roles` (lower case). `rule` says what a named rule is, `foreign` asks a plug-in's check."""
    if isinstance(check, oslo.AndCheck):
        return _all(specialise(part, roles, rule, foreign) for part in check.rules)
    if isinstance(check, oslo.OrCheck):
        return _any(specialise(part, roles, rule, foreign) for part in check.rules)
    if isinstance(check, oslo.NotCheck):
        return _not(specialise(check.rule, roles, rule, foreign))
    if not isinstance(check, oslo.Check):
        return str(check) == "@"
    if isinstance(check, oslo.RuleCheck):
        return rule(check.match)
    if check.kind == "role":
        return _role(check.match, roles)
    if check.kind == "field":
        return _field(check.match)
    if type(check).__module__ != oslo.Check.__module__:
        return Question(foreign(check), related=True)
    return _credential(check.kind, check.match)


def _all(parts: Iterable[Verdict]) -> Verdict:
    asked = []
    for part in parts:
        if part is False:
            return False
        if part is not True:
            asked.append(part)
    if not asked:
        return True
    related, asks = _cheap_first(asked)
    if len(asks) == 1:
        return asked[0]
    if len(asks) == 2:
        one, two = asks
        return Question(lambda target, context: one(target, context) and two(target, context), related)
    return Question(lambda target, context: all(ask(target, context) for ask in asks), related)


def _any(parts: Iterable[Verdict]) -> Verdict:
    asked = []
    for part in parts:
        if part is True:
            return True
        if part is not False:
            asked.append(part)
    if not asked:
        return False
    related, asks = _cheap_first(asked)
    if len(asks) == 1:
        return asked[0]
    if len(asks) == 2:
        one, two = asks
        return Question(lambda target, context: one(target, context) or two(target, context), related)
    return Question(lambda target, context: any(ask(target, context) for ask in asks), related)


def _cheap_first(asked: list[Question]) -> tuple[bool, list[Ask]]:
    ordered = sorted(asked, key=lambda question: question.related)
    return ordered[-1].related, [question.ask for question in ordered]


def _not(part: Verdict) -> Verdict:
    if isinstance(part, bool):
        return not part
    ask = part.ask
    return Question(lambda target, context: not ask(target, context), part.related)


def _role(match: str, roles: frozenset[str]) -> Verdict:
    """`role:member`; role names know no case."""
    if "%" not in match:
        return match.lower() in roles
    text = _text(match)
    return Question(lambda target, context: (text(target) or "").lower() in roles, _needs_related(match))


def _text(match: str) -> Callable[[Target], str | None]:
    """The right side of a check, filled in from the object; None where the object lacks a key."""
    key = _KEY.fullmatch(match)
    if key is None:
        return lambda target: _format(match, target)
    names = _spellings(key[1])

    def value(target: Target) -> str | None:
        for name in names:
            try:
                return str(target[name])
            except KeyError:
                continue
        return None

    return value


def _needs_related(match: str) -> bool:
    """`network:project_id`, `ext_parent:tenant_id`: the owner of another object. binding:host_id is the object's own."""
    return ":project_id)" in match or ":tenant_id)" in match


def _spellings(key: str) -> tuple[str, ...]:
    """tenant_id is what rules of old call project_id."""
    return (key, key.removesuffix("tenant_id") + "project_id") if key.endswith("tenant_id") else (key,)


def _format(match: str, target: Target) -> str | None:
    try:
        return match % target
    except (KeyError, TypeError, ValueError):
        return None


def _credential(kind: str, match: str) -> Verdict:
    """`project_id:%(project_id)s`, `user_id:4711`, `'open':%(state)s`: caller (or literal) on the left, object on the right."""
    text = _text(match)
    related = _needs_related(match)
    try:
        literal = str(ast.literal_eval(kind))
    except ValueError:
        pass
    except SyntaxError:
        LOG.warning("Policy check %s:%s has no meaning and denies.", kind, match)
        return False
    else:
        return Question(lambda target, context: text(target) == literal, related)
    if kind == "roles":
        return Question(lambda target, context: text(target) in context.roles, related)
    if kind not in CREDENTIALS:
        return False
    credential = attrgetter(CREDENTIALS[kind])

    def ask(target: Target, context: Context) -> bool:
        mine = credential(context)
        # What the token does not name ("" in Context) equals nothing: objects of no project exist.
        return mine != "" and text(target) == str(mine)

    return Question(ask, related)


def _field(match: str) -> Verdict:
    """`field:networks:router:external=True`: an attribute's value, or after =~ a regular expression for it."""
    collection, _, rest = match.partition(":")
    name, equals, wanted = rest.partition("=")
    if not equals:
        LOG.warning("Policy check field:%s has no meaning and denies.", match)
        return False
    # A port or subnet has no `shared` of its own: its network's counts.
    names = (name, "network:shared") if (collection, name) == ("networks", "shared") else (name,)
    try:
        fits = _fits(wanted)
    except re.error as error:
        LOG.warning("Policy check field:%s is no regular expression and denies: %s", match, error)
        return False

    def ask(target: Target, context: Context) -> bool:
        for key in names:
            try:
                value = target[key]
            except KeyError:
                continue
            return value is not None and fits(value)
        return False

    return Question(ask, related=len(names) > 1)


def _fits(wanted: str) -> Callable[[Any], bool]:
    if wanted.startswith("~"):
        pattern = re.compile(wanted[1:])
        return lambda value: isinstance(value, str) and pattern.match(value) is not None
    truth = wanted.lower() in _TRUE
    return lambda value: value is truth if isinstance(value, bool) else str(value) == wanted
