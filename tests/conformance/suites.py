"""Runs tempest's and neutron-tempest-plugin's API tests against a Networking endpoint, and reads what came of them."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance import tempest_conf
from tests.conformance.environments import environment
from tests.conformance.identity_service import Keystone

HERE = Path(__file__).parent
PACKAGES = ("tempest", "neutron-tempest-plugin", "python-subunit")
EVERYTHING = r"(^neutron_tempest_plugin\.api)|(^tempest\.api\.network)"
SMOKE = r"^(neutron_tempest_plugin\.api|tempest\.api\.network)\..*\[.*\bsmoke\b"
"""The cases that the suites themselves mark as those to begin with."""
WORKERS = 2


@dataclass(frozen=True)
class Case:
    """One case, or the set-up or tear-down of a class of cases, that passed, failed or was skipped."""

    id: str
    outcome: str
    seconds: float
    reason: str

    @property
    def module(self) -> str:
        """`tempest.api.network.test_ports` of the id, or of `setUpClass (tempest.api.network.test_ports.X)`."""
        found = re.search(r"(\w+(?:\.\w+)*?)\.[A-Z]", self.id)
        return found[1] if found else self.id

    @property
    def name(self) -> str:
        """The id without its attributes in brackets."""
        return self.id.partition("[")[0]


def run(folder: Path, keystone: Keystone, network_url: str, regex: str = EVERYTHING) -> list[Case]:
    """Every case whose id matches `regex`. Leaves in `folder` what the suites said and logged."""
    programs = environment("tempest", PACKAGES)
    env = {**os.environ, "HOME": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}
    space = folder / "workspace"
    _say(folder, "init.log", [programs / "tempest", "init", space], folder, env)
    configuration = space / "etc" / "tempest.conf"
    tempest_conf.write(configuration, keystone, network_url)
    options = ["--config-file", configuration, "--concurrency", str(WORKERS), "--regex", regex]
    _say(folder, "run.log", [programs / "tempest", "run", *options], space, env)
    subunit = subprocess.run(
        [programs / "stestr", "last", "--subunit"], cwd=space, env=env, capture_output=True, check=False
    )
    (folder / "results.subunit").write_bytes(subunit.stdout)
    with (space / "etc" / "tempest.log").open("rb") as log, gzip.open(folder / "tempest.log.gz", "wb") as packed:
        shutil.copyfileobj(log, packed)
    reader = [programs / "python", HERE / "read_results.py"]
    read = subprocess.run(reader, input=subunit.stdout, capture_output=True, check=False)
    assert read.returncode == 0, read.stderr.decode()[-3000:]
    return [Case(*json.loads(line)) for line in read.stdout.splitlines()]


def _say(folder: Path, name: str, command: Sequence[str | Path], where: Path, env: dict[str, str]) -> None:
    """Run `command`, its output in `name`; what failed is read from the results, not from the exit code."""
    with (folder / name).open("wb") as output:
        words = [str(word) for word in command]
        subprocess.run(words, cwd=where, env=env, stdout=output, stderr=subprocess.STDOUT, check=False)
    print(f"{name}: {folder / name}", file=sys.stderr)


def versions() -> dict[str, str]:
    """Of the suites and of Keystone, as constraints.txt pins them."""
    pins = dict(line.split("===") for line in (HERE / "constraints.txt").read_text().splitlines() if "===" in line)
    return {name: pins[name] for name in ("tempest", "neutron-tempest-plugin", "keystone")}
