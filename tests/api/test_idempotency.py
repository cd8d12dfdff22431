"""Idempotency-Key: a repeated write gets the first answer and does nothing."""

from __future__ import annotations

import threading

from tests.api.conftest import Api
from weft.store import repetitions


def test_a_repeated_create_makes_one(api: Api) -> None:
    body = {"network": {"name": "once"}}
    first = api.post("networks", body, Idempotency_Key="k1")
    again = api.post("networks", body, Idempotency_Key="k1")
    assert first == again and first[0] == 201
    assert len(api.list("networks")) == 1
    assert api.post("networks", body, Idempotency_Key="k2")[1]["network"]["id"] != first[1]["network"]["id"]
    assert api.post("networks", body)[0] == 201
    assert len(api.list("networks")) == 3


def test_the_answer_stays_though_the_object_changes(api: Api) -> None:
    first = api.post("networks", {"network": {"name": "a"}}, Idempotency_Key="k")
    id = first[1]["network"]["id"]
    api.put(f"networks/{id}", {"network": {"name": "b"}})
    assert api.post("networks", {"network": {"name": "a"}}, Idempotency_Key="k") == first
    assert api.delete(f"networks/{id}")[0] == 204
    assert api.post("networks", {"network": {"name": "a"}}, Idempotency_Key="k") == first


def test_another_request_with_the_key_is_refused(api: Api) -> None:
    api.post("networks", {"network": {"name": "a"}}, Idempotency_Key="k")
    for answer in (
        api.post("networks", {"network": {"name": "b"}}, Idempotency_Key="k"),
        api.post("security-groups", {"security_group": {"name": "a"}}, Idempotency_Key="k"),
        api.post("networks?x=1", {"network": {"name": "a"}}, Idempotency_Key="k"),
    ):
        assert api.fault(answer) == (422, "IdempotencyKeyReused")
    assert len(api.list("networks")) == 1


def test_a_key_is_its_callers_own(api: Api) -> None:
    first = api.post("networks", {"network": {}}, Idempotency_Key="k")
    other = api.as_("p2").post("networks", {"network": {}}, Idempotency_Key="k")
    assert other[0] == 201 and other[1]["network"]["id"] != first[1]["network"]["id"]


def test_a_refusal_is_not_remembered(api: Api) -> None:
    api.admin.put("quotas/p1", {"quota": {"network": 0}})
    assert api.post("networks", {"network": {}}, Idempotency_Key="k")[0] == 409
    api.admin.put("quotas/p1", {"quota": {"network": 1}})
    assert api.post("networks", {"network": {}}, Idempotency_Key="k")[0] == 201


def test_every_write_may_be_repeated(api: Api) -> None:
    network = api.make("networks")["id"]
    subnet = api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24")["id"]
    router = api.make("routers")["id"]
    for method, path, body in (
        ("PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet}),
        ("PUT", f"networks/{network}", {"network": {"name": "x"}}),
        ("PUT", f"networks/{network}/tags/a", None),
        ("PUT", f"routers/{router}/remove_router_interface", {"subnet_id": subnet}),
        ("DELETE", f"networks/{network}", None),
    ):
        key = {"Idempotency-Key": f"{method} {path}"}
        first = api.request(method, path, body, key)
        assert first[0] < 300 and api.request(method, path, body, key) == first, path
    assert api.delete(f"networks/{network}")[0] == 404


def test_a_dry_run_uses_no_key(api: Api) -> None:
    assert api.post("networks?dry_run=true", {"network": {}}, Idempotency_Key="k")[0] == 200
    assert api.post("networks", {"network": {}}, Idempotency_Key="k")[0] == 201


def test_keys_that_cannot_be_kept(api: Api) -> None:
    assert api.post("networks", {"network": {}}, Idempotency_Key="k" * 255)[0] == 201
    for bad in ("", "k" * 256):
        assert api.post("networks", {"network": {}}, Idempotency_Key=bad)[0] == 400


def test_two_at_once_are_one(api: Api) -> None:
    answers = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        answers.append(api.post("networks", {"network": {"name": "n"}}, Idempotency_Key="k"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [201] * 4
    assert len({body["network"]["id"] for _, body in answers}) == 1
    assert len(api.list("networks")) == 1


def test_costs_two_statements_and_nothing_without_a_key(api: Api) -> None:
    api.post("networks", {"network": {}})
    with api.statements() as without:
        api.post("networks", {"network": {}})
    with api.statements() as with_key:
        api.post("networks", {"network": {}}, Idempotency_Key="k")
    with api.statements() as repeated:
        api.post("networks", {"network": {}}, Idempotency_Key="k")
    assert len(with_key) == len(without) + 2
    assert len(repeated) == 1


def test_old_keys_are_forgotten(api: Api) -> None:
    first = api.post("networks", {"network": {}}, Idempotency_Key="k")
    assert api.store.write(lambda connection: repetitions.prune(connection, "2000-01-01T00:00:00Z")) == 0
    assert api.store.write(lambda connection: repetitions.prune(connection, "2999-01-01T00:00:00Z")) == 1
    assert api.post("networks", {"network": {}}, Idempotency_Key="k")[1] != first[1]
