"""Subnet pools: prefixes that subnets are taken out of."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Table

from weft.registry.resource import Row
from weft.store.schema import ID, METADATA, identity
from weft.store.transaction import Transaction

SUBNETPOOLS = Table("subnetpools", METADATA, *identity(), Column("address_scope_id", ID, index=True))


def default(tx: Transaction, ip_version: int, delegated: bool) -> str:
    """The id of the default pool of that IP version (prefix_delegation where that is how IPv6 is done)."""
    raise NotImplementedError


def take(tx: Transaction, pool_id: str, values: Row, on: Row) -> str:
    """A CIDR out of the pool for the subnet `values` on the network `on`."""
    raise NotImplementedError


def same_scope(tx: Transaction, pools: Sequence[str | None], pool_id: str | None) -> bool:
    """True if subnets of these pools may share a network: all in one address scope."""
    return False
