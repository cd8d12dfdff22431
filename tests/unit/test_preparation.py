"""What an operator writes and cannot have meant: each said in words that name the option and where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft import config as configuration
from weft.preparation import unknown
from weft.up import Options, UpError, read_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weft.conf"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[DEFAULT]\napi_workers = many", "option api_workers from {file} is not valid: invalid literal"),
        (
            "[DEFAULT]\napi_workers = 0",
            "option api_workers from {file} is not valid: Should be greater than or equal to 1",
        ),
        (
            "[DEFAULT]\nbind_port = 99999",
            "option bind_port from {file} is not valid: Should be less than or equal to 65535",
        ),
        ("[DEFAULT]\nbase_mac = zz", "option base_mac from {file} is not valid: "),
        ("[DEFAULT]\nl3_ha = perhaps", "option l3_ha from {file} is not valid: Unexpected boolean value 'perhaps'"),
        ("[quotas]\nquota_port = -2", "option quota_port from {file} is not valid: "),
        ("[ml2]\noverlay_ip_version = 5", "option overlay_ip_version from {file} is not valid: "),
        ("[ml2]\nphysical_network_mtus = a", "option physical_network_mtus from {file} is not valid: "),
        ("[database]\nconnection = weft", "[database] connection is not a URL"),
        ("[database]\nconnection = mysql://u:hidden@h/d", "[database] connection begins with mysql://"),
        ("[database\n", "Failed to parse {file}: at {file}:1, "),
        ("workers\n", "Failed to parse {file}: at {file}:1, "),
        ("workers = 1\n", "{file}:1"),
    ],
)
def test_wrong_values(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(UpError) as refusal:
        read_config(configuration, Options(config=(str(file),)))
    message = str(refusal.value)
    assert message.startswith("configuration: ")
    assert says.format(file=file) in message
    assert "hidden" not in message
    assert "LocationInfo" not in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, says in ((tmp_path / "gone.conf", "gone.conf"), (tmp_path, f"Is a directory: '{tmp_path}'")):
        with pytest.raises(UpError, match="configuration: ") as refusal:
            read_config(configuration, Options(config=(str(name),)))
        assert says in str(refusal.value)


def test_the_environment_goes_before_the_files(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[DEFAULT]\napi_workers = 2\napi_threads = 3\n")
    monkeypatch.setenv("OS_DEFAULT__API_WORKERS", "4")
    monkeypatch.setenv("OS_ML2__PROJECT_NETWORK_TYPES", "vlan,vxlan")
    found = read_config(configuration, Options(config=(str(file),)))
    assert (found.api.api_workers, found.api.api_threads) == (4, 3)
    assert found.ml2.project_network_types == ("vlan", "vxlan")
    monkeypatch.setenv("OS_DEFAULT__API_WORKERS", "many")
    with pytest.raises(UpError, match="option api_workers from OS_DEFAULT__API_WORKERS is not valid"):
        read_config(configuration, Options(config=(str(file),)))


def test_what_several_files_say(file: Path, tmp_path: Path) -> None:
    """Later ones go before earlier ones, as of every OpenStack service."""
    later = tmp_path / "later.conf"
    file.write_text("[DEFAULT]\napi_workers = 2\napi_threads = 3\n")
    later.write_text("[DEFAULT]\napi_workers = 4\n")
    found = read_config(configuration, Options(config=(str(file), str(later))))
    assert (found.api.api_workers, found.api.api_threads) == (4, 3)


def test_what_nobody_reads_is_named(file: Path) -> None:
    file.write_text(
        "[DEFAULT]\napi_wokers = 2\ncore_plugin = ml2\nbind_host = 127.0.0.1\nconnection = sqlite://\n"
        "[databse]\nconnection = sqlite://\n[keystone_authtoken]\nmemcached_servers = a\n[oslo_messaging_rabbit]\nssl = 1\n"
        "[ml2]\nvni-ranges = 1:2\n"
    )
    environment = {
        "OS_DEFAULT__API_THREDS": "1",
        "OS_QUOTAS__QUOTA_PORT": "1",
        "OS_AUTH_URL": "x",
        "OS_NOVA__X": "1",
        "A__B": "1",
    }
    assert unknown([str(file)], environment) == [
        "[DEFAULT] api_threds (perhaps api_threads?)",
        "[DEFAULT] api_wokers (perhaps api_workers?)",
        "[DEFAULT] connection (perhaps [database]?)",
        "[DEFAULT] core_plugin",
        "[databse] connection (perhaps [database]?)",
    ]


def test_a_url_that_names_no_driver_means_ours(file: Path) -> None:
    file.write_text("[database]\nconnection = postgresql://weft@db/weft\n")
    found = read_config(configuration, Options(config=(str(file),)))
    assert found.database_url == "postgresql+psycopg://weft@db/weft"
