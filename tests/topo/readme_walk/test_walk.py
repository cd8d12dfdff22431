"""The walk of README.md, line by line as it stands there, on a machine of its own.

The machine is a set of namespaces (network, mounts, processes): nothing of it is seen outside or outlives the test. The
client comes from a scratch virtual environment, as the README has it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from weft.backends.ovn.daemons import PACKAGES

ROOT = Path(__file__).parents[3]
OVN = tuple(PACKAGES)

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("bash", "dhclient", "ip", "make", "ping", "unshare"),
    pytest.mark.slow,
]

MACHINE = """\
set -euo pipefail
mkdir -p /etc/netns
for folder in /run /etc/netns; do mount -t tmpfs none $folder; done
mount -t sysfs none /sys
ip link set lo up
make run UP="$OPTIONS" > "$HOME/run.log" 2>&1 &
weft=$!
trap 'status=$?; [ $status = 0 ] || { echo "--- make run:"; tail -n 60 "$HOME/run.log"; }; exit $status' EXIT
until (exec 3<>/dev/tcp/127.0.0.1/9696) 2>/dev/null; do
    kill -0 $weft || exit 1
    sleep 0.1
done
set -x
"""

AFTERWARDS = """
test -z "$(openstack --os-cloud weft-admin port list -f value)"
test -z "$(ip -netns weft -brief link show type veth)"
kill -TERM $weft
wait $weft || true
"""


def walk() -> list[str]:
    """The blocks of shell in the README's walk, in order."""
    text = (ROOT / "README.md").read_text()
    section = re.split(r"^## ", text.split("\n## A walk\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def strict(script: str) -> str:
    """`! command` fails the script where the command succeeds; plain `set -e` lets that pass."""
    return re.sub(
        r"^! (.*)$", r"if \1; then echo 'that should have failed' >&2; exit 1; fi", script, flags=re.MULTILINE
    )


def test_walk_has_blocks() -> None:
    assert len(walk()) >= 10


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The walker's home, with the ordinary client as the README installs it."""
    folder = tmp_path_factory.mktemp("home")
    client, *_ = walk()
    subprocess.run(["bash", "-e", "-c", client], cwd=ROOT, env=environment(folder), check=True, timeout=300)
    return folder


def environment(home: Path) -> dict[str, str]:
    cache = subprocess.run(["python3", "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "MAKE", "MFLAGS"))}
    return kept | {"HOME": str(home), "PIP_CACHE_DIR": cache.stdout.strip() or str(home / "pip")}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("options", ["", pytest.param("--backend ovn", marks=pytest.mark.needs_programs(*OVN))])
def test_walk(home: Path, options: str) -> None:
    if not (ROOT / ".venv" / "bin" / "weft").exists():
        pytest.skip("needs .venv: make test")
    _, *steps = walk()
    shutil.rmtree(home / ".local/state/weft", ignore_errors=True)
    machine = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"]
    script = MACHINE + strict("\n".join(steps)) + AFTERWARDS
    variables = environment(home) | {"OPTIONS": options}
    run = subprocess.run([*machine, script], cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stdout[-4000:]}\n{run.stderr[-8000:]}"
    assert (home / ".local/state/weft/ovn").exists() == ("ovn" in options)
