"""Who may do what: oslo.policy's rules with Neutron's names and defaults, and the operator's files on top."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from oslo_config import cfg
from oslo_policy import policy as oslo

from weft import errors
from weft.api import checks
from weft.api.checks import Ask, Target, Verdict
from weft.config import Config
from weft.context import Context

LOG = logging.getLogger(__name__)

LOOK_AT_FILES_EVERY = 5.0
"""Seconds between looks at the modification times of the operator's files."""

DEFAULTS = Path(__file__).with_name("policies.json")
GENERIC_ACTIONS = frozenset({"create", "update", "delete", "get"})
NOTHING: Mapping[str, Any] = {}
MOST_ROLE_SETS = 256
MOST_PLANS = 1024


class Deprecated(msgspec.Struct, frozen=True):
    """What a rule was called and said before; operators' files may still name it."""

    name: str
    check: str


class Default(msgspec.Struct, frozen=True):
    """A rule as it is without the operator's files. `operations`: method and path of the requests that ask it."""

    name: str
    check: str
    description: str = ""
    scope_types: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    deprecated: Deprecated | None = None


def defaults() -> tuple[Default, ...]:
    """Every default rule, read from policies.json."""
    return msgspec.json.decode(DEFAULTS.read_bytes(), type=tuple[Default, ...])


@dataclass(frozen=True)
class Explanation:
    """One step of a decision: a rule, a connective or a single check, what it says, and the steps below it."""

    text: str
    allowed: bool
    because: tuple[Explanation, ...] = ()

    def lines(self, depth: int = 0) -> list[str]:
        own = f"{'  ' * depth}{'allows' if self.allowed else 'denies'}  {self.text}"
        return [own, *(line for part in self.because for line in part.lines(depth + 1))]


class Verdicts(dict[str, Verdict]):
    """What the rules say to callers with one set of roles; each rule is settled when it is first asked."""

    def __init__(self, rules: RuleSet, roles: frozenset[str]) -> None:
        super().__init__()
        self._rules = rules
        self._roles = frozenset(role.lower() for role in roles)
        self._plans: dict[tuple[str, tuple[str, ...]], tuple[frozenset[str], tuple[tuple[str, Ask], ...]]] = {}

    def __missing__(self, name: str) -> Verdict:
        if name not in self._rules.texts:
            # Not kept under its own name: names can come from bodies, and memory is finite.
            return self["default"] if name != "default" else False
        verdict = self[name] = self._settle(name, ())
        return verdict

    def _settle(self, name: str, path: tuple[str, ...]) -> Verdict:
        if name in path:
            LOG.error("Policy rules refer to each other in a circle and deny: %s.", " -> ".join((*path, name)))
            return False
        below = (*path, name)
        return self.of(self._rules.check(name), lambda other: self._settle(other, below))

    def of(self, check: Any, rule: Callable[[str], Verdict] | None = None) -> Verdict:
        return checks.specialise(check, self._roles, rule or self.__getitem__, self._rules.foreign)

    def plan(self, member: str, attributes: tuple[str, ...]) -> tuple[frozenset[str], tuple[tuple[str, Ask], ...]]:
        """(attributes hidden from these roles whatever the object, (attribute, what to ask) for those that depend on it)."""
        found = self._plans.get((member, attributes))
        if found is None:
            ruled = [(name, self[rule]) for name, rule in self._rules.ruled(member, attributes)]
            never = frozenset(name for name, verdict in ruled if verdict is False)
            found = never, tuple((name, verdict.ask) for name, verdict in ruled if not isinstance(verdict, bool))
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[member, attributes] = found
        return found


class RuleSet:
    """All rules at one time: defaults, changed by the operator's files. Rules are parsed when they are first asked."""

    def __init__(self, config: Config, overrides: Mapping[str, Any]) -> None:
        self.config = config
        self.texts: dict[str, Any] = {}
        self.scopes: dict[str, tuple[str, ...]] = {}
        self._checks: dict[str, Any] = {}
        self._verdicts: dict[frozenset[str], Verdicts] = {}
        for default in defaults():
            self.texts[default.name] = self._text(default, overrides)
            if default.scope_types:
                self.scopes[default.name] = default.scope_types
        self.texts.update(overrides)
        #: attributes whose keys have rules of their own: `create_router:external_gateway_info`
        self.families = frozenset(name.rpartition(":")[0] for name in self.texts if name.count(":") > 1)

    def _text(self, default: Default, overrides: Mapping[str, Any]) -> Any:
        """What a rule says that the operator's files do not change under its name, but perhaps under its former one."""
        old = default.deprecated
        if old is None:
            return default.check
        if old.name != default.name and old.name in overrides:
            own = str(checks.parse(old.name, overrides[old.name]))
            if own not in (str(checks.parse(old.name, old.check)), f"rule:{default.name}"):
                return overrides[old.name]
        if self.config.policy.enforce_new_defaults or old.check == default.check:
            return default.check
        # An empty check allows everybody, and so does anything or-ed with it.
        return f"({default.check}) or ({old.check})" if default.check and old.check else ""

    def check(self, name: str) -> Any:
        """The check tree of a rule; of `default` where there is none of that name."""
        name = name if name in self.texts else "default"
        found = self._checks.get(name)
        if found is None:
            found = self._checks[name] = checks.parse(name, self.texts[name])
        return found

    def verdicts(self, roles: frozenset[str]) -> Verdicts:
        found = self._verdicts.get(roles)
        if found is None:
            if len(self._verdicts) >= MOST_ROLE_SETS:
                self._verdicts.clear()
            found = self._verdicts[roles] = Verdicts(self, roles)
        return found

    def bypassed(self, context: Context) -> bool:
        """Administrators were above the rules before the new defaults."""
        return context.is_admin and not self.config.policy.enforce_new_defaults

    def wrong_scope(self, context: Context, rule: str) -> str:
        """The scope of the caller's token, if it is not one that `rule` is for; else ''."""
        scope = "system" if context.system_scope else "domain" if context.domain_id else "project"
        wanted = self.scopes.get(rule)
        return scope if wanted and scope not in wanted else ""

    def says(self, context: Context, rule: str, target: Target) -> bool:
        verdict = self.verdicts(context.roles)[rule]
        return verdict if isinstance(verdict, bool) else verdict.ask(target, context)

    def ruled(self, member: str, attributes: Iterable[str]) -> list[tuple[str, str]]:
        """(attribute, rule) for those attributes that not everybody who sees the object sees."""
        named = ((name, f"get_{member}:{name}") for name in attributes)
        return [(name, rule) for name, rule in named if rule in self.texts]

    @cached_property
    def _enforcer(self) -> oslo.Enforcer:
        """For checks of oslo.policy plug-ins (http:, https:), which read their options from it."""
        conf = cfg.ConfigOpts()
        conf([], project="weft", default_config_files=list(self.config.files), default_config_dirs=[])
        return oslo.Enforcer(conf)

    def foreign(self, check: Any) -> Ask:
        def ask(target: Target, context: Context) -> bool:
            caller = {kind: getattr(context, name) for kind, name in checks.CREDENTIALS.items()}
            return bool(check(dict(target), {**caller, "roles": sorted(context.roles)}, self._enforcer))

        return ask


class Policy:
    """The rules in force, and the verdicts that the API asks for. Safe for threads."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ValueError for a policy file that cannot be read; later on such a file is logged and ignored."""
        self._config = config
        self._clock = clock
        self._lock = Lock()
        self._stamp = self._look()
        self._rules = RuleSet(config, _read(self._files()))
        self._rules.check(
            "default"
        )  # oslo.policy looks for its plug-ins at its first rule: 0.2 s no request should wait
        self._due = clock() + LOOK_AT_FILES_EVERY

    # -- verdicts

    def allows(self, context: Context, rule: str, target: Target) -> bool:
        """May the caller do what `rule` is about to `target`? A rule that is not defined counts as `default`."""
        rules = self._current()
        if rules.bypassed(context):
            return True
        return not rules.wrong_scope(context, rule) and rules.says(context, rule, target)

    def authorize(
        self,
        context: Context,
        action: str,
        member: str,
        target: Target,
        explicit: Mapping[str, Any] = NOTHING,
        attributes: Iterable[str] = (),
    ) -> None:
        """Let pass, or raise PolicyNotAuthorized or InvalidScope (403) which name the rules.

        `action` is create, update, delete or get, or the rule of a member action. `explicit` holds the attributes that the
        client set; those of `attributes`, which have rules of their own, and the keys within them are asked too.
        """
        rules = self._current()
        if rules.bypassed(context):
            return
        main = f"{action}_{member}" if action in GENERIC_ACTIONS else action
        scope = rules.wrong_scope(context, main)
        if scope:
            raise errors.InvalidScope(rule=f"rule:{main}", scopes=", ".join(rules.scopes[main]), scope=scope)
        asked = [main]
        if explicit:
            asked += _parts(rules, main, explicit, attributes)
        verdicts = rules.verdicts(context.roles)
        for rule in asked:
            verdict = verdicts[rule]
            if not (verdict if isinstance(verdict, bool) else verdict.ask(target, context)):
                denied = [rule for rule in asked if not rules.says(context, rule, target)]
                raise errors.PolicyNotAuthorized(rule=_phrase(asked), denied=denied)

    def hidden(self, context: Context, member: str, attributes: Iterable[str], target: Target) -> frozenset[str]:
        """Attributes of `target` that this caller may not see. For a list ask once, unless it `depends`."""
        rules = self._current()
        if rules.bypassed(context):
            return frozenset()
        names = attributes if isinstance(attributes, tuple) else tuple(attributes)
        gone, asked = rules.verdicts(context.roles).plan(member, names)
        if context.system_scope or context.domain_id:
            gone |= {name for name, rule in rules.ruled(member, names) if rules.wrong_scope(context, rule)}
        if asked:
            gone |= {name for name, ask in asked if not ask(target, context)}
        if "project_id" in gone or "tenant_id" in gone:
            gone |= {"project_id", "tenant_id"}
        return gone

    def depends(self, context: Context, member: str, attributes: tuple[str, ...]) -> bool:
        """True if what this caller may see of an object depends on the object, e.g. on its owner."""
        rules = self._current()
        return not rules.bypassed(context) and bool(rules.verdicts(context.roles).plan(member, attributes)[1])

    def context_flags(self, roles: Iterable[str], **caller: Any) -> tuple[bool, bool]:
        """(is_admin, is_service) of a caller with these roles; `caller` may name other fields of Context."""
        return self.flags(replace(Context(user_id="", project_id="", roles=frozenset(roles)), **caller))

    def flags(self, context: Context) -> tuple[bool, bool]:
        """(is_admin, is_service) of a caller whose roles and ids are known."""
        rules = self._current()
        return rules.says(context, "context_is_admin", NOTHING), rules.says(context, "service_api", NOTHING)

    def explain(self, context: Context, rule: str, target: Target) -> Explanation:
        """The decision with every step that leads to it."""
        rules = self._current()
        name = f"rule:{rule}" + ("" if rule in rules.texts else " (not defined: default)")
        if rules.bypassed(context):
            because = Explanation("is_admin, while enforce_new_defaults is off", True)
            return Explanation(name, True, (because,))
        scope = rules.wrong_scope(context, rule)
        if scope:
            because = Explanation(f"scope {scope}, not one of {', '.join(rules.scopes[rule])}", False)
            return Explanation(name, False, (because,))
        step = _explain(rules, rules.check(rule), context, target, (rule,))
        return Explanation(name, step.allowed, (step,))

    def text(self, rule: str) -> str:
        """The check string in force of a rule, as oslo.policy writes it."""
        return str(self._current().check(rule))

    def source(self, rule: str) -> str:
        """The operator's file that says it, under its name or its former one; '' where the default holds."""
        former = next((one.deprecated.name for one in defaults() if one.name == rule and one.deprecated), rule)
        read = [(str(path), _read([path])) for path in reversed(self._files())]
        found = [file for name in (rule, former) for file, rules in read if name in rules]
        return found[0] if found else ""

    # -- the operator's files

    def _current(self) -> RuleSet:
        if self._clock() >= self._due:
            self._refresh()
        return self._rules

    def _refresh(self) -> None:
        with self._lock:
            if self._clock() < self._due:
                return
            self._due = self._clock() + LOOK_AT_FILES_EVERY
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._rules = RuleSet(self._config, _read(self._files()))
            except (ValueError, OSError) as error:
                LOG.error("Policy files have changed and cannot be read; the rules stay as they were: %s", error)
            else:
                LOG.info("Policy files have changed; their rules are in force.")

    def _files(self) -> list[Path]:
        """policy_file, then the files of each of policy_dirs by name; later ones win."""
        options = self._config.policy
        files = [path for path in [self._find(options.policy_file)] if path is not None and path.is_file()]
        for name in options.policy_dirs:
            folder = self._find(name)
            if folder is not None and folder.is_dir():
                files += sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
        return files

    def _find(self, name: str) -> Path | None:
        """A relative name is looked for beside the configuration files, then in state_path."""
        if not name:
            return None
        folders = [*dict.fromkeys(Path(file).resolve().parent for file in self._config.files), self._config.state_path]
        return next((folder / name for folder in folders if (folder / name).exists()), None)

    def _look(self) -> tuple[tuple[str, int, int, int], ...]:
        """What tells that a file is another than before; inode and size too, for editors and tools keep old times."""
        seen = []
        for path in self._files():
            try:
                stat = path.stat()
            except OSError:
                continue
            seen.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(seen)


def _read(files: Iterable[Path]) -> dict[str, Any]:
    """Rules of the operator's files. Raises ValueError that names the file."""
    rules: dict[str, Any] = {}
    for path in files:
        try:
            read = oslo.parse_file_contents(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if not isinstance(read, dict):
            raise ValueError(f"{path}: not a mapping of rules to checks")
        rules.update(read)
    return rules


def _parts(rules: RuleSet, main: str, explicit: Mapping[str, Any], attributes: Iterable[str]) -> list[str]:
    """Rules for the attributes set, `create_port:fixed_ips`, and for keys within, `create_port:fixed_ips:ip_address`."""
    asked = []
    for name in sorted(name for name in attributes if name in explicit):
        rule = f"{main}:{name}"
        asked.append(rule)
        value = explicit[name]
        if isinstance(value, list):
            keys = dict.fromkeys(key for item in value if isinstance(item, dict) for key in item)
        elif isinstance(value, dict) and rule in rules.families:
            # Not for dicts whose keys are free, like binding:profile: `default` would deny them to services.
            keys = dict.fromkeys(value)
        else:
            continue
        asked += [f"{rule}:{key}" for key in keys]
    return asked


def _phrase(asked: list[str]) -> str:
    names = [f"rule:{name}" for name in asked]
    return names[0] if len(names) == 1 else f"({' and '.join(names)})"


def _explain(rules: RuleSet, check: Any, context: Context, target: Target, path: tuple[str, ...]) -> Explanation:
    verdict = rules.verdicts(context.roles).of(check)
    allowed = verdict if isinstance(verdict, bool) else verdict.ask(target, context)
    if isinstance(check, oslo.RuleCheck):
        if check.match in path:
            return Explanation(f"{check} (refers to itself)", False)
        step = _explain(rules, rules.check(check.match), context, target, (*path, check.match))
        return Explanation(str(check), allowed, (step,))
    below = [check.rule] if isinstance(check, oslo.NotCheck) else getattr(check, "rules", [])
    kinds = ((oslo.AndCheck, "all of"), (oslo.OrCheck, "any of"), (oslo.NotCheck, "not"))
    text = next((word for kind, word in kinds if isinstance(check, kind)), str(check))
    return Explanation(text, allowed, tuple(_explain(rules, part, context, target, path) for part in below))
