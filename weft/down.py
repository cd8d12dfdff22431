"""`weft down`: take away what packets flow by, which stopping Weft leaves; what was asked for stays in the database."""

from __future__ import annotations

from weft import up
from weft.backends.linux import external, names, netns
from weft.backends.ovn import daemons
from weft.config import Config


def take_away(config: Config) -> list[str]:
    """OVN's daemons, the namespaces and the machine's way in, of an installation that is stopped; says what was there.
    Raises up.UpError while it runs, and where the dataplane has no namespace of its own."""
    namespace = config.linux.namespace
    if not namespace:
        raise up.UpError("the dataplane stands in the machine's own namespace, among what is not Weft's")
    with up.lock(config.state_path):
        gone = [f"{name} ended" for name in daemons.stop(daemons.machine(config))] if daemons.is_own(config) else []
        gone += external.remove(config.linux)
        below = (names.router_prefix(namespace), names.service_namespace(namespace, ""))
        for name in netns.names():
            if name == namespace or name.startswith(below):
                netns.delete(name)
                gone.append(f"namespace {name} was removed")
    return gone
