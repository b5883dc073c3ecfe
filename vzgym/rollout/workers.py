"""Playing episodes in several processes, so that more than one core (or one answer of a server) is used at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from vzgym.core.errors import WorkerError
from vzgym.episode.record import EpisodeRecord

__all__ = ["Player", "end_with_parent", "spread"]


class Player(Protocol):
    """Plays episodes by their index."""

    @property
    def failed(self) -> Mapping[str, str]:
        """Tasks whose video could not be opened so far, with the reason."""
        ...

    def play_now(self, indices: Sequence[int]) -> Iterator[tuple[int, EpisodeRecord]]:
        """Play these; yields each finished record with its index."""
        ...


def spread(
    make: Callable[[], Player], chunks: Sequence[Sequence[int]], workers: int
) -> Generator[tuple[list[tuple[int, EpisodeRecord]], Mapping[str, str]]]:
    """Play chunks of episodes in processes of their own, each with its own player.

    The processes are started afresh (spawned): forked children of a process that has decoded video, or used a GPU,
    hang. They end with this one, however it ends.

    Args:
        make: Makes a player; must pickle.
        chunks: Indices that are played together, in order.
        workers: How many processes, >= 1.

    Yields:
        Of each chunk, in the order of `chunks`: the records (without pixels), and its failed tasks.

    Raises:
        WorkerError: If a process dies.
    """
    if not chunks:
        return
    pool = ProcessPoolExecutor(
        min(workers, len(chunks)), multiprocessing.get_context("spawn"), initializer=_begin, initargs=(make,)
    )
    try:
        jobs = [pool.submit(_play, chunk) for chunk in chunks]
        for job in jobs:
            lines, failed = job.result()
            yield [(index, EpisodeRecord.from_line(line)) for index, line in lines], failed
    except BrokenProcessPool as error:
        raise WorkerError(
            "a process that played episodes died: out of memory, or killed. A script that starts several workers "
            "must do so below `if __name__ == '__main__':`"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_make: Callable[[], Player]
_player: Player | None = None


def _begin(make: Callable[[], Player]) -> None:
    """In a new process: keep what makes the player. It is made with the first chunk, so that its errors are told."""
    global _make
    _make = make
    end_with_parent()


def end_with_parent() -> None:
    """In a new process: leave Ctrl-C to the process that started it, and end when that one does, however it ends."""
    # Ctrl-C is the first process's business: it lets the others finish their episode.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _play(indices: Sequence[int]) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """Play a chunk; the records as lines, which are small: frames are kept by their hashes."""
    global _player
    if _player is None:
        _player = _make()
    before = set(_player.failed)
    lines = [(index, record.to_line()) for index, record in _player.play_now(indices)]
    return lines, {task: reason for task, reason in _player.failed.items() if task not in before}
