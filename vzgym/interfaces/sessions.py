"""Sessions of a server without connections: each is named by an unguessable handle, capped in number, and evicted."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from vzgym.core.errors import InvalidSetting, VzgymError

__all__ = ["SessionBusy", "Sessions", "UnknownSession"]

T = TypeVar("T")


class UnknownSession(VzgymError, LookupError):
    """A handle of no session: never given, ended, or evicted."""


class SessionBusy(VzgymError, RuntimeError):
    """A second call in a session before the first has returned."""


class _Session(Generic[T]):
    def __init__(self, value: T, now: float) -> None:
        self.value = value
        self.used = now
        self.lock = threading.Lock()


class Sessions(Generic[T]):
    """Sessions by handle. Thread-safe; a session itself is used by one call at a time.

    Args:
        limit: Largest number of sessions. A further one evicts the session that was unused for longest, one in a call
            only if all are.
        idle_seconds: A session that was unused for this long is evicted.
        on_evict: Called with the session's value when it is evicted.
        clock: Seconds, monotonic.

    Raises:
        InvalidSetting: If a limit is out of range.
    """

    def __init__(
        self,
        limit: int = 64,
        idle_seconds: float = 3600.0,
        *,
        on_evict: Callable[[T], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if limit < 1 or not idle_seconds > 0:
            raise InvalidSetting(f"sessions need a limit >= 1 and idle seconds > 0, got {limit} and {idle_seconds}")
        self._limit, self._idle = limit, idle_seconds
        self._on_evict, self._clock = on_evict, clock
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, _Session[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, value: T) -> str:
        """Open a session, and return its handle: 22 random letters, digits, `-` and `_`."""
        handle = secrets.token_urlsafe(16)
        with self._lock:
            now = self._clock()
            evicted = self._idle_ones(now)
            if len(self._sessions) - len(evicted) >= self._limit:
                left = [name for name in self._sessions if name not in evicted]
                evicted += sorted(left, key=lambda name: self._sessions[name].lock.locked())[:1]
            values = [self._sessions.pop(name).value for name in evicted]
            self._sessions[handle] = _Session(value, now)
        self._tell(values)
        return handle

    @contextmanager
    def use(self, handle: str) -> Iterator[T]:
        """The session of a handle, for one call.

        Raises:
            UnknownSession: If there is none.
            SessionBusy: If another call uses it.
        """
        with self._lock:
            values = [self._sessions.pop(name).value for name in self._idle_ones(self._clock())]
            session = self._sessions.get(handle)
            # Acquired here, so that the session is not evicted or ended in between.
            free = session is not None and session.lock.acquire(blocking=False)
            if session is not None:
                self._touch(handle, session)
        try:
            self._tell(values)
            if session is None:
                raise UnknownSession(
                    "unknown episode: it has ended, was unused for too long, or never existed. Start one"
                )
            if not free:
                raise SessionBusy("the episode is still executing an earlier call: wait for its result")
            yield session.value
        finally:
            if session is not None and free:
                with self._lock:
                    session.lock.release()
                    if handle in self._sessions:
                        self._touch(handle, session)

    def end(self, handle: str) -> None:
        """Close a session. Its value is not evicted, but forgotten."""
        with self._lock:
            self._sessions.pop(handle, None)

    def close(self) -> None:
        """Evict all sessions."""
        with self._lock:
            values = [session.value for session in self._sessions.values()]
            self._sessions.clear()
        self._tell(values)

    def _touch(self, handle: str, session: _Session[T]) -> None:
        session.used = self._clock()
        self._sessions.move_to_end(handle)

    def _idle_ones(self, now: float) -> list[str]:
        """Handles of the sessions that were unused for too long, and are not in a call."""
        return [
            name
            for name, session in self._sessions.items()
            if now - session.used >= self._idle and not session.lock.locked()
        ]

    def _tell(self, values: list[T]) -> None:
        for value in values:
            if self._on_evict is not None:
                self._on_evict(value)
