"""The MAC address of a port: given, generated, or that of the physical device that it is bound to.

Rules: facts of the API, behaviours section 4.
"""

from __future__ import annotations

from sqlalchemy import select

from weft import errors
from weft.ipam import macs
from weft.registry.resource import Row
from weft.registry.types_address import mac_or_none
from weft.resources import binding
from weft.store.transaction import Transaction

DIRECT_PHYSICAL = "direct-physical"
"""binding:vnic_type of a physical device that a server is given whole."""
DEVICE_MAC = "device_mac_address"
"""Where binding:profile has that device's own address."""


def first(tx: Transaction, values: Row) -> str:
    """What a new port gets."""
    given = _of_device(values) or values.get("mac_address")
    if not given:
        return macs.generate(tx.config.api.base_mac)
    _refuse_used(tx, values["network_id"], given)
    return str(given)


def change(tx: Transaction, old: Row, new: Row) -> None:
    """Settle the address of the port that `old` becomes, in `new`; null asks for another one."""
    if new["mac_address"] is None:
        new["mac_address"] = macs.generate(tx.config.api.base_mac)
    if new["mac_address"] != old["mac_address"]:
        _refuse_change(old, new)
    if new["binding:vnic_type"] == DIRECT_PHYSICAL:
        _follow_device(tx, old, new)
    if new["mac_address"] != old["mac_address"]:
        _refuse_used(tx, new["network_id"], new["mac_address"])


def _refuse_change(old: Row, new: Row) -> None:
    if old["device_owner"].startswith("network:"):
        raise errors.UnsupportedPortDeviceOwner(
            operation="mac address update", id=old["id"], device_owner=old["device_owner"]
        )
    if old["binding:vif_type"] not in binding.FREE:
        raise errors.PortBound(
            id=old["id"], vif_type=old["binding:vif_type"], old_mac=old["mac_address"], new_mac=new["mac_address"]
        )


def _refuse_used(tx: Transaction, network_id: str, mac: str) -> None:
    from weft.resources.port import PORTS

    if tx.first(select(PORTS.c.id).where(PORTS.c.network_id == network_id, PORTS.c.mac_address == mac)):
        raise errors.MacAddressInUse(network_id=network_id, mac=mac)


def _of_device(row: Row) -> str:
    """The address of the device that the port is bound to; '' where it is not bound to one."""
    given = row["binding:profile"].get(DEVICE_MAC)
    if not given or not row["binding:host_id"] or row["binding:vnic_type"] != DIRECT_PHYSICAL:
        return ""
    mac = mac_or_none.convert(given)
    reason = mac_or_none.validate(mac)
    if reason is not None:
        raise errors.HTTPBadRequest(f"Invalid input for binding:profile. Reason: {DEVICE_MAC}: {reason}.")
    return str(mac)


def _follow_device(tx: Transaction, old: Row, new: Row) -> None:
    """The port has the address of the device that it is bound to, and one of its own again when that is let go."""
    device, before = _of_device(new), _of_device(old)
    let_go = (old["device_id"] or old["device_owner"]) and not (new["device_id"] or new["device_owner"])
    if device and not let_go:
        new["mac_address"] = device
    elif let_go or (before and not device):
        new["mac_address"] = macs.generate(tx.config.api.base_mac)
