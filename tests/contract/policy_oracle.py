"""What oslo.policy itself says: the API's default rules as the facts have them, asked without any code of Weft's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from oslo_config import cfg
from oslo_policy import policy as oslo

from tests.contract.everything import facts

RULES: list[dict[str, Any]] = facts("policies")
BY_NAME: dict[str, dict[str, Any]] = {rule["name"]: rule for rule in RULES}


class FieldCheck(oslo.Check):
    """`field:networks:router:external=True`: the API's own kind of check, a plug-in of oslo.policy."""

    def __call__(self, target: Mapping[str, Any], creds: Any, enforcer: Any) -> bool:
        name, wanted = re.fullmatch(r"\w+?:(.+?)=(.*)", self.match).groups()  # type: ignore[union-attr]
        value = target.get(name, target.get("network:shared") if self.match.startswith("networks:shared") else None)
        if wanted.startswith("~"):
            return value is not None and re.match(wanted[1:], value) is not None
        return bool(value == ({"True": True, "False": False}.get(wanted, wanted)))


@dataclass(frozen=True)
class Who:
    """A caller: roles, and a project, or else the scope of the token."""

    roles: tuple[str, ...]
    project: str = ""
    system: str = ""
    domain: str = ""

    @property
    def above(self) -> bool:
        """Administrators and services see the objects of every project."""
        return bool({"admin", "service"} & set(self.roles))

    def headers(self) -> dict[str, str]:
        return {
            "X-User-Id": "user",
            "X-Project-Id": self.project,
            "X-Roles": ",".join(self.roles),
            "X-System": self.system,
            "X-Domain": self.domain,
        }

    def credentials(self) -> dict[str, Any]:
        """As oslo.policy wants them: what he has not is None."""
        mine = {"project_id": self.project or None, "tenant_id": self.project or None, "user_id": "user"}
        scope = {"system_scope": self.system or None, "domain_id": self.domain or None}
        return {**mine, **scope, "roles": list(self.roles)}


class Oracle:
    """oslo.policy's enforcer over the facts. A rule that there is not counts as `default`."""

    def __init__(self) -> None:
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        self._enforcer = oslo.Enforcer(conf, policy_file="none.yaml")
        self._enforcer.suppress_deprecation_warnings = self._enforcer.suppress_default_change_warnings = True
        for rule in RULES:
            scopes = rule["scope_types"] or None
            self._enforcer.register_default(oslo.RuleDefault(rule["name"], rule["check"], scope_types=scopes))
        self._enforcer.load_rules()
        self._enforcer.use_conf = False  # no look at files with every question

    def allows(self, who: Who, rules: Iterable[str], target: Mapping[str, Any]) -> bool:
        """Whether `who` may do what all of `rules` are about to `target`."""
        named = [rule if rule in BY_NAME else "default" for rule in rules]
        return all(bool(self._enforcer.enforce(rule, dict(target), who.credentials())) for rule in named)


@contextmanager
def oracle() -> Iterator[Oracle]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(oslo._checks.registered_checks, "field", FieldCheck)
        yield Oracle()
