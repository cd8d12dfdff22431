"""The DHCP agents of a network: chosen when it gets a subnet with DHCP, moved when they die, given and taken by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import delete, func, select

from weft import errors
from weft.registry.resource import Row
from weft.resources import agent, network
from weft.resources.agent_bindings import NETWORK_AGENTS as BINDINGS
from weft.resources.agent_bindings import held, weigh
from weft.resources.placing import Candidate, choose, slots
from weft.store.transaction import Transaction

KIND = "DHCP agent"


def look(tx: Transaction, on: Row) -> None:
    """Look now for the agents that `schedule` will ask for, and not between what is written, which is then sent together."""
    if _lacks(tx, on):
        _candidates(tx)


def _lacks(tx: Transaction, on: Row) -> bool:
    return len(on["_agents"]) < tx.config.api.dhcp_agents_per_network


def _candidates(tx: Transaction) -> list[Candidate]:
    return tx.once(("candidates", KIND), lambda: agent.candidates(tx, KIND))


def schedule(tx: Transaction, on: Row) -> None:
    """Let as many agents serve the network `on` as dhcp_agents_per_network says, or as there are."""
    if _lacks(tx, on):
        _place(tx, [on])


def fill(tx: Transaction) -> None:
    """Schedule every network with DHCP that lacks agents. A constant number of statements."""
    from weft.resources.subnet import SUBNETS

    found = agent.candidates(tx, KIND)
    number = min(tx.config.api.dhcp_agents_per_network, len(found))
    if not number:
        return
    networks = network.NETWORKS.c
    of_it = select(func.count()).where(BINDINGS.c.network_id == networks.id).scalar_subquery()
    answers = select(SUBNETS.c.id).where(SUBNETS.c.network_id == networks.id, SUBNETS.c.enable_dhcp).exists()
    lacking = tx.list(network.NETWORK, answers, of_it < number)
    _place(tx, lacking, found)


def _place(tx: Transaction, networks: Sequence[Row], found: list[Candidate] | None = None) -> None:
    if not networks:
        return
    found = list(_candidates(tx)) if found is None else found
    if len(found) > 1:
        weigh(tx, BINDINGS, found)
    most = tx.config.api.dhcp_agents_per_network
    made = []
    for on in networks:
        having = [one["id"] for one in on["_agents"]]
        zones = on["availability_zone_hints"] or tx.config.api.default_availability_zones
        chosen = choose(_reaching(tx, on, found), having, most - len(having), zones)
        made += _give(on, chosen)
    _write(tx, made, networks)


def _reaching(tx: Transaction, on: Row, found: list[Candidate]) -> list[Candidate]:
    """The agents on hosts that the network reaches: of a physical network's those that are connected to it."""
    physical = {segment["physical_network"] for segment in on["_segments"]}
    if not physical or None in physical or not found:
        return found
    known = agent.mappings(tx)
    return [one for one in found if one.host not in known or known[one.host] & physical]


def _give(on: Row, chosen: Sequence[Candidate]) -> list[Row]:
    """Rows of the bindings, which `on` knows of from now on."""
    free = slots({one["slot"] for one in on["_agents"]}, len(chosen))
    on["_agents"] = [*on["_agents"], *(held(one, slot) for one, slot in zip(chosen, free, strict=True))]
    return [{"network_id": on["id"], "agent_id": one.id, "slot": slot} for one, slot in zip(chosen, free, strict=True)]


def _write(tx: Transaction, made: Sequence[Row], networks: Iterable[Row]) -> None:
    if not made:
        return
    tx.add(BINDINGS, made)
    moved = {one["network_id"] for one in made}
    for on in networks:
        if on["id"] in moved:
            tx.record(network.NETWORK, on, "update")


def of_agents(tx: Transaction, ids: Collection[str]) -> list[Row]:
    """The networks that one of these agents serves."""
    mine = select(BINDINGS.c.network_id).where(BINDINGS.c.agent_id.in_(sorted(ids)))
    return tx.list(network.NETWORK, network.NETWORKS.c.id.in_(mine))


def counts(tx: Transaction, ids: Collection[str]) -> dict[str, int]:
    """How many networks each of these agents serves; those without any are not named."""
    if not ids:
        return {}
    of_it = BINDINGS.c.agent_id
    statement = select(of_it, func.count().label("number")).where(of_it.in_(sorted(ids))).group_by(of_it)
    return {one.agent_id: one.number for one in tx.all(statement)}


def move(tx: Transaction, ids: Collection[str], *, leaving: bool = False) -> None:
    """Let other agents serve what these serve, as far as there are others; where they are `leaving`, in any case."""
    networks = of_agents(tx, ids)
    found = [one for one in agent.candidates(tx, KIND) if one.id not in ids] if networks else []
    if not found and not leaving:
        return
    if len(found) > 1:
        weigh(tx, BINDINGS, found)
    gone: list[tuple[str, str]] = []
    made: list[Row] = []
    for on in networks:
        going = [one["id"] for one in on["_agents"] if one["id"] in ids]
        staying = [one["id"] for one in on["_agents"] if one["id"] not in ids]
        zones = on["availability_zone_hints"] or tx.config.api.default_availability_zones
        wanted = min(len(going), max(0, tx.config.api.dhcp_agents_per_network - len(staying)))
        chosen = choose(_reaching(tx, on, found), staying, wanted, zones)
        released = going if leaving or not wanted else going[: len(chosen)]
        on["_agents"] = [one for one in on["_agents"] if one["id"] not in released]
        gone += [(on["id"], id) for id in released]
        made += _give(on, chosen)
    for network_id, agent_id in gone:
        tx.execute(delete(BINDINGS).where(BINDINGS.c.network_id == network_id, BINDINGS.c.agent_id == agent_id))
    _write(tx, made, networks)
    moved = {network_id for network_id, _ in gone}
    for on in networks:
        if on["id"] in moved:
            tx.record(network.NETWORK, on, "update")


# By hand.


def add(tx: Transaction, to: Row, network_id: Any) -> None:
    """Let the agent `to` serve one network more. Raises NetworkNotFound, InvalidDHCPAgent, NetworkHostedByDHCPAgent."""
    on = tx.get(network.NETWORK, network_id)
    if to["agent_type"] != KIND or not to["admin_state_up"]:
        raise errors.InvalidDHCPAgent(id=to["id"])
    if any(one["id"] == to["id"] for one in on["_agents"]):
        raise errors.NetworkHostedByDHCPAgent(network_id=network_id, agent_id=to["id"])
    _write(tx, _give(on, [Candidate(to["id"], to["host"], to["availability_zone"])]), [on])


def remove(tx: Transaction, of: Row, network_id: str) -> None:
    """The agent `of` serves the network no longer. Raises NetworkNotHostedByDhcpAgent."""
    mine = (BINDINGS.c.network_id == network_id, BINDINGS.c.agent_id == of["id"])
    if not tx.execute(delete(BINDINGS).where(*mine)).rowcount:
        raise errors.NetworkNotHostedByDhcpAgent(network_id=network_id, agent_id=of["id"])
    tx.record(network.NETWORK, tx.get(network.NETWORK, network_id, everybody=True), "update")
