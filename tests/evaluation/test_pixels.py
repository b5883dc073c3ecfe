"""Pictures of saved records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vzgym
from vzgym.core.errors import RecordError
from vzgym.envs.rendering import draw_episode
from vzgym.episode import EpisodeRecord
from vzgym.evaluation import read_records
from vzgym.evaluation.pixels import with_pixels
from vzgym.tasks import load_tasks
from vzgym.tasks.io.writing import write_tasks


@pytest.mark.parametrize("files", [False, True])
def test_a_saved_record_draws_as_it_did_when_it_was_played(tmp_path: Path, files: bool) -> None:
    tasks = load_tasks(write_tasks([load_tasks("needle-tiny/test")[0]], tmp_path)) if files else "needle-tiny/test"
    live: list[EpisodeRecord] = []
    vzgym.evaluate("oracle", tasks, episodes=1, out=tmp_path / "run", on_episode=live.append)
    (saved,) = read_records(tmp_path / "run")
    with pytest.raises(RecordError):
        draw_episode(saved)
    image = saved.show(tmp_path / "pictures" / "episode.png")
    # Its reward and grade are those that were saved.
    assert np.array_equal(np.asarray(image), draw_episode(live[0]))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "pictures" / "episode.png")), np.asarray(image))
    assert saved.overview.pixels is None


def test_a_picture_opens_where_no_file_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    live: list[EpisodeRecord] = []
    vzgym.evaluate("blind", "needle-tiny/test", episodes=1, on_episode=live.append)
    opened: list[Image.Image] = []
    monkeypatch.setattr(Image.Image, "show", lambda image: opened.append(image))
    assert opened == [live[0].show()]
    hidden = live[0].show(evidence=False)
    assert not np.array_equal(np.asarray(hidden), np.asarray(opened[0]))


def test_a_video_that_has_changed_is_not_drawn(tmp_path: Path) -> None:
    vzgym.evaluate("oracle", "needle-tiny/test", episodes=1, out=tmp_path)
    data = next(read_records(tmp_path)).to_json()
    data["task"]["video"] = "procedural:needle-tiny/test/1"
    with pytest.raises(RecordError, match="no longer has the frames"):
        with_pixels(EpisodeRecord.from_json(data))
