"""Search in the subtitles, and reading of an interval of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar

from pydantic import Field

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting, ToolArgumentError
from vzgym.episode.tools import ToolContext, ToolResult
from vzgym.episode.wording import number, spoken
from vzgym.tasks.subtitles.subtitle import Subtitle, overlapping
from vzgym.tools.base import Arguments, TypedTool, check_count, interval_of

__all__ = ["SubtitleArguments", "SubtitleSearch"]

# Scripts without spaces between words: each character is a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


class SubtitleArguments(Arguments):
    """Arguments of `subtitles`."""

    query: str | None = Field(None, min_length=1)
    """Words to search for; the lines that fit best are returned. Leave it out to read all lines of an interval."""

    start: float | None = None
    """Start of the interval in seconds; 0 if left out."""

    end: float | None = None
    """End of the interval in seconds; the video's end if left out."""


class SubtitleSearch(TypedTool[SubtitleArguments]):
    """Searches the subtitles for words (BM25), or reads those of an interval.

    Words are compared by their stems (Snowball), without case, in Unicode's form NFKC; in Chinese and Japanese each
    character is a word.

    Formula: BM25 in Lucene's form, `sum over words of log(1 + (N - n + 0.5) / (n + 0.5)) * f / (f + k1 * (1 - b + b *
    l / mean l))` with k1 = 1.5 and b = 0.75; N lines, n of them with the word, f times in a line of l words. Lines
    without any of the words are not returned; of equal ones, the earlier comes first.
    Source: Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009), by the package
    bm25s.

    Args:
        results: Maximum number of lines that a search returns.
        lines: Maximum number of lines of an interval; the reply says where to read on.
        language: The language whose endings are removed from words ("english", "german", ...); None: words are
            compared whole.

    Raises:
        InvalidSetting: If a number is not an integer >= 1, or there are no stems for the language.
        DependencyNotInstalled: If bm25s or snowballstemmer is not installed.
    """

    name = "subtitles"
    description = (
        "Searches the video's subtitles for words, or reads those of an interval. Returns lines of speech with their "
        "times."
    )
    arguments: ClassVar[type[Arguments]] = SubtitleArguments

    def __init__(self, results: int = 5, lines: int = 40, language: str | None = "english") -> None:
        check_count(self.name, results=results, lines=lines)
        for package in ("bm25s", "snowballstemmer"):
            if find_spec(package) is None:
                raise DependencyNotInstalled(f'{package} is not installed, run `pip install "vzgym[tools]"`')
        if language is not None:
            import snowballstemmer

            known = snowballstemmer.algorithms()
            if language not in known:
                raise InvalidSetting(
                    f"language of tool {self.name!r} must be None or one of {', '.join(sorted(known))}, "
                    f"got {language!r}"
                )
        self.language = language
        self.results = results
        self.lines = lines

    @property
    def options(self) -> Mapping[str, Any]:
        """See `TypedTool.options`."""
        return {"results": self.results, "lines": self.lines, "language": self.language}

    def execute(self, arguments: SubtitleArguments, context: ToolContext) -> ToolResult:
        """See `Tool.run`."""
        if arguments.query is None and arguments.start is None and arguments.end is None:
            raise ToolArgumentError("give 'query' to search for words, or 'start' and 'end' to read an interval.")
        span = interval_of(arguments.start, arguments.end, context.duration)
        if not context.subtitles:
            return ToolResult("This video has no subtitles.")
        found = overlapping(context.subtitles, span.start, span.end)
        if arguments.query is None:
            return ToolResult(self._read(found))
        return ToolResult(self._search(arguments.query, found))

    def longest(self, context: ToolContext) -> ToolResult:
        """See `Tool`."""
        by_length = sorted(context.subtitles, key=lambda line: -len(line.text))
        return ToolResult(self._read([*by_length[: max(self.results, self.lines)], *by_length[:1]]))

    def _read(self, found: Sequence[Subtitle]) -> str:
        if not found:
            return "Nothing is said in this interval."
        shown = found[: self.lines]
        head = f"{len(found)} lines:" if len(found) > 1 else "1 line:"
        if len(shown) < len(found):
            head = f"The first {len(shown)} of {len(found)} lines; read on from {number(found[self.lines].start)} s:"
        return "\n".join([head, *map(spoken, shown)])

    def _search(self, query: str, found: Sequence[Subtitle]) -> str:
        words = _words(query, self.language)
        if not words:
            raise ToolArgumentError(f"'query' holds no word to search for, got {query!r:.60}.")
        scores = _scores(tuple(line.text for line in found), tuple(words), self.language)
        order = sorted((place for place in range(len(found)) if scores[place] > 0), key=lambda place: -scores[place])
        if not order:
            return "No line holds any of these words."
        best = [found[place] for place in order[: self.results]]
        head = f"{len(order)} lines" if len(order) > 1 else "1 line"
        more = f", the best {len(best)}" if len(best) < len(order) else ""
        return "\n".join([f"{head} with these words{more}:", *map(spoken, best)])


def _words(text: str, language: str | None) -> list[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return words if language is None else [_stem(word, language) for word in words]


@lru_cache(maxsize=1 << 16)
def _stem(word: str, language: str) -> str:
    return str(_stemmer(language).stemWord(word))


@cache
def _stemmer(language: str) -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer(language)


@lru_cache(maxsize=32)
def _index(texts: tuple[str, ...], language: str | None) -> Any:
    """The BM25 index of lines; None if no line holds a word."""
    import bm25s

    corpus = [_words(text, language) for text in texts]
    if not any(corpus):
        return None
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index(corpus, show_progress=False)
    return index


def _scores(texts: tuple[str, ...], words: tuple[str, ...], language: str | None = None) -> list[float]:
    """Each line's score; 0 for one without any of the words."""
    index = _index(texts, language)
    known = [] if index is None else [word for word in words if word in index.vocab_dict]
    if not known:
        return [0.0] * len(texts)
    return [float(score) for score in index.get_scores(known)]
