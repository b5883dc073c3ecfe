"""Read a question, zoom in once, answer, and draw the episode as an image, in ten lines."""

import tempfile
from pathlib import Path

import gymnasium as gym
from PIL import Image

import vzgym

env = gym.make("VideoZoom-v0", render_mode="rgb_array")
observation, info = env.reset(options={"task": "needle/test/3"})  # or reset(seed=0): any task of the suite
print(info["question"], "|", ", ".join(info["options"]), "|", f"{info['duration']:.0f} s of video")
print(observation["num_frames"], "frames seen; left (zooms, frames, rounds):", observation["budget_left"])

observation, reward, terminated, truncated, info = env.step(vzgym.Zoom(start=80.0, end=84.0, fps=4))
print(f"zoom {info['outcome']}: {observation['num_frames']} frames seen; left:", observation["budget_left"])
print("\n".join(f"   {line[:100]}" for line in observation["dialogue"].splitlines()[-4:]))

observation, reward, terminated, truncated, info = env.step(vzgym.Answer("A"))
print(f"answer {info['grade']}: reward {reward} of", {k: t["value"] for k, t in info["reward_terms"].items()})

picture = Path(tempfile.gettempdir()) / "vzgym_quick_start.png"
Image.fromarray(env.render()).save(picture)
print("the episode as a picture:", picture)
env.close()
