"""Access tokens: what lets in, and some forty ways to forge one, none of which does."""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.conversation.configuration import BROWSER_FIELDS
from protocol.errors import InternalFault
from server.security.access_token import AccessTokens, ClaimNames
from server.security.base import Unauthenticated
from server.security.issuer_keys import IssuerKeys
from tests.security.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    Issuer,
    b64,
    claims,
    ec_jwk,
    ec_key,
    rsa_jwk,
    rsa_key,
    token,
)


@asynccontextmanager
async def checking(
    issuer: Issuer | None = None, *, names: ClaimNames | None = None, now: Callable[[], float] = lambda: NOW
) -> AsyncIterator[AccessTokens]:
    """Tokens of the issuer are checked, whose key is ``one`` (RSA) and ``curve`` (P-256)."""
    if issuer is None:
        issuer = Issuer()
        issuer.publish(rsa_jwk(rsa_key("one"), "one"), ec_jwk(ec_key("curve"), "curve"))
    keys = IssuerKeys(ISSUER, None, issuer.fetch, is_safe=lambda url: url.startswith("https://"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run)
        yield AccessTokens(ISSUER, frozenset({AUDIENCE, "other"}), keys, claims=names, now=now)
        nursery.cancel_scope.cancel()


async def refused(tokens: AccessTokens, attack: str) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        await tokens.check(attack)
    said = f"{refusal.value} {refusal.value.why} {refusal.value!r}"
    assert not attack or attack[:60] not in said
    assert not any(part in said for part in attack.split(".") if len(part) > 12)
    return refusal.value.why


# What lets in


@pytest.mark.parametrize(
    "right",
    [
        token(),
        token(alg="PS256"),
        token(key=ec_key("curve"), alg="ES256", kid="curve"),
        token(claims(aud=["elsewhere", AUDIENCE])),
        token(claims(aud="other")),
        token(claims(nbf=None, iat=None)),
        token(claims(exp=NOW - 59)),
        token(claims(nbf=NOW + 59, iat=NOW + 59)),
        token(typ="at+jwt"),
        token(typ="application/AT+JWT"),
        token(x5t="abc", nonce="n"),
    ],
)
async def test_a_token_of_the_issuer_lets_in(autojump_clock: trio.testing.MockClock, right: str) -> None:
    async with checking() as tokens:
        principal = await tokens.check(right)
        assert principal.kind == "jwt"
        assert principal.scopes == {"talk"}
        assert principal.settable == BROWSER_FIELDS
        assert principal.kb_ids is None
        assert "somebody" not in repr(principal)


async def test_the_same_person_is_the_same_principal(autojump_clock: trio.testing.MockClock) -> None:
    async with checking() as tokens:
        one, again = await tokens.check(token()), await tokens.check(token(claims(exp=NOW + 60)))
        other = await tokens.check(token(claims(sub="another")))
        assert one.id == again.id != other.id
        assert (one.expires_at, again.expires_at) == (NOW + 3600, NOW + 60)


@pytest.mark.parametrize(
    ("given", "scopes"),
    [
        ({"scp": "LiveAvatar.Talk LiveAvatar.Mint"}, {"talk", "mint"}),
        ({"scp": None, "roles": ["LiveAvatar.Administer", "talk", "Other.Records"]}, {"administer", "talk"}),
        ({"scp": "talk", "roles": ["records"], "scope": "mint"}, {"talk", "records", "mint"}),
        ({"scp": "user_impersonation"}, set()),
        ({"scp": None}, set()),
        ({"scp": "talker retalk liveavatar.liveavatar.talk"}, set()),
    ],
)
async def test_scopes_are_those_that_are_named(
    autojump_clock: trio.testing.MockClock, given: dict[str, Any], scopes: set[str]
) -> None:
    async with checking() as tokens:
        principal = await tokens.check(token(claims(**given)))
        assert principal.scopes == scopes
        assert (principal.settable is None) == ("mint" in scopes)


@pytest.mark.parametrize(
    ("given", "kb_ids"), [(["museum", "zoo"], ["museum", "zoo"]), ("museum zoo", ["museum", "zoo"]), (None, [])]
)
async def test_knowledge_bases_come_from_their_claim_and_without_it_there_are_none(
    autojump_clock: trio.testing.MockClock, given: Any, kb_ids: list[str]
) -> None:
    async with checking(names=ClaimNames(kb_ids="extension_kbs")) as tokens:
        assert (await tokens.check(token(claims(extension_kbs=given)))).kb_ids == frozenset(kb_ids)


# Forgeries

ATTACKER = rsa_key("attacker")
PUBLIC_PEM = (
    rsa_key("one")
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)
PUBLIC_DER = (
    rsa_key("one")
    .public_key()
    .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)


def symmetric(secret: bytes, alg: str = "HS256", **head: Any) -> str:
    header = {"typ": "JWT", "alg": alg, "kid": "one", **head}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims()).encode())}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def with_signature(of: str, sig: str) -> str:
    return f"{of.rpartition('.')[0]}.{sig}"


def with_body(of: str, body: dict[str, Any]) -> str:
    head, _, sig = of.split(".")
    return f"{head}.{b64(json.dumps(body).encode())}.{sig}"


def none_token(alg: str) -> str:
    return f"{b64(json.dumps({'typ': 'JWT', 'alg': alg, 'kid': 'one'}).encode())}.{b64(json.dumps(claims()).encode())}."


def malleable(right: str) -> str:
    """The same signature with other unused bits at its end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(right[-1])
    return right[:-1] + alphabet[last ^ 1]


HUGE = "x" * 20_000
DEEP = b'{"iss":' + b"[" * 4000 + b"]" * 4000 + b"}"

ATTACKS: dict[str, str] = {
    "none": none_token("none"),
    "None": none_token("None"),
    "nOnE with a signature": token(alg="nOnE", signed_as="RS256"),
    "empty algorithm": token(alg="", signed_as="RS256"),
    "no algorithm": token(alg=None, signed_as="RS256"),  # type: ignore[arg-type]
    "algorithm is a list": token(header={"typ": "JWT", "kid": "one", "alg": ["RS256"]}),
    "HS256 with the public key as PEM": symmetric(PUBLIC_PEM),
    "HS256 with the public key as DER": symmetric(PUBLIC_DER),
    "HS256 with the modulus": symmetric(json.dumps(rsa_jwk(rsa_key("one"), "one")).encode()),
    "HS256 with an empty key": symmetric(b""),
    "HS256 signed, RS256 said": symmetric(PUBLIC_PEM, "RS256"),
    "RS512": token(alg="RS512"),
    "RS384": token(alg="RS384"),
    "ES256 said of an RSA key": token(alg="ES256", signed_as="RS256"),
    "RS256 said of an EC key": token(key=ec_key("curve"), alg="RS256", kid="curve"),
    "ES256 by another curve": token(key=ec_key("p384", ec.SECP384R1), alg="ES256", kid="curve"),
    "ES256 of zeros": with_signature(token(key=ec_key("curve"), alg="ES256", kid="curve"), b64(bytes(64))),
    "ES256K": token(key=ec_key("k1", ec.SECP256K1), alg="ES256K", kid="curve", signed_as="ES256"),
    "EdDSA": token(alg="EdDSA", signed_as="RS256"),
    "another's key, the issuer's kid": token(key=ATTACKER),
    "another's key and kid": token(key=ATTACKER, kid="attacker"),
    "jku": token(key=ATTACKER, kid="attacker", jku="https://attacker.example/keys"),
    "jku with the issuer's key": token(jku=f"{ISSUER}/keys"),
    "x5u": token(key=ATTACKER, x5u="https://attacker.example/cert.pem"),
    "embedded jwk": token(key=ATTACKER, jwk=rsa_jwk(ATTACKER, "one")),
    "embedded jwk and its kid": token(key=ATTACKER, kid="mine", jwk=rsa_jwk(ATTACKER, "mine")),
    "embedded certificate": token(key=ATTACKER, x5c=["MIIB"]),
    "kid is a path": token(key=ATTACKER, kid="../../../../dev/null"),
    "kid is SQL": token(key=ATTACKER, kid="one' UNION SELECT 'x'--"),
    "kid is an address": token(key=ATTACKER, kid="https://attacker.example/key"),
    "kid is a number": token(kid=1),
    "kid is an object": token(kid={"one": "one"}),
    "kid is empty": token(kid=""),
    "kid is long": token(kid="k" * 5000),
    "no kid": token(kid=None),
    "no type": token(typ=None),
    "type of something else": token(typ="logout+jwt"),
    "type is a number": token(typ=5),
    "critical extension": token(crit=["exp"]),
    "unencoded payload": token(b64=False, crit=["b64"]),
    "compressed": token(zip="DEF"),
    "nested token": token(token().encode(), cty="JWT"),
    "header twice": token(header=b'{"typ":"JWT","alg":"none","kid":"one","alg":"RS256"}'),
    "wrong issuer": token(claims(iss="https://login.example/other/v2.0")),
    "issuer with a slash": token(claims(iss=f"{ISSUER}/")),
    "issuer in capitals": token(claims(iss=ISSUER.upper())),
    "issuer in a list": token(claims(iss=[ISSUER])),
    "no issuer": token(claims(iss=None)),
    "wrong audience": token(claims(aud="api://another")),
    "audience begins alike": token(claims(aud=AUDIENCE + "-test")),
    "audience in an object": token(claims(aud={AUDIENCE: True})),
    "no audience": token(claims(aud=None)),
    "empty audience": token(claims(aud=[])),
    "expired": token(claims(exp=NOW - 61)),
    "no expiry": token(claims(exp=None)),
    "expiry is a text": token(claims(exp=str(int(NOW) + 3600))),
    "expiry is true": token(claims(exp=True)),
    "expiry is nothing": token(b'{"iss":"%s","aud":"%s","sub":"s","exp":null}' % (ISSUER.encode(), AUDIENCE.encode())),
    "expiry is infinite": token(json.dumps(claims(exp=float("inf"))).encode()),
    "expiry is not a number": token(json.dumps(claims(exp=float("nan"))).encode()),
    "expiry overflows": token(json.dumps(claims()).replace(str(int(NOW) + 3600), "1e999").encode()),
    "not valid yet": token(claims(nbf=NOW + 61)),
    "made in the future": token(claims(iat=NOW + 61)),
    "nbf is a text": token(claims(nbf="soon")),
    "no subject": token(claims(sub=None)),
    "subject is an object": token(claims(sub={"a": 1})),
    "scopes in an object": token(claims(scp={"talk": True})),
    "claims twice": token(json.dumps(claims()).encode()[:-1] + b',"exp":99999999999}'),
    "claims changed": with_body(token(), claims(scp="administer")),
    "claims are a list": token(b"[]"),
    "claims are no JSON": token(b"iss=me"),
    "claims are not UTF-8": token(b'{"iss":"\xff"}'),
    "signature of another": with_signature(token(), token(claims(sub="x")).rpartition(".")[2]),
    "no signature": with_signature(token(), ""),
    "signature cut": token()[:-4],
    "signature written another way": malleable(token()),
    "garbage behind": token() + "x",
    "a line behind": token() + "\n",
    "a blank behind": token() + " ",
    "padding": token() + "==",
    "a fourth part": token() + "." + b64(b"{}"),
    "five parts (JWE)": ".".join([*token().split("."), "a", "b"]),
    "base64 instead of base64url": token().replace("-", "+").replace("_", "/") + "+/",
    "two parts": ".".join(token().split(".")[:2]),
    "huge": token(claims(extra=HUGE)),
    "deep claims": token(DEEP),
    "deep header": token(header=b'{"typ":"JWT","alg":"RS256","kid":' + b"[" * 3000 + b"]" * 3000 + b"}"),
    "only dots": "..",
    "nothing": "",
    "null bytes": "\0.\0.\0",
}  # fmt: skip


def test_there_are_enough_of_them() -> None:
    assert len(ATTACKS) >= 30


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_no_forgery_lets_in(autojump_clock: trio.testing.MockClock, attack: str) -> None:
    issuer = Issuer()
    issuer.publish(rsa_jwk(rsa_key("one"), "one"), ec_jwk(ec_key("curve"), "curve"))
    async with checking(issuer) as tokens:
        assert await refused(tokens, attack)
        assert {url for url in issuer.asked if "attacker" in url} == set()
        assert len(issuer.asked) <= 4, "what a forgery brings about is one more look at the issuer's keys"


WEAK = {
    "a short key": rsa_jwk(rsa_key("short", 1024), "one"),
    "a key for encryption": rsa_jwk(rsa_key("one"), "one", use="enc"),
    "a key for another algorithm": rsa_jwk(rsa_key("one"), "one", alg="RSA-OAEP"),
    "a key for signing only": rsa_jwk(rsa_key("one"), "one", key_ops=["sign"]),
    "a shared secret": {"kty": "oct", "kid": "one", "k": b64(PUBLIC_PEM)},
    "half a key": {"kty": "RSA", "kid": "one", "n": "AQAB"},
    "no key": {"kty": "RSA", "kid": "one"},
}


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK.keys())
async def test_a_key_that_is_not_for_this_is_none(autojump_clock: trio.testing.MockClock, weak: dict[str, Any]) -> None:
    issuer = Issuer()
    issuer.publish(weak, rsa_jwk(rsa_key("two"), "two"))
    async with checking(issuer) as tokens:
        await refused(tokens, token(key=rsa_key("short", 1024) if "short" in str(weak.get("n", "")) else None))
        await refused(tokens, symmetric(PUBLIC_PEM))
        assert (await tokens.check(token(key=rsa_key("two"), kid="two"))).kind == "jwt"


async def test_an_issuer_that_cannot_be_asked_is_no_reason_to_let_anybody_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with checking(Issuer(down=True)) as tokens:
        with pytest.raises(InternalFault) as fault:
            await tokens.check(token())
        assert fault.value.retry_after_s


async def test_a_check_takes_microseconds(autojump_clock: trio.testing.MockClock) -> None:
    async with checking() as tokens:
        right = token()
        await tokens.check(right)
        took = []
        for _ in range(50):
            before = time.perf_counter()
            await tokens.check(right)
            took.append(time.perf_counter() - before)
        assert sorted(took)[25] < 0.001
