"""Stable-Baselines3: the network, training that can be resumed, and the policy that comes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO

from vzgym.agents.sb3 import ClipExtractor, PointerHead, SB3Policy, SB3Settings, train_sb3
from vzgym.agents.sb3.training import curve_lines, make_vector_env
from vzgym.cli.policies import named_policy
from vzgym.core.budget import Budget
from vzgym.core.errors import FolderInUse, InvalidSetting, UnknownName
from vzgym.core.files import folder_lock
from vzgym.envs import VideoZoomEnv
from vzgym.evaluation import evaluate
from vzgym.tasks import load_tasks
from vzgym.tasks.io.writing import write_tasks

FAST = {"envs": 2, "eval_every": 0, "tensorboard": False, "frame_size": (8, 8)}
OPTIONS = {
    "maskable_ppo": {"n_steps": 8, "batch_size": 16, "n_epochs": 1},
    "ppo": {"n_steps": 8, "batch_size": 16, "n_epochs": 1},
    "a2c": {"n_steps": 8},
    "dqn": {"learning_starts": 8, "gradient_steps": 1, "buffer_size": 64, "batch_size": 8},
}


def settings(out: Path, algo: str = "maskable_ppo", **changes) -> SB3Settings:
    return SB3Settings(**{"out": str(out), "algo": algo, "steps": 16, "options": OPTIONS[algo], **FAST, **changes})


@pytest.mark.parametrize("algo", OPTIONS)
def test_every_learner_trains_and_is_a_policy(algo: str, tmp_path: Path) -> None:
    folder = train_sb3(settings(tmp_path / "run", algo))
    policy = SB3Policy(folder)
    report = evaluate(policy, "needle-tiny/test", episodes=2)
    assert len(report.episodes) == 2
    assert report.policy == "run"
    assert not report.privileged


def test_a_model_is_evaluated_with_the_budget_that_it_was_trained_with(tmp_path: Path) -> None:
    folder = train_sb3(settings(tmp_path / "run", budget={"max_zooms": 1}))
    report = evaluate(SB3Policy(folder), "needle-tiny/test", episodes=1)
    assert report.budget.max_zooms == 1
    assert report.trained_budget == report.budget


def test_a_run_goes_on_from_its_checkpoint_and_no_other_is_mixed_in(tmp_path: Path) -> None:
    folder = train_sb3(settings(tmp_path, eval_every=8, eval_episodes=1))
    with pytest.raises(InvalidSetting, match="holds a run already"):
        train_sb3(settings(tmp_path, steps=32))
    with pytest.raises(InvalidSetting, match="seed=0"):
        train_sb3(settings(tmp_path, steps=32, seed=1), resume=True)
    train_sb3(settings(tmp_path, steps=32, eval_every=8, eval_episodes=1), resume=True)
    steps = [line["steps"] for line in curve_lines(folder / "curve.jsonl")]
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert steps[-1] == 32
    model = SB3Policy(folder).model
    assert model.num_timesteps == 32
    assert model.lr_schedule(0.0) == pytest.approx(0.1 * model.lr_schedule(1.0))


@pytest.mark.parametrize("evaluated", [True, False])
def test_a_run_that_has_all_its_steps_is_resumed(evaluated: bool, tmp_path: Path) -> None:
    run = settings(tmp_path, "a2c", eval_every=8, eval_episodes=1)
    train_sb3(run)
    # As a process leaves it that was killed after the last checkpoint.
    (tmp_path / "model.zip").unlink()
    curve = tmp_path / "curve.jsonl"
    whole = curve.read_text().splitlines(keepends=True)
    if not evaluated:
        curve.write_text("".join(whole[:-1]))
    for _ in range(2):
        train_sb3(run, resume=True)
        assert [line["steps"] for line in curve_lines(curve)] == [0, 8, 16]
    assert SB3Policy(tmp_path).model.num_timesteps == 16
    if evaluated:
        assert curve.read_text().splitlines(keepends=True) == whole


def test_evaluations_keep_their_distance_when_a_run_is_resumed(tmp_path: Path) -> None:
    plan = {"eval_every": 12, "eval_episodes": 1, "checkpoint_every": 8}
    run = settings(tmp_path, "a2c", steps=32, **plan)

    class Stopped(Exception): ...

    def stop(steps: int, measures: dict[str, float]) -> None:
        if steps == 18:
            raise Stopped

    with pytest.raises(Stopped):
        train_sb3(run, progress=stop)
    train_sb3(run, resume=True)
    assert [line["steps"] for line in curve_lines(tmp_path / "curve.jsonl")] == [0, 12, 24, 32]


def test_a_second_run_in_a_folder_is_refused(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "run"), pytest.raises(FolderInUse, match="run is being written by another process"):
        train_sb3(settings(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_masked_policy_takes_only_possible_actions(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    policy = SB3Policy(train_sb3(chosen), deterministic=False)
    env = VideoZoomEnv("needle-tiny/test", observation=chosen.observation, action=chosen.action)
    policy.prepare(env.budget)
    for seed in range(8):
        seen, info = env.reset(seed=seed)
        policy.reset(seed)
        ended = False
        while not ended:
            action = policy.act(seen, info)
            assert info["action_mask"][action]
            seen, _, ended, _, info = env.step(action)
    with pytest.raises(InvalidSetting, match="exactly 40 frames"):
        policy.prepare(Budget())


@pytest.mark.parametrize("kind", [PPO, A2C, DQN, MaskablePPO])
def test_a_model_of_a_registered_id_is_evaluated_as_an_object_and_as_a_file(kind: Any, tmp_path: Path) -> None:
    env = gymnasium.make("VideoZoomTinyArrays-v0", tasks="needle-tiny/train")
    model = kind("MultiInputPolicy", env, seed=0, **({"buffer_size": 10} if kind is DQN else {}))
    model.save(tmp_path / "model.zip")
    of_object = evaluate(model, "needle-tiny/test", episodes=3)
    of_file = evaluate(named_policy(str(tmp_path / "model.zip")), "needle-tiny/test", episodes=3)
    assert (of_object.policy, of_file.policy) == (kind.__name__, "model")
    answers = [[(item.correct, item.zooms) for item in report.episodes] for report in (of_object, of_file)]
    assert answers[0] == answers[1]


def test_a_model_whose_modules_are_not_known_is_refused(tmp_path: Path) -> None:
    PPO("MlpPolicy", "CartPole-v1").save(tmp_path / "pole.zip")
    with pytest.raises(InvalidSetting, match=r"not trained in 'VideoZoomTinyArrays-v0'.*env: ID"):
        SB3Policy(tmp_path / "pole.zip")
    with pytest.raises(InvalidSetting, match="no environment"):
        evaluate(PPO.load(tmp_path / "pole.zip"), "needle-tiny/test", episodes=1)
    with pytest.raises(InvalidSetting, match="no VideoZoomEnv"):
        evaluate(PPO("MlpPolicy", "CartPole-v1"), "needle-tiny/test", episodes=1)
    (tmp_path / "text.zip").write_text("no model")
    with pytest.raises(InvalidSetting, match="is no model of Stable-Baselines3"):
        SB3Policy(tmp_path / "text.zip")


def extractor() -> tuple[ClipExtractor, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    env = VideoZoomEnv("needle-tiny/test", observation={"name": "flat", "frame_size": (8, 8), "max_options": 4})
    seen, _ = env.reset(seed=0)
    batch = {key: torch.as_tensor(value)[None] for key, value in seen.items()}
    return ClipExtractor(env.observation_space), batch


def test_at_first_all_is_alike_and_empty_places_count_nothing() -> None:
    net, batch = extractor()
    features = net(batch)
    assert features.shape == (1, net.features_dim)
    where, places, which, summary = net.layout.split(features)
    assert places.shape == (1, 16, 3)
    assert summary.shape == (1, 64)
    for nothing in (where, places, which):
        assert not nothing.any()
    spoiled = {**batch, "frames": batch["frames"].clone()}
    spoiled["frames"][:, 16:] = 255
    assert torch.equal(net(spoiled), features)


def test_an_option_is_scored_by_its_words_wherever_it_stands() -> None:
    net, batch = extractor()
    torch.nn.init.normal_(net.offered.weight)
    _, _, which, _ = net.layout.split(net(batch))
    turned = {**batch, "options": batch["options"].flip(1)}
    _, _, other, _ = net.layout.split(net(turned))
    assert which.std() > 0
    assert torch.allclose(which.flip(1), other, atol=1e-5)


def half_with_the_flash(env: VideoZoomEnv) -> int:
    """The window of four seconds that shows what is asked for."""
    evidence = env.episode.task.evidence
    assert evidence
    return int(evidence[0].start // 4)


def test_a_flash_strikes_the_eye_and_a_quiet_zoom_does_not() -> None:
    net, _ = extractor()
    env = VideoZoomEnv("needle-tiny/test", observation=SB3Settings().observation, action=SB3Settings().action)
    for task in range(5):
        env.reset(options={"task": task})
        gold = half_with_the_flash(env)
        quiet = gold ^ 1  # the other half of the scene, which has one flash
        env.step(gold)
        seen, *_ = env.step(quiet)
        _, places, _, _ = net.layout.split(net({key: torch.as_tensor(value)[None] for key, value in seen.items()}))
        looked, salient = places[0, :, 1], places[0, :, 2]
        assert set(looked.nonzero().flatten().tolist()) == {gold, quiet}
        assert salient[gold] > 3 * salient[quiet] > 0


def test_a_part_without_a_frame_shows_what_was_on_before() -> None:
    net, _ = extractor()
    times = torch.tensor([[0.0, 0.26, 0.5, -1.0]])
    scenes = net._scenes(net._parts(times), times, times >= 0)
    assert scenes.sum(dim=2).eq(1).all()
    assert scenes[0].argmax(dim=1).tolist() == [0] * 4 + [1] * 4 + [2] * 8


def test_imitation_teaches_the_head_to_point_at_the_scene_that_is_asked_for() -> None:
    chosen = SB3Settings()
    env = VideoZoomEnv("needle-tiny/train", observation=chosen.observation, action=chosen.action)
    rows, golds = [], []
    for task in range(128):
        seen, _ = env.reset(options={"task": task})
        rows.append({key: torch.as_tensor(value) for key, value in seen.items()})
        golds.append(half_with_the_flash(env))
    batch = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    gold = torch.tensor(golds)
    torch.manual_seed(0)
    net = ClipExtractor(env.observation_space)
    head = PointerHead(net, 20, 1)
    adam = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=5e-3)
    seen = {key: value[:96] for key, value in batch.items()}
    for _ in range(60):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(head(net(seen)), gold[:96]).backward()
        adam.step()
    with torch.no_grad():
        said = head(net({key: value[96:] for key, value in batch.items()})).argmax(dim=1)
    assert (said // 2 == gold[96:] // 2).float().mean() > 0.8


def test_the_head_must_fit_the_action() -> None:
    net, batch = extractor()
    assert PointerHead(net, 16 * 2 + 4, 2)(net(batch)).shape == (1, 36)
    with pytest.raises(InvalidSetting, match="are not 16 windows"):
        PointerHead(net, 20, 2)


def test_settings_and_folders_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="algo must be one of"):
        SB3Settings(algo="sarsa")
    with pytest.raises(InvalidSetting, match="steps must be >= 1"):
        SB3Settings(steps=0)
    with pytest.raises(InvalidSetting, match=r"final_rate must be <= 1\.0, got 2"):
        SB3Settings(final_rate=2)
    for rate in (0.0, float("nan"), float("inf")):
        with pytest.raises(InvalidSetting, match=r"learning_rate must be (> 0|a finite number)"):
            SB3Settings(learning_rate=rate)
    with pytest.raises(InvalidSetting, match=r"frame_size must be a list of more values, got \[8\]"):
        SB3Settings(frame_size=(8,))
    with pytest.raises(InvalidSetting, match="say where"):
        train_sb3(SB3Settings())
    with pytest.raises(InvalidSetting, match=r"no sb3\.json"):
        SB3Policy(tmp_path)
    settings(tmp_path).save(tmp_path)
    assert SB3Settings.load(tmp_path) == settings(tmp_path)
    with pytest.raises(InvalidSetting, match="no model yet"):
        SB3Policy(tmp_path)


@pytest.mark.parametrize(
    ("algo", "name", "words"),
    [
        ("maskable_ppo", "n_stepz", "maskable_ppo has no option 'n_stepz'; did you mean 'n_steps'?"),
        ("dqn", "n_epochs", "dqn has no option 'n_epochs'"),
        ("ppo", "env", "ppo has no option 'env'"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, algo: str, name: str, words: str
) -> None:
    with pytest.raises(InvalidSetting, match=re.escape(words)):
        train_sb3(settings(tmp_path / "run", algo, options={name: 1}))
    with pytest.raises(UnknownName, match="nope"):
        train_sb3(settings(tmp_path / "run", algo, tasks="nope"))
    assert not (tmp_path / "run").exists()


def test_environments_draw_different_tasks_by_the_seed() -> None:
    env = make_vector_env(SB3Settings(envs=2, frame_size=(8, 8)))
    env.seed(5)
    first = env.reset()["frames"].copy()
    env.seed(5)
    assert np.array_equal(env.reset()["frames"], first)
    assert not np.array_equal(first[0], first[1])
    env.close()


def test_a_model_trained_again_in_its_folder_is_another_run(tmp_path: Path) -> None:
    folder = train_sb3(settings(tmp_path / "run"))
    spec = {"name": "sb3", "path": str(folder)}
    evaluate(spec, "needle-tiny/test", episodes=1, out=tmp_path / "eval")
    train_sb3(settings(tmp_path / "run", steps=32), resume=True)
    with pytest.raises(InvalidSetting, match=r"its options\.weights\.model\.zip is"):
        evaluate(spec, "needle-tiny/test", episodes=1, out=tmp_path / "eval")


def test_the_first_line_that_users_write() -> None:
    with pytest.raises(InvalidSetting, match=r"VideoZoomTinyArrays-v0.*observation='flat', action='discrete'"):
        PPO("MultiInputPolicy", gymnasium.make("VideoZoom-v0"))
    env = gymnasium.make("VideoZoomTinyArrays-v0")
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1).learn(8)
    observation, _ = env.reset(seed=0)
    action, _ = model.predict(observation)
    assert action.shape == ()
    assert action in env.action_space
    env.step(action)


@pytest.mark.parametrize("part", ["", "[:2]"])
def test_tasks_of_a_file_are_validated_on_the_file_beside_it(
    part: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "a" / "b"
    listing = write_tasks([load_tasks("needle-tiny/train")[index] for index in range(3)], folder)
    train = listing.rename(folder / "train.jsonl")
    run = train_sb3(settings(tmp_path / "run", tasks=f"{train}{part}", eval_every=16, eval_episodes=5))
    assert "has no validation file beside it" in caplog.text
    assert [line["accuracy"] for line in curve_lines(run / "curve.jsonl")]
    caplog.clear()
    lines = train.read_text().splitlines(keepends=True)
    (folder / "validation.jsonl").write_text(lines[0])
    train_sb3(settings(tmp_path / "next", tasks=f"{train}{part}", eval_every=16, eval_episodes=5))
    assert "no validation file" not in caplog.text
