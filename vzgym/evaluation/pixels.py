"""Reads the pixels of saved records from their videos, and draws records."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from PIL import Image

from vzgym.core.budget import Budget
from vzgym.core.errors import RecordError
from vzgym.core.registry import names_from_data
from vzgym.envs.rendering import draw_episode
from vzgym.episode.clip import Clip
from vzgym.episode.dialogue import Message
from vzgym.episode.reading import read_clip
from vzgym.episode.record import EpisodeRecord
from vzgym.evaluation.replay import task_of
from vzgym.protocols.base import make_wording
from vzgym.video.base import Video

__all__ = ["clips_with_pixels", "messages_with_frames", "show_record", "with_pixels"]


def clips_with_pixels(record: EpisodeRecord, backend: str = "pyav", *, trust_code: bool = False) -> list[Clip]:
    """Return the record's clips with pixels, from the record or from its video.

    Args:
        record: The record.
        backend: Decoder for video files.
        trust_code: Whether to allow importing a `module:suite` named by the record's task.

    Raises:
        RecordError: If the record's task cannot be rebuilt, or its video no longer shows the frames of the record.
        VideoError: If the video cannot be opened.
        UntrustedName: If the task's suite is a `module:suite` and `trust_code` is not set.
    """
    if all(clip.pixels is not None for clip in record.clips):
        return record.clips
    task = task_of(record.task, backend, trust_code=trust_code)
    with closing(task.video):
        again = [_read(task.video, clip, record.budget) for clip in record.clips]
    for number, (new, old) in enumerate(zip(again, record.clips, strict=True)):
        if new.hashes != old.hashes:
            raise RecordError(f"task {record.task.id!r}: clip {number} no longer has the frames of the record")
    return again


def _read(video: Video, clip: Clip, budget: Budget) -> Clip:
    """Read the frames of a recorded clip again."""
    found = read_clip(
        video,
        clip.requested.copy(),
        budget,
        window=clip.window,
        fps=clip.fps,
        region=clip.region,
        max_pixels=clip.max_pixels,
    )
    return replace(found, speech=clip.speech)


def with_pixels(record: EpisodeRecord, backend: str = "pyav", *, trust_code: bool = False) -> EpisodeRecord:
    """Return the record with pixels; see `clips_with_pixels`."""
    again = clips_with_pixels(record, backend, trust_code=trust_code)
    # Everything but the pixels is that of the record.
    overview, *zooms = (replace(old, pixels=new.pixels) for old, new in zip(record.clips, again, strict=True))
    rest = iter(zooms)
    turns = [replace(turn, clips=tuple(islice(rest, len(turn.clips)))) for turn in record.turns]
    return replace(record, overview=overview, turns=turns)


def messages_with_frames(record: EpisodeRecord, backend: str = "pyav", *, trust_code: bool = False) -> list[Message]:
    """Return the record's dialogue with its frames, from the record or from its video.

    Args:
        record: The record.
        backend: Decoder for video files.
        trust_code: Whether to allow importing code that the record names (`module:Class`).

    Raises:
        RecordError: If the record's task cannot be rebuilt, its video no longer shows the frames of the record, or its
            messages are worded differently now.
        VideoError: If the video cannot be opened.
        UnknownName: If its wording is not registered.
        UntrustedName: If it names code and `trust_code` is not set.
    """
    shown = sum(len(message.images) for message in record.messages)
    if shown == record.frames and all(clip.pixels is not None for clip in record.clips):
        return record.messages
    where = f"the record of task {record.task.id!r}"
    if not record.info.wording:
        raise RecordError(f"{where} lacks its wording (info 'wording')")
    with names_from_data(where, trust_code=trust_code):
        wording = make_wording(record.info.wording)
    full = with_pixels(record, backend, trust_code=trust_code)
    # A wording is a pure function of the record, so the turns need not be executed again.
    messages = list(wording.opening(full.upto(0)))
    for number, turn in enumerate(full.turns, start=1):
        reply = wording.reply(full.upto(number))
        messages += [Message.from_text("assistant", turn.text), *([] if reply is None else [reply])]
    said = [(message.role, message.text) for message in messages]
    if said != [(message.role, message.text) for message in record.messages]:
        raise RecordError(f"{where}: its dialogue is worded differently by this version")
    return messages


def show_record(
    record: EpisodeRecord,
    path: str | Path | None = None,
    *,
    evidence: bool = True,
    backend: str = "pyav",
    trust_code: bool = False,
) -> Image.Image:
    """Draw a record; see `EpisodeRecord.show`."""
    image = Image.fromarray(draw_episode(with_pixels(record, backend, trust_code=trust_code), evidence=evidence))
    if path is None:
        if not _show_in_notebook(image):
            image.show()
    else:
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        image.save(place)
    return image


def _show_in_notebook(image: Image.Image) -> bool:
    """Show a picture in the current notebook, if any."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        return False
    if get_ipython() is None:
        return False
    display(image)
    return True
