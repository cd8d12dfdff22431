"""Rows rendered, without I/O, to the network that should exist, in OVN's vocabulary."""
