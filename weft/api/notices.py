"""Notifications by upstream's event types and payloads: what was asked, what was answered, as one request's messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.registry.resource import Resource, Row
from weft.store.transaction import Transaction

ROUTER_INTERFACE = {
    "add_router_interface": "router.interface.create",
    "remove_router_interface": "router.interface.delete",
}
"""The member actions that have events."""
_LEG = ("id", "project_id", "port_id", "network_id", "subnet_id", "subnet_ids")


def created(tx: Transaction, resource: Resource, asked: Mapping[str, Any], answered: Mapping[str, Any]) -> None:
    """POST of one or several objects: the bodies as they came and went."""
    tx.tell(f"{resource.member}.create.start", asked)
    tx.tell(f"{resource.member}.create.end", answered)


def updated(tx: Transaction, member: str, id: str, asked: Row, answered: Mapping[str, Any]) -> None:
    tx.tell(f"{member}.update.start", {member: asked, "id": id})
    tx.tell(f"{member}.update.end", answered)


def deleted(tx: Transaction, member: str, id: str, was: Row) -> None:
    tx.tell(f"{member}.delete.start", {f"{member}_id": id})
    tx.tell(f"{member}.delete.end", {f"{member}_id": id, member: was})


def acted(tx: Transaction, action: str, answered: Any) -> None:
    """A member action; most have no event."""
    event = ROUTER_INTERFACE.get(action)
    if event is not None:
        tx.tell(event, {"router_interface": {name: answered[name] for name in _LEG if name in answered}})


def scheduled(tx: Transaction, event: str, agent_id: str, **what: str) -> None:
    """Somebody gave an agent a network or router to serve, or took one away."""
    tx.tell(event, {"agent": {"id": agent_id, **what}})


def tagged(tx: Transaction, verb: str, resource: Resource, id: str, tags: Mapping[str, Any]) -> None:
    """Tags of an object: create (POST, PUT of one), update (PUT of the list), delete (one), delete_all."""
    payload = {"obj_resource": resource.items, "obj_resource_id": id, **tags}
    tx.tell(f"tag.{verb}.start", payload)
    tx.tell(f"tag.{verb}.end", payload)
