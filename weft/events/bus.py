"""The message bus: notifications as oslo.messaging sends them, with upstream's publisher and priority.

Imported only where somebody listens: oslo.messaging is an extra (weft[notifications]), and 30 MB.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_context.context import RequestContext
from oslo_messaging import opts

from weft.config import Config
from weft.store.changes import NOTIFICATION, Change

NAME = "notifications"
SECTION = "oslo_messaging_notifications"
CALLER = ("user_id", "user_name", "project_id", "project_name", "roles", "is_admin", "request_id", "global_request_id")
"""What a message says of who asked."""


class Bus:
    """The recipient: each message of the change log, as it is written there.

    While the bus is away oslo.messaging tries again and again, and the cursor waits.
    """

    name = NAME
    gather = 0.0

    def __init__(self, config: Config, notifier: Any = None) -> None:
        self._notifier = notifier or make_notifier(config)

    def due(self) -> bool:
        return False

    def wants(self, change: Change) -> bool:
        return change.kind == NOTIFICATION and change.facts is not None

    def deliver(self, batch: Sequence[Change]) -> None:
        for change in batch:
            facts = change.facts or {}
            self._notifier.info(RequestContext(**facts["context"]), facts["event"], facts["payload"])


class CallerInWords:
    """oslo.messaging's serializer: payloads are JSON already, and the caller becomes a dictionary with upstream's keys."""

    def serialize_entity(self, _context: Any, entity: Any) -> Any:
        return entity

    def serialize_context(self, context: Any) -> Mapping[str, Any]:
        said = {name: getattr(context, name) for name in CALLER}
        return {**said, "tenant": said["project_id"], "tenant_id": said["project_id"], "user": said["user_id"]}


def make_notifier(config: Config) -> Any:
    """oslo.messaging's, by [oslo_messaging_notifications] and the sections of its transports as the files have them."""
    conf = cfg.ConfigOpts()
    for group, options in opts.list_opts():
        if group == SECTION:
            conf.register_opts(options, group=group)
    conf([], project="weft", default_config_files=list(config.files), default_config_dirs=[])
    conf.set_override("driver", list(config.notifications.driver), group=SECTION)
    logging.getLogger("oslo.messaging.notification").setLevel(logging.INFO)  # what the driver `log` writes
    url = config.notifications.transport_url or None
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    return oslo_messaging.Notifier(
        transport,
        publisher_id=f"network.{config.api.host}",
        topics=list(config.notifications.topics),
        serializer=CallerInWords(),
        retry=-1,  # what is not sent must not count as sent
    )
