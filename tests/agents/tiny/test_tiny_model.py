from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from vzgym.agents.tiny import (
    TinyProcessor,
    TinySize,
    TinyVLM,
    build_model,
    make_processor,
    train_tokenizer,
)
from vzgym.agents.tiny.size import MARK
from vzgym.agents.training.pretrain import Progress, pretrain
from vzgym.agents.training.pretrain_exercises import LOOK_UP, NAME, SPOT, sample_frames
from vzgym.agents.training.settings import PretrainSettings
from vzgym.agents.vlm.chat import chat_of, encode, join_inputs
from vzgym.agents.vlm.checkpoint import open_checkpoint
from vzgym.core.actions import Zoom
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode
from vzgym.protocols import CompactTags
from vzgym.tasks import load_tasks


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("needle-micro/train")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["the red scene?", "the blue scene?"] * 2, ["red", "blue"], 96)


def test_the_tokenizer_reads_and_writes_every_text(tokenizer):
    for text in ("the red scene?", "red24blue0", "Zürich, 3.75 s!\n", '{"segment": [24, 30], "fps": 1}'):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_numbers_words_and_constant_pieces_are_single_tokens(tokenizer):
    assert [tokenizer.decode([i]) for i in tokenizer.encode("the red scene?24")] == ["the ", "red", " scene?", "24"]


def test_a_model_is_made_of_its_seed(tokenizer):
    first, again, other = (build_model(tokenizer, TinySize(layers=1), seed).state_dict() for seed in (0, 0, 1))
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_the_default_model_has_under_two_million_weights(tokenizer):
    assert sum(weight.numel() for weight in build_model(tokenizer).parameters()) < 2_000_000


def test_building_a_model_leaves_torchs_random_state_alone(tokenizer):
    before = torch.get_rng_state()
    build_model(tokenizer, TinySize(layers=1))
    assert torch.equal(before, torch.get_rng_state())


def test_sizes_that_cannot_work_are_refused():
    with pytest.raises(InvalidSetting, match=r"depth.*[vV]alid: .*layers"):
        TinySize(depth=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidSetting, match=r"multiple of 4 \* heads \(16\), got 30"):
        TinySize(width=30)
    with pytest.raises(InvalidSetting, match=r"TinySize\.heads must be >= 1, got 0"):
        TinySize(heads=0)
    with pytest.raises(InvalidSetting, match=r"head_width must be a multiple of 4, got 6"):
        TinySize(head_width=6)


def test_attention_heads_may_be_wider_than_their_share_of_the_model(tokenizer):
    model = build_model(tokenizer, TinySize(width=40, heads=3, head_width=32, layers=1))
    attention = model.model.language_model.layers[0].self_attn
    assert (attention.head_dim, attention.q_proj.weight.shape) == (32, (96, 40))
    assert model(input_ids=torch.arange(6)[None]).logits.shape == (1, 6, len(tokenizer))
    assert build_model(tokenizer).config.text_config.head_dim == 16


def test_the_short_cut_makes_the_patches_that_the_library_makes(tokenizer):
    processor = make_processor(tokenizer, 16, 1024).image_processor
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    pictures = [Image.fromarray(frame) for frame in frames]
    quick = processor(images=pictures, return_tensors="pt")
    slow = Qwen2VLImageProcessorPil.preprocess(processor, pictures, return_tensors="pt")
    torch.testing.assert_close(quick["pixel_values"], slow["pixel_values"])
    assert torch.equal(quick["image_grid_thw"], slow["image_grid_thw"])


def test_pictures_of_other_sizes_go_through_the_library(tokenizer):
    processor = make_processor(tokenizer, 16, 1024).image_processor
    made = processor(images=[Image.new("RGB", (50, 40)), Image.new("RGB", (32, 32))])
    assert isinstance(made["pixel_values"], torch.Tensor)
    assert made["image_grid_thw"].prod(-1).tolist() == [4, 4]


@pytest.mark.parametrize("adjacent", [False, True])
@pytest.mark.parametrize("sizes", [[(32, 32)], [(64, 32)], [(32, 32), (64, 32)]], ids=["tokens", "tall", "mixed"])
def test_the_quick_model_computes_what_qwen_computes(tmp_path, tokenizer, sizes, adjacent):
    quick = build_model(tokenizer, TinySize(layers=2)).eval()
    quick.save_pretrained(tmp_path)
    plain = Qwen3VLForConditionalGeneration.from_pretrained(tmp_path).eval()
    processor = make_processor(tokenizer, 16, 4096)
    rows = []
    for count in (3, 1):
        rng = np.random.default_rng(count)
        noise = [rng.integers(0, 256, (*sizes[i % len(sizes)], 3), dtype=np.uint8) for i in range(count)]
        blocks = []
        for i, frame in enumerate(noise):
            blocks += [{"type": "image", "image": Image.fromarray(frame)}]
            # Prompts of benchmarks put frames next to each other.
            blocks += [] if adjacent else [{"type": "text", "text": str(i)}]
        chat = [{"role": "user", "content": blocks}]
        rows.append(encode(processor, chat))
    batch = join_inputs(rows, tokenizer.pad_token_id)
    with torch.no_grad():
        expected, found = plain(**batch).logits, quick(**batch).logits
        written = [model.generate(**batch, max_new_tokens=6, do_sample=False) for model in (plain, quick)]
    seen = batch["attention_mask"].bool()
    torch.testing.assert_close(found[seen], expected[seen], rtol=1e-4, atol=1e-5)
    assert torch.equal(*written)


def test_a_saved_model_opens_again_and_reads_a_dialogue_alike(small_model, tasks):
    first, second = open_checkpoint(small_model), open_checkpoint(small_model)
    assert isinstance(first.model, TinyVLM)
    assert isinstance(first.processor, TinyProcessor)
    assert first.protocol.spec == CompactTags().spec
    episode = Episode(tasks[0], tasks.budget, first.protocol)
    episode.step(Zoom(12, 18, 1))
    one, two = (encode(item.processor, chat_of(episode.messages)) for item in (first, second))
    assert torch.equal(one["input_ids"], two["input_ids"])
    assert torch.equal(one["pixel_values"], two["pixel_values"])


def test_a_folder_names_the_librarys_classes(small_model):
    """By which vLLM and TRL's reference model open it; ours are found by a mark that others ignore."""
    read = {path.name: json.loads(path.read_text()) for path in small_model.glob("*.json")}
    assert read["config.json"]["architectures"] == ["Qwen3VLForConditionalGeneration"]
    assert read["config.json"][MARK] is True
    assert read["processor_config.json"]["processor_class"] == "Qwen3VLProcessor"
    assert read["processor_config.json"]["image_processor"]["image_processor_type"] == "Qwen2VLImageProcessor"
    assert read["tokenizer_config.json"]["processor_class"] == "Qwen3VLProcessor"
    # The library's processor looks for the video part where torchvision is installed.
    assert read["video_preprocessor_config.json"]["patch_size"] == 16


def test_image_tokens_equal_image_features_on_every_turn(small_model, tasks):
    start = open_checkpoint(small_model)
    episode = Episode(tasks[0], tasks.budget, start.protocol)
    for frames, zoom in ((8, Zoom(0, 6, 1)), (14, Zoom(6, 9, 1)), (17, None)):
        inputs = encode(start.processor, chat_of(episode.messages))
        tokens = int((inputs["input_ids"] == start.model.config.image_token_id).sum())
        with torch.no_grad():
            features = start.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"]).pooler_output
        assert tokens == sum(len(feature) for feature in features) == frames
        if zoom:
            episode.step(zoom)


def test_exercises_show_what_their_labels_say(tasks):
    scenes = sample_frames(tasks, 12, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    row = scenes.look_up(rng, 5)
    assert row.question == LOOK_UP
    assert len(row.frames) == len(row.times) == 5
    assert list(row.times) == sorted(row.times)
    asked = [piece for piece, learned in row.answer if not learned]
    given = [piece for piece, learned in row.answer if learned]
    where = dict(zip(row.scenes, row.times, strict=True))
    assert [str(where[hue]) for hue in asked] == given
    assert set(row.events) == {"nothing"}
    for _ in range(20):
        spot = scenes.spot(rng)
        happened = set(spot.events) - {"nothing"}
        assert spot.answer[0][0] == (happened.pop() if happened else "nothing")
        assert len(set(spot.scenes)) == 1


def test_labels_come_from_what_the_painter_draws(tasks):
    scenes = sample_frames(tasks, 3, np.random.default_rng(0))
    for (_, color), frames in scenes.passing.items():
        if color == "white":
            # White light is bright in every channel; scenes are dim.
            assert (scenes.pixels[frames].min(axis=-1).max(axis=(1, 2)) > 200).all()
    for frames in scenes.plain.values():
        assert scenes.pixels[frames].max() <= 180


def test_pretraining_moves_the_weights_and_says_what_it_took(tmp_path):
    seen: list[Progress] = []
    settings = PretrainSettings(
        out=str(tmp_path / "warm"), videos=8, size={"width": 32, "heads": 2}, max_steps=3, batch_size=4, log_steps=1
    )
    folder = pretrain(settings, seen.append)
    assert [progress.step for progress in seen] == [1, 2, 3]
    assert all(np.isfinite(progress.loss) for progress in seen)
    start = open_checkpoint(folder)
    fresh = build_model(start.processor.tokenizer, settings.size, settings.seed)
    assert not torch.equal(start.model.lm_head.weight, fresh.lm_head.weight)
    assert (folder / "pretrain.json").is_file()


def test_the_same_seed_gives_the_same_model(tmp_path):
    made = []
    for name in ("a", "b"):
        out = tmp_path / name
        size = {"width": 16, "heads": 1, "layers": 1}
        pretrain(PretrainSettings(out=str(out), videos=4, size=size, max_steps=2, batch_size=2))
        made.append(open_checkpoint(out).model.lm_head.weight)
    assert torch.equal(*made)


def test_a_suite_without_painted_videos_is_refused(tmp_path):
    with pytest.raises(InvalidSetting, match="out must be given"):
        pretrain(PretrainSettings())


@pytest.mark.parametrize("family", ["count", "state", "text"])
def test_a_suite_without_coloured_events_is_refused_before_any_step(family):
    with pytest.raises(InvalidSetting, match=rf"'{family}-tiny/train' show neither.*needle"):
        sample_frames(load_tasks(f"{family}-tiny/train"), 2, np.random.default_rng(0))


def test_frames_of_more_than_one_visual_token_are_refused_with_the_setting_that_helps(tmp_path):
    settings = PretrainSettings(out=str(tmp_path), tasks="needle-tiny/train", videos=4, max_steps=1, batch_size=2)
    with pytest.raises(InvalidSetting, match=r"64x64 pixels, a token covers 32x32. Take --set size.patch=32.*micro"):
        pretrain(settings)
    with pytest.raises(InvalidSetting, match=r"144x256.*square"):
        pretrain(settings.replace(tasks="needle/train"))
    small = {"patch": 32, "width": 32, "layers": 1, "heads": 2, "inner": 48, "vision_width": 16}
    folder = pretrain(settings.replace(size=small))
    assert (folder / "pretrain.json").is_file()


def test_an_overview_has_no_more_times_than_scenes_and_a_clip_ends_with_the_video():
    tasks = load_tasks("order-tiny/train")
    scenes = sample_frames(tasks, 2, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for _ in range(30):
        row = scenes.ask(LOOK_UP, rng)
        assert len(row.frames) == len(row.times) <= len(scenes.plain)
        assert max(scenes.ask(SPOT, rng).times) <= tasks[0].video.duration


def test_what_lasts_as_long_as_its_scene_is_named_from_the_overview():
    scenes = sample_frames(load_tasks("control-micro/train"), 4, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    assert not scenes.plain
    assert not scenes.passing
    assert scenes.questions == (LOOK_UP, NAME, SPOT)
    row = scenes.ask(NAME, rng)
    assert len(row.frames) == len(scenes.grid)
    there = dict(zip(row.scenes, row.events, strict=True))
    asked = [piece for piece, learned in row.answer if not learned]
    assert sorted(asked) == sorted(there)
    assert [piece for piece, learned in row.answer if learned] == [there[hue] for hue in asked]
    spot = scenes.ask(SPOT, rng)
    assert set(spot.events) == {spot.answer[0][0]}


def test_flashes_between_overview_frames_are_never_asked_of_the_overview(tasks):
    scenes = sample_frames(tasks, 12, np.random.default_rng(0))
    assert not scenes.lasting
    assert scenes.questions == (LOOK_UP, SPOT)
    assert NAME not in scenes.texts


def test_where_both_kinds_of_event_occur_every_exercise_shows_its_own():
    scenes = sample_frames(load_tasks("micro/train"), 12, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    assert scenes.questions == (LOOK_UP, NAME, SPOT)
    # An overview shows lasting events in all scenes or in none, as the suite's videos do.
    named = {event for _ in range(20) for event in scenes.ask(NAME, rng).events}
    assert "nothing" not in named
    assert len(named) > 3
    looked = [{event == "nothing" for event in scenes.ask(LOOK_UP, rng).events} for _ in range(20)]
    assert [True] in map(list, looked)
    assert [False] in map(list, looked)
    assert all(len(kinds) == 1 for kinds in looked)
    shown = [len([event for event in scenes.ask(SPOT, rng).events if event != "nothing"]) for _ in range(80)]
    assert set(shown) == {0, 1, scenes.clip_frames}


def test_look_ups_are_trained_alone_until_they_are_solved(tmp_path):
    seen: list[Progress] = []
    settings = PretrainSettings(
        out=str(tmp_path / "warm"), tasks="control-micro/train", videos=4, size={"width": 16, "heads": 1, "layers": 1},
        max_steps=12, batch_size=4, log_steps=1,
    )  # fmt: skip
    pretrain(settings, seen.append)
    assert any(progress.shares["look-up"] for progress in seen)
    assert all(progress.shares["name"] == progress.shares["spot"] == 0 for progress in seen)
    assert str(seen[0]) == "look-up 0.0%, name 0.0%, spot 0.0%"


@pytest.mark.parametrize("text", ["tealgreen", "redred", "green36"])
def test_words_and_numbers_that_touch_stay_tokens_of_their_own(text):
    tokenizer = train_tokenizer([f"<think>{text}</think>"] * 3, ["red", "green", "teal"], 96)
    tokens = tokenizer.encode(text)
    assert len(tokens) == 2
    assert tokenizer.decode(tokens) == text
