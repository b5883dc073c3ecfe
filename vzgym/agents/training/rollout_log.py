"""Pictures of roll-outs in experiment trackers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from transformers import TrainerCallback

from vzgym.envs.rendering import draw_episode
from vzgym.episode.record import EpisodeRecord

__all__ = ["PICTURE_TRACKERS", "RolloutPictures"]

_log = logging.getLogger("vzgym.agents")

_PICTURES: Final = 4
"""Roll-outs shown at each step."""

_NAME: Final = "rollouts"


class RolloutPictures(TrainerCallback):  # type: ignore[misc]
    """Sends pictures of the latest roll-outs to the run's experiment tracker, with their outcome as text.

    Shown are the first roll-outs of the latest batch, which are of the same task. A tracker without pictures gets none;
    a log message names the command that shows the roll-outs instead.

    Args:
        tracker: The tracker, by the name of its module.
        every: Steps between two sets of pictures, >= 1.
        latest: Returns the latest batch of roll-outs, with pixels.
        out: The run's folder, for the message.
    """

    def __init__(self, tracker: str, every: int, latest: Callable[[], Sequence[EpisodeRecord]], out: str) -> None:
        self.tracker = tracker
        self.every = every
        self.latest = latest
        self._trainer: Any = None
        if tracker not in PICTURE_TRACKERS:
            _log.warning("%s gets no pictures of roll-outs: vzgym view --serve %s shows them", tracker, out)

    def attach(self, trainer: Any) -> None:
        """Take the trainer whose tracker gets the pictures."""
        self._trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called by the trainer."""
        send = PICTURE_TRACKERS.get(self.tracker)
        if send is None or not state.is_world_process_zero or state.global_step % self.every:
            return
        shown = [record for record in self.latest() if record.overview.pixels is not None][:_PICTURES]
        if shown:
            send(self._trainer, [(draw_episode(record), _caption(record)) for record in shown], state.global_step)


def _caption(record: EpisodeRecord) -> str:
    """A line about an episode: task, answer, grade, zooms, reward."""
    status = record.grade.status if record.grade is not None else record.end or "unfinished"
    totals = [entry["total"] for entry in record.rewards or ()]
    reward = "unscored" if not totals or None in totals else f"{math.fsum(totals):.3f}"
    answer = "none" if record.answer is None else repr(record.answer[:80])
    return f"{record.task.id}: answer {answer}, {status}, {record.zooms} zooms, reward {reward}"


_Pictures = Sequence[tuple[NDArray[np.uint8], str]]


def _to_tensorboard(trainer: Any, pictures: _Pictures, step: int) -> None:
    from transformers.integrations import TensorBoardCallback

    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
            for number, (picture, caption) in enumerate(pictures):
                callback.tb_writer.add_image(f"{_NAME}/{number}", picture, step, dataformats="HWC")
                callback.tb_writer.add_text(f"{_NAME}/{number}", caption, step)


def _to_wandb(trainer: Any, pictures: _Pictures, step: int) -> None:
    import wandb

    images = [wandb.Image(picture, caption=caption) for picture, caption in pictures]
    # wandb's own step counts its log calls; the trainer's integration plots over this value.
    wandb.log({_NAME: images, "train/global_step": step})


def _to_trackio(trainer: Any, pictures: _Pictures, step: int) -> None:
    import trackio

    trackio.log(
        {f"{_NAME}/{place}": trackio.Image(picture, caption) for place, (picture, caption) in enumerate(pictures)}, step
    )


def _to_mlflow(trainer: Any, pictures: _Pictures, step: int) -> None:
    import mlflow

    for number, (picture, _) in enumerate(pictures):
        mlflow.log_image(picture, key=f"{_NAME}-{number}", step=step)
    mlflow.log_text("\n".join(caption for _, caption in pictures), f"{_NAME}/step-{step:06d}.txt")


PICTURE_TRACKERS: Final[Mapping[str, Callable[[Any, _Pictures, int], None]]] = {
    "tensorboard": _to_tensorboard,
    "wandb": _to_wandb,
    "trackio": _to_trackio,
    "mlflow": _to_mlflow,
}
"""How pictures are sent, by tracker."""
