"""LongVideo-Reason-eval (Long-RL, arXiv 2507.07966)."""

from __future__ import annotations

import re

from vzgym.tasks.benchmarks.columns import literal, split_stem, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item, letter_index
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark

__all__ = ["LONGVIDEO_REASON"]

_ANSWER = re.compile(r"\s*<answer>(.*)</answer>\s*", re.DOTALL)
_CHATTER = frozenset({"147", "743", "825"})
_BROKEN = frozenset({"0t5uYYGT_r8.mp4", "477_2.webm"})


def _convert(row: Row) -> Item:
    number = text_of(row["problem_id"])
    videos = literal(row["videos"])
    video = text_of(videos[0] if isinstance(videos, list) and videos else videos)
    found = _ANSWER.fullmatch(text_of(row["answer"]))
    answer = (found[1] if found else text_of(row["answer"])).strip()
    question, options = split_stem(text_of(row["problem"]))
    item = Item(
        id=number,
        video=video,
        question=question,
        options=options,
        gold=letter_index(answer.rstrip("."), len(options)),
        category=text_of(row["problem_type"]),
        metadata={
            "video_id": video.rpartition("/")[2].rpartition(".")[0],
            "problem_type": text_of(row["problem_type"]),
        },
    )
    if not options:
        item.answer = answer
        item.flaw("no_options")
    elif item.gold is None:
        item.flaw("bad_gold")
    if number in _CHATTER:
        item.flaw("odd_options")
    if video.rpartition("/")[2] in _BROKEN:
        item.flaw("broken_video")
    return item


LONGVIDEO_REASON = register_benchmark(
    Benchmark(
        name="longvideo_reason",
        title="LongVideo-Reason-eval",
        about="Reasoning about long videos: temporal order, goals, plots, space. The options stand in the question.",
        source=Source(
            hub=("LongVideo-Reason/longvideo-reason",),
            size="195 GB",
            licence="not stated",
            how="The videos are in LongVideo-Reason/longvideo_eval_videos: longvideo_eval_subset0.tar.gz to 9, "
            "to unpack "
            "beside the annotations.",
        ),
        totals=Totals(1000, 991, {"problem_type": {"temporal": 294, "goal": 288, "plot": 283, "spatial": 135}}),
        layouts=(
            Layout(
                "official",
                (
                    "{snapshot}/test*.parquet",
                    "{snapshot}/data/test*.parquet",
                    "{snapshot}/*test*.json*",
                    "{snapshot}/*eval*.json*",
                ),
                (
                    "{root}/longvila_videos",
                    "{root}/longvideo_eval_subset*",
                    "{root}/longvideo_eval_videos",
                    "{root}/videos",
                ),
            ),
        ),
        convert=_convert,
        aliases={"longvideo-reason": {}, "LongVideo-Reason-eval": {}, "longvideoreason": {}},
        groups=("problem_type",),
        prompts={
            "official": PromptStyle(
                text="You are a helpful assistant. The user asks a question about a video. Think deeply about "
                "it first, "
                "as in an inner monologue. Give your reasoning between <think> and </think>, and your answer between "
                "<answer> and </answer>. Question: {question}\n{options}"
            )
        },
        conventions=statements(
            """
- Score, official: a symbolic check, else equality of the stripped texts between answer tags: `B.` fails, a line break
  within the tags fails, without tags the whole reply is compared. Failed videos leave the denominator.
- Its cache is keyed by video: the second question of a video (9 rows) gets the first one's reply.
- The gold letter is B in 44.1 % of the rows (B 441, C 299, A 153, D 107).
"""
        ),
        flaws=statements(
            """
- Rows 379 and 857 have no options; the options of 147, 743 and 825 hold chatter of the generating model.
- 867 videos are mp4, 130 webm, 3 mkv; `0t5uYYGT_r8.mp4` and `477_2.webm` do not decode fully.
- Rows name `longvila_videos/...`, but the archives unpack to `longvideo_eval_subset<N>/`: both are searched.
"""
        ),
        references=(
            "LongVILA-R1-7B 72.0",
            "Gemini-1.5-Pro 69.3",
            "Video-R1-7B 68.1",
            "VideoZoomer-7B 80.3 (its Qwen2.5-VL-7B: 70.8)",
        ),
        unverified=(
            "Names of the annotation files on the hub.",
            "That 147, 743 and 825 are values of `problem_id`.",
            "The folders that the archives unpack to.",
        ),
    )
)
