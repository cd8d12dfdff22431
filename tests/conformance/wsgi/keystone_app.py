"""Keystone's WSGI application, without letting it read the server's own command line."""

from __future__ import annotations

import sys

sys.argv = sys.argv[:1]
from keystone.wsgi.api import application  # noqa: E402

__all__ = ["application"]
