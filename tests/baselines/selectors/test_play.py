"""Selectors as policies: one look, zooms, a language model that answers, costs, replay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vzgym
from vzgym.baselines.selectors.bolt import BOLT
from vzgym.baselines.selectors.play import SelectorPolicy, SelectorTextPolicy, plan_zooms
from vzgym.baselines.selectors.video import VideoSelector
from vzgym.cli.tasks import write_task_files
from vzgym.core.actions import Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting, TaskError, UnknownName
from vzgym.episode import Episode, EpisodeRecord
from vzgym.evaluation import read_records
from vzgym.evaluation.replay import replay
from vzgym.policies import POLICIES, PolicyTraits, SelectedOverview, load_policy
from vzgym.tasks import load_tasks


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("needle-tiny/test[:6]")


def played(policy, tasks, **more):
    records: list = []
    report = vzgym.evaluate(policy, tasks, on_episode=records.append, **more)
    return report, records


# One look -----------------------------------------------------------------------------------------------------------


def test_one_look_shows_the_selected_frames_alone(tasks):
    report, records = played({"name": "top-k", "fps": 4}, tasks)
    for record, task in zip(records, tasks, strict=True):
        chosen = VideoSelector("top-k", fps=4).select(task, 40).times
        assert record.overview.requested.tolist() == chosen.tolist()
        assert len(record.overview) == 40
        assert len(record.turns) == 1
        assert record.info.selected_overview
        (evidence,) = record.task.evidence
        assert ((chosen >= evidence.start) & (chosen < evidence.end)).any()
    assert report.accuracy.value == 1.0
    assert report.privileged
    # Analytic hit rates are those of grids that do not know the task.
    assert report.hit_rate is None


def test_as_many_frames_as_a_zooming_policy_or_as_asked(tasks):
    assert played("aks", tasks)[0].summary["frames"].value == tasks.budget.max_frames == 40
    assert played("aks:frames=8", tasks)[0].summary["frames"].value == 8
    assert played("aks:frames=500", tasks)[0].summary["frames"].value == 64


def test_records_of_selected_frames_replay(tasks, tmp_path):
    vzgym.evaluate("bolt:fps=4", tasks, out=tmp_path)
    for record in read_records(tmp_path):
        again = replay(record)
        assert again.differences == []
        assert again.record.overview.requested.tolist() == record.overview.requested.tolist()
        assert record.show(tmp_path / "picture.png").size[0] > 10


def test_frames_scored_are_charged(tasks):
    report, records = played({"name": "aks", "fps": 4}, tasks)
    assert report.totals["frames_scored"] == 6 * 256
    assert all(record.info.costs["frames_scored"] == 256 for record in records)
    assert report.summary["scorer_passes"].value == 0
    few = played({"name": "tree", "fps": 4}, tasks)[0].summary["frames_scored"].value
    assert 80 <= few < 90
    nothing = played("uniform-centre", tasks)[0].summary
    assert nothing["frames_scored"].value == nothing["candidates_decoded"].value == 0


def test_noise_makes_a_scorer_worse(tasks):
    many = load_tasks("needle-tiny/test[:30]")
    seen = [
        played({"name": "top-k", "fps": 4, "frames": 8, "scorer": {"name": "evidence", "noise": noise}}, many)[0]
        .summary["evidence_seen"]
        .value
        for noise in (0.0, 0.5, 1.0)
    ]
    assert seen[0] == 1.0 > seen[1] > seen[2]


@pytest.mark.parametrize(
    "name",
    ["top-k", "windows", "binary", "tree", "shots", "motion", "top-motion", "dpselect", "aks", "aks-videomme",
     "aks-longvideobench", "bolt", "bolt-longvideobench", "q-frame", "mdp3", "gift", "focus", "t-star", "videotree",
     "wfs-sb", "dig", "uniform-linspace", "uniform-centre", "uniform-arange"],
)  # fmt: skip
@pytest.mark.parametrize("play", ["look", "zoom"])
def test_every_selector_plays(name, play):
    tasks = load_tasks("tiny/test[:2]")
    report, records = played({"name": name, "play": play, "fps": 2}, tasks)
    assert report.summary["refused"].value == 0
    for record in records:
        assert record.end == "answered"
        assert record.frames <= tasks.budget.max_frames
        assert (record.zooms > 0) == (play == "zoom")
    again = played({"name": name, "play": play, "fps": 2}, tasks)[1]
    assert [[clip.requested.tolist() for clip in record.clips] for record in records] == [
        [clip.requested.tolist() for clip in record.clips] for record in again
    ]


def test_selectors_read_files_and_keep_their_scores(tasks, tmp_path):
    listing = write_task_files([tasks[0]], tmp_path / "videos", 1, "write")
    for name in ("aks", "shots", "mdp3", "tree"):
        spec = {"name": name, "frames": 6, "scorer": "histogram", "cache": str(tmp_path / "scores"), "fps": 2}
        first, again = (played(spec, listing)[1][0] for _ in range(2))
        assert len(first.overview) == 6
        assert first.info.costs == again.info.costs
        assert first.overview.hashes == again.overview.hashes
        assert first.info.costs["frames_scored"] == (12 if name == "tree" else 128)


# Zooms --------------------------------------------------------------------------------------------------------------


def test_zooms_reach_the_evidence(tasks):
    report, records = played({"name": "top-k", "fps": 4, "play": "zoom", "frames": 8}, tasks)
    assert report.accuracy.value == 1.0
    for record in records:
        assert record.zooms <= tasks.budget.max_zooms
        assert not record.info.selected_overview
        assert record.info.costs["frames_scored"] == 256


@given(
    chosen=st.sets(st.integers(0, 255), min_size=1, max_size=40),
    rate=st.sampled_from([0.01, 0.5, 4.0, 30.0]),
    zooms=st.integers(0, 5),
    frames=st.integers(1, 16),
    per_turn=st.integers(1, 5),
)
@settings(max_examples=200, deadline=None)
def test_planned_zooms_are_always_valid(chosen, rate, zooms, frames, per_turn):
    budget = Budget(max_zooms=zooms, clip_frames=frames, zooms_per_turn=per_turn)
    times, duration = np.array(sorted(chosen)) / rate, 256 / rate
    turns = plan_zooms(times, 1 / rate, duration, budget)
    assert len(turns) <= zooms
    assert bool(turns) == bool(zooms)
    plan = single_zooms(turns)
    for zoom in plan:
        assert 0 <= zoom.start < zoom.end <= duration + 1e-6
        assert budget.min_fps <= zoom.fps <= budget.max_fps
    for turn in turns:
        assert len(single_zooms([turn])) <= per_turn
        assert sum(zoom.num_frames for zoom in single_zooms([turn])) <= frames
    assert [zoom.start for zoom in plan] == sorted(zoom.start for zoom in plan)


def single_zooms(turns):
    return [zoom for turn in turns for zoom in (turn.zooms if isinstance(turn, Zooms) else (turn,))]


def test_evenly_spaced_groups_are_shown_exactly():
    times = np.array([3.0, 3.25, 3.5, 3.75, 20.0, 40.0, 40.25])
    plan = single_zooms(plan_zooms(times, 0.25, 64.0, Budget(max_zooms=3)))
    assert np.concatenate([zoom.times() for zoom in plan]) == pytest.approx(times)
    # Without gaps nothing is cut, unless the frames are too many.
    whole = single_zooms(plan_zooms(np.arange(12.0), 1.0, 64.0, Budget(max_zooms=4)))
    assert [(zoom.start, zoom.end) for zoom in whole] == [(0.0, 12.0)]
    parts = single_zooms(plan_zooms(np.arange(32.0), 1.0, 64.0, Budget(max_zooms=4)))
    assert [(zoom.start, zoom.end, zoom.num_frames) for zoom in parts] == [(0.0, 16.0, 16), (16.0, 32.0, 16)]
    assert single_zooms(plan_zooms(np.array([64.0]), 1.0, 64.0, Budget(max_zooms=1)))[0].end == 64.0


def test_several_zooms_in_a_turn_show_more_places():
    times = np.array([1.0, 20.0, 40.0, 60.0])
    few = plan_zooms(times, 0.25, 64.0, Budget(max_zooms=2, clip_frames=8))
    assert len(few) == 2
    turns = plan_zooms(times, 0.25, 64.0, Budget(max_zooms=2, clip_frames=8, zooms_per_turn=2))
    assert [zoom.start for zoom in single_zooms(turns)] == [1.0, 20.0, 40.0, 60.0]
    assert [len(turn.zooms) for turn in turns] == [2, 2]
    # Frames of a turn are shared.
    assert len(plan_zooms(times, 0.25, 64.0, Budget(max_zooms=2, clip_frames=1, zooms_per_turn=4))) == 2


# A language model answers -------------------------------------------------------------------------------------------


class Reader:
    """Says how many frames it sees, and answers A."""

    name = "reader"
    batch_size = 2
    protocol = "tags"

    def __init__(self):
        self.frames: list[int] = []
        self.costs: list[dict[str, float]] = []

    def reset(self, seeds):
        pass

    def respond(self, dialogues):
        self.frames += [sum(len(message.images) for message in messages) for messages in dialogues]
        self.costs = [{"requests": 1} for _ in dialogues]
        return ["<think>I look.</think><answer>A</answer>"] * len(dialogues)


def test_a_language_model_answers_from_selected_frames(tasks):
    reader = Reader()
    policy = load_policy({"name": "aks", "fps": 4, "policy": reader})
    assert isinstance(policy, SelectorTextPolicy)
    assert policy.name == "aks (evidence) + reader"
    report, records = played(policy, tasks)
    assert reader.frames == [40] * 6
    assert report.summary["passes"].value == 1
    assert report.totals["requests"] == 6
    assert report.totals["frames_scored"] == 6 * 256
    assert all(record.answer == "A" for record in records)
    with pytest.raises(InvalidSetting, match="must generate text"):
        load_policy({"name": "aks", "policy": "blind"})
    with pytest.raises(InvalidSetting, match="must be 'look' or 'sizes'"):
        load_policy({"name": "aks", "policy": reader, "play": "zoom"})


# Sizes --------------------------------------------------------------------------------------------------------------


class Teller:
    """Answers, and counts what it has seen."""

    name = "teller"
    protocol = "tags"

    def reset(self, seeds):
        self.seen = []

    def respond(self, dialogues):
        self.seen += [sum(len(message.images) for message in dialogue) for dialogue in dialogues]
        self.costs = [{"requests": 1.0}] * len(dialogues)
        return ["<think>x</think><answer>A</answer>"] * len(dialogues)


def check_sizes(record, frames):
    """The frames of the first turn have three sizes, and together as many pixels as `frames` of the largest."""
    assert len(record.overview) == 0
    assert record.turns[0].outcome == "executed"
    clips = record.turns[0].clips
    assert [len(clip) for clip in clips] == [1] * len(clips)
    times = [float(clip.requested[0]) for clip in clips]
    assert times == sorted(set(times))
    pixels = np.array([clip.size[0] * clip.size[1] for clip in clips])
    largest = pixels.max()
    shares = [round(float(value), 1) for value in pixels / largest]
    # Whole rows and columns only.
    assert [shares.count(share) for share in sorted(set(shares), reverse=True)] == [frames // 2, frames, 4 * frames]
    assert pixels.sum() <= frames * largest
    assert len(record.turns) == 2


def test_q_frame_shows_three_sizes_for_the_tokens_of_one():
    played: list[EpisodeRecord] = []
    policy = {"name": "q-frame", "play": "sizes", "frames": 8, "scorer": "hash", "fps": 1.0}
    report = vzgym.evaluate(policy, "needle-tiny/test", episodes=1, on_episode=played.append)
    (record,) = played
    check_sizes(record, 8)
    assert record.info.costs["frames_scored"] == 64
    assert report.summary["frames"].value == 44
    assert report.policy == "q-frame sizes (hash)"
    # The largest frames have the size of the others' only frames.
    largest = max(clip.size for clip in record.turns[0].clips)
    task = load_tasks("needle-tiny/test")[0]
    assert largest == load_tasks("needle-tiny").budget.fit(task.video.height, task.video.width)


def test_a_language_model_is_shown_the_sizes_as_its_own_zooms():
    played: list[EpisodeRecord] = []
    teller = Teller()
    policy = SelectorTextPolicy("q-frame", teller, "hash", play="sizes", frames=4, fps=1.0)
    vzgym.evaluate(policy, "needle-tiny/test", episodes=2, on_episode=played.append)
    for record in played:
        check_sizes(record, 4)
        assert record.info.costs["requests"] == 1.0
        assert record.info.costs["frames_scored"] == 64
    assert teller.seen == [22, 22]


# Names --------------------------------------------------------------------------------------------------------------


def test_names_options_and_short_forms():
    policy = load_policy("bolt:scorer=hash,power=2.5,frames=8")
    assert isinstance(policy, SelectorPolicy)
    assert isinstance(policy.frames_of.selector, BOLT)
    assert policy.frames_of.selector.power == 2.5
    assert policy.name == "bolt:power=2.5 (hash)"
    assert not PolicyTraits.of(policy).privileged
    noisy = load_policy("aks:scorer=evidence:noise=0.5,play=zoom")
    assert noisy.name == "aks zoom (evidence:noise=0.5)"
    assert noisy.frames_of.scorer.noise == 0.5
    assert PolicyTraits.of(noisy).privileged
    mine = load_policy({"name": "selector", "selector": {"name": "aks", "depth": 3}, "scorer": "hash"})
    assert mine.name == "aks:depth=3 (hash)"
    assert set(POLICIES.names()) >= {"aks", "selector", "mdp3"}
    one, other = load_policy("aks"), load_policy("aks:scorer=evidence:noise=0.5")
    assert one.identity != other.identity


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("aks:depth=-1", InvalidSetting, "depth must be"),
        ("aks:colour=red", InvalidSetting, "no option 'colour'; valid: depth, exact, threshold"),
        ("aks:play=dance", InvalidSetting, "play must be 'look' or 'zoom' or 'sizes'"),
        ("aks:play=sizes", InvalidSetting, "selector 'aks' has no frames of several sizes .* q-frame has"),
        ({"name": "q-frame", "play": "zoom", "policy": "blind"}, InvalidSetting, "must be 'look' or 'sizes'"),
        ({"name": "q-frame", "reader": "auto", "policy": "blind"}, InvalidSetting, "no option reader"),
        ("aks:frames=0", InvalidSetting, "frames must be an integer >= 1"),
        ("aks:fps=0", InvalidSetting, "fps must be"),
        ("aks:scorer=clop", UnknownName, "unknown scorer 'clop'"),
        ("mdp3:scorer=hash", InvalidSetting, "needs embeddings .* which scorer 'hash' does not have"),
        ("uniform-centre:scorer=hash", InvalidSetting, "uses no scorer"),
        ({"name": "selector"}, InvalidSetting, "needs the option selector"),
        ({"name": "selector", "selector": "aks", "depth": 3}, InvalidSetting, "no option depth"),
        ({"name": "selector", "selector": "ask"}, UnknownName, "unknown selector 'ask'"),
    ],
)
def test_wrong_settings_are_named(spec, error, words):
    with pytest.raises(error, match=words):
        load_policy(spec)


def test_embeddings_come_from_the_scorer_if_it_has_them():
    assert VideoSelector("mdp3").embedder.name == "histogram"
    assert VideoSelector("dig").scorer.name == "evidence"
    assert VideoSelector("dig").embedder.name == "histogram"
    both = VideoSelector("videotree", "histogram")
    assert both.embedder is both.scorer
    task = load_tasks("needle-tiny/test")[0]
    # Embedded once, for both.
    assert both.select(task, 4).costs["frames_scored"] == 64
    assert VideoSelector("videotree", "hash").select(task, 4).costs["frames_scored"] == 128


def test_unknown_evidence_ends_the_run(tasks):
    from dataclasses import replace

    task = replace(tasks[0], evidence=None)
    with pytest.raises(TaskError, match="scorer 'evidence' needs a task with known evidence"):
        vzgym.evaluate("aks", [task])


# Selected overviews -------------------------------------------------------------------------------------------------


def test_an_overview_s_times_are_checked(tasks):
    budget = Budget(overview_frames=3, max_zooms=0)
    for times in ([1.0, 1.0], [2.0, 1.0], [[1.0]], [float("nan"), 1.0]):
        with pytest.raises(InvalidSetting, match="ascending seconds"):
            Episode(tasks[0], budget, overview=np.array(times))
    with pytest.raises(InvalidSetting, match="4 frames, but overview_frames is 3"):
        Episode(tasks[0], budget, overview=np.arange(4.0))
    with pytest.raises(InvalidSetting, match="times must lie in"):
        Episode(tasks[0], budget, overview=np.array([1e6]))
    given = np.array([1.0, 2.5])
    assert Episode(tasks[0], budget, overview=given).record.overview.requested.tolist() == [1.0, 2.5]
    assert given.flags.writeable


def test_any_policy_may_select_its_overview(tasks):
    class Middle:
        """Looks at one frame, and answers A."""

        def overview(self, task, seed):
            return SelectedOverview(np.array([task.video.duration / 2]), {"frames_scored": 7})

        def reset(self, seed):
            pass

        def act(self, observation, info):
            assert observation["num_frames"] == 1
            return vzgym.Answer("A")

    report, records = played(Middle(), tasks)
    assert report.totals["frames_scored"] == 6 * 7
    assert not report.privileged
    assert records[0].overview.requested.tolist() == [32.0]

    class Wrong(Middle):
        def overview(self, task, seed):
            return [1.0]

    with pytest.raises(InvalidSetting, match="must return a SelectedOverview or None"):
        vzgym.evaluate(Wrong(), tasks)
