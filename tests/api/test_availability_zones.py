"""Availability zones: what agents say of where they are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from weft.resources import agent

PATH = "availability_zones"


def report(api: Any, agent_type: str, host: str, zone: str | None = None) -> None:
    facts = {"agent_type": agent_type, "binary": "weft", "topic": "none", "host": host, "configurations": {}}
    api.inside(lambda tx: agent.report(tx, availability_zone=zone, **facts))


def stop(api: Any, host: str) -> None:
    api.inside(
        lambda tx: tx.execute(update(agent.AGENTS).where(agent.AGENTS.c.host == host), {"admin_state_up": False})
    )


def zone(resource: str, name: str = "nova", state: str = "available") -> dict[str, str]:
    return {"name": name, "resource": resource, "state": state}


def zones(api: Any, query: str = "") -> list[dict[str, str]]:
    return sorted(api.list(PATH, query), key=lambda one: (one["name"], one["resource"]))


def test_no_agents_no_zones(api: Any) -> None:
    assert api.get(PATH) == (200, {"availability_zones": []})


def test_agents_make_zones(api: Any) -> None:
    report(api, "DHCP agent", "a")
    report(api, "DHCP agent", "b")
    report(api, "L3 agent", "a")
    report(api, "L3 agent", "c", "east")
    report(api, "Open vSwitch agent", "d")
    assert zones(api) == [zone("router", "east"), zone("network"), zone("router")]


def test_a_zone_is_available_while_one_of_its_agents_may_work(api: Any) -> None:
    report(api, "DHCP agent", "a")
    report(api, "DHCP agent", "b")
    stop(api, "a")
    assert zones(api) == [zone("network")]
    stop(api, "b")
    assert zones(api) == [zone("network", state="unavailable")]


def test_filters(api: Any) -> None:
    report(api, "DHCP agent", "a")
    report(api, "L3 agent", "a", "east")
    assert zones(api, "resource=router") == zones(api, "name=east") == [zone("router", "east")]
    assert zones(api, "state=unavailable") == []
    assert zones(api, "name=nova&resource=router") == []


def test_zones_are_only_listed(api: Any) -> None:
    for answer in (api.get(f"{PATH}/nova"), api.admin.delete(f"{PATH}/nova"), api.admin.post(PATH, {})):
        assert api.fault(answer)[0] in (404, 405)


def test_both_spellings_of_the_path(api: Any) -> None:
    report(api, "DHCP agent", "a")
    assert api.get("availability-zones") == api.get("availability_zones")


def test_a_list_costs_the_same_for_10_and_200(api: Any) -> None:
    costs = []
    for upto in (10, 200):
        for number in range(upto):
            report(api, "DHCP agent", f"host {number}", f"zone {number}")
        with api.statements() as seen:
            assert len(api.list(PATH)) == upto
        costs.append(len(seen))
    assert costs == [1, 1]
