"""The exercises of pre-training: those with cards, and that suites without cards have the same as ever."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vzgym.agents.tiny import train_tokenizer
from vzgym.agents.training.pretrain import Progress, pretrain
from vzgym.agents.training.pretrain_corpus import dialogue_texts, vocabulary
from vzgym.agents.training.pretrain_exercises import FOLLOW, LOOK_UP, NOTHING, SPOT, LabelledFrames, sample_frames
from vzgym.agents.training.settings import PretrainSettings
from vzgym.protocols import CompactTags
from vzgym.tasks import load_tasks
from vzgym.tasks.procedural.families.twohop import find_card


@pytest.fixture(scope="module")
def scenes() -> LabelledFrames:
    return sample_frames(load_tasks("twohop-micro/train"), 24, np.random.default_rng(0))


# First 16 digits of SHA-256 of exercises and vocabulary, from before there were cards.
BEFORE = {
    "needle-micro": ("c7c88fae5a87b901", "0e4a5c1a56225472"),
    "mixed-micro": ("6b07924adf4da501", "59dced0e334f1ad5"),
}


@pytest.mark.parametrize("suite", BEFORE)
def test_suites_without_cards_keep_their_exercises_and_tokens(suite: str) -> None:
    """Weights follow from these and a seed: published runs of these suites stay reproducible."""
    tasks = load_tasks(f"{suite}/train")
    rng = np.random.default_rng(5)
    scenes = sample_frames(tasks, 4, rng)
    assert not scenes.cards
    drawn = hashlib.sha256()
    for _ in range(20):
        for question in scenes.questions:
            row = scenes.ask(question, rng)
            facts = (row.frames.tolist(), row.times, row.question, row.answer, row.scenes, row.events)
            drawn.update(repr(facts).encode())
    texts = [*scenes.texts, *dialogue_texts(tasks, CompactTags())]
    tokens = sorted(train_tokenizer(texts, vocabulary(), 96).get_vocab().items(), key=lambda item: item[1])
    assert (drawn.hexdigest()[:16], hashlib.sha256(repr(tokens).encode()).hexdigest()[:16]) == BEFORE[suite]


def test_cards_are_labeled_by_what_the_painter_draws(scenes: LabelledFrames) -> None:
    assert scenes.questions == (LOOK_UP, SPOT, FOLLOW)
    assert scenes.cards
    for (hue, shown), frames in scenes.cards.items():
        assert hue != shown
        assert find_card(scenes.pixels[frames]) == [shown] * len(frames)
    for pool in (scenes.plain, scenes.passing):
        for frames in pool.values():
            assert find_card(scenes.pixels[frames]) == [None] * len(frames)


def test_a_card_is_followed_to_the_time_of_its_scene(scenes: LabelledFrames) -> None:
    rng = np.random.default_rng(1)
    shown = dict.fromkeys(("card", "flash", "plain"), 0)
    for _ in range(60):
        row = scenes.ask(FOLLOW, rng)
        count = len(scenes.grid)
        assert len(row.frames) == len(row.times) == count + scenes.clip_frames
        overview = dict(zip(row.scenes[:count], row.times, strict=False))
        hue, clip = row.scenes[count], find_card(scenes.pixels[row.frames[count:]])
        assert set(row.scenes[count:]) == {hue}
        assert overview[hue] <= row.times[count] <= overview[hue] + 6
        assert set(row.events[:count]) == {NOTHING}
        found = [card for card in clip if card]
        happened = set(row.events[count:]) - {NOTHING}
        if found:
            assert row.answer[:2] == ((found[0], True), (str(overview[found[0]]), True))
            assert happened == set(found)
        else:
            assert row.answer[0] == (NOTHING, True)
        # Then each other scene is looked up once.
        others = row.answer[2 if found else 1 :]
        looked_up = dict(zip(others[::2], others[1::2], strict=True))
        assert looked_up == {(hue, False): (str(time), True) for hue, time in overview.items() if hue not in found}
        assert row.overview == count
        shown["card" if found else "flash" if happened else "plain"] += 1
    assert all(shown.values())
    assert shown["card"] > 20


def test_a_card_is_no_flash(scenes: LabelledFrames) -> None:
    rng = np.random.default_rng(2)
    cards = 0
    for _ in range(80):
        row = scenes.ask(SPOT, rng)
        if any(find_card(scenes.pixels[row.frames])):
            cards += 1
            assert row.answer == ((NOTHING, True),)
    assert 5 < cards < 40


def test_pretraining_reports_how_well_cards_are_followed(tmp_path) -> None:
    seen: list[Progress] = []
    settings = PretrainSettings(
        out=str(tmp_path / "warm"), tasks="twohop-micro/train", videos=12, size={"width": 16, "heads": 1, "layers": 1},
        max_steps=12, batch_size=8, log_steps=1, target=0.01,
    )  # fmt: skip
    pretrain(settings, seen.append)
    assert set(seen[-1].shares) == {"look-up", "spot", "follow"}
    assert len(seen) == 12
