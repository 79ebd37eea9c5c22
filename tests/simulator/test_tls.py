"""The simulator over TLS: whole turns, rude ends beneath it, and certificate files that cannot be used."""

import ssl
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trustme

from server.simulator.faults import fault_rules
from server.simulator.service import Simulator
from server.simulator.settings import SimulatorSettings
from server.simulator.tls import TlsFilesError, tls_context
from tests.simulator.driver import HANDSHAKE, connected, simulator
from tests.simulator.scripts import SAYS, TELLS
from tests.simulator.sounds import silence, tone

TARGET = "/v1/realtime?model=gpt-realtime"


class Pki(NamedTuple):
    """A certificate for this machine as files, and a client that trusts it."""

    cert: Path
    key: Path
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    key.write_bytes(issued.private_key_pem.bytes())
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Pki(cert, key, client)


def secured(pki: Pki, **other: Any) -> SimulatorSettings:
    return SimulatorSettings(tls_cert=str(pki.cert), tls_key=str(pki.key), **other)


async def answers(running: Simulator, pki: Pki) -> None:
    async with connected(running, TARGET, tls=pki.client) as client:
        await client.until("session.created")
        assert (await client.respond("Hello."))["status"] == "completed"


async def test_a_spoken_turn_over_tls(pki: Pki) -> None:
    async with simulator(secured(pki), think=TELLS) as running:
        assert running.base_url.startswith("wss://127.0.0.1:")
        async with connected(running, TARGET, tls=pki.client) as client:
            await client.until("session.created")
            await client.speak(silence(200) + tone(600) + silence(400))
            assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_a_context_may_be_given_in_place_of_files(pki: Pki) -> None:
    context = tls_context(str(pki.cert), str(pki.key))
    async with simulator(think=SAYS, ssl_context=context) as running:
        assert running.secure
        await answers(running, pki)


async def test_openai_tells_why_and_closes_over_tls_too(pki: Pki) -> None:
    settings = secured(pki, api_key="right")
    async with simulator(settings) as running, connected(running, TARGET, tls=pki.client) as client:
        assert await client.closed() == (3000, "invalid_request_error.invalid_api_key")


async def test_who_speaks_no_tls_or_does_not_trust_it_hurts_no_one_else(pki: Pki) -> None:
    async with simulator(secured(pki), think=SAYS) as running:
        async with await trio.open_tcp_stream(*running.addresses[0]) as plain:
            await plain.send_all(HANDSHAKE.format(target=TARGET, headers="").encode())
            with trio.fail_after(5):
                assert b"HTTP" not in await plain.receive_some(4096)
        stranger = ssl.create_default_context()
        with pytest.RaisesGroup(trio.BrokenResourceError, flatten_subgroups=True):
            async with connected(running, TARGET, tls=stranger):
                pass
        await answers(running, pki)


@pytest.mark.parametrize("action", ["drop", "reset", "stall"])
async def test_the_line_goes_dead_beneath_tls(pki: Pki, action: str) -> None:
    rule = {"do": action, "when": "response.output_audio.delta", "nth": 2, "connection": 1}
    async with simulator(secured(pki, faults=fault_rules([rule])), think=TELLS) as running:
        async with connected(running, TARGET, tls=pki.client) as client:
            await client.send("response.create")
            if action == "stall":
                await client.quiet(0.3)
                assert len(client.of("response.output_audio.delta")) <= 2
            else:
                assert (await client.closed())[0] == 1006
        with trio.fail_after(5):
            # The service tells no one when a connection ends.
            while running.open_connections:  # noqa: ASYNC110
                await trio.sleep(0.01)
        await answers(running, pki)


async def test_a_message_too_big_is_told_so_over_tls(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.simulator.door.MESSAGE_MAX_BYTES", 300_000)
    async with simulator(secured(pki), think=SAYS) as running, connected(running, TARGET, tls=pki.client) as client:
        await client.until("session.created")
        await client.send_text("x" * 1_000_000)
        assert (await client.closed())[0] == 1009


# -- files --------------------------------------------------------------------------------------------------------


def test_files_that_make_no_context_are_named(pki: Pki, tmp_path: Path) -> None:
    cert, key = str(pki.cert), str(pki.key)
    rubbish, empty = tmp_path / "rubbish.pem", tmp_path / "empty.pem"
    rubbish.write_bytes(b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    empty.write_bytes(b"")
    other = trustme.CA().issue_cert("localhost").private_key_pem.bytes()
    (tmp_path / "other.pem").write_bytes(other)
    for wrong_cert, wrong_key, said in (
        (str(tmp_path / "none.pem"), key, r"TLS certificate .*none\.pem: No such file"),
        (cert, str(tmp_path), r"TLS key .*: Is a directory"),
        (str(empty), key, r"TLS certificate .*empty\.pem: this is no PEM file"),
        (cert, cert, r"TLS key .*cert\.pem: there is no private key in it"),
        (key, key, r"TLS certificate .*key\.pem: there is no certificate in it"),
        (cert, str(tmp_path / "other.pem"), r"TLS key .*other\.pem: it is not the key of the certificate"),
        (str(rubbish), key, r"TLS files .*rubbish\.pem and .*: they cannot be used"),
    ):
        with pytest.raises(TlsFilesError, match=said):
            tls_context(wrong_cert, wrong_key)


def test_an_encrypted_key_is_not_asked_about_at_the_terminal(pki: Pki, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pki.key.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TlsFilesError, match=r"TLS key .*locked\.pem: it is encrypted"):
        tls_context(str(pki.cert), str(locked))


async def test_a_service_with_bad_files_does_not_listen(tmp_path: Path) -> None:
    settings = SimulatorSettings(tls_cert=str(tmp_path / "a.pem"), tls_key=str(tmp_path / "b.pem"))
    with pytest.RaisesGroup(TlsFilesError, flatten_subgroups=True):
        async with simulator(settings):
            pass
