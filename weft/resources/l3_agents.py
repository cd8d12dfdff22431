"""The L3 agents of a router: chosen when it gets its first leg, moved when they die, given and taken by hand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select, update

from weft import errors
from weft.registry.resource import Resource, Row
from weft.resources import agent, router_ha
from weft.resources.agent_bindings import ACTIVE, STANDBY, held, served, weigh
from weft.resources.agent_bindings import ROUTER_AGENTS as BINDINGS
from weft.resources.placing import Candidate, choose, slots
from weft.store.transaction import Transaction

KIND = "L3 agent"
HOSTS_ANY = ("legacy", "dvr_snat")
HOSTS_DISTRIBUTED = ("dvr_snat",)
"""Modes of agents that routers are put on. Those in the other modes only do the part of their host."""
EVERY = 1_000_000
"""max_l3_agents_per_router 0: as many as there are."""
LARGEST_PRIORITY = 32767


def _router() -> Resource:
    from weft.resources.router import ROUTER

    return ROUTER


def modes(tx: Transaction, row: Row) -> tuple[str, ...]:
    """The modes of agents that can host the router; where nothing is distributed the flag asks for nothing."""
    return HOSTS_DISTRIBUTED if row["distributed"] and tx.environment.honours("dvr") else HOSTS_ANY


def wanted(tx: Transaction, row: Row) -> int:
    """How many agents the router is put on."""
    return (tx.config.api.max_l3_agents_per_router or EVERY) if router_ha.is_ha(tx, row) else 1


def schedule(tx: Transaction, row: Row) -> None:
    """Put the router on as many agents as it is to have, or as there are."""
    if len(row["_agents"]) < wanted(tx, row):
        _place(tx, [row])


def fill(tx: Transaction) -> None:
    """Schedule every router that lacks agents. A constant number of statements, apart from the ports of HA routers."""
    found = agent.candidates(tx, KIND)
    if not found:
        return
    routers = _router().table.c
    of_it = select(func.count()).where(BINDINGS.c.router_id == routers.id).scalar_subquery()
    most = min(tx.config.api.max_l3_agents_per_router or EVERY, len(found))
    _place(tx, tx.list(_router(), or_(of_it == 0, routers.ha & (of_it < most))), found)


def _place(tx: Transaction, rows: Sequence[Row], found: list[Candidate] | None = None) -> None:
    if not rows:
        return
    found = agent.candidates(tx, KIND) if found is None else found
    if len(found) > 1:
        weigh(tx, BINDINGS, found)
    for row in rows:
        having = [one["id"] for one in row["_agents"]]
        zones = row["availability_zone_hints"] or tx.config.api.default_availability_zones
        able = [one for one in found if one.mode in modes(tx, row)]
        _give(tx, row, choose(able, having, wanted(tx, row) - len(having), zones))


def _give(tx: Transaction, row: Row, chosen: Sequence[Candidate], priority: int | None = None) -> None:
    """Put the router on these agents; of an HA router's the first is the active one."""
    if not chosen:
        return
    free = slots({one["slot"] for one in row["_agents"]}, len(chosen))
    ports = router_ha.ports(tx, row, [one.host for one in chosen]) if router_ha.is_ha(tx, row) else {}
    made = []
    for one, slot in zip(chosen, free, strict=True):
        is_first = all(other["state"] != ACTIVE for other in row["_agents"])
        own = {"state": ACTIVE if is_first else STANDBY, "ha_port_id": ports.get(one.host)}
        row["_agents"] = [*row["_agents"], held(one, slot, **own)]
        made.append({"router_id": row["id"], "agent_id": one.id, "slot": slot, "priority": priority, **own})
    tx.add(BINDINGS, made)
    tx.record(_router(), row, "update")


def _take(tx: Transaction, row: Row, ids: Collection[str]) -> None:
    """Take the router off these agents. Another one becomes active where the active one goes."""
    gone = [one for one in row["_agents"] if one["id"] in ids]
    if not gone:
        return
    row["_agents"] = [one for one in row["_agents"] if one["id"] not in ids]
    which = BINDINGS.c.agent_id.in_([one["id"] for one in gone])
    tx.execute(delete(BINDINGS).where(BINDINGS.c.router_id == row["id"], which))
    router_ha.drop_ports(tx, [one["ha_port_id"] for one in gone])
    if row["_agents"] and all(one["state"] != ACTIVE for one in row["_agents"]):
        _activate(tx, row, min(row["_agents"], key=lambda one: int(one["slot"]))["id"])
    tx.record(_router(), row, "update")


def rest(tx: Transaction, ids: Collection[str] = ()) -> None:
    """What these agents host is served by nobody: they may not work, and nobody took it over."""
    from weft.resources import router_status

    router_status.rest(tx, [row for row in of_agents(tx, ids) if not served(tx, row)])


def _activate(tx: Transaction, row: Row, id: str) -> None:
    """Of the router's agents this one is the active one from now on."""
    statement = update(BINDINGS).where(BINDINGS.c.router_id == bindparam("of"), BINDINGS.c.agent_id == bindparam("on"))
    for one in row["_agents"]:
        state = ACTIVE if one["id"] == id else STANDBY
        if one["state"] != state:
            tx.execute(statement, {"of": row["id"], "on": one["id"], "state": state})
            one["state"] = state


def of_agents(tx: Transaction, ids: Collection[str]) -> list[Row]:
    """The routers that are on one of these agents."""
    mine = select(BINDINGS.c.router_id).where(BINDINGS.c.agent_id.in_(sorted(ids)))
    return tx.list(_router(), _router().table.c.id.in_(mine))


def serving(tx: Transaction, ids: Collection[str]) -> set[str]:
    """Of these agents those that something should be moved from: active ones of HA routers, others if that is allowed."""
    if not ids:
        return set()
    routers = _router().table
    statement = select(BINDINGS.c.agent_id).join(routers, routers.c.id == BINDINGS.c.router_id).distinct()
    statement = statement.where(BINDINGS.c.agent_id.in_(sorted(ids)), BINDINGS.c.state == ACTIVE)
    if not tx.config.api.allow_automatic_l3agent_failover:
        statement = statement.where(routers.c.ha)
    return {row[0] for row in tx.all(statement)}


def move(tx: Transaction, ids: Collection[str], *, leaving: bool = False, failover: bool = True) -> None:
    """Put what is on these agents on others, as far as there are others; where they are `leaving`, in any case.

    Of an HA router another agent becomes active. Without `failover` that is all.
    """
    from weft.resources import router_status

    rows = of_agents(tx, ids)
    found = [one for one in agent.candidates(tx, KIND) if one.id not in ids] if rows else []
    if len(found) > 1:
        weigh(tx, BINDINGS, found)
    living = {one.id for one in found}
    left: list[Row] = []
    for row in rows:
        if not leaving and router_ha.is_ha(tx, row):
            _take_over(tx, row, living)
            continue
        if not leaving and not failover:
            continue
        having = [one["id"] for one in row["_agents"] if one["id"] not in ids]
        zones = row["availability_zone_hints"] or tx.config.api.default_availability_zones
        able = [one for one in found if one.mode in modes(tx, row)]
        chosen = choose(able, having, wanted(tx, row) - len(having), zones)
        if chosen or leaving:
            _take(tx, row, ids)
            _give(tx, row, chosen)
        if not row["_agents"]:
            left.append(row)
    router_status.rest(tx, left)


def _take_over(tx: Transaction, row: Row, living: Collection[str]) -> None:
    """Where the active agent of an HA router does not live, the first that does becomes active."""
    able = sorted((one for one in row["_agents"] if one["id"] in living), key=lambda one: int(one["slot"]))
    if able and all(one["state"] != ACTIVE for one in able):
        _activate(tx, row, able[0]["id"])
        tx.record(_router(), row, "update")


def convert(tx: Transaction, row: Row) -> None:
    """The router has become of another kind: off the agents that cannot host it, and off those that it needs no more."""
    kept = sorted(row["_agents"], key=lambda one: int(one["slot"]))
    if modes(tx, row) != HOSTS_ANY and kept:
        able = {one.id for one in agent.candidates(tx, KIND) if one.mode in modes(tx, row)}
        kept = [one for one in kept if one["id"] in able]
    kept = kept[: wanted(tx, row)]
    _take(tx, row, {one["id"] for one in row["_agents"]} - {one["id"] for one in kept})
    if router_ha.is_ha(tx, row):
        _equip(tx, row)
    else:
        router_ha.drop_ports(tx, [one["ha_port_id"] for one in row["_agents"]])
        router_ha.leave(tx, row)
        _first_slot(tx, row)


def _equip(tx: Transaction, row: Row) -> None:
    """Give the agents that a router was on already the ports by which HA agents hear each other."""
    lacking = [one for one in row["_agents"] if not one["ha_port_id"]]
    ports = router_ha.ports(tx, row, [one["host"] for one in lacking]) if lacking else {}
    for one in lacking:
        one["ha_port_id"] = ports[one["host"]]
        which = (BINDINGS.c.router_id == row["id"], BINDINGS.c.agent_id == one["id"])
        tx.execute(update(BINDINGS).where(*which).values(ha_port_id=one["ha_port_id"]))


def _first_slot(tx: Transaction, row: Row) -> None:
    """A router on one agent has slot 0 and is active there."""
    for one in row["_agents"]:
        if one["slot"] or one["state"] != ACTIVE:
            one.update(slot=0, state=ACTIVE)
            statement = update(BINDINGS).where(BINDINGS.c.router_id == row["id"], BINDINGS.c.agent_id == one["id"])
            tx.execute(statement.values(slot=0, state=ACTIVE))


# By hand.


def add(tx: Transaction, to: Row, router_id: Any, priority: Any = None) -> None:
    """Put a router on the agent `to`; nothing where it is there already.

    Raises RouterNotFound, InvalidL3Agent, RouterHostedByL3Agent, RouterL3AgentMismatch, DVRL3CannotAssignToDvrAgent,
    InvalidHAChassisPriority, HAChassisPriorityAlreadyAssigned.
    """
    row = tx.get(_router(), router_id)
    its_mode = str(to["configurations"].get("agent_mode", "legacy"))
    if to["agent_type"] != KIND or not to["admin_state_up"]:
        raise errors.InvalidL3Agent(id=to["id"])
    if its_mode not in HOSTS_ANY:
        raise errors.DVRL3CannotAssignToDvrAgent()
    if its_mode not in modes(tx, row):
        raise errors.RouterL3AgentMismatch(router_id=router_id, agent_id=to["id"])
    if priority is not None:
        _check_priority(tx, row, to, priority)
    if any(one["id"] == to["id"] for one in row["_agents"]):
        return
    if row["_agents"] and not router_ha.is_ha(tx, row):
        raise errors.RouterHostedByL3Agent(router_id=router_id, agent_id=row["_agents"][0]["id"])
    _give(tx, row, [Candidate(to["id"], to["host"], to["availability_zone"])], priority)


def remove(tx: Transaction, of: Row, router_id: str) -> None:
    """Take a router off the agent `of`, if it is there. Raises RouterNotFound, DVRL3CannotRemoveFromDvrAgent."""
    from weft.resources import router_status

    row = tx.get(_router(), router_id)
    if of["configurations"].get("agent_mode", "legacy") not in HOSTS_ANY:
        raise errors.DVRL3CannotRemoveFromDvrAgent()
    _take(tx, row, {of["id"]})
    if not row["_agents"]:
        router_status.rest(tx, [row])


def prioritise(tx: Transaction, on: Row, router_id: str, priority: Any) -> None:
    """Say in which order an agent is chosen as the place of a router.

    Raises RouterNotFound, RouterNotHostedByL3Agent, InvalidHAChassisPriority, HAChassisPriorityAlreadyAssigned.
    """
    row = tx.get(_router(), router_id)
    if all(one["id"] != on["id"] for one in row["_agents"]):
        raise errors.RouterNotHostedByL3Agent(router_id=router_id, agent_id=on["id"])
    _check_priority(tx, row, on, priority)
    which = (BINDINGS.c.router_id == router_id, BINDINGS.c.agent_id == on["id"])
    tx.execute(update(BINDINGS).where(*which).values(priority=priority))
    tx.record(_router(), row, "update")


def priorities(tx: Transaction, router_id: str) -> dict[str, int]:
    """Agent -> the priority that somebody has given it for this router."""
    statement = select(BINDINGS.c.agent_id, BINDINGS.c.priority).where(BINDINGS.c.router_id == router_id)
    return {one.agent_id: one.priority for one in tx.all(statement)}


def _check_priority(tx: Transaction, row: Row, on: Row, priority: Any) -> None:
    if not isinstance(priority, int) or isinstance(priority, bool) or not 0 <= priority <= LARGEST_PRIORITY:
        raise errors.InvalidHAChassisPriority()
    if any(value == priority and id != on["id"] for id, value in priorities(tx, row["id"]).items()):
        raise errors.HAChassisPriorityAlreadyAssigned(priority=priority)
