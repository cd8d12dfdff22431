"""What carries a network: the provider attributes, of one segment or of several."""

from __future__ import annotations

from weft import errors
from weft.registry.resource import Row
from weft.resources import segment
from weft.resources import segment_types as kinds
from weft.store.transaction import Transaction


def show(row: Row) -> None:
    """Complete a network with what carries it: the provider attributes of one segment, else `segments`. In place."""
    row["_segments"].sort(key=lambda one: one["position"])
    many = [{name: one[name.partition(":")[2]] for name in kinds.PROVIDER} for one in row["_segments"]]
    if len(many) > 1:
        row["segments"] = many
    else:
        row.update(many[0] if many else dict.fromkeys(kinds.PROVIDER))


def reserve(tx: Transaction, values: Row) -> list[Row]:
    """The segments of a new network, of which `values` no longer speaks afterwards."""
    asked = {name: values.pop(name, None) for name in kinds.PROVIDER}
    several = values.pop("segments", None)
    provided = any(value is not None for value in asked.values())
    if several is not None and provided:
        raise errors.SegmentsSetInConjunctionWithProviders()
    if several:
        kinds.refuse_duplicates(several)
    if several or provided:
        wanted = [[one.get(name) for name in kinds.PROVIDER] for one in several or [asked]]
        project = values["project_id"]
        return [segment.reserve_provider(tx, kind, place, number, project) for kind, place, number in wanted]
    types = tx.config.ml2.project_network_types
    if values["router:external"] and tx.config.ml2.external_network_type:
        types = (tx.config.ml2.external_network_type,)
    return [segment.reserve_for_project(tx, types, values["project_id"])]


def update(tx: Transaction, old: Row, changes: Row, new: Row) -> None:
    """Of the provider attributes only the VLAN tag of a single-segment network may change."""
    if "segments" in changes and changes["segments"] != old.get("segments"):
        raise errors.InvalidInput(reason="the segments of a network are created and deleted at /v2.0/segments")
    given = {name: changes[name] for name in kinds.PROVIDER if name in changes and changes[name] != old.get(name)}
    if not given:
        return
    if set(given) != {"provider:segmentation_id"} or old.get("provider:network_type") != "vlan":
        raise errors.InvalidInput(reason="Plugin does not support updating the following provider network attributes: "
                                  + ", ".join(sorted(given)))  # fmt: skip
    found = segment.reserve_provider(tx, "vlan", old["provider:physical_network"], given["provider:segmentation_id"])
    segment.renumber(tx, old["id"], found)
