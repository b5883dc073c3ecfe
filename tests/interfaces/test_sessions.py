"""Sessions: unguessable handles, a limit, eviction, one call at a time."""

from __future__ import annotations

import threading

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.interfaces.sessions import SessionBusy, Sessions, UnknownSession


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_handle_is_long_and_never_repeats() -> None:
    sessions: Sessions[int] = Sessions(1000)
    handles = {sessions.add(number) for number in range(1000)}
    assert len(handles) == 1000
    assert min(map(len, handles)) >= 22


def test_a_session_is_found_by_its_handle_until_it_ends() -> None:
    sessions: Sessions[str] = Sessions()
    handle = sessions.add("one")
    with sessions.use(handle) as value:
        assert value == "one"
    sessions.end(handle)
    with pytest.raises(UnknownSession), sessions.use(handle):
        pass


@pytest.mark.parametrize("handle", ["", "0", "x" * 10_000, "\ud800"])
def test_no_other_text_is_a_handle(handle: str) -> None:
    sessions: Sessions[int] = Sessions()
    sessions.add(1)
    with pytest.raises(UnknownSession, match="unknown episode"), sessions.use(handle):
        pass


def test_one_too_many_evicts_the_longest_unused(clock: Clock) -> None:
    gone: list[str] = []
    sessions = Sessions(2, on_evict=gone.append, clock=clock)
    first, second = sessions.add("first"), sessions.add("second")
    with sessions.use(first):
        pass
    sessions.add("third")
    assert gone == ["second"]
    assert len(sessions) == 2
    with pytest.raises(UnknownSession), sessions.use(second):
        pass


def test_an_unused_session_is_evicted_in_time(clock: Clock) -> None:
    gone: list[str] = []
    sessions = Sessions(10, 60.0, on_evict=gone.append, clock=clock)
    handle = sessions.add("old")
    clock.now = 59.0
    with sessions.use(handle):
        pass
    clock.now = 118.0
    with sessions.use(handle):
        pass
    clock.now = 178.0
    with pytest.raises(UnknownSession), sessions.use(handle):
        pass
    assert gone == ["old"]


def test_a_long_call_is_not_evicted(clock: Clock) -> None:
    sessions: Sessions[str] = Sessions(10, 60.0, clock=clock)
    handle = sessions.add("busy")
    with sessions.use(handle):
        clock.now = 1000.0
        sessions.add("other")
        assert len(sessions) == 2
    with sessions.use(handle):
        pass


def test_a_call_is_evicted_only_if_no_other_session_is_left(clock: Clock) -> None:
    gone: list[str] = []
    sessions = Sessions(2, on_evict=gone.append, clock=clock)
    first, _ = sessions.add("first"), sessions.add("second")
    with sessions.use(first):
        sessions.add("third")
        fourth = sessions.add("fourth")
        assert gone == ["second", "third"]
        with sessions.use(fourth):
            sessions.add("fifth")
        assert gone == ["second", "third", "first"]
    with sessions.use(fourth):
        pass


def test_a_session_is_free_again_after_an_error(clock: Clock) -> None:
    def refuse(value: str) -> None:
        raise OSError(value)

    sessions: Sessions[str] = Sessions(3, 60.0, on_evict=refuse, clock=clock)
    sessions.add("old")
    clock.now = 30.0
    handle = sessions.add("new")
    clock.now = 61.0
    with pytest.raises(OSError, match="old"), sessions.use(handle):
        pass
    with sessions.use(handle):
        pass


def test_two_calls_at_once_are_refused() -> None:
    sessions: Sessions[str] = Sessions()
    handle = sessions.add("one")
    entered, leave = threading.Event(), threading.Event()

    def call() -> None:
        with sessions.use(handle):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=call)
    thread.start()
    assert entered.wait(10)
    with pytest.raises(SessionBusy, match="earlier call"), sessions.use(handle):
        pass
    leave.set()
    thread.join()
    with sessions.use(handle):
        pass


def test_closing_evicts_all() -> None:
    gone: list[int] = []
    sessions = Sessions(5, on_evict=gone.append)
    for number in range(3):
        sessions.add(number)
    sessions.close()
    assert gone == [0, 1, 2]
    assert len(sessions) == 0


@pytest.mark.parametrize(("limit", "idle"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_limits_are_checked(limit: int, idle: float) -> None:
    with pytest.raises(InvalidSetting):
        Sessions(limit, idle)
