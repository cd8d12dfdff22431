"""What is tried and made before the first process starts, and before one is replaced: policy, identity, the database."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from weft.supervisor import StartError, end_with

LOG = logging.getLogger(__name__)

#: of SQLAlchemy's URLs; postgresql alone is psycopg
DRIVERS = ("postgresql", "postgresql+psycopg", "sqlite")


FOREIGN = frozenset(
    {
        "keystone_authtoken",
        "nova",
        "oslo_messaging_notifications",
        "oslo_messaging_rabbit",
        "oslo_middleware",
        "oslo_policy",
    }
)
"""Sections that libraries read, too, and so have options which are not ours to know."""


def prepare(config: Any) -> None:
    """Try what the configuration says before anybody depends on it. Raises StartError, SchemaError, ServiceUnavailable."""
    from keystoneauth1.exceptions import ClientException
    from oslo_config import cfg

    from weft import app
    from weft.api.auth import KeystoneAuthenticator
    from weft.api.policy import Policy

    ignored = unknown(config.files, os.environ)
    if ignored:
        LOG.warning("configuration that is no option of Weft is ignored: %s", ", ".join(ignored))
    try:
        policy = Policy(config)
    except (ValueError, OSError) as error:
        raise StartError(f"policy: {error}") from error
    try:
        KeystoneAuthenticator(config, policy)
    except (ClientException, cfg.Error, ValueError) as error:
        raise StartError(f"configuration: [keystone_authtoken] {error}") from error
    app.prepare(config)


def unknown(files: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """What `files` and the environment say and nobody reads: '[SECTION] OPTION' each, with what may have been meant."""
    from oslo_config import cfg

    from weft import config as configuration

    known = {section: [one.name for one in dataclasses.fields(kind)] for _, section, kind in configuration.sections()}
    said: set[tuple[str, str]] = set()
    for file in files:
        read: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(file, read).parse()
        said |= {(section, name.replace("-", "_")) for section, options in read.items() for name in options}
    of_upper = {section.upper(): section for section in (*known, *FOREIGN)}
    for variable in environment:
        section, double, name = variable.removeprefix("OS_").partition("__")
        if double and variable.startswith("OS_"):
            said.add((of_upper.get(section, section.lower()), name.lower()))
    return [
        f"[{section}] {name}{_perhaps(section, name, known)}"
        for section, name in sorted(said)
        if section not in FOREIGN and name not in known.get(section, ())
    ]


def _perhaps(section: str, name: str, known: Mapping[str, list[str]]) -> str:
    """' (perhaps ...?)' where a known option is spelt much the same, or is in another section."""
    elsewhere = next((other for other, names in known.items() if name in names), "")
    if elsewhere:
        return f" (perhaps [{elsewhere}]?)"
    close = difflib.get_close_matches(name, known.get(section, ()), 1, 0.85)
    return f" (perhaps {close[0]}?)" if close else ""


def check_url(url: str) -> None:
    """Raises ValueError for what no database of ours can have as its URL; the message shows no password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("[database] connection is not a URL like postgresql+psycopg://USER@HOST/NAME") from None
    if parts.drivername not in DRIVERS:
        raise ValueError(
            f"[database] connection begins with {parts.drivername}://, not with one of {', '.join(DRIVERS)}"
        )
    if parts.get_backend_name() == "postgresql" and importlib.util.find_spec("psycopg") is None:
        raise ValueError("[database] connection: psycopg is not installed (pip install 'weft[postgresql]')")


def in_child(work: Callable[[], None], seconds: int = 0) -> None:
    """Do something whose modules and memory the tree need not keep, in so many seconds (0: any).

    Raises StartError, with the reason, if it fails.
    """
    sys.stdout.flush()
    parent = os.getpid()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _work(work, seconds, parent, writer)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as pipe:
        reason = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == -signal.SIGALRM:
        raise StartError(f"the database did not answer in {seconds} s")
    if status:
        raise StartError(reason or "the database could not be prepared; the log above says why")


def _work(work: Callable[[], None], seconds: int, parent: int, writer: int) -> None:
    """The life of the child's process; never returns."""
    from sqlalchemy.exc import DBAPIError

    from weft.errors import ServiceUnavailable
    from weft.store.versions import SchemaError

    code = 1
    try:
        end_with(parent)
        signal.alarm(seconds)
        work()
        code = 0
    except (SchemaError, ServiceUnavailable) as error:
        os.write(writer, f"the database: {error}"[:4000].encode())
    except DBAPIError as error:
        os.write(writer, f"the database says: {str(error.orig).splitlines()[0]}"[:4000].encode())
    except StartError as error:
        os.write(writer, str(error)[:4000].encode())
    except BaseException:
        LOG.exception("the start could not be prepared")
    finally:
        logging.shutdown()
        os._exit(code)
