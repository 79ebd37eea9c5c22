"""Who may open a session: the key, tokens from a file or by a judge, client secrets. Knows no paths and no models.

Each service takes a credential only where the real one does: Azure in ``api-key`` (header or query) or as a bearer,
OpenAI as a bearer or in a browser's subprotocol. Values are compared in constant time and never shown.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from server.simulator.manners import Service

# Whether a bearer token (Entra's) is one of ours: its audience, its time. Called at every handshake; must not block.
Accepts: TypeAlias = Callable[[str], bool]
# A key file is a few lines; whoever names another file by mistake should not have it read whole.
TOKENS_FILE_MAX_BYTES = 1024 * 1024
KEY_SUBPROTOCOL = "openai-insecure-api-key."

# What was found of a credential: welcome, none or a wrong one, a bearer token that is not accepted.
Verdict: TypeAlias = Literal["welcome", "wrong_key", "wrong_token"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens the door. Without any of it everyone is let in.

    Attributes:
        key: the API key; "" is none.
        tokens_file: a file with one accepted token a line, read at every handshake, so that tokens can be issued and
            taken back while the service runs; "" is none. While it cannot be read, no token is accepted.
        accepts: a judge of tokens, beside the file.
    """

    key: str = ""
    tokens_file: str = ""
    accepts: Accepts | None = None

    @property
    def needed(self) -> bool:
        """Whether a credential is asked for at all."""
        return bool(self.key or self.tokens_file or self.accepts)

    def judge(
        self,
        service: Service,
        headers: Mapping[str, str],
        query: Mapping[str, Sequence[str]],
        offered: Sequence[str],
    ) -> Verdict:
        """Judge a handshake by its headers (lower-case names), its query and the subprotocols offered."""
        if not self.needed:
            return "welcome"
        bearer = bearer_of(headers)
        given = [bearer] if bearer else []
        if service == "azure":
            given += [headers.get("api-key", ""), *query.get("api-key", [])]
        else:
            given += browser_keys(offered)
        if any(self._is_key(value) for value in given):
            return "welcome"
        if bearer and service == "azure":
            return "welcome" if self._is_token(bearer) else "wrong_token"
        return "wrong_key"

    def _is_key(self, value: str) -> bool:
        return bool(self.key and value) and hmac.compare_digest(value.encode(), self.key.encode())

    def _is_token(self, value: str) -> bool:
        if self.accepts is not None and self.accepts(value):
            return True
        return any(hmac.compare_digest(value.encode(), token.encode()) for token in self._tokens())

    def _tokens(self) -> list[str]:
        if not self.tokens_file:
            return []
        try:
            with Path(self.tokens_file).open(encoding="utf-8") as file:
                lines = file.read(TOKENS_FILE_MAX_BYTES).splitlines()
        except (OSError, UnicodeDecodeError):
            # Strict: what cannot be read accepts nobody. The file is checked when the service starts.
            return []
        return [line.strip() for line in lines if line.strip()]


def bearer_of(headers: Mapping[str, str]) -> str:
    """The token of ``Authorization: Bearer``; "" without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def browser_keys(offered: Sequence[str]) -> list[str]:
    """The keys among the subprotocols that a browser offers."""
    return [name.removeprefix(KEY_SUBPROTOCOL) for name in offered if name.startswith(KEY_SUBPROTOCOL)]
