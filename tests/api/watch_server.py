"""The API as `weft serve` runs it, callers named by headers; arguments: configuration, and what to set otherwise (JSON)."""

from __future__ import annotations

import json
import socket
import sys

from weft import app, config, serving
from weft.api import feed, watch
from weft.api.auth import HeaderAuthenticator
from weft.api.policy import Policy


def main() -> None:
    settings = config.load([sys.argv[1]])
    other = json.loads(sys.argv[2])
    feed.MOST_WAITING = other.get("most_waiting", feed.MOST_WAITING)
    watch.KEEP_ALIVE = other.get("keep_alive", watch.KEEP_ALIVE)
    watch.LONGEST = other.get("longest", watch.LONGEST)
    serving.STUCK = other.get("stuck", serving.STUCK)
    listener = serving.listen("127.0.0.1", 0)
    if "buffer" in other:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, other["buffer"])

    def ready() -> None:
        print(listener.getsockname()[1], flush=True)

    serving.serve(
        lambda: app.make_api(settings, HeaderAuthenticator(Policy(settings))),
        listener,
        settings.api.api_threads,
        ready,
        serving.Apart("/v2.0/watch", settings.api.max_watchers),
    )


if __name__ == "__main__":
    main()
