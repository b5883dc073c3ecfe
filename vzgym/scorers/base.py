"""The scorer protocol, the registry of scorers, and checks of what scorers return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting, ScorerError
from vzgym.core.interval import Interval
from vzgym.core.registry import Registry
from vzgym.tasks.task import VideoTask, option_letter
from vzgym.video.base import Frames

__all__ = [
    "SCORERS",
    "EmbeddingScorer",
    "OptionsByName",
    "Query",
    "Scorer",
    "ScorerSpec",
    "can_embed",
    "check_embeddings",
    "check_scores",
    "embeds",
    "make_scorer",
]


@dataclass(frozen=True, slots=True)
class Query:
    """What frames are scored for.

    Args:
        text: The question, or any text that frames should fit.
        options: The question's options; empty for an open question.
        task_id: Id of the task; "" if there is none.
        evidence: The task's evidence, for scorers that know it; None if unknown.

    Raises:
        InvalidSetting: If the options are one text.
    """

    text: str
    options: tuple[str, ...] = ()
    task_id: str = ""
    evidence: tuple[Interval, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.options, str):
            raise InvalidSetting(f"options are a list of texts, such as ['red', 'green'], got {self.options!r:.80}")

    @classmethod
    def of(cls, task: VideoTask) -> Self:
        """The query of a task: its question, options, id and evidence."""
        return cls(task.question, task.options, task.id, task.evidence)

    def to_text(self, with_options: bool = False) -> str:
        """The text alone, or followed by one line per option ("A. red")."""
        if not with_options:
            return self.text
        return "\n".join([self.text, *(f"{option_letter(place)}. {o}" for place, o in enumerate(self.options))])


@runtime_checkable
class Scorer(Protocol):
    """Scores frames by how well they fit a query.

    `score` must be deterministic and must score each frame on its own: the same frame of the same query has the same
    score in any batch, apart from rounding.

    Optional attributes and methods:

    - `identity`: JSON values that, with the name, determine the scores: options, and a digest of the weights. Scores
      are kept on disk only for a scorer that has it.
    - `frame_identity`: the part of it on which embeddings of frames depend; all of it by default.
    - `embed_frames(frames) -> (n, d)`, `embed_text(text) -> (d,)`: float32 embeddings of frames and of a text.
    - `score_embeddings(query, embeddings) -> (n,)`: scores from the embeddings of frames. A scorer with this method
      and `embed_frames` is embedded once per video; further queries need no vision pass.
    - `uses_model`: False for a scorer without a model: its frames count as scored, not as passes. True by default.
    - `needs_pixels`: False for a scorer that reads the times only: candidates are not decoded, `pixels` is empty
      `(n, 0, 0, 3)` and times are those asked for. True by default.
    - `lookback`: number of preceding candidates on which a frame's score depends; 0 by default. The scorer is given
      them before the frames of a batch.
    - `embedding_size`: length of an embedding, if it is known without loading a model; for estimates.
    - `batch_size`: largest number of frames of a call; 64 by default.
    - `privileged`: whether it uses the query's evidence; False by default. A policy that uses it is privileged, too.
    - `load()`: loads weights now, not at the first score, so that missing ones are found before the first episode.
    - `costs`: after each call of `score` or `score_embeddings`, a mapping of numbers: further costs of the call
      ("text_passes", "requests", ...), which are summed.
    """

    name: str

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """Score frames.

        Args:
            query: What is looked for.
            frames: `pixels`, uint8 `(n, height, width, 3)`, RGB, and `times`, float64 `(n,)`, in seconds; n >= 1.

        Returns:
            float64, shape `(n,)`, finite. Higher is better, on any scale.
        """
        ...


class OptionsByName:
    """Base class of components with the short form `name:option=value,option=value`; values are YAML."""

    @classmethod
    def parse_name(cls, text: str) -> dict[str, Any]:
        """The options of a short form.

        Args:
            text: The part after the first colon, such as `noise=0.3,seed=1`.

        Raises:
            InvalidSetting: If a part is not of the form option=value.
        """
        from vzgym.core.documents import read_value

        options = {}
        for part in text.split(","):
            key, mark, value = part.partition("=")
            if not mark or not key.strip().isidentifier():
                raise InvalidSetting(f"options after a name are option=value, separated by commas; got {part!r}")
            options[key.strip()] = read_value(value, part)
        return options


class EmbeddingScorer(OptionsByName):
    """Base class of scorers whose score is the dot product of a frame's embedding and the query's.

    Subclasses have `embed_frames` and `embed_text`, and set `with_options`: whether the options belong to the text.
    """

    with_options: bool = False

    def embed_frames(self, frames: Frames) -> NDArray[np.float32]:
        """Embeddings of frames: float32, shape `(n, d)`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method embed_frames(self, frames)")

    def embed_text(self, text: str) -> NDArray[np.float32]:
        """Embedding of a text: float32, shape `(d,)`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method embed_text(self, text)")

    def embed_query(self, query: Query) -> NDArray[np.float32]:
        """Embedding of a query's text, with its options if `with_options` is set."""
        return self.embed_text(query.to_text(self.with_options))

    def score_embeddings(self, query: Query, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of embedded frames: float64, shape `(n,)`."""
        # float64, so that a frame's score does not depend on the number of frames in the product.
        wanted = self.embed_query(query).astype(np.float64)
        scores: NDArray[np.float64] = np.einsum("nd,d->n", embeddings.astype(np.float64), wanted)
        return scores

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """See `Scorer.score`."""
        return self.score_embeddings(query, self.embed_frames(frames))


ScorerSpec: TypeAlias = Scorer | str | Mapping[str, Any]
"""A scorer: an object, a registered name, `"name:option=value"`, `"module:Class"`, or `{"name": ..., **options}`."""

SCORERS: Registry[Scorer] = Registry("scorer", "vzgym.scorers")
SCORERS.register("frame-difference", "vzgym.scorers.pixels:FrameDifference")
SCORERS.register("histogram", "vzgym.scorers.pixels:ColorHistogram")
SCORERS.register("hsv-change", "vzgym.scorers.shots:HsvChange")
SCORERS.register("hash", "vzgym.scorers.pixels:HashScorer")
SCORERS.register("evidence", "vzgym.scorers.evidence:EvidenceScorer")
# Models: their folder is an option, and the hub may be asked.
for _name, _class in {
    "clip": "Clip",
    "longclip": "LongClip",
    "siglip": "Siglip",
    "blip-itm": "BlipItm",
    "blip-itc": "BlipItc",
    "blip2-itm": "Blip2Itm",
}.items():
    SCORERS.register(_name, f"vzgym.scorers.encoders:{_class}", from_data=False)
# An LMM on a server: "endpoint:model=MODEL,url=URL".
SCORERS.register("endpoint", "vzgym.scorers.endpoint:EndpointScorer", from_data=False)


def make_scorer(spec: ScorerSpec) -> Scorer:
    """Create a scorer.

    Raises:
        UnknownName: If the name is not registered.
        PluginError: If it cannot be imported.
        InvalidSetting: If it is not a scorer, or has no such option.
        UntrustedName: If data names a class that is not registered, or a scorer that loads weights or calls a server.
    """
    scorer = SCORERS.make(spec)
    if isinstance(scorer, type) or not isinstance(scorer, Scorer):
        given = f"the class {scorer.__name__}" if isinstance(scorer, type) else repr(scorer)
        raise InvalidSetting(f"a scorer is an object with name and score(query, frames); got {given}")
    if not isinstance(scorer.name, str):
        raise InvalidSetting(f"the name of a scorer must be a text, got {scorer.name!r}")
    return scorer


def can_embed(scorer: Scorer) -> bool:
    """Whether a scorer has embeddings of frames and texts."""
    return callable(getattr(scorer, "embed_frames", None)) and callable(getattr(scorer, "embed_text", None))


def embeds(scorer: Scorer) -> bool:
    """Whether a scorer computes its scores from embeddings of frames."""
    return callable(getattr(scorer, "embed_frames", None)) and callable(getattr(scorer, "score_embeddings", None))


def check_scores(scorer: Scorer, scores: object, times: NDArray[np.float64] | Sequence[float]) -> NDArray[np.float64]:
    """Validate the scores of frames and return them as float64.

    Args:
        scorer: The scorer.
        scores: What it returned.
        times: Times of the frames, in seconds.

    Raises:
        ScorerError: If they are not one finite number per frame; names the scorer and the first wrong frame.
    """
    return _check(scorer, "score()", scores, times, ()).astype(np.float64)


def check_embeddings(
    scorer: Scorer, embeddings: object, times: NDArray[np.float64] | Sequence[float]
) -> NDArray[np.float32]:
    """Validate the embeddings of frames and return them as float32, shape `(n, d)`; see `check_scores`."""
    return _check(scorer, "embed_frames()", embeddings, times, (None,)).astype(np.float32)


def _check(
    scorer: Scorer, method: str, values: object, times: NDArray[np.float64] | Sequence[float], rest: tuple[None, ...]
) -> NDArray[Any]:
    where = f"{method} of scorer {scorer.name!r}"
    try:
        array = np.asarray(values)
    except ValueError as error:  # a ragged list
        raise ScorerError(f"{where} must return an array of numbers: {error}") from error
    wanted = (len(times), *("d" for _ in rest))
    if array.ndim != len(wanted) or len(array) != len(times):
        shape = f"({', '.join(map(str, wanted))}{',' if len(wanted) == 1 else ''})"
        raise ScorerError(f"{where} must return an array of shape {shape}, got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise ScorerError(f"{where} must return numbers, got {array.dtype}")
    wrong = np.flatnonzero(~np.isfinite(array.reshape(len(times), -1)).all(axis=1))
    if len(wrong):
        first = int(wrong[0])
        value = "not finite" if rest else str(array[first])
        raise ScorerError(
            f"{where} is {value} for the frame at {float(times[first]):.3f} s ({len(wrong)} of {len(times)} frames)"
        )
    return array
