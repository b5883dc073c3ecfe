"""Rewards on evidence that go beyond the overlap, worked by hand. Evidence [4, 5) of 10 s."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from vzgym.core import Action, Answer, Interval, Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import EpisodeRecord
from vzgym.rewards import REWARDS, RewardContext

Play = Callable[..., EpisodeRecord]

BLUE, RED = Answer("blue"), Answer("red")


def end(name: str, record: EpisodeRecord, **options: float) -> float | None:
    """The value of the last turn; all before are 0."""
    module = REWARDS.make({"name": name, **options})
    *before, last = [module.score(record.upto(count), RewardContext()) for count in range(1, len(record.turns) + 1)]
    assert before == [0.0] * len(before)
    return last


@pytest.mark.parametrize(
    ("actions", "value"),
    [
        ([BLUE], -0.5),  # no zoom: IoU 0
        ([Zoom(6.0, 7.0, 1.0), BLUE], -0.5),
        ([Zoom(4.0, 5.0, 1.0), RED], 1.0),
        ([Zoom(4.0, 6.0, 1.0), BLUE], 0.5),
        # IoU 0.05 / 1.95 = 1/39, below 0.1: 1/39 - 0.5 * (1 - 10/39)
        ([Zoom(4.95, 5.95, 1.0), BLUE], 1 / 39 - 0.5 * (1 - 10 / 39)),
    ],
)
def test_penalized_iou(play: Play, actions: Sequence[Action], value: float) -> None:
    assert end("penalized_iou", play(actions)) == pytest.approx(value)


def test_penalized_iou_is_continuous_at_its_threshold_and_iou_without_a_penalty(play: Play) -> None:
    record = play([Zoom(4.0, 6.0, 1.0), BLUE])  # IoU 0.5
    assert end("penalized_iou", record, threshold=0.5) == pytest.approx(0.5)
    assert end("penalized_iou", record, threshold=0.5 + 1e-9, penalty=1.0) == pytest.approx(0.5)
    miss = play([Zoom(6.0, 7.0, 1.0), BLUE])
    assert end("penalized_iou", miss, penalty=0.0) == end("iou_union", miss) == 0.0


@pytest.mark.parametrize(
    ("actions", "value"),
    [
        ([BLUE], 0.0),  # right by luck
        ([Zoom(6.0, 7.0, 1.0), BLUE], 0.0),
        ([Zoom(4.0, 5.0, 1.0), BLUE], 1.0),
        ([Zoom(2.0, 6.0, 1.0), BLUE], 1.0),  # IoU 1/4, well above 0.05
        ([Zoom(4.0, 5.0, 1.0), RED], 0.0),
        ([Zoom(4.975, 5.975, 1.0), BLUE], (0.025 / 1.975) / 0.05),
    ],
)
def test_evidence_gate(play: Play, actions: Sequence[Action], value: float) -> None:
    assert end("evidence_gate", play(actions)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("actions", "value"),
    [
        ([BLUE], 0.0),
        ([Zoom(4.0, 5.0, 4.0), BLUE], 1.0),
        ([Zoom(3.0, 5.0, 2.0), RED], 0.5),  # 3.0, 3.5, 4.0, 4.5
        ([Zoom(4.0, 5.0, 4.0), Zoom(6.0, 8.0, 2.0), BLUE], 0.5),  # the frames of all clips count alike
        ([Zoom(5.0, 6.0, 4.0), BLUE], 0.0),  # half-open: 5.0 is outside
    ],
)
def test_frame_purity(play: Play, actions: Sequence[Action], value: float) -> None:
    assert end("frame_purity", play(actions)) == pytest.approx(value)


MODULES = ["penalized_iou", "evidence_gate", "frame_purity"]


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("evidence", [None, ()])
def test_without_evidence_they_are_unscored(play: Play, name: str, evidence: tuple[Interval, ...] | None) -> None:
    record = play([Zoom(4.0, 5.0, 1.0), BLUE], evidence=evidence)
    assert REWARDS.make(name).score(record, RewardContext()) is None


@pytest.mark.parametrize("name", MODULES)
def test_after_a_video_error_they_are_unscored(play: Play, name: str) -> None:
    assert end(name, play([Zoom(4.0, 5.0, 1.0), Zoom(9.0, 10.0, 4.0)])) is None


def test_without_a_known_answer_the_gate_is_unscored(play: Play) -> None:
    assert end("evidence_gate", play([Zoom(4.0, 5.0, 1.0), BLUE], answer="")) is None


@pytest.mark.parametrize(("name", "option", "value"), [
    ("penalized_iou", "threshold", 0.0), ("penalized_iou", "threshold", 1.5), ("penalized_iou", "penalty", -1.0),
    ("evidence_gate", "threshold", 0.0), ("evidence_gate", "threshold", float("nan")),
])  # fmt: skip
def test_options_out_of_range_are_refused(name: str, option: str, value: float) -> None:
    with pytest.raises(InvalidSetting, match=option):
        REWARDS.make({"name": name, option: value})
