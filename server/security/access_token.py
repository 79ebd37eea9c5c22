"""Access tokens of an issuer (JWT, RFC 7519): checks one, and says whom it lets in. It fetches nothing by itself.

The rules are those of RFC 8725. What a token says of itself chooses among what is allowed here, and no more: its
algorithm must be one that the issuer's key of that id is for, and addresses or keys that it brings along are refused.
Entra ID's access tokens are the case it is made for.
"""

import base64
import binascii
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import jwt
from jwt.api_jws import PyJWS

from protocol.conversation.configuration import BROWSER_FIELDS
from server.security.base import Unauthenticated, cannot_check
from server.security.issuer_keys import ALGORITHMS, RETRY_S, IssuerKeys, IssuerUnavailable
from server.security.principal import SCOPES, Principal, Scope

__all__ = ["AccessTokens", "ClaimNames"]

# Clocks differ. RFC 7519, 4.1.4: "usually no more than a few minutes".
LEEWAY_S = 60.0
# Entra's are below 4 KiB. The head of a request has 16 in all, and a field of a WebSocket's handshake 8.
MAX_TOKEN_CHARS = 16 * 1024
MAX_KB_IDS = 1000

# RFC 9068, 2.1, and what Entra writes. Without a type a token could be one that was made for something else.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
# How a token could bring its own key along (RFC 7515, 4.1), or demand what is not understood here.
_FORBIDDEN_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "epk", "cty"})

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_MAX_KID_CHARS = 512
# Entra's app roles may be called so, where several applications share a list of them.
_SCOPE_PREFIX = "liveavatar."


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where in a token its rights are.

    Attributes:
        scopes: claims with names of scopes, in a list or separated by blanks: Entra's `scp` has what a person has
            consented to, `roles` what an administrator has given to a person or program. Names may begin with
            `LiveAvatar.`, in any case of letters; others are somebody else's.
        kb_ids: the claim with the knowledge bases, in a list or separated by blanks; None: tokens are for all. A token
            without the claim is for none.
    """

    scopes: tuple[str, ...] = ("scp", "scope", "roles")
    kb_ids: str | None = None


_jws = PyJWS()


class _Refused(Exception):
    """Why a token is refused, in our own words."""


class AccessTokens:
    """Checks tokens.

    Args:
        issuer, audiences: what `iss` must be, and one of what `aud` must have.
        keys: the issuer's.
        now: the time of day in Unix seconds.
    """

    def __init__(
        self,
        issuer: str,
        audiences: frozenset[str],
        keys: IssuerKeys,
        *,
        claims: ClaimNames | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not issuer or not audiences or "" in audiences:
            raise ValueError("tokens need an issuer and an audience")
        self._issuer = issuer
        self._audiences = audiences
        self._keys = keys
        self._claims = claims or ClaimNames()
        self._now = now

    async def check(self, token: str) -> Principal:
        """Whom the token lets in. Waits only where its key has to be fetched, for a few seconds at most.

        Raises:
            Unauthenticated: it lets nobody in.
            InternalFault: the issuer's keys are not known.
        """
        try:
            header = _header_of(token)
            key = await self._keys.find(header["kid"])
            if key is None:
                raise _Refused("its key is not one of the issuer's")
            if header["alg"] not in key.algorithms:
                raise _Refused("its algorithm is not that of its key")
            return self._principal(_verified(token, key.key, header["alg"]))
        except IssuerUnavailable:
            raise cannot_check(RETRY_S) from None
        except _Refused as refused:
            text = "The token is not valid here. Get a new one from the issuer that this server trusts."
            raise Unauthenticated(text, code="invalid_token", why=f"token: {refused}") from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        if claims.get("iss") != self._issuer:
            raise _Refused("wrong issuer")
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
            raise _Refused("no audience")
        if self._audiences.isdisjoint(audiences):
            raise _Refused("for another audience")
        expires_at = self._check_times(claims)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise _Refused("no subject")
        scopes = self._scopes(claims)
        # Not the subject itself: it may be a name or an address, and ids stand in logs.
        digest = hashlib.sha256(f"{self._issuer}\0{subject}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return Principal(
            id=f"jwt:{digest}",
            name=f"jwt:{digest[:8]}",
            kind="jwt",
            scopes=scopes,
            kb_ids=self._kb_ids(claims),
            # Whoever may mint may give instructions away, and so may give them to itself.
            settable=None if "mint" in scopes else BROWSER_FIELDS,
            expires_at=expires_at,
        )

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        now = self._now()
        expires_at = _time(claims, "exp")
        if expires_at is None:
            raise _Refused("without an expiry")
        if now >= expires_at + LEEWAY_S:
            raise _Refused("expired")
        for name in ("nbf", "iat"):
            at = _time(claims, name)
            if at is not None and at > now + LEEWAY_S:
                raise _Refused(f"not valid yet ({name})")
        return expires_at

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        found = {
            name.lower().removeprefix(_SCOPE_PREFIX)
            for claim in self._claims.scopes
            for name in _names(claims.get(claim, ""), claim)
        }
        return frozenset(scope for scope in SCOPES if scope in found)

    def _kb_ids(self, claims: Mapping[str, Any]) -> frozenset[str] | None:
        if self._claims.kb_ids is None:
            return None
        names = _names(claims.get(self._claims.kb_ids, ""), self._claims.kb_ids)
        if len(names) > MAX_KB_IDS:
            raise _Refused("too many knowledge bases")
        return frozenset(names)


def _names(value: object, claim: str) -> list[str]:
    names = value.split() if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _Refused(f"{claim} is no list of names")
    return names


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e12:
        raise _Refused(f"{name} is no time")
    return float(value)


def _header_of(token: str) -> dict[str, str]:
    """The header of a token that keeps to the rules, before anything of it is believed."""
    if len(token) > MAX_TOKEN_CHARS:
        raise _Refused("too long")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise _Refused("not of three parts")
    header, _, _ = (_part(part) for part in parts.groups())
    fields = _object(header)
    kid, algorithm, kind = fields.get("kid"), fields.get("alg"), fields.get("typ")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _Refused("signed by an algorithm that is not accepted")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _Refused("not of the type of access tokens")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID_CHARS:
        raise _Refused("without the id of its key")
    if not _FORBIDDEN_HEADERS.isdisjoint(fields):
        raise _Refused("its header has fields that are not accepted")
    return {"kid": kid, "alg": algorithm}


def _verified(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    """The claims of a token whose signature is right."""
    try:
        # Claims are checked here, with our clock and more strictly; the library is for the signature.
        _jws.decode(token, key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _Refused("its signature is not right") from None
    return _object(_part(token.split(".")[1]))


def _part(text: str) -> bytes:
    """The bytes of a part, which must be written in the only way there is to."""
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise _Refused("not base64url") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != text:
        raise _Refused("not base64url as it must be")
    return decoded


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object without names that are there twice: readers differ in which of the two counts."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _Refused("not JSON") from None
    if not isinstance(value, dict):
        raise _Refused("no JSON object")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("a name is there twice")
    return value


def _no_constant(_: str) -> NoReturn:
    raise _Refused("not JSON")
