"""The installation of a state folder, for commands beside the `weft up` that runs (or ran last) there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weft import up


def remembered(state_dir: str) -> Any:
    """The configuration of the installation in a state folder, as its `weft up` was told. Raises UpError."""
    return installed(state_dir)[0]


def installed(state_dir: str) -> tuple[Any, tuple[str, str], bool]:
    """(configuration, (URL of the API, URL of Identity), whether with a dataplane) of the installation in a state folder."""
    from weft import config as configuration

    folder = Path(state_dir).expanduser().absolute() if state_dir else configuration.Config().state_path
    try:
        facts = json.loads((folder / up.RUN_FILE).read_text())
    except FileNotFoundError:
        raise up.UpError(f"{folder} holds no installation: start `weft up` first, or name its --state-dir") from None
    except PermissionError:
        raise up.UpError(f"{folder} may not be read: only who started `weft up` can") from None
    config = up.with_own_ovn(
        up.read_config(
            configuration,
            up.Options(
                state_dir=str(folder),
                host=facts["host"],
                namespace=facts["namespace"],
                backend=facts.get("backend", ""),
                config=tuple(facts["config"]),
                external_cidr=facts["external_cidr"],
            ),
        )
    )
    return config, (facts["network_url"], facts["identity_url"]), bool(facts["dataplane"])


def served(files: tuple[str, ...], state_dir: str) -> tuple[Any, tuple[str, str], bool]:
    """The same of the `weft serve` of these configuration files; with OVN it has a dataplane to keep."""
    from weft import config as configuration

    config = up.read_config(configuration, up.Options(config=files, state_dir=state_dir))
    address = "127.0.0.1" if config.api.bind_host in ("0.0.0.0", "::") else config.api.bind_host
    url = f"http://{f'[{address}]' if ':' in address else address}:{config.api.bind_port}"
    return config, (url, config.identity.auth_url), "ovn" in (config.api.backends or (config.api.backend,))
