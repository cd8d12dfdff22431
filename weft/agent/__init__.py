"""One agent per host."""
