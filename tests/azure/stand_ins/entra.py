"""Entra ID's token endpoint, for applications that show a client secret or a federated token."""

import base64
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.azure.stand_ins.http import Answer, HttpServer, Request, Trust, json_answer, serve_http

TENANT = "8f2c6f0e-5a52-4f0e-9f3a-6b1f0c9d7a11"
CLIENT = "c0ffee00-1234-4abc-8def-0123456789ab"
ISSUER = "https://oidc.kubernetes.example/cluster"
SUBJECT = "system:serviceaccount:avatars:liveavatar"
_AUDIENCE = "api://AzureADTokenExchange"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# "The Microsoft identity platform and the OAuth 2.0 client credentials flow"; claims by continuous access evaluation,
# client_info by MSAL.
_KNOWN = {
    "client_id", "scope", "client_secret", "client_assertion", "client_assertion_type", "grant_type", "claims",
    "client_info",
}  # fmt: skip


@dataclass(frozen=True)
class Grant:
    """What a token that was given out is good for."""

    resource: str
    tenant: str
    expires_on: float


@dataclass
class TokenIssuer:
    """Gives out tokens and knows them again; vaults and identity services share one."""

    grants: dict[str, Grant] = field(default_factory=dict)

    def issue(self, resource: str, *, tenant: str = TENANT, lifetime_s: float = 3599) -> str:
        now = time.time()
        token = unsigned_jwt({"aud": resource, "tid": tenant, "iat": int(now), "exp": int(now + lifetime_s)})
        self.grants[token] = Grant(resource, tenant, now + lifetime_s)
        return token

    def check(self, token: str) -> Grant | None:
        """What the token is good for; None if it was not given out, or has expired."""
        grant = self.grants.get(token)
        return grant if grant is not None and grant.expires_on > time.time() else None


def unsigned_jwt(claims: dict[str, Any]) -> str:
    """Something of a JWT's form, different each time; nobody here verifies signatures."""
    head, body = (
        base64.urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode()
        for part in ({"alg": "RS256", "typ": "JWT"}, claims)
    )
    return f"{head}.{body}.{secrets.token_urlsafe(16)}"


@dataclass
class Entra:
    """The stand-in. ``tenants`` are all that exist; ``client_secrets`` what the application may show.

    Knobs: ``lifetime_s`` and ``refresh_in_s`` of tokens; ``server.faults``, ``server.delay_s``; ``server.requests`` is
    what was asked.
    """

    server: HttpServer
    issuer: TokenIssuer
    tenants: set[str] = field(default_factory=lambda: {TENANT})
    client_id: str = CLIENT
    client_secrets: set[str] = field(default_factory=lambda: {"entra-client-secret-canary"})
    lifetime_s: float = 3599
    refresh_in_s: float | None = None

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def token_requests(self) -> list[dict[str, str]]:
        """The forms that were posted for tokens."""
        return [dict(request.form) for request in self.server.requests if request.path.endswith("/oauth2/v2.0/token")]

    def assertion(self, *, lifetime_s: float = 3600, issuer: str = ISSUER, subject: str = SUBJECT) -> str:
        """A federated token as Kubernetes writes it into a file."""
        now = time.time()
        return unsigned_jwt(
            {"iss": issuer, "sub": subject, "aud": [_AUDIENCE], "nbf": int(now) - 5, "exp": int(now + lifetime_s)}
        )

    def answer(self, request: Request) -> Answer:
        tenant, _, rest = request.path.lstrip("/").partition("/")
        if rest == "v2.0/.well-known/openid-configuration" and request.method == "GET":
            return self._configuration(tenant)
        if (tenant, rest) == ("common", "discovery/instance") and request.method == "GET":
            return json_answer(
                200,
                {
                    "tenant_discovery_endpoint": f"{self.url}/{TENANT}/v2.0/.well-known/openid-configuration",
                    "api-version": "1.1",
                    "metadata": [
                        {
                            "preferred_network": self.server.authority,
                            "preferred_cache": self.server.authority,
                            "aliases": [self.server.authority],
                        }
                    ],
                },
            )
        if rest != "oauth2/v2.0/token":
            return Answer(404)
        if request.method != "POST":
            return _refusal(
                900561, "invalid_request", "The endpoint only accepts POST requests. Received a GET request."
            )
        return self._token(tenant, request)

    def _configuration(self, tenant: str) -> Answer:
        if tenant not in self.tenants:
            return _no_tenant(tenant)
        base = f"{self.url}/{tenant}"
        return json_answer(
            200,
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "issuer": f"{base}/v2.0",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
            },
        )

    def _token(self, tenant: str, request: Request) -> Answer:
        if (request.header("content-type") or "").split(";")[0] != "application/x-www-form-urlencoded":
            return _refusal(
                900144, "invalid_request", "The request body must contain the following parameter: 'grant_type'."
            )
        form = request.only(request.form)
        if form is None or form.keys() - _KNOWN:
            return _refusal(9002313, "invalid_request", "Invalid request. Request is malformed or invalid.")
        for name in ("grant_type", "client_id", "scope"):
            if not form.get(name):
                return _refusal(
                    900144, "invalid_request", f"The request body must contain the following parameter: '{name}'."
                )
        if form["grant_type"] != "client_credentials":
            return _refusal(
                70003, "unsupported_grant_type", f"The app requested an unsupported grant type '{form['grant_type']}'."
            )
        if tenant not in self.tenants:
            return _no_tenant(tenant)
        if form["client_id"] != self.client_id:
            return _refusal(
                700016,
                "unauthorized_client",
                f"Application with identifier '{form['client_id']}' was not found in the directory '{tenant}'.",
            )
        scope = form["scope"]
        if " " in scope or not scope.endswith("/.default"):
            return _refusal(1002012, "invalid_scope", f"The provided value for scope {scope} is not valid.")
        refusal = self._check_proof(form)
        if refusal is not None:
            return refusal
        body: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": int(self.lifetime_s),
            "ext_expires_in": int(self.lifetime_s),
            "access_token": self.issuer.issue(
                scope.removesuffix("/.default"), tenant=tenant, lifetime_s=self.lifetime_s
            ),
        }
        if self.refresh_in_s is not None:
            body["refresh_in"] = int(self.refresh_in_s)
        return json_answer(200, body, (("Cache-Control", "no-store, no-cache"), ("Set-Cookie", "fpc=canary; path=/")))

    def _check_proof(self, form: dict[str, str]) -> Answer | None:
        if "client_secret" in form and "client_assertion" not in form:
            if form["client_secret"] in self.client_secrets:
                return None
            return _refusal(
                7000215,
                "invalid_client",
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{self.client_id}'.",
                status=401,
            )
        if "client_assertion" not in form or form.get("client_assertion_type") != _ASSERTION_TYPE:
            return _refusal(
                7000216,
                "invalid_client",
                "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
                status=401,
            )
        return _check_assertion(form["client_assertion"])


def _check_assertion(assertion: str) -> Answer | None:
    try:
        payload = assertion.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        who = claims["iss"], claims["sub"]
        begins, ends, audience = claims["nbf"], claims["exp"], claims["aud"]
    except (IndexError, ValueError, KeyError, TypeError):
        return _refusal(50027, "invalid_request", "JWT token is invalid or malformed.")
    if not begins <= time.time() < ends:
        return _refusal(
            700024,
            "invalid_client",
            "Client assertion is not within its valid time range. Review the documentation.",
            status=401,
        )
    if _AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
        return _no_credential(700212, f"audience '{audience}'")
    if who != (ISSUER, SUBJECT):
        return _no_credential(700213, f"subject '{who[1]}'")
    return None


def _no_credential(number: int, what: str) -> Answer:
    text = f"No matching federated identity record found for presented assertion {what}."
    return _refusal(number, "invalid_client", text, status=401)


def _no_tenant(tenant: str) -> Answer:
    return _refusal(
        90002,
        "invalid_request",
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud.",
    )


def _refusal(number: int, error: str, text: str, *, status: int = 400) -> Answer:
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = "60c018fb-32af-45ed-94d1-921ff3b68600", "512eafbc-bbd6-4892-aba7-464449ce8993"
    ids = f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
    return json_answer(
        status,
        {
            "error": error,
            "error_description": f"AADSTS{number}: {text} {ids}",
            "error_codes": [number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        },
    )


@asynccontextmanager
async def serve_entra(trust: Trust, issuer: TokenIssuer | None = None) -> AsyncIterator[Entra]:
    """Serves over TLS, without which Azure's libraries send no secret."""
    async with serve_http(trust=trust) as server:
        stand_in = Entra(server, issuer or TokenIssuer())
        server.handler = stand_in.answer
        yield stand_in
