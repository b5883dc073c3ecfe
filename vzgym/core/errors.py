"""Every error that vzgym raises on purpose.

One base class, :class:`VzgymError`, and named leaves. Each leaf also inherits the built-in that a caller
would expect (`ValueError`, `LookupError`, ...), so that code which knows nothing of vzgym catches it too.
What an agent does wrong inside an episode (a reversed zoom, malformed text) is never an exception: it is a
reply in the dialogue. Exceptions are for programs and files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

__all__ = [
    "ActionTypeError",
    "DependencyNotInstalled",
    "EndpointError",
    "EpisodeEnded",
    "FolderInUse",
    "InvalidSetting",
    "PluginError",
    "RecordError",
    "TaskError",
    "UnknownName",
    "UntrustedName",
    "VideoError",
    "VzgymError",
    "WorkerError",
]


class VzgymError(Exception):
    """Base class of all errors raised by vzgym."""


class UnknownName(VzgymError, LookupError):
    """A name that no registry entry, plug-in or file answers to.

    Args:
        kind: What was looked up, in the singular ("task suite", "reward module"); or an `UnknownName` to make again.
        name: The name that was asked for.
        valid: The names that would have been right.
        hint: One more sentence for the reader, if there is something to add.
    """

    kind: str
    name: str
    valid: tuple[str, ...]
    hint: str

    def __init__(self, kind: str | UnknownName, name: str = "", valid: Iterable[str] = (), hint: str = "") -> None:
        if isinstance(kind, UnknownName):
            # gymnasium's AsyncVectorEnv raises an error of a worker anew, as `type(error)(error)`.
            name, valid, hint, kind = kind.name, kind.valid, kind.hint, kind.kind
        self.kind = kind
        self.name = name
        self.valid = tuple(sorted(valid))
        self.hint = hint
        listed = ", ".join(self.valid) if self.valid else "none registered"
        message = f"unknown {kind} {name!r}; valid: {listed}"
        super().__init__(f"{message}. {hint}" if hint else message)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.kind, self.name, self.valid, self.hint)


class InvalidSetting(VzgymError, ValueError):
    """A setting whose value cannot work; the message names the setting, the value and what would be right."""


class PluginError(VzgymError, ImportError):
    """A plug-in or `module:Class` that could not be imported; the message names it and the reason."""


class UntrustedName(VzgymError, ValueError):
    """A file names code (`module:Class`) that nobody at the keyboard has allowed; the message says how to allow it."""


class DependencyNotInstalled(VzgymError, ImportError):
    """An optional package is missing; the message gives the command that installs it."""


class VideoError(VzgymError):
    """A video that cannot be opened or decoded.

    Args:
        reason: What is wrong, in words; or a `VideoError` to make again.
        path: The file (or the uri of a video that is not a file).
        time: Where in the video, in seconds, if the fault has a place.
        backend: Which decoder met the fault.
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
            # gymnasium's AsyncVectorEnv raises an error of a worker anew, as `type(error)(error)`.
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
    """A task that cannot be: a bad row of a file, an answer that is no option, numbers that clash."""


class ActionTypeError(VzgymError, TypeError):
    """A value that is no action of this environment at all (a programming error, not an agent's mistake)."""


class EpisodeEnded(VzgymError, RuntimeError):
    """An action was sent to an episode that has ended."""


class RecordError(VzgymError, ValueError):
    """A saved record that cannot be read or does not replay; the message names file, line and reason."""


class FolderInUse(VzgymError, RuntimeError):
    """A folder or file that another process is writing."""


class WorkerError(VzgymError, RuntimeError):
    """A process that did part of the work died; what was finished before is kept."""


class EndpointError(VzgymError, RuntimeError):
    """A server of a model that did not answer, or refused to. What was finished before is kept.

    Args:
        reason: What it said, or what went wrong; or an `EndpointError` to make again.
        url: The server's base URL.
        model: The model's name there.
        status: The HTTP status, if there was an answer.
        tries: How often the request was sent.
        advice: What to do about it, in whole sentences.
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
