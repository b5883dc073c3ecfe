from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vzgym.agents.data.phrases import PHRASES, choose_phrase, compose
from vzgym.agents.data.scripted import TRAJECTORY_KINDS, ScriptedRollout, TrajectoryStyle, resume_with_expert
from vzgym.baselines.experts import Expert
from vzgym.baselines.memory import ExpertMemory, hints_for
from vzgym.core import Answer, Budget, Interval, Zoom
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.core.interval import coverage
from vzgym.episode import Episode, evidence_shown
from vzgym.episode.record import EpisodeRecord
from vzgym.episode.turn import Outcome
from vzgym.evaluation import evaluate
from vzgym.protocols import CompactTags, TagProtocol
from vzgym.tasks import expert_zooms, load_tasks
from vzgym.tasks.procedural.families.needle import Needle
from vzgym.tasks.procedural.search import Hints, Step
from vzgym.tasks.procedural.shipped import TINY_BUDGET

MICRO = load_tasks("needle-micro/train")


def viewer_of(suite: str, index: int, seed: int = 0) -> tuple[ExpertMemory, Episode]:
    tasks = load_tasks(suite)
    episode = Episode(tasks[index], tasks.budget)
    facts = episode.record.task
    viewer = ExpertMemory(
        facts.question, facts.options, facts.duration, tasks.budget, hints_for(tasks[index]), seed=seed
    )
    viewer.see_clip(episode.record.overview)
    return viewer, episode


def play(
    kind: str, suite: str, index: int, protocol: Any = None, seed: int = 0, book: str = "sentences"
) -> ScriptedRollout:
    tasks = load_tasks(suite)
    player = ScriptedRollout(tasks[index], tasks.budget, TrajectoryStyle(protocol or TagProtocol(), book), seed)
    script = TRAJECTORY_KINDS[kind].script
    assert script is not None
    script(player)
    return player


# The policy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suite", "zooms"),
    [("needle-micro", (1, 2)), ("control-micro", (0, 0)), ("needle-tiny", (1, 2)), ("count-tiny", (2, 3))],
)
def test_the_expert_finds_and_reads_the_answer(suite: str, zooms: tuple[int, int]) -> None:
    report = evaluate("expert", f"{suite}/test", episodes=30)
    assert all(item.correct for item in report.episodes)
    assert all(item.refused == 0 for item in report.episodes)
    counts = {item.zooms for item in report.episodes}
    assert counts <= set(range(zooms[0], zooms[1] + 1))
    assert len(counts) == zooms[1] - zooms[0] + 1
    assert report.privileged


def test_the_expert_is_never_told_place_or_answer() -> None:
    """Tasks that differ in their answer alone are searched alike; their hints are equal."""
    family = Needle(budget=TINY_BUDGET, duration=64.0, fps=10.0, height=64, width=64, scenes=8, event_seconds=0.5)
    variants = family.variants("x/test/0", seed=5)
    assert len({hints_for(task) for task in variants}) == 1
    zooms = []
    for task in variants:
        report: list[EpisodeRecord] = []
        evaluate(Expert(), [task], episodes=1, budget=TINY_BUDGET, on_episode=report.append)
        zooms.append([turn.action for turn in report[0].turns[:-1]])
        assert report[0].grade is not None
        assert report[0].grade.is_correct
    assert zooms[0]
    assert all(found == zooms[0] for found in zooms)


def test_without_a_cue_the_search_is_spread_and_repeatable() -> None:
    family = Needle(
        budget=TINY_BUDGET, duration=64.0, fps=10.0, height=64, width=64, scenes=8, event_seconds=0.5, cue="none"
    )
    starts = set()
    for seed in range(12):
        task = family.build("x/test/0", 7, 0)
        runs = []
        for _ in range(2):
            records: list[EpisodeRecord] = []
            evaluate(Expert(), [task], episodes=1, budget=TINY_BUDGET, seed=seed, on_episode=records.append)
            runs.append([turn.action for turn in records[0].turns])
        assert runs[0] == runs[1]
        first = runs[0][0]
        assert isinstance(first, Zoom)
        starts.add(first.start)
    assert len(starts) > 4


def test_a_question_of_no_family_is_guessed_at_among_its_options() -> None:
    task = MICRO[0]
    viewer = ExpertMemory("Who wrote this?", ("Ann", "Bob"), task.video.duration, MICRO.budget, Hints())
    step = viewer.next()
    assert step.reason == "guess"
    assert isinstance(step.action, Answer)
    assert step.action.text in ("Ann", "Bob")


def test_a_family_without_a_search_is_told_the_place() -> None:
    task = load_tasks("needle-tiny/train")[0]
    strange = replace(task, question="What is the colour of it?", metadata={**task.metadata, "family": "own"})
    assert hints_for(task, TINY_BUDGET).zooms == ()
    hints = hints_for(strange, TINY_BUDGET)
    assert hints.zooms == expert_zooms(strange, TINY_BUDGET)
    records: list[EpisodeRecord] = []
    evaluate(Expert(), [strange], episodes=1, budget=TINY_BUDGET, on_episode=records.append)
    assert [turn.action for turn in records[0].turns[:-1]] == list(hints.zooms)
    unknown = replace(strange, evidence=None)
    assert hints_for(unknown, TINY_BUDGET) == Hints(None, hints.fps)


# The viewer --------------------------------------------------------------------------------------------------------


def test_hints_hold_length_and_rate_but_not_the_place() -> None:
    task = load_tasks("needle-tiny/train")[3]
    assert task.evidence is not None
    hints = hints_for(task)
    assert hints.seconds == pytest.approx(task.evidence[0].duration)
    assert hints.fps == pytest.approx(2.0)
    assert hints_for(load_tasks("control-tiny/train")[0]).seconds is None


def test_the_viewer_finds_the_scene_in_the_overview() -> None:
    for index in range(8):
        viewer, _ = viewer_of("needle-micro/train", index)
        task = MICRO[index]
        assert task.evidence is not None
        assert viewer.scene is not None
        assert viewer.scene in task.question
        assert viewer.span.start <= task.evidence[0].start
        assert task.evidence[0].end <= viewer.span.end
        assert viewer.span.duration == pytest.approx(12.0)
        assert len(viewer.scenes) == 8


def test_a_gap_is_where_something_could_hide() -> None:
    viewer, _ = viewer_of("needle-micro/train", 0)
    pixels = np.full((6, 32, 32, 3), 90, dtype=np.uint8)
    viewer.see(pixels, np.arange(24.0, 30.0), Interval(24.0, 30.0))
    assert viewer.gap(Interval(24.0, 30.0), 1.0) is None
    assert viewer.gap(Interval(24.0, 36.0), 1.0) == Interval(29.0, 36.0)
    assert viewer.gap(Interval(24.0, 30.0), 0.5) == Interval(24.0, 25.0)


def test_a_model_that_looked_coarsely_is_searched_after() -> None:
    """The search goes by what was seen, not by what was asked for."""
    viewer, episode = viewer_of("needle-micro/train", 0)
    where = viewer.span
    turn = episode.step(Zoom(where.start, where.end, 0.25))
    viewer.see_clip(turn.clips[0])
    assert len(viewer.event_times()) == 0
    step = viewer.next()
    assert isinstance(step.action, Zoom)
    assert step.action.start == where.start
    assert step.action.fps == 1.0


@pytest.mark.parametrize("least", [0.3, 0.7, 1.0, 3.3, 9.9])
def test_rates_are_round_enough_and_fit(least: float) -> None:
    viewer, _ = viewer_of("needle-tiny/train", 0)
    fps = viewer.rate(least, 1.0, 2)
    assert least <= fps <= viewer.budget.max_fps
    assert viewer.rate(least, 16.0 / least, 2) == least
    assert viewer.rate(50.0, 1.0, 1) == viewer.budget.max_fps


def test_zooms_are_such_as_the_episode_carries_out() -> None:
    rng = np.random.default_rng(0)
    viewer, episode = viewer_of("needle-tiny/train", 0)
    for _ in range(200):
        start, length = rng.uniform(-2, 63), rng.uniform(0.01, 80)
        fps = float(rng.uniform(0.1, 10))
        zoom = viewer.zoom(start, start + length, fps)
        if zoom is None:
            continue
        fresh = Episode(episode.task, episode.budget)
        assert fresh.step(zoom).outcome is Outcome.EXECUTED


def test_mistakes_are_mistakes() -> None:
    made = 0
    for index in range(10):
        viewer, _ = viewer_of("needle-tiny/train", index, seed=index)
        wrong, coarse = viewer.wrong_scene(), viewer.too_coarse()
        assert wrong is not None
        assert coarse is not None
        assert isinstance(wrong.action, Zoom)
        assert isinstance(coarse.action, Zoom)
        assert wrong.action.end <= viewer.span.start or wrong.action.start >= viewer.span.end
        assert wrong.facts["other"] != viewer.scene
        assert coarse.action.fps < viewer.hints.fps / 2
        made += 1
    assert made == 10
    control, _ = viewer_of("control-tiny/train", 0)
    assert control.wrong_scene() is None
    assert control.too_coarse() is None


# Scripts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [name for name, kind in TRAJECTORY_KINDS.items() if kind.script and not kind.tool])
@pytest.mark.parametrize("protocol", [TagProtocol(), TagProtocol(think="none"), CompactTags()], ids=["tags", "no", "c"])
def test_every_script_ends_with_an_answer_in_form(kind: str, protocol: Any) -> None:
    for index in range(4):
        record = play(kind, "needle-micro/train", index, protocol, seed=index).episode.record
        assert record.answer is not None
        assert all(turn.well_formed for turn in record.turns)
        assert all(turn.outcome in (Outcome.EXECUTED, Outcome.ANSWERED) for turn in record.turns)
        for turn in record.turns:
            parsed = protocol.parse(turn.text)
            assert parsed.well_formed
            assert parsed.action == turn.action
            assert ("<think>" in turn.text) == (protocol.think != "none")


def test_kinds_do_what_they_say() -> None:
    zooms: dict[str, list[int]] = {kind: [] for kind in ("guess", "direct", "one_zoom", "oracle", "exemplar")}
    right: dict[str, list[bool]] = {kind: [] for kind in zooms}
    for kind in zooms:
        for index in range(24):
            record = play(kind, "needle-micro/train", index, CompactTags(), seed=index, book="short").episode.record
            assert record.grade is not None
            zooms[kind].append(record.zooms)
            right[kind].append(record.grade.is_correct)
    assert set(zooms["guess"]) == set(zooms["direct"]) == {0}
    assert set(zooms["one_zoom"]) == set(zooms["oracle"]) == {1}
    assert set(zooms["exemplar"]) == {1, 2}
    assert all(right["exemplar"])
    assert all(right["oracle"])
    assert all(right["direct"])
    assert sum(right["guess"]) < sum(right["one_zoom"]) < 24


def test_a_wide_zoom_covers_the_evidence_but_mostly_misses_it() -> None:
    seen = []
    for index in range(24):
        record = play("wide", "width-micro/train", index, CompactTags(), seed=index, book="short").episode.record
        first = record.turns[0].action
        assert isinstance(first, Zoom)
        assert (first.end - first.start, first.fps, record.zooms) == (12.0, 0.5, 1)
        assert coverage(record.task.evidence or (), record.windows) == 1.0
        seen.append(evidence_shown(record))
    assert 0 < sum(map(bool, seen)) < 12  # a quarter: half a second of every two
    narrow = play("wide", "needle-micro/train", 0).memory
    narrow.hints = replace(narrow.hints, seconds=2.0)
    narrow.zooms_left = 1
    assert narrow.wide() is None  # at this rate, it cannot miss such an event


def test_reflection_says_what_was_wrong_before_it_looks_again() -> None:
    reasons = set()
    for index in range(12):
        player = play("reflection", "needle-tiny/train", index, seed=index)
        assert player.reflects
        assert not player.lucky
        record = player.episode.record
        assert record.grade is not None
        assert record.grade.is_correct
        first, second = record.turns[0], record.turns[1]
        assert isinstance(first.action, Zoom)
        coarse = first.action.fps < 1.0
        reasons.add(coarse)
        assert ("wrong" in second.text) or ("coarse" in second.text) or ("closer" in second.text)
        (clip,) = first.clips
        evidence = record.task.evidence
        assert evidence is not None
        assert not any(time in evidence[0] for time in clip.times)
    assert reasons == {True, False}


def test_where_no_mistake_can_be_made_nothing_is_reflected_on() -> None:
    player = play("reflection", "control-tiny/train", 0)
    assert not player.reflects
    assert player.episode.record.zooms == 0


@pytest.mark.parametrize("book", ["sentences", "short"])
def test_needless_zooms_are_made_where_the_overview_has_shown_the_answer(book: str) -> None:
    for index in range(6):
        player = play("needless", "control-micro/train", index, CompactTags(), seed=index, book=book)
        record = player.episode.record
        zoom = record.turns[0].action
        assert isinstance(zoom, Zoom)
        assert player.memory.span.start <= zoom.start < zoom.end <= player.memory.span.end
        assert record.zooms == 1
        assert record.grade is not None
        assert record.grade.is_correct
        assert "does not show" not in record.turns[0].text


def test_where_the_overview_shows_nothing_no_zoom_is_needless() -> None:
    assert viewer_of("needle-micro/train", 0)[0].needless() is None
    needless, exemplar = (
        [turn.action for turn in play(kind, "needle-micro/train", 0, seed=3).episode.record.turns]
        for kind in ("needless", "exemplar")
    )
    assert needless == exemplar


def test_wrong_scene_searches_on_without_a_word() -> None:
    record = play("wrong_scene", "needle-tiny/train", 2).episode.record
    assert record.zooms >= 2
    assert "wrong" not in record.turns[1].text


def test_letters_only_where_letters_were_shown() -> None:
    assert play("exemplar", "needle-micro/train", 0, TagProtocol()).episode.record.answer in set("ABCDEF")
    assert play("exemplar", "needle-micro/train", 0, CompactTags()).episode.record.answer in MICRO[0].options


def test_the_same_seed_gives_the_same_words() -> None:
    texts = [[turn.text for turn in play("reflection", "needle-tiny/train", 1, seed=s).episode.record.turns] for s in
             (4, 4, 5)]  # fmt: skip
    assert texts[0] == texts[1] != texts[2]


# Going on from a wrong roll-out ------------------------------------------------------------------------------------


def wrong_rollout(index: int, zoom: Zoom | None) -> EpisodeRecord:
    episode = Episode(load_tasks("needle-tiny/train")[index], TINY_BUDGET, TagProtocol())
    protocol = TagProtocol()
    if zoom is not None:
        episode.step(zoom, text=compose(protocol, zoom, "My own words."))
    options = episode.task.options
    wrong = next(text for text in options if text != episode.task.answer)
    episode.step(Answer(wrong), text=compose(protocol, Answer(wrong), "Surely."))
    return episode.record


def test_the_expert_goes_on_from_a_wrong_roll_out() -> None:
    task = load_tasks("needle-tiny/train")[0]
    viewer, _ = viewer_of("needle-tiny/train", 0)
    where = viewer.span
    start = 60.0 if where.start < 32 else 0.0
    record = resume_with_expert(
        wrong_rollout(0, Zoom(start, start + 4, 2.0)), task, TrajectoryStyle(TagProtocol()), seed=0
    )
    assert record is not None
    assert record.grade is not None
    assert record.grade.is_correct
    assert "My own words." in record.turns[0].text
    assert not any("Surely." in turn.text for turn in record.turns)
    assert any(word in record.turns[1].text for word in ("did not show", "were not enough"))


def test_there_is_nothing_to_go_on_from_without_a_zoom() -> None:
    task = load_tasks("needle-tiny/train")[0]
    assert resume_with_expert(wrong_rollout(0, None), task, TrajectoryStyle(TagProtocol()), seed=0) is None


# Words -------------------------------------------------------------------------------------------------------------


def test_every_book_has_a_phrase_for_every_reason() -> None:
    reasons = {book: set(phrases) for book, phrases in PHRASES.items()}
    assert reasons["sentences"] == reasons["short"]
    facts = {
        "start": 8.0, "end": 16.5, "from": 8.0, "to": 12.0, "fps": 2.0, "gap": 0.5, "at": 9.25, "answer": "red",
        "other": "blue", "windows": "8 s to 12 s and 14 s to 16 s",
        "tool": "subtitles", "query": "a flash", "text": "a flash", "times": "9 s",
    }  # fmt: skip
    for book, phrases in PHRASES.items():
        for reason in phrases:
            for scene in ("", "teal"):
                text = choose_phrase(book, reason, {**facts, "scene": scene}, np.random.default_rng(0))
                assert text
                assert "{" not in text
                assert ".0" not in text


def test_wordings_vary_unless_told_not_to() -> None:
    facts = {"answer": "red"}
    many = {choose_phrase("sentences", "guess", facts, np.random.default_rng(seed)) for seed in range(20)}
    one = {choose_phrase("sentences", "guess", facts, np.random.default_rng(seed), wordings=1) for seed in range(20)}
    assert len(many) > 1
    assert len(one) == 1


def test_unknown_books_and_reasons_are_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UnknownName, match="sentences"):
        choose_phrase("novel", "look", {}, rng)
    with pytest.raises(UnknownName, match="look_on"):
        choose_phrase("short", "stare", {}, rng)


def test_a_protocol_that_cannot_read_itself_is_refused() -> None:
    class Mute(TagProtocol):
        def text_of(self, action: Any) -> str:
            return "hm"

    with pytest.raises(InvalidSetting, match="does not read its own form"):
        compose(Mute(), Answer("red"), "")


def test_a_step_carries_the_facts_of_its_place() -> None:
    viewer, _ = viewer_of("needle-micro/train", 0)
    step = viewer.next()
    assert isinstance(step, Step)
    assert isinstance(step.action, Zoom)
    assert step.facts["scene"] == viewer.scene
    assert step.facts["from"] == step.action.start
    assert Budget.from_mapping(MICRO.budget.to_dict()) == viewer.budget
