"""Dialogues as text and image files: in order, complete, each frame after its time."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

import vzgym
from vzgym.episode import Episode
from vzgym.interfaces.messages import Frame, encode_messages
from vzgym.tasks import VideoTask
from vzgym.video import ArrayVideo
from vzgym.video.barcode import draw_barcode, read_barcode
from vzgym.video.images import ImageEncoder


@pytest.fixture
def episode() -> Episode:
    pixels = np.stack([draw_barcode(number, 48, 72) for number in range(60)])
    task = VideoTask(
        id="codes", video=ArrayVideo(pixels, 1.0), question="Which?", options=("x", "y"), answer="x", evidence=None
    )
    return Episode(task, vzgym.Budget(overview_frames=4, max_zooms=2, clip_frames=4, min_pixels=1024, max_pixels=4096))


def opened(frame: Frame) -> np.ndarray:
    image = Image.open(io.BytesIO(frame.data))
    assert f"image/{image.format.lower()}" == frame.media_type
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("format", ["jpeg", "png"])
def test_each_frame_follows_the_text_with_its_time(episode: Episode, format: str) -> None:
    episode.step(vzgym.Zoom(10.0, 13.0, 1.0))
    opening, said, reply = encode_messages(episode.messages, ImageEncoder(format))
    assert (opening.role, said.role, reply.role) == ("user", "assistant", "tool")
    assert [frame.time for frame in reply.frames] == [10.0, 11.0, 12.0]
    for message in (opening, reply):
        for place, part in enumerate(message.parts):
            if isinstance(part, Frame):
                before = message.parts[place - 1]
                assert isinstance(before, str)
                assert re.search(rf"<frame\d+_time{part.time:.2f}s>$", before)
                assert read_barcode(opened(part)) == round(part.time)


def test_no_text_is_lost_or_blank(episode: Episode) -> None:
    episode.step(vzgym.Zoom(10.0, 13.0, 1.0))
    for message, made in zip(episode.messages, encode_messages(episode.messages), strict=True):
        assert made.text == message.text
        assert len(made.frames) == len(message.images)
        assert all(part.strip() for part in made.parts if isinstance(part, str))


def test_a_data_url_holds_the_file(episode: Episode) -> None:
    import base64

    frame = encode_messages(episode.messages)[0].frames[0]
    kind, _, data = frame.data_url.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(data, validate=True) == frame.data


def test_larger_frames_are_downscaled(episode: Episode) -> None:
    (opening,) = encode_messages(episode.messages, ImageEncoder(max_pixels=600))
    assert all(np.prod(opened(frame).shape[:2]) <= 600 for frame in opening.frames)
