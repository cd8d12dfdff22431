"""`weft usage-audit`: a message for each network, subnet, port, router and floating IP that there is, for who bills by them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from weft import app
from weft.api import offer
from weft.api.handler import Controller
from weft.api.policy import Policy
from weft.config import Config
from weft.context import internal
from weft.reconcile.doorbell import Bell
from weft.registry.resource import Resource
from weft.resources import RESOURCES
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

AUDITED = ("networks", "subnets", "ports", "routers", "floatingips")
PIECE = 500
"""Objects told of in one transaction."""


class NobodyListens(RuntimeError):
    """No message bus is configured; the message is for the person who asked."""


def tell(config: Config) -> dict[str, int]:
    """Put `<member>.exists` of every object into the change log, from where it goes to the bus; collection -> how many.

    Raises NobodyListens; errors.ServiceUnavailable where the database does not answer.
    """
    if not config.notifications.on:
        raise NobodyListens("no message bus: set driver in [oslo_messaging_notifications] of the service's --config")
    offered = offer.offered(RESOURCES, offer.absent(config, app.capabilities(config)))
    resources = {one.collection: one for one in offered}
    store = Store(config)
    bell = Bell(config.state_path, store=store)
    controller = Controller(store, Policy(config), Environment(config), bell.ring)
    try:
        told = {name: _tell_all(controller, store, resources[name]) for name in AUDITED}
        bell.ring()
    finally:
        store.close()
    return told


def _tell_all(controller: Controller, store: Store, resource: Resource) -> int:
    column = resource.table.c.id
    ids = store.read(lambda connection: connection.execute(select(column).order_by(column)).scalars().all())
    pieces = (ids[start : start + PIECE] for start in range(0, len(ids), PIECE))
    return sum(_tell(controller, store, resource, piece) for piece in pieces)


def _tell(controller: Controller, store: Store, resource: Resource, ids: Sequence[str]) -> int:
    """Those of `ids` that are still there, as an administrator is shown them."""

    def work(connection: Connection) -> int:
        tx = Transaction(connection, internal(), Environment(controller.config))
        found = tx.list(resource, resource.table.c.id.in_(ids))
        for row in found:
            tx.tell(f"{resource.member}.exists", {resource.member: controller.shown(tx, resource, row)})
        tx.finish()
        return len(found)

    return store.write(work)
