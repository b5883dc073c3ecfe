"""Two PettingZoo teams: a scripted one, and one whose scout learns where to zoom by policy gradient.

    python examples/team.py [--episodes 2000] [--seed 0]     # about a minute on one core
    python examples/team.py --fast                           # a few seconds, for a quick check

The scout sees the overview and chooses windows; the solver sees only the scout's clips, asks for more until they show
the answer, and then answers. The solver is the same in all teams: it reads pixels. The learning scout has no prior
knowledge of colors or words: it gets the median color of each overview frame and the ids of the question's words, and
learns their relation from its own reward (evidence shown).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from vzgym.baselines import AutoReader
from vzgym.core.statistics import proportion
from vzgym.envs.pettingzoo_team import SCOUT, SOLVER, TeamEnv, team_parallel_env
from vzgym.tasks import load_tasks
from vzgym.tasks.procedural.render.palette import SCENE_HUES

WINDOWS = 8  # the micro videos have eight scenes: an overview frame and a window for each
Scout = Callable[[dict[str, Any], dict[str, Any]], int]


def make_team(split: str) -> TeamEnv:
    """Make the team: two shared zooms, each of a whole scene; the answer is rewarded, and the scout for evidence."""
    tasks = load_tasks(f"needle-micro/{split}")
    return team_parallel_env(
        tasks=tasks,
        action={"windows": WINDOWS, "fps": (1.0,), "max_options": 6},
        budget=replace(tasks.budget, clip_frames=12),
        reward="accuracy",
        own_rewards={SCOUT: "potential"},
        messages=1,
    )


def solve(reader: AutoReader, seen: dict[str, Any], info: dict[str, Any], messages: int) -> int:
    """The solver: answers if its frames show the answer or no zoom is left, and otherwise asks for more."""
    shown = int((seen["frame_times"] >= 0).sum())
    times = seen["frame_times"][:shown] * info["duration"]
    reading = reader.read(seen["frames"][:shown], times, info["question"], info["options"])
    if reading.option is None and seen["action_mask"][0]:
        return 0
    return messages + info["options"].index(reading.option or info["options"][0])


def look_at(seen: dict[str, Any]) -> np.ndarray:
    """The scout's features, float32, shape `(WINDOWS, 4)`: each window's color, and whether it was shown already.

    The color is the median of the scene's overview frame, normalized by brightness.
    """
    middle = np.median(seen["frames"][:WINDOWS].reshape(WINDOWS, -1, 3), axis=1)
    colors = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    shown = (seen["frame_times"][seen["frame_rounds"] > 0] * WINDOWS).astype(int)
    return np.column_stack([colors, np.isin(np.arange(WINDOWS), shown)]).astype(np.float32)


def scripted(seen: dict[str, Any], info: dict[str, Any]) -> int:
    """The scripted scout: shows the scene that the question names, then the next nearest by color."""
    named = next(hue for hue in SCENE_HUES if f"{hue} scene" in info["question"])
    tone = np.array(SCENE_HUES[named]) / np.linalg.norm(SCENE_HUES[named])
    windows = look_at(seen)
    return int(np.argmin(np.linalg.norm(windows[:, :3] - tone, axis=1) + 9.0 * windows[:, 3]))


class LearnedScout:
    """A policy over windows, learned by PPO: scores each by its color, the question's words, and whether it was seen.

    Args:
        seed: Seed of the weights and of sampling.
    """

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.words = nn.EmbeddingBag(4096, 32, mode="sum", padding_idx=0)
        self.score = nn.Sequential(nn.Linear(32 + 4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        self.adam = torch.optim.Adam([*self.words.parameters(), *self.score.parameters()], lr=3e-3)
        self.explores = True
        self.rounds: list[tuple[np.ndarray, np.ndarray, int]] = []  # observations and choices of this episode

    def logits(self, words: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
        """Scores of shape `(n, WINDOWS)`, from words `(n, w)` and windows `(n, WINDOWS, 4)`."""
        question = self.words(words)[:, None].expand(-1, WINDOWS, -1)
        logits: torch.Tensor = self.score(torch.cat([question, windows], dim=-1)).squeeze(-1)
        return logits

    @torch.no_grad()
    def __call__(self, seen: dict[str, Any], info: dict[str, Any]) -> int:
        windows = look_at(seen)
        logits = self.logits(torch.from_numpy(seen["question"])[None], torch.from_numpy(windows)[None])[0]
        choice = int(torch.distributions.Categorical(logits=logits).sample() if self.explores else logits.argmax())
        self.rounds.append((seen["question"], windows, choice))
        return choice

    def learn(self, batch: list[tuple[np.ndarray, np.ndarray, int, float]], epochs: int = 4) -> None:
        """Take clipped PPO steps on rounds `(words, windows, choice, reward)`."""
        words, windows, choices, returns = (torch.from_numpy(np.array(part)) for part in zip(*batch, strict=True))
        advantage = (returns - returns.mean()) / (returns.std() + 1e-6)
        before = None
        for _ in range(epochs):
            choice = torch.distributions.Categorical(logits=self.logits(words, windows))
            chance = choice.log_prob(choices)
            before = chance.detach() if before is None else before
            ratio = (chance - before).exp()
            gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
            self.adam.zero_grad()
            (-gain - 0.01 * choice.entropy().mean()).backward()
            self.adam.step()


def play(env: TeamEnv, scout: Scout, reader: AutoReader, seed: int) -> tuple[bool, list[float]]:
    """Play one episode: whether the team was right, and the scout's reward in each round."""
    seen, infos = env.reset(seed=seed)
    paid = []
    while env.agents:
        ask = solve(reader, seen[SOLVER], infos[SOLVER], env.messages)
        # The solver does not see this round's clip: when it answers, the scout's action is ignored.
        look = scout(seen[SCOUT], infos[SCOUT]) if ask < env.messages else 0
        seen, rewards, *_, infos = env.step({SCOUT: look, SOLVER: ask})
        paid.append(rewards[SCOUT])
    return bool(infos[SOLVER]["correct"]), paid


def train(episodes: int, seed: int, batch: int = 32) -> LearnedScout:
    """Train a scout for a number of episodes of the training split."""
    env, reader, scout = make_team("train"), AutoReader(), LearnedScout(seed)
    rounds, right = [], []
    for episode in range(episodes):
        scout.rounds.clear()
        correct, paid = play(env, scout, reader, seed * 1_000_000 + episode)
        right.append(correct)
        # Each choice is credited with its own reward only: a contextual bandit over question and overview.
        rounds += [(*round, np.float32(reward)) for round, reward in zip(scout.rounds, paid, strict=False)]
        if (episode + 1) % batch == 0:
            scout.learn(rounds)
            rounds = []
        if (episode + 1) % max(batch, episodes // 8) == 0:
            print(f"  {episode + 1:5} episodes: {np.mean(right[-500:]):.2f} right of the latest {len(right[-500:])}")
    env.close()
    scout.explores = False
    return scout


def main() -> None:
    """Train, then compare the teams on the test split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=2000, help="training episodes")
    parser.add_argument("--test", type=int, default=200, help="to test on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fast", action="store_true", help="64 training and 20 test episodes")
    options = parser.parse_args()
    episodes, test = (64, 20) if options.fast else (options.episodes, options.test)
    torch.set_num_threads(1)
    print(f"Training the scout, seed {options.seed}:")
    started = time.process_time()
    learned = train(episodes, options.seed)
    print(f"  {time.process_time() - started:.0f} s of processor time\n")
    rng = np.random.default_rng(options.seed)
    teams: dict[str, Scout] = {
        "random scout": lambda seen, info: int(rng.integers(WINDOWS)),
        "learned scout": learned,
        "scripted scout": scripted,
    }
    env, reader = make_team("test"), AutoReader()
    print(f"{'team':15} {'right':>5}  {'95 % interval':>13}  {'zooms':>5}    ({test} test episodes)")
    for name, scout in teams.items():
        played = [play(env, scout, reader, seed) for seed in range(test)]
        right = proportion([correct for correct, _ in played])
        zooms = np.mean([len(paid) - 1 for _, paid in played])
        print(f"{name:15} {right.value:5.2f}  {right.low:.2f} to {right.high:.2f}   {zooms:5.2f}")
    env.close()


if __name__ == "__main__":
    main()
