"""A whole server over TLS, behind a proxy, and with limits: what clients see of it, and what its health tells."""

import base64
import contextlib
import os
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trustme
from trio_websocket import ConnectionClosed, open_websocket_url

from protocol.errors import OperatorFault
from server.app import run
from server.secret import Secret
from server.settings import Settings
from tests.nurseries import leaves
from tests.running import PATIENCE_S, Running, handshake_bytes, quiet, serving, to_end
from tests.simulator.driver import Client, Json

KEY = "a-key-of-enough-characters"


class Files:
    """A certificate of this test's own authority."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.client = ssl.create_default_context()
        self._authority.configure_trust(self.client)
        self.issue()

    def issue(self) -> int:
        """Another certificate; its serial number."""
        issued = self._authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(self.key)
        for number, pem in enumerate(issued.cert_chain_pems):
            pem.write_to_path(self.chain, append=number > 0)
        from cryptography import x509

        return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number

    @property
    def settings(self) -> dict[str, Any]:
        return {"tls_cert": self.chain, "tls_key": self.key}

    async def connect(self, server: Running) -> "trio.SSLStream[trio.SocketStream]":
        plain = await trio.open_tcp_stream("localhost", server.port)
        stream = trio.SSLStream(plain, self.client, server_hostname="localhost", https_compatible=True)
        await stream.do_handshake()
        return stream

    async def serial_number(self, server: Running) -> int:
        async with await self.connect(server) as stream:
            certificate: Any = stream.getpeercert()
            return int(certificate["serialNumber"], 16)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_pages_and_conversations_over_tls(data_dir: Path, files: Files) -> None:
    async with serving(data_dir, **files.settings) as server:
        async with await files.connect(server) as stream:
            await stream.send_all(f"GET / HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
            page = await to_end(stream)
            assert page.startswith(b"HTTP/1.1 200 ")
            assert page.rstrip().endswith(b"</html>") or b"</html>" in page
        url = f"wss://localhost:{server.port}/ws"
        headers = [(b"Origin", f"https://localhost:{server.port}".encode())]
        async with open_websocket_url(url, files.client, extra_headers=headers, max_message_size=2**26) as websocket:
            client = Client(websocket)
            await client.send_text('{"type":"session.init","kb_id":"museum"}')
            await client.until("session.created", PATIENCE_S)
            await client.type("When does the museum open?")
            await client.send("response.create")
            await client.until("response.done", PATIENCE_S)
        async with await server.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as plain:
            assert b"tls_required" in await to_end(plain)


async def test_a_certificate_is_read_again_while_the_server_runs(data_dir: Path, files: Files) -> None:
    async with serving(data_dir, **files.settings) as server:
        before = await files.serial_number(server)
        wanted = files.issue()
        os.utime(files.chain, ns=(1, 1))
        with trio.fail_after(PATIENCE_S):
            while await files.serial_number(server) != wanted:  # noqa: ASYNC110 - files set no event
                await trio.sleep(0.2)
        assert wanted != before
        files.chain.write_text("rubbish")
        await trio.sleep(1.1)
        assert await files.serial_number(server) == wanted


async def test_a_certificate_that_cannot_be_used_is_named_at_the_start(data_dir: Path, files: Files) -> None:
    files.key.write_text("rubbish")
    with quiet(), pytest.raises(ExceptionGroup) as caught:
        await run(Settings(port=0, data_dir=data_dir, **files.settings))
    (fault,) = leaves(caught.value)
    assert isinstance(fault, OperatorFault)
    assert "LIVEAVATAR_TLS_CERT" in fault.message


async def test_behind_a_proxy_that_is_trusted(data_dir: Path) -> None:
    public = {"Host": "10.1.2.3:8000", "X-Forwarded-For": "198.51.100.7", "X-Forwarded-Host": "avatar.example"}
    secure, page = {**public, "X-Forwarded-Proto": "https"}, {"Origin": "https://avatar.example"}
    async with serving(
        data_dir,
        api_key=Secret(KEY),
        trusted_proxies="127.0.0.1",
        allowed_hosts="avatar.example",
        allowed_origins="https://shop.example",
    ) as server:
        status, headers, _ = await server.get("/", **secure)
        assert (status, headers["strict-transport-security"]) == (200, "max-age=31536000")
        status, headers, _ = await server.get("/", **public)
        assert (status, headers["location"]) == (308, "https://avatar.example/")
        assert (await server.get("/api/knowledge-bases", **public, Authorization=f"Bearer {KEY}"))[0] == 403
        assert (await server.get("/", **{**secure, "X-Forwarded-Host": "evil.example"}))[0] == 403
        assert (await server.get("/health/live", X_Forwarded_For="198.51.100.7"))[0] == 200
        shop = {"Origin": "https://shop.example", "Authorization": f"Bearer {KEY}"}
        status, headers, _ = await server.get("/health", **secure, **shop)
        assert (status, headers["access-control-allow-origin"]) == (200, "https://shop.example")
        for origin, status in (("https://evil.example", 403), ("http://avatar.example", 403), ("null", 403)):
            assert (await server.refused("/ws", **{**_no_host(secure), "Origin": origin}))[0] == status
        async with server.client(headers={**_no_host(secure), **page}, init={"token": KEY}) as client:
            await client.until("session.created", PATIENCE_S)
        assert (await server.refused("/ws", X_Forwarded_For="198.51.100.7"))[1]["code"] == "tls_required"


def _no_host(fields: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in fields.items() if name != "Host"}


async def test_limits_are_told_and_counted(data_dir: Path) -> None:
    async with serving(
        data_dir,
        connections_per_address=4,
        handshakes_per_address=1,
        handshakes_burst=2,
        events_per_second=5,
        events_burst=10,
    ) as server:
        async with server.opened() as fast:
            for _ in range(12):
                await fast.send("response.cancel")
            code, _ = await fast.closed()
            assert code == 4429
        async with server.opened("/v1/realtime"):
            status, error = await server.refused("/v1/realtime")
            assert (status, error["code"], error["type"]) == (429, "session_rate_limit", "rate_limit_error")
            held = [await server.raw() for _ in range(3)]
            await trio.sleep(0.2)
            assert (await server.get("/"))[0] == 429
            for stream in held:
                await stream.aclose()
        await trio.sleep(0.2)
        details: Json = msgspec.json.decode((await server.get("/health"))[2])
        assert details["refused"] == {"address_connection_limit": 1, "event_rate_limit": 1, "session_rate_limit": 1}


async def test_who_cuts_its_connection_and_comes_back_has_no_other_burst(data_dir: Path) -> None:
    init: Json = {"type": "session.init", "kb_id": "museum"}
    async with serving(data_dir, events_per_second=1, events_burst=20) as server:
        began, sent, code = trio.current_time(), 0, None
        for _ in range(20):
            if code is not None:
                break
            async with server.client(init=init) as client:
                hello = await client.until("avatar.session", PATIENCE_S)
                claim = {"session_id": hello["session_id"], "token": hello["resume_token"], "last_event_id": ""}
                init = {"type": "session.init", "resume": claim}
                try:
                    for _ in range(8):
                        await client.send("response.cancel")
                        sent += 1
                    with trio.move_on_after(0.2):
                        code, _ = await client.closed()
                except ConnectionClosed:
                    code, _ = await client.closed()
                if code is None:
                    await client.websocket._stream.aclose()
        assert code == 4429
        assert sent <= 20 + (trio.current_time() - began) + 8
        details: Json = msgspec.json.decode((await server.get("/health"))[2])
        assert details["refused"] == {"event_rate_limit": 1}


async def test_speech_counts_by_the_format_that_holds(data_dir: Path) -> None:
    telephone = {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    refused = {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 24_000}}}, "no_such": 1}
    second = base64.b64encode(bytes([255]) * 8_000).decode()
    async with (
        serving(data_dir, audio_per_second=1, audio_burst=5) as server,
        server.opened("/v1/realtime") as client,
    ):
        assert (await client.ask("session.update", "session.updated", session=telephone))["type"] == "session.updated"
        assert (await client.refused("session.update", session=refused))["param"]
        taken = 0
        with contextlib.suppress(ConnectionClosed):
            while taken < 30:
                await client.send("input_audio_buffer.append", audio=second)
                await trio.sleep(0.02)
                taken += 1
        assert (await client.closed())[0] == 4429
        assert taken <= 8


async def test_who_finds_no_room_is_told_before_the_websocket_is_opened_and_counted(data_dir: Path) -> None:
    async with serving(data_dir, max_sessions=1) as server, server.opened() as client:
        async with await server.raw(handshake_bytes("/v1/realtime", server.port)) as stream:
            head = (await to_end(stream)).partition(b"\r\n\r\n")[0]
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 10" in head.lower()
        assert (await server.refused("/nowhere"))[1]["code"] == "unknown_path"
        await client.send_text("x" * 2_000_000)
        assert (await client.closed())[0] == 1009
        await trio.sleep(0.2)
        details: Json = msgspec.json.decode((await server.get("/health"))[2])
        assert details["refused"] == {"overloaded": 1, "too_big": 1, "unknown_path": 1}
