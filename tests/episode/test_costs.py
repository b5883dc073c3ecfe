"""The cost ledger: tokens by the patch rules, worked by hand; frames, passes and times."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Budget, Zoom
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode import Episode, EpisodeRecord
from vzgym.episode.costs import (
    COSTS,
    END_COSTS,
    PATCH_RULES,
    RUN_COSTS,
    EpisodeCosts,
    PatchRule,
    patch_rule,
    text_tokens,
)
from vzgym.tasks.task import VideoTask
from vzgym.video import ArrayVideo

QWEN25, QWEN3 = PATCH_RULES["qwen2.5-vl"], PATCH_RULES["qwen3-vl"]


@pytest.mark.parametrize(
    ("rule", "height", "width", "least", "most", "size", "tokens"),
    [
        # 224 x 448 are 8 x 16 squares of 28: 128 tokens, the paper's most.
        (QWEN25, 224, 448, 25_088, 100_352, (224, 448), 128),
        # 240 / 28 = 8.57 -> 9, 426 / 28 = 15.2 -> 15: 252 x 420 = 105,840 > 100,352; shrunk by sqrt(102,240 / 100,352)
        # = 1.00936: 237.8 -> 8 squares, 422.05 -> 15.
        (QWEN25, 240, 426, 25_088, 100_352, (224, 420), 120),
        # 144 / 28 = 5.14 -> 5, 256 / 28 = 9.14 -> 9: within the limits as it is.
        (QWEN25, 144, 256, 25_088, 100_352, (140, 252), 45),
        # 90 x 160 are 3 x 6 squares, 14,112 < 25,088; grown by sqrt(25,088 / 14,400) = 1.32: 118.8 -> 5, 211.2 -> 8.
        (QWEN25, 90, 160, 25_088, 100_352, (140, 224), 40),
        # Squares of 32: 4.5 rounds to the even 4, 256 / 32 = 8.
        (QWEN3, 144, 256, 25_088, 100_352, (128, 256), 32),
        (QWEN3, 240, 426, 25_088, 100_352, (224, 416), 91),  # 7.5 -> 8, 13.3 -> 13: 106,496 is too much; 7, 13
        (QWEN25, 64, 64, 1_024, 4_096, (56, 56), 4),
        (QWEN3, 64, 64, 1_024, 4_096, (64, 64), 4),
        # A strip, one square high.
        (QWEN25, 20, 2_000, 25_088, 100_352, (28, 1_988), 71),
    ],
)  # fmt: skip
def test_pictures_by_hand(
    rule: PatchRule, height: int, width: int, least: int, most: int, size: tuple[int, int], tokens: int
) -> None:
    assert rule.resize(height, width, least, most) == size
    assert rule.tokens(height, width, least, most) == tokens


@given(
    factor=st.sampled_from([28, 32]),
    height=st.integers(32, 600),
    width=st.integers(32, 600),
    limits=st.sampled_from([(25_088, 100_352), (3_136, 12_845_056), (65_536, 200_704)]),
)
def test_the_rule_is_that_of_the_model_s_own_processor(
    factor: int, height: int, width: int, limits: tuple[int, int]
) -> None:
    pytest.importorskip("transformers", reason="needs the extra 'llm'")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    theirs = smart_resize(height, width, factor, *limits)
    assert PatchRule("any", factor).resize(height, width, *limits) == theirs


def test_rules_by_name() -> None:
    assert patch_rule("qwen3-vl").factor == 32
    own = PatchRule("own", 16)
    assert patch_rule(own) is own
    with pytest.raises(UnknownName, match=r"unknown model family 'llava'; valid: qwen2-vl, qwen2\.5-vl, qwen3-vl"):
        patch_rule("llava")
    with pytest.raises(InvalidSetting, match="factor must be an integer >= 1, got 0"):
        PatchRule("none", 0)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("ääää", 2), ("日本", 2)])
def test_text_is_counted_by_bytes(text: str, tokens: int) -> None:
    assert text_tokens(text) == tokens
    assert text_tokens(text, len) == len(text)


def played(**info: Any) -> EpisodeRecord:
    """An overview of 5 frames, a clip of 4, a refused zoom, an answer; frames of 56 x 84 pixels are 2 x 3 tokens."""
    video = ArrayVideo(np.zeros((40, 56, 84, 3), dtype=np.uint8), 4.0, "array:x")
    task = VideoTask("x", video, "What?", ("a", "b"), "a")
    episode = Episode(task, Budget(overview_frames=5, clip_frames=4, min_pixels=1))
    episode.step(Zoom(3.0, 5.0, 2.0))
    episode.step(Zoom(5.0, 3.0, 2.0))
    episode.step(Answer("A"))
    episode.record.set_info(**info)
    return episode.record


def test_the_ledger_of_an_episode() -> None:
    record = played(tool_seconds=0.5, model_seconds=2.0, wall_seconds=2.5)
    costs = EpisodeCosts.of(record)
    assert costs.frames_shown == 9
    assert costs.visual_tokens == 54
    assert costs.passes == 3
    assert costs.written_tokens == 5 + 5 + 1
    assert costs.text_tokens == sum(math.ceil(len(message.text) / 4) for message in record.messages)
    assert costs.frames_decoded == sum(clip.decoded for clip in record.clips) > 0
    assert costs.decode_seconds == sum(round(clip.seconds, 6) for clip in record.clips)
    assert (costs.tool_seconds, costs.model_seconds, costs.wall_seconds) == (0.5, 2.0, 2.5)
    assert EpisodeCosts.of(record, "qwen3-vl").visual_tokens == 9 * 2 * 3  # 56 / 32 = 1.75, 84 / 32 = 2.6
    assert EpisodeCosts.of(record, PatchRule("fine", 14)).visual_tokens == 9 * 4 * 6
    assert EpisodeCosts.of(record, tokenizer=lambda text: 1).text_tokens == len(record.messages)


def test_costs_grow_from_turn_to_turn() -> None:
    record = played(tool_seconds=0.5, model_seconds=2.0, wall_seconds=2.5)
    ledgers = [EpisodeCosts.of(record.upto(count)).to_json() for count in range(4)]
    assert [ledger["visual_tokens"] for ledger in ledgers] == [30, 54, 54, 54]
    assert [ledger["passes"] for ledger in ledgers] == [0, 1, 2, 3]
    for name in COSTS:
        values = [ledger[name] for ledger in ledgers]
        if name in END_COSTS:
            assert values[:3] == [None] * 3
            assert values[3] is not None
        else:
            assert values == sorted(value for value in values if value is not None)
    assert RUN_COSTS < END_COSTS < set(COSTS)


def test_a_saved_record_costs_the_same() -> None:
    record = played(tool_seconds=0.5, model_seconds=2.0, wall_seconds=2.5)
    assert EpisodeCosts.of(EpisodeRecord.from_line(record.to_line())) == EpisodeCosts.of(record)


def test_what_nobody_noted_is_not_known() -> None:
    costs = EpisodeCosts.of(played())
    assert (costs.tool_seconds, costs.model_seconds, costs.wall_seconds) == (None, None, None)
