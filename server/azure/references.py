"""References to secrets in Azure Key Vault, as they stand in settings. Pure: it looks nothing up.

Three forms are read. The last two are App Service's own, which it resolves itself where they stand in its settings::

    keyvault:https://NAME.vault.azure.net/secrets/SECRET[/VERSION]
    @Microsoft.KeyVault(SecretUri=https://NAME.vault.azure.net/secrets/SECRET[/VERSION])
    @Microsoft.KeyVault(VaultName=NAME;SecretName=SECRET[;SecretVersion=VERSION])
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from server.secret import Secret

PREFIX = "keyvault:"
# App Service reads its own name for it without regard to case; so many references were written by hand.
_APP_SERVICE = re.compile(r"@Microsoft\.KeyVault\((?P<inside>.*)\)", re.IGNORECASE)
_APP_SERVICE_PREFIX = "@microsoft.keyvault("

# Azure's public cloud, China and US Government: "Azure Key Vault endpoints" in Microsoft's documentation. A managed
# HSM (.managedhsm.azure.net) keeps keys, no secrets.
VAULT_DOMAINS = ("vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net")
_HSM_DOMAINS = ("managedhsm.azure.net", "managedhsm.azure.cn", "managedhsm.usgovcloudapi.net")
# Names of vaults (3 to 24 characters, beginning with a letter, no hyphen at the end, none twice in a row), secrets
# and versions, from "About keys, secrets, and certificates" in Microsoft's documentation.
_VAULT_NAME = re.compile(r"(?=.{3,24}\Z)[A-Za-z](?:-?[A-Za-z0-9])*")
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_VERSION = re.compile(r"[0-9A-Fa-f]{32}")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is kept.

    Attributes:
        vault_url: of the vault, without a slash at the end.
        version: the one to take; empty for the newest, which may change.
        is_stand_in: the vault is on this machine, where no certificate or challenge can name Azure's domain.
    """

    vault_url: str
    name: str
    version: str = ""
    is_stand_in: bool = False

    def __str__(self) -> str:
        version = f"/{self.version}" if self.version else ""
        return f"{PREFIX}{self.vault_url}/secrets/{self.name}{version}"


def is_reference(text: str) -> bool:
    """Whether a setting's text means to be a reference; what it then says may still be wrong."""
    start = text.lstrip()[: len(_APP_SERVICE_PREFIX)].lower()
    return start.startswith((PREFIX, _APP_SERVICE_PREFIX))


def read_reference(text: str) -> SecretReference:
    """The reference that a setting's text is.

    Raises:
        ValueError: it is none; says what is wrong with it, in words that go behind the setting's name and a colon.
    """
    text = text.strip()
    if text[: len(PREFIX)].lower() == PREFIX:
        return _from_url(text[len(PREFIX) :])
    match = _APP_SERVICE.fullmatch(text)
    if match is None:
        raise ValueError(f"is no Key Vault reference: it begins neither with {PREFIX} nor with @Microsoft.KeyVault( ).")
    return _from_parts(match["inside"])


def _from_parts(inside: str) -> SecretReference:
    parts: dict[str, str] = {}
    for part in inside.split(";"):
        key, equals, value = part.strip().partition("=")
        if not equals or key.lower() in parts:
            raise ValueError("@Microsoft.KeyVault( ) takes Name=value pairs, each once, with semicolons between them.")
        parts[key.lower()] = value.strip()
    uri = parts.pop("secreturi", None)
    if uri is not None:
        if parts:
            raise ValueError("@Microsoft.KeyVault(SecretUri=...) takes nothing beside SecretUri.")
        return _from_url(uri)
    vault, name = parts.pop("vaultname", ""), parts.pop("secretname", "")
    version = parts.pop("secretversion", "")
    if parts or not vault or not name:
        raise ValueError("@Microsoft.KeyVault( ) takes SecretUri, or VaultName, SecretName and perhaps SecretVersion.")
    _check(_VAULT_NAME, vault, "the vault's name (3 to 24 letters, digits and hyphens)")
    return _reference(f"https://{vault.lower()}.{VAULT_DOMAINS[0]}", name, version)


def _from_url(url: str) -> SecretReference:
    # urlsplit drops tabs and line breaks, and takes what no host can be.
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise ValueError("the secret's address holds a blank, a backslash or a character beyond ASCII.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("the secret's address is no URL.") from None
    if parts.username is not None or parts.query or parts.fragment or "?" in url or "#" in url or "@" in parts.netloc:
        raise ValueError("the secret's address takes no user, query or fragment.")
    match parts.path.split("/"):
        case ["", kind, name] | ["", kind, name, ""] if kind.lower() == "secrets" and name:
            version = ""
        case ["", kind, name, version] if kind.lower() == "secrets" and name:
            pass
        case _:
            raise ValueError("the secret's address must end with /secrets/NAME or /secrets/NAME/VERSION.")
    if parts.scheme != "https":
        raise ValueError("the secret's address must begin with https://.")
    if _is_loopback(host):
        return _reference(f"https://{parts.netloc}", name, version, is_stand_in=True)
    if port not in (None, 443):
        raise ValueError("the secret's address takes no port.")
    if host.endswith(tuple("." + domain for domain in _HSM_DOMAINS)):
        raise ValueError("a managed HSM keeps keys, not secrets: the secret must be in a vault.")
    vault, _, domain = host.partition(".")
    if domain not in VAULT_DOMAINS:
        raise ValueError(f"the secret's host must be NAME.{', NAME.'.join(VAULT_DOMAINS)}.")
    _check(_VAULT_NAME, vault, "the vault's name (3 to 24 letters, digits and hyphens)")
    return _reference(f"https://{vault}.{domain}", name, version)


def _reference(vault_url: str, name: str, version: str, *, is_stand_in: bool = False) -> SecretReference:
    _check(_SECRET_NAME, name, "the secret's name (letters, digits and hyphens)")
    if version:
        _check(_VERSION, version, "the secret's version (32 hexadecimal digits)")
    return SecretReference(vault_url, name, version, is_stand_in)


def _check(form: re.Pattern[str], text: str, what: str) -> None:
    # Never the text itself: a secret may have been pasted in its place.
    if not form.fullmatch(text):
        raise ValueError(f"{what} cannot be that.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_secret(text: str) -> Secret:
    """A secret as a setting gives it: itself, or by reference. Raises ``ValueError`` for a reference that is none."""
    return Secret.by_reference(str(read_reference(text))) if is_reference(text) else Secret(text)
