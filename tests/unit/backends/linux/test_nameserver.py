"""Whom the name server asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.backends.linux.nameserver import of_configuration, of_this_machine


def test_configured() -> None:
    texts = ("198.18.0.53", "198.18.0.53:5353", "fd00::53", "[fd00::53]:5353", "[fd00::53]")
    assert of_configuration(texts) == (
        ("198.18.0.53", 53),
        ("198.18.0.53", 5353),
        ("fd00::53", 53),
        ("fd00::53", 5353),
        ("fd00::53", 53),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# none\nsearch example.org\n", ()),
        ("nameserver 198.18.0.1\nnameserver fe80::1%eth0\noptions edns0\nnameserver\n", ("198.18.0.1", "fe80::1%eth0")),
    ],
)
def test_of_this_machine(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    assert of_this_machine(tmp_path / "resolv.conf") == tuple((address, 53) for address in expected)


def test_no_file(tmp_path: Path) -> None:
    assert of_this_machine(tmp_path / "none") == ()
