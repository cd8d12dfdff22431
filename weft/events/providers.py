"""The API of Placement, as much of it as is needed here: resource providers, what they have and what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keystoneauth1 import exceptions

from weft.config import Config
from weft.events import nova

VERSION = "1.29"
"""Of Placement's API: with it Nova chooses among providers that stand below hypervisors."""


class Providers:
    """Resource providers by their ids. Whatever is not done is raised, as keystoneauth1.exceptions.ClientException."""

    def __init__(self, config: Config) -> None:
        self._api = nova.client(config.placement, "placement", VERSION)
        self._traits: set[str] = set()

    def named(self, name: str) -> str | None:
        """The id of the provider with that name; None where there is none."""
        found = checked(self._api.get("/resource_providers", params={"name": name}, raise_exc=False))
        return next((str(one["uuid"]) for one in found["resource_providers"]), None)

    def below(self, id: str) -> set[str]:
        """The ids of those whose parent that one is."""
        found = checked(self._api.get("/resource_providers", params={"in_tree": id}, raise_exc=False))
        return {str(one["uuid"]) for one in found["resource_providers"] if one["parent_provider_uuid"] == id}

    def ensure(self, id: str, name: str, parent: str | None = None) -> int:
        """Make it if it is not there. Returns its generation, which every change of it has to name."""
        answer = self._api.get(f"/resource_providers/{id}", raise_exc=False)
        if answer.status_code == 404:
            below = {} if parent is None else {"parent_provider_uuid": parent}
            body = {"uuid": id, "name": name, **below}
            answer = self._api.post("/resource_providers", json=body, raise_exc=False)
        return int(checked(answer)["generation"])

    def set_inventories(self, id: str, generation: int, inventories: Mapping[str, Any]) -> int:
        """All that it has. Returns its generation."""
        return self._set(id, "inventories", generation, dict(inventories))

    def set_aggregates(self, id: str, generation: int, aggregates: Iterable[str]) -> int:
        """All aggregates that it is in. Returns its generation."""
        return self._set(id, "aggregates", generation, sorted(aggregates))

    def set_traits(self, id: str, generation: int, traits: Iterable[str]) -> int:
        """All that it is. Returns its generation."""
        for trait in sorted(set(traits) - self._traits):
            done(self._api.put(f"/traits/{trait}", raise_exc=False))
            self._traits.add(trait)
        return self._set(id, "traits", generation, sorted(traits))

    def delete(self, id: str) -> str:
        """Away with it. Returns why it stays, '' where it is gone: servers have allocations of what it has."""
        answer = self._api.delete(f"/resource_providers/{id}", raise_exc=False)
        if answer.status_code == 409:
            return str(answer.text)
        done(answer, 404)
        return ""

    def _set(self, id: str, what: str, generation: int, values: Any) -> int:
        body = {"resource_provider_generation": generation, what: values}
        answer = self._api.put(f"/resource_providers/{id}/{what}", json=body, raise_exc=False)
        return int(checked(answer)["resource_provider_generation"])


def done(answer: Any, *also: int) -> None:
    """Raise what the answer refuses with, unless its status is one of `also`."""
    if answer.status_code >= 300 and answer.status_code not in also:
        raise exceptions.from_response(answer, answer.request.method, answer.url)


def checked(answer: Any) -> Any:
    """The body of an answer that is no refusal."""
    done(answer)
    return answer.json()
