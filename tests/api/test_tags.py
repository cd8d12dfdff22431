"""Tags: the words on objects, and lists filtered by them."""

from __future__ import annotations

from tests.api.conftest import Api


def test_life_of_tags(api: Api) -> None:
    id = api.make("networks", name="n")["id"]
    path = f"/networks/{id}/tags"
    assert api.put(f"{path}/red", None) == (201, None)
    assert api.get(path) == (200, {"tags": ["red"]})
    assert api.get(f"{path}/red")[0] == 204
    assert api.fault(api.get(f"{path}/blue")) == (404, "TagNotFound")
    assert api.post(path, {"tags": ["blue", "red"]}) == (200, {"tags": ["red", "blue"]})
    assert api.put(path, {"tags": ["a", "b"]}) == (200, {"tags": ["a", "b"]})
    assert api.delete(f"{path}/a")[0] == 204
    assert api.fault(api.delete(f"{path}/a")) == (404, "TagNotFound")
    assert api.show("networks", id)["tags"] == ["b"]
    assert api.delete(path)[0] == 204
    assert api.get(path) == (200, {"tags": []})


def test_tags_bump_the_revision(api: Api) -> None:
    network = api.make("networks")
    api.put(f"/networks/{network['id']}/tags/red", None)
    assert api.show("networks", network["id"])["revision_number"] == network["revision_number"] + 1


def test_what_is_no_tag(api: Api) -> None:
    path = f"/networks/{api.make('networks')['id']}/tags"
    assert api.fault(api.put(path, {"tags": ["x" * 256]})) == (400, "InvalidInput")
    assert api.fault(api.put(path, {"tags": [1]})) == (400, "InvalidInput")
    assert api.fault(api.put(path, {"tags": ["a", "a"]})) == (400, "InvalidInput")
    assert api.fault(api.put(path, {"tags": "a"})) == (400, "InvalidInput")
    assert api.fault(api.put(path, {})) == (400, "InvalidInput")
    for method in (api.put, api.post):
        assert api.fault(method(path, {"tags": ["a"], "more": {}})) == (400, "HTTPBadRequest")
    assert api.fault(api.put(path, {"tags": [str(n) for n in range(51)]})) == (400, "BadRequest")


def test_tags_of_others_are_not_there(api: Api) -> None:
    path = f"/networks/{api.make('networks')['id']}/tags"
    assert api.fault(api.as_("p2").get(path)) == (404, "TagResourceNotFound")
    assert api.fault(api.get("/networks/none/tags")) == (404, "TagResourceNotFound")
    assert api.fault(api.as_("p1", "reader").put(f"{path}/red", None)) == (403, "PolicyNotAuthorized")


def test_filters(api: Api) -> None:
    for name, tags in (("ab", ["a", "b"]), ("a", ["a"]), ("c", ["c"]), ("none", [])):
        id = api.make("networks", name=name)["id"]
        if tags:
            api.put(f"/networks/{id}/tags", {"tags": tags})

    def names(query: str) -> set[str]:
        return {row["name"] for row in api.list("networks", query)}

    assert names("tags=a,b") == {"ab"}
    assert names("tags-any=b,c") == {"ab", "c"}
    assert names("not-tags=a,b") == {"a", "c", "none"}
    assert names("not-tags-any=b,c") == {"a", "none"}
    assert names("tags=a&not-tags=b") == {"a"}
    assert names("tags=") == set()


def test_ports_take_tags_at_creation(api: Api) -> None:
    network = api.make("networks")
    port = api.make("ports", network_id=network["id"], tags=["a"])
    assert port["tags"] == ["a"]
    assert api.show("ports", port["id"])["tags"] == ["a"]
