"""Every secret source by the word that references begin with: a line here per source, a file beside it."""

from __future__ import annotations

from portside.secrets import aws, azure, bitwarden, dotenv, gcp, generated, onepassword, process, sops, vault
from portside.secrets.base import Source

SOURCES: dict[str, type[Source]] = {
    "aws": aws.SecretsManager,
    "azure": azure.KeyVault,
    "bw": bitwarden.PasswordManager,
    "bws": bitwarden.SecretsManager,
    "env": process.ProcessEnvironment,
    "file": dotenv.DotenvFile,
    "gcp": gcp.SecretManager,
    "generated": generated.Generated,
    "op": onepassword.OnePassword,
    "sops": sops.Sops,
    "vault": vault.Vault,
}
