"""A kernel that has nobody to give the packets to: groups filter as ever, and say why nothing is written down."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from tests.topo.lab import Lab, ingress, uid
from weft.backends.linux import netlink, nflog
from weft.logical.model import Log

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux")]


def test_somebody_else_reads_them(lab: Lab) -> None:
    lab.network("n")
    key = lab.group("in", ingress("udp", 4000, 4000))
    lab.port("a", "n", "10.0.0.1/24")
    lab.port("b", "n", "10.0.0.2/24", groups=("out", "in"))
    lab.up()
    lab.view.groups[key.id] = replace(lab.view.groups[uid("in")], logs=(Log("watch", "ALL"),))
    with contextlib.closing(netlink.Socket(lab.host, netlink.NETFILTER)) as other:
        nflog.take(other)
        report = lab.backend.set(lab.view, [key])
        assert report.failed.keys() == {key}
        assert report.failed[key].startswith("packets cannot be logged (NFLOG group")
        assert lab.delivers("a", "b", 4000) and not lab.delivers("a", "b", 4001)
        assert lab.backend.set(lab.view, None).failed.keys() == {key}
    assert lab.full().drift == []
    lab.set(key)
    assert lab.delivers("a", "b", 4000) and not lab.delivers("a", "b", 4001)
