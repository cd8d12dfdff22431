"""Who asks: the authenticated caller of one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4


def new_request_id() -> str:
    """A fresh `req-<uuid>` as every OpenStack service logs and returns it."""
    return f"req-{uuid4()}"


@dataclass(frozen=True, slots=True)
class Context:
    """The caller, as Keystone described them, and the request they make.

    `is_admin` and `is_service` are the verdicts of the policy rules `context_is_admin` and `service_api` on these
    roles; they are taken once, when the token is read.
    """

    user_id: str
    project_id: str
    roles: frozenset[str] = frozenset()
    user_name: str = ""
    project_name: str = ""
    user_domain_id: str = ""
    project_domain_id: str = ""
    domain_id: str = ""
    system_scope: str = ""
    is_admin: bool = False
    is_service: bool = False
    request_id: str = field(default_factory=new_request_id)
    global_request_id: str = ""

    @property
    def sees_everything(self) -> bool:
        """True where rows of every project are visible: an administrator or another OpenStack service."""
        return self.is_admin or self.is_service

    def facts(self) -> dict[str, Any]:
        """Who asks, in oslo.context's words, for those who hear of it by a message."""
        return {
            "user_id": self.user_id,
            "user_name": self.user_name,
            "project_id": self.project_id,
            "project_name": self.project_name,
            "roles": sorted(self.roles),
            "is_admin": self.is_admin,
            "request_id": self.request_id,
            "global_request_id": self.global_request_id or None,
        }


def internal(request_id: str = "") -> Context:
    """The context of Weft's own work (reconcilers, agents): sees and may do everything, belongs to no project."""
    return Context(
        user_id="weft",
        project_id="",
        roles=frozenset({"admin"}),
        is_admin=True,
        request_id=request_id or new_request_id(),
    )
