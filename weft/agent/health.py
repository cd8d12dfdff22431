"""How the dataplane of this machine is, in a file of the state folder that `weft check` reads."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from weft.reconcile.loop import Health

HOST, OVN = "dataplane", "ovn"
"""Who tells: what does this host's part, and what keeps OVN."""


def path(state_path: Path, who: str = HOST) -> Path:
    return state_path / "run" / f"{who}.json"


@dataclass(frozen=True, slots=True)
class Told:
    """What the dataplane said last. `failing`: what could not be made so, with reasons; `drift`: what was mended, and when."""

    pid: int
    at: float
    audits: int
    sequence: int
    failing: list[str]
    drift: list[tuple[float, str]]

    @property
    def running(self) -> bool:
        """The process that said so is still there (numbers are used again: it must be a Weft)."""
        try:
            return b"weft" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False


class HealthFile:
    """Writes the file, whole, after each pass."""

    def __init__(self, state_path: Path, who: str = HOST) -> None:
        self._path = path(state_path, who)
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, health: Health) -> None:
        facts = {
            "pid": os.getpid(),
            "at": time.time(),
            "audits": health.audits,
            "sequence": health.sequence,
            "failing": [f"{key.kind} {key.id}: {reason}" for key, reason in health.failing.items()],
            "drift": health.drift,
        }
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(facts))
        fresh.replace(self._path)


def read(state_path: Path, who: str = HOST) -> Told | None:
    """What the dataplane said last; None if it never ran here."""
    try:
        return Told(**json.loads(path(state_path, who).read_text()))
    except FileNotFoundError:
        return None
