"""The Keystone stand-in of a one-machine installation."""
