"""`weft policy explain`: the command decides as the API does, and says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.api.conftest import Api
from weft import cli


@pytest.fixture
def file(api: Api, tmp_path: Path) -> Path:
    made = tmp_path / "weft.conf"
    made.write_text(
        f"[DEFAULT]\nstate_path = {api.config.state_path}\n[database]\nconnection = {api.config.database_url}\n"
    )
    return made


def explain(file: Path, *words: str) -> Result:
    return CliRunner().invoke(cli.main, ["policy", "explain", "--config", str(file), *words])


def test_an_object_of_the_database(api: Api, file: Path) -> None:
    network = api.make("networks")["id"]
    about = ("--object", f"networks/{network}")
    own = explain(file, "update_network", "--role", "member", "--project", "p1", *about)
    assert own.exit_code == 0, own.output
    assert own.output.splitlines()[0] == "who      user unnamed of project p1, roles member"
    assert f"network {network} of project p1" in own.output and own.output.endswith("verdict  allowed\n")
    reader = explain(file, "update_network", "--role", "reader", "--project", "p1", *about)
    assert reader.exit_code == 1 and "denies  role:member" in reader.output
    stranger = explain(file, "get_network", "--role", "reader", "--project", "p2", *about)
    assert stranger.exit_code == 1 and "does not see" in stranger.output
    admin = explain(file, "update_network:shared", "--role", "admin", "--project", "x", *about)
    assert admin.exit_code == 0 and "(administrator)" in admin.output


def test_agrees_with_the_api(api: Api, file: Path) -> None:
    network = api.make("networks")["id"]
    api.make("security-groups", name="g")
    for project, role in (("p1", "member"), ("p1", "reader"), ("p2", "member"), ("admin", "admin")):
        told = explain(file, "update_network", "--role", role, "--role", "reader", "--project", project,
                       "--object", f"networks/{network}")  # fmt: skip
        status, _ = api.as_(project, f"{role},reader").put(f"networks/{network}", {"network": {"description": role}})
        assert (told.exit_code == 0) == (status == 200), (project, role, status, told.output)


def test_what_the_object_hangs_on(api: Api, file: Path) -> None:
    network = api.make("networks")["id"]
    port = api.admin.make("ports", network_id=network, project_id="p2")["id"]
    words = ("create_port:mac_address", "--role", "member", "--object", f"ports/{port}")
    assert explain(file, *words, "--project", "p1").exit_code == 0, "the network's owner"
    assert explain(file, *words, "--project", "p2").exit_code == 1


def test_attributes_as_said_and_files_of_the_operator(api: Api, file: Path) -> None:
    words = ("create_network", "--role", "member", "--project", "p1", "--attribute", "project_id=p1")
    assert explain(file, *words).exit_code == 0
    (file.parent / "policy.yaml").write_text('"create_network": "role:boss"\n')
    denied = explain(file, *words)
    assert denied.exit_code == 1 and "rule     create_network: role:boss" in denied.output
    told = json.loads(explain(file, *words, "--role", "boss", "--json").output)
    assert told["allowed"] and told["because"]["because"][0] == {"check": "role:boss", "allows": True, "because": []}


def test_scope(api: Api, file: Path) -> None:
    told = explain(file, "create_network", "--role", "admin", "--system")
    assert told.exit_code == 1 and "scope system" in told.output


def test_what_cannot_be_answered(api: Api, file: Path) -> None:
    for words in (("--object", "networks/none"), ("--object", "nothing"), ("--attribute", "x")):
        assert explain(file, "get_network", *words).exit_code == 2, words
    (file.parent / "policy.yaml").write_text("[1, 2]")
    answer = explain(file, "get_network")
    assert answer.exit_code == 2 and "policy.yaml" in answer.output
