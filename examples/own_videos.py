"""Questions about custom video files: one in code, several in a JSON-lines file."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import av
import gymnasium as gym
import numpy as np

import vzgym
from vzgym.tasks import VideoTask, load_jsonl, write_jsonl


def film(path: Path, seconds: float = 30.0, fps: int = 10) -> None:
    """A bar that moves over gray; a red square shows for half a second at 17.2 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(round(seconds * fps)):
            picture = np.full((96, 160, 3), 90, np.uint8)
            picture[:, number % 150 : number % 150 + 10] = 160
            if 172 <= number < 177:
                picture[30:66, 60:96] = (230, 30, 30)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def play(env: gym.Env, index: int, zoom: vzgym.Zoom, answer: str) -> None:
    observation, info = env.reset(options={"task": index})
    print(f"{info['question']}  {info['options'] or '(open question)'}")
    seen = observation["num_frames"]
    observation, _, _, _, info = env.step(zoom)
    print(f"  overview {seen} frames; zoom {info['outcome']}, {observation['num_frames'] - seen} more, ", end="")
    newest = observation["frames"][seen : observation["num_frames"]].astype(int)
    red = (newest[..., 0] - newest[..., 1] > 80).any(axis=(1, 2))
    print("red at", observation["frame_times"][seen : observation["num_frames"]][red].tolist(), "s")
    _, reward, _, _, info = env.step(vzgym.Answer(answer))
    print(f"  answer {answer!r}: {info['grade']}, reward {reward:.2f} ({info['reward_status']})")


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "wandering.mp4"
    film(path)

    task = VideoTask.from_file(
        str(path),
        question="What color is the square that shows for a moment?",
        options=["blue", "red", "green"],
        answer="red",
        evidence=[vzgym.Interval(17.2, 17.7)],
    )
    env = gym.make("VideoZoom-v0", tasks=task)
    play(env, 0, vzgym.Zoom(16.0, 20.0, fps=4), "B")
    env.close()

    # The same question, one with a numeric answer, and one without an answer, whose reward is unscored.
    questions = [
        task,
        VideoTask.from_file(str(path), "How long does the square show, in seconds?", answer="0.5", id="how-long"),
        VideoTask.from_file(str(path), "What might the bar stand for?", id="open"),
    ]
    file = write_jsonl(questions, Path(folder) / "my_tasks.jsonl")
    row = file.read_text(encoding="utf-8").splitlines()[1]
    print(f"\n{file.name} holds {len(load_jsonl(file))} tasks; a row:\n  {row}")
    env = gym.make("VideoZoom-v0", tasks=str(file))
    play(env, 1, vzgym.Zoom(17.0, 18.6, fps=10), "about 0.5 s")
    play(env, 2, vzgym.Zoom(0.0, 1.5, fps=10), "time itself")
    env.close()
