"""Passwords as they are kept: salted scrypt (RFC 7914), its parameters inside the hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

#: cost of new hashes: 16 MiB of memory and about 50 ms
N, R, P = 2**14, 8, 1
SALT_BYTES = 16
KEY_BYTES = 32


def new_password() -> str:
    """A password that nobody guesses: 192 random bits; its first letter keeps it from looking like an option."""
    return "w" + secrets.token_urlsafe(24)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    # the bytes of a lone surrogate are as good as any other wrong password; they must not raise
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r * p, dklen=KEY_BYTES)


def hash_password(password: str) -> str:
    """`scrypt$n$r$p$salt$key`, salt and key in base64."""
    salt = secrets.token_bytes(SALT_BYTES)
    key = _scrypt(password, salt, N, R, P)
    return f"scrypt${N}${R}${P}${b64encode(salt).decode()}${b64encode(key).decode()}"


def verify_password(password: str, hashed: str) -> bool:
    """Whether `password` gives `hashed`, compared in constant time. An unreadable hash matches nothing."""
    try:
        kind, n, r, p, salt, key = hashed.split("$")
        if kind != "scrypt":
            return False
        found = _scrypt(password, b64decode(salt), int(n), int(r), int(p))
        return hmac.compare_digest(found, b64decode(key))
    except ValueError:
        return False


def stamp(hashed: str) -> str:
    """A short mark of this very hash: tokens carry it, so that a new password ends the tokens of the old one."""
    return hashlib.blake2b(hashed.encode(), digest_size=9, person=b"weft-stamp").hexdigest()
