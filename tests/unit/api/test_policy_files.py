"""Operators' policy files: where they are found, what they change, and that a change needs no restart."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from weft.api.policy import LOOK_AT_FILES_EVERY, Policy
from weft.config import Api, Config, OsloPolicy
from weft.context import Context

MEMBER = Context(user_id="u", project_id="p", roles=frozenset({"member"}))
MINE, OTHER = {"project_id": "p"}, {"project_id": "q"}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def tick(self) -> None:
        self.now += LOOK_AT_FILES_EVERY


@pytest.fixture
def clock() -> Clock:
    return Clock()


def loaded(folder: Path, clock: Clock, **options: Any) -> Policy:
    config = Config(
        api=Api(state_path="/nonexistent"), policy=OsloPolicy(**options), files=(str(folder / "weft.conf"),)
    )
    return Policy(config, clock)


def test_files_beside_the_configuration_change_rules(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "policy.yaml").write_text('"delete_network": "!"\n"create_network": "role:member"\n')
    (tmp_path / "policy.d").mkdir()
    (tmp_path / "policy.d" / "20.yaml").write_text('"update_network": "!"\n')
    (tmp_path / "policy.d" / "10.yaml").write_text('"update_network": "@"\n"delete_network": "role:member"\n')
    (tmp_path / "policy.d" / ".hidden").write_text('"create_network": "!"\n')
    policy = loaded(tmp_path, clock)
    assert policy.allows(MEMBER, "create_network", OTHER)
    assert policy.allows(MEMBER, "delete_network", OTHER), "policy.d comes after policy_file"
    assert not policy.allows(MEMBER, "update_network", MINE), "and its files by name"
    assert policy.allows(MEMBER, "create_subnetpool", MINE), "other rules keep their defaults"


def test_a_changed_base_rule_changes_those_that_use_it(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "policy.yaml").write_text("admin_only: role:member\n")
    assert loaded(tmp_path, clock).allows(MEMBER, "create_network:shared", OTHER)


def test_old_list_syntax(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "policy.yaml").write_text("create_network: [[role:member, 'project_id:%(project_id)s'], [role:boss]]\n")
    policy = loaded(tmp_path, clock)
    assert (policy.allows(MEMBER, "create_network", MINE), policy.allows(MEMBER, "create_network", OTHER)) == (
        True,
        False,
    )


def test_a_rule_under_its_former_name(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "policy.yaml").write_text('"get_ports_tags": "!"\n')
    assert not loaded(tmp_path, clock).allows(MEMBER, "get_port:tags", MINE)
    (tmp_path / "policy.yaml").write_text('"get_ports_tags": "rule:get_port:tags"\n"get_port:tags": "@"\n')
    assert loaded(tmp_path, clock).allows(MEMBER, "get_port:tags", OTHER)


def test_an_overridden_rule_is_not_widened_by_old_defaults(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "policy.yaml").write_text('"create_port": "role:boss"\n')
    assert not loaded(tmp_path, clock, enforce_new_defaults=False).allows(MEMBER, "create_port", MINE)


def test_changes_take_effect_without_restart(tmp_path: Path, clock: Clock) -> None:
    policy = loaded(tmp_path, clock)
    assert policy.allows(MEMBER, "create_network", MINE)
    (tmp_path / "policy.yaml").write_text('"create_network": "!"\n')
    clock.tick()
    assert not policy.allows(MEMBER, "create_network", MINE)
    (tmp_path / "policy.yaml").unlink()
    clock.tick()
    assert policy.allows(MEMBER, "create_network", MINE)
    (tmp_path / "policy.d").mkdir()
    (tmp_path / "policy.d" / "own.yaml").write_text('"create_network": "!"\n')
    clock.tick()
    assert not policy.allows(MEMBER, "create_network", MINE)
    (tmp_path / "new").write_text('"create_network": "@"\n')
    os.utime(tmp_path / "new", (1, 1))  # older than what it replaces, as `cp -p` and packages leave it
    (tmp_path / "new").rename(tmp_path / "policy.d" / "own.yaml")
    clock.tick()
    assert policy.allows(MEMBER, "create_network", OTHER)


def test_files_are_not_looked_at_with_every_question(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = loaded(tmp_path, clock)
    looks = []
    monkeypatch.setattr(policy, "_look", lambda: looks.append(clock.now) or ())
    for _ in range(100):
        policy.allows(MEMBER, "create_network", MINE)
    assert looks == []
    clock.tick()
    for _ in range(100):
        policy.allows(MEMBER, "create_network", MINE)
    assert looks == [clock.now]


def test_a_broken_change_is_logged_and_changes_nothing(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"create_network": "!"\n')
    policy = loaded(tmp_path, clock)
    file.write_text('"create_network": ["\n')
    clock.tick()
    with caplog.at_level(logging.ERROR):
        assert not policy.allows(MEMBER, "create_network", MINE)
    assert str(file) in caplog.text


@pytest.mark.parametrize("text", ['"a": ["\n', "- a list\n", "word\n"])
def test_a_broken_file_at_the_start_is_an_error(tmp_path: Path, clock: Clock, text: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"policy\.yaml"):
        loaded(tmp_path, clock)


@pytest.mark.parametrize(
    "check",
    ["rule:create_network", "rule:other", "(role:member", "field:networks", "field:port:name=~[", "1x:2", "colour:red"],
)
def test_rules_without_meaning_deny(tmp_path: Path, clock: Clock, check: str) -> None:
    (tmp_path / "policy.yaml").write_text(f'"create_network": "{check}"\n"other": "rule:create_network"\n')
    assert not loaded(tmp_path, clock).allows(MEMBER, "create_network", MINE)


def test_memory_does_not_grow_with_names_and_roles_that_callers_invent(tmp_path: Path, clock: Clock) -> None:
    policy = loaded(tmp_path, clock)
    for n in range(2000):
        policy.allows(MEMBER, f"create_port:allowed_address_pairs:{n}", MINE)
        policy.hidden(MEMBER, "port", (f"x{n}",), MINE)
        policy.allows(Context(user_id="u", project_id="p", roles=frozenset({f"role{n}"})), "get_port", MINE)
    kept = policy._rules.verdicts(MEMBER.roles)
    assert len(kept) < 10
    assert len(kept._plans) <= 1024
    assert len(policy._rules._verdicts) <= 256
