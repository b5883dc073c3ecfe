from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    Blip2ForImageTextRetrieval,
    BlipForImageTextRetrieval,
    CLIPModel,
    SiglipModel,
)

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting, ScorerError, UntrustedName
from vzgym.core.registry import names_from_data
from vzgym.scorers import Frames, Query, Scorer, embed_video, make_scorer, score_video
from vzgym.scorers.base import can_embed
from vzgym.scorers.models import TextTooLong
from vzgym.testing import check_scorer
from vzgym.video import FileVideo

_spec = importlib.util.spec_from_file_location("tiny_models", Path(__file__).with_name("tiny_models.py"))
tiny: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny)

QUERY = Query("What color lights up in the red scene?", ("red", "blue"))
FRAMES = Frames(np.random.default_rng(0).integers(0, 256, (7, 40, 56, 3), dtype=np.uint8), np.arange(7.0))
LONG = "what color is the shape " * 40


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "clip": tiny.save_clip(root / "clip"),
        "longclip": tiny.save_clip(root / "longclip", positions=248),
        "siglip": tiny.save_siglip(root / "siglip"),
        "blip-itm": (blip := tiny.save_blip(root / "blip")),
        "blip-itc": blip,
        "blip2-itm": tiny.save_blip2(root / "blip2"),
    }


def make(folders: dict[str, Path], name: str, **options: Any) -> Any:
    return make_scorer({"name": name, "model": str(folders[name]), **options})


def pixels(folder: Path) -> torch.Tensor:
    images = [Image.fromarray(frame) for frame in FRAMES.pixels]
    return AutoImageProcessor.from_pretrained(folder)(images=images, return_tensors="pt")["pixel_values"]


def plain(name: str, folder: Path, similarity: str) -> np.ndarray:
    """The scores by transformers' own forward pass."""
    words = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        match name:
            case "clip" | "longclip":
                model = CLIPModel.from_pretrained(folder)
                out = model(**words(QUERY.text, return_tensors="pt"), pixel_values=pixels(folder))
                if similarity == "dot":
                    image = model.get_image_features(pixels(folder)).pooler_output
                    text = model.get_text_features(**words(QUERY.text, return_tensors="pt")).pooler_output
                    return (image @ text[0]).numpy()
                logits = out.logits_per_image[:, 0]
                return (logits if similarity == "logit" else logits / model.logit_scale.exp()).numpy()
            case "siglip":
                model = SiglipModel.from_pretrained(folder)
                ids = words(QUERY.text, padding="max_length", max_length=64, return_tensors="pt")["input_ids"]
                out = model(input_ids=ids, pixel_values=pixels(folder))
                cosines = (out.image_embeds @ out.text_embeds[0]).numpy()
                return out.logits_per_image[:, 0].numpy() if similarity == "logit" else cosines
            case "blip2-itm":
                model = Blip2ForImageTextRetrieval.from_pretrained(folder)
                text = words([QUERY.text] * 7, return_tensors="pt")
                out = model(**text, pixel_values=pixels(folder), use_image_text_matching_head=True).logits_per_image
                return torch.softmax(out, dim=-1)[:, 1].numpy()
            case _:
                model = BlipForImageTextRetrieval.from_pretrained(folder)
                text = words([QUERY.text] * 7, return_tensors="pt")
                out = model(**text, pixel_values=pixels(folder), use_itm_head=name == "blip-itm").itm_score
                return (torch.softmax(out, dim=-1)[:, 1] if name == "blip-itm" else out[:, 0]).numpy()


CASES = [
    ("clip", "cosine"), ("clip", "logit"), ("clip", "dot"), ("longclip", "cosine"), ("siglip", "cosine"),
    ("siglip", "logit"), ("blip-itm", ""), ("blip-itc", ""), ("blip2-itm", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "similarity"), CASES)
def test_scores_equal_a_plain_computation(name: str, similarity: str, folders: dict[str, Path]) -> None:
    scorer = make(folders, name, batch_size=3, **({"similarity": similarity} if similarity else {}))
    assert isinstance(scorer, Scorer)
    scores = scorer.score(QUERY, FRAMES)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, plain(name, folders[name], similarity), rtol=1e-4, atol=1e-5)
    assert len({round(float(score), 6) for score in scores}) > 1
    # The text counts.
    assert not np.allclose(scorer.score(Query("the blue shape on the right"), FRAMES), scores, atol=1e-6)


@pytest.mark.parametrize("name", ["clip", "longclip", "siglip", "blip-itm", "blip-itc", "blip2-itm"])
def test_the_contract_is_kept(name: str, folders: dict[str, Path]) -> None:
    check_scorer(lambda: make(folders, name), name).require()


@pytest.mark.parametrize("name", ["clip", "siglip", "blip-itm", "blip2-itm"])
def test_options_belong_to_the_text_if_asked_for(name: str, folders: dict[str, Path]) -> None:
    with_options = make(folders, name, with_options=True).score(QUERY, FRAMES)
    whole = Query(QUERY.to_text(with_options=True))
    np.testing.assert_array_equal(make(folders, name).score(whole, FRAMES), with_options)


@pytest.mark.parametrize("name", ["clip", "longclip", "siglip", "blip-itm", "blip-itc", "blip2-itm"])
def test_a_long_text_is_never_cut_in_silence(name: str, folders: dict[str, Path]) -> None:
    most = {"clip": 77, "longclip": 248, "siglip": 64}.get(name, 40)
    text = LONG * 2
    count = len(AutoTokenizer.from_pretrained(folders[name])(text, verbose=False)["input_ids"])
    assert count > most
    scorer = make(folders, name)
    with pytest.warns(TextTooLong, match=rf"{name}.*{count} tokens.*reads \({most}\).*left out"):
        cut = scorer.score(Query(text), FRAMES)
    # What is read is the beginning, with the special tokens at its end.
    words = text.split()[: most - (1 if name == "siglip" else 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(scorer.score(Query(" ".join(words)), FRAMES), cut, rtol=1e-6)
    with pytest.raises(ScorerError, match=rf"{count} tokens"):
        make(folders, name, long_text="error").score(Query(text), FRAMES)


@pytest.mark.parametrize("name", ["clip", "siglip", "blip-itc"])
def test_a_long_text_is_read_in_chunks_if_asked_for(name: str, folders: dict[str, Path]) -> None:
    most = {"clip": 77, "siglip": 64}.get(name, 40) - (1 if name == "siglip" else 2)
    words = LONG.split()[: 2 * most + 10]  # three chunks: two from the beginning, one from the end
    scorer = make(folders, name, long_text="chunk")
    embedding = scorer.embed_text(" ".join(words))
    assert scorer.costs == {"text_passes": 3}
    parts = [words[:most], words[most : 2 * most], words[-most:]]
    mean = np.mean([make(folders, name).embed_text(" ".join(part)) for part in parts], axis=0)
    np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), atol=1e-6)
    assert scorer.embed_text("a red shape").shape == embedding.shape
    assert scorer.costs == {"text_passes": 1}


def test_a_cross_encoder_reads_no_chunks(folders: dict[str, Path]) -> None:
    with pytest.raises(InvalidSetting, match=r"long_text of scorer 'blip-itm' must be one of warn, error"):
        make(folders, "blip-itm", long_text="chunk")
    assert can_embed(make(folders, "blip-itm"))
    assert not can_embed(make(folders, "blip2-itm"))


def test_weights_are_loaded_when_asked_for(folders: dict[str, Path], tmp_path: Path) -> None:
    scorer = make(folders, "clip")
    assert "model" not in vars(scorer)
    scorer.load()
    assert {"model", "tokenizer", "image_processor"} <= set(vars(scorer))
    with pytest.raises(InvalidSetting, match="there is no such folder"):
        make({"clip": tmp_path / "nothing"}, "clip").load()


def test_longclip_is_not_clip(folders: dict[str, Path]) -> None:
    with pytest.raises(InvalidSetting, match=r"reads 77 tokens.*needs LongCLIP"):
        make_scorer({"name": "longclip", "model": str(folders["clip"])}).score(QUERY, FRAMES)
    with pytest.raises(InvalidSetting, match="'longclip' needs model"):
        make_scorer("longclip")


@pytest.mark.parametrize("name", ["clip", "blip-itm", "blip2-itm"])
def test_half_precision_is_close(name: str, folders: dict[str, Path]) -> None:
    exact = make(folders, name).score(QUERY, FRAMES)
    half = make(folders, name, dtype="bfloat16")
    assert half.model.vision_model.dtype == torch.bfloat16
    np.testing.assert_allclose(half.score(QUERY, FRAMES), exact, atol=0.05)
    assert half.identity != make(folders, name).identity


def test_identity_is_that_of_the_weights_and_settings(folders: dict[str, Path], tmp_path: Path) -> None:
    first = make(folders, "clip").identity
    moved = tiny.save_clip(tmp_path / "moved")
    assert make({"clip": moved}, "clip").identity == first
    other = tiny.save_clip(tmp_path / "other", seed=5)
    assert make({"clip": other}, "clip").identity != first
    assert make(folders, "clip", with_options=True).identity != first
    assert make(folders, "clip", batch_size=2, device="cpu").identity == first
    # Embeddings of frames do not depend on how texts are read.
    assert make(folders, "clip", with_options=True).frame_identity == make(folders, "clip").frame_identity
    assert make(folders, "clip", similarity="dot").frame_identity != make(folders, "clip").frame_identity


def test_a_second_question_costs_no_vision_pass(folders: dict[str, Path], long_file: Path, tmp_path: Path) -> None:
    times = np.arange(0.0, 100.0, 5.0)
    first = score_video(make(folders, "clip"), FileVideo(long_file), QUERY, times, cache=tmp_path)
    assert first.costs.items() >= {"frames_scored": 20, "scorer_passes": 20, "text_passes": 1}.items()
    scorer = make(folders, "clip", with_options=True)
    scorer._embed_images = None
    result = score_video(scorer, FileVideo(long_file), "the blue shape", times, cache=tmp_path)
    assert result.costs == {**first.costs, "cached_passes": 20}
    frames = FileVideo(long_file).read(times)
    np.testing.assert_allclose(
        result.scores, make(folders, "clip").score(Query("the blue shape"), frames), rtol=1e-4, atol=1e-6
    )


def test_a_cross_encoder_scores_each_question_and_has_embeddings(
    folders: dict[str, Path], long_file: Path, tmp_path: Path
) -> None:
    times = np.arange(0.0, 100.0, 10.0)
    for text in ("the blue shape", "the red shape"):
        result = score_video(make(folders, "blip-itm"), FileVideo(long_file), text, times, cache=tmp_path)
        assert "cached_passes" not in result.costs
        assert "text_passes" not in result.costs
    again = score_video(make(folders, "blip-itm"), FileVideo(long_file), "the red shape", times, cache=tmp_path)
    assert again.costs["cached_passes"] == 10
    np.testing.assert_array_equal(again.scores, result.scores)
    embedded = embed_video(make(folders, "blip-itm"), FileVideo(long_file), times)
    np.testing.assert_allclose(np.linalg.norm(embedded.embeddings, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "no/such-model"}, r"no model could be opened at 'no/such-model'"),
        ({"batch_size": 0}, "batch_size"),
        ({"dtype": "int8"}, "dtype"),
        ({"long_text": "cut"}, "long_text of scorer 'clip' must be one of warn, error, chunk"),
        ({"similarity": "angle"}, "similarity"),
        ({"weights": "x"}, "no option 'weights'"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], words: str, folders: dict[str, Path]) -> None:
    with pytest.raises(InvalidSetting, match=words):
        make_scorer({"name": "clip", "model": str(folders["clip"]), **options}).score(QUERY, FRAMES)


def test_another_kind_of_model_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(InvalidSetting, match=r"is of type 'siglip', but scorer 'clip' needs 'clip'"):
        make_scorer({"name": "clip", "model": str(folders["siglip"])}).score(QUERY, FRAMES)


def test_data_may_not_name_a_model() -> None:
    with names_from_data("a task file"), pytest.raises(UntrustedName, match="a task file names the scorer 'clip'"):
        make_scorer("clip")


def test_a_missing_package_is_named(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DependencyNotInstalled, match=r"vzgym\[llm\]"):
        make(folders, "clip").score(QUERY, FRAMES)
