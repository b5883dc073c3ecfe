from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vzgym.agents.data import dataset as store
from vzgym.agents.data.collector import Collector
from vzgym.agents.data.dataset import CollectStatistics, collect, load_trajectories, trajectory_row
from vzgym.agents.data.phrases import compose
from vzgym.agents.data.scripted import TRAJECTORY_KINDS
from vzgym.agents.data.settings import MIXES, CollectSettings, parse_mix
from vzgym.baselines import RandomZoom
from vzgym.core import Answer, Zoom
from vzgym.core.errors import FolderInUse, InvalidSetting, RecordError
from vzgym.core.files import folder_lock
from vzgym.episode import Episode, Message, evidence_shown
from vzgym.episode.runs import read_records
from vzgym.evaluation.replay import replay
from vzgym.protocols import CompactTags, TagProtocol, as_chat
from vzgym.tasks import load_tasks
from vzgym.tasks.io.writing import write_tasks

TASKS = load_tasks("needle-micro/train")


def micro(**changes: Any) -> CollectSettings:
    usual = {"tasks": "needle-micro/train", "episodes": 12, "protocol": "compact_tags", "thoughts": "short", "part": 5}
    return CollectSettings(**{**usual, **changes})


class Clumsy:
    """Zooms into the right scene half of the time, and answers right half of the time (a `TextPolicy`)."""

    name = "clumsy"
    protocol = "compact_tags"
    batch_size = 3

    def __init__(self) -> None:
        self.largest = 0
        self.rngs: list[np.random.Generator] = []

    def reset(self, seeds: Sequence[int]) -> None:
        self.largest = max(self.largest, len(seeds))
        self.rngs = [np.random.default_rng(seed) for seed in seeds]

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        texts = []
        for place, dialogue in enumerate(dialogues):
            rng = self.rngs[place % len(self.rngs)]
            if len(dialogue) == 1 and rng.random() < 0.8:
                start = float(rng.choice([0.0, 24.0, 48.0, 72.0]))
                texts.append(compose(CompactTags(), Zoom(start, start + 6, 1.0), "mine"))
            else:
                texts.append(compose(CompactTags(), Answer(str(rng.choice(TASKS[0].options))), "mine"))
        return texts


# Mixtures and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXES)
def test_mixtures_are_shares_of_known_kinds(name: str) -> None:
    shares = parse_mix(name)
    assert set(shares) <= set(TRAJECTORY_KINDS)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_shares_are_normalised_and_zeros_left_out() -> None:
    assert parse_mix("exemplar=3, guess=1,direct=0") == {"exemplar": 0.75, "guess": 0.25}
    assert parse_mix({"exemplar": 2}) == {"exemplar": 1.0}


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        ("best", "unknown mixture 'best'; valid: .*paper"),
        ("best=1", "kind of trajectory 'best'; valid: .*exemplar"),
        ("guess=x", "kind=share"),
        ("guess=-1,exemplar=2", "share of 'guess'"),
        ("guess=0", "share > 0"),
    ],
)
def test_bad_mixtures_are_named(mix: str, words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        CollectSettings(mix=mix)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"episodes": 0}, "episodes must be >= 1"),
        ({"thoughts": "novel"}, "phrase book 'novel'"),
        ({"filters": ("pretty",)}, "filters.0. must be one of 'correct', .*got 'pretty'"),
        ({"tool_role": "system"}, "tool_role"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        micro(**changes)


def test_what_only_the_collector_can_know_is_named() -> None:
    with pytest.raises(InvalidSetting, match="need a policy"):
        Collector(micro(mix="policy"))
    with pytest.raises(InvalidSetting, match="fewer than start"):
        Collector(micro(start=99_999))
    with pytest.raises(InvalidSetting, match="a scripted trajectory ends at its first answer"):
        Collector(micro(budget={"min_zooms": 1}))


# Playing -----------------------------------------------------------------------------------------------------------


def test_the_same_settings_give_the_same_trajectories_however_cut() -> None:
    settings = micro(mix="weak", episodes=30)
    whole = [(t.index, t.kind, t.record.messages[-1].text) for t in Collector(settings).play(range(30))]
    cut = Collector(settings)
    parts = [(t.index, t.kind, t.record.messages[-1].text) for i in range(0, 30, 7) for t in
             cut.play(range(i, min(i + 7, 30)))]  # fmt: skip
    assert whole == parts
    other = [(t.index, t.kind, t.record.messages[-1].text) for t in
             Collector(micro(mix="weak", episodes=30, seed=1)).play(range(30))]  # fmt: skip
    assert whole != other


def test_kinds_come_in_their_shares() -> None:
    collector = Collector(micro(mix="weak", episodes=2000))
    kinds = [collector.kind_of(index) for index in range(2000)]
    for kind, share in MIXES["weak"].items():
        assert kinds.count(kind) / 2000 == pytest.approx(share, abs=0.03)


def test_filters_drop_what_is_wrong_but_not_what_is_bad_on_purpose() -> None:
    good = list(Collector(micro(mix="exemplar=1,reflection=1", episodes=20)).play(range(20)))
    for trajectory in good:
        if not trajectory.rejected:
            grade = trajectory.record.grade
            assert grade is not None
            assert grade.is_correct
            assert evidence_shown(trajectory.record)
    # Two zooms cannot correct a mistake and search a whole scene: some fail, and are not kept.
    assert {t.rejected for t in good if t.kind == "reflection"} >= {""}
    assert any(t.rejected for t in good)
    guesses = list(Collector(micro(mix="guess=1", episodes=20)).play(range(20)))
    assert not any(t.rejected for t in guesses)
    assert any(t.record.grade is not None and not t.record.grade.is_correct for t in guesses)


def test_a_filter_can_be_switched_off() -> None:
    settings = {"mix": "reflection=1", "episodes": 20}
    strict = [t.rejected for t in Collector(micro(**settings)).play(range(20))]
    free = [t.rejected for t in Collector(micro(**settings, filters=())).play(range(20))]
    assert any(strict)
    assert not any(free)


def test_evidence_is_shown_only_at_the_rate_it_needs() -> None:
    task = load_tasks("count-tiny/train")[0]
    assert task.evidence is not None
    span = task.evidence[0]
    for fps, expected in ((5.0, True), (2.0, False)):
        episode = Episode(task, load_tasks("count-tiny/train").budget)
        episode.step(Zoom(span.start, span.end, fps))
        assert evidence_shown(episode.record) is expected
    untouched = Episode(load_tasks("control-tiny/train")[0], load_tasks("control-tiny/train").budget)
    assert evidence_shown(untouched.record) is True


def test_models_without_zoom_get_the_answer_at_once() -> None:
    settings = micro(mix="no-tool", budget={"max_zooms": 0, "overview_frames": 20, "overview_fps": float("inf")})
    for trajectory in Collector(settings).play(range(8)):
        assert trajectory.rejected == ""
        assert len(trajectory.record.turns) == 1
        assert trajectory.record.frames == 20


# Policies ----------------------------------------------------------------------------------------------------------


def test_rejection_sampling_keeps_what_passes() -> None:
    policy = Clumsy()
    collector = Collector(micro(mix="policy", policy="clumsy", samples=4), policy)
    found = list(collector.play(range(10)))
    assert len(found) == 40
    assert policy.largest <= policy.batch_size
    assert {t.sample for t in found} == {0, 1, 2, 3}
    kept = [t for t in found if not t.rejected]
    assert 0 < len(kept) < 40
    assert all(t.record.grade is not None and t.record.grade.is_correct for t in kept)
    assert all(evidence_shown(t.record) for t in kept)
    assert {t.rejected for t in found} >= {"", "correct"}


def test_wrong_roll_outs_are_continued_by_the_expert() -> None:
    collector = Collector(micro(mix="continued=1", policy="clumsy", samples=4), Clumsy())
    found = list(collector.play(range(10)))
    mended = [t for t in found if t.kind == "continued" and not t.rejected]
    assert mended
    for trajectory in mended:
        turns = trajectory.record.turns
        assert trajectory.reflects
        assert "mine" in turns[0].text
        assert "mine" not in turns[-1].text
        assert turns[1].text.startswith("<think>wrong")
        assert trajectory.record.grade is not None
        assert trajectory.record.grade.is_correct
    assert {t.kind for t in found} == {"policy", "continued"}


def test_a_structured_policy_is_put_into_words() -> None:
    collector = Collector(micro(mix="policy", policy="oracle", samples=1))
    for trajectory in collector.play(range(6)):
        assert trajectory.rejected == ""
        for turn in trajectory.record.turns:
            parsed = CompactTags().parse(turn.text)
            assert parsed.well_formed
            assert parsed.action == turn.action


# On disk -----------------------------------------------------------------------------------------------------------


def test_rows_survive_saving_and_loading(tmp_path: Path) -> None:
    settings = micro(mix="exemplar=1")
    seen: list[int] = []
    statistics = collect(settings, tmp_path / "data", progress=seen.append)
    assert sum(seen) == settings.episodes
    data = load_trajectories(tmp_path / "data")
    assert len(data) == statistics.rows == settings.episodes
    played = list(Collector(settings).play(range(settings.episodes)))
    for row, trajectory in zip(data, played, strict=True):
        assert row["images"] == []
        assert row["task_id"] == trajectory.record.task.id
        wanted = as_chat(trajectory.record.messages, tool_role="tool")
        assert [m["role"] for m in row["messages"]] == [m["role"] for m in wanted]
        for got, want in zip(row["messages"], wanted, strict=True):
            assert len(got["content"]) == len(want["content"])
            for a, b in zip(got["content"], want["content"], strict=True):
                assert set(a) == set(b)
                assert a["type"] == b["type"]
                if a["type"] == "text":
                    assert a["text"] == b["text"]
                else:
                    np.testing.assert_array_equal(np.asarray(a["image"]), np.asarray(b["image"]))


def test_the_saved_form_has_places_for_its_pictures(tmp_path: Path) -> None:
    collect(micro(mix="exemplar=1", episodes=3), tmp_path / "data")
    for row in load_trajectories(tmp_path / "data", in_blocks=False):
        blocks = [block for message in row["messages"] for block in message["content"]]
        assert [set(block) for block in blocks if block["type"] == "image"] == [{"type"}] * len(row["images"])
        assert all(image.size == (32, 32) and image.mode == "RGB" for image in row["images"])


def test_records_stand_beside_and_replay(tmp_path: Path) -> None:
    statistics = collect(micro(mix="exemplar=1,reflection=1,guess=1"), tmp_path / "data")
    records = list(read_records(tmp_path / "data"))
    rows = load_trajectories(tmp_path / "data", in_blocks=False)
    assert [record.task.id for record in records] == list(rows["task_id"])
    assert [record.info.kind for record in records] == list(rows["kind"])
    for record in records:
        assert not replay(record).differences
    rejected = list(read_records(tmp_path / "data" / "rejected.jsonl"))
    assert len(rejected) == sum(statistics.played.values()) - statistics.rows
    assert all(record.info.rejected for record in rejected)


def test_statistics_add_up_and_come_back(tmp_path: Path) -> None:
    statistics = collect(micro(mix="paper", episodes=20), tmp_path / "data")
    saved = json.loads((tmp_path / "data" / "statistics.json").read_text())
    assert CollectStatistics.from_json(saved).to_json() == saved
    assert sum(statistics.turns.values()) == sum(statistics.zooms.values()) == statistics.rows
    assert statistics.reflections == statistics.kept["reflection"]
    assert sum(statistics.fps.values()) == sum(zooms * count for zooms, count in statistics.zooms.items())
    assert saved["means"]["correct"] == 1.0
    assert not (tmp_path / "data" / "parts").exists()


def test_a_finished_folder_is_not_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = collect(micro(episodes=4), tmp_path / "data")
    monkeypatch.setattr(Collector, "play", lambda self, indices: pytest.fail("played again"))
    assert collect(micro(episodes=4), tmp_path / "data").to_json() == first.to_json()


def test_other_settings_are_refused(tmp_path: Path) -> None:
    collect(micro(episodes=4), tmp_path / "data")
    with pytest.raises(InvalidSetting, match="their seed is 0, not 1"):
        collect(micro(episodes=4, seed=1), tmp_path / "data")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(InvalidSetting, match="holds something else"):
        collect(micro(episodes=4), tmp_path / "mine")


def test_another_task_file_of_the_same_name_is_refused(tmp_path: Path) -> None:
    files = []
    for name in ("needle-micro/train", "twohop-micro/train"):
        folder = tmp_path / name.partition("/")[0]
        write_tasks([load_tasks(name)[i] for i in range(2)], folder)
        files.append(folder / "tasks.jsonl")
    chosen = [micro(tasks=str(file), episodes=2, mix="told", filters=[]) for file in files]
    collect(chosen[0], tmp_path / "data")
    with pytest.raises(InvalidSetting, match=r"played on another task file than .*twohop-micro.*tasks.jsonl"):
        collect(chosen[1], tmp_path / "data")
    moved = files[0].parent.rename(tmp_path / "moved") / "tasks.jsonl"
    assert collect(chosen[0].replace(tasks=str(moved)), tmp_path / "data").rows == 2


def test_a_stopped_run_goes_on_from_its_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = micro(mix="paper", episodes=17)
    whole = collect(settings, tmp_path / "whole")
    play = Collector.play
    asked: list[range] = []

    def stops(self: Collector, indices: range) -> Any:
        asked.append(indices)
        for trajectory in play(self, indices):
            if trajectory.index == 12:
                raise KeyboardInterrupt
            yield trajectory

    monkeypatch.setattr(Collector, "play", stops)
    with pytest.raises(KeyboardInterrupt):
        collect(settings, tmp_path / "cut")

    def goes_on(self: Collector, indices: range) -> Any:
        asked.append(indices)
        return play(self, indices)

    monkeypatch.setattr(Collector, "play", goes_on)
    done: list[int] = []
    cut = collect(settings, tmp_path / "cut", progress=done.append)
    assert asked == [range(task, task + 1) for task in [*range(13), *range(10, 17)]]
    assert sum(done) == 17
    assert {**cut.to_json(), "seconds": 0} == {**whole.to_json(), "seconds": 0}
    rows = [load_trajectories(tmp_path / name, in_blocks=False) for name in ("whole", "cut")]
    assert list(rows[0]["messages"]) == list(rows[1]["messages"])
    for a, b in zip(rows[0], rows[1], strict=True):
        assert [image.tobytes() for image in a["images"]] == [image.tobytes() for image in b["images"]]


def test_several_workers_collect_the_same(tmp_path: Path) -> None:
    settings = micro(mix="policy-reflection", policy="random", samples=2)
    done: list[int] = []
    one = collect(settings, tmp_path / "one")
    two = collect(settings, tmp_path / "two", workers=2, progress=done.append)
    assert sum(done) == settings.episodes
    assert {**two.to_json(), "seconds": 0} == {**one.to_json(), "seconds": 0}
    rows = [load_trajectories(tmp_path / name, in_blocks=False) for name in ("one", "two")]
    assert list(rows[0]["messages"]) == list(rows[1]["messages"])
    records = [[r.info.index for r in read_records(tmp_path / name)] for name in ("one", "two")]
    assert records[0] == records[1]
    with pytest.raises(InvalidSetting, match="name them in the settings"):
        collect(settings, tmp_path / "three", policy=Clumsy(), workers=2)


def test_a_killed_run_loses_no_finished_part(tmp_path: Path) -> None:
    out = tmp_path / "data"
    script = (
        "from vzgym.agents.data.settings import CollectSettings; from vzgym.agents.data.dataset import collect;"
        "collect(CollectSettings(tasks='needle-micro/train', episodes=4000, protocol='compact_tags', part=20), "
        f"{str(out)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 60
        while not (out / "parts" / "00001.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    finished = sorted(path.name for path in (out / "parts").glob("*[0-9].json"))
    assert finished[:2] == ["00000.json", "00001.json"]
    settings = CollectSettings(tasks="needle-micro/train", episodes=4000, protocol="compact_tags", part=20)
    assert not store._keep_settings(out, settings, Collector(settings))
    part = store._Part(out, 0, 200, range(20))
    assert part.done
    import datasets

    assert len(datasets.Dataset.from_file(str(part.data))) == json.loads(part.statistics.read_text())["rows"]


def test_a_second_writer_of_a_folder_is_refused(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "data"), pytest.raises(FolderInUse, match="data is being written by another process"):
        collect(micro(episodes=4), tmp_path / "data")
    assert collect(micro(episodes=4), tmp_path / "data").rows


def test_what_is_no_collection_is_refused(tmp_path: Path) -> None:
    import datasets

    with pytest.raises(InvalidSetting, match="vzgym collect"):
        load_trajectories(tmp_path / "nothing")
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(InvalidSetting, match="'text'"):
        load_trajectories(tmp_path / "other")


def test_a_lost_picture_is_noticed(tmp_path: Path) -> None:
    collect(micro(mix="exemplar=1", episodes=2), tmp_path / "data")
    rows = load_trajectories(tmp_path / "data", in_blocks=False)
    broken = rows.map(lambda row: {"images": row["images"][:-1]})
    with pytest.raises(RecordError, match=r"images, but .* placeholders"):
        broken.with_transform(store._fill_blocks)[0]


def test_pictures_are_lossless() -> None:
    trajectory = next(iter(Collector(micro(mix="exemplar=1")).play(range(1))))
    row = trajectory_row(trajectory)
    frames = np.concatenate([clip.pixels for clip in trajectory.record.clips if clip.pixels is not None])
    assert len(row["images"]) == len(frames)
    for image, frame in zip(row["images"], frames, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image["bytes"]))), frame)


def test_replies_take_the_role_asked_for() -> None:
    trajectory = next(iter(Collector(micro(mix="exemplar=1")).play(range(1))))
    assert {m["role"] for m in trajectory_row(trajectory)["messages"]} == {"user", "assistant", "tool"}
    assert {m["role"] for m in trajectory_row(trajectory, "user")["messages"]} == {"user", "assistant"}


@pytest.mark.parametrize("protocol", [TagProtocol(), CompactTags()], ids=["tags", "compact"])
@pytest.mark.parametrize("tool_role", ["user", "tool"])
def test_trl_collates_every_picture(tmp_path: Path, protocol: TagProtocol, tool_role: str) -> None:
    """TRL's own collator, with a processor that counts: as many pictures as the dialogue has places for."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    settings = micro(mix="exemplar=1", episodes=4, protocol=dict(protocol.spec), tool_role=tool_role)
    collect(settings, tmp_path / "data")
    rows = list(load_trajectories(tmp_path / "data"))
    seen: list[int] = []

    class Counting:
        """As much of a processor as the collator calls: what templates of real models do with blocks."""

        def apply_chat_template(self, dialogues: list[Any], **options: Any) -> dict[str, Any]:
            import torch

            for dialogue in dialogues:
                blocks = [block for message in dialogue for block in message["content"]]
                # The very test that the chat templates of Qwen-VL make.
                pictures = [block for block in blocks if block["type"] == "image" or "image" in block]
                assert all(isinstance(block["image"], Image.Image) for block in pictures)
                assert all(isinstance(block["text"], str) for block in blocks if block["type"] == "text")
                seen.append(len(pictures))
            ids = torch.ones((len(dialogues), 3), dtype=torch.long)
            return {"input_ids": ids, "attention_mask": ids.clone()}

    collator = DataCollatorForVisionLanguageModeling(processor=Counting())  # type: ignore[arg-type]
    batch = collator([{"messages": row["messages"], "images": row["images"]} for row in rows])
    assert set(batch) >= {"input_ids", "labels"}
    assert seen == [row["frames"] for row in rows]


@pytest.mark.parametrize(
    ("mix", "policy"), [("told", None), ("policy=1", Clumsy()), ("policy=1", RandomZoom()), ("taught=1", Clumsy())]
)
def test_a_task_whose_evidence_lies_outside_its_video_is_left_out(mix: str, policy: Any, tmp_path: Path) -> None:
    file = write_tasks([TASKS[index] for index in range(3)], tmp_path)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[1]["evidence"] = [[400, 500]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = micro(tasks=str(file), episodes=3, mix=parse_mix(mix), policy="the one given" if policy else "")
    collector = Collector(settings, policy=policy)
    assert {played.index for played in collector.play(range(3))} == {0, 2}
    assert list(collector.failed) == [rows[1]["id"]]
    assert "evidence [400, 500] lies outside the video of" in collector.failed[rows[1]["id"]]


def test_the_page_names_every_kind_and_mixture() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "cold-start.md").read_text(encoding="utf-8")
    for name in (*TRAJECTORY_KINDS, *MIXES):
        assert f"| `{name}` |" in page, name
    for kind, about in TRAJECTORY_KINDS.items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{kind}` |") and line.count("|") == 4)
        skipped = {"correct": "right", "evidence": "evidence"}
        assert line.split("|")[3].strip() == ", ".join(word for name, word in skipped.items() if name in about.skips)
