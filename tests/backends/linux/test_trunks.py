"""Sub-ports of trunks against the kernel: tags come and go between a parent's device and those of its sub-ports."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest

from weft.backends.linux import bpf, names, netns, trunks
from weft.backends.linux.links import Create, Delete, Link, Links, Modify
from weft.backends.linux.trunks import Part, Trunks

pytestmark = pytest.mark.needs_root

PATIENCE = 0.25
HERE, THERE = bytes.fromhex("fa163e000001"), bytes.fromhex("fa163e000002")
PAYLOAD = b"\x88\xb5" + b"weft".ljust(48, b".")  # an EtherType for experiments (IEEE 802)
TAG_TYPE = b"\x81\x00"


class Host:
    """A namespace with a parent's device, whose other end is a guest's eth0 in a namespace of its own."""

    def __init__(self, prefix: str) -> None:
        self.name, self.guest, self.parent = f"{prefix}-trunk", f"{prefix}-guest", str(uuid4())
        for space in (self.name, self.guest):
            netns.create(space, netns.HOST_SYSCTLS)
        self.links, self.inside = Links(self.name), Links(self.guest)
        self.trunks = Trunks(self.name)
        self.plug()

    def plug(self) -> None:
        tap = Link(names.tap(self.parent), kind="veth", peer=(self.guest, "eth0"), up=True)
        assert self.links.apply([Create(tap)]) == {}
        assert self.inside.apply([Modify(Link("eth0", up=True))]) == {}

    def unplug(self) -> None:
        assert self.links.apply([Delete(names.tap(self.parent))]) == {}

    def set(self, *parts: Part, full: bool = False, devices: tuple[str, ...] = ()) -> trunks.Outcome:
        """The parts of the parent, as the backend asks for them."""
        actual = self.links.dump()
        outcome = self.trunks.set(parts, devices or (names.tap(self.parent),), actual, self.links, full)
        assert outcome.failed == {}
        for part in parts:
            assert self.links.apply([Modify(Link(part.tap, up=True))]) == {}
        after = self.links.dump()
        assert {name: link.index for name, link in actual.items()} == {name: link.index for name, link in after.items()}
        return outcome

    def part(self, tag: int, enabled: bool = True) -> Part:
        return Part(str(uuid4()), self.parent, tag, 1450, enabled)

    def comes(self, tagged: bytes, part: Part) -> bool:
        """A frame that the guest sends with these octets after the addresses comes in, without, by the sub-port's device."""
        return passes((self.guest, "eth0"), (self.name, part.tap), tagged + PAYLOAD, PAYLOAD)

    def goes(self, part: Part, tag: int) -> bool:
        """A frame that leaves by the sub-port's device reaches the guest with the tag."""
        return passes((self.name, part.tap), (self.guest, "eth0"), PAYLOAD, PAYLOAD, tag)

    def close(self) -> None:
        self.trunks.close()
        self.links.apply([Delete(name) for name in self.links.dump() if name != "lo"])
        self.links.close()
        self.inside.close()
        for space in (self.name, self.guest):
            netns.delete(space)


def passes(source: tuple[str, str], target: tuple[str, str], sent: bytes, expected: bytes, tag: int = 0) -> bool:
    """Whether what one device sends comes in at another, in this form, with that VLAN tag (0: none)."""
    ears = netns.open_socket(target[0], socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    mouth = netns.open_socket(source[0], socket.AF_PACKET, socket.SOCK_RAW, 0)
    with contextlib.closing(ears), contextlib.closing(mouth):
        ears.setsockopt(263, 8, 1)  # PACKET_AUXDATA: the kernel keeps tags aside
        ears.bind((target[1], 3))
        ears.settimeout(PATIENCE)
        mouth.bind((source[1], 0))
        mouth.send(THERE + HERE + sent)
        with contextlib.suppress(TimeoutError):
            while True:
                frame, more, _, (_, _, kind, _, _) = ears.recvmsg(2048, 256)
                if kind != socket.PACKET_OUTGOING and frame == THERE + HERE + expected and tag_in(more) == tag:
                    return True
    return False


def tag_in(more: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in more:
        if (level, kind) == (263, 8) and int.from_bytes(data[:4], "little") & 0x10:  # TP_STATUS_VLAN_VALID
            return int.from_bytes(data[16:18], "little") & 0xFFF
    return 0


def tagged(number: int, kind: bytes = TAG_TYPE) -> bytes:
    return kind + number.to_bytes(2, "big")


@pytest.fixture
def host(prefix: str) -> Iterator[Host]:
    with contextlib.closing(Host(prefix)) as one:
        yield one


def test_tags_lead_to_devices_of_their_own(host: Host) -> None:
    blue, green = host.part(10), host.part(4094)
    host.set(blue, green)
    for part in (blue, green):
        other = green if part is blue else blue
        assert host.comes(tagged(part.tag), part)
        assert host.comes(tagged(part.tag | 0xE000), part)  # with a priority
        assert not host.comes(tagged(part.tag), other)
        assert host.goes(part, part.tag)
        assert not host.goes(part, other.tag)


def test_what_has_no_tag_or_another_goes_on_by_the_parents_device(host: Host) -> None:
    blue = host.part(10)
    host.set(blue)
    guest, tap = (host.guest, "eth0"), (host.name, names.tap(host.parent))
    assert passes(guest, tap, PAYLOAD, PAYLOAD)
    assert not host.comes(b"", blue)
    assert not host.comes(tagged(11), blue)
    assert not host.comes(tagged(10, b"\x88\xa8"), blue)  # a tag of a provider's bridge (802.1ad)


def test_the_tag_inside_stays(host: Host) -> None:
    blue = host.part(10)
    host.set(blue)
    inner = tagged(20)
    source, target = (host.guest, "eth0"), (host.name, blue.tap)
    assert passes(source, target, tagged(10) + inner + PAYLOAD, PAYLOAD, 20)


def test_many_tags(host: Host) -> None:
    parts = [host.part(100 + 10 * number) for number in range(30)]
    host.set(*parts)
    assert host.comes(tagged(100), parts[0])
    assert host.comes(tagged(250), parts[15])
    assert host.comes(tagged(390), parts[29])
    assert not host.comes(tagged(400), parts[29])


def test_a_part_that_is_off_passes_nothing(host: Host) -> None:
    blue, green = host.part(10), host.part(20)
    host.set(blue, green)
    off = Part(blue.port, blue.parent, blue.tag, blue.mtu, enabled=False)
    host.set(off, green, devices=(names.tap(host.parent), blue.end))
    assert not host.comes(tagged(10), blue)
    assert not host.goes(blue, 10)
    assert host.comes(tagged(20), green)
    host.set(blue, green)
    assert host.comes(tagged(10), blue)
    assert host.goes(blue, 10)


def test_parts_that_go_leave_nothing(host: Host) -> None:
    blue, green = host.part(10), host.part(20)
    host.set(blue, green)
    host.set(green, devices=(names.tap(host.parent), blue.end))
    assert {blue.tap, blue.end}.isdisjoint(host.links.dump())
    assert host.comes(tagged(20), green)
    host.set(devices=(names.tap(host.parent), green.end))
    assert {green.tap, green.end}.isdisjoint(host.links.dump())
    assert host.trunks._read(host.links.dump()) == {}


def test_a_full_pass_prunes_what_others_left(host: Host) -> None:
    blue, green = host.part(10), host.part(20)
    host.set(blue, green)
    with contextlib.closing(Trunks(host.name)) as fresh:
        host.trunks, old = fresh, host.trunks
        host.set(green, full=True)
        assert blue.end not in host.links.dump()
        assert host.comes(tagged(20), green)
        host.set(full=True)
        assert fresh._read(host.links.dump()) == {}
        host.trunks = old


def test_a_restart_changes_nothing(host: Host) -> None:
    blue = host.part(10)
    host.set(blue)
    before = {name: link.index for name, link in host.links.dump().items()}
    with contextlib.closing(Trunks(host.name)) as fresh:
        host.trunks, old = fresh, host.trunks
        assert host.set(blue, full=True).drift == []
        host.trunks = old
    assert {name: link.index for name, link in host.links.dump().items()} == before
    assert host.comes(tagged(10), blue)


def test_a_parent_that_is_plugged_later_or_anew(host: Host) -> None:
    blue = host.part(10)
    host.unplug()
    host.set(blue)
    assert {blue.tap, blue.end} <= host.links.dump().keys()
    for _ in range(2):
        host.plug()
        host.set(blue)
        assert host.comes(tagged(10), blue)
        assert host.goes(blue, 10)
        host.unplug()
        host.set(blue)


def test_what_others_take_away_is_mended_and_told(host: Host) -> None:
    blue = host.part(10)
    host.set(blue)
    link = host.links.dump()[names.tap(host.parent)]
    host.trunks._classify(link, bpf.assemble(bpf.leave(bpf.DROP)), trunks.Outcome())
    host.trunks._made[link.name] = link.index, trunks.name_of(trunks.programs([blue], host.links.dump())[link.name])
    assert not host.comes(tagged(10), blue)
    assert host.set(blue, full=True).drift == [f"the classifier of {link.name} was changed"]
    assert host.comes(tagged(10), blue)
    assert host.set(blue, full=True).drift == []
    host.links.apply([Delete(blue.end)])
    host.set(blue, full=True)
    assert host.comes(tagged(10), blue)
    assert host.goes(blue, 10)


def test_nothing_is_done_where_nothing_changed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    blue = host.part(10)
    host.set(blue)
    loaded: list[str] = []
    monkeypatch.setattr(bpf, "load", lambda code, name: loaded.append(name))
    host.set(blue)
    host.set(blue, full=True)
    assert loaded == []


def test_a_refused_program_says_why() -> None:
    with pytest.raises(OSError, match="R0"):
        bpf.load(bpf.assemble([bpf.END]), "nothing")
