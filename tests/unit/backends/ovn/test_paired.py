"""Allowed address pairs as addresses of security groups: what is known after any changes is what a fresh look knows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.backends.ovn.paired import Paired
from weft.logical.model import Acl, AddressPair, LogicalPort, PortGroup

MAC = "fa:16:3e:00:00:01"
IPS = ("10.0.0.1", "10.0.0.2", "fd00::1")


def port(id: str, groups: tuple[str, ...], *ips: str, port_security: bool = True) -> LogicalPort:
    pairs = tuple(AddressPair(MAC, ip) for ip in ips)
    return LogicalPort(id, "n", MAC, groups=groups, pairs=pairs, port_security=port_security)


def group(id: str, *remotes: str) -> PortGroup:
    return PortGroup(id, True, tuple(Acl(f"{id} {one}", "ingress", "IPv4", remote_group=one) for one in remotes))


def test_a_group_has_the_pairs_of_its_members() -> None:
    paired = Paired()
    web = group("web", "db")
    paired.refer("web", web)
    assert paired.put("a", port("a", ("db",))) == set(), "a member without any changes nothing"
    assert paired.put("a", port("a", ("db",), "10.0.0.9")) == {"db", "web"}
    assert paired.around(web) == {("db", 4): frozenset({"10.0.0.9"})}
    assert paired.put("b", port("b", ("db",), "10.0.0.9", "10.0.0.8")) == {"db"}, "rules are as they were"
    assert paired.put("a", None) == set(), "another member has it, too"
    assert paired.put("b", port("b", ("db",), "fd00::9")) == {"db", "web"}
    assert paired.around(web) == {("db", 6): frozenset({"fd00::9"})}
    assert paired.put("b", port("b", (), "fd00::9")) == {"db", "web"}
    assert paired.around(web) == {}


def test_who_is_not_guarded_is_no_member() -> None:
    paired = Paired()
    assert paired.put("a", port("a", ("db",), "10.0.0.9", port_security=False)) == set()


def test_as_an_address_set_takes_them() -> None:
    paired = Paired()
    paired.put("a", port("a", ("g",), "10.0.0.5/24", "10.0.0.7/32", "0.0.0.0/0", "fd00::5/64", "::/0"))
    assert paired.around(group("g")) == {
        ("g", 4): frozenset({"10.0.0.0/24", "10.0.0.7", "0.0.0.0/1", "128.0.0.0/1"}),
        ("g", 6): frozenset({"fd00::/64", "::/1", "8000::/1"}),
    }


GROUPS = st.lists(st.sampled_from("gh"), unique=True).map(tuple)
PORTS = st.builds(
    lambda groups, ips: port("p", groups, *ips), GROUPS, st.lists(st.sampled_from(IPS), unique=True).map(tuple)
)
CHANGES = st.one_of(
    st.tuples(st.sampled_from("ab"), st.none() | PORTS),
    st.tuples(st.sampled_from("gh"), st.none() | GROUPS.map(lambda remotes: group("x", *remotes))),
)


@given(st.lists(CHANGES, max_size=12))
def test_the_way_does_not_show_and_who_differs_is_told(
    changes: list[tuple[str, LogicalPort | PortGroup | None]],
) -> None:
    paired = Paired()
    now: dict[str, LogicalPort | PortGroup | None] = {}
    for id, value in changes:
        before = {one: _said(paired, now, one) for one in "gh"}
        told = paired.put(id, value) if id in "ab" else paired.refer(id, value)  # type: ignore[arg-type]
        now[id] = value
        fresh = Paired()
        for one, said in now.items():
            fresh.put(one, said) if one in "ab" else fresh.refer(one, said)  # type: ignore[arg-type]
        after = {one: _said(paired, now, one) for one in "gh"}
        assert after == {one: _said(fresh, now, one) for one in "gh"}
        if id in "ab":
            assert told == {one for one in "gh" if before[one] != after[one]}


def _said(paired: Paired, now: dict[str, LogicalPort | PortGroup | None], id: str) -> object:
    """What the rows of the group depend on: its own sets, and which ones its rules name."""
    value = now.get(id)
    own = group(id, *(rule.remote_group or "" for rule in value.acls)) if isinstance(value, PortGroup) else group(id)
    found = dict(paired.around(own))
    return {key: addresses if key[0] == id else None for key, addresses in found.items()}
