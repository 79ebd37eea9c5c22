"""The TLS context of a service from its certificate and key files. Opens no socket."""

import ssl
from pathlib import Path


class TlsFilesError(ValueError):
    """The files make no TLS context; the message names the file and what is wrong with it."""


def tls_context(cert: str, key: str) -> ssl.SSLContext:
    """A server's context from a PEM certificate chain and its PEM private key.

    Raises:
        TlsFilesError: a file cannot be read, is not PEM, is encrypted, or the two do not belong together.
    """
    for what, name in (("certificate", cert), ("key", key)):
        try:
            content = Path(name).read_bytes()
        except OSError as error:
            raise TlsFilesError(f"TLS {what} {name}: {error.strerror or error}") from error
        if b"-----BEGIN " not in content:
            raise TlsFilesError(f"TLS {what} {name}: this is no PEM file")
        if what == "key" and b"PRIVATE KEY-----" not in content:
            raise TlsFilesError(f"TLS key {name}: there is no private key in it")
        if what == "certificate" and b"-----BEGIN CERTIFICATE-----" not in content:
            raise TlsFilesError(f"TLS certificate {name}: there is no certificate in it")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password of ours OpenSSL would ask for one at the terminal.
        context.load_cert_chain(cert, key, password=_no_password)
    except _EncryptedKeyError as error:
        raise TlsFilesError(f"TLS key {key}: it is encrypted; give one without a password") from error
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsFilesError(f"TLS key {key}: it is not the key of the certificate {cert}") from error
        reason = (error.reason or "unknown").lower().replace("_", " ")
        raise TlsFilesError(f"TLS files {cert} and {key}: they cannot be used ({reason})") from error
    return context


class _EncryptedKeyError(Exception):
    pass


def _no_password() -> str:
    raise _EncryptedKeyError
