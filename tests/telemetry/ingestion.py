"""A stand-in for the ingestion of Application Insights: takes what its exporter sends on loopback, and keeps it."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.telemetry.posts import taking


class Ingestion:
    """What came: the envelopes, as they were told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.url = ""


@contextmanager
def ingesting() -> Iterator[Ingestion]:
    """It, on a loopback port for the length of the block."""
    ingestion = Ingestion()

    def take(_: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        envelopes = json.loads(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
        ingestion.told += envelopes
        taken = len(envelopes)
        return 200, json.dumps({"itemsReceived": taken, "itemsAccepted": taken, "errors": []}).encode()

    with taking(take) as url:
        ingestion.url = f"{url}/"
        yield ingestion
