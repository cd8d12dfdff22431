"""Extra routes of routers: which may be, and how sets of them are added and removed."""

from __future__ import annotations
