"""What is offered, by whom: the support matrix, and what an API says that has a dataplane, several, or none of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from weft import app, config
from weft.api import documents, offer
from weft.backends.linux.backend import LinuxBackend
from weft.resources import RESOURCES

ROOT = Path(__file__).resolve().parents[2]
KNOWN = documents.known()


def offered(**options: Any) -> set[str]:
    settings = config.load(api=options)
    absent = offer.absent(settings, app.capabilities(settings))
    return set(documents.loaded(offer.offered(RESOURCES, absent), settings))


def test_capabilities_are_extensions_of_the_api() -> None:
    for name, able in app.CAPABILITIES.items():
        assert able - KNOWN.keys() == set(), name
    assert KNOWN.keys() >= offer.BY_DATAPLANE
    assert app.CAPABILITIES["linux"] is LinuxBackend.capabilities


def test_every_extension_is_in_the_matrix() -> None:
    """That the page is the one that scripts/reference makes, test_docs tells."""
    text = (ROOT / "docs" / "support.md").read_text()
    every = documents.loaded(RESOURCES, config.Config())
    assert [alias for alias in every if f"\n| `{alias}` |" not in text] == []
    assert "\n| `local_ip` | Local IP | yes | no |\n" in text
    assert "\n| `qinq` | QinQ networks (option `vlan_qinq`) | no | yes |\n" in text


def test_what_is_left_out_is_not_served() -> None:
    assert offer.LEFT_OUT.keys() & set(documents.loaded(RESOURCES, config.Config())) == set()


@pytest.mark.parametrize("name", sorted(app.CAPABILITIES))
def test_one_dataplane(name: str) -> None:
    assert offered(backends=[name]) & offer.BY_DATAPLANE == app.CAPABILITIES[name] & offer.BY_DATAPLANE


def test_an_api_that_keeps_a_dataplane_itself_offers_what_that_can() -> None:
    assert app.capabilities(config.load(api={"backend": "ovn"})) == app.CAPABILITIES["ovn"]


def test_several_dataplanes_are_offered_together() -> None:
    assert "local_ip" not in offered(backends=["ovn"])
    assert "local_ip" in offered(backends=["ovn", "linux"])


def test_an_api_that_knows_of_no_host_offers_what_any_can() -> None:
    """Also where the machine that it is on could be a Linux host, as the default of `backend` says."""
    able = frozenset().union(*app.CAPABILITIES.values())
    assert app.capabilities(config.load()) == able
    assert offered() & offer.BY_DATAPLANE == able & offer.BY_DATAPLANE


def test_a_dataplane_that_does_not_say_is_taken_at_our_word() -> None:
    assert app.capabilities(config.load(api={"backends": ["linux", "elsewhere"]})) is None
    assert offered(backends=["elsewhere"]) >= offer.BY_DATAPLANE


def test_what_is_asked_for_by_an_option() -> None:
    assert not offer.ON_REQUEST.keys() & offered()
    assert offered(vlan_transparent=True, vlan_qinq=True) >= offer.ON_REQUEST.keys()
