from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from vzgym.baselines.readers import READERS, AutoReader, FrameReader, OneFamilyReader, Reading, make_reader
from vzgym.core import overview_times
from vzgym.core.errors import InvalidSetting, PluginError, UnknownName
from vzgym.evaluation import evaluate
from vzgym.evaluation.counterfactual import ReaderAnswerer
from vzgym.policies.policy import POLICIES
from vzgym.tasks import FAMILIES, VideoTask, expert_zooms, load_jsonl, load_tasks, make_family
from vzgym.tasks.io.writing import write_tasks
from vzgym.tasks.procedural.families.count import Count
from vzgym.tasks.procedural.families.needle import Needle
from vzgym.tasks.procedural.family import family_of_question
from vzgym.tasks.procedural.pixels import bright_colors, crop_bars, scene_hues
from vzgym.tasks.procedural.render.palette import EVENT_COLORS, SCENE_HUES
from vzgym.video import Frames
from vzgym.video.synthetic import resize

Reader = Callable[[VideoTask, Frames], Reading]
READER = AutoReader()


def letterbox(pixels: np.ndarray, side: int = 64) -> np.ndarray:
    """As observations show them: shrunk to fit a square, with black bars."""
    height, width = pixels.shape[1:3]
    scale = side / max(height, width)
    fitted = resize(pixels, (round(height * scale), round(width * scale)))
    top, left = (side - fitted.shape[1]) // 2, (side - fitted.shape[2]) // 2
    out = np.zeros((len(pixels), side, side, 3), dtype=np.uint8)
    out[:, top : top + fitted.shape[1], left : left + fitted.shape[2]] = fitted
    return out


def native(task: VideoTask, frames: Frames) -> Reading:
    return READER.read(frames.pixels, frames.times, task.question, task.options)


def boxed(task: VideoTask, frames: Frames) -> Reading:
    return READER.read(letterbox(frames.pixels), frames.times, task.question, task.options)


def evidence_frames(task: VideoTask, overview: np.ndarray) -> Frames:
    """The frames of the expert's zooms; those of the overview where it makes none."""
    zooms = expert_zooms(task, load_tasks(task.source).budget)
    return task.video.read(np.concatenate([zoom.times() for zoom in zooms]) if zooms else overview)


@pytest.mark.parametrize("suite", ["needle", "count", "needle-tiny", "count-tiny", "control-tiny"])
def test_readers_are_right_from_the_experts_frames(suite: str) -> None:
    tasks = load_tasks(suite, "validation")
    grid = overview_times(tasks[0].video.duration, tasks.budget)
    right = {native: 0, boxed: 0}
    for index in range(100):
        task = tasks[index]
        frames = evidence_frames(task, grid)
        for reader in right:
            reading = reader(task, frames)
            right[reader] += reading.option == task.answer
            assert reading.confidence > 0.5
    assert min(right.values()) >= 0.98 * 100


def test_the_controls_reader_is_right_from_the_papers_overview() -> None:
    tasks = load_tasks("control", "validation")
    grid = overview_times(189.0, tasks.budget)
    right_native = right_boxed = 0
    for index in range(100):
        task = tasks[index]
        thumbnails = task.video.read(grid, size=(36, 64))
        right_boxed += boxed(task, thumbnails).option == task.answer
        if index < 20:
            right_native += native(task, task.video.read(grid)).option == task.answer
    assert right_boxed >= 0.98 * 100
    assert right_native == 20


@pytest.mark.parametrize("suite", ["needle", "count", "needle-tiny", "count-tiny"])
def test_the_overview_alone_shows_nothing(suite: str) -> None:
    tasks = load_tasks(suite, "validation")
    grid = overview_times(tasks[0].video.duration, tasks.budget)
    for index in range(6):
        task = tasks[index]
        frames = task.video.read(grid)
        assert native(task, frames) == Reading(None, 0.0)
        assert boxed(task, frames) == Reading(None, 0.0)


def test_readers_are_right_after_h264(tmp_path: Path) -> None:
    tasks = load_tasks("tiny", "validation")
    file = write_tasks([tasks[index] for index in range(18)], tmp_path)
    grid = overview_times(64.0, tasks.budget)
    for task in load_jsonl(file):
        frames = evidence_frames(task, grid)
        assert native(task, frames).option == task.answer
        if task.category in ("needle", "count", "control"):
            small = letterbox(frames.pixels, 32)
            assert READER.read(small, frames.times, task.question, task.options).option == task.answer
        if task.evidence:
            assert native(task, task.video.read(grid)).option == (
                "nothing unusual" if task.category == "anomaly" else None
            )
        task.video.close()


SHIPPED = ["anomaly", "control", "count", "decoy", "direction", "needle", "order", "speed", "state", "text", "twohop"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_wording_finds_its_family_and_no_other(name: str) -> None:
    family = type(make_family(name))
    assert family.reader is not None
    for cue, wordings in family.wordings.items():
        # This question does not say which of the two asks it: the same reader and search serve both.
        asking = ["control", "needle"] if cue == "shape" else [name]
        for wording in wordings:
            question = wording.format(scene="teal")
            assert [other for other in SHIPPED if type(make_family(other)).matches(question)] == asking
            found = family_of_question(question)
            assert found is family or cue == "shape"
            assert type(found.reader) is type(family.reader)
            assert found.search == family.search
            assert family.scenes_asked(question) == (("teal",) if cue != "none" else ())
            two = wording.format(scene="teal or pink")
            assert family.scenes_asked(two) == (("teal", "pink") if cue != "none" else ())


def test_without_a_cue_readers_look_everywhere() -> None:
    for family in ("needle", "count", "control"):
        made = make_family({"name": family, "cue": "none"})
        for seed in range(5):
            for task in made.variants("x", seed)[:2]:
                frames = task.video.read(overview_times(task.video.duration, made.settings.budget))
                zooms = made.expert(task, made.settings.budget)
                if zooms:
                    frames = task.video.read(np.concatenate([zoom.times() for zoom in zooms]))
                assert native(task, frames).option == task.answer


def test_only_the_scene_asked_about_counts() -> None:
    task = load_tasks("needle-tiny", "test")[0]
    painter = task.video.painter  # type: ignore[attr-defined]
    span = (task.evidence or ())[0]
    others = [actor for actor in painter.actors if abs(actor.first / 10 - span.start) > 1e-6]
    times = np.array([(actor.first + 2) / 10 for actor in others])
    assert native(task, task.video.read(times)).option is None
    both = np.append(times, span.start + 0.2)
    assert native(task, task.video.read(both)).option == task.answer


def test_the_order_of_frames_does_not_matter() -> None:
    for suite in ("count-tiny", "needle-tiny"):
        task = load_tasks(suite, "test")[3]
        frames = evidence_frames(task, np.zeros(1))
        order = np.random.default_rng(0).permutation(len(frames))
        reading = READER.read(frames.pixels[order], frames.times[order], task.question, task.options)
        assert reading == native(task, frames)


def test_a_glimpse_of_a_burst_makes_the_count_reader_unsure() -> None:
    task = load_tasks("count-tiny", "test").variants(0)[3]  # type: ignore[attr-defined]
    span = task.evidence[0]
    once = task.video.read(np.array([span.start]))
    reading = native(task, once)
    assert reading.option == "1"
    assert reading.confidence < 0.2
    # Between two pulses the rim glows, but the glass is dark: a burst, but no count.
    assert native(task, task.video.read(np.array([span.start + 0.25]))) == Reading(None, 0.0)
    assert READER.read(once.pixels, once.times, task.question, ("7", "8")).confidence < 0.05


def test_options_may_be_capitalised_and_must_hold_the_colour() -> None:
    task = load_tasks("needle-tiny", "test")[1]
    frames = evidence_frames(task, np.zeros(1))
    capitals = [option.capitalize() for option in task.options]
    assert Needle.read(frames.pixels, frames.times, task.question, capitals).option == task.answer.capitalize()
    others = [option for option in task.options if option != task.answer]
    assert Needle.read(frames.pixels, frames.times, task.question, others).option is None
    assert Count.read(frames.pixels, frames.times, "How many?", ("few", "many")).option is None


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (3, 64, 64, 3)])
def test_no_frames_and_black_frames_show_nothing(shape: tuple[int, ...]) -> None:
    black = np.zeros(shape, dtype=np.uint8)
    for suite in ("needle-tiny", "count-tiny", "control-tiny"):
        task = load_tasks(suite, "test")[0]
        assert READER.read(black, np.zeros(len(black)), task.question, task.options) == Reading(None, 0.0)


def test_other_peoples_questions_are_left_alone() -> None:
    frames = load_tasks("control-tiny", "test")[0].video.read(np.zeros(1))
    assert READER.read(frames.pixels, frames.times, "Who opens the door?", ("Ann", "Bob")) == Reading(None, 0.0)
    assert isinstance(READER, FrameReader)


def test_noise_is_no_scene() -> None:
    noise = np.random.default_rng(0).integers(0, 60, (2, 32, 32, 3), dtype=np.uint8)
    noise[..., 1:] = 0
    noise[..., 0] += 30
    assert scene_hues(noise) == [None, None]


@pytest.mark.parametrize("hue", SCENE_HUES)
def test_hues_are_read_through_letterboxes(hue: str) -> None:
    made = make_family({"name": "needle", "scenes": 9})
    task = made.build("x", 4, 0)
    painter = task.video.painter  # type: ignore[attr-defined]
    place = [scene.hue for scene in painter.scenes].index(hue)
    frames = task.video.read(np.array([painter.cuts[place] / 25.0]))
    assert scene_hues(crop_bars(letterbox(frames.pixels))) == [hue]
    assert bright_colors(crop_bars(frames.pixels)).shape == (1, len(EVENT_COLORS))


class Stubborn:
    """Always says the same."""

    def __init__(self, place: int = 0) -> None:
        self.place = place

    def read(self, frames: object, times: object, question: str, options: Sequence[str]) -> Reading:
        return Reading(options[self.place], 1.0)


@pytest.fixture
def stubborn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reader that is named by its module."""
    (tmp_path / "own_reader.py").write_text(
        "from vzgym.baselines import Reading\n\n\n"
        "class Stubborn:\n"
        "    def __init__(self, place=0):\n        self.place = place\n\n"
        "    def read(self, frames, times, question, options):\n        return Reading(options[self.place], 1.0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "own_reader:Stubborn"


@pytest.mark.parametrize("policy", ["random", "overview", "uniform", "sliding", "oracle", "expert"])
def test_a_reader_is_named_in_four_ways(policy: str, stubborn: str) -> None:
    def made(reader: object) -> object:
        return POLICIES.make({"name": policy, "reader": reader}).reader  # type: ignore[union-attr]

    own = Stubborn()
    assert made(own) is own
    assert isinstance(made("needle"), OneFamilyReader)
    assert made({"name": "count"}).family is Count  # type: ignore[attr-defined]
    assert isinstance(made("auto"), AutoReader)
    assert isinstance(made(None), AutoReader)
    assert type(made(stubborn)).__name__ == "Stubborn"
    assert made({"name": stubborn, "place": 1}).place == 1  # type: ignore[attr-defined]


def test_a_named_reader_answers(stubborn: str) -> None:
    tasks = load_tasks("needle-tiny")
    firsts = [tasks[index].answer == tasks[index].options[0] for index in range(6)]
    report = evaluate({"name": "overview", "reader": stubborn}, tasks, episodes=6)
    assert [episode.correct for episode in report.episodes] == firsts
    assert evaluate({"name": "oracle", "reader": "needle"}, tasks, episodes=2).accuracy.value == 1.0


@pytest.mark.parametrize(
    ("reader", "error", "told"),
    [
        ("nope", UnknownName, "unknown frame reader 'nope'; valid: anomaly, auto, "),
        ("no_such_module:Reader", PluginError, "no_such_module"),
        ({"name": "needle", "sharp": True}, InvalidSetting, "frame reader 'needle' has no option 'sharp'"),
        (7, InvalidSetting, r"a frame reader is a name, .* an object with read\(frames.*\); got 7"),
        (Stubborn, InvalidSetting, "got the class Stubborn"),
        ("pathlib:PurePath", InvalidSetting, r"got PurePosixPath\('.'\)"),
    ],
)
def test_what_is_no_reader_is_refused(reader: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        POLICIES.make({"name": "uniform", "reader": reader})
    with pytest.raises(error, match=told):
        ReaderAnswerer(reader)  # type: ignore[arg-type]


def test_a_reader_of_ones_own_is_registered_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS._factories, "stubborn", Stubborn)
    assert isinstance(make_reader("stubborn"), Stubborn)
    assert {"auto", "stubborn", "needle"} <= set(READERS.names())


class Corner(Needle):
    """A family without a reader, which asks questions of its own."""

    name = "corner"
    wordings = {"visible": ("Which corner of the {scene} scene lights up?",), "none": ("Which corner lights up?",)}  # noqa: RUF012
    reader = None  # type: ignore[assignment]


def test_a_family_without_a_reader_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(FAMILIES._factories, "corner", Corner)
    task = Corner().build("x", 1, 0)
    frames = task.video.read(np.zeros(1))
    reader = AutoReader()
    for _ in range(2):
        assert reader.read(frames.pixels, frames.times, task.question, task.options) == Reading(None, 0.0)
    assert caplog.messages == ["family 'corner' has no reader: its questions are left unanswered"]
    with pytest.raises(InvalidSetting, match="family 'corner' has no reader"):
        make_reader("corner")
    with pytest.raises(InvalidSetting, match=r"family 'corner' has no reader: set Corner\.reader to a FamilyReader"):
        Corner.read(frames.pixels, frames.times, task.question, task.options)


def test_a_subclass_with_the_same_questions_is_read_as_its_base(monkeypatch: pytest.MonkeyPatch) -> None:
    class Larger(Needle):
        """Another name, the same questions."""

        name = "a-larger-needle"

    monkeypatch.setitem(FAMILIES._factories, Larger.name, Larger)
    assert family_of_question("What colour lights up in the red scene?") is Needle
