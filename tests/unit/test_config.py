"""portside.toml: what it says is what one gets, and every mistake is named with file, key, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.config import load_config
from portside.errors import ConfigError, PortsideError

MINIMAL = '[service]\nname = "links"\n[env.local]\n'


def write(root: Path, text: str) -> Path:
    (root / "portside.toml").write_text(text)
    return root


def refused(root: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(root, text)).environment("local")
    return str(caught.value)


def test_this_repository_s_own_file_is_valid() -> None:
    config = load_config(Path(__file__).parents[2])
    assert config.environment("local").local
    assert config.environment("prod").hosts


def test_an_environment_overrides_the_defaults_key_by_key(tmp_path: Path) -> None:
    write(
        tmp_path,
        '[service]\nname = "links"\n[defaults]\nkeep = 7\nbake = 3\nenv = { A = "1", B = "2" }\n'
        '[env.prod]\nbake = 60\nenv = { B = "3" }\n',
    )
    prod = load_config(tmp_path).environment("prod")
    assert (prod.keep, prod.bake) == (7, 60)
    assert prod.env == {"A": "1", "B": "3"}


def test_an_environment_may_have_a_monitoring_stack_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL + '[observe]\nhost = "m@one"\n[env.staging.observe]\nhost = "m@two"\n')
    config = load_config(tmp_path)
    assert config.seen_from("local").observe.host == "m@one"
    assert config.seen_from("staging").observe.host == "m@two"


def test_an_environment_extends_another(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL + 'keep = 9\nhttp = "127.0.0.1:1"\n[env.lab]\nextends = "local"\nhttp = "0.0.0.0:80"\n')
    lab = load_config(tmp_path).environment("lab")
    assert (lab.keep, lab.http) == (9, "0.0.0.0:80")


def test_generated_environments_are_found(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL)
    folder = tmp_path / ".portside/environments"
    folder.mkdir(parents=True)
    (folder / "lab.toml").write_text('[env.lab]\nextends = "local"\nhosts = ["lab-1"]\n')
    assert load_config(tmp_path).environment("lab").hosts == ("lab-1",)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("kepp = 3", "env.local.kepp: no such key"),
        ("keep = 1", "env.local.keep"),
        ('keep = "many"', "'many'"),
        ('hosts = ["a b"]', "user@host"),
        ('hosts = ["a", "a"]', "listed twice"),
        ('http = "8080"', "env.local.http"),
        ('http = "0.0.0.0:99999"', "env.local.http: ports go from 1 to 65535"),
        ('http = "0.0.0.999:80"', "'0.0.0.999' does not appear to be an IPv4 or IPv6 address"),
        ('https = "0.0.0.0:443"', "https needs a domain"),
        ('[defaults]\nhttps = "0.0.0.0:443"', "Where https is from [defaults], move it"),
        ('hosts = ["deploy@a", "b"]\naccessory_hosts = ["a"]', "'a' is none of its hosts as they are written"),
        ('accessory_hosts = ["a"]', "leave accessory_hosts out"),
        ('url = "http://h:99999"', "env.local.url: ports go from 1 to 65535"),
        ('url = "https://x.org:0"', "env.local.url: ports go from 1 to 65535"),
        ('url = "https://x.org/"', "env.local.url: write a URL without a path, as https://links.example.com"),
        ('url = "x.org:443"', "env.local.url: write a URL without a path"),
        ('url = "https://x.org:https"', "env.local.url: write a URL without a path"),
        ('secrets = { A = "plain" }', "source:reference"),
        ('extends = "nowhere"', "'nowhere' can't be extended"),
    ],
)
def test_a_mistake_names_file_key_and_remedy(tmp_path: Path, lines: str, named: str) -> None:
    said = refused(tmp_path, MINIMAL + lines)
    assert "portside.toml" in said
    assert named in said


@pytest.mark.parametrize(
    "url",
    ["http://h", "https://links.example.com:65535", "http://10.0.0.1:80", "https://[fd00::1]", "http://[::1]:8080"],
)
def test_a_url_is_a_host_with_or_without_a_port(tmp_path: Path, url: str) -> None:
    write(tmp_path, f'{MINIMAL}url = "{url}"\n')
    assert load_config(tmp_path).environment("local").url == url


def test_a_wrong_secret_is_refused_without_showing_it(tmp_path: Path) -> None:
    assert "hunter2" not in refused(tmp_path, MINIMAL + 'secrets = { A = "hunter2" }')


def test_a_key_that_there_isn_t_is_refused_without_showing_what_may_be_a_secret(tmp_path: Path) -> None:
    said = refused(tmp_path, MINIMAL + '[notify.team]\nkind = "slack"\nurl = "https://hooks.slack.com/hunter2"\n')
    assert "notify.team.url: no such key" in said
    assert "hunter2" not in said


def test_a_file_that_windows_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "portside.toml").write_text(MINIMAL, encoding="utf-8-sig")
    assert load_config(tmp_path).environment("local").local


def test_an_unknown_environment_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="local"):
        load_config(write(tmp_path, MINIMAL)).environment("prod")


def test_a_missing_file_says_where_to_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder that holds"):
        load_config(tmp_path)


@given(st.text(max_size=200))
def test_no_text_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.mktemp("config")
    (root / "portside.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(PortsideError):
        load_config(root).environment("x")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["hosts", "keep", "bake", "env", "secrets", "domain", "replicas"]), _VALUES))
def test_no_value_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]) -> None:
    root = tmp_path_factory.mktemp("config")
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    (root / "portside.toml").write_text(MINIMAL + "\n".join(lines), encoding="utf-8", errors="replace")
    try:
        load_config(root).environment("local")
    except PortsideError as error:
        assert error.what


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "0" if value is None else str(value) if isinstance(value, int) else _text(str(value))


def _text(value: str) -> str:
    return '"' + "".join(c if c.isalnum() and c.isascii() else "-" for c in value) + '"'
