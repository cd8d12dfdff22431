"""What a host of OVN says of the bandwidth that it has to give (external_ids:ovn-cms-options of Open vSwitch). Pure.

The options are those that hosts of OVN carry already: resource_provider_bandwidths, _inventory_defaults and _hypervisors,
with `;` between entries, since `,` is between options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

NAMESPACE = UUID("5533233b-800c-11eb-b1f4-000056b2f5b8")
"""Of the ids that OVN's hosts have in Placement: the same from whoever tells of them, so that nothing is there twice."""

BANDWIDTHS = "resource_provider_bandwidths"
DEFAULTS = "resource_provider_inventory_defaults"
HYPERVISORS = "resource_provider_hypervisors"
PROBLEMS = "resource_provider_problems"
"""Keys of an agent's configurations."""

INVENTORY: Mapping[str, Callable[[str], float]] = {
    "allocation_ratio": float,
    "min_unit": int,
    "max_unit": int,
    "reserved": int,
    "step_size": int,
}
"""What may be said of an inventory besides its total."""


def parse(options: Mapping[str, str], host: str) -> dict[str, Any]:
    """The configurations of an agent on `host` whose ovn-cms-options these are: {} where they say nothing of bandwidth.

    device -> kbit/s each way, None where that is not limited; the hypervisor that each device is in, `host` where none is
    named. What cannot be read is left out, and stands among the problems in words.
    """
    if BANDWIDTHS not in options:
        return {}
    problems: list[str] = []
    bandwidths = {}
    for device, rest in _entries(options[BANDWIDTHS]):
        egress, _, ingress = rest.partition(":")
        try:
            bandwidths[device] = {"egress": _rate(egress), "ingress": _rate(ingress)}
        except ValueError:
            problems.append(f"{BANDWIDTHS}: {device}:{rest} is not DEVICE:EGRESS:INGRESS, in kbit/s")
    defaults = {}
    for name, value in _entries(options.get(DEFAULTS, "")):
        try:
            defaults[name] = INVENTORY[name](value)
        except (KeyError, ValueError):
            problems.append(f"{DEFAULTS}: {name}:{value} is none of {', '.join(INVENTORY)} with a number")
    said = dict(_entries(options.get(HYPERVISORS, "")))
    found = {
        BANDWIDTHS: bandwidths,
        DEFAULTS: defaults,
        HYPERVISORS: {device: said.get(device) or host for device in bandwidths},
    }
    return {**found, PROBLEMS: problems} if problems else found


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """ "a:b;c" -> (a, b), (c, '')."""
    for entry in text.split(";"):
        name, _, value = entry.strip().partition(":")
        if name:
            yield name, value


def _rate(text: str) -> int | None:
    rate = int(text) if text else None
    if rate is not None and rate < 0:
        raise ValueError
    return rate
