"""Virtual environments of the programs that are no part of Weft, from the package index, at the versions of constraints.txt."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
CACHE = (HERE.parents[1] / ".cache").resolve() / "conformance"
CONSTRAINTS = HERE / "constraints.txt"


def environment(name: str, packages: Sequence[str], *, constrained: bool = True) -> Path:
    """The folder `bin` of the environment `name` with `packages`: made the first time, then kept in .cache."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    words = [str(folder), sys.version, *packages, CONSTRAINTS.read_text() if constrained else ""]
    wanted = hashlib.sha256("\n".join(words).encode()).hexdigest()
    stamp = folder / "stamp"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            pins = ["--constraint", str(CONSTRAINTS)] if constrained else []
            pip = [str(folder / "bin" / "pip"), "--quiet", "--disable-pip-version-check", "install"]
            subprocess.run([*pip, *pins, *packages], check=True)
            stamp.write_text(wanted)
    return folder / "bin"
