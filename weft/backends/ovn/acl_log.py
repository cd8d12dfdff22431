"""What is logged of security groups, as OVN's columns of ACLs and the meter that limits it (ovn-nb(5)). Pure.

ovn-controller writes the lines, into its own log on the host where the packet was judged.
"""

from __future__ import annotations

from collections.abc import Mapping

from weft.backends.ovn.rows import LOG_METER, MARK, NAME_PREFIX, Ref, Row, Value
from weft.config import NetworkLog
from weft.logical.model import Log

SILENT: Mapping[str, Value] = {"log": False, "name": None, "severity": None, "meter": None}


def columns(log: Log) -> Mapping[str, Value]:
    """Of an ACL whose packets are logged. Never without a meter: of a connection OVN logs every packet."""
    return {"log": True, "name": NAME_PREFIX + log.id, "severity": "info", "meter": LOG_METER}


def meter(limits: NetworkLog) -> list[Row]:
    """It counts for each ACL on each host by itself (`fair`), so that a flood of one group silences no other."""
    band = Ref("Meter_Band", LOG_METER)
    limit = {"action": "drop", "rate": limits.rate_limit, "burst_size": limits.burst_limit}
    named = {"name": LOG_METER, "unit": "pktps", "fair": True, "bands": frozenset({band})}
    return [Row(band, {**limit, "external_ids": {MARK: band.id}}), Row(Ref("Meter", LOG_METER), named)]
