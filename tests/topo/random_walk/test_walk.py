"""What holds whatever is asked, in whatever order: after a random walk through the API, on each dataplane.

`make walk WALK="--walk-steps 20000 --walk-seed 7"` goes farther than CI does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.topo.random_walk.walk import Walk
from tests.topo.random_walk.workloads import Workloads
from tests.topo.whole import Installation
from tests.waiting import wait_until
from weft.backends.linux import netns
from weft.backends.linux.links import Links

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]

LEG = 100
"""Requests between two looks at everything."""
ONES = [
    "floatingips",
    "trunks",
    "local_ips",
    "log/logs",
    "rbac-policies",
    "routers",
    "ports",
    "networks",
    "subnetpools",
]
ONES += ["address-scopes", "security-groups", "address-groups", "qos/policies", "metering/metering-labels"]
MOVES = {"status", "status_reason", "updated_at", "revision_number", "binding:vif_type", "binding:vif_details"}
"""What changes by itself."""


class Api:
    """Requests as administrator, each answer held against what every answer is."""

    def __init__(self, weft: Installation) -> None:
        self._url = f"{weft.facts['network_url']}/v2.0"
        self._session: requests.Session = weft.client._session

    def send(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        answer = self._session.request(method, self._url + path, json=body, timeout=60)
        said = f"{method} {path} {body}: {answer.status_code} {answer.text}"
        assert answer.status_code < 500 or "NoNetworkAvailable" in answer.text, said
        decoded = answer.json() if answer.content else None
        if answer.status_code >= 400:
            assert {"type", "message", "detail"} <= decoded["NeutronError"].keys(), said
        elif method in ("POST", "PUT") and decoded and len(decoded) == 1:
            self._stands(path, *next(iter(decoded.items())), said)
        return answer.status_code, decoded

    def _stands(self, path: str, member: str, values: Any, said: str) -> None:
        """What was answered is what is there."""
        if not isinstance(values, dict) or "id" not in values:
            return
        shown = path[: path.index(values["id"])] + values["id"] if values["id"] in path else f"{path}/{values['id']}"
        there = self._session.get(self._url + shown, timeout=60).json()[member]
        differ = {key: (value, there[key]) for key, value in values.items() if _set(value) != _set(there[key])}
        assert not differ.keys() - MOVES, f"{said}\n{differ}"

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """The objects of each collection that can be deleted by themselves."""
        found = {}
        for path in ONES:
            name = path.rpartition("/")[2].replace("-", "_")
            found[path] = self.send("GET", f"/{path}", None)[1].get(name, [])  # not every dataplane has all
        found["security-groups"] = [one for one in found["security-groups"] if one["name"] != "default"]
        return found


def _set(value: Any) -> Any:
    """Lists of the API are sets."""
    return sorted(value, key=str) if isinstance(value, list) else value


@pytest.fixture
def walk(request: pytest.FixtureRequest, installation: Installation) -> Iterator[tuple[Walk, Api]]:
    api = Api(installation)
    one = Walk(api.send, request.config.getoption("--walk-seed"), f"{installation.prefix}host")
    one.made["networks"] = [network["id"] for network in api.everything()["networks"]]
    yield one, api
    print(
        f"seed {one.seed}:", *(f"{kind} {status} x{n}" for (kind, status), n in sorted(one.statuses.items())), sep="\n"
    )


def kernel(weft: Installation) -> tuple[list[str], list[str]]:
    """The namespaces of the installation, and the links in its own."""
    links = Links(weft.namespace)
    try:
        return sorted(name for name in netns.names() if name.startswith(weft.prefix)), sorted(links.dump())
    finally:
        links.close()


def true_at_rest(weft: Installation) -> None:
    """Nothing differs between what was asked for and what is there, and nobody stumbled."""
    found = weft.weft("check", check=False)
    until = time.monotonic() + 60
    while found.returncode and time.monotonic() < until:
        time.sleep(1)
        found = weft.weft("check", check=False)
    assert not found.returncode, found.stdout + found.stderr
    log = (weft.folder.parent / f"{weft.prefix}.log").read_text()
    logs = [log, *(path.read_text() for path in Path(weft.folder).rglob("*.log"))]
    assert not [text[text.index("Traceback") :][:3000] for text in logs if "Traceback" in text]


def test_laws(
    walk: tuple[Walk, Api], installation: Installation, dataplane: str, request: pytest.FixtureRequest
) -> None:
    walker, api = walk
    workloads = Workloads(installation, walker, dataplane)
    before, at_first = kernel(installation), api.everything()
    walker.begin()
    for number in range(request.config.getoption("--walk-steps")):
        walker.step()
        if number % LEG == LEG - 1:
            workloads.renew()
            true_at_rest(installation)
            wrong = workloads.judge()
            assert not wrong, "\n".join(wrong)
    print(f"pings judged: {workloads.judged}")
    workloads.close()
    known = {one["id"] for objects in at_first.values() for one in objects}

    def rest() -> dict[str, list[dict[str, Any]]]:
        return {path: [one for one in found if one["id"] not in known] for path, found in api.everything().items()}

    left = walker.home(rest)
    assert not left, "\n".join(left)
    true_at_rest(installation)
    wait_until(lambda: kernel(installation) == before, what=f"{before}, not {kernel(installation)}")
