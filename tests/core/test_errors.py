"""Errors say what was wrong and where, are caught by who knows only built-ins, and cross process borders."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from vzgym.core import errors
from vzgym.core.errors import UnknownName, VideoError, VzgymError

MADE: list[VzgymError] = [
    UnknownName("reward module", "iuo", ["iou", "accuracy"], "Look again."),
    VideoError("no frame", path=Path("a") / "b.mp4", time=1.25, backend="pyav"),
    VideoError("no frame", path="b.mp4"),
    errors.InvalidSetting("x must be > 0, got -1"),
    errors.PluginError("cannot import 'x'"),
    errors.UntrustedName("a.json names 'x:Y'"),
    errors.DependencyNotInstalled("pip install vzgym[llm]"),
    errors.TaskError("no"),
    errors.SubtitleError("no"),
    errors.ActionTypeError("no"),
    errors.EpisodeEnded("no"),
    errors.RecordError("no"),
    errors.FolderInUse("no"),
    errors.ScorerError("no"),
    errors.SelectionError("no"),
    errors.ToolArgumentError("no"),
    errors.WorkerError("no"),
    errors.EndpointError("busy", url="http://x/v1", model="m", status=503, tries=3, advice="Wait"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: VzgymError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_public_error_is_ours_and_a_built_in() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, VzgymError)
        assert kind in (VzgymError, VideoError) or len(kind.__mro__) > len(VzgymError.__mro__) + 1, name
    assert {type(error).__name__ for error in MADE} == set(errors.__all__) - {"VzgymError"}


def test_an_unknown_name_lists_the_valid_ones_in_order() -> None:
    error = MADE[0]
    assert str(error) == "unknown reward module 'iuo'; did you mean 'iou'? Valid: accuracy, iou. Look again."
    assert isinstance(error, LookupError)
    assert str(UnknownName("suite", "x", [])) == "unknown suite 'x'; valid: none"


def test_a_video_error_names_path_time_and_back_end() -> None:
    error = MADE[1]
    assert str(error) == f"{Path('a') / 'b.mp4'} at 1.250 s (pyav): no frame"
    assert str(MADE[2]) == "b.mp4: no frame"
