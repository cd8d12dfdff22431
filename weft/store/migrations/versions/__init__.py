"""The revisions; each file is one."""

from __future__ import annotations
