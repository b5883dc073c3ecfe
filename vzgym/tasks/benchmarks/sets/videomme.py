"""Video-MME (arXiv 2405.21075)."""

from __future__ import annotations

from vzgym.tasks.benchmarks.columns import options_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.item import Item, letter_index
from vzgym.tasks.benchmarks.prompts import PromptStyle
from vzgym.tasks.benchmarks.registry import register_benchmark

__all__ = ["VIDEOMME"]


def _convert(row: Row) -> Item:
    if "videoID" in row:
        video, number, options = row["videoID"], row["question_id"], options_of(row["options"])
        own = row["video_id"]
    else:
        # VLMEvalKit's table has no ids of questions: three follow each other for each video.
        place = int(row["index"])
        video, own, options = row["video"], f"{place // 3 + 1:03d}", options_of(row["candidates"])
        number = f"{own}-{place % 3 + 1}"
    item = Item(
        id=text_of(number),
        video=f"{video}.mp4",
        question=text_of(row["question"]),
        options=options,
        gold=letter_index(row["answer"], len(options)),
        category=text_of(row["task_type"]),
        subtitles=f"{video}.srt",
        metadata={
            "video_id": text_of(own),
            "youtube_id": text_of(video),
            "duration": text_of(row["duration"]),
            "domain": text_of(row["domain"]),
            "sub_category": text_of(row["sub_category"]),
            "task_type": text_of(row["task_type"]),
        },
    )
    if item.gold is None:
        item.flaw("bad_gold")
    return item


_SELECT = "Choose the best answer to this multiple-choice question, based on the video"

VIDEOMME = register_benchmark(
    Benchmark(
        name="videomme",
        title="Video-MME",
        about="Multiple-choice questions about YouTube videos from 11 seconds to an hour, in six domains.",
        source=Source(
            hub=("lmms-eval/Video-MME", "lmms-lab/Video-MME"),
            size="101 GB",
            licence="annotations: academic research only; videos: YouTube",
        ),
        totals=Totals(
            2700,
            900,
            {
                "duration": {"short": 900, "medium": 900, "long": 900},
                "domain": {
                    "Knowledge": 810,
                    "Life Record": 630,
                    "Sports Competition": 450,
                    "Film & Television": 360,
                    "Artistic Performance": 360,
                    "Multilingual": 90,
                },
                "task_type": {
                    "Object Reasoning": 454,
                    "Object Recognition": 354,
                    "Information Synopsis": 323,
                    "Action Recognition": 313,
                    "Action Reasoning": 285,
                    "Counting Problem": 268,
                    "Attribute Perception": 222,
                    "Temporal Reasoning": 177,
                    "OCR Problems": 139,
                    "Spatial Reasoning": 56,
                    "Temporal Perception": 55,
                    "Spatial Perception": 54,
                },
            },
        ),
        layouts=(
            Layout(
                "lmms-eval",
                ("{cache}/videomme/*.parquet",),
                ("{root}/videomme/data",),
                ("{root}/videomme/subtitle",),
            ),
            Layout(
                "VLMEvalKit",
                ("{cache}/videomme/*.parquet", "{cache}/Video-MME.tsv"),
                ("{cache}/video",),
                ("{cache}/subtitle",),
            ),
            Layout(
                "official",
                ("{snapshot}/videomme/*.parquet", "{root}/*.parquet"),
                ("{snapshot}/data", "{snapshot}/videos_chunked_*", "{snapshot}/videos"),
                ("{snapshot}/subtitle", "{snapshot}/subtitles"),
            ),
        ),
        convert=_convert,
        aliases={
            "video-mme": {},
            "Video-MME": {},
            "videomme_w_subtitle": {"subtitles": True},
            "videomme_long": {"subset": "long"},
            "videomme_long_w_subtitle": {"subset": "long", "subtitles": True},
        },
        subsets={name: ("duration", name) for name in ("short", "medium", "long")},
        groups=("duration", "domain", "sub_category", "task_type"),
        averages={"official": "micro", "lmms-eval": "micro", "vlmevalkit": "micro"},
        prompts={
            "official": PromptStyle(
                text="{subtitles}" + _SELECT + ". Reply with only the letter (A, B, C, or D) of the correct option.\n"
                "{question}\n{options}\nThe best answer is:",
                subtitles="The video's subtitles:\n{cues}\n",
            ),
            "lmms-eval": PromptStyle(
                text="{subtitles}" + _SELECT + " and the subtitles. Reply with only the letter (A, B, C, or D) of the "
                "correct option.\n{question}\n{options}\n\nAnswer with the option's letter from the given choices "
                "directly.",
                subtitles="The video's subtitles:\n{cues}\n",
                subtitled_text="{subtitles}"
                + _SELECT
                + " and the subtitles. Reply with only the letter (A, B, C, or D) of the correct option.\n"
                "{question}\n{options}\nThe best answer is:",
                note="The instruction names subtitles although `videomme` gives none.",
            ),
            "vlmevalkit": PromptStyle(
                text="These are the frames of a video. {subtitles}"
                + _SELECT
                + ". Reply with only the letter (A, B, C, or D) of the correct option.\n"
                "Question: {question}\n{options}\nAnswer: ",
                subtitles="The video's subtitles:\n{cues}\n",
            ),
        },
        subtitle_rule="Official: lines on screen at the sampled frames. lmms-eval: at 32 equally spaced frames (768 "
        "for llava_vid and qwen3_vl), whatever the model sees, each line once. VLMEvalKit: at its own frames, one line "
        "a frame, repeats kept.",
        conventions=statements(
            """
- Score: the first capital letter after removal of lead phrases (official; lmms-eval until 2026-04). Official scoring
  leaves unparsed replies out of numerator and denominator, lmms-eval counts them wrong. Numbers of lmms-eval from
  before and after 2026-04-11 are not comparable.
- Averages are micro; the three durations are equal in size.
- Usual numbers of frames: 8, 32, 64 or one a second. The Qwen2.5-VL report uses 2 fps, at most 768 frames and 24,576
  video tokens; lmms-eval's defaults give 62 to 63 where the report says 65.1.
- `videomme_long` of lmms-eval inherits the prompt with subtitles, so it equals `videomme_long_w_subtitle`.
"""
        ),
        flaws=statements(
            """
- 10 rows have repeated options; in 6 of these the right option is repeated (119-1, 214-3, 321-2, 375-3, ...).
- `duration` is a word; the length in seconds is read from the file when it is opened.
- 744 of 900 videos have subtitles.
"""
        ),
        references=("Qwen2.5-VL-7B 65.1 (71.6 with subtitles)", "Gemini 2.5 Pro 84.8", "LongVILA-R1-7B 65.1 / 71.1"),
    )
)
