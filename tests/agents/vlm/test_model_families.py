"""Real architectures of four families, small and random: whatever holds of the tiny model holds of them."""

from __future__ import annotations

import json
from importlib import resources

import pytest
import torch
from PIL import Image
from transformers.utils.chat_template_utils import render_jinja_template
from trl.chat_template_utils import parse_response, supports_tool_calling

from vzgym.agents.training.common import adapters
from vzgym.agents.training.settings import GRPOSettings, LoraSettings, SFTSettings
from vzgym.agents.training.tool_environment import install_turn_parser
from vzgym.agents.vlm.chat import assistant_header, chat_of, encode, join_inputs, turn_end, turn_spans
from vzgym.agents.vlm.checkpoint import open_checkpoint, save_checkpoint
from vzgym.agents.vlm.image_checks import ImagesDropped, count_features, frame_tokens, image_token, watch_images
from vzgym.agents.vlm.policy import VLMPolicy
from vzgym.agents.vlm.processor import load_processor
from vzgym.core.actions import Answer, Zoom
from vzgym.core.budget import Budget
from vzgym.core.errors import InvalidSetting
from vzgym.episode import Episode
from vzgym.evaluation import evaluate
from vzgym.protocols import ToolCallProtocol, as_chat, as_tool_chat, video_zoom_tool
from vzgym.tasks import load_tasks
from vzgym.testing.models import FAMILIES, ModelSize, build_checkpoint

BUDGET = Budget(overview_frames=3, overview_fps=0.05, clip_frames=4, max_zooms=3, min_pixels=1)
ZOOMS = (Zoom(0, 4, 1), Zoom(8, 10, 2), Zoom(20, 21, 1))


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("needle-tiny/test")


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return build_checkpoint(
        request.param, tmp_path_factory.mktemp(request.param), ModelSize(vision_layers=1, width=32, inner=48)
    )


@pytest.fixture(scope="module")
def start(folder):
    opened = open_checkpoint(folder)
    opened.model.eval()
    return opened


def test_the_video_part_of_a_processor_is_kept(tmp_path):
    """For where torchvision is installed; here it is not opened."""
    folder = build_checkpoint("qwen3_vl", tmp_path / "one")
    start = open_checkpoint(folder)
    file = "video_preprocessor_config.json"
    made = json.loads((folder / file).read_text())
    assert made["merge_size"] == start.processor.image_processor.merge_size
    (folder / file).write_text(json.dumps({**made, "fps": 3, "video_processor_type": "Qwen3VLVideoProcessor"}))
    start = open_checkpoint(folder)
    save_checkpoint(tmp_path / "two", start.model, start.processor, start.protocol)
    assert json.loads((tmp_path / "two" / file).read_text()) == json.loads((folder / file).read_text())
    # Newer folders have all parts in one file.
    (folder / file).unlink()
    parts = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps({**parts, "video_processor": {"fps": 4}}))
    start = open_checkpoint(folder)
    save_checkpoint(tmp_path / "three", start.model, start.processor, start.protocol)
    assert json.loads((tmp_path / "three" / file).read_text()) == {"fps": 4}


def episodes(start, tasks, zooms=(1, 0, 3)):
    """Episodes after different numbers of zooms."""
    made = [Episode(tasks[i], BUDGET, start.protocol) for i in range(len(zooms))]
    for episode, count in zip(made, zooms, strict=True):
        for zoom in ZOOMS[:count]:
            episode.step(zoom)
    return made


def features(model, row):
    fields = {
        key: value for key, value in row.items() if key in ("pixel_values", "image_grid_thw", "pixel_attention_mask")
    }
    return count_features(model.get_image_features(**fields))


def test_image_tokens_are_image_features_on_every_turn(start, tasks):
    image = image_token(start.processor)
    episode = Episode(tasks[0], BUDGET, start.protocol)
    seen = []
    for action in (*ZOOMS, Answer("A")):
        row = encode(start.processor, chat_of(episode.messages))
        tokens = int((row["input_ids"] == image).sum())
        assert tokens == features(start.model, row) > 0
        seen.append(tokens)
        episode.step(action)
    assert seen == sorted(set(seen))
    size = tasks[0].video.height, tasks[0].video.width
    assert seen[0] == len(episode.record.overview) * frame_tokens(start.processor, BUDGET.fit(*size))


def test_a_padded_batch_is_what_its_rows_are_alone(start, tasks):
    rows = [encode(start.processor, chat_of(episode.messages)) for episode in episodes(start, tasks)]
    assert len({len(row["input_ids"]) for row in rows}) == 3
    pad = start.processor.tokenizer.pad_token_id
    with torch.no_grad():
        for side in ("left", "right"):
            batch = join_inputs(rows, pad, side)
            positions = start.model._prepare_position_ids_for_generation(batch["input_ids"], dict(batch))
            logits = start.model(**batch, position_ids=positions if side == "left" else None).logits
            for i, row in enumerate(rows):
                alone = start.model(**join_inputs([row], pad)).logits[0]
                found = logits[i][batch["attention_mask"][i].bool()]
                torch.testing.assert_close(found.log_softmax(-1), alone.log_softmax(-1), rtol=0, atol=5e-5)


def test_the_answer_is_the_same_batched_and_alone(start, tasks):
    policy = VLMPolicy(checkpoint=start, turn_tokens=6)
    batch = [episode.messages for episode in episodes(start, tasks)]
    together = policy.respond(batch)
    assert together == [policy.respond([messages])[0] for messages in batch]
    assert len(set(together)) > 1 or together[0]


def test_a_lost_picture_is_found_in_any_forward_pass(start, tasks):
    end = watch_images(start.model, image_token(start.processor))
    row = encode(start.processor, chat_of(episodes(start, tasks)[0].messages))
    batch = join_inputs([row], start.processor.tokenizer.pad_token_id)
    start.model(**batch)
    blind = {key: value for key, value in batch.items() if not key.startswith(("pixel", "image"))}
    with pytest.raises(ImagesDropped, match="visual tokens but pixels for 0"):
        start.model(**blind)
    places = (batch["input_ids"][0] == image_token(start.processor)).nonzero()
    cut = {
        key: value[:, : int(places[-2])] if value.shape == batch["input_ids"].shape else value
        for key, value in batch.items()
    }
    with pytest.raises(ImagesDropped, match="frames were cut off or lost"):
        start.model(**cut)
    with pytest.raises(ImagesDropped, match="visual tokens but pixels for 0"):
        start.model.generate(**blind, max_new_tokens=1)
    end()


def test_a_lost_picture_is_found_under_adapters(folder, tasks):
    from peft import get_peft_model

    start = open_checkpoint(folder)
    watch_images(start.model, image_token(start.processor))
    adapted = get_peft_model(start.model, adapters(SFTSettings(lora=LoraSettings(rank=2)), start.model))
    row = encode(start.processor, chat_of(episodes(start, tasks)[1].messages))
    batch = join_inputs([row], start.processor.tokenizer.pad_token_id)
    adapted(**batch)
    with pytest.raises(ImagesDropped, match="visual tokens but pixels for 0"):
        adapted(**{key: value for key, value in batch.items() if not key.startswith(("pixel", "image"))})


def test_a_template_that_swallows_a_picture_is_found(start, tasks):
    messages = chat_of(episodes(start, tasks)[0].messages)
    kept = start.processor.chat_template
    start.processor.chat_template = kept.replace(
        "{%- set messages = dialogue.messages -%}",
        (
            "{%- set messages = dialogue.messages[1:] -%}"
            if messages[0]["role"] == "user"
            else "{%- set messages = [dialogue.messages[0]] + dialogue.messages[3:] -%}"
        ),
    )
    try:
        with pytest.raises(ImagesDropped, match="image placeholders"):
            encode(start.processor, messages)
    finally:
        start.processor.chat_template = kept


def test_own_turns_are_found_and_read_as_trl_reads_them(start, tasks):
    assert supports_tool_calling(start.processor)
    install_turn_parser(start.processor, start.protocol)
    tokenizer = start.processor.tokenizer
    episode = Episode(tasks[0], BUDGET, start.protocol)
    said = ['<think>hm</think><video_zoom>{"segment": [0, 2], "fps": 1}</video_zoom>', "<answer>A</answer>"]
    for text in said:
        parsed = start.protocol.parse(text)
        episode.step(parsed.action, text=text)
    ids = encode(start.processor, chat_of(episode.messages), reply=False)["input_ids"].tolist()
    spans = turn_spans(ids, assistant_header(start.processor), turn_end(start.processor))
    assert [tokenizer.decode(ids[a:b]).strip() for a, b in spans] == [
        text + tokenizer.decode([turn_end(start.processor)]) for text in said
    ]
    for (a, b), is_call in zip(spans, (True, False), strict=True):
        read = parse_response(tokenizer, ids[a:b], prefix=ids[:a], tools=[])
        assert bool(read.get("tool_calls")) is is_call


def test_evaluation_plays_it(folder, tasks):
    spec = {"name": "vlm", "path": str(folder), "turn_tokens": 4, "max_pixels": 1200, "dtype": "bfloat16"}
    report = evaluate(spec, tasks, episodes=2, budget=BUDGET)
    assert len(report.episodes) == 2


def test_frames_are_no_larger_than_the_policy_wants(start):
    prepared = VLMPolicy(checkpoint=start, max_pixels=1200).prepare(Budget())
    assert (prepared.max_pixels, prepared.min_pixels) == (1200, 1200)
    assert VLMPolicy(checkpoint=start).prepare(Budget()) == Budget()
    with pytest.raises(InvalidSetting, match="dtype must be one of torch's"):
        VLMPolicy(checkpoint=start, dtype="half a byte")


def test_tool_calls_are_what_qwens_own_template_makes_of_structured_ones(tasks):
    template = (resources.files("trl") / "chat_templates" / "qwen3_vl.jinja").read_text(encoding="utf-8")
    text = Episode(tasks[0], BUDGET, ToolCallProtocol())
    structured = Episode(tasks[0], BUDGET, ToolCallProtocol(structured=True))
    call = '<tool_call>\n{"name": "video_zoom", "arguments": {"segment": [0.0, 2.0], "fps": 1.0}}\n</tool_call>'
    for turn in (
        f"<think>Look.</think>\n{call}",
        f"<think>Back.</think>\n{call.replace('2.0', '-2.0')}",
        "<answer>A</answer>",
    ):
        for episode in (text, structured):
            parsed = ToolCallProtocol().parse(turn)
            episode.step(parsed.action, text=turn, well_formed=parsed.well_formed)
    tools = [video_zoom_tool(BUDGET)]
    native, _ = render_jinja_template([as_tool_chat(structured.messages)], tools=tools, chat_template=template)
    plain, _ = render_jinja_template([as_chat(text.messages)], chat_template=template)
    assert native == plain
    assert native[0].count("<tool_response>") == 2
    assert native[0].count("<|image_pad|>") == len(text.record.overview) + 2


def test_a_trainers_tools_do_not_get_into_the_prompt_but_a_servers_do(tmp_path):
    start = open_checkpoint(build_checkpoint("qwen3_vl", tmp_path / "model"))
    chat = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    tools = [video_zoom_tool(BUDGET)]
    render = start.processor.apply_chat_template
    assert render(chat, tools=tools) == render(chat)
    # What is saved is the model's own template, whose tools a server of the folder can use.
    save_checkpoint(tmp_path / "saved", start.model, start.processor, start.protocol)
    served = load_processor(str(tmp_path / "saved")).apply_chat_template
    assert "video_zoom" in served(chat, tools=tools)
    again = open_checkpoint(tmp_path / "saved")
    assert again.processor.chat_template == start.processor.chat_template
    # So are its defaults; trainers get tensors all the same, whatever they ask for.
    assert "return_tensors" not in (tmp_path / "saved" / "processor_config.json").read_text()
    image = Image.new("RGB", (56, 56))
    for processor in (start.processor, again.processor):
        assert isinstance(processor.image_processor(images=[image])["pixel_values"], torch.Tensor)


@pytest.mark.parametrize(("family", "what"), [("idefics3", "token types"), ("gemma3", "num_crops")])
def test_practice_is_refused_where_trls_loop_could_not_feed_the_model(family, what, tmp_path):
    from vzgym.agents.training.grpo import make_trainer

    folder = build_checkpoint(family, tmp_path / "model", ModelSize(width=32, inner=48, vision_layers=1))
    settings = GRPOSettings(model=str(folder), out=str(tmp_path / "out"), tasks="needle-tiny/train")
    with pytest.raises(InvalidSetting, match=f"ForConditionalGeneration does not take {what}, which TRL's"):
        make_trainer(settings)
