"""EVPN (RFC 7432, RFC 9136): the VNI by which other sites know a router, whose networks are advertised to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from weft import errors
from weft.registry import types as t
from weft.registry.resource import Row
from weft.store.transaction import Transaction

FIRST, LAST = 1, (1 << 24) - 1
"""A VNI has 24 bits (RFC 7348, section 5); 0 asks for any that is free."""

vni = t.integer_between(0, LAST)


def choose(tx: Transaction, values: Row) -> int | None:
    """The VNI of a new router: as asked for, the lowest free one for 0, none where nothing is said.

    Raises EVPNRequiresOVN, EVPNVNIInUse, EVPNNoVniAvailable.
    """
    wanted: int | None = values.get("evpn_vni")
    if wanted is None:
        return None
    if values["flavor_id"]:
        raise errors.EVPNRequiresOVN(router_id=values["id"])
    return _lowest_free(tx) if wanted == 0 else _unused(tx, wanted)


def _unused(tx: Transaction, wanted: int) -> int:
    from weft.resources.router import ROUTERS

    if tx.first(select(ROUTERS.c.id).where(ROUTERS.c.evpn_vni == wanted)):
        raise errors.EVPNVNIInUse(vni=wanted)
    return wanted


def _lowest_free(tx: Transaction) -> int:
    """The first one, or the successor of one in use that is free itself."""
    from weft.resources.router import ROUTERS

    used, after = ROUTERS.alias(), ROUTERS.alias()
    if not tx.first(select(used.c.id).where(used.c.evpn_vni == FIRST)):
        return FIRST
    follows = select(after.c.id).where(after.c.evpn_vni == used.c.evpn_vni + 1).exists()
    gap = select(used.c.evpn_vni + 1).where(used.c.evpn_vni < LAST, ~follows).order_by(used.c.evpn_vni).limit(1)
    found = tx.first(gap)
    if found is None:
        raise errors.EVPNNoVniAvailable(minimum=FIRST, maximum=LAST)
    return int(found[0])


def advertised(tx: Transaction, row: Row, body: Any) -> bool:
    """Whether an interface that `body` (of add_router_interface) attaches to the router is advertised host by host.

    Nobody asks where no dataplane could do it.
    Raises InvalidInput, and EVPNVNINotFound for a router without a VNI.
    """
    given = body.get("advertise_host") if isinstance(body, dict) else None
    if given is None or not tx.environment.honours("evpn"):
        return False
    wanted = t.boolean.convert(given)
    if wanted and row["evpn_vni"] is None:
        raise errors.EVPNVNINotFound(router_id=row["id"])
    return bool(wanted)
