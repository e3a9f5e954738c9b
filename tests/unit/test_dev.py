"""What `invoke dev` hands to the service, and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.dev import dev_command, environment


def test_neither_a_real_database_nor_a_directory_for_metrics_is_handed_on(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "DATABASE_URL": "postgresql://db.example/real", "PROMETHEUS_MULTIPROC_DIR": ""}
    assert environment(tmp_path, given) == {"PATH": "/bin", "DATABASE_URL": f"sqlite:///{tmp_path}/.portside/dev.db"}


def test_another_service_in_its_place_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "portside.toml").write_text('[service]\nname = "notes"\n')
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        dev_command("8000")
    assert ended.value.code == 3
    said = capsys.readouterr().err
    assert "app/asgi.py" in said and "portside/dev.py" in said
    assert "http://" not in said, "an address is told of what is about to answer there"
