"""The HTTP side: the only controller."""
