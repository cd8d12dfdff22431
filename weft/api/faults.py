"""Faults on the wire: the only place that knows the error envelope."""

from __future__ import annotations

import logging
from typing import Any

import falcon
import msgspec

from weft import errors
from weft.context import new_request_id

LOG = logging.getLogger(__name__)


def body(fault: errors.Fault) -> dict[str, Any]:
    """The JSON body of a fault."""
    envelope = getattr(fault, "envelope", "NeutronError")
    return {envelope: {"type": fault.type, "message": fault.message, "detail": ""}}


def handle(request: falcon.Request, response: falcon.Response, error: Exception, _params: Any) -> None:
    """Falcon's error handler for everything that a responder raises."""
    if isinstance(error, falcon.HTTPStatus):
        raise error
    fault = as_fault(request, error)
    response.status = fault.status
    response.data = msgspec.json.encode(body(fault))
    response.content_type = "application/json"
    for name, value in getattr(fault, "headers", {}).items():
        response.set_header(name, value)
    caller = getattr(request.context, "caller", None)
    response.set_header("x-openstack-request-id", caller.request_id if caller else new_request_id())


def as_fault(request: falcon.Request, error: Exception) -> errors.Fault:
    """The fault that the client is told for `error`."""
    if isinstance(error, errors.Fault):
        return error
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        return errors.HTTPMethodNotAllowed("The method is not allowed for this resource.")
    if isinstance(error, falcon.HTTPNotFound):
        return errors.HTTPNotFound()
    if isinstance(error, falcon.HTTPError):
        refused = errors.HTTPBadRequest(error.description or error.title or "Bad request")
        refused.status = error.status_code
        return refused
    LOG.error("%s %r failed", request.method, request.path, exc_info=error)
    return errors.HTTPInternalServerError()
