"""Every fault of the Networking API has its class, with the type and status that clients know."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weft import errors

FACTS = json.loads((Path(__file__).parent / "facts" / "errors.json").read_text())

INTERNAL = {
    # the reference's object layer, start-up, plumbing between its processes; none is an answer to a request of ours
    "DeferIpam": "a signal",
    "AddressCalculationFailure": "object layer",
    "InvalidAddressType": "object layer",
    "CookieNotFound": "log driver",
    "HashRingIsEmpty": "its OVN workers",
    "RevisionConflict": "its OVN workers",
    "RevisionNumberNotDefined": "its OVN workers",
    "StandardAttributeIDNotFound": "object layer",
    "UnknownResourceType": "its OVN workers",
    "InvalidPortForwardingConfiguration": "start-up",
    "ProtocolNotSupported": "its OVN driver",
    "ExtensionDriverError": "plug-in loading",
    "ExtensionDriverNotFound": "plug-in loading",
    "DuplicatedExtension": "plug-in loading",
    "SriovUnsupportedNetworkType": "its SR-IOV driver",
    "LogapiDriverException": "log driver",
    "ValidatedMethodNotFound": "log driver",
    "RouterGatewayNotSet": "log of a sibling project",
    "RouterNotEnabledSnat": "log of a sibling project",
    "MechanismDriverNotFound": "start-up",
    "MechanismDriverOVNNotReady": "start-up",
    "IncompatibleDriverSegmentationTypes": "start-up",
    "IncompatibleTrunkPluginConfiguration": "start-up",
    "TrunkPluginDriverConflict": "start-up",
    "SegmentationTypeValidatorNotFound": "start-up",
    "InvalidContentType": "serializer",
    "ObjectActionError": "object layer",
    "PhysicalNetworkNameError": "start-up",
    "PolicyInitError": "plug-in loading",
    "RbacPolicyInitError": "object layer",
    "HANetworkCIDRNotValid": "start-up",
    "MaxVRIDAllocationTriesReached": "object layer",
    "AmbiguousResponsibilityForResourceProvider": "placement client",
    "FloatingIPQosBindingError": "object layer",
    "NetworkQosBindingError": "object layer",
    "PortQosBindingError": "object layer",
    "RouterQosBindingError": "object layer",
    "RetryRequest": "becomes HTTPInternalServerError",
}

MENDED = {
    # a 500 in the reference although the client can do something about it
    "Invalid": 400,
    "NetworkTunnelRangeError": 400,
    "NetworkVlanRangeError": 400,
    "PortBindingError": 409,
    "SubPortBindingError": 409,
    "SubnetAllocationError": 409,
    "UnableToAddExtraGateways": 409,
    "UnableToMatchGateways": 400,
    "UnableToRemoveGateways": 409,
}

CLASSES: list[type[errors.Fault]] = [
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.Fault)
]
BY_TYPE = {cls.wire_type or cls.__name__: cls for cls in CLASSES}


def internal(fact: dict[str, Any]) -> bool:
    library = fact["type"].startswith(("Placement", "Neutron")) and not fact["operations"]
    return library or fact["type"] in INTERNAL


@pytest.mark.parametrize("fact", [fact for fact in FACTS if not internal(fact)], ids=lambda fact: fact["type"])
def test_class_and_status(fact: dict[str, Any]) -> None:
    cls = BY_TYPE[fact["type"]]
    same_type = {other["status"] for other in FACTS if other["type"] == fact["type"]}
    expected = {MENDED[fact["type"]]} if fact["type"] in MENDED else same_type
    assert cls.status in expected


@pytest.mark.parametrize(("type_", "status"), MENDED.items())
def test_mended_types_are_500_in_the_reference(type_: str, status: int) -> None:
    assert 500 in {fact["status"] for fact in FACTS if fact["type"] == type_}
    assert 400 <= status < 500


def test_nothing_internal_was_provoked_by_a_request() -> None:
    provoked = {fact["type"] for fact in FACTS if internal(fact) and fact["operations"]}
    assert provoked == set()


def names_in(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("cls", [c for c in CLASSES if c is not errors.MultipleFaults], ids=lambda cls: cls.__name__)
def test_message_takes_its_facts(cls: type[errors.Fault]) -> None:
    names = names_in(cls.message)
    assert all(name.isidentifier() for name in names)
    fault = cls(**{name: f"[{name}]" for name in names})
    assert all(f"[{name}]" in fault.message for name in names)
    assert str(fault) == fault.message
    assert cls().message.count("<") >= len(names)  # missing facts are named, not fatal
    assert pickle.loads(pickle.dumps(fault)).message == fault.message


def raised() -> Iterator[tuple[str, type[errors.Fault], set[str]]]:
    """(place, class, names of the facts) for every fault that the code makes with its class's own sentence."""
    for path in sorted(Path(errors.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args):
                continue
            owner, facts = node.func.value, {keyword.arg for keyword in node.keywords}
            cls = getattr(errors, node.func.attr, None)
            if isinstance(owner, ast.Name) and owner.id == "errors" and isinstance(cls, type) and None not in facts:
                yield f"{path.name}:{node.lineno}", cls, {fact for fact in facts if fact}


def test_faults_are_raised_with_the_facts_that_their_sentence_names() -> None:
    incomplete = [
        f"{place}: {cls.__name__} lacks {', '.join(missing)}"
        for place, cls, facts in raised()
        if (missing := sorted(names_in(cls.message) - facts))
    ]
    assert incomplete == []


def test_no_type_twice() -> None:
    assert len(BY_TYPE) == len(CLASSES)


def test_literal_message_is_not_a_template() -> None:
    fault = errors.BadRequest("{resource} {0} %s {", resource="x")
    assert fault.message == "{resource} {0} %s {"
    assert fault.facts == {"resource": "x"}


def test_not_implemented_has_its_own_envelope() -> None:
    fault = errors.NotImplementedFault()
    assert (fault.type, fault.envelope, fault.status) == ("NotImplementedError", "NotImplementedError", 501)


def test_faults_of_one_status_are_joined() -> None:
    many = errors.MultipleFaults([errors.PortNotFound(id="p"), errors.NetworkNotFound(id="n")])
    assert (many.status, many.type) == (404, "PortNotFound")
    assert many.message == "Port p could not be found.\nNetwork n could not be found."


def test_faults_of_several_statuses_are_a_conflict() -> None:
    many = errors.MultipleFaults([errors.PortNotFound(id="p"), errors.OverQuota(resources=["port"])])
    assert (many.status, many.type) == (409, "Conflict")
    assert many.message.splitlines() == [
        "HTTP 404 PortNotFound: Port p could not be found.",
        "HTTP 409 OverQuota: Quota exceeded for resources: ['port'].",
    ]
