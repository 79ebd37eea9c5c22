"""The certificate that the server shows, and its key: read from files, and again when they change. It opens nothing.

Open connections keep the certificate they began with.
"""

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import trio

__all__ = ["Certificate", "CertificateUnusable"]

# Only forward secrecy and authenticated encryption; TLS 1.3 has nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

# HTTP/2 is not spoken here, and is not agreed to.
ALPN = ("http/1.1",)

# How often the files are looked at, at most: when a connection comes.
LOOK_EVERY_S = 1.0

_Signature = tuple[tuple[int, int, int], ...]


class CertificateUnusable(Exception):
    """The certificate or its key cannot be used; the text says why, without a word of the key."""


class Certificate:
    """A server's TLS context that follows its files.

    Args:
        chain: PEM file of the certificate and those it was issued by.
        key: PEM file of its key, without a password.
        on_change: told when other files were read: None, or why they could not be used and the old ones stay.
        clock: seconds.

    Raises:
        CertificateUnusable: the files cannot be used.
    """

    __slots__ = ("_chain", "_clock", "_context", "_key", "_looked_at", "_on_change", "_signature")

    def __init__(
        self,
        chain: Path,
        key: Path,
        *,
        on_change: Callable[[CertificateUnusable | None], None] = lambda _why: None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._chain = chain
        self._key = key
        self._on_change = on_change
        self._clock = clock
        self._looked_at: float | None = None
        self._signature = self._look()
        self._context = self._load()

    @property
    def context(self) -> ssl.SSLContext:
        """The context for a new connection. Looks at the files now and then; never raises."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < LOOK_EVERY_S:
            return self._context
        self._looked_at = now
        signature = self._look()
        if signature != self._signature:
            # Also when they cannot be used: they are not read again before they change again.
            self._signature = signature
            try:
                self._context = self._load()
            except CertificateUnusable as why:
                self._on_change(why)
            else:
                self._on_change(None)
        return self._context

    def _look(self) -> _Signature:
        found = []
        for file in (self._chain, self._key):
            try:
                facts = os.stat(file)
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((facts.st_ino, facts.st_mtime_ns, facts.st_size))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(list(ALPN))
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        try:
            # An empty password: a key that has one is an error then, not a question on the terminal.
            context.load_cert_chain(self._chain, self._key, password="")
        except ssl.SSLError as error:
            what = (error.reason or "not readable as PEM").replace("_", " ").lower()
            raise CertificateUnusable(f"{self._chain} and {self._key} cannot be used: {what}") from None
        except OSError as error:
            raise CertificateUnusable(f"{self._chain} or {self._key} cannot be read: {error.strerror}") from None
        return context
