"""Charades-STA (arXiv 1705.02101): the interval of a described event."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vzgym.core.errors import TaskError
from vzgym.tasks.benchmarks.columns import pairs_of, text_of
from vzgym.tasks.benchmarks.definition import Benchmark, Layout, Row, Source, Totals, statements
from vzgym.tasks.benchmarks.grounding import SPAN_PROMPT, grounding_question
from vzgym.tasks.benchmarks.item import Item
from vzgym.tasks.benchmarks.registry import register_benchmark
from vzgym.tasks.io.rows import read_rows

__all__ = ["CHARADES_STA"]

_LINE = re.compile(r"(\S+) +([\d.]+) +([\d.]+)##(.*)")


def _read(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Rows of the hub copy, or lines of the original such as `3MSZA 24.3 30.4##person turn a light on.`."""
    for file in files:
        if file.suffix.lower() != ".txt":
            yield from read_rows(file)
            continue
        try:
            lines = file.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise TaskError(f"cannot read {file}: {error}") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{file}, line {number}"
            found = _LINE.fullmatch(line.strip())
            if found is None:
                raise TaskError(f"{where}: not of the form 'VIDEO START END##CAPTION': {line[:100]!r}")
            video, start, end, caption = found.groups()
            yield where, {"video": f"{video}.mp4", "caption": caption, "timestamp": [float(start), float(end)]}


def _convert(row: Row) -> Item:
    video, caption = text_of(row["video"]), text_of(row["caption"]).strip()
    spans = pairs_of(row["timestamp"])
    item = Item(
        id=f"{video.rpartition('.')[0]}>>>{caption}>>>{list(spans[0])}",
        video=video,
        question=grounding_question(caption),
        category="grounding",
        metadata={"video_id": video.rpartition(".")[0], "query": caption, "gold_spans": [list(span) for span in spans]},
    )
    item.set_evidence(spans)
    return item


CHARADES_STA = register_benchmark(
    Benchmark(
        name="temporal_grounding_charades",
        title="Charades-STA, test",
        about="The start and the end of a described action in home videos of about 30 seconds.",
        source=Source(
            hub=("lmms-eval/charades_sta", "lmms-lab/charades_sta"),
            size="13 GB",
            licence="Charades: non-commercial use",
            how="Unpack Charades_v1_480_part_1.zip to 4.",
        ),
        totals=Totals(3720),
        layouts=(
            Layout(
                "lmms-eval",
                ("{cache}/data/test-*.parquet", "{cache}/test-*.parquet", "{cache}/*.json*"),
                ("{root}/charades_sta/Charades_v1_480", "{root}/charades_sta"),
            ),
            Layout(
                "official",
                ("{root}/charades_sta_test.txt", "{snapshot}/data/test-*.parquet", "{snapshot}/test-*.parquet"),
                ("{snapshot}/Charades_v1_480", "{root}/Charades_v1", "{root}/videos"),
            ),
        ),
        convert=_convert,
        read=_read,
        aliases={"charades_sta": {}, "charades": {}, "Charades-STA": {}},
        answers="spans",
        options="an interval",
        chance=None,
        evidence="spans",
        metrics=("miou", "recall_at"),
        prompts={"lmms-eval": SPAN_PROMPT},
        conventions=statements(
            """
- IoU with the one gold span; R at 0.3, 0.5 and 0.7 and mIoU over all rows; unparsed replies count 0.
- Results are keyed by `video>>>caption>>>span`, so identical rows collapse upstream.
- Parsers of times differ: lmms-eval reads `00:10 to 00:20` and `10.0s to 12.5s` and swaps reversed pairs, but not
  `[12.0, 15.5]` nor "between 3 and 7"; TimeLens reads the latter two, but `10.0s to 12.5s` as 10.0 to 12.0.
"""
        ),
        references=("Qwen2.5-VL-7B mIoU 43.6", "VideoMind-7B R@0.5 59.1"),
        flaws=("Short videos: grounding, not long video. TimeLens-Bench has corrected labels.",),
    )
)
