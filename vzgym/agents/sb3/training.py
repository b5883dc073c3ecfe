"""Training with Stable-Baselines3: environments, model, checkpoints, evaluations, logs."""

from __future__ import annotations

import inspect
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from vzgym.agents.sb3.checkpoints import checkpoints, model_class, replay_buffer
from vzgym.agents.sb3.extractor import ClipExtractor
from vzgym.agents.sb3.heads import ClipPolicy, MaskableClipPolicy
from vzgym.agents.sb3.policy import SB3Policy
from vzgym.agents.sb3.settings import SB3Settings
from vzgym.agents.settings import check_same_run
from vzgym.core.errors import InvalidSetting
from vzgym.core.files import (
    append_json_line,
    folder_lock,
    json_line,
    read_json_lines,
    replace_file,
    write_json,
    write_text,
)
from vzgym.core.statistics import proportion
from vzgym.core.text import known_names
from vzgym.envs.video_zoom import VideoZoomEnv
from vzgym.policies.fingerprint import METADATA
from vzgym.rewards.statistics import (
    EpisodeTerms,
    episode_terms,
    log_entries,
    logged_statistics,
    silent_terms,
    term_statistics,
)
from vzgym.rollout.task_rollouts import TaskRollouts
from vzgym.tasks import load_tasks
from vzgym.tasks.task_set import other_split
from vzgym.tasks.task_slice import is_task_file, split_slice

__all__ = ["curve_lines", "make_vector_env", "train_sb3"]

_log = logging.getLogger("vzgym.agents")


def make_vector_env(settings: SB3Settings) -> VecEnv:
    """The environments of a run, in this process."""
    tasks = load_tasks(settings.tasks, split="train")

    def make() -> Monitor[Any, Any]:
        env = VideoZoomEnv(
            tasks,
            observation=settings.observation,
            action=settings.action,
            reward=settings.reward,
            budget=settings.budget_for(tasks),
        )
        return Monitor(env, info_keywords=("correct",))

    return DummyVecEnv([make] * settings.envs)


def train_sb3(
    settings: SB3Settings,
    *,
    resume: bool = False,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> Path:
    """Train a model, or resume from its newest checkpoint.

    Every `eval_every` steps the policy is evaluated on the validation split of the suite; for a task file, on the file
    with "validation" in place of "train" in its name, else on the file itself. Writes into `settings.out`: `sb3.json`,
    `model.zip`, `checkpoints/`, `curve.jsonl` (one line for each evaluation: steps, wall and CPU seconds of training,
    accuracy with its interval, zooms, and statistics of the reward's terms in the episodes trained on since the line
    before), `tensorboard/`.

    Args:
        settings: The run.
        resume: Resume a stopped run in `out`, from its weights, its optimizer and its number of steps (and, for DQN,
            its replay buffer); tasks and actions are sampled again.
        progress: Called with the steps done and the latest evaluation.

    Returns:
        The folder, which `SB3Policy` and `vzgym eval --policy` take.

    Raises:
        InvalidSetting: If `out` is empty, contains a run already (without `resume`) or a run with other settings; or if
            the learner has no such option.
        FolderInUse: If another run writes into `out`.
    """
    if not settings.out:
        raise InvalidSetting("say where the results go: out")
    _check_options(settings)
    folder = Path(settings.out)
    with folder_lock(folder):
        _train(settings, folder, resume, progress)
    return folder


def _train(
    settings: SB3Settings, folder: Path, resume: bool, progress: Callable[[int, dict[str, float]], None] | None
) -> None:
    newest = next(reversed(checkpoints(folder / "checkpoints")), None)
    if newest is not None:
        _check_same(settings, folder, resume)
    # First, since it may raise: nothing must be written for a run that cannot start.
    env = make_vector_env(settings)
    own = split_slice(settings.tasks)[0]
    if settings.eval_every and is_task_file(own) and other_split(own, "validation") == own:
        _log.warning("%s has no validation file beside it: accuracy while training is that on its own tasks", own)
    settings.save(folder)
    budget = settings.budget_for(load_tasks(settings.tasks, split="train"))
    write_json(folder / METADATA, {"budget": budget.to_dict()})
    (folder / "checkpoints").mkdir(exist_ok=True)
    logs = str(folder / "tensorboard") if settings.tensorboard else None
    kind: Any = model_class(settings.algo)
    earlier: dict[str, float] = {}
    if newest is None:
        (folder / "curve.jsonl").unlink(missing_ok=True)
        model = kind(**_arguments(settings), env=env, seed=settings.seed, tensorboard_log=logs)
    else:
        model = kind.load(newest, env=env, tensorboard_log=logs)
        model.set_random_seed(settings.seed + model.num_timesteps)
        earlier = _truncate_curve(folder / "curve.jsonl", model.num_timesteps)
        if settings.algo == "dqn":
            model.load_replay_buffer(replay_buffer(newest))
    left = settings.steps - model.num_timesteps
    measured = int(earlier.get("steps", model.num_timesteps))
    callback = _RunCallback(settings, folder, _Stopwatch(earlier), progress, model.num_timesteps, measured)
    try:
        if left > 0:
            model.learn(left, callback=callback, reset_num_timesteps=False, tb_log_name=settings.algo)
        callback.finish(model)
    finally:
        env.close()
    with replace_file(folder / "model.zip") as partial, partial.open("wb") as file:
        model.save(file)


def _check_options(settings: SB3Settings) -> None:
    """Check that the learner takes each of `options`.

    Raises:
        InvalidSetting: If it does not; with close names, and all valid ones.
    """
    # The run sets these itself, and `_init_setup_model` is internal.
    ours = {"self", "env", "seed", "tensorboard_log", "_init_setup_model"}
    valid = [name for name in inspect.signature(model_class(settings.algo).__init__).parameters if name not in ours]
    for name in settings.options:
        if name not in valid:
            raise InvalidSetting(f"options: {settings.algo} has no option {name!r}; {known_names([name], valid)}")


def _arguments(settings: SB3Settings) -> dict[str, Any]:
    """Keyword arguments of the learner."""
    extractor = {"bins": settings.windows}
    rate = LinearSchedule(settings.learning_rate, settings.final_rate * settings.learning_rate, 1.0)
    given: dict[str, Any] = {"gamma": settings.gamma, "learning_rate": rate, "verbose": 0}
    if settings.algo == "dqn":
        given |= {
            "policy": "MultiInputPolicy",
            "policy_kwargs": {
                "features_extractor_class": ClipExtractor,
                "features_extractor_kwargs": extractor,
                "net_arch": [64],
            },
            "buffer_size": 20_000,
            "learning_starts": 1000,
            "batch_size": 128,
            "train_freq": 1,
            "gradient_steps": 4,
            "target_update_interval": 1000,
            "exploration_fraction": 0.4,
        }
        return given | dict(settings.options)
    policy: Any = MaskableClipPolicy if settings.algo == "maskable_ppo" else ClipPolicy
    given |= {
        "policy": policy,
        "policy_kwargs": {"features_extractor_kwargs": extractor, "rates": len(settings.fps)},
        "gae_lambda": 0.95,
        "ent_coef": 0.01,
    }
    if settings.algo == "a2c":
        given |= {"n_steps": 16, "use_rms_prop": False, "normalize_advantage": True}
    else:
        given |= {"n_steps": 64, "batch_size": 256, "n_epochs": 8}
    return given | dict(settings.options)


class _Stopwatch:
    """Wall and CPU seconds of training; evaluations are left out.

    Args:
        before: The seconds of earlier parts of the run.
    """

    _CLOCKS: ClassVar[Mapping[str, Callable[[], float]]] = {
        "seconds": time.monotonic,
        "cpu_seconds": time.process_time,
    }

    def __init__(self, before: Mapping[str, float] | None = None) -> None:
        self._took = {name: (before or {}).get(name, 0.0) for name in self._CLOCKS}
        self.go()

    def go(self) -> None:
        """Start, or continue."""
        self._begun = {name: clock() for name, clock in self._CLOCKS.items()}

    def stop(self) -> dict[str, float]:
        """Stop; returns the seconds of each clock."""
        for name, clock in self._CLOCKS.items():
            self._took[name] += clock() - self._begun[name]
        return {name: round(took, 1) for name, took in self._took.items()}


class _RunCallback(BaseCallback):
    """Checkpoints, evaluations and progress.

    Args:
        settings: The run.
        folder: Its folder.
        clock: The seconds of training.
        progress: See `train_sb3`.
        saved: Steps of the checkpoint that the run resumes from; 0 for a new run.
        measured: Steps at the latest evaluation before.
    """

    def __init__(
        self,
        settings: SB3Settings,
        folder: Path,
        clock: _Stopwatch,
        progress: Callable[[int, dict[str, float]], None] | None,
        saved: int,
        measured: int,
    ) -> None:
        super().__init__()
        self.settings, self.folder, self.progress = settings, folder, progress
        self.every = settings.eval_every
        self.clock = clock
        self.measures: dict[str, float] = {}
        self.saved, self.measured = saved, measured
        self._ledgers: dict[int, list[Mapping[str, Any]]] = {}
        self._finished: list[EpisodeTerms] = []

    def _on_training_start(self) -> None:
        if not self.model.num_timesteps and self.every:
            self._measure_and_log()

    def _on_step(self) -> bool:
        steps = self.model.num_timesteps
        if self.every:
            self._keep_terms()
        if self.every and steps - self.measured >= self.every:
            self._measure_and_log()
        if steps - self.saved >= self.settings.checkpoint_every:
            self.save(self.model)
        if self.progress is not None:
            self.progress(steps, self.measures)
        return True

    def _measure_and_log(self) -> None:
        self.measure(self.model)
        for name, value in self.measures.items():
            self.logger.record(f"eval/{name}", value)

    def _keep_terms(self) -> None:
        """Keep what the reward's terms gave in the episodes that training played since the last evaluation."""
        for number, (info, done) in enumerate(zip(self.locals["infos"], self.locals["dones"], strict=True)):
            ledger = self._ledgers.setdefault(number, [])
            total = None if info["reward_status"] == "unscored" else 0.0
            ledger.append({"total": total, "terms": info["reward_terms"]})
            if done:
                terms = episode_terms(self._ledgers.pop(number))
                if terms is not None:
                    self._finished.append(terms)

    def save(self, model: Any) -> None:
        """Write a checkpoint; the previous one is kept, in case writing is interrupted."""
        self.saved = model.num_timesteps
        folder = self.folder / "checkpoints"
        path = folder / f"step_{self.saved}.zip"
        # Renamed only when it is complete.
        unfinished = folder / "unfinished.zip"
        if self.settings.algo == "dqn":
            model.save_replay_buffer(replay_buffer(path))
        model.save(unfinished)
        unfinished.replace(path)
        for old in checkpoints(folder)[:-2]:
            old.unlink()
            replay_buffer(old).unlink(missing_ok=True)

    def measure(self, model: Any) -> None:
        """Evaluate the deterministic policy on the first validation tasks."""
        self.measured = model.num_timesteps
        took = self.clock.stop()
        tasks = load_tasks(other_split(self.settings.tasks, "validation"))
        policy = SB3Policy(model=model, settings=self.settings)
        rollouts = TaskRollouts(policy, tasks, budget=self.settings.budget_for(tasks))
        correct, zooms = [], []
        for _, record in rollouts.play(range(min(self.settings.eval_episodes, len(tasks)))):
            zooms.append(record.zooms)
            if record.grade is not None and record.grade.score is not None:
                correct.append(record.grade.is_correct)
        rollouts.check_played(len(zooms))
        accuracy = proportion(correct)
        line = {
            "steps": self.measured,
            **took,
            "accuracy": round(accuracy.value, 4),
            "low": round(accuracy.low, 4),
            "high": round(accuracy.high, 4),
            "zooms": round(fmean(zooms), 3),
            **log_entries(term_statistics([self._finished])),
        }
        self._finished.clear()
        # JSON has no NaN, which stands for "no episode was scored".
        finite = {name: value if math.isfinite(value) else str(value) for name, value in line.items()}
        append_json_line(self.folder / "curve.jsonl", finite)
        self.measures = {"accuracy": line["accuracy"], "zooms": line["zooms"]}
        model.policy.set_training_mode(False)
        self.clock.go()

    def finish(self, model: Any) -> None:
        """The last evaluation and checkpoint."""
        if self.every and self.measured < model.num_timesteps:
            self.measure(model)
        if self.saved < model.num_timesteps:
            self.save(model)
        for note in silent_terms(logged_statistics(_raw_lines(self.folder / "curve.jsonl"))) if self.every else ():
            _log.warning(note)


def _check_same(settings: SB3Settings, folder: Path, resume: bool) -> None:
    if not resume:
        raise InvalidSetting(f"{folder} holds a run already: resume it, or choose another folder")
    free = {"out", "steps", "checkpoint_every", "eval_every", "eval_episodes", "tensorboard"}
    check_same_run(folder, SB3Settings.load(folder), settings, free)


def curve_lines(curve: Path) -> list[dict[str, float]]:
    """The evaluations of a run, from its `curve.jsonl`."""
    return [{name: float(value) for name, value in line.items()} for line in _raw_lines(curve)]


def _raw_lines(curve: Path) -> list[dict[str, Any]]:
    return [line for _, line in read_json_lines(curve, torn="skip")]


def _truncate_curve(curve: Path, steps: int) -> dict[str, float]:
    """Drop the evaluations after the checkpoint; returns the last remaining one, with the seconds up to it."""
    if not curve.is_file():
        return {}
    kept = [line for line in _raw_lines(curve) if line["steps"] <= steps]
    write_text(curve, "".join(json_line(line) + "\n" for line in kept))
    return kept[-1] if kept else {}
