"""Flavors, service profiles and service providers by the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from weft.registry.resource import Row

NOBODY = "6f3d1c3e-0000-4000-8000-000000000000"
SINGLE_NODE = "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver"


def flavor(api: Api, **more: Any) -> Row:
    return api.admin.make("flavors", **{"name": "f", "service_type": "L3_ROUTER_NAT", **more})


def profile(api: Api, **more: Any) -> Row:
    return api.admin.make("service_profiles", **{"driver": SINGLE_NODE, **more})


def bind(api: Api, one: Row, other: Row) -> tuple[int, Any]:
    return api.admin.post(f"flavors/{one['id']}/service_profiles", {"service_profile": {"id": other["id"]}})


def test_a_flavor(api: Api) -> None:
    found = flavor(api)
    assert found == {
        "id": found["id"],
        "name": "f",
        "description": "",
        "service_type": "L3_ROUTER_NAT",
        "enabled": True,
        "service_profiles": [],
    }
    assert api.show("flavors", found["id"]) == found
    status, body = api.admin.put(f"flavors/{found['id']}", {"flavor": {"name": "g", "enabled": False}})
    assert (status, body["flavor"]) == (200, {**found, "name": "g", "enabled": False})
    assert api.admin.delete(f"flavors/{found['id']}")[0] == 204
    assert api.fault(api.get(f"flavors/{found['id']}")) == (404, "FlavorNotFound")


def test_service_types_are_known_and_stay(api: Api) -> None:
    answer = api.admin.post("flavors", {"flavor": {"service_type": "FOO"}})
    assert api.fault(answer) == (400, "InvalidServiceType")
    found = flavor(api, service_type="QOS")
    assert api.admin.put(f"flavors/{found['id']}", {"flavor": {"service_type": "METERING"}})[0] == 400


def test_administrators_make_flavors(api: Api) -> None:
    assert api.post("flavors", {"flavor": {"service_type": "QOS"}})[0] == 403
    found = flavor(api)
    assert [row["id"] for row in api.list("flavors")] == [found["id"]]
    assert api.put(f"flavors/{found['id']}", {"flavor": {"name": "x"}})[0] == 403
    assert api.delete(f"flavors/{found['id']}")[0] == 403


def test_a_profile(api: Api) -> None:
    found = api.admin.make("service_profiles", metainfo="{}")
    assert found == {"id": found["id"], "description": "", "driver": "", "enabled": True, "metainfo": "{}"}
    path = f"service_profiles/{found['id']}"
    assert api.admin.put(path, {"service_profile": {"description": "d"}})[1]["service_profile"]["description"] == "d"
    assert api.admin.get(f"service-profiles/{found['id']}")[0] == 200
    assert api.admin.delete(path)[0] == 204
    assert api.fault(api.admin.get(path)) == (404, "ServiceProfileNotFound")


def test_a_profile_says_something(api: Api) -> None:
    assert api.fault(api.admin.post("service_profiles", {"service_profile": {"description": "d"}})) == (
        400,
        "ServiceProfileEmpty",
    )
    found = api.admin.make("service_profiles", metainfo="{}")
    answer = api.admin.put(f"service_profiles/{found['id']}", {"service_profile": {"metainfo": ""}})
    assert api.fault(answer) == (400, "ServiceProfileEmpty")


def test_drivers_are_those_of_providers(api: Api) -> None:
    answer = api.admin.post("service_profiles", {"service_profile": {"driver": "no.such.Driver"}})
    assert api.fault(answer) == (404, "ServiceProfileDriverNotFound")


def test_profiles_are_administrators(api: Api) -> None:
    found = profile(api)
    assert api.list("service_profiles") == []
    assert api.get(f"service_profiles/{found['id']}")[0] == 404
    assert api.post("service_profiles", {"service_profile": {"metainfo": "x"}})[0] == 403


def test_a_flavor_gets_and_loses_a_profile(api: Api) -> None:
    one, other = flavor(api), profile(api)
    assert bind(api, one, other) == (201, {"service_profile": {"id": other["id"]}})
    assert api.show("flavors", one["id"])["service_profiles"] == [other["id"]]
    assert api.fault(bind(api, one, other)) == (409, "FlavorServiceProfileBindingExists")
    path = f"flavors/{one['id']}/service_profiles/{other['id']}"
    assert api.admin.get(path)[1] == {"service_profile": {"id": other["id"]}}
    assert api.admin.delete(path)[0] == 204
    assert api.show("flavors", one["id"])["service_profiles"] == []
    assert api.fault(api.admin.delete(path)) == (404, "FlavorServiceProfileBindingNotFound")


def test_two_flavors_share_a_profile(api: Api) -> None:
    one, two, shared = flavor(api), flavor(api), profile(api)
    assert bind(api, one, shared)[0] == bind(api, two, shared)[0] == 201
    assert api.admin.delete(f"flavors/{one['id']}/service_profiles/{shared['id']}")[0] == 204
    assert api.show("flavors", two["id"])["service_profiles"] == [shared["id"]]


def test_only_what_is_there_is_bound(api: Api) -> None:
    one, other = flavor(api), profile(api)
    assert api.fault(bind(api, one, {"id": NOBODY})) == (404, "ServiceProfileNotFound")
    assert api.fault(bind(api, {"id": NOBODY}, other)) == (404, "FlavorNotFound")


def test_profiles_in_the_body_of_a_flavor(api: Api) -> None:
    a, b = profile(api), profile(api)
    found = flavor(api, service_profiles=[a["id"]])
    assert api.show("flavors", found["id"])["service_profiles"] == [a["id"]]
    body = {"flavor": {"service_profiles": [b["id"]]}}
    assert api.admin.put(f"flavors/{found['id']}", body)[1]["flavor"]["service_profiles"] == [b["id"]]
    assert api.show("flavors", found["id"])["service_profiles"] == [b["id"]]
    answer = api.admin.post("flavors", {"flavor": {"service_type": "QOS", "service_profiles": [NOBODY]}})
    assert api.fault(answer) == (404, "ServiceProfileNotFound")


def test_a_profile_in_use_stays(api: Api) -> None:
    one, other = flavor(api), profile(api)
    bind(api, one, other)
    path = f"service_profiles/{other['id']}"
    assert api.fault(api.admin.delete(path)) == (409, "ServiceProfileInUse")
    assert api.fault(api.admin.put(path, {"service_profile": {"enabled": False}})) == (409, "ServiceProfileInUse")
    assert api.admin.delete(f"flavors/{one['id']}")[0] == 204
    assert api.admin.delete(path)[0] == 204


def test_the_next_provider(api: Api) -> None:
    one, other = flavor(api), profile(api, metainfo="m")
    bind(api, one, other)
    bind(api, one, profile(api, metainfo="later"))
    wanted = {"provider": "single_node", "driver": SINGLE_NODE, "metainfo": "m"}
    assert api.admin.list(f"flavors/{one['id']}/next_providers") == [wanted]
    assert api.admin.get(f"flavors/{one['id']}/next_providers/{other['id']}")[1] == {"next_provider": wanted}


def test_what_is_switched_off_has_no_next_provider(api: Api) -> None:
    off = flavor(api, enabled=False)
    assert api.fault(api.admin.get(f"flavors/{off['id']}/next_providers")) == (503, "FlavorDisabled")
    one = flavor(api, service_profiles=[profile(api, enabled=False)["id"]])
    assert api.fault(api.admin.get(f"flavors/{one['id']}/next_providers")) == (503, "ServiceProfileDisabled")
    one = flavor(api, service_profiles=[profile(api, driver="", metainfo="m")["id"]])
    assert api.fault(api.admin.get(f"flavors/{one['id']}/next_providers")) == (404, "ServiceProfileDriverNotFound")


def test_service_providers(api: Api) -> None:
    wanted = [{"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": True}]
    assert api.list("service-providers") == wanted
    assert api.list("service_providers") == wanted
    assert api.list("service-providers")[0]["default"] is True
    assert api.post("service-providers", {"service_provider": {}})[0] in (400, 405)


def test_a_router_of_a_flavor(api: Api) -> None:
    assert api.make("routers")["flavor_id"] is None
    one = flavor(api, service_profiles=[profile(api)["id"]])
    router = api.make("routers", flavor_id=one["id"])
    assert router["flavor_id"] == api.show("routers", router["id"])["flavor_id"] == one["id"]
    path = f"routers/{router['id']}"
    assert api.put(path, {"router": {"flavor_id": None}})[0] == 400
    assert api.fault(api.admin.delete(f"flavors/{one['id']}")) == (409, "FlavorInUse")
    assert api.delete(path)[0] == 204
    assert api.admin.delete(f"flavors/{one['id']}")[0] == 204


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"enabled": False}, (503, "FlavorDisabled")),
        ({"service_type": "QOS"}, (400, "InvalidServiceType")),
        ({}, (404, "ServiceProfileNotFound")),
    ],
)
def test_routers_are_of_flavors_for_routers(api: Api, values: Row, fault: tuple[int, str]) -> None:
    one = flavor(api, **values)
    assert api.fault(api.post("routers", {"router": {"flavor_id": one["id"]}})) == fault
    assert api.fault(api.post("routers", {"router": {"flavor_id": NOBODY}})) == (404, "FlavorNotFound")


def test_statements(api: Api) -> None:
    def count(collection: str) -> int:
        with api.statements() as seen:
            api.admin.list(collection)
        return len(seen)

    one = flavor(api)
    paths = ("flavors", "service_profiles", f"flavors/{one['id']}/service_profiles")
    before = [count(path) for path in paths]
    for _ in range(8):
        other = profile(api)
        bind(api, one, other)
        bind(api, flavor(api), other)
    assert [count(path) for path in paths] == before


def test_extensions(api: Api) -> None:
    aliases = {row["alias"] for row in api.list("extensions")}
    assert {"flavors", "l3-flavors", "service-type"} <= aliases
