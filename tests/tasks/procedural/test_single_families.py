from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vzgym.baselines.memory import ExpertMemory, hints_for
from vzgym.baselines.readers import AutoReader
from vzgym.core import Budget, Interval, Zoom, overview_times
from vzgym.core.errors import InvalidSetting, TaskError
from vzgym.episode import Episode
from vzgym.tasks import Family, Suite, VideoTask, expert_zooms, hit_rate, load_jsonl, load_tasks, make_family
from vzgym.tasks.io.writing import write_tasks
from vzgym.tasks.procedural.families.anomaly import NORMAL, Anomaly
from vzgym.tasks.procedural.families.decoy import Decoy
from vzgym.tasks.procedural.families.direction import WAYS, Direction
from vzgym.tasks.procedural.families.needle import Needle
from vzgym.tasks.procedural.families.order import Order
from vzgym.tasks.procedural.families.speed import Speed
from vzgym.tasks.procedural.families.state import State
from vzgym.tasks.procedural.families.text import Text
from vzgym.tasks.procedural.families.twohop import TwoHop
from vzgym.tasks.procedural.render.glyphs import DIGITS, dots, ink_cover
from vzgym.tasks.procedural.render.painter import ScenePainter
from vzgym.tasks.procedural.render.palette import EVENT_COLORS
from vzgym.tasks.suite import SUITES
from vzgym.video.base import crop_box
from vzgym.video.synthetic import resize

NAMES = ["order", "state", "anomaly", "direction", "speed", "twohop", "decoy", "text"]
READER = AutoReader()


def tiny(name: str, **settings: Any) -> Family[Any]:
    """The family as its tiny suite has it, with other settings."""
    suite = SUITES.get(f"{name}-tiny")
    assert isinstance(suite, Suite)
    return make_family({**suite.members[0], **settings})


def look(task: VideoTask, budget: Budget, *, regions: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """What the expert's zooms show."""
    pixels, times = [], []
    for zoom in expert_zooms(task, budget):
        region = zoom.region if regions else None
        height, width = task.video.height, task.video.width
        if region is not None:
            top, bottom, left, right = crop_box(region, height, width)
            height, width = bottom - top, right - left
        shown = task.video.read(zoom.times(), size=budget.fit(height, width), region=region)
        pixels.append(shown.pixels)
        times.append(shown.times)
    return np.concatenate(pixels), np.concatenate(times)


def painted(task: VideoTask, frames: np.ndarray, size: int = 64) -> np.ndarray:
    pixels: np.ndarray = task.video.painter(frames, size, size)  # type: ignore[attr-defined]
    return pixels


@pytest.mark.parametrize("cue", ["visible", "partial", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_the_overview_is_the_same_for_every_answer_and_the_experts_frames_tell(name: str, cue: str) -> None:
    for settings in ({}, {"open": True, "distractors": 6, "noise": 8.0}):
        made = tiny(name, cue=cue, **settings)
        budget = made.settings.budget
        for seed in range(2):
            variants = made.variants("x", seed)
            size = budget.fit(variants[0].video.height, variants[0].video.width)
            grid = overview_times(variants[0].video.duration, budget)
            glances = [task.video.read(grid, size=size) for task in variants]
            assert all(np.array_equal(glances[0].pixels, other.pixels) for other in glances[1:])
            for task in variants:
                pixels, times = look(task, budget)
                assert READER.read(pixels, times, task.question, task.options).option == task.answer
            seen = READER.read(glances[0].pixels, grid, variants[0].question, variants[0].options).option
            assert seen == (NORMAL if name == "anomaly" else None)
            assert hit_rate(variants[0], grid) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_frames_depend_on_the_answer_where_the_task_says_so_and_nowhere_else(name: str) -> None:
    made = tiny(name)
    fps = made.settings.fps
    for seed in range(1 if name == "text" else 2):
        a, b = made.variants("x", seed)[1:3]
        frames = np.arange(a.video.num_frames or 0)
        size = a.video.height if name == "text" else 64
        inside = np.zeros(len(frames), dtype=bool)
        for span in a.varying:
            inside |= (frames / fps >= span.start - 1e-9) & (frames / fps < span.end - 1e-9)
        chosen = np.flatnonzero(inside | (frames % 31 == 0))
        differs = (painted(a, chosen, size) != painted(b, chosen, size)).any(axis=(1, 2, 3))
        assert not differs[~inside[chosen]].any()
        assert differs[inside[chosen]].any()
        assert all(any(s.start <= v.start and v.end <= s.end for s in a.evidence or ()) for v in a.varying)
        assert len(a.requirements.regions) == len(a.evidence or ())


@pytest.mark.parametrize("name", [*NAMES, "needle", "count", "control"])
def test_a_partial_cue_names_two_scenes_of_which_one_has_the_event(name: str) -> None:
    made = tiny(name, cue="partial")
    places = set()
    for seed in range(24):
        task = made.build("x", seed, 0)
        painter = task.video.painter  # type: ignore[attr-defined]
        words = task.question.replace("?", " ").replace(".", " ").replace(",", " ").split()
        middle = words.index("or")
        named = [words[middle - 1], words[middle + 1]]
        hues = [scene.hue for scene in painter.scenes]
        assert set(named) <= set(hues)
        if task.evidence:
            first = round(task.evidence[0].start * made.settings.fps)
            scene = hues[int(np.searchsorted(painter.cuts, first, side="right")) - 1]
            assert scene in named
            places.add(named.index(scene))
    assert places == ({0, 1} if name != "control" else set())


@pytest.mark.parametrize("name", [*NAMES, "needle", "count", "control"])
def test_open_questions_keep_their_answers_and_lose_their_options(name: str) -> None:
    closed, open_ = tiny(name), tiny(name, open=True)
    for task, other in zip(closed.variants("x", 3), open_.variants("x", 3), strict=True):
        assert other.options == ()
        assert (other.answer, other.question) == (task.answer, task.question)
        assert other.metadata["choices"] == list(task.options)


@pytest.mark.parametrize("name", [*NAMES, "needle", "count"])
def test_difficulty_makes_videos_longer_and_events_shorter(name: str) -> None:
    made = [tiny(name, difficulty=value) for value in (0.0, 0.5, 1.0)]
    easy, middle, hard = (family.settings for family in made)
    assert easy.duration < middle.duration < hard.duration == 64.0
    seconds = [family.settings.event_seconds for family in made]  # type: ignore[attr-defined]
    assert seconds[0] > seconds[1] > seconds[2]
    assert (easy.distractors, middle.distractors, hard.distractors) == (0, 4, 8)
    assert (easy.noise, hard.noise) == (0.0, 8.0)
    assert [family.difficulty for family in made] == [0.0, 0.5, 1.0]
    for family in made:
        task = family.build("x", 1, 0)
        assert task.metadata["difficulty_setting"] == family.difficulty
        assert isinstance(make_family(family).settings, type(hard))
    assert "difficulty_setting" not in tiny(name).build("x", 1, 0).metadata


@pytest.mark.parametrize("cue", ["visible", "partial", "none"])
@pytest.mark.parametrize("name", [*NAMES, "needle", "count"])
def test_a_search_never_gets_easier_as_the_difficulty_rises(name: str, cue: str) -> None:
    # Scenes of equal length: else a mean over few tasks depends on the scenes drawn.
    standard = {"even_scenes": True, "cue": cue, **({"budget": Budget(spatial=True)} if name == "text" else {})}
    for make in (
        lambda d: tiny(name, difficulty=d, cue=cue),
        lambda d: make_family({"name": name, "difficulty": d, **standard}),
    ):
        found = []
        for step in range(11):
            made = make(step / 10)
            found.append(np.mean([made.build("x", seed, 0).metadata["difficulty"] for seed in range(12)]))
        assert all(b >= a - 1e-9 for a, b in pairwise(found)), found
        assert found[-1] > found[0]


def test_difficulties_out_of_range_are_refused() -> None:
    for value in (-0.1, 1.5):
        with pytest.raises(InvalidSetting, match=r"difficulty must be None or in \[0, 1\]"):
            Needle(difficulty=value)


def test_distractors_are_dim_and_grain_is_the_same_in_every_batch() -> None:
    plain, noisy = Needle(cue="none"), Needle(cue="none", distractors=5, noise=10.0)
    task = noisy.build("x", 2, 0)
    painter = task.video.painter  # type: ignore[attr-defined]
    assert isinstance(painter, ScenePainter)
    assert len(painter.actors) == 6
    passer = painter.actors[0]
    frames = np.array([passer.first, passer.first + 3])
    assert painter(frames, 72, 128).max() <= 186
    at_once = painter(np.arange(40, 80), 36, 64)
    assert np.array_equal(at_once[7], painter(np.array([47]), 36, 64)[0])
    assert not np.array_equal(at_once[7], at_once[8])
    quiet = plain.build("x", 2, 0).video.painter(np.arange(40, 80), 36, 64)  # type: ignore[attr-defined]
    difference = at_once.astype(int) - quiet
    assert 4 < difference.std() < 8
    assert abs(difference.mean()) < 0.6


def test_an_order_is_that_of_its_flashes_and_every_pair_has_its_reverse() -> None:
    for seed in range(6):
        made = Order(events=2)
        task = made.build("x", seed, 1)
        orders = [option.split(", then ") for option in task.options]
        assert all(order[::-1] in orders for order in orders)
        assert len(Order(events=3).build("x", seed, 1).evidence or ()) == 3
        assert all(a.end < b.start for a, b in pairwise(task.evidence or ()))


def test_a_disc_moves_the_way_of_its_answer() -> None:
    for task in tiny("direction").variants("x", 4):
        span = (task.evidence or ())[0]
        frames = np.array([round(span.start * 10) + 1, round(span.end * 10) - 2])
        lit = painted(task, frames).max(axis=3) > 200
        first, last = (np.argwhere(frame).mean(axis=0) for frame in lit)
        down, across = np.sign(np.where(np.abs(last - first) > 8, last - first, 0))
        assert (across, down) == WAYS[task.answer]


def test_the_disc_of_the_answer_flies_farthest_while_all_are_seen_for_as_long() -> None:
    made = tiny("speed")
    for seed in range(3):
        for task in made.variants("x", seed):
            first, last = (round(edge * made.settings.fps) for edge in (task.evidence or ())[0].to_list())
            flights = [actor for actor in task.video.painter.actors if actor.first == first]  # type: ignore[attr-defined]
            names = {color: name for name, color in EVENT_COLORS.items()}
            ways = {names[flight.color]: abs(flight.end[0] - flight.start[0]) for flight in flights}
            assert set(ways) == set(task.options)
            assert {flight.last for flight in flights} == {last}
            slower = max(way for name, way in ways.items() if name != task.answer)
            assert slower <= 0.6 * ways[task.answer]
            one = task.video.read(np.array([(first + 5) / made.settings.fps]))
            assert READER.read(one.pixels, one.times, task.question, task.options).option is None


def test_nothing_unusual_is_as_frequent_as_any_oddity_and_really_is_nothing() -> None:
    made = tiny("anomaly")
    variants = {task.answer: task for task in made.variants("x", 5)}
    span = (variants[NORMAL].evidence or ())[0]
    frames = np.arange(round(span.start * 10) - 2, round(span.end * 10) + 2)
    areas = {answer: (painted(task, frames).max(axis=3) > 200).mean(axis=(1, 2)) for answer, task in variants.items()}
    assert areas[NORMAL].min() > 0.5 * areas[NORMAL].max()
    assert (areas["it vanishes"][3:-3] == 0).all()
    assert set(areas) == {NORMAL, "it vanishes", "it turns white", "it splits in two"}


def test_two_hops_need_the_card() -> None:
    made = tiny("twohop")
    for seed in range(4):
        for task in made.variants("x", seed)[:2]:
            card, flash = task.evidence or ()
            both = task.video.read(np.array([card.start, flash.start + 0.3]))
            alone = task.video.read(np.array([flash.start + 0.3]))
            assert READER.read(both.pixels, both.times, task.question, task.options).option == task.answer
            assert READER.read(alone.pixels, alone.times, task.question, task.options).option is None
            assert task.varying == (flash,)


def test_each_step_of_two_hops_states_the_scene_that_it_searches() -> None:
    tasks = load_tasks("twohop-micro/train")
    reasons = []
    for index in range(4):
        task = tasks[index]
        memory = ExpertMemory(
            task.question, task.options, task.video.duration, tasks.budget, hints_for(task, tasks.budget), seed=index
        )
        memory.see_clip(Episode(task, tasks.budget).record.overview)
        scenes = dict(memory.scenes)
        step = memory.next()
        while isinstance(step.action, Zoom):
            where = scenes[step.facts["scene"]]
            assert (step.facts["start"], step.facts["end"]) == (where.start, where.end)
            assert where.start <= step.action.start < step.action.end <= where.end
            assert (step.reason == "follow") == (
                step.facts["scene"] != memory.scene and step.action.start == where.start
            )
            reasons.append(step.reason)
            times = step.action.start + np.arange(6.0)
            memory.see(task.video.read(times).pixels, times, Interval(step.action.start, step.action.end))
            memory.zooms_left -= 1
            step = memory.next()
        assert step.reason == "seen"
        assert step.action.text == task.answer
        # The scene that the question names does not show the answer.
        assert step.facts["scene"] == ""
    assert set(reasons) == {"look", "look_on", "follow"}


def test_a_decoys_ring_is_shown_by_the_overview_and_says_nothing() -> None:
    made = tiny("decoy")
    for seed in range(4):
        for task in made.variants("x", seed):
            (start, end), = task.metadata["decoys"]  # fmt: skip
            ring = task.video.read(np.array([(start + end) / 2]))
            assert (ring.pixels.max(axis=3) > 200).mean() > 0.03
            assert READER.read(ring.pixels, ring.times, task.question, task.options).option is None
            grid = overview_times(task.video.duration, made.settings.budget)
            before = grid[grid <= start].max()
            lights = task.video.read(np.array([before])).pixels[0, :14]
            assert (lights.min(axis=2) > 180).any()


def test_whole_frames_show_a_blank_sign_and_crops_the_number() -> None:
    for name in ("text-tiny", "text"):
        tasks = load_tasks(name, "test")
        budget = tasks.budget
        variants = tasks.variants(1)  # type: ignore[attr-defined]
        wholes = [look(task, budget, regions=False)[0] for task in variants]
        assert all(np.array_equal(wholes[0], other) for other in wholes[1:])
        span = variants[0].evidence[0]
        size = budget.fit(variants[0].video.height, variants[0].video.width)
        before = variants[0].video.read(np.array([span.start - 0.2, span.start + 0.2]), size=size).pixels
        left, top, right, bottom = variants[0].requirements.regions[0].to_list()
        sign = before[:, int(top * size[0]) : int(bottom * size[0]) + 1, int(left * size[1]) : int(right * size[1]) + 1]
        # The scenery around it moves a little in between; a number of dark dots would change far more.
        assert np.abs(sign[0].astype(int) - sign[1]).max() < 20
        # Shrunk from full resolution, as a file's frames are: the same but for rounding.
        full = [resize(task.video.read(np.array([span.start])).pixels, size).astype(int) for task in variants]
        assert max(np.abs(full[0] - other).max() for other in full[1:]) <= 1
        assert len({look(task, budget)[0].tobytes() for task in variants}) == len(variants)


def test_a_sign_in_a_file_is_read_from_a_crop(tmp_path: Path) -> None:
    made = tiny("text", duration=12.0, scenes=2)
    budget = made.settings.budget
    for task in load_jsonl(write_tasks(made.variants("x", 3)[:2], tmp_path)):
        pixels, times = look(task, budget)
        assert READER.read(pixels, times, task.question, task.options).option == task.answer
        whole, times = look(task, budget, regions=False)
        assert READER.read(whole, times, task.question, task.options).option is None
        task.video.close()


def test_the_text_expert_needs_spatial_zoom() -> None:
    task = load_tasks("text-tiny", "test")[0]
    (zoom,) = expert_zooms(task, load_tasks("text-tiny").budget)
    assert zoom.region is not None
    assert (zoom.region,) == task.requirements.regions
    with pytest.raises(TaskError, match="without spatial zoom"):
        expert_zooms(task, load_tasks("tiny").budget)


def test_glyphs_cover_as_much_at_every_size() -> None:
    assert all(len(rows) == 7 and max(rows) < 32 for rows in DIGITS.values())
    ink = dots("407").sum()
    for cells in (20, 33, 64):
        edges = np.linspace(0.0, 1.0, cells + 1)
        covered = ink_cover("407", 0.5, 0.5, 0.02, edges, edges)
        assert covered.sum() / cells**2 == pytest.approx(ink * 0.02**2, rel=1e-4)


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        (Order, {"events": 5}, "events must be 2 to 4, got 5"),
        (Order, {"events": 2, "colors": 3}, "colors must be 4 to 8 for 2 events, got 3"),
        (
            Order,
            {"duration": 60.0, "scenes": 9},
            "3 flashes in each of 9 scenes need 3 gaps .* leave a scene as few as 2",
        ),
        (Order, {"budget": Budget(max_zooms=2)}, "3 flashes, far apart, need 3 zooms, but the budget has 2"),
        (State, {"boxes": 6}, "boxes must be 2 to 5, got 6"),
        (Anomaly, {"oddities": 4}, "oddities must be 1 to 3, got 4"),
        (Anomaly, {"event_seconds": 4.0}, r"4.0 s \(100 frames at 25.0 fps\) cannot hide"),
        (Direction, {"ways": 3}, "ways must be 2 or 4, got 3"),
        (Direction, {"event_seconds": 0.08}, "a motion of 0.08 s at 25.0 fps has 2 frames, but needs at least 3"),
        (Direction, {"budget": Budget(max_fps=1.0)}, "needs 1.786 fps, but a zoom gives at most 1.0"),
        (Speed, {"discs": 6}, "discs must be 2 to 5, got 6"),
        (Speed, {"rivals": 0.95}, r"rivals must be in \[0.3, 0.8\], got 0.95"),
        (Speed, {"event_seconds": 0.08}, "a motion of 0.08 s at 25.0 fps has 2 frames, but needs at least 3"),
        (TwoHop, {"scenes": 1}, "need at least 2 scenes, got 1"),
        (TwoHop, {"scenes": 2, "cue": "partial"}, "cue 'partial' need at least 3 scenes, got 2"),
        (TwoHop, {"budget": Budget(max_zooms=1)}, "need 2 zooms, but the budget has 1"),
        (Decoy, {"decoy_seconds": 3.2}, r"3.2 s \(80 frames at 25.0 fps\) cannot hide"),
        (Decoy, {"duration": 20.0, "scenes": 9}, "a disc and a decoy in each of 9 scenes need 2 gaps"),
        (Text, {"budget": Budget()}, r"needs a budget with spatial zoom: Budget\(spatial=True\)"),
        (Text, {"glyph_pixels": 6.0}, "digits of 6.0 pixels cannot be read even at full resolution"),
        (Text, {"glyph_pixels": 30.0}, r"show 1272x708 as 424x236, with digits of 10.0 pixels, but at most 3"),
        (Text, {"height": 720, "width": 1280}, "whole multiple .*: 1280x720 is shown as 422x237"),
        (Needle, {"cue": "partial", "scenes": 1}, "names two scenes, but there are 1"),
        (Needle, {"noise": 40.0}, "noise must be 0 to 12"),
        (Needle, {"distractors": -1}, "distractors must be >= 0"),
    ],
)
def test_impossible_settings_are_refused_with_their_numbers(
    family: type[Family[Any]], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        family(**settings)
