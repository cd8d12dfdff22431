"""Addresses: pure arithmetic, and their allocation inside the caller's transaction."""
