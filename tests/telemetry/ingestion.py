"""A stand-in for the ingestion of Application Insights: takes what its exporter sends on loopback, and keeps it."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Ingestion:
    """What came: the envelopes, as they were told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.url = ""


@contextmanager
def ingesting() -> Iterator[Ingestion]:
    """It, on a loopback port for the length of the block."""
    ingestion = Ingestion()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            envelopes = json.loads(body)
            ingestion.told += envelopes
            taken = len(envelopes)
            answer = json.dumps({"itemsReceived": taken, "itemsAccepted": taken, "errors": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    ingestion.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield ingestion
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
