"""What the fuzz tests share: how many examples they take, and how real text is damaged."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# A third of what other tests take: there are many of these, and they all run before every commit.
FUZZED = settings(
    max_examples=max(settings.default.max_examples // 3, 30) if settings.default else 30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Characters that mean something to a shell, to YAML, JSON, Compose or a terminal; line ends of all kinds.
HOSTILE = "'\"\\$`{}[]()<>|&;*?~!#%^=:,@/ \n\r\t\v\f\x00\x1b\x1c\x85\u2028\u2029\ufeffé😀٣²"
HOSTILE_TEXT = st.text(st.sampled_from(HOSTILE) | st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """`text` with some of it cut out, doubled, or replaced: a disk was full, or a host is somebody's."""
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.sampled_from([0, 1, 2, 10, 100, len(text)])))
        put = draw(st.one_of(st.just(""), HOSTILE_TEXT, st.just(text[begin:end] * 2), JSON_PIECES))
        text = text[:begin] + put + text[end:]
    return text


JSON_PIECES = st.sampled_from(
    ["null", "[]", "{}", "-1", "1e999", "9" * 30, "[[[[", '"', "@@", "\n@@lock\n", "true", '{"a":1}']
)
