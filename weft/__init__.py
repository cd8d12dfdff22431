"""Weft: OpenStack Networking as a program that one person can understand."""

__version__ = "0.1.0"
