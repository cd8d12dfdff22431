"""What the listings show to administrators, to members and to nobody; and that nothing can be changed over HTTP."""

from __future__ import annotations

import pytest

from tests.api.identity.conftest import House

COLLECTIONS = ("projects", "users", "roles", "domains", "services", "endpoints", "regions", "role_assignments")


def names(answer: object, collection: str) -> list[str]:
    return sorted(row["name"] for row in answer.json[collection])  # type: ignore[attr-defined]


def test_versions(house: House) -> None:
    answer = house.http.simulate_get("/")
    assert answer.status_code == 300
    (version,) = answer.json["versions"]["values"]
    assert version["links"] == [{"rel": "self", "href": "http://127.0.0.1:5000/v3/"}]
    for path in ("/v3", "/v3/"):
        assert house.http.simulate_get(path).json == {"version": version}
        assert house.http.simulate_head(path).text == ""


def test_an_administrator_lists_and_shows_everything(house: House) -> None:
    admin = house.token("admin")
    assert names(house.get("/v3/projects", admin), "projects") == ["admin", "alt", "demo", "service"]
    assert names(house.get("/v3/users", admin), "users") == ["admin", "alt", "demo", "weft"]
    assert names(house.get("/v3/roles", admin), "roles") == ["admin", "member", "reader", "service"]
    for collection in COLLECTIONS[:-1]:
        answer = house.get(f"/v3/{collection}", admin)
        assert answer.json["links"] == {
            "self": f"http://127.0.0.1:5000/v3/{collection}",
            "previous": None,
            "next": None,
        }
        assert answer.json[collection]
        for row in answer.json[collection]:
            shown = house.get(f"/v3/{collection}/{row['id']}", admin)
            assert shown.json == {collection.removesuffix("s"): row}
            assert row["links"]["self"].endswith(f"/v3/{collection}/{row['id']}")
        missing = house.get(f"/v3/{collection}/missing", admin)
        assert (missing.status_code, missing.json["error"]["title"]) == (404, "Not Found")


def test_no_listing_shows_a_password(house: House) -> None:
    admin = house.token("admin")
    for collection in COLLECTIONS:
        assert "scrypt" not in house.get(f"/v3/{collection}", admin).text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"name": "demo"}, ["demo"]),
        ({"name": "Demo", "domain_id": "default"}, ["demo"]),
        ({"domain_id": "other"}, []),
        ({"enabled": "true"}, ["admin", "alt", "demo", "service"]),
        ({"enabled": "False"}, []),
        ({"is_domain": "1"}, []),
        ({"unknown": "x", "limit": "1"}, ["admin", "alt", "demo", "service"]),
        ({"tags": "x"}, ["admin", "alt", "demo", "service"]),
        ({"name": ""}, []),
    ],
)
def test_filters(house: House, query: dict[str, str], expected: list[str]) -> None:
    assert names(house.get("/v3/projects", house.token("admin"), **query), "projects") == expected


def test_endpoints_of_a_service(house: House) -> None:
    admin = house.token("admin")
    (network,) = house.get("/v3/services", admin, type="network").json["services"]
    rows = house.get("/v3/endpoints", admin, service_id=network["id"], interface="public").json["endpoints"]
    assert [row["url"] for row in rows] == ["http://127.0.0.1:9696"]


def test_a_member_sees_himself_and_his_projects(house: House) -> None:
    demo, directory = house.token("demo"), house.users.now()
    me, project = directory.user_named("demo"), directory.project_named("demo")
    assert house.get(f"/v3/users/{me.id}", demo).json["user"]["name"] == "demo"
    assert house.get(f"/v3/projects/{project.id}", demo).json["project"]["name"] == "demo"
    assert names(house.get("/v3/users", demo, name="demo"), "users") == ["demo"]
    assert names(house.get("/v3/projects", demo, name="demo"), "projects") == ["demo"]
    assert names(house.get(f"/v3/users/{me.id}/projects", demo), "projects") == ["demo"]
    assert names(house.get("/v3/auth/projects", demo), "projects") == ["demo"]
    assert house.get("/v3/auth/domains", demo).json["domains"] == []
    assert house.get("/v3/domains/default", demo).json["domain"]["name"] == "Default"
    assert house.get("/v3/regions", demo).json["regions"][0]["id"] == "RegionOne"
    own = house.get("/v3/role_assignments", demo, **{"user.id": me.id, "include_names": "True"})
    assert sorted(row["role"]["name"] for row in own.json["role_assignments"]) == ["member", "reader"]
    assert {row["scope"]["project"]["name"] for row in own.json["role_assignments"]} == {"demo"}


@pytest.mark.parametrize("user", ["demo", "weft"])
def test_who_is_no_administrator_sees_nothing_of_others(house: House, user: str) -> None:
    token, directory = house.token(user), house.users.now()
    other, project = directory.user_named("alt"), directory.project_named("alt")
    paths = [f"/v3/{name}" for name in COLLECTIONS if name != "regions"]
    paths += [f"/v3/users/{other.id}", f"/v3/projects/{project.id}", f"/v3/users/{other.id}/projects"]
    paths += ["/v3/users?name=alt", "/v3/projects?name=alt", "/v3/projects?domain_id=default", "/v3/users?name=missing"]
    paths += ["/v3/users/missing", "/v3/projects/demo", f"/v3/role_assignments?user.id={other.id}"]
    paths += [f"/v3/projects/{project.id}/users/{other.id}/roles"]
    for path in paths:
        answer = house.http.simulate_get(path, headers={"X-Auth-Token": token})
        assert (path, answer.status_code) == (path, 403)
        assert answer.json["error"]["title"] == "Forbidden"


def test_nobody_sees_anything_without_a_token(house: House) -> None:
    paths = [f"/v3/{name}" for name in COLLECTIONS] + ["/v3/auth/catalog", "/v3/auth/projects", "/v3/users/x/projects"]
    for path in paths:
        answer = house.http.simulate_get(path)
        assert (path, answer.status_code) == (path, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")


def test_catalog_needs_a_scope(house: House) -> None:
    services = house.get("/v3/auth/catalog", house.token("demo")).json["catalog"]
    assert sorted(service["type"] for service in services) == ["identity", "network"]
    unscoped = house.by_password("demo").headers["X-Subject-Token"]
    assert house.get("/v3/auth/catalog", unscoped).status_code == 403
    assert house.get("/v3/auth/projects", unscoped).status_code == 200


def test_role_assignments_by_user_project_and_role(house: House) -> None:
    admin, directory = house.token("admin"), house.users.now()
    user, project, role = directory.user_named("weft"), directory.project_named("service"), directory.role("service")
    everything = house.get("/v3/role_assignments", admin).json["role_assignments"]
    assert len(everything) == 3 + 2 + 2 + 1
    for query in ({"user.id": user.id}, {"scope.project.id": project.id}, {"role.id": role.id}):
        (row,) = house.get("/v3/role_assignments", admin, **query).json["role_assignments"]
        assert row["user"] == {"id": user.id}
        assert row["scope"] == {"project": {"id": project.id}}
        assert row["role"] == {"id": role.id}
    for query in ({"scope.system": "all"}, {"group.id": "x"}, {"user.id": "missing"}):
        assert house.get("/v3/role_assignments", admin, **query).json["role_assignments"] == []


def test_roles_of_a_user_in_a_project(house: House) -> None:
    admin, directory = house.token("admin"), house.users.now()
    user, project = directory.user_named("demo"), directory.project_named("demo")
    path = f"/v3/projects/{project.id}/users/{user.id}/roles"
    assert names(house.get(path, admin), "roles") == ["member", "reader"]
    assert house.get(f"{path}/{directory.role('member').id}", admin).status_code == 204
    assert house.get(f"{path}/{directory.role('admin').id}", admin).status_code == 404
    assert house.get(f"/v3/projects/x/users/{user.id}/roles", admin).status_code == 404
    assert house.get(f"/v3/projects/{project.id}/users/x/roles", admin).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_changes_over_http(house: House, method: str) -> None:
    admin, before = house.token("admin"), house.users.now()
    for collection in COLLECTIONS:
        for path in (f"/v3/{collection}", f"/v3/{collection}/x"):
            answer = house.http.simulate_request(method, path, headers={"X-Auth-Token": admin}, body=b"{}")
            if path == "/v3/role_assignments/x":
                assert answer.status_code == 404
            else:
                assert answer.status_code == 405
                assert "only reads" in answer.json["error"]["message"]
    assert house.users.now() == before


def test_an_unknown_path_is_404_in_the_envelope(house: House) -> None:
    for path in ("/v3/nothing", "/v2.0", "/v3/auth"):
        answer = house.get(path, house.token("admin"))
        assert (answer.status_code, answer.json["error"]["title"]) == (404, "Not Found")


def test_every_answer_names_its_request(house: House) -> None:
    answer = house.http.simulate_get("/v3/nothing")
    assert answer.headers["X-Openstack-Request-Id"].startswith("req-")
    assert answer.headers["Vary"] == "X-Auth-Token"
