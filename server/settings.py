"""One table of settings: name, type, default, unit and help; read from the environment and a ``.env`` file.

Names of the services are their own (``AZURE_OPENAI_ENDPOINT``, ``PORT``); everything of ours is ``LIVEAVATAR_*``, and
an unknown name of that kind is an error. It decides nothing beyond what the settings say together.
"""

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from protocol.prices.book import PriceBook, PriceRow, Use
from server.azure.references import read_secret
from server.deployments import DeploymentSpec, read_deployments, variables_named
from server.edge.authority import read_hosts, read_origins
from server.edge.proxies import parse_networks
from server.prices.files import open_book, read_prices
from server.secret import Secret
from server.security.key_file import KEYS_FILE

OWN_PREFIX = "LIVEAVATAR_"
# Other programs have settings of this family too, so only names that are nearly one of ours are taken for mistakes.
_AZURE_PREFIXES = ("AZURE_OPENAI_", "AZURE_SEARCH_")
# One or two letters off in a name of this length.
_NEARLY = 0.85
# Long enough that guessing over the network is hopeless: 16 characters of base64 are 96 bits.
MIN_API_KEY_CHARS = 16
# What a header field can carry as a credential; keys are pasted with something that is not seen, now and then.
_SENDABLE = re.compile(r"[!-~]*")
# Half a minute of speech.
GUARD_SENTENCE_MAX_CHARS = 500
_KEYS_IN_HEADERS = frozenset({"AZURE_SEARCH_API_KEY", "LIVEAVATAR_SEARCH_EMBEDDING_API_KEY"})
# A budget beyond this is a slip.
_MOST_USD = 1_000_000
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})

Upstream = Literal["embedded", "azure", "openai"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. ``unit`` is empty for what has none; ``minimum`` bounds numbers."""

    attribute: str
    name: str
    type: str
    default: Any
    unit: str
    help: str
    minimum: float | None
    maximum: float | None


def _setting(
    name: str, default: Any, help_: str, *, unit: str = "", minimum: float | None = None, maximum: float | None = None
) -> Any:
    metadata = {"name": name, "help": help_, "unit": unit, "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


class SettingsError(Exception):
    """The settings cannot be used; ``problems`` names each one that is wrong, and why."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the server, with its default."""

    # Where it listens
    host: str = _setting(
        "LIVEAVATAR_HOST", "127.0.0.1", "Address to listen on; anything but loopback needs an API key."
    )
    port: int = _setting("PORT", 8000, "Port to listen on; 0 takes a free one.", minimum=0, maximum=65535)
    data_dir: Path = _setting("LIVEAVATAR_DATA_DIR", Path("data"), "Folder for indexes and whatever else is kept.")
    api_key: Secret | None = _setting(
        "LIVEAVATAR_API_KEY",
        None,
        "Key with every right; `liveavatar keys` makes others. Without any credential only loopback is served.",
    )
    open_access: bool = _setting(
        "LIVEAVATAR_OPEN", False, "Let anybody in without a credential, from anywhere. Warned about at every start."
    )
    url_credentials: bool = _setting(
        "LIVEAVATAR_URL_CREDENTIALS",
        False,
        "Take tickets and client secrets as ?ticket= or ?token= too, where clients can send them in no other way.",
    )
    jwt_issuer: str | None = _setting(
        "LIVEAVATAR_JWT_ISSUER",
        None,
        "Issuer whose access tokens let in, as their iss says it: https://login.microsoftonline.com/TENANT/v2.0.",
    )
    jwt_audience: str | None = _setting(
        "LIVEAVATAR_JWT_AUDIENCE", None, "What their aud must be: the application's id; several with commas between."
    )
    jwt_jwks_url: str | None = _setting(
        "LIVEAVATAR_JWT_JWKS_URL", None, "Where the issuer's keys are; without it its openid-configuration is asked."
    )
    jwt_kb_claim: str | None = _setting(
        "LIVEAVATAR_JWT_KB_CLAIM",
        None,
        "Claim that lists the knowledge bases a token is for; without this setting tokens are for all.",
    )
    # Encryption, and who may ask for what
    tls_cert: Path | None = _setting(
        "LIVEAVATAR_TLS_CERT", None, "PEM file of the certificate chain; https and wss are spoken then. Read on change."
    )
    tls_key: Path | None = _setting(
        "LIVEAVATAR_TLS_KEY", None, "PEM file of the certificate's key, without a password."
    )
    allow_plain: bool = _setting(
        "LIVEAVATAR_ALLOW_PLAIN",
        False,
        "Serve without encryption beyond this machine, where whoever listens reads credentials and speech.",
    )
    trusted_proxies: str | None = _setting(
        "LIVEAVATAR_TRUSTED_PROXIES",
        None,
        "Addresses and ranges of proxies that end TLS, such as 10.0.0.0/8; only their X-Forwarded-* fields count.",
    )
    trusted_hops: int = _setting(
        "LIVEAVATAR_TRUSTED_HOPS", 1, "Such proxies that a request comes through, one behind the other.", minimum=1
    )
    allowed_hosts: str | None = _setting(
        "LIVEAVATAR_ALLOWED_HOSTS",
        None,
        "Names that the server is reached by, such as avatar.example.com; loopback and its own address need no entry.",
    )
    allowed_origins: str | None = _setting(
        "LIVEAVATAR_ALLOWED_ORIGINS",
        None,
        "Origins of pages elsewhere that may connect, such as https://shop.example.com; its own pages always may.",
    )

    # Records
    database_url: Secret | None = _setting(
        "DATABASE_URL",
        None,
        "Database of the records: postgresql://user:password@host/database; without it a file in the data folder.",
    )
    records_keep: int = _setting(
        "LIVEAVATAR_RECORDS_KEEP",
        0,
        "Age at which sessions are erased; 0 keeps them for ever.",
        unit="days",
        minimum=0,
    )
    redact: bool = _setting(
        "LIVEAVATAR_REDACT",
        True,
        "Take addresses, telephone numbers, card and account numbers out of what was said before it is recorded.",
    )
    redact_hook: str | None = _setting(
        "LIVEAVATAR_REDACT_HOOK",
        None,
        "Function, as module:function, that gets each text after that and gives what is kept of it.",
    )
    unrecorded: bool = _setting(
        "LIVEAVATAR_UNRECORDED",
        False,
        "Let sessions begin and go on also when they cannot be recorded; else new ones get 503.",
    )
    journal_max: int = _setting(
        "LIVEAVATAR_JOURNAL_MAX",
        512,
        "Records that wait on disk for the database, at most; then no new session begins.",
        unit="MiB",
        minimum=8,
    )
    record_audio: bool = _setting("LIVEAVATAR_RECORD_AUDIO", False, "Record the sound of both sides as WAV files.")
    record_audio_max: int = _setting(
        "LIVEAVATAR_RECORD_AUDIO_MAX",
        10_240,
        "Recordings of sound, all together; then none is made.",
        unit="MiB",
        minimum=1,
    )

    # Limits of strangers and of those who were let in
    max_connections: int = _setting(
        "LIVEAVATAR_MAX_CONNECTIONS", 1000, "Connections open at once, of any kind; further ones get 503.", minimum=1
    )
    max_sessions: int = _setting(
        "LIVEAVATAR_MAX_SESSIONS", 200, "Sessions at once; further ones are told to try later.", minimum=1
    )
    shed_lag: float = _setting(
        "LIVEAVATAR_SHED_LAG",
        0.25,
        "An event loop that is later than this, for a while, sends new WebSockets away with 503; 0: never.",
        unit="s",
        minimum=0,
    )
    memory_budget: int = _setting(
        "LIVEAVATAR_MEMORY_BUDGET",
        0,
        "At 90 % of this much memory new WebSockets are sent away with 503; 0: the container's limit, if it has one.",
        unit="MiB",
        minimum=0,
    )
    connections_per_address: int = _setting(
        "LIVEAVATAR_CONNECTIONS_PER_ADDRESS",
        64,
        "Connections at once from one address (IPv6: one /64); further ones get 429.",
        minimum=1,
    )
    arrivals_per_address: int = _setting(
        "LIVEAVATAR_CONNECTIONS_PER_SECOND",
        50,
        "Connections a second from one address, those that resume a session and page requests among them.",
        minimum=1,
    )
    arrivals_burst: int = _setting(
        "LIVEAVATAR_CONNECTIONS_BURST", 250, "So many at once, by an address that was quiet before.", minimum=1
    )
    handshakes_per_address: int = _setting(
        "LIVEAVATAR_HANDSHAKES_PER_SECOND",
        10,
        "New sessions a second from one address; those that resume one are not counted.",
        minimum=1,
    )
    handshakes_burst: int = _setting(
        "LIVEAVATAR_HANDSHAKES_BURST", 50, "So many at once, by an address that was quiet before.", minimum=1
    )
    sessions_per_principal: int = _setting(
        "LIVEAVATAR_SESSIONS_PER_PRINCIPAL",
        0,
        "Sessions at once of one credential and those minted with it; 0 leaves it to LIVEAVATAR_MAX_SESSIONS.",
        minimum=0,
    )
    minutes_per_day: int = _setting(
        "LIVEAVATAR_MINUTES_PER_DAY",
        0,
        "Minutes of sessions a day (UTC) of one credential and those minted with it; 0 is without limit.",
        minimum=0,
    )
    budget_session: Decimal = _setting(
        "LIVEAVATAR_BUDGET_SESSION",
        Decimal(0),
        "What one session may spend at the Realtime service; 0 is without a budget.",
        unit="USD",
        minimum=0,
        maximum=_MOST_USD,
    )
    budget_principal_day: Decimal = _setting(
        "LIVEAVATAR_BUDGET_PRINCIPAL_DAY",
        Decimal(0),
        "What one credential and those minted with it may spend a day (UTC); 0 is without a budget.",
        unit="USD",
        minimum=0,
        maximum=_MOST_USD,
    )
    budget_day: Decimal = _setting(
        "LIVEAVATAR_BUDGET_DAY",
        Decimal(0),
        "What all sessions together may spend a day (UTC); 0 is without a budget.",
        unit="USD",
        minimum=0,
        maximum=_MOST_USD,
    )
    events_per_second: int = _setting(
        "LIVEAVATAR_EVENTS_PER_SECOND",
        50,
        "Events a second from one session's client, speech not counted; one beyond 64 KiB counts as several.",
        minimum=1,
    )
    events_burst: int = _setting(
        "LIVEAVATAR_EVENTS_BURST",
        400,
        "So many at once, by a client that tells a long history for instance.",
        minimum=1,
    )
    audio_per_second: float = _setting(
        "LIVEAVATAR_AUDIO_PER_SECOND",
        2.0,
        "Speech a second from one session's client; 1 is as fast as one talks.",
        unit="s",
        minimum=1,
    )
    audio_burst: float = _setting(
        "LIVEAVATAR_AUDIO_BURST",
        360.0,
        "So much speech at once; the services take 327 s in one event.",
        unit="s",
        minimum=1,
    )

    # The Realtime service
    upstream: Upstream | None = _setting(
        "LIVEAVATAR_UPSTREAM", None, "embedded, azure or openai; needed only where the other settings do not tell."
    )
    azure_endpoint: str | None = _setting(
        "AZURE_OPENAI_ENDPOINT", None, "Azure OpenAI resource, such as https://NAME.openai.azure.com."
    )
    azure_api_key: Secret | None = _setting(
        "AZURE_OPENAI_API_KEY", None, "Key of the Azure OpenAI resource; without one the server's identity is shown."
    )
    azure_deployment: str | None = _setting("AZURE_OPENAI_DEPLOYMENT", None, "Name of the realtime deployment.")
    azure_auth: Literal["auto", "managed", "workload", "secret", "cli"] = _setting(
        "LIVEAVATAR_AZURE_AUTH",
        "auto",
        "Which identity is shown to Azure: managed, workload, secret (a client secret), cli (az login), or auto.",
    )
    azure_scope: str = _setting(
        "LIVEAVATAR_AZURE_SCOPE",
        "https://cognitiveservices.azure.com/.default",
        "What its tokens for Azure OpenAI are for; newer resources want https://ai.azure.com/.default.",
    )
    azure_tenant_id: str | None = _setting("AZURE_TENANT_ID", None, "Entra tenant of the identity.")
    azure_client_id: str | None = _setting(
        "AZURE_CLIENT_ID", None, "Application, or user-assigned managed identity, that is meant."
    )
    azure_client_secret: Secret | None = _setting("AZURE_CLIENT_SECRET", None, "Client secret of the application.")
    azure_federated_token_file: str | None = _setting(
        "AZURE_FEDERATED_TOKEN_FILE", None, "File with the workload's token; Kubernetes sets it."
    )
    azure_authority_host: str | None = _setting(
        "AZURE_AUTHORITY_HOST", None, "Where Entra is; https://login.microsoftonline.com unless in another cloud."
    )
    key_vault_interval: float = _setting(
        "LIVEAVATAR_KEY_VAULT_INTERVAL",
        300.0,
        "Secrets that are Key Vault references are looked up anew this often.",
        unit="s",
        minimum=1,
    )
    deployments_file: Path | None = _setting(
        "LIVEAVATAR_DEPLOYMENTS", None, "TOML file that lists several deployments, in place of the single one here."
    )
    prices_file: Path | None = _setting(
        "LIVEAVATAR_PRICES", None, "TOML file with prices of your own, before those of the list that comes along."
    )
    openai_api_key: Secret | None = _setting("OPENAI_API_KEY", None, "OpenAI API key.")
    openai_base_url: str = _setting("OPENAI_BASE_URL", "https://api.openai.com/v1", "Base URL of the OpenAI API.")
    model: str = _setting("LIVEAVATAR_MODEL", "gpt-realtime", "Model asked for at OpenAI and the embedded simulator.")
    transcription_model: str | None = _setting(
        "LIVEAVATAR_TRANSCRIPTION_MODEL",
        None,
        "Model (on Azure: deployment) that transcribes the user's speech; none asks for no transcripts.",
    )
    connect_attempts: int = _setting(
        "LIVEAVATAR_CONNECT_ATTEMPTS",
        4,
        "Tries to connect to the Realtime service before a session gives up.",
        minimum=1,
    )
    connect_timeout: float = _setting(
        "LIVEAVATAR_CONNECT_TIMEOUT", 10.0, "Time for all tries together.", unit="s", minimum=0.1
    )

    breaker_failures: int = _setting(
        "LIVEAVATAR_BREAKER_FAILURES",
        5,
        "Failures in a row after which the Realtime service is left alone for a while.",
        minimum=1,
    )
    breaker_cool_down: float = _setting(
        "LIVEAVATAR_BREAKER_COOL_DOWN",
        0.5,
        "How long it is left alone at first; doubled at each failure.",
        unit="s",
        minimum=0.05,
    )
    breaker_max_cool_down: float = _setting(
        "LIVEAVATAR_BREAKER_MAX_COOL_DOWN",
        1.0,
        "How long at most, unless the service asks for more.",
        unit="s",
        minimum=0.05,
    )
    reconnect_timeout: float = _setting(
        "LIVEAVATAR_RECONNECT_TIMEOUT",
        30.0,
        "Time to find another connection to the Realtime service when one is lost; then the session ends.",
        unit="s",
        minimum=1,
    )
    rollover_margin: float = _setting(
        "LIVEAVATAR_ROLLOVER_MARGIN",
        120.0,
        "Before a connection to the Realtime service expires, its successor is opened this long ahead.",
        unit="s",
        minimum=1,
    )
    connection_max_age: float = _setting(
        "LIVEAVATAR_CONNECTION_MAX_AGE",
        1500.0,
        "A connection to the Realtime service is replaced at this age, whatever it allows itself; 0 is never.",
        unit="s",
        minimum=0,
    )
    response_timeout: float = _setting(
        "LIVEAVATAR_RESPONSE_TIMEOUT",
        10.0,
        "An answer must begin within this time after speech has ended or it was asked for; "
        "else it is asked for, then the connection is replaced.",
        unit="s",
        minimum=1,
    )
    stall_timeout: float = _setting(
        "LIVEAVATAR_STALL_TIMEOUT",
        30.0,
        "A service that is silent this long within an answer is taken to be stuck, and the connection is replaced.",
        unit="s",
        minimum=1,
    )
    max_failures: int = _setting(
        "LIVEAVATAR_MAX_FAILURES",
        3,
        "Server errors in a row after which the connection to the Realtime service is replaced.",
        minimum=1,
    )

    # Read from the files, not rows of the table.
    listed_deployments: tuple[DeploymentSpec, ...] = ()
    own_prices: tuple[PriceRow, ...] = ()

    # The life of a session
    resume_window: float = _setting(
        "LIVEAVATAR_RESUME_WINDOW",
        120.0,
        "A session waits this long for an avatar that was cut off; 0 ends it with its connection.",
        unit="s",
        minimum=0,
    )
    resume_audio: int = _setting(
        "LIVEAVATAR_RESUME_AUDIO",
        4096,
        "Of a session's sent speech so much is kept for an avatar that comes back.",
        unit="KiB",
        minimum=0,
    )
    resume_events: int = _setting(
        "LIVEAVATAR_RESUME_EVENTS",
        1024,
        "Of a session's other sent events so much is kept for an avatar that comes back.",
        unit="KiB",
        minimum=16,
    )
    idle_prompt: float = _setting(
        "LIVEAVATAR_IDLE_PROMPT",
        300.0,
        "After this long without a word the avatar asks whether somebody is there; 0 is never. Avatars on /ws only.",
        unit="s",
        minimum=0,
    )
    idle_end: float = _setting(
        "LIVEAVATAR_IDLE_END",
        60.0,
        "Without an answer to that question the session ends after this long, with a goodbye.",
        unit="s",
        minimum=1,
    )
    session_max: float = _setting(
        "LIVEAVATAR_SESSION_MAX",
        14400.0,
        "A session ends after this long, with a goodbye; 0 is never.",
        unit="s",
        minimum=0,
    )

    # Knowledge and tools
    default_kb: str = _setting("LIVEAVATAR_DEFAULT_KB", "museum", "Knowledge base of a session that asks for none.")
    search_passages: int = _setting(
        "LIVEAVATAR_SEARCH_PASSAGES", 5, "Passages that a search gives to the model.", minimum=1, maximum=20
    )
    search_timeout: float = _setting(
        "LIVEAVATAR_SEARCH_TIMEOUT",
        4.0,
        "A search that takes longer is given up, and the avatar says that it cannot look it up.",
        unit="s",
        minimum=0.1,
    )
    search_endpoint: str | None = _setting(
        "AZURE_SEARCH_ENDPOINT",
        None,
        "Azure AI Search service; the knowledge bases are there instead of on this machine.",
    )
    search_api_key: Secret | None = _setting(
        "AZURE_SEARCH_API_KEY", None, "Key of the search service; without one the server's identity is shown."
    )
    search_index: str | None = _setting(
        "AZURE_SEARCH_INDEX", None, "Index with the passages, where LIVEAVATAR_SEARCH_SOURCES names no other."
    )
    search_sources: Path | None = _setting(
        "LIVEAVATAR_SEARCH_SOURCES",
        None,
        "TOML file of several knowledge bases in Azure AI Search; without it LIVEAVATAR_DEFAULT_KB is the only one.",
    )
    search_fields: str | None = _setting(
        "LIVEAVATAR_SEARCH_FIELDS", None, "What the index's fields are called, such as key=chunk_id, content=chunk."
    )
    search_filter_field: str = _setting(
        "LIVEAVATAR_SEARCH_FILTER_FIELD",
        "kb_id",
        "Field that says which knowledge base a passage is of; none: the whole index is one.",
    )
    search_mode: Literal["keyword", "vector", "hybrid"] = _setting(
        "LIVEAVATAR_SEARCH_MODE", "keyword", "What passages are found by: keyword, vector or hybrid."
    )
    search_semantic: str | None = _setting(
        "LIVEAVATAR_SEARCH_SEMANTIC", None, "Semantic configuration of the index that results are ranked with."
    )
    search_analyzer: str | None = _setting(
        "LIVEAVATAR_SEARCH_ANALYZER", None, "Analyzer of an index that is made, such as de.microsoft; else for English."
    )
    search_cache_ttl: float = _setting(
        "LIVEAVATAR_SEARCH_CACHE_TTL", 60.0, "Answers of Azure AI Search are kept this long.", unit="s", minimum=0
    )
    search_connections: int = _setting(
        "LIVEAVATAR_SEARCH_CONNECTIONS", 20, "Connections to Azure AI Search at once; further searches wait.", minimum=1
    )
    embedding_endpoint: str | None = _setting(
        "LIVEAVATAR_SEARCH_EMBEDDING_ENDPOINT", None, "Azure OpenAI resource whose model makes vectors of passages."
    )
    embedding_api_key: Secret | None = _setting(
        "LIVEAVATAR_SEARCH_EMBEDDING_API_KEY", None, "Its key; without one the server's identity is shown."
    )
    embedding_deployment: str | None = _setting(
        "LIVEAVATAR_SEARCH_EMBEDDING_DEPLOYMENT", None, "Deployment of the embedding model."
    )
    embedding_model: str | None = _setting(
        "LIVEAVATAR_SEARCH_EMBEDDING_MODEL", None, "The model's own name, where the deployment is called otherwise."
    )
    embedding_dimensions: int | None = _setting(
        "LIVEAVATAR_SEARCH_EMBEDDING_DIMENSIONS", None, "Numbers in a vector of that model.", minimum=1
    )
    # What people say, looked at before it is answered
    guard_rules: Path | None = _setting(
        "LIVEAVATAR_GUARD_RULES", None, "File with phrases and patterns, one a line; who says one is not answered."
    )
    guard_hook: str | None = _setting(
        "LIVEAVATAR_GUARD_HOOK",
        None,
        "Function, as module:function, that gets what was said and gives a reason not to answer it, or None.",
    )
    guard_sentence: str = _setting(
        "LIVEAVATAR_GUARD_SENTENCE", "I am sorry, I cannot help with that.", "What the avatar says instead."
    )
    guard_fail: Literal["closed", "open"] = _setting(
        "LIVEAVATAR_GUARD_FAIL",
        "closed",
        "What was said and cannot be checked is not answered (closed), or is (open).",
    )
    guard_timeout: float = _setting(
        "LIVEAVATAR_GUARD_TIMEOUT", 2.0, "A look that takes longer has failed.", unit="s", minimum=0.05, maximum=30
    )
    tool_timeout: float = _setting(
        "LIVEAVATAR_TOOL_TIMEOUT",
        10.0,
        "A tool that takes longer is reported to the model as failed.",
        unit="s",
        minimum=0.1,
    )
    tools_at_once: int = _setting(
        "LIVEAVATAR_TOOLS_AT_ONCE", 4, "Tool calls of one session that run side by side; more wait.", minimum=1
    )

    # Waits and bounds of a connection
    head_timeout: float = _setting(
        "LIVEAVATAR_HEAD_TIMEOUT", 4.0, "Time for a request's head to arrive.", unit="s", minimum=0.1, maximum=60
    )
    init_timeout: float = _setting(
        "LIVEAVATAR_INIT_TIMEOUT", 8.0, "Time for the first frame on /ws to arrive.", unit="s", minimum=0.1, maximum=60
    )
    ping_interval: float = _setting(
        "LIVEAVATAR_PING_INTERVAL", 20.0, "Quiet time after which a connection is pinged.", unit="s", minimum=1
    )
    pong_timeout: float = _setting(
        "LIVEAVATAR_PONG_TIMEOUT",
        20.0,
        "A connection that stays mute this long after a ping is lost.",
        unit="s",
        minimum=1,
    )
    send_timeout: float = _setting(
        "LIVEAVATAR_SEND_TIMEOUT",
        10.0,
        "A client that takes no byte for this long is a slow consumer.",
        unit="s",
        minimum=1,
    )
    client_audio_backlog: float = _setting(
        "LIVEAVATAR_CLIENT_AUDIO_BACKLOG",
        120.0,
        "Speech that may wait for a client before it is a slow consumer.",
        unit="s",
        minimum=1,
    )
    upstream_audio_backlog: float = _setting(
        "LIVEAVATAR_UPSTREAM_AUDIO_BACKLOG",
        60.0,
        "The user's speech that may wait for the Realtime service; older sound is dropped and the client told.",
        unit="s",
        minimum=0.1,
    )
    close_timeout: float = _setting(
        "LIVEAVATAR_CLOSE_TIMEOUT", 5.0, "Time for a closing handshake.", unit="s", minimum=0.1
    )
    shutdown_grace: float = _setting(
        "LIVEAVATAR_SHUTDOWN_GRACE",
        5.0,
        "When the server stops, sentences that are being spoken may end within this time.",
        unit="s",
        minimum=0,
    )

    # What it tells
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "LIVEAVATAR_LOG_LEVEL", "info", "debug, info, warning or error. Only debug shows what was said."
    )
    log_format: Literal["auto", "json", "console"] = _setting(
        "LIVEAVATAR_LOG_FORMAT", "auto", "json, console, or auto: console on a terminal, else json."
    )
    otlp_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "Collector that traces, metrics and logs go to by OTLP over HTTP, such as http://localhost:4318. All other "
        "OTEL_* variables but those below are read from the environment only, as OpenTelemetry describes them.",
    )
    otlp_headers: Secret | None = _setting(
        "OTEL_EXPORTER_OTLP_HEADERS", None, "What every request to it carries: NAME=VALUE, several with commas."
    )
    otel_service_name: str = _setting("OTEL_SERVICE_NAME", "liveavatar", "What this server is called in telemetry.")
    otel_disabled: bool = _setting("OTEL_SDK_DISABLED", False, "Export nothing, whatever else is set.")
    azure_monitor: Secret | None = _setting(
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        None,
        "Application Insights that traces, metrics and logs go to; needs the extra `monitor`.",
    )

    @property
    def deployments(self) -> tuple[DeploymentSpec, ...]:
        """The deployments that sessions may be served by; none where the embedded simulator answers."""
        match self.chosen_upstream:
            case "azure" | "openai" if self.deployments_file is not None:
                return self.listed_deployments
            case "azure":
                return (
                    DeploymentSpec(
                        name="azure",
                        service="azure",
                        endpoint=self.azure_endpoint or "",
                        deployment=self.azure_deployment or "",
                        key=self.azure_api_key,
                        key_name="AZURE_OPENAI_API_KEY",
                        deployment_name="AZURE_OPENAI_DEPLOYMENT",
                        endpoint_name="AZURE_OPENAI_ENDPOINT",
                    ),
                )
            case "openai":
                return (
                    DeploymentSpec(
                        name="openai",
                        service="openai",
                        endpoint=self.openai_base_url,
                        deployment=self.model,
                        key=self.openai_api_key,
                        key_name="OPENAI_API_KEY",
                        deployment_name="LIVEAVATAR_MODEL",
                        endpoint_name="OPENAI_BASE_URL",
                    ),
                )
            case _:
                return ()

    def price_book(self) -> PriceBook:
        """What models cost: the list that comes along, and the operator's prices before it."""
        return open_book(self.own_prices, self.prices_file.name if self.prices_file is not None else "")

    def _price_problems(self) -> list[str]:
        """Deployments whose model has no price: there is no other reason to say which it is."""
        named: list[tuple[str, str, Use]] = []
        for spec in self.deployments:
            where = f"{self.deployments_file}, deployment {spec.name}"
            if spec.model is not None and spec.rates is None:
                named.append((f"{where}: model {spec.model}", spec.model, "conversation"))
            if spec.transcription_priced_as is not None and spec.transcription_rates is None:
                what = f"{where}: transcription_priced_as {spec.transcription_priced_as}"
                named.append((what, spec.transcription_priced_as, "transcription"))
        if not named:
            return []
        book = self.price_book()
        return [
            f"{what}: there is no price for it. Add it to LIVEAVATAR_PRICES, or leave it out."
            for what, model, use in named
            if not book.knows(model, use)
        ]

    @property
    def chosen_upstream(self) -> Upstream:
        """The Realtime service that these settings mean; of listed deployments, that of the first."""
        if self.upstream is not None:
            return self.upstream
        if self.listed_deployments:
            return self.listed_deployments[0].service
        if self.azure_endpoint is not None:
            return "azure"
        return "openai" if self.openai_api_key is not None else "embedded"

    @property
    def is_guarded(self) -> bool:
        """Whether what people say is looked at before it is answered."""
        return self.guard_rules is not None or self.guard_hook is not None

    def _guard_problems(self) -> list[str]:
        if not self.is_guarded:
            return []
        found = []
        if self.transcription_model is None and not any(spec.transcription_model for spec in self.deployments):
            found.append(
                "LIVEAVATAR_GUARD_RULES and LIVEAVATAR_GUARD_HOOK look at transcripts, and there are none: "
                "set LIVEAVATAR_TRANSCRIPTION_MODEL."
            )
        if len(self.guard_sentence) > GUARD_SENTENCE_MAX_CHARS or not self.guard_sentence.isprintable():
            found.append(
                f"LIVEAVATAR_GUARD_SENTENCE must be one line of at most {GUARD_SENTENCE_MAX_CHARS} characters."
            )
        return found

    @property
    def is_loopback(self) -> bool:
        """Whether the server listens on this machine only."""
        return self.host in LOOPBACK_HOSTS

    @property
    def requires_tls(self) -> bool:
        """Whether requests without encryption are refused; those of this machine itself never are."""
        return not self.allow_plain and (self.tls_cert is not None or self.trusted_proxies is not None)

    def encryption_problems(self) -> list[str]:
        """What cannot work of the settings on TLS, proxies, hosts and origins."""
        found = []
        if (self.tls_cert is None) != (self.tls_key is None):
            one, other = ("LIVEAVATAR_TLS_CERT", "LIVEAVATAR_TLS_KEY")[:: 1 if self.tls_cert else -1]
            found.append(f"{one} without {other}: set both.")
        lists: tuple[tuple[str, str | None, Callable[[str], object]], ...] = (
            ("LIVEAVATAR_TRUSTED_PROXIES", self.trusted_proxies, parse_networks),
            ("LIVEAVATAR_ALLOWED_HOSTS", self.allowed_hosts, read_hosts),
            ("LIVEAVATAR_ALLOWED_ORIGINS", self.allowed_origins, read_origins),
        )
        for name, text, read in lists:
            try:
                read(text or "")
            except ValueError as error:
                found.append(f"{name}: {error}")
        is_encrypted = self.tls_cert is not None or self.trusted_proxies is not None
        if not self.is_loopback and not is_encrypted and not self.allow_plain:
            found.append(
                f"LIVEAVATAR_HOST={self.host} is not loopback, and nothing is encrypted. Set LIVEAVATAR_TLS_CERT and "
                "LIVEAVATAR_TLS_KEY, or LIVEAVATAR_TRUSTED_PROXIES if a proxy ends TLS, or LIVEAVATAR_ALLOW_PLAIN=yes."
            )
        return found

    def problems(self) -> list[str]:
        """What the settings say together that cannot work; each entry names the setting."""
        found = self.encryption_problems() + self._guard_problems()
        found += self._credential_problems()
        secrets = {row.name: getattr(self, row.attribute) for row in TABLE if row.type == "secret"}
        secrets |= {spec.key_name: spec.key for spec in self.deployments}
        if self.azure_client_secret is not None and self.azure_client_secret.reference is not None:
            found.append("AZURE_CLIENT_SECRET cannot be kept in a Key Vault: it is what vaults are asked with.")
        for name, secret in secrets.items():
            if (
                secret is not None
                and secret.is_resolved
                and (problem := self.problem_with_secret(name, secret.reveal()))
            ):
                found.append(f"{name} {problem}")
        found += self._search_problems()
        if self.otlp_endpoint is not None and not _is_web_address(self.otlp_endpoint):
            found.append(
                "OTEL_EXPORTER_OTLP_ENDPOINT must be an http:// or https:// address without a name or key in it."
            )
        if self.deployments_file is not None:
            if self.upstream in ("azure", "openai"):
                found.append(
                    f"LIVEAVATAR_UPSTREAM={self.upstream} and LIVEAVATAR_DEPLOYMENTS are both set: "
                    "the list says which service each deployment is of."
                )
            return found + self._deployment_problems() + self._price_problems()
        if self.upstream is None and self.azure_endpoint is not None and self.openai_api_key is not None:
            found.append(
                "AZURE_OPENAI_ENDPOINT and OPENAI_API_KEY are both set: "
                "set LIVEAVATAR_UPSTREAM to azure, openai or embedded."
            )
        half_set = {"AZURE_OPENAI_API_KEY": self.azure_api_key, "AZURE_OPENAI_DEPLOYMENT": self.azure_deployment}
        if self.upstream is None and self.azure_endpoint is None and any(half_set.values()):
            names = " and ".join(name for name, value in half_set.items() if value)
            found.append(
                f"{names} without AZURE_OPENAI_ENDPOINT: set it too, or say LIVEAVATAR_UPSTREAM=embedded or openai."
            )
        found += self._upstream_problems()
        return found

    def _credential_problems(self) -> list[str]:
        found = []
        has_credential = self.api_key is not None or self.jwt_issuer is not None
        if not (self.is_loopback or has_credential or self.open_access or (self.data_dir / KEYS_FILE).is_file()):
            found.append(
                f"LIVEAVATAR_API_KEY is not set, and LIVEAVATAR_HOST={self.host} is not loopback: "
                "anyone could connect. Set a key, make one with `liveavatar keys create NAME`, or listen on 127.0.0.1."
            )
        if self.jwt_issuer is not None:
            urls = {"LIVEAVATAR_JWT_ISSUER": self.jwt_issuer, "LIVEAVATAR_JWT_JWKS_URL": self.jwt_jwks_url}
            found += [
                f"{name} must be an https:// address (http:// on loopback only)."
                for name, url in urls.items()
                if url is not None and not is_safe_for_keys(url)
            ]
            if not (self.jwt_audience or "").replace(",", " ").split():
                found.append("LIVEAVATAR_JWT_AUDIENCE is not set: tokens that were made for others would let in.")
            return found
        without = {
            "LIVEAVATAR_JWT_AUDIENCE": self.jwt_audience,
            "LIVEAVATAR_JWT_JWKS_URL": self.jwt_jwks_url,
            "LIVEAVATAR_JWT_KB_CLAIM": self.jwt_kb_claim,
        }
        return found + [
            f"{name} without LIVEAVATAR_JWT_ISSUER: set it too." for name, given in without.items() if given
        ]

    def problem_with_secret(self, name: str, value: str) -> str | None:
        """What is wrong with a secret's value, in words that go behind the setting's name; None if it will do."""
        if name == "LIVEAVATAR_API_KEY" and len(value) < MIN_API_KEY_CHARS:
            return f"is shorter than {MIN_API_KEY_CHARS} characters."
        in_headers = {spec.key_name for spec in self.deployments} | _KEYS_IN_HEADERS
        if name in in_headers and not _SENDABLE.fullmatch(value):
            return "holds a blank, a line break or a character beyond ASCII."
        return None

    def _search_problems(self) -> list[str]:
        found = []
        if self.search_endpoint is None:
            half_set: dict[str, object] = {
                "AZURE_SEARCH_API_KEY": self.search_api_key,
                "AZURE_SEARCH_INDEX": self.search_index,
                "LIVEAVATAR_SEARCH_SOURCES": self.search_sources,
            }
            found += [f"{name} without AZURE_SEARCH_ENDPOINT: set it too." for name, value in half_set.items() if value]
        places = {
            "AZURE_SEARCH_ENDPOINT": self.search_endpoint,
            "LIVEAVATAR_SEARCH_EMBEDDING_ENDPOINT": self.embedding_endpoint,
        }
        # Also on loopback: Azure's libraries send no token in the clear.
        found += [
            f"{name} must be an https:// address."
            for name, value in places.items()
            if value and not (value.startswith("https://") and is_safe_for_keys(value))
        ]
        model = {
            "LIVEAVATAR_SEARCH_EMBEDDING_ENDPOINT": self.embedding_endpoint,
            "LIVEAVATAR_SEARCH_EMBEDDING_DEPLOYMENT": self.embedding_deployment,
            "LIVEAVATAR_SEARCH_EMBEDDING_DIMENSIONS": self.embedding_dimensions,
        }
        missing = [name for name, value in model.items() if not value] if any(model.values()) else []
        return found + [f"{name} is not set, and an embedding model needs it." for name in missing]

    def _upstream_problems(self) -> list[str]:
        needed: dict[str, object] = {}
        if self.chosen_upstream == "azure":
            needed = {"AZURE_OPENAI_ENDPOINT": self.azure_endpoint, "AZURE_OPENAI_DEPLOYMENT": self.azure_deployment}
        if self.chosen_upstream == "openai":
            needed = {"OPENAI_API_KEY": self.openai_api_key}
        name = {"azure": "Azure", "openai": "OpenAI"}.get(self.chosen_upstream)
        missing = [
            f"{what} is not set, and the {name} upstream needs it." for what, value in needed.items() if not value
        ]
        return missing or self._deployment_problems()

    def _deployment_problems(self) -> list[str]:
        return [
            f"{spec.endpoint_name} must be an https:// address (http:// on loopback only)."
            for spec in self.deployments
            if not is_safe_for_keys(spec.endpoint)
        ]


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and "@" not in parts.netloc


def is_safe_for_keys(url: str) -> bool:
    """Whether a key may travel there: not in the clear, but for loopback, where simulators are."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS)


_TYPES = typing.get_type_hints(Settings)


def _type_name(hint: Any) -> str:
    arms = [arm for arm in (typing.get_args(hint) or (hint,)) if arm is not type(None)]
    if typing.get_origin(hint) is Literal:
        return "choice"
    first = arms[0]
    return (
        "choice"
        if typing.get_origin(first) is Literal
        else {"Secret": "secret", "Path": "path", "str": "text", "Decimal": "amount"}.get(
            first.__name__, first.__name__
        )
    )


TABLE: tuple[Setting, ...] = tuple(
    Setting(
        attribute=field.name,
        name=field.metadata["name"],
        type=_type_name(_TYPES[field.name]),
        default=field.default,
        unit=field.metadata["unit"],
        help=field.metadata["help"],
        minimum=field.metadata["minimum"],
        maximum=field.metadata["maximum"],
    )
    for field in dataclasses.fields(Settings)
    if field.metadata
)


def load(environ: Mapping[str, str], env_file: Path | None = None) -> Settings:
    """Settings from the environment, and from ``env_file`` for what the environment does not say.

    An empty value counts as not set.

    Raises:
        SettingsError: with every problem at once: unknown names, values that do not fit, combinations that cannot work.
    """
    problems: list[str] = []
    values = {**read_env_file(env_file, problems), **environ}
    names = {setting.name for setting in TABLE}
    deployments_file = values.get("LIVEAVATAR_DEPLOYMENTS", "").strip()
    named_elsewhere = variables_named(Path(deployments_file)) if deployments_file else frozenset()
    for name in values.keys() - names - named_elsewhere:
        near = difflib.get_close_matches(name, names, n=1, cutoff=_NEARLY)
        misspelt_azure = name.startswith(_AZURE_PREFIXES) and near and not values.get(near[0])
        if name.startswith(OWN_PREFIX) or misspelt_azure:
            problems.append(f"{name} is not a setting." + (f" Did you mean {near[0]}?" if near else ""))
    problems.sort()
    parsed: dict[str, Any] = {}
    for setting in TABLE:
        text = values.get(setting.name, "").strip()
        if not text:
            continue
        try:
            parsed[setting.attribute] = _parse(setting, text)
        except ValueError as error:
            problems.append(f"{setting.name}: {error}")
    if deployments_file:
        known = {row.name: parsed[row.attribute] for row in TABLE if row.type == "secret" and row.attribute in parsed}
        parsed["listed_deployments"] = read_deployments(Path(deployments_file), values, problems, known)
    if (prices_file := parsed.get("prices_file")) is not None:
        found: list[str] = []
        parsed["own_prices"] = read_prices(prices_file, found)
        problems += [f"LIVEAVATAR_PRICES: {text}" for text in found]
    settings = Settings(**parsed)
    if not problems:
        problems = settings.problems()
    if problems:
        raise SettingsError(problems)
    return settings


def _parse(setting: Setting, text: str) -> Any:
    match setting.type:
        case "secret":
            return read_secret(text)
        case "path":
            return Path(text)
        case "choice":
            choices = _choices(_TYPES[setting.attribute])
            if text not in choices:
                raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}.")
            return text
        case "int" | "float":
            return _number(setting, text)
        case "amount":
            return _amount(setting, text)
        case "bool":
            return _yes_or_no(text)
        case _:
            return text


def _number(setting: Setting, text: str) -> float:
    try:
        number = int(text) if setting.type == "int" else float(text)
    except ValueError:
        raise ValueError(f"must be a {'whole ' if setting.type == 'int' else ''}number, not {text!r}.") from None
    if isinstance(number, float) and not math.isfinite(number):
        # Every wait has an end.
        raise ValueError(f"must be a finite number, not {text}.")
    if not (setting.minimum is None or number >= setting.minimum):
        raise ValueError(f"must be at least {setting.minimum:g}, not {text}.")
    if not (setting.maximum is None or number <= setting.maximum):
        raise ValueError(f"must be at most {setting.maximum:g}, not {text}.")
    return number


def _amount(setting: Setting, text: str) -> Decimal:
    """An amount of money, exactly as it is written."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"must be an amount such as 12.50, not {text!r}.") from None
    if not number.is_finite():
        raise ValueError(f"must be a finite number, not {text}.")
    if not (setting.minimum is None or number >= setting.minimum):
        raise ValueError(f"must be at least {setting.minimum:g}, not {text}.")
    if not (setting.maximum is None or number <= setting.maximum):
        raise ValueError(f"must be at most {setting.maximum:,.0f}, not {text}.")
    return number


def _yes_or_no(text: str) -> bool:
    if text.lower() in {"yes", "true", "on", "1"}:
        return True
    if text.lower() in {"no", "false", "off", "0"}:
        return False
    raise ValueError(f"must be yes or no, not {text!r}.")


def _choices(hint: Any) -> tuple[str, ...]:
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    return next((_choices(arm) for arm in typing.get_args(hint) if typing.get_origin(arm) is Literal), ())


def read_env_file(path: Path | None, problems: list[str]) -> dict[str, str]:
    """The ``NAME=value`` lines of a ``.env`` file; blank lines, ``#`` comments, ``export`` and quotes are understood.

    A missing file is no problem; a line that cannot be read is added to ``problems`` with its number, never its text:
    it may hold a secret.
    """
    values: dict[str, str] = {}
    if path is None or not path.is_file():
        return values
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: cannot be read: {type(error).__name__}")
        return values
    for number, line in enumerate(lines, start=1):
        line = line.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier():
            problems.append(f"{path}, line {number}: is not NAME=value.")
            continue
        if value[:1] in ("'", '"'):
            if len(value) < 2 or value[-1] != value[0]:
                problems.append(f"{path}, line {number}: the quote around the value of {name} is not closed.")
                continue
            value = value[1:-1]
        else:
            value = value.split(" #", 1)[0].rstrip()
        values[name] = value
    return values
