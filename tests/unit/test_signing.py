"""What cosign is asked, and which settings make sense together."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from portside.config import Signing, load_config
from portside.errors import ConfigError
from portside.image.cosign import PrivateKey, Signers, sign_argv, verify_argv

REFERENCE = "registry.example.com/acme/links@sha256:" + "0" * 64
WORKFLOW = "https://github.com/acme/links/.github/workflows/ship.yml@refs/heads/main"
GITHUB = "https://token.actions.githubusercontent.com"


def test_the_private_key_is_no_argument() -> None:
    argv = sign_argv(REFERENCE, keyless=False, transparency_log=False)
    assert argv == [
        "cosign",
        "sign",
        "--yes",
        "--key",
        "env://COSIGN_PRIVATE_KEY",
        "--tlog-upload=false",
        REFERENCE,
    ]
    argv = sign_argv(REFERENCE, keyless=False, transparency_log=False, configured=True)
    assert argv[-3:] == ["--use-signing-config=false", "--tlog-upload=false", REFERENCE]
    assert "secret" not in repr(PrivateKey("secret key", "secret password"))


def test_keyless_is_signed_with_the_runner_s_own_identity_and_looked_for_by_it() -> None:
    assert "--key" not in sign_argv(REFERENCE, keyless=True, transparency_log=True)
    argv = verify_argv(REFERENCE, Signers(None, WORKFLOW, GITHUB))
    assert argv[argv.index("--certificate-identity") + 1] == WORKFLOW
    assert argv[argv.index("--certificate-oidc-issuer") + 1] == GITHUB
    assert "--insecure-ignore-tlog=false" in argv


def test_what_isn_t_recorded_counts_only_where_that_is_said() -> None:
    assert "--insecure-ignore-tlog=false" in verify_argv(REFERENCE, Signers(Path("cosign.pub")))
    assert "--insecure-ignore-tlog=true" in verify_argv(REFERENCE, Signers(Path("k"), transparency_log=False))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "needs public_key, or identity and issuer"),
        ({"public_key": "a", "identity": "b", "issuer": "c"}, "and not both"),
        ({"identity": "b"}, "go together"),
        ({"public_key": "a", "private_key": "env:K"}, "private_key and password go together"),
        ({"identity": "b", "issuer": "c", "private_key": "env:K", "password": "env:P"}, "go with public_key"),
        ({"identity": "b", "issuer": "c", "transparency_log": False}, "can't be left out"),
        ({"public_key": "a", "private_key": "the key itself", "password": "env:P"}, "source:reference"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Signing.model_validate(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[env.prod]\nrequire_signature = true\nregistry = "r.example.com/x"\n', r"it needs \[signing\]"),
        ('[signing]\npublic_key = "cosign.pub"\n[env.prod]\nrequire_signature = true\n', "it needs a registry"),
    ],
)
def test_a_signature_that_can_t_be_is_no_demand(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "portside.toml").write_text(f'[service]\nname = "links"\n{text}')
    with pytest.raises(ConfigError, match=said):
        load_config(tmp_path)


def test_a_key_in_the_wrong_place_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "portside.toml").write_text(
        '[service]\nname = "links"\n[env.local]\n[signing]\npublic_key = "a"\npassword = "hunter2hunter2"\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert "hunter2" not in str(caught.value)
