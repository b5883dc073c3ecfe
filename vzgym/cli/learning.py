"""Training part of `vzgym demo`: trains a small, randomly initialized model.

The stages are those of `vzgym train` with the preset "tiny". Finished stages are kept, so that an interrupted demo
resumes.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from vzgym.cli.evaluate import run_policies
from vzgym.cli.progress import errors, progress_bar, say
from vzgym.core.files import read_json_lines, write_json
from vzgym.evaluation import EvaluationReport, evaluate
from vzgym.policies.policy import AnyPolicy
from vzgym.tasks import load_tasks

__all__ = ["PRESET", "draw_curve", "learn", "missing_packages", "quiet_libraries"]

PRESET = "tiny"
_FINISHED = "finished.json"
_STEPS = 100
"""GRPO steps: three fifths of the preset's, where the learning curve has flattened."""


def missing_packages() -> list[str]:
    """Missing packages that training requires."""
    needed = ("torch", "transformers", "trl", "datasets", "matplotlib")
    return [name for name in needed if importlib.util.find_spec(name) is None]


def learn(out: Path, episodes: int, seed: int) -> list[EvaluationReport]:
    """Pre-train, collect, fine-tune and run GRPO; then evaluate all policies on held-out tasks.

    Args:
        out: Folder for the stages, the picture and the runs.
        episodes: Held-out tasks.
        seed: Seed of the weights and of all random numbers.

    Returns:
        Reports of the controls, the model after each stage, and the expert.
    """
    # One thread: on few cores, torch's threads are slower. No network is needed.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    quiet_libraries()
    import torch

    from vzgym.agents import GRPOSettings, PretrainSettings, SFTSettings
    from vzgym.agents.data.dataset import collect
    from vzgym.agents.data.settings import CollectSettings
    from vzgym.agents.training.common import FACTS
    from vzgym.agents.training.config import load_settings
    from vzgym.agents.training.grpo import train_grpo
    from vzgym.agents.training.pretrain import Progress, pretrain
    from vzgym.agents.training.sft import train_sft

    torch.set_num_threads(1)
    warm, data, sft, grpo = (out / name for name in ("pretrain", "data", "sft", "grpo"))
    more_cores = (os.cpu_count() or 1) > 1

    def settings(cls: type[Any], **values: Any) -> Any:
        return load_settings(cls, PRESET, None, values)

    def see() -> None:
        warming = settings(PretrainSettings, out=str(warm), seed=seed)
        with progress_bar() as bar:
            job = bar.add_task("pre-train perception", total=warming.max_steps)

            def show(now: Progress) -> None:
                bar.update(job, completed=now.step, description=f"pre-train perception: {now}")

            pretrain(warming, show)
            bar.update(job, total=bar.tasks[job].completed)

    collecting = settings(CollectSettings, seed=seed)

    def watch_the_expert() -> None:
        with progress_bar() as bar:
            job = bar.add_task("collect", total=collecting.episodes)
            collect(collecting, data, progress=lambda count: bar.advance(job, count))

    # Trajectories need no model and are collected in parallel; the rest is collected here.
    helper = _start(_collect, collecting, data) if more_cores and not (data / _FINISHED).is_file() else None
    _stage(warm, "pre-train perception", see)
    if helper:
        helper.join()
    _stage(data, "collect expert trajectories", watch_the_expert)
    # A second process unpacks the frames; the result is the same.
    loading = {"dataloader_num_workers": 1} if more_cores else {}
    # A stage that was stopped when its model was there already, but not yet noted as finished, is taken as it is.
    done = {folder: (folder / FACTS).is_file() for folder in (sft, grpo)}
    imitation = settings(
        SFTSettings, model=str(warm), data=str(data), out=str(sft), seed=seed, trainer=loading, resume=done[sft]
    )
    practice = settings(GRPOSettings, model=str(sft), out=str(grpo), seed=seed, steps=_STEPS, resume=done[grpo])
    # The trainers' metrics of every step are suppressed; their progress bars on stderr remain.
    with (out / "training.log").open("a", encoding="utf-8") as log, redirect_stdout(log):
        _stage(
            sft,
            "fine-tune on them briefly (cold start)",
            lambda: _with_bar("imitate", lambda show: train_sft(imitation, progress=show)),
        )
        _stage(
            grpo,
            "reinforcement learning (GRPO)",
            lambda: _with_bar("GRPO", lambda show: train_grpo(practice, progress=show)),
        )
    draw_curve(grpo, out / "learning.png")
    return _compare(out, str(practice.tasks).partition("/")[0], episodes, seed, sft, grpo, practice.turn_tokens)


def quiet_libraries() -> None:
    """Suppress the warnings and loading bars of libraries in this process and in later child processes.

    They concern library internals. Warnings of vzgym are still shown.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    warnings.filterwarnings("ignore", module=r"(?!vzgym\b)")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()  # "Loading weights" only; the trainers' progress bars are separate


def _with_bar(title: str, work: Callable[[Callable[[Any], None]], Any]) -> None:
    """Train with a progress bar that shows the latest metrics and the remaining time."""
    with progress_bar() as bar:
        job = bar.add_task(title, total=None)

        def show(progress: Any) -> None:
            text = f"{title}: {progress.summary}"
            bar.update(job, completed=progress.step, total=progress.steps, description=text)

        work(show)


def _start(work: Callable[..., None], *args: Any) -> Any:
    """Start a process that ends with this one."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=args, daemon=True)
    process.start()
    return process


def _collect(settings: Any, folder: Path) -> None:
    from vzgym.agents.data.dataset import collect

    # Ctrl-C is handled by the parent, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect(settings, folder)


def _stage(folder: Path, title: str, work: Callable[[], Any]) -> None:
    """Run a stage unless it is finished."""
    if (folder / _FINISHED).is_file():
        say(f"{title}: finished already, in {folder}", errors)
        return
    say(f"{title} ...", errors)
    work()
    write_json(folder / _FINISHED, {"stage": title})


def _compare(
    out: Path, suite: str, episodes: int, seed: int, sft: Path, grpo: Path, turn_tokens: int
) -> list[EvaluationReport]:
    from vzgym.agents.vlm.policy import VLMPolicy

    tasks = load_tasks(suite, split="test")
    runs = out / "runs"
    reports = run_policies(["blind", "random", "overview", "uniform"], tasks, episodes, seed, runs)
    for name, folder in (("cold start", sft), ("+ GRPO", grpo)):
        for way, temperature in (("sampled", 1.0), ("greedy", 0.0)):
            model: AnyPolicy = VLMPolicy(
                folder, temperature=temperature, turn_tokens=turn_tokens, batch_size=64, name=f"{name}, {way}"
            )
            with progress_bar() as bar:
                job = bar.add_task(f"{name}, {way}", total=episodes)
                reports.append(
                    evaluate(
                        model,
                        tasks,
                        episodes=episodes,
                        seed=seed,
                        out=runs / f"{folder.name}-{way}",
                        on_episode=lambda record, job=job: bar.advance(job),  # type: ignore[misc]
                    )
                )
                bar.update(job, completed=episodes)
    return reports + run_policies(["expert"], tasks, episodes, seed, runs)


def draw_curve(grpo: Path, picture: Path) -> None:
    """Draw accuracy and zooms of the roll-outs over GRPO's steps, from the run's `log.jsonl`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    logged = [line for _, line in read_json_lines(grpo / "log.jsonl", torn="skip")]
    points = [item for item in logged if "rewards/accuracy/mean" in item]
    steps = [item["step"] for item in points]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
    for axis, key, title in (
        (axes[0], "rewards/accuracy/mean", "share of right answers (sampled roll-outs)"),
        (axes[1], "episode/zooms", "zooms per question"),
    ):
        axis.plot(steps, [float(item[key]) for item in points], linewidth=1.8)
        axis.set(xlabel="GRPO step", title=title)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("GRPO training of a small model")
    figure.tight_layout()
    figure.savefig(picture, dpi=130)
    plt.close(figure)
