"""What a QoS policy may be attached to: who may do it, and whether the hosts concerned can honour its rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, select

from weft import errors
from weft.logical import qos
from weft.registry.resource import Row
from weft.resources import agent, binding
from weft.resources.qos_policy import POLICY, load
from weft.store.transaction import Transaction

Rules = Mapping[str, qos.Parameters]
"""Types of rules that somebody honours, with the values of their parameters."""


# Who may.


def check(tx: Transaction, new: str | None, old: str | None = None) -> None:
    """Raise unless the caller may use the policy `new` and put it in the place of `old`."""
    if new == old:
        return
    if old is not None and tx.find(POLICY, old) is None:
        raise errors.PolicyRemoveAuthorizationError(id=old)
    if new is not None:
        tx.get(POLICY, new)


# Who can.


def drivers(tx: Transaction) -> Mapping[str, Rules]:
    """The backends that hosts report, with the rules that one of its hosts honours. None: nobody is there who could refuse."""
    found: dict[str, dict[str, qos.Parameters]] = {}
    for backend, rules in _hosts(tx).values():
        known = found.setdefault(backend, {})
        for kind, parameters in rules.items():
            known[kind] = qos.either(known[kind], parameters) if kind in known else parameters
    return found


def _hosts(tx: Transaction) -> Mapping[str, tuple[str, Rules]]:
    """host -> (backend, what it honours) of all whose backend says so."""

    def load_all() -> Mapping[str, tuple[str, Rules]]:
        found = tx.all(select(agent.AGENTS.c.host, agent.AGENTS.c.configurations))
        reported = ((row.host, row.configurations) for row in found)
        return {host: (said["backend"], said["qos"]) for host, said in reported if "qos" in said}

    return tx.once("qos of hosts", load_all)


def _honours(rules: Rules, rule: Row) -> bool:
    parameters = rules.get(rule["type"])
    return parameters is not None and qos.admits(parameters, rule)


def _anywhere(tx: Transaction, rule: Row) -> bool:
    known = drivers(tx)
    return not known or any(_honours(rules, rule) for rules in known.values())


def _on_host(tx: Transaction, host: str, rule: Row) -> bool:
    known = _hosts(tx).get(host)
    return known is None or _honours(known[1], rule)


def refused_by_host(tx: Transaction, port: Row) -> str:
    """Why the port's host cannot do what its policy says, in words for the port's owner; empty if it can."""
    id = qos.effective(port)
    host = port["binding:host_id"]
    refused = [rule["type"] for rule in load(tx, id)["rules"] if not _on_host(tx, host, rule)] if id else []
    return f"host {host} cannot honour QoS rules of type {', '.join(dict.fromkeys(refused))}" if refused else ""


def check_port(tx: Transaction, port: Row) -> None:
    """Raise QosRuleNotSupported for a rule of the port's policy that its host, or no host at all, honours."""
    id = qos.effective(port)
    for rule in load(tx, id)["rules"] if id else ():
        bound = port["binding:vif_type"] not in binding.FREE
        if not (_on_host(tx, port["binding:host_id"], rule) if bound else _anywhere(tx, rule)):
            raise errors.QosRuleNotSupported(rule_type=rule["type"], port_id=port["id"])


def check_network(tx: Transaction, network_id: str, policy_id: str) -> None:
    """Raise where no host, or one that has ports of the network, does not honour a rule of its policy."""
    rules = load(tx, policy_id)["rules"]
    for rule in rules:
        if not _anywhere(tx, rule):
            raise errors.QosRuleNotSupportedByNetwork(rule_type=rule["type"], network_id=network_id)
    if rules and drivers(tx):
        _check_bound(tx, _of_network(network_id), rules)


def check_rule(tx: Transaction, policy_id: str, rule: Row) -> None:
    """Raise QosRuleNotSupported if a port that is bound with the policy is where the rule is not honoured."""
    if drivers(tx):
        _check_bound(tx, _following(policy_id), [rule])


def _check_bound(tx: Transaction, ports: ColumnElement[bool], rules: Iterable[Row]) -> None:
    from weft.resources.port import PORTS

    one = func.min(PORTS.c.id).label("one")
    statement = select(PORTS.c.binding_host_id.label("host"), one).where(ports, _bound())
    for row in tx.all(statement.group_by(PORTS.c.binding_host_id)):
        for rule in rules:
            if not _on_host(tx, row.host, rule):
                raise errors.QosRuleNotSupported(rule_type=rule["type"], port_id=row.one)


# Which ports follow a policy, in SQL.


def _bound() -> ColumnElement[bool]:
    from weft.resources.port import PORTS

    return PORTS.c.binding_vif_type.not_in(sorted(binding.FREE))


def _of_network(network_id: str) -> ColumnElement[bool]:
    from weft.resources.port import PORTS

    return and_(PORTS.c.network_id == network_id, PORTS.c.qos_policy_id.is_(None), _inheriting())


def _inheriting() -> ColumnElement[bool]:
    from weft.resources.port import PORTS

    owner = PORTS.c.device_owner
    own = or_(owner.like("network:%"), owner.like("neutron:%"))
    return or_(owner.in_(qos.INHERITING), not_(own))


def _following(policy_id: str) -> ColumnElement[bool]:
    """The ports whose policy it is: by themselves, or by their network."""
    from weft.resources.network import NETWORKS
    from weft.resources.port import PORTS

    on: Any = select(NETWORKS.c.id).where(NETWORKS.c.qos_policy_id == policy_id)
    inherited = and_(PORTS.c.qos_policy_id.is_(None), PORTS.c.network_id.in_(on), _inheriting())
    return or_(PORTS.c.qos_policy_id == policy_id, inherited)


def _of_servers() -> ColumnElement[bool]:
    from weft.resources.port import PORTS

    return and_(PORTS.c.device_owner.like("compute:%"), _bound())


def servers_following(policy_id: str) -> ColumnElement[bool]:
    """The bound ports of servers whose policy it is."""
    return and_(_following(policy_id), _of_servers())


def servers_of_network(network_id: str) -> ColumnElement[bool]:
    """The bound ports of servers that follow the network's policy, whatever it is."""
    return and_(_of_network(network_id), _of_servers())


def has_bound_server(tx: Transaction, policy_id: str) -> bool:
    """A server's port is bound with the policy."""
    from weft.resources.port import PORTS

    return bool(tx.first(select(PORTS.c.id).where(servers_following(policy_id)).limit(1)))
