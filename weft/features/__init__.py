"""Annexes that reach the core only through hooks."""
