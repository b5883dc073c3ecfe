"""The exceptions of vzgym.

All derive from :class:`VzgymError` and also from the built-in exception that a caller would expect (`ValueError`,
`LookupError`, ...). An agent's mistakes in an episode (a reversed zoom, malformed text, wrong arguments of a tool)
raise no exception out of `Episode.step`: they yield replies in the dialogue.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from vzgym.core.text import known_names

__all__ = [
    "ActionTypeError",
    "DependencyNotInstalled",
    "EndpointError",
    "EpisodeEnded",
    "FolderInUse",
    "InvalidSetting",
    "PluginError",
    "RecordError",
    "ScorerError",
    "SelectionError",
    "SubtitleError",
    "TaskError",
    "ToolArgumentError",
    "UnknownName",
    "UntrustedName",
    "VideoError",
    "VzgymError",
    "WorkerError",
]


class VzgymError(Exception):
    """Base class of all errors raised by vzgym."""


class UnknownName(VzgymError, LookupError):
    """A name without a registry entry, plug-in or file.

    Args:
        kind: What was looked up, in the singular ("task suite", "reward module"); or an `UnknownName` to copy.
        name: The unknown name.
        valid: The valid names.
        hint: A further sentence for the message, if any.
    """

    kind: str
    name: str
    valid: tuple[str, ...]
    hint: str

    def __init__(self, kind: str | UnknownName, name: str = "", valid: Iterable[str] = (), hint: str = "") -> None:
        if isinstance(kind, UnknownName):
            # gymnasium's AsyncVectorEnv re-raises an error of a worker as `type(error)(error)`.
            name, valid, hint, kind = kind.name, kind.valid, kind.hint, kind.kind
        self.kind = kind
        self.name = name
        self.valid = tuple(sorted(valid))
        self.hint = hint
        message = f"unknown {kind} {name!r}; {known_names([name], self.valid)}"
        super().__init__(f"{message}. {hint}" if hint else message)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.kind, self.name, self.valid, self.hint)


class InvalidSetting(VzgymError, ValueError):
    """An invalid setting; the message names the setting, its value and the valid ones."""


class PluginError(VzgymError, ImportError):
    """A plug-in or `module:Class` that cannot be imported; the message names it and the reason."""


class UntrustedName(VzgymError, ValueError):
    """A file names code (`module:Class`) that the user has not allowed; the message states how to allow it."""


class DependencyNotInstalled(VzgymError, ImportError):
    """An optional package is missing; the message gives the command that installs it."""


class VideoError(VzgymError):
    """A video that cannot be opened or decoded.

    Args:
        reason: The reason; or a `VideoError` to copy.
        path: The file (or the uri of a video that is not a file).
        time: Position in the video in seconds, if the fault has one.
        backend: The decoder that found the fault.
    """

    reason: str
    path: str
    time: float | None
    backend: str | None

    def __init__(
        self,
        reason: str | VideoError,
        *,
        path: str | os.PathLike[str] = "",
        time: float | None = None,
        backend: str | None = None,
    ) -> None:
        if isinstance(reason, VideoError):
            # gymnasium's AsyncVectorEnv re-raises an error of a worker as `type(error)(error)`.
            path, time, backend, reason = reason.path, reason.time, reason.backend, reason.reason
        self.reason = reason
        self.path = os.fspath(path)
        self.time = time
        self.backend = backend
        where = self.path
        if time is not None:
            where += f" at {time:.3f} s"
        if backend is not None:
            where += f" ({backend})"
        super().__init__(f"{where}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments: errors cross process borders, so rebuild by hand.
        return _rebuild_video_error, (self.reason, self.path, self.time, self.backend)


def _rebuild_video_error(reason: str, path: str, time: float | None, backend: str | None) -> VideoError:
    return VideoError(reason, path=path, time=time, backend=backend)


class TaskError(VzgymError, ValueError):
    """An invalid task: a bad row of a file, an answer that is not an option, inconsistent numbers."""


class SubtitleError(TaskError):
    """A subtitle file that cannot be read; the message names the file and the byte, or the block and line."""


class ActionTypeError(VzgymError, TypeError):
    """A value that is not an action of the environment (a programming error, not an agent's mistake)."""


class ToolArgumentError(VzgymError, ValueError):
    """Wrong arguments of a tool call: an agent's mistake, which the episode turns into a reply.

    The message is one sentence for the agent: what was wrong, and what would be right.
    """


class EpisodeEnded(VzgymError, RuntimeError):
    """An action in an episode that has ended."""


class RecordError(VzgymError, ValueError):
    """A saved record that cannot be read or replayed; the message names file, line and reason."""


class ScorerError(VzgymError, ValueError):
    """A scorer without valid scores: not finite, of the wrong shape, or without the embeddings that are needed."""


class SelectionError(VzgymError, ValueError):
    """Candidate frames that lack what a selector needs (scores, embeddings), or contradict each other."""


class FolderInUse(VzgymError, RuntimeError):
    """A folder or file that another process is writing."""


class WorkerError(VzgymError, RuntimeError):
    """A worker process died, or failed with an error that cannot be sent; finished work is kept."""


class EndpointError(VzgymError, RuntimeError):
    """A model server did not respond, or refused a request. Finished work is kept.

    Args:
        reason: The server's message or the reason; or an `EndpointError` to copy.
        url: The server's base URL.
        model: The model's name there.
        status: The HTTP status, if there was a response.
        tries: Number of attempts.
        advice: Advice, in full sentences.
    """

    reason: str
    url: str
    model: str
    status: int | None
    tries: int
    advice: str

    def __init__(
        self,
        reason: str | EndpointError,
        *,
        url: str = "",
        model: str = "",
        status: int | None = None,
        tries: int = 1,
        advice: str = "",
    ) -> None:
        if isinstance(reason, EndpointError):
            url, model, status, tries, advice = reason.url, reason.model, reason.status, reason.tries, reason.advice
            reason = reason.reason
        self.reason, self.url, self.model, self.status = reason, url, model, status
        self.tries, self.advice = tries, advice
        code = "" if status is None else f"HTTP {status}: "
        often = f" ({tries} tries)" if tries > 1 else ""
        message = f"{url} (model {model!r}): {code}{reason.rstrip('.')}{often}."
        super().__init__(f"{message} {advice}" if advice else message)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments: errors cross process borders, so rebuild by hand.
        return _rebuild_endpoint_error, (self.reason, self.url, self.model, self.status, self.tries, self.advice)


def _rebuild_endpoint_error(
    reason: str, url: str, model: str, status: int | None, tries: int, advice: str
) -> EndpointError:
    return EndpointError(reason, url=url, model=model, status=status, tries=tries, advice=advice)
