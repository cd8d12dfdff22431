"""Policy rules as questions: oslo.policy's check trees, settled as far as a caller's roles decide them.

`specialise` walks a check tree once for a set of roles. What the roles decide becomes True or False; what remains is a
small function of the object and the caller, in the order in which the rule was written, so that a look-up which costs
(the owner of a port's network) is made only where nothing before it decides.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from oslo_policy import policy as oslo

from weft.context import Context

LOG = logging.getLogger(__name__)

Target = Mapping[str, Any]
"""What a rule is asked about: an object's attributes, and keys like `network:project_id`. KeyError: there is none."""

Question = Callable[[Target, Context], bool]
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
    check: Any, roles: frozenset[str], rule: Callable[[str], Verdict], foreign: Callable[[Any], Question]
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
        return foreign(check)
    return _credential(check.kind, check.match)


def _all(parts: Iterable[Verdict]) -> Verdict:
    open_parts = []
    for part in parts:
        if part is False:
            return False
        if part is not True:
            open_parts.append(part)
    if len(open_parts) < 2:
        return open_parts[0] if open_parts else True
    if len(open_parts) == 2:
        one, two = open_parts
        return lambda target, context: one(target, context) and two(target, context)
    return lambda target, context: all(part(target, context) for part in open_parts)


def _any(parts: Iterable[Verdict]) -> Verdict:
    open_parts = []
    for part in parts:
        if part is True:
            return True
        if part is not False:
            open_parts.append(part)
    if len(open_parts) < 2:
        return open_parts[0] if open_parts else False
    if len(open_parts) == 2:
        one, two = open_parts
        return lambda target, context: one(target, context) or two(target, context)
    return lambda target, context: any(part(target, context) for part in open_parts)


def _not(part: Verdict) -> Verdict:
    if isinstance(part, bool):
        return not part
    return lambda target, context: not part(target, context)


def _role(match: str, roles: frozenset[str]) -> Verdict:
    """`role:member`; role names know no case."""
    if "%" not in match:
        return match.lower() in roles
    text = _text(match)
    return lambda target, context: (text(target) or "").lower() in roles


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
    try:
        literal = str(ast.literal_eval(kind))
    except ValueError:
        pass
    except SyntaxError:
        LOG.warning("Policy check %s:%s has no meaning and denies.", kind, match)
        return False
    else:
        return lambda target, context: text(target) == literal
    if kind == "roles":
        return lambda target, context: text(target) in context.roles
    if kind not in CREDENTIALS:
        return False
    return _equals(attrgetter(CREDENTIALS[kind]), text)


def _equals(credential: Callable[[Context], Any], text: Callable[[Target], str | None]) -> Question:
    def question(target: Target, context: Context) -> bool:
        mine = credential(context)
        # What the token does not name ("" in Context) equals nothing: objects of no project exist.
        return mine != "" and text(target) == str(mine)

    return question


def _field(match: str) -> Verdict:
    """`field:networks:router:external=True`: an attribute's value, or after =~ a regular expression for it."""
    collection, _, rest = match.partition(":")
    name, equals, wanted = rest.partition("=")
    if not equals:
        LOG.warning("Policy check field:%s has no meaning and denies.", match)
        return False
    # A port or subnet has no `shared` of its own: its network's counts.
    names = (name, "network:shared") if (collection, name) == ("networks", "shared") else (name,)
    fits = re.compile(wanted[1:]).match if wanted.startswith("~") else None

    def question(target: Target, context: Context) -> bool:
        value = None
        for key in names:
            try:
                value = target[key]
                break
            except KeyError:
                continue
        if value is None:
            return False
        if fits is not None:
            return isinstance(value, str) and fits(value) is not None
        if isinstance(value, bool):
            return value is (wanted.lower() in _TRUE)
        return str(value) == wanted

    return question
