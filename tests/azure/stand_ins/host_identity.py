"""The identity services of hosts on Azure: the metadata service of virtual machines, and App Service's endpoint."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.azure.stand_ins.entra import TokenIssuer
from tests.azure.stand_ins.http import Answer, HttpServer, Request, json_answer, serve_http

IMDS_PATH = "/metadata/identity/oauth2/token"
_IMDS_VERSIONS = {"2018-02-01", "2018-10-01", "2019-08-01", "2019-08-15", "2019-11-01", "2020-06-01", "2021-02-01"}
_IMDS_PARAMETERS = {"api-version", "resource", "client_id", "object_id", "msi_res_id", "mi_res_id", "bypass_cache"}
APP_SERVICE_PATH = "/msi/token"
_APP_SERVICE_VERSIONS = {"2019-08-01"}
_APP_SERVICE_PARAMETERS = {"api-version", "resource", "client_id", "principal_id", "object_id", "mi_res_id"}


@dataclass
class HostIdentity:
    """The stand-in. Knobs: ``identities`` (client ids that are assigned), ``has_own``, ``lifetime_s``, ``header``."""

    server: HttpServer
    issuer: TokenIssuer
    header: str = ""
    identities: set[str] = field(default_factory=set)
    has_own: bool = True
    lifetime_s: float = 86400

    @property
    def url(self) -> str:
        return self.server.url

    def answer_as_imds(self, request: Request) -> Answer:
        if request.path != IMDS_PATH:
            return Answer(404)
        if request.method != "GET":
            return Answer(405)
        if request.header("metadata") != "true" or request.header("x-forwarded-for") is not None:
            return _imds_error("bad_request_102", "Required metadata header not specified")
        query = request.only(request.query)
        if query is None or query.keys() - _IMDS_PARAMETERS or query.get("api-version") not in _IMDS_VERSIONS:
            return _imds_error("bad_request_400", "Bad Request. The api-version or a parameter is invalid.")
        resource = query.get("resource", "")
        if not resource or resource.endswith("/.default"):
            return _imds_error(
                "invalid_resource", f"AADSTS500011: The resource principal named {resource} was not found."
            )
        client_id = query.get("client_id")
        if client_id not in self.identities if client_id else not self.has_own:
            return _imds_error("invalid_request", "Identity not found")
        return self._token(resource, client_id)

    def answer_as_app_service(self, request: Request) -> Answer:
        if request.path != APP_SERVICE_PATH or request.method != "GET":
            return Answer(404)
        if request.header("x-identity-header") != self.header:
            return _app_service_error(401, "Unauthorized")
        query = request.only(request.query)
        if (
            query is None
            or query.keys() - _APP_SERVICE_PARAMETERS
            or query.get("api-version") not in _APP_SERVICE_VERSIONS
            or not query.get("resource")
            or query["resource"].endswith("/.default")
        ):
            return _app_service_error(400, "Bad Request")
        client_id = query.get("client_id")
        if client_id not in self.identities if client_id else not self.has_own:
            return _app_service_error(
                400, "No User Assigned or Delegated Managed Identity found for specified ClientId"
            )
        return self._token(query["resource"], client_id)

    def _token(self, resource: str, client_id: str | None) -> Answer:
        now = int(time.time())
        ends = now + int(self.lifetime_s)
        return json_answer(
            200,
            {
                "access_token": self.issuer.issue(resource, lifetime_s=self.lifetime_s),
                "client_id": client_id or "0wn-identity",
                "expires_in": str(ends - now),
                "expires_on": str(ends),
                "ext_expires_in": str(ends - now),
                "not_before": str(now),
                "resource": resource,
                "token_type": "Bearer",
            },
        )


def _imds_error(error: str, text: str) -> Answer:
    return json_answer(400, {"error": error, "error_description": text})


def _app_service_error(status: int, text: str) -> Answer:
    return json_answer(status, {"statusCode": status, "message": text})


@asynccontextmanager
async def serve_imds(issuer: TokenIssuer | None = None) -> AsyncIterator[HostIdentity]:
    """The metadata service of a virtual machine; the library finds it by AZURE_POD_IDENTITY_AUTHORITY_HOST."""
    async with serve_http() as server:
        stand_in = HostIdentity(server, issuer or TokenIssuer())
        server.handler = stand_in.answer_as_imds
        yield stand_in


@asynccontextmanager
async def serve_app_service_identity(issuer: TokenIssuer | None = None) -> AsyncIterator[HostIdentity]:
    """App Service's and Container Apps' endpoint; it is at ``url`` and ``APP_SERVICE_PATH`` (IDENTITY_ENDPOINT)."""
    async with serve_http() as server:
        stand_in = HostIdentity(server, issuer or TokenIssuer(), header="identity-header-canary")
        server.handler = stand_in.answer_as_app_service
        yield stand_in
