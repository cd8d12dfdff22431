"""MAC addresses for new ports."""

from __future__ import annotations

import secrets


def generate(base: str) -> str:
    """A random MAC under `base`: its first three octets, or four when the fourth is not 00."""
    octets = base.lower().split(":")
    kept = octets[:4] if octets[3] != "00" else octets[:3]
    drawn = [f"{byte:02x}" for byte in secrets.token_bytes(6 - len(kept))]
    return ":".join(kept + drawn)
