"""Scoring conventions: how published numbers of a benchmark were computed, as data.

A score of a benchmark is only comparable with others of the same convention: the same extractor, the same treatment of
unparsed replies and the same average. `vzgym bench score` computes the score of saved replies under several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.evaluation.benchmarks.extractors import EXTRACTORS
from vzgym.tasks.benchmarks.definition import Benchmark

__all__ = ["GROUPS", "Convention", "conventions_of", "get_convention"]

GROUPS: Final = "mean of groups"
"""The average over Video-MME-v2's groups."""


@dataclass(frozen=True, slots=True)
class Convention:
    """How replies become a score.

    Args:
        name: Name within its benchmark.
        extractor: How an option letter is read (`vzgym.evaluation.benchmarks.extractors`).
        unparsed: Replies from which nothing can be read: "wrong" counts them, "exclude" leaves them out of numerator
            and denominator, "random" gives them a random option (by seed and task).
        average: "micro", the mean over questions; "macro KEY", the mean over the values of a metadata key of the
            means over their questions; or "mean of groups", of Video-MME-v2's scores of groups of questions.
        open_rule: How open answers are compared without a judge: "vzgym" (`vzgym.episode.answers.grade`) or
            "videommmu".
        note: What differs from the source.

    Raises:
        InvalidSetting: If a value is none of these.
        UnknownName: If there is no such extractor.
    """

    name: str
    extractor: str = "vzgym"
    unparsed: Literal["wrong", "exclude", "random"] = "wrong"
    average: str = "micro"
    open_rule: Literal["vzgym", "videommmu"] = "vzgym"
    note: str = ""

    def __post_init__(self) -> None:
        if self.unparsed not in ("wrong", "exclude", "random"):
            raise InvalidSetting(f"unparsed must be 'wrong', 'exclude' or 'random', got {self.unparsed!r}")
        if self.average not in ("micro", GROUPS) and not self.average_key:
            raise InvalidSetting(f"average must be 'micro', 'macro KEY' or {GROUPS!r}, got {self.average!r}")
        if self.open_rule not in ("vzgym", "videommmu"):
            raise InvalidSetting(f"open_rule must be 'vzgym' or 'videommmu', got {self.open_rule!r}")
        EXTRACTORS.get(self.extractor)

    @property
    def average_key(self) -> str:
        """Metadata key of a macro average; "" for the others."""
        kind, _, key = self.average.partition(" ")
        return key.strip() if kind == "macro" else ""


# Extractor, unparsed, open rule, note; the averages are those of the benchmark's definition.
_OURS: Final = Convention("vzgym")
_PUBLISHED: Final[Mapping[str, Sequence[Convention]]] = {
    "videomme": (
        Convention("official", "videomme", "exclude"),
        Convention("lmms-eval", "lmms-eval", note="lmms-eval since 2026-04-11"),
        Convention("lmms-eval-2025", "videomme", note="lmms-eval before 2026-04-11"),
        Convention("vlmevalkit", "vlmevalkit-videomme", note="exact matching, without its judge"),
    ),
    "longvideobench": (
        Convention("official", "videomme", "random", note="as lmms-eval; a random option if nothing is read"),
        Convention("lmms-eval", "videomme", "random"),
        Convention("vlmevalkit", "videomme"),
    ),
    "mlvu": (
        Convention("official", "mlvu"),
        Convention("lmms-eval", "lmms-eval", note="lmms-eval since 2026-04-11"),
        Convention("lmms-eval-2025", "videomme", note="lmms-eval before 2026-04-11"),
        Convention("vlmevalkit", "vlmevalkit", note="exact matching, without its judge"),
        Convention("videozoomer", "vzgym", note="the paper's micro average, read by this package's rule"),
    ),
    "lvbench": (
        Convention("official", "lvbench"),
        Convention("lmms-eval", "lmms-eval", note="lmms-eval since 2026-04-11"),
        Convention("lmms-eval-2025", "videomme", note="lmms-eval before 2026-04-11"),
    ),
    "video_mmmu": (
        Convention("official", "videommmu", open_rule="videommmu", note="empty open replies count as wrong"),
        Convention("lmms-eval", "lmms-eval", open_rule="videommmu", note="lmms-eval since 2026-04-11"),
    ),
    "cgbench": (
        Convention("official", "cgbench"),
        Convention("lmms-eval", "lmms-eval"),
    ),
    "longvideo_reason": (Convention("official", "longvideo-reason", note="strict; `vzgym` is the lenient form"),),
    "video_holmes": (Convention("official", "video-holmes"),),
    "videomme_v2": (Convention("official", "videomme-v2"),),
    "egoschema": (Convention("lmms-eval", "videomme", "random", note="a random option if nothing is read"),),
}


def conventions_of(benchmark: Benchmark) -> dict[str, Convention]:
    """The conventions of a benchmark by name, ours last.

    A convention belongs to all benchmarks whose names start with its key (`mlvu` to `mlvu_dev` and `mlvu_test`). Its
    average is that of the benchmark's definition.
    """
    keys = [key for key in _PUBLISHED if benchmark.name == key or benchmark.name.startswith(f"{key}_")]
    # The longest key is the most specific: videomme_v2 before videomme.
    published = _PUBLISHED[max(keys, key=len)] if keys else ()
    found = {}
    for item in (*published, _OURS):
        # "lmms-eval-2025" averages as "lmms-eval".
        names = (item.name, item.name.rpartition("-")[0], "official")
        average = next((benchmark.averages[name] for name in names if name in benchmark.averages), "micro")
        found[item.name] = Convention(item.name, item.extractor, item.unparsed, average, item.open_rule, item.note)
    return found


def get_convention(benchmark: Benchmark, name: str) -> Convention:
    """A benchmark's convention by name.

    Raises:
        UnknownName: If the benchmark has no such convention; the message lists those that it has.
    """
    known = conventions_of(benchmark)
    if name not in known:
        raise UnknownName(f"convention of {benchmark.name}", name, known)
    return known[name]
