"""The state folder: private to its owner, and every file in it replaced as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

#: files by which a folder is known to be ours
OURS = ("identity.json", "weft.db", "weft.lock")


class StateFolderError(RuntimeError):
    """The state folder cannot be used; the message says why and what to do."""


def private_folder(path: Path) -> Path:
    """Make `path` a folder that only its owner can enter.

    A folder that is new, empty or ours gets mode 0700. Raises StateFolderError for a foreign folder that others may
    enter (nobody wants the mode of /tmp changed) and for what is no folder.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_to_others = path.stat().st_mode & 0o077
        if not open_to_others:
            return path
        names = set(os.listdir(path))
        if names and not names.intersection(OURS):
            raise StateFolderError(f"{path} is not empty, not ours and open to others: choose a folder of its own")
        path.chmod(0o700)
    except OSError as error:
        raise StateFolderError(f"state folder {path}: {error.strerror}") from error
    return path


def write_private(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content`, mode 0600; after a crash the file is the old one or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
