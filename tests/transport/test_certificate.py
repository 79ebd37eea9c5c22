import os
import ssl
from pathlib import Path

import pytest
import trustme

from server.transport.certificate import LOOK_EVERY_S, Certificate, CertificateUnusable
from server.transport.errors import WireBroken
from server.transport.memory import memory_wire_pair
from server.transport.tls import TlsWire, start_tls
from tests.nurseries import gather_two


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Files:
    """A certificate and its key in a folder, and what became of them."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.clock = Clock()
        self.told: list[CertificateUnusable | None] = []
        self._age_ns = 0
        self.issue("first.example")

    def issue(self, name: str) -> None:
        issued = self.authority.issue_cert(name)
        self.write(b"".join(pem.bytes() for pem in issued.cert_chain_pems), issued.private_key_pem.bytes())

    def write(self, chain: bytes, key: bytes) -> None:
        self.chain.write_bytes(chain)
        self.key.write_bytes(key)
        self._age_ns += 10**9
        for file in (self.chain, self.key):  # within a tick of the file system's clock, too, it is another file
            os.utime(file, ns=(self._age_ns, self._age_ns))

    def open(self) -> Certificate:
        return Certificate(self.chain, self.key, on_change=self.told.append, clock=self.clock)

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def shaken(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> TlsWire:
    near, far = memory_wire_pair()
    ends = await gather_two(
        lambda: start_tls(near, server, server_side=True), lambda: start_tls(far, client, server_hostname=name)
    )
    return ends[0]


async def is_named(certificate: Certificate, files: Files, name: str) -> bool:
    try:
        await shaken(certificate.context, files.client(), name)
    except ExceptionGroup:
        return False
    return True


async def test_new_connections_get_the_new_certificate(files: Files) -> None:
    certificate = files.open()
    assert await is_named(certificate, files, "first.example")
    files.issue("second.example")
    assert await is_named(certificate, files, "first.example"), "the files are not looked at for every connection"
    files.clock.now += LOOK_EVERY_S
    assert await is_named(certificate, files, "second.example")
    assert files.told == [None]


@pytest.mark.parametrize("damage", ["rubbish", "empty", "mismatch", "missing"])
async def test_a_bad_new_certificate_leaves_the_old_one(damage: str, files: Files) -> None:
    certificate = files.open()
    assert await is_named(certificate, files, "first.example")
    before = files.chain.read_bytes(), files.key.read_bytes()
    match damage:
        case "rubbish":
            files.write(b"-----BEGIN CERTIFICATE-----\nrubbish\n", before[1])
        case "empty":
            files.write(b"", b"")
        case "mismatch":
            files.write(before[0], files.authority.issue_cert("x").private_key_pem.bytes())
        case _:
            files.key.unlink()
    for _ in range(3):
        files.clock.now += LOOK_EVERY_S
        assert await is_named(certificate, files, "first.example")
    assert len(files.told) == 1, "said once"
    assert isinstance(files.told[0], CertificateUnusable)
    assert "PRIVATE" not in str(files.told[0])
    files.issue("second.example")
    files.clock.now += LOOK_EVERY_S
    assert await is_named(certificate, files, "second.example")


def test_files_that_cannot_be_used_at_the_start_are_named(files: Files) -> None:
    files.chain.write_bytes(b"")
    with pytest.raises(CertificateUnusable, match=r"chain\.pem"):
        files.open()
    files.chain.unlink()
    with pytest.raises(CertificateUnusable, match="No such file"):
        files.open()


def test_a_key_with_a_password_is_refused_and_not_asked_for(files: Files) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    with pytest.raises(CertificateUnusable):
        files.open()


async def test_only_modern_tls_is_spoken(files: Files) -> None:
    certificate = files.open()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = files.client()
        client.minimum_version = client.maximum_version = version
        client.set_alpn_protocols(["h2", "http/1.1"])
        wire = await shaken(certificate.context, client, "first.example")
        name, _, bits = wire._tls.cipher() or ("", "", 0)
        assert wire._tls.selected_alpn_protocol() == "http/1.1"
        assert "GCM" in name or "CHACHA20" in name
        assert bits >= 128
        assert version is not ssl.TLSVersion.TLSv1_2 or name.startswith("ECDHE-")


@pytest.mark.parametrize("ciphers", ["AES128-GCM-SHA256", "ECDHE+AES+SHA256:!AESGCM", "DHE+AESGCM"])
async def test_weak_ciphers_are_not_agreed_to(ciphers: str, files: Files) -> None:
    client = files.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(ciphers)
    with pytest.raises(ExceptionGroup) as caught:
        await shaken(files.open().context, client, "first.example")
    assert caught.group_contains(WireBroken)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_versions_are_not_agreed_to(files: Files) -> None:
    client = files.client()
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ExceptionGroup) as caught:
        await shaken(files.open().context, client, "first.example")
    assert caught.group_contains(WireBroken)
