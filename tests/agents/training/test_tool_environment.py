from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trl.chat_template_utils import parse_response, supports_tool_calling

from vzgym.agents.training.rewards import Scorer
from vzgym.agents.training.token_budget import measure_tokens
from vzgym.agents.training.tool_environment import (
    ReplyToTruncated,
    RolloutFault,
    ToolEnvironment,
    TurnParser,
    finish_rollout,
    install_turn_parser,
    opening_row,
)
from vzgym.agents.vlm.chat import assistant_header, chat_of, encode
from vzgym.agents.vlm.checkpoint import open_checkpoint
from vzgym.agents.vlm.image_checks import ImagesDropped
from vzgym.core.actions import ToolCall, TurnRules, Zoom
from vzgym.core.errors import InvalidSetting, VideoError
from vzgym.envs import VideoZoomEnv
from vzgym.episode import End, Episode, EpisodeRecord, Outcome
from vzgym.evaluation.replay import replay
from vzgym.protocols import PROTOCOLS, CompactTags, TagProtocol, TruncatedText
from vzgym.rewards import make_reward
from vzgym.tasks import TaskList, load_tasks
from vzgym.tools import ShowFrame
from vzgym.tools.extras import Extras
from vzgym.video import ArrayVideo

ZOOM = '<think>red0</think><video_zoom>{"segment": [0, 6], "fps": 1}</video_zoom>'
REVERSED = '<think>red0</think><video_zoom>{"segment": [6, 0], "fps": 1}</video_zoom>'


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("needle-micro/train")


@cache
def opened(path):
    return open_checkpoint(path)


def environment(tasks, task=0, protocol=None, budget=None, extras=None):
    protocol, budget, extras = protocol or CompactTags(), budget or tasks.budget, extras or Extras()
    made = ToolEnvironment(tasks, budget, protocol, extras)
    row = opening_row(extras.episode(tasks[task], budget, protocol).messages)
    made.reset(prompt=row, task=task)
    return made


def played(tasks, turns, task=0):
    """A roll-out as TRL's loop plays it: the environment, and the completion's messages."""
    made = environment(tasks, task)
    completion = []
    for turn in turns[:-1]:
        call = {"type": "function", "function": {"name": "video_zoom", "arguments": {"turn": turn}}}
        completion.append({"role": "assistant", "content": "", "tool_calls": [call]})
        completion.append({"role": "tool", "name": "video_zoom", "content": made.video_zoom(turn)})
    return made, [*completion, {"role": "assistant", "content": turns[-1]}]


def test_the_tool_is_the_only_public_method(tasks):
    methods = [name for name, _ in inspect.getmembers(ToolEnvironment, inspect.isfunction) if not name.startswith("_")]
    assert methods == ["reset", "video_zoom"]


@pytest.mark.parametrize(
    ("text", "is_call"),
    [
        (ZOOM, True),
        ("<think>x\ny</think>" + ZOOM[19:], True),
        ("nonsense", True),
        ("", True),
        ("<think>seen</think><answer>red</answer>", False),
        (ZOOM + "<answer>red</answer>", True),  # the zoom comes first
        ("<think><answer>red</answer></think>" + ZOOM[19:], True),
        ("<think>seen<answer>red</answer>", True),  # the thought is not closed
        ("<answer></answer>", True),
    ],
)
def test_trl_takes_each_complete_turn_without_an_answer_for_a_call(small_model, text, is_call):
    start = open_checkpoint(small_model)
    install_turn_parser(start.processor, start.protocol)
    tokenizer = start.processor.tokenizer
    prefix = tokenizer.encode("<|user|>When?<|im_end|><|assistant|>")
    parsed = parse_response(tokenizer, tokenizer.encode(text + "<|im_end|>"), prefix=prefix, tools=[])
    if is_call:
        assert [call["function"]["arguments"]["turn"] for call in parsed["tool_calls"]] == [text]
    else:
        assert parsed == {"role": "assistant", "content": text}
    cut = parse_response(tokenizer, tokenizer.encode(text), prefix=prefix, tools=[])
    (call,) = cut["tool_calls"]
    assert call["function"]["arguments"] == {"turn": text, "truncated": True}


PIECES = [
    *("<think>", "</think>", "<answer>", "</answer>", "{zoom}", "{late}", "{call}", "<{tag}>", "</{tag}>", "red", "A"),
    *("{{", " "),
]


# The paper's turns, and those with several zooms and a tool.
@pytest.mark.parametrize("zooms", [1, 3])
@pytest.mark.parametrize("name", sorted({*PROTOCOLS.names()} - {"direct"}))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_training_reads_each_turn_as_evaluation_does(small_model, tasks, name, zooms, data):
    protocol = PROTOCOLS.make(name)
    assert isinstance(protocol, TagProtocol)
    budget = replace(tasks.budget, zooms_per_turn=zooms)
    extras = Extras.make(["frame"] if zooms > 1 else None)
    rules = TurnRules(zooms, tuple(tool.name for tool in extras.tools))
    processor = opened(small_model).processor
    parser, tokenizer = TurnParser(processor, protocol, rules), processor.tokenizer
    looks = {"zoom": protocol.text_of(Zoom(0.0, 2.0, 1.0)), "late": protocol.text_of(Zoom(6.0, 10.0, 1.0))}
    looks["call"] = protocol.text_of(ToolCall("frame", {"time": 3}))
    pieces = [piece.format(tag=protocol.tag, **looks) for piece in PIECES]
    drawn = st.tuples(st.lists(st.sampled_from(pieces), max_size=7).map("".join), st.booleans())
    turns = [
        (tokenizer.decode(tokenizer.encode(text)), cut and number > 0)
        for number, (text, cut) in enumerate(data.draw(st.lists(drawn, min_size=1, max_size=4)))
    ]
    # As TRL's loop plays: a call gets a reply, anything else ends the roll-out.
    made, completion = environment(tasks, protocol=protocol, budget=budget, extras=extras), []
    for text, cut in turns:
        message = parser(tokenizer.encode(text) + ([] if cut else [tokenizer.eos_token_id]))
        completion.append(message)
        if "tool_calls" not in message or made._calls == tasks.budget.max_zooms:
            break
        (call,) = message["tool_calls"]
        completion.append(
            {"role": "tool", "name": "video_zoom", "content": made.video_zoom(**call["function"]["arguments"])}
        )
    trained = finish_rollout(made, completion)
    # As evaluation plays the same turns.
    played = extras.episode(tasks[0], budget, protocol)
    assert played.rules == rules
    for text, cut in turns:
        if played.ended:
            break
        parsed = protocol.parse(TruncatedText(text) if cut else text, played.rules)
        played.step(parsed.action, text=text, well_formed=parsed.well_formed)
    while not played.ended:
        played.step(protocol.parse("", rules).action, text="", well_formed=False)
    assert [replace(turn, clips=()) for turn in trained.turns] == [
        replace(turn, clips=()) for turn in played.record.turns
    ]
    assert [clip.hashes for clip in trained.clips] == [clip.hashes for clip in played.record.clips]
    assert (trained.end, trained.grade) == (played.record.end, played.record.grade)


def test_the_template_passes_trls_own_check(small_model):
    assert supports_tool_calling(open_checkpoint(small_model).processor)


def test_dialogues_are_token_identical_in_acting_data_and_training(small_model, tasks, trajectories):
    from vzgym.agents.data.dataset import load_trajectories
    from vzgym.agents.training.sft import trajectory_chat

    start = open_checkpoint(small_model)
    rows = load_trajectories(trajectories)
    row = next(row for row in rows if row["zooms"] == 2)
    said = [m["content"][0]["text"] for m in row["messages"] if m["role"] == "assistant"]
    data = encode(start.processor, trajectory_chat(row), reply=False)["input_ids"].tolist()
    # Acting: the engine's own dialogue.
    episode = Episode(tasks[row["index"]], tasks.budget, start.protocol)
    for text in said:
        parsed = start.protocol.parse(text)
        episode.step(parsed.action, text=text, well_formed=parsed.well_formed)
    acting = encode(start.processor, chat_of(episode.messages), reply=False)["input_ids"].tolist()
    # Training: TRL appends the reset's blocks to the prompt and the tool's blocks as replies, by concatenation.
    made = ToolEnvironment(tasks, tasks.budget, start.protocol)
    prompt = opening_row(Episode(tasks[row["index"]], tasks.budget, start.protocol).messages)
    blocks = made.reset(prompt=prompt, task=row["index"])
    chat = [{**prompt[-1], "content": [{"type": "text", "text": ""}, *blocks]}]
    training = encode(start.processor, chat)["input_ids"].tolist()
    tokenizer = start.processor.tokenizer
    for number, text in enumerate(said):
        training += tokenizer.encode(text + tokenizer.eos_token)
        if number + 1 < len(said):
            reply = {"role": "tool", "name": "video_zoom", "content": made.video_zoom(text)}
            whole = encode(start.processor, [{"role": "user", "content": [{"type": "text", "text": "x"}]}, reply])
            training += whole["input_ids"].tolist()[3:]
    assert data == acting == training
    assert len(assistant_header(start.processor)) == 1


def test_a_record_from_this_interface_replays_and_equals_that_of_gymnasium(tasks):
    turns = [ZOOM, REVERSED, "<think>seen</think><answer>red</answer>"]
    made, completion = played(tasks, turns)
    scorer = Scorer(make_reward("videozoomer"), {"reward": "videozoomer"})
    for function in scorer.functions:
        function(environments=[made], completions=[completion])
    record = finish_rollout(made, completion)
    line = EpisodeRecord.from_line(record.to_line())
    assert replay(line).differences == []
    env = VideoZoomEnv(tasks, action={"name": "text", "protocol": "compact_tags"}, reward="videozoomer")
    env.reset(seed=0, options={"task": tasks[0]})
    for turn in turns:
        env.step(turn)
    assert [clip.hashes for clip in env.record.clips] == [clip.hashes for clip in record.clips]
    assert [turn.refusal for turn in env.record.turns] == [turn.refusal for turn in record.turns]
    assert [message.text for message in env.record.messages] == [message.text for message in record.messages]
    assert env.record.rewards == record.rewards
    env.close()


def test_each_term_has_its_column_and_unscored_is_none(tasks):
    right = f"<think>seen</think><answer>{tasks[0].answer}</answer>"
    rollouts = [played(tasks, [ZOOM, right]), played(tasks, [right]), played(tasks, ["nonsense"])]
    scorer = Scorer(make_reward({"accuracy": 1.0, "format": 0.1, "conditional_tool": 0.5, "call_cost": 0.2}), {})
    metrics: dict[str, float] = {}
    columns = {
        function.__name__: function(
            environments=[made for made, _ in rollouts],
            completions=[completion for _, completion in rollouts],
            log_metric=metrics.__setitem__,
        )
        for function in scorer.functions
    }
    assert columns == {
        "accuracy": [1.0, 1.0, 0.0],
        "format": [1.0, 1.0, 0.0],
        "conditional_tool": [1.0, 0.0, 0.0],
        "call_cost": [-1.0, 0.0, 0.0],
    }
    assert scorer.weights == [1.0, 0.1, 0.5, 0.2]
    assert metrics["episode/zooms"] == pytest.approx(1 / 3)
    assert metrics["episode/frames"] == pytest.approx((14 + 8 + 8) / 3)
    assert metrics["episode/answered"] == pytest.approx(2 / 3)
    # A group's module sees the whole group; without evidence there is nothing to score.
    control = load_tasks("control-micro/train")
    made, completion = played(control, [ZOOM, right])
    iou = Scorer(make_reward({"accuracy": 1.0, "iou_union": 1.0}), {})
    assert iou.functions[1](environments=[made], completions=[completion]) == [None]


def test_a_rollout_that_stops_without_an_answer_has_said_nothing_more(tasks):
    made, completion = played(tasks, [ZOOM, "nonsense"])
    record = finish_rollout(made, completion)
    assert record.end is End.OUT_OF_ROUNDS
    assert [turn.outcome for turn in record.turns] == [Outcome.EXECUTED, Outcome.REFUSED, Outcome.REFUSED]
    assert [turn.text for turn in record.turns[1:]] == ["nonsense", ""]
    assert finish_rollout(made, completion) is record


def test_a_dropped_reply_fails_loudly(tasks):
    made, completion = played(tasks, [ZOOM, ZOOM, "<think></think><answer>red</answer>"])
    del completion[2:]
    with pytest.raises(ImagesDropped, match=r"2 clips.*only 1 reached.*completion_tokens"):
        finish_rollout(made, completion)


def test_a_failing_tool_fails_loudly(tasks):
    made, completion = played(tasks, [ZOOM, "x"])
    completion[1] = {"role": "tool", "content": "{'error': 'disk on fire'}"}
    with pytest.raises(RolloutFault, match="disk on fire"):
        finish_rollout(made, completion)


def test_a_zoom_for_which_no_round_is_left_is_told_to_the_episode(tasks):
    made, completion = played(tasks, [ZOOM, ZOOM, ""])
    call = {"type": "function", "function": {"name": "video_zoom", "arguments": {"turn": ZOOM}}}
    completion[-1] = {"role": "assistant", "content": "", "tool_calls": [call]}
    record = finish_rollout(made, completion)
    assert record.turns[-1].refusal == "last_round"


def test_a_turn_that_was_cut_off_uses_up_its_round(tasks):
    right = f"<think>seen</think><answer>{tasks[0].answer}</answer>"
    made = environment(tasks)
    blocks = made.video_zoom(right, truncated=True)
    assert isinstance(blocks, ReplyToTruncated)
    assert blocks == [{"type": "text", "text": "no: malformed"}]
    call = {"type": "function", "function": {"name": "video_zoom", "arguments": {"turn": right, "truncated": True}}}
    completion = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "video_zoom", "content": blocks},
        {"role": "assistant", "content": right},
    ]
    record = finish_rollout(made, completion)
    assert [turn.outcome for turn in record.turns] == [Outcome.REFUSED, Outcome.ANSWERED]
    assert record.grade is not None
    assert record.grade.score == 1.0


def test_rules_that_differ_from_the_rows_are_refused(tasks):
    made = ToolEnvironment(tasks, tasks.budget, TagProtocol())
    with pytest.raises(InvalidSetting, match="starts with other rules"):
        made.reset(prompt=[{"role": "user", "content": ""}], task=0)


def test_an_environment_must_be_reset_first(tasks):
    with pytest.raises(RolloutFault, match="before its reset"):
        ToolEnvironment(tasks, tasks.budget, CompactTags()).video_zoom(ZOOM)


class Damaged(ArrayVideo):
    """Opens as any other, but nothing from a place on can be read."""

    def __init__(self, place):
        super().__init__(np.zeros((960, 32, 32, 3), np.uint8), 10.0, "damaged.mp4")
        self.place = place

    def read(self, times, *, size=None, region=None):
        if times.max(initial=0.0) >= self.place:
            raise VideoError("the data ends here", path=self.uri, time=self.place)
        return super().read(times, size=size, region=region)


@pytest.mark.parametrize(("place", "turns"), [(90.0, 1), (0.0, 0)])
def test_a_video_that_breaks_inside_costs_the_rollout_and_not_the_run(tasks, tmp_path, caplog, place, turns):
    """The overview ends at 84 s: a zoom meets damage from 90 s on, `reset` meets damage from the start."""
    zoom = ZOOM.replace("[0, 6]", "[88, 94]")
    broken = TaskList([replace(tasks[0], id="broken", video=Damaged(place))], budget=tasks.budget)
    fine, lost = environment(tasks), ToolEnvironment(broken, tasks.budget, CompactTags())
    blocks = lost.reset(prompt=opening_row(Episode(tasks[0], tasks.budget, CompactTags()).messages), task=0)
    assert sum(block["type"] == "image" for block in blocks) == 8
    assert ("broken" in caplog.text) == (not turns)
    completions = []
    for made in (fine, lost):
        call = {"type": "function", "function": {"name": "video_zoom", "arguments": {"turn": zoom}}}
        completions.append(
            [
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "name": "video_zoom", "content": made.video_zoom(zoom)},
                {"role": "assistant", "content": f"<think>seen</think><answer>{tasks[0].answer}</answer>"},
            ]
        )
    metrics: dict[str, float] = {}
    scorer = Scorer(make_reward({"accuracy": 1.0, "format": 0.1}), {}, tmp_path / "rollouts.jsonl")
    columns = [
        function(environments=[fine, lost], completions=completions, log_metric=metrics.__setitem__)
        for function in scorer.functions
    ]
    assert columns == [[1.0, None], [1.0, None]]
    assert metrics["episode/video_errors"] == 0.5
    assert finish_rollout(lost, completions[1]).end is End.VIDEO_ERROR
    saved = [EpisodeRecord.from_line(line) for line in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    assert [len(record.turns) for record in saved] == [2, turns][: 1 + turns]


def test_tools_are_called_in_the_loop_as_in_evaluation(small_model, tasks):
    extras = Extras.make(["frame", {"name": "find_frames", "scorer": "histogram"}])
    for name in ("tags", "compact_tags", "tool_calls"):
        protocol = PROTOCOLS.make(name)
        made = ToolEnvironment(tasks, tasks.budget, protocol, extras)
        start = extras.episode(tasks[0], tasks.budget, protocol)
        made.reset(prompt=opening_row(start.messages), task=0)
        processor = opened(small_model).processor
        parser, tokenizer = TurnParser(processor, protocol, start.rules), processor.tokenizer
        calls = [
            protocol.text_of(ToolCall("frame", {"time": 3})),
            protocol.text_of(ToolCall("frame", {"time": 300})),
            "<answer>red</answer>",
        ]
        completion, played = [], extras.episode(tasks[0], tasks.budget, protocol)
        for text in calls:
            said = tokenizer.decode(tokenizer.encode(f"<think>x</think>{text}"))
            message = parser([*tokenizer.encode(said), tokenizer.eos_token_id])
            completion.append(message)
            parsed = protocol.parse(said, played.rules)
            played.step(parsed.action, text=said, well_formed=parsed.well_formed)
            for call in message.get("tool_calls", ()):
                assert call["function"]["arguments"]["turn"] == said
                completion.append({"role": "tool", "content": made.video_zoom(**call["function"]["arguments"])})
        record = finish_rollout(made, completion)
        assert [turn.action for turn in record.turns] == [turn.action for turn in played.record.turns]
        assert [message.text for message in record.messages] == [message.text for message in played.record.messages]
        assert [str(turn.outcome) for turn in record.turns] == ["executed", "refused", "answered"]


def test_the_longest_reply_of_a_tool_is_measured(small_model, tasks):
    def need(*tools):
        start = opened(small_model)
        representatives = [tasks[0]]
        extras = Extras.make(list(tools)) if tools else None
        return measure_tokens(start.processor, CompactTags(), representatives, tasks.budget, 40, extras)

    class Silent(ShowFrame):
        name = "silent"
        longest = None  # type: ignore[assignment]

    plain, framed = need(), need("frame")
    assert framed.prompt == plain.prompt  # this protocol describes no tools
    long = need({"name": "find_frames", "scorer": "histogram", "results": 200})
    assert long.reply > plain.reply
    with pytest.raises(InvalidSetting, match=r"the tool 'silent' does not say how long .* longest\(context\)"):
        need(Silent())
