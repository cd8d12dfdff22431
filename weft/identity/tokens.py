"""Tokens: claims signed with HMAC-SHA256 (RFC 2104), so that nothing but a secret and what was revoked is stored."""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import msgspec

from weft.identity import files

LOG = logging.getLogger(__name__)

LIFETIME = 24 * 3600
SECRET_BYTES = 32
MAC_BYTES = 32
#: marks our tokens and their format
PREFIX = "weft1."
#: no token of ours is longer; longer ones are not looked at
MAX_LENGTH = 2048


class InvalidTokenError(ValueError):
    """Not a token of ours, or no longer one: forged, expired or revoked."""


class Claims(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a token says. Times are seconds since the epoch; empty project and domain: unscoped."""

    user_id: str
    project_id: str
    domain_id: str
    methods: tuple[str, ...]
    issued: int
    expires: int
    #: own audit id, then that of the token it was made from
    audit_ids: tuple[str, ...]
    #: `passwords.stamp` of the user's password at the time
    stamp: str


class Tokens:
    """Makes, reads and revokes the tokens of one state folder."""

    def __init__(self, folder: Path, lifetime: int = LIFETIME, clock: Callable[[], float] = time.time) -> None:
        self.lifetime = lifetime
        self._clock = clock
        self._secret = _secret(folder / "token.key")
        self._revoked_file = folder / "revoked.json"
        self._mutex = threading.Lock()
        #: audit id -> when the token would have expired
        self._revoked = self._read_revoked()

    def issue(
        self,
        user_id: str,
        stamp: str,
        methods: tuple[str, ...],
        project_id: str = "",
        domain_id: str = "",
        parent: Claims | None = None,
    ) -> tuple[str, Claims]:
        """A token and its claims. One made from `parent` expires with it."""
        issued = int(self._clock())
        expires = parent.expires if parent else issued + self.lifetime
        audit_ids = (secrets.token_urlsafe(16), *(parent.audit_ids[-1:] if parent else ()))
        claims = Claims(user_id, project_id, domain_id, methods, issued, expires, audit_ids, stamp)
        payload = msgspec.msgpack.encode(claims)
        return PREFIX + urlsafe_b64encode(self._mac(payload) + payload).rstrip(b"=").decode(), claims

    def read(self, token: str) -> Claims:
        """The claims of a token that is genuine, unexpired and not revoked; else InvalidTokenError."""
        claims = self._genuine(token)
        if self._clock() >= claims.expires:
            raise InvalidTokenError("expired")
        with self._mutex:
            if claims.audit_ids[0] in self._revoked:
                raise InvalidTokenError("revoked")
        return claims

    def revoke(self, claims: Claims) -> None:
        """End a token; holds also after a restart once this has returned."""
        now = self._clock()
        with self._mutex:
            revoked = {audit_id: expires for audit_id, expires in self._revoked.items() if expires > now}
            revoked[claims.audit_ids[0]] = claims.expires
            files.write_private(self._revoked_file, msgspec.json.encode(revoked))
            self._revoked = revoked

    def _genuine(self, token: str) -> Claims:
        if not token.startswith(PREFIX) or len(token) > MAX_LENGTH:
            raise InvalidTokenError("not a token")
        text = token[len(PREFIX) :]
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise InvalidTokenError("not a token") from error
        # base64 has several spellings of the same bytes; a token has one
        if urlsafe_b64encode(data).rstrip(b"=").decode() != text:
            raise InvalidTokenError("not a token")
        mac, payload = data[:MAC_BYTES], data[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise InvalidTokenError("forged")
        try:
            return msgspec.msgpack.decode(payload, type=Claims)
        except msgspec.DecodeError as error:
            raise InvalidTokenError("of another version") from error

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, "sha256")

    def _read_revoked(self) -> dict[str, int]:
        try:
            data = self._revoked_file.read_bytes()
        except FileNotFoundError:
            return {}
        return msgspec.json.decode(data, type=dict[str, int])


def _secret(path: Path) -> bytes:
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        secret = secrets.token_bytes(SECRET_BYTES)
        files.write_private(path, secret)
    if len(secret) < SECRET_BYTES:
        raise files.StateFolderError(f"{path} is damaged: delete it (all tokens end)")
    return secret
