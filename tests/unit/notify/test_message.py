"""What people read, and who of them: by event and by environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portside.config import NewsKind
from portside.errors import ConfigError
from portside.notify.event import message
from portside.notify.slack import payload
from tests.unit.notify.telling import MAIL, SECRET, Receiver, happened, sent, told_by

WORDS = {
    "released": ("serves prod", "deploy@web-1, deploy@web-2, by me@here, commit 0123456789ab", "invoke rollback"),
    "rolled-back": ("is back at 20261123-154501-aaaaaa in prod", "It was at 20261122", "invoke deploy --env prod"),
    "failed": ("deploy to prod failed before it took traffic", "bbbbbb serves as before", "invoke deploy --env prod"),
    "undone": ("deploy to prod was undone", "bbbbbb serves again", "invoke deploy --env prod"),
    "unfinished": ("is unfinished, somebody has to look", "it stopped after 12.3 s", "invoke status --env prod"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_message_says_what_where_why_and_what_to_type(kind: NewsKind) -> None:
    said = message(happened(kind, reason="container web-1 exited: web-1, start")).text
    for words in WORDS[kind]:
        assert words in said
    assert "Why: container web-1 exited: web-1, start" in said


def test_a_first_release_that_is_undone_leaves_nothing_to_serve() -> None:
    assert "Nothing serves" in message(happened("undone", previous=None)).text
    assert "Nothing serves" in message(happened("failed", previous=None)).text
    assert "invoke rollback" not in message(happened("released", previous=None)).text


def test_slack_reads_blocks_and_nobody_is_called_by_a_reason() -> None:
    made = payload(happened(reason="<!channel> & <https://x|y>\nsecond line", link="https://ci/1"))
    section, context = made["blocks"]
    assert section["text"]["text"].startswith("*✗ links: deploy to prod was undone*\n")
    assert "> &lt;!channel&gt; &amp; &lt;https://x|y&gt;\n> second line" in section["text"]["text"]
    foot = context["elements"][0]["text"]
    assert foot == "Mend the cause and type: `invoke deploy --env prod` · <https://ci/1|the run>"
    assert "<!channel>" not in made["text"]


@pytest.mark.parametrize(
    "reason", ["&" * 100_000, "<>&" * 10_000, "a\n" * 10_000, *("." * n + "&" * 900 for n in range(5))]
)
@pytest.mark.parametrize("hosts", [1, 50, 5_000])
def test_whatever_there_is_to_say_fits_a_block_of_slack(reason: str, hosts: int) -> None:
    event = happened(reason=reason, hosts=tuple(f"deploy@web-{number:04}.fra.example.com" for number in range(hosts)))
    text = payload(event)["blocks"][0]["text"]["text"]
    assert len(text) <= 3_000
    assert text.startswith("*✗ links: deploy to prod was undone*\n")
    assert not re.search(r"&(?!(amp|lt|gt);)", text), "half of an escape would be read as what it stands for"


def test_of_many_hosts_the_first_are_named_and_the_others_counted() -> None:
    many = tuple(f"deploy@web-{number}" for number in range(50))
    said = message(happened("released", hosts=many)).text
    assert "deploy@web-9 and 40 more, by me@here" in said
    assert "web-10" not in said
    assert "more" not in message(happened("released", hosts=many[:10])).text


# Who is told of what.


def test_slack_is_told_once(tmp_path: Path, receiver: Receiver) -> None:
    assert sent(told_by(tmp_path, 'kind = "slack"\nsecret = "env:URL"'), happened()) == []
    ((path, headers, _, _),) = receiver.came
    assert path == f"/{SECRET}"
    assert headers["content-type"] == "application/json"
    assert receiver.bodies()[0]["text"].startswith("✗ links: deploy to prod was undone")


def test_events_and_environments_are_chosen(tmp_path: Path, receiver: Receiver) -> None:
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"\nevents = ["undone"]\nenvs = ["prod"]')
    for kind in WORDS:
        sent(config, happened(kind))
    sent(config, happened("undone"), "staging")
    assert [body["kind"] for body in receiver.bodies()] == ["undone"]


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ('kind = "pager"\nsecret = "env:A"', "notify.team.kind: Input should be 'slack'"),
        ('kind = "slack"', "kind slack also needs secret"),
        ('kind = "slack"\nsecret = "env:A"\nsigning_secret = "env:B"', "signing_secret is no key of kind slack"),
        ('kind = "slack"\nsecret = "env:A"\nevents = ["exploded"]', "notify.team.events.0"),
        ('kind = "slack"\nsecret = "env:A"\nevents = []', "notify.team.events"),
        ('kind = "slack"\nsecret = "env:A"\nenvs = ["production"]', "notify.team.envs: there is no environment"),
        (MAIL, "kind email also needs smarthost"),
        (f'{MAIL}smarthost = "smtp:587"\nusername = "portside"', "also needs secret"),
        ('kind = "slack"\nsecret = "https://hunter2"', "notify.team.secret"),
        ('kind = "webhook"\nsecret = "env:A"\nsigning_secret = "hunter2"', "notify.team.signing_secret"),
    ],
)
def test_a_mistake_names_its_key_and_shows_no_secret(tmp_path: Path, block: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        told_by(tmp_path, block)
    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)


# The webhook's JSON, and its signature.
