"""What the service or the way to it says when something is wrong, in words that name the setting to look at.

The only place where exceptions of Azure's libraries become the port's. No message holds a key, or what was asked for.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError

from server.knowledge.azure_search.config import (
    EMBEDDING_SETTING,
    ENDPOINT_SETTING,
    FIELDS_SETTING,
    FILTER_FIELD_SETTING,
    INDEX_SETTING,
    KEY_SETTING,
    SEMANTIC_SETTING,
    KnowledgeBaseSource,
)
from server.knowledge.base import KnowledgeUnavailable

# Too many requests, and the service being moved or overloaded: worth another try, as Azure's guidance has it.
BUSY_STATUSES = frozenset((429, 503))
_OTHER_PASSING_STATUSES = frozenset((408, 500, 502, 504))
_QUOTED = re.compile(r"'([^'\r\n]{1,128})'")
# One line of the service's own words, for what nobody foresaw.
_SHOWN_CHARS = 200


def status_of(error: AzureError) -> int | None:
    """The HTTP status that an error stands for; None if no answer came."""
    return error.status_code if isinstance(error, HttpResponseError) else None


def is_passing(error: AzureError) -> bool:
    """Whether the same request may succeed a moment later. All requests of this adapter can be repeated."""
    status = status_of(error)
    return status is None or status in BUSY_STATUSES or status in _OTHER_PASSING_STATUSES


def retry_after_s(error: AzureError, *, now: float) -> float | None:
    """Seconds that the service asks to be left alone, if it does. ``now``: seconds since the epoch."""
    response = error.response if isinstance(error, HttpResponseError) else None
    headers: Mapping[str, str] = getattr(response, "headers", None) or {}
    for name, unit_s in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) * unit_s)
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except ValueError:
            continue
    return None


def unavailable(error: AzureError, *, host: str, source: KnowledgeBaseSource, semantic: str) -> KnowledgeUnavailable:
    """What to tell the operator about ``error``, which ended a request for ``source``."""
    status = status_of(error)
    if status is None:
        reach = "cannot be reached" if isinstance(error, ServiceRequestError) else "did not answer"
        return KnowledgeUnavailable(f"Azure AI Search at {host} {reach}: look at {ENDPOINT_SETTING} and the network")
    if status in (401, 403):
        return KnowledgeUnavailable(
            f"Azure AI Search at {host} refuses access ({status}): look at {KEY_SETTING}, or without a key at the role "
            "of the identity (Search Index Data Reader; to ingest, Search Index Data Contributor and Search Service "
            "Contributor) and at whether the service allows that kind of access"
        )
    if status == 404:
        return KnowledgeUnavailable(
            f"Azure AI Search at {host} has no index {source.index!r}: look at {INDEX_SETTING}, or fill it with "
            f"'liveavatar ingest {source.kb_id} PATH'"
        )
    if status in BUSY_STATUSES:
        return KnowledgeUnavailable(f"Azure AI Search at {host} is too busy to answer ({status})")
    words = said(error)
    if status == 400:
        culprit = _culprit(words, source, semantic)
        if culprit:
            return KnowledgeUnavailable(f"the index {source.index!r} cannot be asked like this: {culprit} ({words})")
    return KnowledgeUnavailable(f"Azure AI Search at {host} answers {status}: {words}")


def said(error: AzureError) -> str:
    """The service's own message, in one line and without its long end."""
    model = error.error if isinstance(error, HttpResponseError) else None
    text = (model.message if model is not None else None) or getattr(error, "reason", None) or "no message"
    return " ".join(str(text).split())[:_SHOWN_CHARS]


def _culprit(words: str, source: KnowledgeBaseSource, semantic: str) -> str:
    """The setting that names what the service's message complains about, or nothing."""
    quoted = set(_QUOTED.findall(words))
    if source.filter_field in quoted:
        return f"look at {FILTER_FIELD_SETTING}={source.filter_field}"
    for role, name in source.fields.named().items():
        if name in quoted:
            hint = f"look at {FIELDS_SETTING}, {role}={name}"
            return f"{hint}, and {EMBEDDING_SETTING}" if role == "vector" else hint
    if semantic and (semantic in quoted or "semantic" in words.lower()):
        return f"look at {SEMANTIC_SETTING}={semantic}"
    if "api-version" in words.lower():
        return f"look at {ENDPOINT_SETTING}: this service does not know the version of the API that is spoken"
    return ""
