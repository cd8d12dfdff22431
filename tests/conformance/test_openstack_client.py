"""The API's part of the README's walk, by the real `openstack` client of a scratch environment, where no packets flow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.environments import environment
from tests.conformance.processes import running, wait_until_says

ROOT = Path(__file__).parents[2]

PACKETS = re.compile(r"^(! )?(weft|ip netns) ")
"""Lines of the walk that need a dataplane."""

AFTERWARDS = """
test -z "$(openstack --os-cloud weft-admin port list -f value)"
test -z "$(openstack --os-cloud weft-admin network list -f value)"
"""


def blocks() -> list[str]:
    """The walk's blocks of shell without the lines about packets, in order; the first makes the client's environment."""
    section = (ROOT / "README.md").read_text().partition("\n## A walk\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return ["".join(line for line in block.splitlines(True) if not PACKETS.match(line)) for block in found]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with the client where the README puts it, and with an installation that runs, on free ports."""
    (tmp_path / "openstack").symlink_to(
        environment("openstackclient", ["python-openstackclient"], constrained=False).parent
    )
    command = [sys.executable, "-m", "weft", "up", "--no-dataplane", "--port", "0", "--identity-port", "0", "--json"]
    log = tmp_path / "up.log"
    with running(command, log, {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}) as process:
        ready = json.loads(wait_until_says('{"ready"', process, log))
        assert ready["clouds"] == str(tmp_path / ".local/state/weft/clouds.yaml")
        yield tmp_path


@pytest.mark.timeout(600)
def test_walk(home: Path) -> None:
    making, *steps = blocks()
    assert "venv" in making
    env = {key: value for key, value in os.environ.items() if not key.startswith("OS_")} | {"HOME": str(home)}
    script = "".join(steps) + AFTERWARDS
    assert script.count("openstack ") >= 20
    walk = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert walk.returncode == 0, f"{walk.stdout[-3000:]}\n{walk.stderr[-5000:]}"
