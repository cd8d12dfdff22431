"""One question to one OVSDB server (RFC 7047), for who wants to know whether that very server answers."""

from __future__ import annotations

import errno
import time
from typing import Any

import ovs.jsonrpc
import ovs.poller
from ovs.stream import Stream


def ask(remote: str, database: str, table: str, seconds: float) -> tuple[str, dict[str, Any]] | str:
    """(version of the schema, the database's only row of `table`), or why there is no answer in so many seconds.

    Certificates are those that the process has given to Open vSwitch's library before.
    """
    error, stream = Stream.open_block(Stream.open(remote), seconds * 1000)
    if error or stream is None:
        return "it does not answer"
    connection = ovs.jsonrpc.Connection(stream)
    try:
        schema = _call(connection, "get_schema", [database], seconds)
        select = {"op": "select", "table": table, "where": []}
        rows = _call(connection, "transact", [database, select], seconds)[0]["rows"]
        return str(schema["version"]), rows[0] if rows else {}
    except (OSError, KeyError, TypeError) as fault:
        return str(fault) or "it does not answer"
    finally:
        connection.close()


def _call(connection: Any, method: str, parameters: list[Any], seconds: float) -> Any:
    """The result of one request. OSError without an answer in time."""
    request = ovs.jsonrpc.Message.create_request(method, parameters)
    end = time.monotonic() + seconds
    error = connection.send(request)
    while not error and time.monotonic() < end:
        connection.run()
        error, reply = connection.recv()
        if reply is not None and reply.id == request.id:
            if reply.error is not None:
                raise OSError(str(reply.error))
            return reply.result
        if reply is None and error == errno.EAGAIN:
            error = 0
            poller = ovs.poller.Poller()
            connection.wait(poller)
            connection.recv_wait(poller)
            poller.timer_wait(int(max(1.0, (end - time.monotonic()) * 1000)))
            poller.block()
    raise OSError("it does not answer")
