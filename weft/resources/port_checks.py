"""What a port may be: the checks and computed attributes of ports, apart from their life in port.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, or_, select

from weft import errors
from weft.ipam.allocate import ALLOCATIONS
from weft.registry.resource import Row
from weft.resources import binding
from weft.store.transaction import Transaction

MAY_BE_BLANK = frozenset({"router", "classless-static-route"})
"""Extra DHCP options that mean something without a value."""


def check(tx: Transaction, new: Row, old: Row | None) -> None:
    """Raise what is wrong with the port that `new` would be."""
    _check_security(new, old)
    most = tx.config.api.max_allowed_address_pair
    if len(new["allowed_address_pairs"]) > most:
        raise errors.AllowedAddressPairExhausted(limit=most)
    if len(msgspec.json.encode(new["binding:profile"])) > binding.LARGEST_PROFILE:
        raise errors.InvalidInput(reason="binding:profile value too large")
    changed = old is None or (new["device_id"], new["device_owner"]) != (old["device_id"], old["device_owner"])
    if changed and new["device_owner"].startswith("network:router_interface") and not tx.context.is_admin:
        _check_router_is_own(tx, new)


def _check_security(new: Row, old: Row | None) -> None:
    """Groups and pairs need port security; groups need an address, too."""
    if new["port_security_enabled"]:
        return
    if new["security_groups"]:
        if old is not None and old["security_groups"]:
            raise errors.PortSecurityPortHasSecurityGroup()
        raise errors.PortSecurityAndIPRequiredForSecurityGroups()
    if new["allowed_address_pairs"]:
        raise errors.AddressPairAndPortSecurityRequired()


def _check_router_is_own(tx: Transaction, new: Row) -> None:
    from weft.resources import router

    owner = router.owner(tx, new["device_id"]) if new["device_id"] else None
    if owner is not None and owner != tx.context.project_id:
        raise errors.DeviceIDNotOwnedByTenant(device_id=new["device_id"])


def still_served(tx: Transaction, port: Row) -> bool:
    """The router or floating IP that the port belongs to exists."""
    from weft.resources import floatingip, router

    if port["device_owner"] == "network:floatingip":
        return floatingip.exists(tx, port["device_id"])
    return router.owner(tx, port["device_id"]) is not None


def complete_pairs(values: Row) -> list[dict[str, str]]:
    """The allowed address pairs, each with a MAC: the port's own where none is given."""
    found: list[dict[str, str]] = []
    for pair in values.get("allowed_address_pairs") or []:
        whole = {"ip_address": pair["ip_address"], "mac_address": pair.get("mac_address") or values["mac_address"]}
        if whole in found:
            raise errors.DuplicateAddressPairInRequest(mac=whole["mac_address"], ip=whole["ip_address"])
        found.append(whole)
    return found


def new_dhcp_options(options: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """The options as kept: with their IP version, without those that have no value."""
    kept: list[dict[str, Any]] = []
    for option in options or []:
        whole = {
            "opt_name": option["opt_name"],
            "opt_value": option["opt_value"],
            "ip_version": option.get("ip_version", 4),
        }
        if any(_same_option(whole, other) for other in kept):
            raise errors.HTTPBadRequest(
                f"Invalid input for extra_dhcp_opts. Reason: Duplicate items in the list: '{whole['opt_name']}'."
            )
        if whole["opt_value"] or (whole["opt_name"] in MAY_BE_BLANK and whole["opt_value"] is not None):
            kept.append(whole)
    return kept


def merge_dhcp_options(
    old: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]] | None
) -> list[dict[str, Any]]:
    """`old` with `changes`: per name and IP version a new value replaces, null deletes."""
    kept = [dict(option) for option in old]
    for change in changes or []:
        whole = {
            "opt_name": change["opt_name"],
            "opt_value": change["opt_value"],
            "ip_version": change.get("ip_version", 4),
        }
        kept = [option for option in kept if not _same_option(option, whole)]
        if whole["opt_value"] is not None:
            kept.append(whole)
    return kept


def _same_option(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one["opt_name"] == other["opt_name"] and one["ip_version"] == other["ip_version"])


def refuse_moved_leg(tx: Transaction, old: Row, new: Row) -> None:
    """A router's ports and the backing ports of floating IPs change hands and IPv4 addresses by their owner alone."""
    from weft.resources import floatingip, router

    def ipv4(row: Row) -> set[str]:
        return {fixed["ip_address"] for fixed in row["fixed_ips"] if ":" not in fixed["ip_address"]}

    given_away = (old["device_id"], old["device_owner"]) != (new["device_id"], new["device_owner"])
    moved = ipv4(old) != ipv4(new)
    if not (given_away or moved) or not old["device_owner"].startswith("network:"):
        return
    if not (router.has_leg(tx, old["id"]) or floatingip.has_port(tx, old["id"])):
        return
    if given_away:
        raise errors.PortInUse(id=old["id"], network_id=old["network_id"], device_id=old["device_id"])
    raise errors.BadRequest(resource="ports", reason=f"IP updates for port {old['id']} are not allowed")


MOST_PARTS = 100
"""Parts of addresses in one filter; each is looked for in every address."""


def filter_fixed_ips(_tx: Transaction, values: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    """fixed_ips=ip_address=A, fixed_ips=subnet_id=S, fixed_ips=ip_address_substr=T: values of one key OR, keys AND."""
    from weft.resources.port import PORTS

    by_key: dict[str, list[str]] = {}
    for key, value in values:
        by_key.setdefault(key, []).append(value)
    clauses: list[ColumnElement[bool]] = []
    for key, wanted in by_key.items():
        if key == "ip_address_substr":
            if len(wanted) > MOST_PARTS:
                raise errors.HTTPBadRequest(f"More than {MOST_PARTS} values of {key}")
            clauses.append(or_(*(ALLOCATIONS.c.ip_address.contains(one, autoescape=True) for one in wanted)))
        else:
            clauses.append(ALLOCATIONS.c[key].in_(wanted))
    return PORTS.c.id.in_(select(ALLOCATIONS.c.port_id).where(and_(*clauses)))


def filter_substring(tx: Transaction, values: Sequence[str]) -> ColumnElement[bool]:
    return filter_fixed_ips(tx, [("ip_address_substr", value) for value in values])
