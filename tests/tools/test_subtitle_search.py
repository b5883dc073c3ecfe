from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting
from vzgym.tools import SubtitleSearch, ToolArgumentError, ToolCall, ToolContext
from vzgym.tools.subtitles import _scores


def ask(context: ToolContext, tool: SubtitleSearch | None = None, **arguments: Any) -> str:
    return (tool or SubtitleSearch()).run(ToolCall("subtitles", arguments), context).text


def test_a_search_returns_the_lines_that_fit_best_with_their_times(context: ToolContext) -> None:
    assert ask(context, query="WATER") == (
        "2 lines with these words:\n[2.00-3.50 s] Rice needs twice the water.\n"
        "[4.00-6.00 s] Then add the water, and salt."
    )
    assert ask(context, query="rinse the rice") == (
        "3 lines with these words:\n[0.50-2.00 s] First, rinse the rice.\n[2.00-3.50 s] Rice needs twice the water.\n"
        "[4.00-6.00 s] Then add the water, and salt."
    )
    assert ask(context, SubtitleSearch(results=1), query="the") == (
        "3 lines with these words, the best 1:\n[0.50-2.00 s] First, rinse the rice."
    )
    assert ask(context, query="oven") == "No line holds any of these words."


def test_words_are_compared_by_their_stems(context: ToolContext) -> None:
    assert "First, rinse the rice." in ask(context, query="What is rinsed?")
    assert ask(context, SubtitleSearch(language=None), query="rinsed") == "No line holds any of these words."
    assert "Rice needs" in ask(context, SubtitleSearch(language="german"), query="RICE")
    with pytest.raises(InvalidSetting, match=r"language of tool 'subtitles' must be None or one of .*english"):
        SubtitleSearch(language="klingon")


def test_scores_are_those_of_the_formula() -> None:
    from math import log

    texts = ("a b", "a a c c", "d")
    mean, k1, b = 7 / 3, 1.5, 0.75

    def weight(count: int, length: int, lines: int) -> float:
        rarity = log(1 + (3 - lines + 0.5) / (lines + 0.5))
        return rarity * count / (count + k1 * (1 - b + b * length / mean))

    wanted = [weight(1, 2, 2) + weight(1, 2, 1), weight(2, 4, 2), 0.0]
    assert _scores(texts, ("a", "b", "unknown")) == pytest.approx(wanted, rel=1e-6)
    assert _scores(("...", "!"), ("a",)) == [0.0, 0.0]


def test_a_search_may_be_limited_to_an_interval(context: ToolContext) -> None:
    assert (
        ask(context, query="rice", start=2.0) == "1 line with these words:\n[2.00-3.50 s] Rice needs twice the water."
    )
    assert ask(context, query="rice", start=4.0, end=10) == "No line holds any of these words."


def test_scripts_without_spaces_are_searched_by_characters(context: ToolContext) -> None:
    assert ask(context, query="洗").endswith("[8.00-9.00 s] お米を洗います")


def test_an_interval_is_read_in_parts(context: ToolContext) -> None:
    assert ask(context, start=3.5, end=8.0) == "1 line:\n[4.00-6.00 s] Then add the water, and salt."
    assert ask(context, SubtitleSearch(lines=2), start=0) == (
        "The first 2 of 5 lines; read on from 4 s:\n[0.50-2.00 s] First, rinse the rice.\n"
        "[2.00-3.50 s] Rice needs twice the water."
    )
    assert ask(context, start=6.5, end=7.5) == "Nothing is said in this interval."


def test_a_video_without_subtitles(context: ToolContext) -> None:
    assert ask(replace(context, subtitles=()), query="rice") == "This video has no subtitles."


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "give 'query'"),
        ({"query": ""}, "'query'"),
        ({"query": "?!"}, "holds no word"),
        ({"query": ["rice"]}, "'query'"),
        ({"start": 5, "end": 5}, r"the end \(5 s\) must be greater"),
        ({"start": -1}, "is not inside the video"),
        ({"end": 11}, "is not inside the video, which lasts from 0 to 10.00 s"),
        ({"words": "rice"}, "no argument 'words'"),
    ],
)
def test_wrong_arguments(context: ToolContext, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ToolArgumentError, match=reason):
        ask(context, **arguments)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vzgym.tools.subtitles.find_spec", lambda name: None)
    with pytest.raises(DependencyNotInstalled, match=r'pip install "vzgym\[tools\]"'):
        SubtitleSearch()
