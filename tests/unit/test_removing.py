"""What `invoke remove` refuses before a host is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.removing import remove_command

SINGLE = '[service]\nname = "links"\n[env.prod]\nhosts = ["a", "b"]\n'
SWARM = f'{SINGLE}orchestrator = "swarm"\nregistry = "registry.example.com/acme/links"\n'


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("toml", "name", "said"),
    [
        (SINGLE, "../../proxy", "--name: '../../proxy' is no service's name"),
        (SINGLE, "", "--name: '' is no service's name"),
        (SWARM, None, "docker stack rm links-prod-blue links-prod-green"),
    ],
)
def test_what_is_no_site_of_single_hosts_is_refused(
    checkout: Path, capsys: pytest.CaptureFixture[str], toml: str, name: str | None, said: str
) -> None:
    (checkout / "portside.toml").write_text(toml)
    with pytest.raises(SystemExit) as ended:
        remove_command("prod", host=None, name=name, volumes=False, dry_run=False, yes=True, machine=False)
    assert ended.value.code == 3
    assert said in " ".join(capsys.readouterr().err.split())
