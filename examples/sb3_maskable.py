"""Stable-Baselines3's MaskablePPO on a tiny video task, from scratch, in one file: `pip install "vzgym[sb3]"`.

    python sb3_maskable.py [steps]

It trains only briefly (512 steps). About 20,000 steps, two minutes on one core, are enough to answer nearly
every question: `python sb3_maskable.py 20480`, or with checkpoints and TensorBoard `vzgym train sb3 --out runs/ppo`.
"""

from __future__ import annotations

import sys

import gymnasium as gym
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv

import vzgym
from vzgym.agents.sb3 import MaskableClipPolicy, SB3Policy, SB3Settings

settings = SB3Settings()  # the observation, the action and the reward that `vzgym train sb3` uses


def make(split: str) -> gym.Env:
    """What color lights up in the teal scene? The overview never shows it."""
    return gym.make(
        "VideoZoomTiny-v0",
        tasks=f"needle-tiny/{split}",
        observation={"name": "flat", "frame_size": (8, 8), "max_options": 4},
        action={"name": "discrete", "windows": 16, "fps": (2.0,), "max_options": 4},
        reward={"accuracy": 1.0, "time_proximity": {"weight": 1.0, "sigma": 2.0}},
    )


steps = int(sys.argv[1]) if len(sys.argv) > 1 else 512
model = MaskablePPO(
    MaskableClipPolicy,
    DummyVecEnv([lambda: make("train")] * 16),
    n_steps=min(64, steps // 16),
    batch_size=256,
    n_epochs=8,
    gamma=0.98,
    learning_rate=LinearSchedule(3e-3, 3e-4, 1.0),
    ent_coef=0.01,
    seed=0,
)
model.set_logger(Logger(folder=None, output_formats=[]))  # otherwise it creates an empty folder
model.learn(steps)
print(f"{model.num_timesteps} training steps")

# One episode, step by step. The mask excludes zooms that would be refused, such as one in the last round.
env = make("validation")
observation, info = env.reset(seed=0)
print(info["question"], "/".join(info["options"]))
ended = False
while not ended:
    mask = env.get_wrapper_attr("action_masks")()
    action, _ = model.predict(observation, action_masks=mask, deterministic=True)
    observation, reward, terminated, truncated, info = env.step(int(action))
    ended = terminated or truncated
    print(f"action {action} of {mask.sum()} possible: {info['outcome']}, reward {reward:.2f}")
env.close()

# The same model as a policy, compared with the controls.
for policy in ("overview", SB3Policy(model=model, settings=settings, name="MaskablePPO"), "oracle"):
    report = vzgym.evaluate(policy, "needle-tiny/validation", episodes=20)
    print(f"{report.policy}: accuracy {report.accuracy.value:.2f}, {report.summary['zooms'].value:.1f} zooms")
