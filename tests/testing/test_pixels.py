"""The rule that the other side's model sees the pixels finds every way to lose them."""

from __future__ import annotations

import base64

import numpy as np
import pytest

import vzgym
from vzgym.episode import Episode
from vzgym.episode.record import EpisodeRecord
from vzgym.interfaces.messages import Frame, encode_messages
from vzgym.testing import check_parity, scripts
from vzgym.testing.parity import Seen, code_scripts, code_task, data_of_url, fault_of_seen
from vzgym.testing.parity.interfaces import EngineInterface

Episode_and_seen = tuple[EpisodeRecord, list[Seen]]


@pytest.fixture(scope="module")
def played() -> Episode_and_seen:
    episode = Episode(code_task(), vzgym.Budget(overview_frames=4, max_zooms=1, clip_frames=4))
    episode.step(vzgym.Zoom(10.0, 12.0, 2.0))
    parts = [part for message in encode_messages(episode.messages) for part in message.parts]
    return episode.record, [part.data if isinstance(part, Frame) else part for part in parts]


def pictures(seen: list[Seen]) -> list[int]:
    return [place for place, item in enumerate(seen) if not isinstance(item, str)]


def test_what_is_whole_has_no_fault(played: Episode_and_seen) -> None:
    record, seen = played
    assert len(pictures(seen)) == 8
    assert fault_of_seen(record, seen) is None


def test_a_lost_frame_is_found(played: Episode_and_seen) -> None:
    record, seen = played
    place = pictures(seen)[2]
    assert "7 pictures arrived" in str(fault_of_seen(record, seen[:place] + seen[place + 1 :]))


def test_base64_as_text_is_no_picture(played: Episode_and_seen) -> None:
    record, seen = played
    texts = [base64.b64encode(item).decode() if isinstance(item, bytes) else item for item in seen]
    assert "0 pictures arrived" in str(fault_of_seen(record, texts))


def test_frames_in_another_order_are_found(played: Episode_and_seen) -> None:
    record, seen = played
    one, other = pictures(seen)[4:6]
    swapped = list(seen)
    swapped[one], swapped[other] = seen[other], seen[one]
    fault = "picture 4 should be the frame of 10.00 s, and is the frame of 10.50 s"
    assert fault_of_seen(record, swapped) == fault


def test_pictures_before_all_text_are_found(played: Episode_and_seen) -> None:
    record, seen = played
    texts = [item for item in seen if isinstance(item, str)]
    assert "should stand directly after its time" in str(
        fault_of_seen(record, [*(seen[place] for place in pictures(seen)), *texts])
    )


def test_the_time_of_another_frame_is_found(played: Episode_and_seen) -> None:
    record, seen = played
    moved = [item.replace("time10.50s", "time10.00s") if isinstance(item, str) else item for item in seen]
    assert "picture 5 should stand directly after its time, 10.50 s" in str(fault_of_seen(record, moved))


@pytest.mark.parametrize("broken", [b"", b"\xff\xd8\xff\xe0 no more", np.full((64, 64, 3), 127, dtype=np.uint8)])
def test_an_unreadable_picture_is_found(played: Episode_and_seen, broken: Seen) -> None:
    record, seen = played
    place = pictures(seen)[3]
    assert "an unreadable picture" in str(fault_of_seen(record, [*seen[:place], broken, *seen[place + 1 :]]))


def test_an_interface_that_trains_blind_is_caught() -> None:
    class Blind(EngineInterface):
        name = "blind"

        def play(self, script, seen=None):
            record = super().play(script, seen)
            if seen is not None:
                seen[:] = [item for item in seen if isinstance(item, str)]
            return record

    report = check_parity([Blind()], scripts()[:1])
    assert [result.status for result in report.results] == ["kept", "broken"]
    assert "0 pictures arrived" in report.results[1].detail


def test_the_scripts_show_frames_of_every_origin() -> None:
    records = [EngineInterface().play(script) for script in code_scripts()]
    assert {bool(turn.tool) for record in records for turn in record.turns if turn.clips} == {True, False}
    assert max(len(turn.clips) for record in records for turn in record.turns) == 2


def test_only_base64_is_read_from_an_address() -> None:
    assert data_of_url("data:image/jpeg;base64,/9j/") == b"\xff\xd8\xff"
    assert data_of_url("/9j/") == b"\xff\xd8\xff"
    with pytest.raises(ValueError, match="not base64"):
        data_of_url("https://example.org/frame.jpg")
