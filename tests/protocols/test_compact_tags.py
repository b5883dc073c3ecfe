"""The tags in few words: read as the paper's, said and answered more briefly."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Malformed, Region, Zoom
from vzgym.episode import Episode
from vzgym.protocols import CompactTags, Parsed


def test_a_whole_dialogue(start: Callable[..., Episode]) -> None:
    episode = start(CompactTags())
    episode.step(Zoom(4.0, 5.0, 2.5))
    episode.step(Zoom(4.0, 50.0, 2.5))
    episode.step(Answer("blue"))
    assert [(message.role, message.text) for message in episode.messages] == [
        ("user", "02468Which?"),
        ("assistant", '<video_zoom>{"segment": [4, 5], "fps": 2.5}</video_zoom>'),
        ("tool", "44.254.75"),
        ("assistant", '<video_zoom>{"segment": [4, 50], "fps": 2.5}</video_zoom>'),
        ("tool", "no: outside Answer now."),
        ("assistant", "<answer>blue</answer>"),
    ]
    assert episode.record.grade is not None
    assert episode.record.grade.is_correct


def test_options_may_be_listed(start: Callable[..., Episode]) -> None:
    assert start(CompactTags(options=True)).messages[0].text.endswith("Which?\nred, blue, green")
    assert start(CompactTags(), max_zooms=0).messages[0].text.endswith("Which? Answer now.")


def test_each_frame_comes_before_its_time(start: Callable[..., Episode]) -> None:
    episode = start(CompactTags())
    episode.step(Zoom(4.0, 5.0, 2.0))
    blocks = episode.messages[-1].blocks
    assert [type(block).__name__ for block in blocks] == ["ImageBlock", "TextBlock"] * 2


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 3000))
def test_what_is_said_to_a_hundredth_is_read_back(start: int, end: int, fps: int) -> None:
    protocol = CompactTags(think="none", strict=True)
    zoom = Zoom(start / 100, end / 100, fps / 100)
    assert protocol.parse(protocol.text_of(zoom)) == Parsed(zoom, True)


def test_the_rest_is_said_as_the_paper_says_it() -> None:
    protocol = CompactTags()
    assert '"region": [0.0, 0.0, 0.5, 1.0]' in protocol.text_of(Zoom(0.0, 1.0, 1.0, Region(0.0, 0.0, 0.5, 1.0)))
    assert protocol.text_of(Answer("B")) == "<answer>B</answer>"
    assert protocol.text_of(Malformed("why")) == ""
