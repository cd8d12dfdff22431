"""The state folder: what the first start makes, what later starts keep, and who may read it."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
import yaml

from tests.api.identity.conftest import House
from weft.identity.files import StateFolderError, private_folder, write_private
from weft.identity.listen import ListenError, check_listen
from weft.identity.passwords import hash_password, verify_password
from weft.identity.setup import open_installation
from weft.identity.users import IdentityError, Users, add_project, add_user, set_password

FILES = {"identity.json", "clouds.yaml", "service-password", "token.key"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_users_that_only_the_owner_can_read(house: House) -> None:
    assert mode(house.folder) == 0o700
    assert {path.name for path in house.folder.iterdir()} == FILES
    assert {mode(path) for path in house.folder.iterdir()} == {0o600}
    assert set(house.clouds) == {"weft-admin", "weft-demo", "weft-alt"}
    kept = (house.folder / "identity.json").read_text()
    for user in ("admin", "demo", "alt", "weft"):
        assert len(house.password(user)) > 30
        assert house.password(user) not in kept
    assert len({house.password(user) for user in ("admin", "demo", "alt", "weft")}) == 4


def test_another_start_keeps_secrets_and_tokens(house: House) -> None:
    before = {path.name: path.read_bytes() for path in house.folder.iterdir()}
    token = house.token("demo")
    house.restart()
    assert {path.name: path.read_bytes() for path in house.folder.iterdir()} == before
    assert house.get("/v3/auth/projects", token).status_code == 200


def test_a_start_that_died_before_the_end_begins_again(house: House) -> None:
    (house.folder / "identity.json").unlink()
    house.restart()
    assert house.by_password("demo").status_code == 201
    assert house.by_password("weft").status_code == 201


def test_clouds_follow_the_url_and_nothing_else_changes(house: House) -> None:
    clouds = house.installation.clouds
    own = "# mine\n  else:\n    auth:\n      auth_url: http://192.0.2.1/v3\n"
    clouds.write_text(clouds.read_text() + own)
    passwords = {user: house.password(user) for user in ("admin", "demo", "alt")}
    open_installation(house.folder, "http://127.0.0.1:15000")
    text = clouds.read_text()
    assert text.endswith(own)
    read = yaml.safe_load(text)["clouds"]
    for user, password in passwords.items():
        assert read[f"weft-{user}"]["auth"]["auth_url"] == "http://127.0.0.1:15000/v3"
        assert read[f"weft-{user}"]["auth"]["password"] == password


def test_added_users_and_projects_are_seen_by_a_running_server(house: House) -> None:
    assert house.by_password("eve", password="secret").status_code == 401
    other_process = Users(house.folder)
    add_project(other_process, "team", "a team")
    add_user(other_process, "eve", "secret", "team")
    scope = {"project": {"name": "team", "domain": {"id": "default"}}}
    assert house.by_password("eve", scope, "secret").status_code == 201
    assert mode(house.folder / "identity.json") == 0o600


@pytest.mark.parametrize(
    ("name", "password", "project", "roles"),
    [
        ("demo", "x", "demo", ["member"]),
        ("DEMO", "x", "demo", ["member"]),
        ("", "x", "demo", ["member"]),
        ("eve", "", "demo", ["member"]),
        ("eve", "x", "missing", ["member"]),
        ("eve", "x", "demo", ["missing"]),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    house: House, name: str, password: str, project: str, roles: list[str]
) -> None:
    before = (house.folder / "identity.json").read_bytes()
    with pytest.raises(IdentityError):
        add_user(house.users, name, password, project, roles)
    with pytest.raises(IdentityError):
        add_project(house.users, "Demo")
    with pytest.raises(IdentityError):
        set_password(house.users, "missing", "x")
    assert (house.folder / "identity.json").read_bytes() == before


def _add_projects(folder: Path, prefix: str) -> None:
    users = Users(folder)
    for number in range(10):
        add_project(users, f"{prefix}-{number}")


def test_writers_in_several_processes_lose_nothing(house: House) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add_projects, args=(house.folder, f"w{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert len(house.users.now().projects) == 4 + 30
    assert not [path for path in house.folder.iterdir() if path.name.startswith(".")]


def test_a_file_broken_by_hand_locks_nobody_out_and_is_refused_at_start(house: House) -> None:
    good = (house.folder / "identity.json").read_text()
    token = house.token("demo")
    (house.folder / "identity.json").write_text(good[:-20])
    assert house.get("/v3/auth/projects", token).status_code == 200
    with pytest.raises(IdentityError, match=r"identity\.json cannot be read"):
        Users(house.folder)
    (house.folder / "identity.json").write_text(good + "\n")
    assert house.get("/v3/auth/projects", token).status_code == 200


def test_a_folder_of_others_is_not_touched(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o755)
    (foreign / "something").touch()
    with pytest.raises(StateFolderError, match="a folder of its own"):
        private_folder(foreign)
    assert mode(foreign) == 0o755
    with pytest.raises(StateFolderError):
        private_folder(foreign / "something")
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)
    assert mode(private_folder(empty)) == 0o700
    assert mode(private_folder(tmp_path / "a" / "b")) == 0o700


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_private(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_passwords_are_salted_and_unreadable_hashes_match_nothing() -> None:
    first, second = hash_password("secret"), hash_password("secret")
    assert first != second
    assert verify_password("secret", first)
    assert verify_password("secret", second)
    assert not verify_password("Secret", first)
    for broken in (
        "",
        "secret",
        "scrypt$1$2",
        "md5$1$1$1$AA==$AA==",
        "scrypt$x$8$1$AA==$AA==",
        "scrypt$3$8$1$AA==$AA==",
    ):
        assert not verify_password("secret", broken)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_may_be_listened_on(address: str) -> None:
    assert check_listen(address) == address


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "198.18.0.1", "example.org", "", "2001:db8::1"])
def test_other_addresses_only_when_allowed_explicitly(address: str) -> None:
    with pytest.raises(ListenError, match="not a loopback address"):
        check_listen(address)
    assert check_listen(address, allow_remote=True) == address
