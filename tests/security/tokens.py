"""An issuer of access tokens with keys of its own: what it publishes, tokens as it makes them, and forgeries."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import trio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from server.security.base import FetchFailed

ISSUER = "https://login.example/tenant/v2.0"
AUDIENCE = "api://liveavatar"
NOW = 1_800_000_000.0

Json = dict[str, Any]


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key; the same for the same name."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey, kid: str, **more: Any) -> Json:
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "use": "sig", "n": number(public.n), "e": number(public.e), **more}


def ec_jwk(key: ec.EllipticCurvePrivateKey, kid: str, crv: str = "P-256", **more: Any) -> Json:
    public = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    x, y = (b64(part.to_bytes(size, "big")) for part in (public.x, public.y))
    return {"kty": "EC", "kid": kid, "use": "sig", "crv": crv, "x": x, "y": y, **more}


def signature(key: Any, alg: str, data: bytes) -> bytes:
    """A signature as ``alg`` makes it, whatever the key is."""
    if isinstance(key, rsa.RSAPrivateKey):
        if alg.startswith("PS"):
            return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        digest = {"RS384": hashes.SHA384(), "RS512": hashes.SHA512()}.get(alg, hashes.SHA256())
        return key.sign(data, padding.PKCS1v15(), digest)
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def claims(**changes: Any) -> Json:
    """Claims that are right; ``None`` leaves one out."""
    right = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "somebody",
        "iat": int(NOW),
        "nbf": int(NOW),
        "exp": int(NOW) + 3600,
        "scp": "LiveAvatar.Talk",
    }
    return {name: value for name, value in {**right, **changes}.items() if value is not None}


def token(
    body: Json | bytes | None = None,
    *,
    key: Any = None,
    header: Mapping[str, Any] | bytes | None = None,
    alg: str = "RS256",
    signed_as: str | None = None,
    **head: Any,
) -> str:
    """A token as the issuer makes it, but for what is given otherwise."""
    if header is None:
        fields = {"typ": "JWT", "alg": alg, "kid": "one", **head}
        header = {name: value for name, value in fields.items() if value is not None}
    first = header if isinstance(header, bytes) else json.dumps(header).encode()
    second = body if isinstance(body, bytes) else json.dumps(claims() if body is None else body).encode()
    signed = f"{b64(first)}.{b64(second)}"
    return f"{signed}.{b64(signature(key or rsa_key('one'), signed_as or alg, signed.encode()))}"


@dataclass
class Issuer:
    """What is fetched: ``documents`` by address, and what was asked for. ``down`` answers nobody."""

    documents: dict[str, Json] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    takes_s: float = 0.1

    def __post_init__(self) -> None:
        jwks = f"{ISSUER}/keys"
        self.documents.setdefault(f"{ISSUER}/.well-known/openid-configuration", {"issuer": ISSUER, "jwks_uri": jwks})
        self.documents.setdefault(jwks, {"keys": [rsa_jwk(rsa_key("one"), "one")]})

    def publish(self, *keys: Json) -> None:
        self.documents[f"{ISSUER}/keys"] = {"keys": list(keys)}

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await trio.sleep(self.takes_s)
        if self.down or url not in self.documents:
            raise FetchFailed("it is down")
        return json.dumps(self.documents[url]).encode()
