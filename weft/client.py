"""The little of an API client that Weft's own commands need: log in from clouds.yaml, find, update."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
import yaml


class ClientError(RuntimeError):
    """A request that failed; the message is for the person at the terminal."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def clouds_file(state_path: Path) -> Path:
    """Where the cloud's login stands: OS_CLIENT_CONFIG_FILE, or the state folder's own clouds.yaml."""
    return Path(os.environ.get("OS_CLIENT_CONFIG_FILE") or state_path / "clouds.yaml")


class Client:
    """A session with the Networking API of one cloud."""

    def __init__(self, clouds: Path, cloud: str, timeout: float = 30.0) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # proxies of the environment are not for loopback
        self._timeout = timeout
        try:
            entry = yaml.safe_load(clouds.read_text())["clouds"][cloud]
        except FileNotFoundError as error:
            raise ClientError(f"{clouds} is not there: does `weft up` run, with this state folder?") from error
        except PermissionError as error:
            raise ClientError(f"{clouds} may not be read: only who started `weft up` can") from error
        except (KeyError, TypeError, yaml.YAMLError) as error:
            raise ClientError(f"{clouds} does not describe the cloud {cloud}") from error
        self._log_in(entry["auth"], entry.get("region_name", "RegionOne"))

    def _log_in(self, auth: dict[str, str], region: str) -> None:
        user = {"name": auth["username"], "domain": {"name": auth["user_domain_name"]}, "password": auth["password"]}
        scope = {"project": {"name": auth["project_name"], "domain": {"name": auth["project_domain_name"]}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = self._send("POST", f"{auth['auth_url'].rstrip('/')}/auth/tokens", body)
        self._session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        for service in answer.json()["token"]["catalog"]:
            for endpoint in service["endpoints"]:
                if service["type"] == "network" and endpoint["interface"] == "public" and endpoint["region"] == region:
                    self._url = endpoint["url"].rstrip("/").removesuffix("/v2.0")
                    return
        raise ClientError("the catalogue has no network service")

    def _send(self, method: str, url: str, body: Any = None) -> requests.Response:
        try:
            answer = self._session.request(method, url, json=body, timeout=self._timeout)
        except requests.RequestException as error:
            raise ClientError(f"{url} does not answer: does `weft up` run? ({error})") from error
        if answer.status_code >= 400:
            raise ClientError(_reason(answer), answer.status_code)
        return answer

    def get(self, path: str) -> Any:
        """The decoded body of GET /v2.0`path`."""
        return self._send("GET", f"{self._url}/v2.0{path}").json()

    def put(self, path: str, body: Any) -> Any:
        return self._send("PUT", f"{self._url}/v2.0{path}", body).json()

    def find(self, collection: str, member: str, name_or_id: str) -> dict[str, Any]:
        """The one object with that id or name. Raises ClientError when there is none, or more than one."""
        found = self.get(f"/{collection}?id={quote(name_or_id)}")[collection]
        found = found or self.get(f"/{collection}?name={quote(name_or_id)}")[collection]
        if len(found) != 1:
            raise ClientError(f"{len(found) or 'no'} {member}{'s are' if found else ' is'} called {name_or_id}", 404)
        return dict(found[0])


def _reason(answer: requests.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return f"{answer.status_code} {answer.reason}"
    for part in body.values() if isinstance(body, dict) else ():
        if isinstance(part, dict) and "message" in part:
            return str(part["message"])
    return f"{answer.status_code} {answer.reason}"
