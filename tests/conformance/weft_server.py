"""`weft serve` beside a real Keystone, and a host on paper for its ports."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.identity_service import PASSWORD, Keystone
from tests.conformance.processes import free_port, running, wait_until_answers

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

CONFIGURATION = """\
[DEFAULT]
state_path = {folder}
bind_port = {port}
api_workers = 2
host = on-paper
# No backend of ours, so nobody says what it cannot: all of the API is offered, and the host takes it on paper.
backend = paper
# The suites try names of ports only where their domain is not the default.
dns_domain = conformance.example.
[ml2]
# A case expects ids of at most 2000 where no range of the API says otherwise.
vni_ranges = 1:2000
[quotas]
# A class of cases makes more in one project than a project may have by default.
quota_router = 100
quota_floatingip = 500
quota_security_group = 100
quota_security_group_rule = 1000
[database]
connection = {database}
[keystone_authtoken]
auth_url = {keystone}
username = neutron
password = {password}
"""


@contextlib.contextmanager
def weft(folder: Path, keystone: Keystone, database: str) -> Iterator[str]:
    """URL of a fresh Weft that asks `keystone` who calls, and that its catalogue offers. `database`: '' is SQLite."""
    port = free_port()
    file = folder / "weft.conf"
    values = {"folder": folder / "state", "port": port, "database": database, "keystone": keystone.url}
    file.write_text(CONFIGURATION.format(password=PASSWORD, **values))
    url = f"http://127.0.0.1:{port}"
    keystone.offer(url)
    env = {"PYTHONPATH": str(ROOT)}
    log = folder / "weft.log"
    with running([sys.executable, "-m", "weft", "serve", "--config", file], log, env) as process:
        wait_until_answers(url, process, log)
        host = [sys.executable, "-m", "tests.conformance.paper_host", file]
        with running(host, folder / "host.log", env):
            yield url
