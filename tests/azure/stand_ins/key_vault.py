"""A vault of Azure Key Vault, as far as secrets are read from it."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from azure.keyvault.secrets import ApiVersion

from tests.azure.stand_ins.entra import TENANT, TokenIssuer
from tests.azure.stand_ins.http import Answer, HttpServer, Request, Trust, json_answer, serve_http

RESOURCE = "https://vault.azure.net"
_VERSIONS = {version.value for version in ApiVersion}
_PARAMETERS = {"api-version"}


@dataclass
class Vault:
    """The stand-in. Knobs: ``put``, ``disabled``, ``is_forbidden``, ``resource`` and ``tenant`` of its challenge."""

    server: HttpServer
    issuer: TokenIssuer
    login_url: str = "https://login.microsoftonline.com"
    tenant: str = TENANT
    resource: str = RESOURCE
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    is_forbidden: bool = False

    @property
    def url(self) -> str:
        return self.server.url

    def put(self, name: str, value: str) -> str:
        """Makes a new version of a secret the newest; returns it."""
        version = secrets.token_hex(16)
        self.values.setdefault(name, {})[version] = value
        return version

    def reference(self, name: str, version: str = "") -> str:
        """The reference to a secret, for a setting."""
        return f"keyvault:{self.url}/secrets/{name}" + (f"/{version}" if version else "")

    def answer(self, request: Request) -> Answer:
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        if scheme != "Bearer":
            return self._challenge("AKV10000: Request is missing a Bearer or PoP token.")
        grant = self.issuer.check(token)
        if grant is None or grant.resource != RESOURCE or grant.tenant != self.tenant:
            return self._challenge("AKV10022: Invalid audience, issuer or lifetime.", error="invalid_token")
        query = request.only(request.query)
        if query is None or query.keys() - _PARAMETERS or query.get("api-version") not in _VERSIONS:
            return _error(400, "BadParameter", "The specified version is not recognized, or a parameter is unknown.")
        match request.path.rstrip("/").split("/"):
            case ["", "secrets", name] if request.method == "GET":
                return self._secret(name, None)
            case ["", "secrets", name, version] if request.method == "GET":
                return self._secret(name, version)
            case _:
                return _error(404, "NotFound", "There is no such path here.")

    def _secret(self, name: str, version: str | None) -> Answer:
        if self.is_forbidden:
            return _error(
                403, "Forbidden", "Caller is not authorized to perform action on resource.", "ForbiddenByRbac"
            )
        versions = self.values.get(name, {})
        version = version or next(reversed(versions), None)
        if version not in versions:
            return _error(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        if name in self.disabled:
            return _error(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        now = int(time.time())
        return json_answer(
            200,
            {
                "value": versions[version],
                "id": f"{self.url}/secrets/{name}/{version}",
                "attributes": {
                    "enabled": True,
                    "created": now,
                    "updated": now,
                    "recoveryLevel": "Recoverable+Purgeable",
                },
                "tags": {},
            },
        )

    def _challenge(self, message: str, error: str = "") -> Answer:
        value = f'Bearer authorization="{self.login_url}/{self.tenant}", resource="{self.resource}"'
        if error:
            value += f', error="{error}"'
        return _error(401, "Unauthorized", message, headers=(("WWW-Authenticate", value),))


def _error(
    status: int, code: str, message: str, inner: str | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    error: dict[str, object] = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return json_answer(status, {"error": error}, headers)


@asynccontextmanager
async def serve_vault(trust: Trust, issuer: TokenIssuer) -> AsyncIterator[Vault]:
    """Serves over TLS. ``issuer``: whose tokens it knows, such as that of an ``Entra``."""
    async with serve_http(trust=trust) as server:
        stand_in = Vault(server, issuer)
        server.handler = stand_in.answer
        yield stand_in
