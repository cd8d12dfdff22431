"""`weft policy explain`: the command decides as the API does, and says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.api.conftest import Api
from weft import cli
from weft.api.policy import defaults


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
    assert denied.exit_code == 1
    assert f"rule     create_network: role:boss ({file.parent / 'policy.yaml'})\n" in denied.output
    told = json.loads(explain(file, *words, "--role", "boss", "--json").output)
    assert told["allowed"] and told["because"]["because"][0] == {"check": "role:boss", "allows": True, "because": []}


def test_which_file_says_it(api: Api, file: Path) -> None:
    """The last by name of those that do; also under a name that the rule had before."""

    def source(rule: str) -> str:
        line = explain(file, rule).output.splitlines()[2]
        return line.rpartition("(")[2].rstrip(")") if str(file.parent) in line else ""

    assert source("get_network") == ""
    folder = file.parent / "policy.d"
    folder.mkdir()
    (file.parent / "policy.yaml").write_text("get_network: role:a\n")
    (folder / "10.yaml").write_text("get_network: role:b\n")
    (folder / "20.json").write_text('{"get_network": "role:c", "get_flavor_service_profile": "role:d"}')
    assert source("get_network") == str(folder / "20.json")
    renamed = next(one for one in defaults() if one.deprecated and one.deprecated.name != one.name)
    assert renamed.deprecated is not None
    (folder / "30.yaml").write_text(f"{renamed.deprecated.name}: role:somebody\n")
    assert source(renamed.name) == str(folder / "30.yaml")
    assert f"{renamed.name}: role:somebody" in explain(file, renamed.name).output


def test_without_a_database(tmp_path: Path) -> None:
    for text, why in (
        (f"[DEFAULT]\nstate_path = {tmp_path}\n", "there is no database"),
        ("[database]\nconnection = postgresql://weft@127.0.0.1:9/weft\n", "does not answer"),
    ):
        (tmp_path / "weft.conf").write_text(text)
        answer = explain(tmp_path / "weft.conf", "get_network", "--object", "networks/x")
        assert answer.exit_code == 2 and why in answer.output
    assert [path.name for path in tmp_path.iterdir()] == ["weft.conf"]


def test_scope(api: Api, file: Path) -> None:
    told = explain(file, "create_network", "--role", "admin", "--system")
    assert told.exit_code == 1 and "scope system" in told.output


def test_what_cannot_be_answered(api: Api, file: Path) -> None:
    for words in (("--object", "networks/none"), ("--object", "nothing"), ("--attribute", "x")):
        assert explain(file, "get_network", *words).exit_code == 2, words
    (file.parent / "policy.yaml").write_text("[1, 2]")
    answer = explain(file, "get_network")
    assert answer.exit_code == 2 and "policy.yaml" in answer.output
