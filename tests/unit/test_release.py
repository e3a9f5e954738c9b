"""A release as a value: its id, its hashes, its files."""

from __future__ import annotations

import io
import tarfile

from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from portside.release import archive, content_hash, env_digest, env_file, release_id, value_digests
from tests.unit import builders

NAMES = st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,8}\Z")
VALUES = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\"'\\$"), max_size=30)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_any_value_survives_a_dotenv_parser(values: dict[str, str]) -> None:
    # python-dotenv knows no escaped dollar; the lab reads hostile values back from Compose itself.
    text = env_file(values).replace("\\$", "$")
    assert dotenv_values(stream=io.StringIO(text), interpolate=False) == values


def test_equal_content_has_an_equal_hash_and_any_difference_another() -> None:
    base = content_hash(image="i", compose="c", env_digest="e")
    assert base == content_hash(image="i", compose="c", env_digest="e")
    others = {
        content_hash(image="x", compose="c", env_digest="e"),
        content_hash(image="i", compose="x", env_digest="e"),
        content_hash(image="i", compose="c", env_digest="x"),
    }
    assert base not in others
    assert len(others) == 3


def test_the_env_digest_depends_on_every_name_and_value() -> None:
    assert env_digest({"A": "1", "B": "2"}, site="x") == env_digest({"B": "2", "A": "1"}, site="x")
    assert env_digest({"A": "1"}, site="x") != env_digest({"A": "2"}, site="x")
    assert env_digest({"A": "1"}, site="x") != env_digest({"A": "1"}, site="y")


def test_ids_sort_by_time() -> None:
    assert release_id(builders.NOW, "ffffff00") == "20261123-154501-ffffff"


def test_an_archive_s_files_are_readable_by_their_owner_only() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive({"env": "A=é\n"}))) as tar:
        (member,) = tar.getmembers()
        assert member.mode == 0o600
        extracted = tar.extractfile(member)
        assert extracted is not None
        assert extracted.read().decode() == "A=é\n"


def test_a_value_has_a_digest_of_its_own_per_name_and_site() -> None:
    digests = value_digests({"A": "same", "B": "same", "C": "same"}, {"C"}, site="x")
    assert len(set(digests.values())) == 3
    assert digests == value_digests({"A": "same", "B": "same", "C": "same"}, {"C"}, site="x")
    assert digests["A"] != value_digests({"A": "same"}, set(), site="y")["A"]


def test_a_secret_s_digest_is_no_plain_hash_that_a_list_of_words_would_find() -> None:
    plain = value_digests({"A": "guess"}, {"A"}, site="x")
    assert value_digests({"A": "guess"}, set(), site="x") != plain
