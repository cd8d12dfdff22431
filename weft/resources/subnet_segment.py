"""Which segment a subnet belongs to: of one network all subnets belong to segments, or none does."""

from __future__ import annotations

from collections.abc import Sequence

from weft import errors
from weft.registry.resource import Row
from weft.resources import segment
from weft.store.transaction import Transaction

ROUTED_TO = "network:routed"
"""service_type of subnets that are announced to the whole routed network, and need no segment."""


def check_new(tx: Transaction, new: Row, others: Sequence[Row]) -> None:
    """Raise what speaks against the segment of a new subnet; `others` are those that the network has.

    SubnetsNotAllAssociatedWithSegments, SegmentNotFound, NetworkIdsDontMatch, SubnetCantAssociateToDynamicSegment.
    """
    counted = [bool(one["segment_id"]) for one in (*others, new) if ROUTED_TO not in one["service_types"]]
    if len(set(counted)) > 1:
        raise errors.SubnetsNotAllAssociatedWithSegments(network_id=new["network_id"])
    _check_segment(tx, new)


def check_change(tx: Transaction, old: Row, new: Row, all_: Sequence[Row]) -> None:
    """Raise what speaks against another segment of an existing subnet; `all_` are those of the network, itself included.

    A network becomes a routed one while it has one subnet and one segment, and stays one.
    """
    if len([one for one in all_ if ROUTED_TO not in one["service_types"]]) > 1:
        raise errors.SubnetsNotAllAssociatedWithSegments(network_id=new["network_id"])
    if old["segment_id"]:
        raise errors.SubnetSegmentAssociationChangeNotAllowed()
    if len(segment.of_network(tx, new["network_id"])) > 1:
        raise errors.NoUpdateSubnetWhenMultipleSegmentsOnNetwork(network_id=new["network_id"])
    _check_segment(tx, new)


def _check_segment(tx: Transaction, new: Row) -> None:
    if not new["segment_id"]:
        return
    found = tx.get(segment.SEGMENT, new["segment_id"], everybody=True)
    if found["network_id"] != new["network_id"]:
        raise errors.NetworkIdsDontMatch(network_id=new["network_id"], segment_id=found["id"])
    if found["is_dynamic"]:
        raise errors.SubnetCantAssociateToDynamicSegment()
