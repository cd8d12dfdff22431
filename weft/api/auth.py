"""Who asks: from the headers of a request to its Context, by Keystone's word or (without Keystone) the client's own."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from keystoneauth1 import exceptions as keystone_faults
from keystoneauth1 import loading
from oslo_config import cfg

from weft import errors
from weft.api.policy import Policy
from weft.config import Config, Identity
from weft.context import Context, new_request_id

LOG = logging.getLogger(__name__)

Environ = Mapping[str, Any]
Key = tuple[bytes | str, ...]

SECTION = "keystone_authtoken"
MOST_TOKENS = 4096
RETRY_AFTER = "5"
"""Seconds after which a client may try again while Keystone is down."""

_REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class TokenCache:
    """Callers by their tokens, the least recently used forgotten first. Safe for threads; keeps digests, no tokens."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_TOKENS) -> None:
        self._clock = clock
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[Key, tuple[Context, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Context | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if self._clock() >= found[1]:
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: Key, caller: Context, until: float) -> None:
        """Keep `caller` until that time (seconds since 1970)."""
        if until <= self._clock():
            return
        with self._lock:
            self._kept[key] = caller, until
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


class KeystoneAuthenticator:
    """Tokens checked by keystonemiddleware, as every OpenStack service does, and remembered for token_cache_time.

    A revoked token may be accepted for that long, an expired one never. Two kinds of token depend on more than
    themselves: with an X-Service-Token of another service an expired one is good, so the pair is remembered; one of an
    application credential with access rules is remembered for the method and path that the rules let pass.
    """

    def __init__(self, config: Config, policy: Policy, clock: Callable[[], float] = time.time) -> None:
        """Raises keystoneauth1's or oslo.config's errors for a [keystone_authtoken] that cannot work; connects nowhere yet."""
        # 15 MB and 0.3 s that nobody should pay who does not ask Keystone
        from keystonemiddleware import auth_token

        options = _options(config, auth_token.list_opts())
        self._uri: str = options[SECTION].www_authenticate_uri
        # What it warns of is its own cache without memcached, which is off: ours is in front.
        logging.getLogger("keystonemiddleware.auth_token").addFilter(_no_cache_warning)
        self._middleware = auth_token.AuthProtocol(_accept, {"oslo_config_config": options})
        self._policy = policy
        self._clock = clock
        self._remember = config.identity.token_cache_time
        self.cache = TokenCache(clock)

    def __call__(self, environ: Environ) -> Context:
        """The caller, or errors.Unauthorized (401), or errors.ServiceUnavailable (503) while Keystone does not answer."""
        token = environ.get("HTTP_X_AUTH_TOKEN") or environ.get("HTTP_X_STORAGE_TOKEN")
        if not token:
            raise self._unauthorized()
        key = _digest(token), _digest(environ.get("HTTP_X_SERVICE_TOKEN", ""))
        request = environ.get("REQUEST_METHOD", ""), environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        caller = self.cache.get(key) or self.cache.get(key + request)
        if caller is None:
            proof = self._ask_keystone(environ)
            caller = _caller(proof.user)
            if proof.user.bind is None:  # a token bound to a login is good with that login only
                restricted = proof.user.application_credential_access_rules is not None and proof.service is None
                self.cache.put(key + request if restricted else key, caller, self._until(proof))
        return _for_request(caller, self._policy, environ)

    def _ask_keystone(self, environ: Environ) -> Any:
        """keystonemiddleware's `keystone.token_auth`: what `user` and `service` tokens say."""
        asked = dict(environ)
        answer: list[str] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            answer.append(status[:3])
            return lambda data: None

        try:
            self._middleware(asked, start_response)
        except keystone_faults.ClientException as error:
            LOG.critical("Tokens cannot be validated: %s: %s", type(error).__name__, error)
            raise _unavailable() from error
        if answer[0] == "401":
            raise self._unauthorized()
        if answer[0] != "200":
            raise _unavailable()
        return asked["keystone.token_auth"]

    def _until(self, proof: Any) -> float:
        now = self._clock()
        ends: list[float] = [token.expires.timestamp() for token in (proof.user, proof.service) if token is not None]
        # the user's may have expired already: the service's lets it pass, for a while that Keystone sets
        return min([now + self._remember, *(end for end in ends if end > now)])

    def _unauthorized(self) -> errors.Unauthorized:
        fault = errors.Unauthorized()
        fault.headers = {"WWW-Authenticate": f'Keystone uri="{self._uri}"'}
        return fault


class HeaderAuthenticator:
    """Callers who say themselves who they are (auth_strategy = noauth): for tests, or behind a proxy that is trusted.

    X-User-Id, X-Project-Id, X-Roles (names with commas between), and if they matter the further headers that
    keystonemiddleware sets.
    """

    HEADERS: Mapping[str, str] = {
        "user_id": "HTTP_X_USER_ID",
        "user_name": "HTTP_X_USER_NAME",
        "user_domain_id": "HTTP_X_USER_DOMAIN_ID",
        "project_id": "HTTP_X_PROJECT_ID",
        "project_name": "HTTP_X_PROJECT_NAME",
        "project_domain_id": "HTTP_X_PROJECT_DOMAIN_ID",
        "domain_id": "HTTP_X_DOMAIN_ID",
        "system_scope": "HTTP_OPENSTACK_SYSTEM_SCOPE",
    }

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def __call__(self, environ: Environ) -> Context:
        """The caller, or errors.Unauthorized (401) without X-User-Id."""
        said = {name: environ.get(header, "") for name, header in self.HEADERS.items()}
        if not said["user_id"]:
            raise errors.Unauthorized()
        roles = (role.strip() for role in environ.get("HTTP_X_ROLES", "").split(","))
        caller = Context(roles=frozenset(role for role in roles if role), request_id="", **said)
        return _for_request(caller, self._policy, environ)


def _caller(token: Any) -> Context:
    """Who a validated token (keystoneauth1.access.AccessInfoV3) belongs to, for no request yet."""
    return Context(
        user_id=token.user_id,
        user_name=token.username or "",
        user_domain_id=token.user_domain_id or "",
        project_id=token.project_id or "",
        project_name=token.project_name or "",
        project_domain_id=token.project_domain_id or "",
        domain_id=token.domain_id or "",
        system_scope="all" if token.system_scoped and token.system.get("all") else "",
        roles=frozenset(token.role_names),
        request_id="",
    )


def _for_request(caller: Context, policy: Policy, environ: Environ) -> Context:
    """`caller` with what changes from request to request: its id, and flags by the policy files of now."""
    is_admin, is_service = policy.flags(caller)
    outer = environ.get("HTTP_X_OPENSTACK_REQUEST_ID", "")
    return replace(
        caller,
        is_admin=is_admin,
        is_service=is_service,
        request_id=new_request_id(),
        global_request_id=outer if _REQUEST_ID.fullmatch(outer) else "",
    )


def _options(config: Config, known: Iterable[tuple[str, list[cfg.Opt]]]) -> cfg.ConfigOpts:
    """[keystone_authtoken] for keystonemiddleware: the files as they are, and Config.identity where it knows better."""
    conf = cfg.ConfigOpts()
    for group, options in known:
        conf.register_opts(options, group=group)
    conf([], project="weft", default_config_files=list(config.files), default_config_dirs=[])
    stated = conf[SECTION]
    conf.set_default("www_authenticate_uri", config.identity.auth_url, group=SECTION)
    conf.set_default("service_type", "network", group=SECTION)
    conf.set_default("http_connect_timeout", 10, group=SECTION)
    conf.set_default("http_request_max_retries", 1, group=SECTION)
    if not stated.memcached_servers:
        conf.set_override("token_cache_time", -1, group=SECTION)
    if stated.auth_section or stated.auth_type not in (None, "password", "v3password"):
        return conf
    conf.set_default("auth_type", "password", group=SECTION)
    conf.register_opts(loading.get_auth_plugin_conf_options(stated.auth_type), group=SECTION)
    _say_who_we_are(conf, config.identity)
    return conf


def _say_who_we_are(conf: cfg.ConfigOpts, identity: Identity) -> None:
    """The service user. What is not set in Config.identity yields to what only the files know, e.g. user_domain_id."""
    stated = conf[SECTION]
    scoped = stated.system_scope or stated.domain_id or stated.domain_name or stated.project_id
    for name in (
        "auth_url",
        "username",
        "password",
        "user_domain_name",
        "project_name",
        "project_domain_name",
        "region_name",
    ):
        value = getattr(identity, name)
        if value != getattr(Identity, name):
            conf.set_override(name, value, group=SECTION)
        elif not (name.startswith("project_") and scoped):
            conf.set_default(name, value, group=SECTION)


def _accept(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The application behind keystonemiddleware: there is nothing to do but to have been reached."""
    start_response("200 OK", [])
    return []


def _unavailable() -> errors.ServiceUnavailable:
    fault = errors.ServiceUnavailable("The identity service does not answer; tokens cannot be validated.")
    fault.headers = {"Retry-After": RETRY_AFTER}
    return fault


def _no_cache_warning(record: logging.LogRecord) -> bool:
    return "in-process token cache" not in str(record.msg)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.strip().encode()).digest() if token else b""
