"""What answers are made of: the snapshot of a HostView."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.backends.linux.packets import (
    API,
    MAC,
    NETWORK,
    V4,
    V6,
    Reply4,
    Reply6,
    dhcp,
    dhcp6,
    ia_na,
    option6,
    port,
    solicitation,
    switch,
)
from weft.backends.linux import frames, names, services
from weft.backends.linux.responder import render, respond
from weft.config import Config
from weft.logical.model import Address, HostView, LogicalRouter, RouterPort

CONFIG = Config(api=API)
LEG = RouterPort("leg", NETWORK, "fa:16:3e:00:00:01", 1450, (Address("fd00:1::1", 64, "s6"),))
ROUTER = LogicalRouter("router", ports=(LEG,))


def view(**changes) -> HostView:
    made = HostView("here", {NETWORK: switch()}, {port().id: port()}, routers={"router": ROUTER})
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_each_tap_has_its_port() -> None:
    tap = render(view(), {}, CONFIG, "host").taps[names.tap(port().id)]
    (offer,) = respond(dhcp(1), tap, CONFIG)
    assert Reply4(offer).yiaddr == frames.pack4("10.0.0.5")
    (advertise,) = respond(dhcp6(1, option6(1, b"me") + ia_na()), tap, CONFIG)
    assert Reply6(advertise).addresses()[0][0] == frames.pack6("fd00:1::5")
    (advertisement,) = respond(solicitation(frames.link_local(MAC)), tap, CONFIG)
    assert advertisement[6:12] == frames.pack_mac(LEG.mac)


def test_nothing_is_answered_where_something_is_switched_off() -> None:
    off = {port().id: port(enabled=False)}
    assert render(view(ports=off), {}, CONFIG, "host").taps == {}
    assert render(view(switches={NETWORK: switch(enabled=False)}), {}, CONFIG, "host").taps == {}


def test_places() -> None:
    places = render(view(), {}, CONFIG, "host").places
    assert places == {f"host-net-{NETWORK}": (NETWORK,), "host-qrouter-router": (NETWORK,)}
    disabled = view(routers={"router": replace(ROUTER, enabled=False)})
    assert list(render(disabled, {}, CONFIG, "host").places) == [f"host-net-{NETWORK}"]


def test_names_of_here_and_elsewhere() -> None:
    far = ("10.0.0.7", "far", "far.example.org.")
    known = render(view(), {NETWORK: (far, port().dns[0]), "other": (far,)}, CONFIG, "host").names
    assert known == {NETWORK: (far, *port().dns)}


def test_service_ports_only_where_they_are_told_of() -> None:
    quiet = switch(replace(V4, enable_dhcp=False), replace(V6, enable_dhcp=False, ra_mode=None))
    assert list(services.render(view(), "host")) == [NETWORK]
    assert services.render(view(ports={}), "host") == {}
    assert services.render(view(switches={NETWORK: quiet}), "host") == {}
    assert list(services.render(view(switches={NETWORK: switch(V4)}), "host")) == [NETWORK]


def test_service_port_is_the_same_on_every_host() -> None:
    one, other = (services.render(view(), host)[NETWORK] for host in ("a", "b"))
    assert one.mac == other.mac == frames.service_mac(NETWORK)
    assert int(one.mac[:2], 16) & 3 == 2  # local, and no group
    assert one.cidrs == {"10.0.0.0/24"}
