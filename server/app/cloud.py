"""What the server has of Azure beside the Realtime service: one transport, one identity, and secrets by reference.

Azure's libraries are heavy, so they are imported only where a setting needs them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from protocol.errors import OperatorFault
from server.secret import Secret
from server.settings import TABLE, Settings

if TYPE_CHECKING:
    from server.azure.base import Identity
    from server.azure.tokens import TokenSource
    from server.azure.transport import HttpxTransport

# Searches of all sessions, tokens and vaults together. A search holds its connection for a fraction of a second.
MAX_CONNECTIONS = 100
# Seconds for the connections of the transport to be closed at the end.
_CLOSE_S = 2.0


class Cloud:
    """Opens what is asked for, once. What must run meanwhile does so from ``start`` on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._services: trio.Nursery | None = None
        self._waiting: list[Callable[[], Awaitable[None]]] = []
        self._transport: HttpxTransport | None = None
        self._identity: Identity | None = None
        self._tokens: dict[str, TokenSource] = {}

    @property
    def transport(self) -> "HttpxTransport":
        """The transport under all of Azure's client libraries."""
        if self._transport is None:
            from server.azure.transport import HttpxTransport

            self._transport = HttpxTransport(max_connections=MAX_CONNECTIONS)
        return self._transport

    @property
    def identity(self) -> "Identity":
        """Who the server is to Azure.

        Raises:
            OperatorFault: a setting that this kind of identity needs is missing.
        """
        if self._identity is None:
            from server.azure.base import AzureFault
            from server.azure.identity import IdentitySettings, open_identity

            settings = self._settings
            chosen = IdentitySettings(
                mode=settings.azure_auth,
                tenant_id=settings.azure_tenant_id or "",
                client_id=settings.azure_client_id or "",
                client_secret=settings.azure_client_secret,
                federated_token_file=settings.azure_federated_token_file or "",
                authority_host=settings.azure_authority_host or "",
            )
            try:
                self._identity = open_identity(chosen, self.transport)
            except AzureFault as fault:
                raise OperatorFault(fault.message, code=fault.code) from fault
        return self._identity

    def tokens(self, scope: str) -> "TokenSource":
        """Tokens of that identity; they are refreshed ahead of their end. Raises what ``identity`` raises."""
        if scope not in self._tokens:
            from server.azure.tokens import TokenSource

            source = self._tokens[scope] = TokenSource(self.identity, scope)
            self._run(source.run)
        return self._tokens[scope]

    async def look_up_secrets(self) -> None:
        """Puts the secrets in that are given by reference; from ``start`` on they are kept up to date.

        Raises:
            OperatorFault: some cannot be looked up; the message names each setting.
        """
        secrets = secrets_by_reference(self._settings)
        if not secrets:
            return
        from server.azure.base import AzureFault
        from server.azure.key_vault import VaultSecrets

        try:
            vault = VaultSecrets(
                secrets,
                self.identity,
                self.transport,
                interval_s=self._settings.key_vault_interval,
                problem_with=self._settings.problem_with_secret,
            )
            await vault.resolve()
        except AzureFault as fault:
            raise OperatorFault(fault.message, code=fault.code) from fault
        self._run(vault.run)

    def start(self, services: trio.Nursery) -> None:
        """Refreshes tokens and secrets in ``services``, until they end."""
        self._services = services
        for task in self._waiting:
            services.start_soon(task)
        self._waiting.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """``start`` for the length of a block, which raises what it raises and no group."""
        failure: Exception | None = None
        async with trio.open_nursery() as services:
            self.start(services)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised again below, outside of the nursery
                failure = error
            services.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _run(self, task: Callable[[], Awaitable[None]]) -> None:
        if self._services is None:
            self._waiting.append(task)
        else:
            self._services.start_soon(task)

    async def aclose(self) -> None:
        """Closes the connections; whatever uses them must have ended."""
        if self._transport is not None:
            with trio.move_on_after(_CLOSE_S, shield=True):
                await self._transport.aclose()


def secrets_by_reference(settings: Settings) -> Mapping[str, Secret]:
    """The secrets that are to be looked up, by the name of the setting."""
    found = {row.name: getattr(settings, row.attribute) for row in TABLE if row.type == "secret"}
    found |= {spec.key_name: spec.key for spec in settings.deployments}
    return {name: secret for name, secret in found.items() if secret is not None and secret.reference is not None}


@asynccontextmanager
async def open_cloud(settings: Settings) -> AsyncIterator[Cloud]:
    """Azure as these settings mean it, with every secret looked up.

    Raises:
        OperatorFault: a secret cannot be looked up.
    """
    cloud = Cloud(settings)
    try:
        await cloud.look_up_secrets()
        yield cloud
    finally:
        await cloud.aclose()  # noqa: ASYNC102 - shields itself, with a deadline
