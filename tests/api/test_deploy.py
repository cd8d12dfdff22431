"""What deploy/ offers, tried: a proxy before two services that are reloaded and ended, and the units of systemd."""

from __future__ import annotations

import http.client
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.api.test_serve import ROOT, Cloud, Load
from tests.api.test_serve import file as file
from tests.api.test_serve import keystone as keystone
from tests.conformance.processes import free_port, running
from tests.waiting import PATIENCE, wait_until

DEPLOY = ROOT / "deploy"


@pytest.fixture
def clouds(file: Path, tmp_path: Path) -> Iterator[list[Cloud]]:
    """Two services on one database."""
    made = [Cloud(file, tmp_path / f"serve-{number}.log") for number in range(2)]
    yield made
    for one in made:
        if one.weft.process.poll() is None:
            one.end()


@pytest.fixture
def proxy(clouds: list[Cloud], tmp_path: Path) -> Iterator[str]:
    """deploy/haproxy.cfg before them, with a port and a certificate of our own: host and port."""
    port, pem = free_port(), tmp_path / "weft.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=weft"]
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    pem.write_text(key.read_text() + certificate.read_text())
    text = (DEPLOY / "haproxy.cfg").read_text()
    for number, one in enumerate(clouds, 11):
        text = text.replace(f"192.0.2.{number}:9696", urlsplit(one.url).netloc)
    text = text.replace("bind :443", f"bind 127.0.0.1:{port}").replace("/etc/haproxy/weft.pem", str(pem))
    (tmp_path / "haproxy.cfg").write_text(text)
    command = ["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")]
    said = subprocess.run([*command, "-c"], capture_output=True, text=True, check=True).stderr
    assert "WARNING" not in said
    with running(command, tmp_path / "haproxy.log"):
        wait_until(lambda: _answers(port))
        yield f"127.0.0.1:{port}"


def _answers(port: int) -> bool:
    connection = _https(f"127.0.0.1:{port}")
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _https(address: str) -> http.client.HTTPConnection:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(address, timeout=PATIENCE, context=context)


@pytest.mark.needs_programs("haproxy", "openssl")
def test_behind_haproxy_nobody_notices_a_reload_or_the_end_of_a_service(clouds: list[Cloud], proxy: str) -> None:
    load = Load(proxy, 4, lambda: _https(proxy))
    try:
        for one in clouds:
            one.reload(": reloaded")
        clouds[0].weft.process.send_signal(signal.SIGTERM)
        assert clouds[0].weft.process.wait(PATIENCE) == 0
        many = load.answered
        wait_until(lambda: load.answered > many + 50)
    finally:
        load.end()
    stdout = clouds[0].weft.process.stdout
    assert stdout is not None
    stdout.close()
    assert load.refused == []


@pytest.mark.needs_programs("systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    with ExitStack() as stack:
        units = []
        for unit in sorted((DEPLOY / "systemd").iterdir()):
            text = unit.read_text()
            assert "/opt/weft/bin/weft" in text or unit.suffix == ".socket"
            units.append(tmp_path / unit.name)
            # the program must be there for systemd
            stack.enter_context(units[-1].open("w")).write(text.replace("/opt/weft/bin/weft", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "weft" in line] == []
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_units_and_the_container_are_ours() -> None:
    """Their words are ones that `weft` takes."""
    container = (DEPLOY / "Containerfile").read_text()
    asked = [re.findall(r'"([^"]+)"', line) for line in container.splitlines() if line.startswith("CMD")]
    for unit in ("weft.service", "weft-up.service"):
        line = re.search(r"^ExecStart=/opt/weft/bin/weft (.*)$", (DEPLOY / "systemd" / unit).read_text(), re.MULTILINE)
        assert line is not None
        asked.append(line[1].split())
    for command, *words in asked:
        help = subprocess.run(
            [sys.executable, "-m", "weft", command, "--help"], capture_output=True, text=True, check=True
        )
        assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", help.stdout))
