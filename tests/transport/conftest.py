"""Certificates of an authority that exists for one test run."""

import os
import ssl
from collections.abc import Callable
from typing import NamedTuple

import pytest
import trustme


class Contexts(NamedTuple):
    """TLS contexts of a server called `localhost`, of a client that trusts it, and of one that does not."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    stranger: ssl.SSLContext


@pytest.fixture(scope="session")
def tls() -> Contexts:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Contexts(server, client, ssl.create_default_context())


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def open_descriptors() -> Callable[[], int]:
    """A count of this process's open file descriptors."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to count descriptors")
    return count_descriptors
