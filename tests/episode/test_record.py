"""Records: JSON and back without loss, and a named error for whatever else a line may hold."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core import Answer, Budget, Interval, Malformed, Region, Zoom
from vzgym.core.errors import InvalidSetting, RecordError, TaskError
from vzgym.episode import End, Episode, EpisodeRecord, Grade, GradeStatus, Outcome, PlainWording, Refusal
from vzgym.tasks.task import VideoTask

MakeTask = Callable[..., VideoTask]


@pytest.fixture(scope="module")
def played(make_task: MakeTask, budget: Budget) -> EpisodeRecord:
    """An episode with everything that is awkward to write down: NaN, infinity, regions, accents, all outcomes."""
    task = make_task(
        id="größe/ünï/7",
        question="Où est «le chat» 猫? \u2028 \x85 end",
        metadata={"seed": 7, "cue": None, "grid": [0.0, 2.0], "nested": {"é": True}},
    )
    episode = Episode(task, replace(budget, max_zooms=5, spatial=True))
    episode.step(Zoom(4.0, 5.0, 3.3, Region(0.1, 0.2, 0.7, 0.9)))
    episode.step(Zoom(math.nan, math.inf, -math.inf, Region(math.nan, 0.0, 1.0, 1.0)))
    episode.step(Zoom(0.1, 1.0, 3.7), text="schöne 猫\nzweite Zeile", well_formed=False)
    episode.step(Malformed("kein „Etikett“"), text="\u2029\x00\ud800 half a pair")
    episode.step(Answer("B. blue — naïve"), text="<answer>B. blue — naïve</answer>")
    episode.record.rewards = [{"total": None, "terms": {"accuracy": {"value": 1.0, "weight": 0.9}}}] * 5
    episode.record.set_info(policy="tests", seed=3, index=0)
    return episode.record


def test_a_line_is_one_line_of_utf8_for_every_reader(played: EpisodeRecord) -> None:
    line = played.to_line()
    assert len(line.splitlines()) == 1
    assert json.loads(line.encode("utf-8")) == json.loads(line)
    # Readable where it can be.
    assert "größe/ünï/7" in line
    assert "猫" in line


def test_nothing_but_the_pixels_is_lost(played: EpisodeRecord) -> None:
    back = EpisodeRecord.from_line(played.to_line())
    assert back.to_line() == played.to_line()
    assert back.task == replace(played.task, metadata=back.task.metadata)
    assert back.task.metadata == played.task.metadata
    assert back.budget == played.budget
    assert back.end is End.ANSWERED
    assert back.grade == Grade(GradeStatus.CORRECT, "blue")
    assert back.info == played.info
    assert back.rewards == played.rewards
    assert [(m.role, m.text) for m in back.messages] == [(m.role, m.text) for m in played.messages]
    for turn, old in zip(back.turns, played.turns, strict=True):
        assert (turn.text, turn.well_formed, turn.detail) == (old.text, old.well_formed, old.detail)
        assert turn.outcome is old.outcome
        assert turn.refusal is old.refusal
    assert [clip.hashes for clip in back.clips] == [clip.hashes for clip in played.clips]
    assert [clip.times.tolist() for clip in back.clips] == [clip.times.tolist() for clip in played.clips]
    assert [clip.region for clip in back.clips] == [clip.region for clip in played.clips]
    assert back.windows == played.windows
    assert (back.zooms, back.frames, back.answer, back.rounds_left) == (2, played.frames, "B. blue — naïve", 0)
    assert all(clip.pixels is None for clip in back.clips)
    assert all(message.images == [] for message in back.messages)


def test_zooms_that_json_has_no_number_for_come_back(played: EpisodeRecord) -> None:
    turn = EpisodeRecord.from_line(played.to_line()).turns[1]
    assert turn.refusal is Refusal.NOT_FINITE
    assert isinstance(turn.action, Zoom)
    assert math.isnan(turn.action.start)
    assert turn.action.end == math.inf
    assert turn.action.fps == -math.inf
    assert turn.action.region is not None
    assert math.isnan(turn.action.region.left)
    assert "NaN" not in played.to_line()
    assert "Infinity" not in played.to_line()


def test_an_infinite_rate_of_the_overview_comes_back(make_task: MakeTask, budget: Budget) -> None:
    record = Episode(make_task(), replace(budget, overview_fps=math.inf)).record
    back = EpisodeRecord.from_line(record.to_line())
    assert back.budget == record.budget
    assert back.overview.times.tolist() == record.overview.times.tolist()
    assert (back.end, back.grade, back.rewards, back.rounds_left) == (None, None, None, 3)


@pytest.mark.parametrize("evidence", [None, (), (Interval(1.0, 2.0), Interval(3.5, 4.0))])
def test_no_evidence_and_unknown_evidence_stay_apart(
    make_task: MakeTask, budget: Budget, evidence: tuple[Interval, ...] | None
) -> None:
    record = Episode(make_task(evidence=evidence), budget).record
    assert EpisodeRecord.from_line(record.to_line()).task.evidence == evidence


def test_the_record_as_it_stood(played: EpisodeRecord) -> None:
    for count in range(len(played.turns)):
        part = played.upto(count)
        assert part.turns == played.turns[:count]
        assert (part.end, part.grade, part.answer, part.rewards) == (None, None, None, None)
        assert part.rounds_left == played.budget.max_rounds - count
        assert part.task is played.task
    assert played.upto(len(played.turns)) is played
    assert [len(played.upto(count).windows) for count in range(6)] == [0, 1, 1, 2, 2, 2]
    assert [played.upto(count).frames for count in range(4)] == [5, 9, 9, 13]
    # Growing the part leaves the whole alone.
    played.upto(2).turns.append(played.turns[0])
    assert len(played.turns) == 5


@pytest.mark.parametrize("count", [-1, 6])
def test_a_record_has_no_more_turns_than_it_has(played: EpisodeRecord, count: int) -> None:
    with pytest.raises(InvalidSetting, match=f"a record of 5 turns has no first {count}"):
        played.upto(count)


def test_a_ledger_that_json_cannot_hold_is_named(make_task: MakeTask, budget: Budget) -> None:
    record = Episode(make_task(), budget).record
    record.rewards = [{"total": math.nan, "terms": {}}]
    with pytest.raises(RecordError, match=r"the record of task 'ramp/1' .* as JSON: nan at rewards\[0\]\.total"):
        record.to_line()


class Unsaved(PlainWording):
    """A wording whose options have no JSON form."""

    spec = {"name": "plain", "font": object()}  # type: ignore[assignment]  # noqa: RUF012


def test_what_a_record_needs_is_checked_before_its_episode(make_task: MakeTask, budget: Budget) -> None:
    with pytest.raises(RecordError, match="run information 'wording' holds a object at font"):
        Episode(make_task(), budget, Unsaved())
    with pytest.raises(TaskError, match=r"metadata\[.a.\] must be a JSON value"):
        make_task(metadata={"a": [math.nan]})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"version": 3, "task": {"id": "to', "not JSON"),
        ("[" * 100_000, "not readable: values nested more than 64 levels deep"),
        ("9" * 5000, "not readable: Exceeds the limit"),
        ("null", "not an episode record: a NoneType without 'version'"),
        ("[]", "not an episode record: a list without 'version'"),
        ("{}", "not an episode record: a dict without 'version'"),
        ('{"version": 2}', "an episode record of version 2, but this vzgym ("),
        ('{"version": 99}', "reads version 3: play the episodes again, or read them with the vzgym that wrote them"),
        ('{"version": 3}', "broken episode record: KeyError: 'grade'"),
        ('{"id": "x", "question": "?"}', "not an episode record"),
    ],
)
def test_torn_and_foreign_lines_are_named_with_their_place(line: str, says: str) -> None:
    with pytest.raises(RecordError) as raised:
        EpisodeRecord.from_line(line, "runs/a.jsonl:17")
    assert str(raised.value).startswith("runs/a.jsonl:17: ")
    assert says in str(raised.value)


def test_every_torn_line_is_refused(played: EpisodeRecord) -> None:
    line = played.to_line()
    for cut in range(0, len(line), 97):
        with pytest.raises(RecordError, match=r"^here: not JSON"):
            EpisodeRecord.from_line(line[:cut], "here")


def test_a_missing_key_is_named(played: EpisodeRecord) -> None:
    data = played.to_json()
    for key in set(data) - {"version"}:
        torn = {name: value for name, value in data.items() if name != key}
        with pytest.raises(RecordError, match=f"broken episode record: KeyError: '{key}'"):
            EpisodeRecord.from_json(torn)


def test_an_unknown_code_is_named(played: EpisodeRecord) -> None:
    for path, says in (
        (("end",), "'lost' is not a valid End"),
        (("turns", 0, "outcome"), "'lost' is not a valid Outcome"),
        (("turns", 1, "refusal"), "'lost' is not a valid Refusal"),
        (("grade", "status"), "'lost' is not a valid GradeStatus"),
        (("budget", "clip_frames"), "Budget.clip_frames must be an integer >= 1, got 'lost'"),
        (("budget", "spatial"), "Budget.spatial must be True or False, got 'lost'"),
        (("info", "index"), "run information 'index' must be a whole number or None, got 'lost'"),
        (("turns", 0, "action", "region", 0), "'lost' stands where a number should"),
        (("turns", 0, "clips", 0, "requested", 0), "ValueError"),
    ):
        data: Any = json.loads(played.to_line())
        spot = data
        for step in path[:-1]:
            spot = spot[step]
        spot[path[-1]] = "lost"
        with pytest.raises(RecordError, match=says):
            EpisodeRecord.from_json(data)


@pytest.mark.parametrize(
    ("path", "junk"),
    [
        (("task",), []),
        (("budget",), [1]),
        (("budget", "clip_frames"), 1.5),
        (("overview",), "x"),
        (("overview", "decoded"), math.inf),
        (("overview", "size"), [1, 2, 3]),
        (("overview", "window"), [2.0, 1.0]),
        (("turns",), {"a": 1}),
        (("turns", 0), None),
        (("turns", 0, "action"), 5),
        (("turns", 0, "action", "zoom"), [1.0]),
        (("turns", 0, "action", "max_pixels"), 2.5),
        (("turns", 0, "action"), {"zooms": []}),
        (("turns", 0, "action"), {"zooms": [{"zoom": [1.0, 2.0, 1.0]}]}),
        (("turns", 0, "action"), {"tool": "find", "arguments": [1]}),
        (("turns", 0, "action"), {"tool": 5, "arguments": {}}),
        (("turns", 0, "clips"), None),
        (("turns", 0, "reply"), None),
        (("turns", 0, "costs"), [1]),
        (("tools",), [{"name": "find"}]),
        (("messages", 0), "x"),
        (("grade",), "right"),
    ],
)
def test_values_of_the_wrong_form_are_record_errors(
    played: EpisodeRecord, path: tuple[str | int, ...], junk: object
) -> None:
    data: Any = json.loads(played.to_line())
    spot = data
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = junk
    with pytest.raises(RecordError, match="broken episode record"):
        EpisodeRecord.from_json(data)


def test_codes_are_a_closed_set() -> None:
    # Codes are in files and tables: a new name is a change of the format.
    assert [str(code) for code in Refusal] == [
        "not_finite",
        "reversed",
        "outside",
        "fps_out_of_range",
        "too_many_frames",
        "region_not_allowed",
        "region_invalid",
        "size_not_allowed",
        "size_out_of_range",
        "too_many_zooms",
        "unknown_tool",
        "tool_arguments",
        "last_round",
        "malformed",
        "zoom_first",
    ]
    assert [str(code) for code in End] == ["answered", "out_of_rounds", "video_error"]
    assert [str(code) for code in Outcome] == ["executed", "refused", "answered", "failed"]
    assert [str(code) for code in GradeStatus] == ["correct", "wrong", "unreadable", "missing", "unscored"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything within a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:3]):
            found += places(inner, (*path, index))
    return found


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1.5, math.inf, -math.inf, math.nan, 10**400, "", "x", "nan", [], {}, [1], {"a": 1}, [[]]]
)


@given(st.data())
def test_junk_in_any_place_is_a_record_error_or_a_record(played: EpisodeRecord, data: st.DataObject) -> None:
    record: Any = copy.deepcopy(played.to_json())
    path = data.draw(st.sampled_from(places(record)))
    spot = record
    for step in path[:-1]:
        spot = spot[step]
    if data.draw(st.booleans()):
        spot[path[-1]] = data.draw(JUNK)
    else:
        del spot[path[-1]]
    try:
        back = EpisodeRecord.from_json(record)
    except RecordError:
        return
    assert isinstance(back, EpisodeRecord)
