"""What running servers are granted by Placement for the minimums of their ports, and how it follows when these change.

Which resource provider has granted each group of a port's resource_request, Nova writes into the port: `allocation` of its
binding:profile. What the group asked for then is part of what Placement allocates to the server, the port's device.
Rules: facts of the API, behaviours section 19.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from weft.logical import qos
from weft.registry.resource import Row
from weft.resources import binding, qos_attachment
from weft.resources.qos_policy import POLICY, load
from weft.resources.resource_request import MINIMUMS, group_id, of_kind, resources
from weft.store.transaction import Transaction

ALLOCATION = "allocation"
"""Key of binding:profile: id of a group -> resource provider."""


def rule_changed(tx: Transaction, policy: Row, new: Row) -> None:
    """A minimum of the policy, which is given as it was, has another value."""
    if tx.environment.reallocate is None:
        return
    before = policy["rules"]
    said = {name: value for name, value in new.items() if name != "policy_id"}
    after = [{**rule, **said} if rule["id"] == new["id"] else rule for rule in before]
    if after == before:
        return
    from weft.resources.port import PORTS

    columns = (PORTS.c.id, PORTS.c.device_id, PORTS.c.binding_profile)
    for port in tx.all(select(*columns).where(qos_attachment.servers_following(policy["id"]))):
        _follow(tx, port.id, port.device_id, port.binding_profile, before, after)


def port_moved(tx: Transaction, old: Row, new: Row) -> None:
    """The port is to follow another policy. Where it is a running server's, the groups in `new` become those of that policy.

    Who binds it anew in the same request, or gives it to another server, says himself what was granted.
    """
    bound = old["device_owner"].startswith("compute:") and old["binding:vif_type"] not in binding.FREE
    stays = bound and all(new[name] == old[name] for name in ("device_id", *binding.ASKED))
    if tx.environment.reallocate is None or not stays or not _granted(old["binding:profile"]):
        return
    before, after = qos.effective(old), qos.effective(new)
    if before != after:
        asked = _held(tx, before, after)
        new["binding:profile"] = _follow(tx, old["id"], old["device_id"], old["binding:profile"], *asked)


def network_moved(tx: Transaction, old: Row, new: Row) -> None:
    """The network has another policy, and with it the running servers' ports that follow it."""
    before, after = old["qos_policy_id"], new["qos_policy_id"]
    if tx.environment.reallocate is None or before == after or before is None:
        return
    if not any(rule["type"] in MINIMUMS for rule in load(tx, before)["rules"]):
        return
    from weft.resources.port import PORT

    asked = _held(tx, before, after)
    for port in tx.list(PORT, qos_attachment.servers_of_network(new["id"])):
        profile = _follow(tx, port["id"], port["device_id"], port["binding:profile"], *asked)
        tx.update(PORT, port, {**port, "binding:profile": profile})


def _held(tx: Transaction, *ids: str | None) -> list[Sequence[Row]]:
    """The rules of policies (None: no rules). Nobody changes them meanwhile, nor by which of them others go."""
    for id in sorted(id for id in ids if id):
        tx.hold(POLICY, id)
    return [load(tx, id)["rules"] if id else () for id in ids]


def _follow(
    tx: Transaction, port_id: str, server: str, profile: Row, before: Sequence[Row], after: Sequence[Row]
) -> Row:
    """Tell what a port asks for `after` instead of `before`. Returns its profile, which knows the groups by their new ids."""
    if not _is_server(server):
        return profile
    granted = dict(_granted(profile))
    for kind in MINIMUMS:
        old, new = of_kind(before, kind), of_kind(after, kind)
        # What was not granted cannot change: nobody has said which device it should come from.
        provider = granted.pop(group_id(port_id, old), None) if old else None
        if not isinstance(provider, str):
            continue
        if new:
            granted[group_id(port_id, new)] = provider
        for resource_class, was, now in _pairs(resources(old, kind), resources(new, kind)):
            if was != now:
                tx.reallocate(server, provider, resource_class, was, now)
    if granted == _granted(profile):
        return profile
    kept = {name: value for name, value in profile.items() if name != ALLOCATION}
    return {**kept, ALLOCATION: granted} if granted else kept


def _pairs(old: Mapping[str, int], new: Mapping[str, int]) -> Iterable[tuple[str, int, int]]:
    return ((name, old.get(name, 0), new.get(name, 0)) for name in sorted({*old, *new}))


def _granted(profile: Mapping[str, Any]) -> Mapping[str, str]:
    said = profile.get(ALLOCATION)
    return said if isinstance(said, Mapping) else {}


def _is_server(device_id: str) -> bool:
    """Servers have UUIDs; what else a device may be called means nothing to Placement."""
    try:
        return str(UUID(device_id)) == device_id
    except ValueError:
        return False
