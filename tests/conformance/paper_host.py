"""A host on paper: reports the agents of a host without being one, so that ports can be bound where no packet flows."""

from __future__ import annotations

import sys
import time

from weft import config
from weft.agent.main import ROLES
from weft.context import internal
from weft.resources import agent
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

FACTS = {"backend": "linux", "bridge_mappings": {}, "tunnel_types": ["vxlan"], "tunneling_ip": ""}
"""What the agent that wires ports says about its host."""


def beat(store: Store, settings: config.Config) -> None:
    def work(connection: object) -> None:
        tx = Transaction(connection, internal(), Environment(settings))
        for agent_type, binary, topic in ROLES:
            agent.report(
                tx, agent_type=agent_type, binary=binary, topic=topic, host=settings.api.host, configurations=FACTS
            )
        tx.finish()

    store.write(work)


def main(file: str) -> None:
    settings = config.load([file])
    store = Store(settings)
    while True:
        beat(store, settings)
        time.sleep(settings.api.report_interval)


if __name__ == "__main__":
    main(sys.argv[1])
