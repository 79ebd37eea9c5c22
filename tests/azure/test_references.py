"""References to Key Vault: what is one, what is nearly one, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.azure.references import VAULT_DOMAINS, SecretReference, is_reference, read_reference

VERSION = "0123456789abcdef0123456789ABCDEF"
VAULT = "https://museum.vault.azure.net"

names = st.from_regex(r"[0-9A-Za-z-]{1,127}", fullmatch=True)
versions = st.just("") | st.from_regex(r"[0-9a-fA-F]{32}", fullmatch=True)
vaults = st.from_regex(r"[a-z]([a-z0-9]|-(?=[a-z0-9])){2,23}", fullmatch=True).filter(lambda name: len(name) <= 24)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"keyvault:{VAULT}/secrets/key", SecretReference(VAULT, "key")),
        (f"keyvault:{VAULT}/secrets/key/", SecretReference(VAULT, "key")),
        (f"keyvault:{VAULT}:443/secrets/key", SecretReference(VAULT, "key")),
        (f"KeyVault:HTTPS://Museum.Vault.Azure.NET/secrets/key/{VERSION}", SecretReference(VAULT, "key", VERSION)),
        ("keyvault:https://m-1.vault.azure.cn/secrets/key", SecretReference("https://m-1.vault.azure.cn", "key")),
        (
            "keyvault:https://abc.vault.usgovcloudapi.net/secrets/key",
            SecretReference("https://abc.vault.usgovcloudapi.net", "key"),
        ),
        (f"@Microsoft.KeyVault(SecretUri={VAULT}/secrets/key)", SecretReference(VAULT, "key")),
        (f"  @microsoft.keyvault(secreturi={VAULT}/secrets/key/{VERSION}) ", SecretReference(VAULT, "key", VERSION)),
        ("@Microsoft.KeyVault(VaultName=Museum;SecretName=key)", SecretReference(VAULT, "key")),
        (
            f"@Microsoft.KeyVault(VaultName=museum; SecretName=key; SecretVersion={VERSION})",
            SecretReference(VAULT, "key", VERSION),
        ),
        (
            "keyvault:https://127.0.0.1:8443/secrets/key",
            SecretReference("https://127.0.0.1:8443", "key", is_stand_in=True),
        ),
        ("keyvault:https://[::1]:1/secrets/key", SecretReference("https://[::1]:1", "key", is_stand_in=True)),
        ("keyvault:https://localhost/secrets/key", SecretReference("https://localhost", "key", is_stand_in=True)),
    ],
)
def test_what_is_a_reference(text: str, expected: SecretReference) -> None:
    assert is_reference(text)
    assert read_reference(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("keyvault:", "blank"),
        ("keyvault:museum/key", "must end with /secrets/NAME"),
        (f"keyvault:{VAULT}", "must end with /secrets/NAME"),
        (f"keyvault:{VAULT}/secrets/", "must end with /secrets/NAME"),
        (f"keyvault:{VAULT}/keys/key", "must end with /secrets/NAME"),
        (f"keyvault:{VAULT}/secrets/key/{VERSION}/more", "must end with /secrets/NAME"),
        (f"keyvault:{VAULT}/secrets/key/{VERSION[:-1]}", "version"),
        (f"keyvault:{VAULT}/secrets/a_b", "secret's name"),
        (f"keyvault:{VAULT}/secrets/%2e%2e", "secret's name"),
        (f"keyvault:{VAULT}/secrets/{'k' * 128}", "secret's name"),
        (f"keyvault:{VAULT}/secrets/key?api-version=7.4", "no user, query or fragment"),
        (f"keyvault:{VAULT}/secrets/key#", "no user, query or fragment"),
        ("keyvault:https://user@museum.vault.azure.net/secrets/key", "no user, query or fragment"),
        ("keyvault:https://@museum.vault.azure.net/secrets/key", "no user, query or fragment"),
        ("keyvault:http://museum.vault.azure.net/secrets/key", "https://"),
        ("keyvault:http://127.0.0.1:1/secrets/key", "https://"),
        ("keyvault:https://museum.vault.azure.net:8443/secrets/key", "no port"),
        ("keyvault:https://museum.vault.azure.net:x/secrets/key", "no URL"),
        ("keyvault:https://[::1/secrets/key", "no URL"),
        ("keyvault:https://museum.managedhsm.azure.net/secrets/key", "managed HSM"),
        ("keyvault:https://museum.vault.azure.net.evil.example/secrets/key", "host must be"),
        ("keyvault:https://vault.azure.net/secrets/key", "host must be"),
        ("keyvault:https://a.b.vault.azure.net/secrets/key", "host must be"),
        ("keyvault:https://10.0.0.1/secrets/key", "host must be"),
        ("keyvault:https://ab.vault.azure.net/secrets/key", "vault's name"),
        ("keyvault:https://a--b.vault.azure.net/secrets/key", "vault's name"),
        (f"keyvault:{VAULT}\\@evil.example/secrets/key", "backslash"),
        (f"keyvault:{VAULT}/secrets/k\ney", "blank"),
        ("@Microsoft.KeyVault()", "pairs"),
        ("@Microsoft.KeyVault(SecretUri)", "pairs"),
        (f"@Microsoft.KeyVault(SecretUri={VAULT}/secrets/a;SecretUri={VAULT}/secrets/b)", "each once"),
        (f"@Microsoft.KeyVault(SecretUri={VAULT}/secrets/key;SecretName=key)", "nothing beside"),
        ("@Microsoft.KeyVault(VaultName=museum)", "SecretName"),
        ("@Microsoft.KeyVault(VaultName=museum;SecretName=)", "SecretName"),
        ("@Microsoft.KeyVault(VaultName=museum;SecretName=key;Color=red)", "takes SecretUri"),
        ("@Microsoft.KeyVault(VaultName=museum.evil;SecretName=key)", "vault's name"),
        ("@Microsoft.KeyVault(VaultName=museum;SecretName=key", "no Key Vault reference"),
    ],
)
def test_what_is_nearly_one(text: str, complaint: str) -> None:
    assert is_reference(text)
    with pytest.raises(ValueError, match=complaint):
        read_reference(text)


@pytest.mark.parametrize("text", ["", "sk-canary", "https://museum.vault.azure.net/secrets/key", "@Microsoft.Key"])
def test_what_is_none(text: str) -> None:
    assert not is_reference(text)
    with pytest.raises(ValueError, match="no Key Vault reference"):
        read_reference(text)


@given(vault=vaults, domain=st.sampled_from(VAULT_DOMAINS), name=names, version=versions)
def test_what_is_written_is_read_again(vault: str, domain: str, name: str, version: str) -> None:
    reference = SecretReference(f"https://{vault}.{domain}", name, version)
    assert read_reference(str(reference)) == reference
    uri = str(reference).removeprefix("keyvault:")
    assert read_reference(f"@Microsoft.KeyVault(SecretUri={uri})") == reference


@given(
    text=st.text()
    | st.text().map("keyvault:https://museum.vault.azure.net/".__add__)
    | st.text().map("keyvault:https://".__add__)
    | st.text().map(lambda inside: f"@Microsoft.KeyVault({inside})")
)
def test_whatever_stands_there_is_a_good_reference_or_an_error_that_does_not_repeat_it(text: str) -> None:
    reference, complaint = tried(text)
    if reference is None:
        assert complaint.endswith(".")
        assert len(text) < 30 or text not in complaint
        return
    assert is_reference(text)
    assert reference.is_stand_in or reference.vault_url.endswith(VAULT_DOMAINS)
    assert read_reference(str(reference)) == reference


def tried(text: str) -> tuple[SecretReference | None, str]:
    try:
        return read_reference(text), ""
    except ValueError as error:
        return None, str(error)
