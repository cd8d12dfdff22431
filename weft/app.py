"""Composition: the one file that imports every room and wires them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon

from weft.api import faults, routes
from weft.api.handler import Controller
from weft.api.policy import Policy
from weft.config import Config
from weft.context import Context
from weft.registry.resource import Resource
from weft.resources import RESOURCES
from weft.store.engine import Store
from weft.store.schema import METADATA
from weft.store.transaction import Environment

Authenticate = Callable[[dict[str, Any]], Context]


class Door:
    """Falcon middleware: who asks, and the request id on every answer."""

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        if request.path.startswith("/v2.0"):
            if request.path.endswith(".json"):
                request.path = request.path[: -len(".json")]
            request.context.caller = self._authenticate(request.env)

    def process_response(
        self, request: falcon.Request, response: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        caller = getattr(request.context, "caller", None)
        if caller is not None:
            response.set_header("x-openstack-request-id", caller.request_id)


def make_api(
    config: Config,
    authenticate: Authenticate,
    store: Store | None = None,
    ring: Callable[[], None] = lambda: None,
    resources: tuple[Resource, ...] = RESOURCES,
) -> falcon.App[Any, Any]:
    """The Networking API as a WSGI application over the database of `config`."""
    store = store or Store(config)
    policy = Policy(config)
    controller = Controller(store, policy, Environment(config), ring)
    app: falcon.App[Any, Any] = falcon.App(middleware=[Door(authenticate)])
    for kind in (Exception, falcon.HTTPError):
        app.add_error_handler(kind, faults.handle)
    routes.add(app, controller, resources)
    return app


def create_schema(store: Store) -> None:
    """Make all tables that are missing."""
    METADATA.create_all(store.engine)
