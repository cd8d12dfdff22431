"""Processes of the conformance tier: free ports, waiting until somebody answers, and an end for each."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PATIENCE = 60.0
"""Seconds for a process to answer, or to end."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` in a session of its own, its output in `log`; ended on leaving."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until GET `url` succeeds; fails with the end of `log` when the process ends first."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            alive = process.poll() is None
            assert alive and time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)


def wait_until_says(beginning: str, process: subprocess.Popen[bytes], log: Path) -> str:
    """The first line of `log` that begins so; fails with the end of `log` when the process ends first."""
    deadline = time.monotonic() + PATIENCE
    while True:
        text = log.read_text(errors="replace") if log.exists() else ""
        found = next((line for line in text.splitlines(True) if line.startswith(beginning) and line.endswith("\n")), "")
        if found:
            return found
        assert process.poll() is None and time.monotonic() < deadline, text[-3000:]
        time.sleep(0.1)
