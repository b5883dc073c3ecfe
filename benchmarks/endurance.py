"""Long runs: flat memory, nothing lost, counts that add up, and runs that are killed at random moments.

    python benchmarks/endurance.py served --episodes 10000    a server with injected faults; memory; counts
    python benchmarks/endurance.py grpo --rollouts 2000       the tiny model; memory; counts
    python benchmarks/endurance.py kill --kills 10            kill -9 at random moments, then run again, then compare
    python benchmarks/endurance.py kill --only eval-ray       one case: eval, collect, ablate, sft, grpo, *-ray

Everything runs through the `vzgym` command, on this machine, with tiny tasks and models. Each part prints one line of
JSON per case and exits with status 1 if anything is lost, counted twice, or different. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

FAULTS: Final = ("429", "500", "dropped", "slow", "truncated")
TIMEOUT: Final = 2.0
"""Seconds after which the client gives a request up; a slow reply takes longer."""

SIZE: Final = "size={width: 32, layers: 2, heads: 2, inner: 48, vision_width: 16, positions: 4096}"


# -- a server with faults ------------------------------------------------------------------------------------------


class Server:
    """A model server on a loopback port that answers each dialogue in one way, and fails now and then.

    Args:
        rate: Probability that a request meets a fault; the kinds follow each other.
        seed: Seed of the faults.

    Attributes:
        counts: Requests by outcome: "answered", or the kind of fault.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._rng, self._lock, self._rate = random.Random(seed), threading.Lock(), rate
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.reply(self, body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Loopback(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the client has given a slow reply up

        self._server = Loopback(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reply(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self._lock:
            met = sum(self.counts[fault] for fault in FAULTS)
            fault = FAULTS[met % len(FAULTS)] if self._rng.random() < self._rate else ""
            self.counts[fault or "answered"] += 1
        if fault == "dropped":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        if fault == "slow":
            time.sleep(2 * TIMEOUT)
        users = [message for message in body["messages"] if message["role"] == "user"]
        text = answer_of(users)
        usage = {"prompt_tokens": len(json.dumps(body)) // 4, "completion_tokens": len(text) // 4}
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        data = json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        status = int(fault) if fault.isdigit() else 200
        if status != 200:
            data = b'{"error": {"message": "injected"}}'
        if fault == "truncated":
            data = data[: len(data) // 2]
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("retry-after-ms", "20")
        handler.end_headers()
        handler.wfile.write(data)


def answer_of(users: Sequence[dict[str, Any]]) -> str:
    """What the model says: it zooms once, then answers by the length of the question."""
    if len(users) < 2:
        return '<think>look</think><video_zoom>{"segment": [1.0, 2.0], "fps": 2}</video_zoom>'
    return f"<think>so</think><answer>{'ABCD'[len(json.dumps(users[0])) % 4]}</answer>"


# -- commands ------------------------------------------------------------------------------------------------------


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "vzgym", *words]


def start(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command whose output goes to a file."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(["", *sys.path])[1:]}
    with log.open("ab") as file:
        return subprocess.Popen(command(*words), env=environment, stdout=file, stderr=file, start_new_session=True)


def finish(words: Sequence[str], log: Path) -> float:
    """Run a command to its end; its wall time in seconds."""
    began = time.monotonic()
    process = start(words, log)
    if process.wait():
        raise SystemExit(f"vzgym {' '.join(words)} failed:\n{log.read_text()[-3000:]}")
    return time.monotonic() - began


def resident(pid: int) -> float:
    """Resident memory of a process in MiB; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def descendants(pid: int) -> dict[int, str]:
    """Process ids below a process, with their command lines."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
    found: dict[int, str] = {}
    level = [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found |= {child: names.get(child, "") for child in level}
    return found


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def watch(words: Sequence[str], log: Path, written: Callable[[], int], least: float) -> list[tuple[int, float]]:
    """Run a command; samples of (episodes written, resident MiB), at least `least` seconds apart."""
    process = start(words, log)
    samples = []
    while process.poll() is None:
        samples.append((written(), resident(process.pid)))
        time.sleep(least)
    if process.returncode:
        raise SystemExit(f"vzgym {' '.join(words)} failed:\n{log.read_text()[-3000:]}")
    return [sample for sample in samples if sample[1]]


def memory(samples: Sequence[tuple[int, float]], total: int) -> dict[str, float]:
    """The most memory in the second fifth of a run, and in its last fifth, in MiB."""

    def most(first: float, last: float) -> float:
        inside = [mib for count, mib in samples if first * total <= count <= last * total]
        return round(max(inside), 1) if inside else 0.0

    return {"early_mib": most(0.2, 0.4), "late_mib": most(0.8, 1.0)}


def records(path: Path) -> list[dict[str, Any]]:
    with path.open() as file:
        return [json.loads(line) for line in file]


def without_clocks(record: dict[str, Any]) -> dict[str, Any]:
    info = {key: value for key, value in record["info"].items() if not key.endswith("_seconds")}
    clips = [record["overview"], *(clip for turn in record["turns"] for clip in turn["clips"])]
    for clip in clips:
        clip.pop("seconds", None)
    info["costs"] = {key: value for key, value in info.get("costs", {}).items() if key != "retries"}
    return {**record, "info": info}


def report(case: str, failures: Sequence[str], **facts: Any) -> bool:
    print(
        json.dumps({"case": case, "ok": not failures, **facts, **({"failures": failures} if failures else {})}),
        flush=True,
    )
    return not failures


# -- parts ---------------------------------------------------------------------------------------------------------


def served(folder: Path, episodes: int, seed: int, rate: float, least: float = 2.0) -> bool:
    """Episodes of a served model: every one recorded once, as without faults, and all requests accounted for."""
    samples: list[tuple[int, float]] = []
    counts: dict[str, Counter[str]] = {}
    for name, count, faults in (("calm", min(episodes, 300), 0.0), ("faults", episodes, rate)):
        server = Server(faults, seed)
        policy = (
            f"{{name: served, model: m, url: '{server.url}', check_images: false, timeout: {TIMEOUT}, retries: 12}}"
        )
        words = ["eval", "--policy", policy, "--tasks", "tiny/train", "--episodes", str(count), "--seed", str(seed),
                 "--name", name, "--out", str(folder)]  # fmt: skip
        file = folder / f"{name}-tiny-train" / "records.jsonl"
        samples = watch(words, folder / f"{name}.log", partial(lines_in, file), least)
        counts[name] = server.counts
        server.close()
    calm, rough = (records(folder / f"{name}-tiny-train" / "records.jsonl") for name in ("calm", "faults"))
    failures = check_served(calm, rough, episodes, counts["faults"])
    held = memory(samples, episodes)
    # A report keeps the figures of each episode, about 2 kB.
    if held["late_mib"] > 1.05 * held["early_mib"] + 0.6 * episodes * 3e3 / 2**20:
        failures.append("memory grows")
    return report("served", failures, episodes=episodes, seed=seed, server=dict(counts["faults"]), **held)


def check_served(
    calm: Sequence[dict[str, Any]], rough: Sequence[dict[str, Any]], episodes: int, counts: Counter[str]
) -> list[str]:
    """What is wrong with the records of a run against a server with faults.

    Args:
        calm: Records of the first episodes without faults.
        rough: All records with faults.
        episodes: Number of episodes.
        counts: What the server with faults counted.
    """
    failures = []
    if [record["info"]["index"] for record in rough] != list(range(episodes)):
        failures.append("records are missing, doubled or out of order")
    plain = [[{**without_clocks(record), "info": {}} for record in some] for some in (calm, rough[: len(calm)])]
    if plain[0] != plain[1]:
        failures.append("records differ from those without faults")
    requests, retries = (sum(record["info"]["costs"][name] for record in rough) for name in ("requests", "retries"))
    if (requests, retries) != (counts["answered"], sum(counts[fault] for fault in FAULTS)):
        failures.append(f"recorded {requests} requests and {retries} retries, the server saw {dict(counts)}")
    return failures


def small_model(folder: Path) -> Path:
    """A tiny model after one step of pre-training: what it says is noise."""
    model = folder / "model"
    if not model.exists():
        finish(["train", "pretrain", "--preset", "tiny", "--out", str(model), "--set", SIZE, "--set", "videos=8",
                "--set", "max_steps=1", "--set", "batch_size=2"], folder / "model.log")  # fmt: skip
    return model


def grpo_words(model: Path, out: Path, steps: int, seed: int, save_steps: int) -> list[str]:
    settings = [
        f"steps={steps}",
        "groups=4",
        "group_size=4",
        "turn_tokens=8",
        f"save_steps={save_steps}",
        "log_steps=1",
    ]
    return ["train", "grpo", "--preset", "tiny", "--model", str(model), "--out", str(out), "--seed", str(seed),
            *(part for setting in settings for part in ("--set", setting))]  # fmt: skip


def check_rollouts(out: Path, steps: int) -> list[str]:
    """What is wrong with the roll-outs of a run: 16 a step, none twice."""
    found = Counter(
        (record["info"].get("step"), record["info"].get("rollout")) for record in records(out / "rollouts.jsonl")
    )
    per_step = Counter(step for step, _ in found)
    failures = []
    if sum(found.values()) != 16 * steps or any(count != 16 for count in per_step.values()):
        failures.append(f"{sum(found.values())} roll-outs of {len(per_step)} steps, expected 16 of each of {steps}")
    if not (out / "model.safetensors").is_file():
        failures.append("no finished model")
    return failures


def grpo(folder: Path, rollouts: int, seed: int) -> bool:
    """Reinforcement learning of the tiny model: 16 roll-outs a step, all saved once."""
    steps = -(-rollouts // 16)
    out = folder / "grpo"
    words = grpo_words(small_model(folder), out, steps, seed, 0)
    samples = watch(words, folder / "grpo.log", lambda: lines_in(out / "rollouts.jsonl"), 2.0)
    failures = check_rollouts(out, steps)
    held = memory(samples, 16 * steps)
    if held["late_mib"] > 1.05 * held["early_mib"]:
        failures.append("memory grows")
    return report("grpo", failures, rollouts=16 * steps, seed=seed, **held)


EXPERIMENT: Final = """
tasks: tiny
seeds: 6
evaluate: {episodes: 60}
learners:
  random: {kind: policy, policy: random}
  uniform: {kind: policy, policy: uniform}
  expert: {kind: policy, policy: expert}
"""


class Case:
    """A command that is killed.

    Args:
        words: The command, given its output folder.
        result: What a finished run left, without clocks.
        again: Words to add when it is run again.
    """

    def __init__(
        self, words: Callable[[Path], list[str]], result: Callable[[Path], Any], again: Sequence[str] = ()
    ) -> None:
        self.words, self.result, self.again = words, result, again


def cases(folder: Path, seed: int) -> dict[str, Callable[[], Case]]:
    """All cases; making one may train a model first."""

    def records_of(out: Path) -> Any:
        (file,) = out.glob("*/records.jsonl")
        return [without_clocks(record) for record in records(file)]

    def collected(out: Path) -> Any:
        statistics = json.loads((out / "statistics.json").read_text())
        return [without_clocks(record) for record in records(out / "records.jsonl")], {**statistics, "seconds": 0}

    def ablated(out: Path) -> Any:
        files = sorted(out.glob("**/records.jsonl"))
        columns = [line.split(",")[:6] for line in (out / "experiment" / "cells.csv").read_text().splitlines()]
        return [[without_clocks(record) for record in records(file)] for file in files], columns

    def evaluate(*more: str) -> Case:
        return Case(lambda out: ["eval", "--policy", "random", "--tasks", "tiny/train", "--episodes", "400", "--seed",
                                 str(seed), "--out", str(out), "--workers", "2", *more], records_of)  # fmt: skip

    def collect(*more: str) -> Case:
        return Case(lambda out: ["collect", "--tasks", "tiny/train", "--episodes", "300", "--seed", str(seed), "--set",
                                 "part=20", "--out", str(out), "--workers", "2", *more], collected)  # fmt: skip

    def ablate(*more: str) -> Case:
        file = folder / "experiment.yaml"
        file.write_text(EXPERIMENT)
        return Case(lambda out: ["ablate", str(file), "--out", str(out), "--workers", "2", *more], ablated)

    def sft() -> Case:
        data = folder / "cold-start"
        if not data.exists():
            finish(["collect", "--preset", "tiny", "--episodes", "64", "--out", str(data)], folder / "data.log")
        model = small_model(folder)
        settings = ["max_steps=24", "batch_size=4", "save_steps=4"]

        def trained(out: Path) -> Any:
            return (out / "model.safetensors").read_bytes()

        words = ["train", "sft", "--preset", "tiny", "--model", str(model), "--data", str(data), "--seed", str(seed)]
        words += [part for setting in settings for part in ("--set", setting)]
        return Case(lambda out: [*words, "--out", str(out)], trained, ["--resume"])

    def grpo_case() -> Case:
        model = small_model(folder)
        return Case(lambda out: grpo_words(model, out, 10, seed, 2), lambda out: check_rollouts(out, 10), ["--resume"])

    ray = ("--ray",)
    return {
        "eval": evaluate, "collect": collect, "ablate": ablate, "sft": sft, "grpo": grpo_case,
        "eval-ray": lambda: evaluate(*ray), "collect-ray": lambda: collect(*ray), "ablate-ray": lambda: ablate(*ray),
    }  # fmt: skip


def kill(folder: Path, names: Sequence[str], kills: int, seed: int) -> bool:
    """Kill commands at random moments, run them again, and compare what they leave with an undisturbed run."""
    made = cases(folder, seed)
    outcomes = [kill_case(name, made[name](), folder, kills, seed) for name in names]
    return all(outcomes)


def kill_case(name: str, case: Case, folder: Path, kills: int, seed: int) -> bool:
    """`kill` of one command. A run that ends before it is killed is compared, and begun anew."""
    rng = random.Random(f"{seed} {name}")
    whole, cut, log = folder / f"{name}-whole", folder / f"{name}-cut", folder / f"{name}.log"
    took = finish(case.words(whole), log)
    expected = case.result(whole)
    failures: list[str] = []
    orphans: dict[int, str] = {}
    done, finished, moments = 0, 0, []
    while not failures and (done < kills or not finished or cut.exists()):
        process = start(case.words(cut) + (list(case.again) if cut.exists() else []), log)
        moment = rng.uniform(0.05, 1.0) * took
        try:
            process.wait(moment if done < kills else None)
        except subprocess.TimeoutExpired:
            below = descendants(process.pid)
            # On Ray, every second victim is a worker: then the run itself goes on.
            actors = [pid for pid, line in below.items() if line.startswith("ray::Worker")]
            if actors and done % 2:
                os.kill(rng.choice(actors), signal.SIGKILL)
                process.wait()
            else:
                process.kill()
                process.wait()
                orphans |= below
            done += 1
            moments.append(round(moment / took, 2))
        if process.returncode == 0:
            failures += compare(case, cut, expected)
            finished += 1
            shutil.rmtree(cut)
        elif process.returncode != -signal.SIGKILL:
            failures.append(f"exit status {process.returncode}: {log.read_text()[-500:]}")
    failures += left_behind(orphans)
    facts = {"kills": done, "finished": finished, "at": moments, "seconds": round(took, 1), "seed": seed}
    return report(f"kill {name}", failures, **facts)


def compare(case: Case, out: Path, expected: Any) -> list[str]:
    leftovers = [str(path.relative_to(out)) for path in out.rglob("*.part*")]
    failures = [f"left behind: {leftovers}"] if leftovers else []
    return failures + ([] if case.result(out) == expected else ["the result differs from that of an undisturbed run"])


def left_behind(processes: dict[int, str]) -> list[str]:
    """Processes of a killed command that have not ended in time; they are ended here.

    Ray's two agents try to reach their cluster for about two minutes before they end.
    """
    deadline = time.monotonic() + (240 if any("ray::" in line for line in processes.values()) else 30)
    alive = list(processes)
    while alive and time.monotonic() < deadline:
        alive = [pid for pid in alive if resident(pid)]
        time.sleep(0.1)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    return [f"a process went on: {processes[pid][:80]}" for pid in alive]


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["served", "grpo", "kill"])
    parser.add_argument("--folder", type=Path, default=Path("runs/endurance"))
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--rollouts", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.05, help="share of requests that meet a fault")
    parser.add_argument("--only", action="append", help="a case of kill; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with emptied(arguments.folder / arguments.part) as folder:
        if arguments.part == "served":
            fine = served(folder, arguments.episodes, arguments.seed, arguments.rate)
        elif arguments.part == "grpo":
            fine = grpo(folder, arguments.rollouts, arguments.seed)
        else:
            names = arguments.only or list(cases(folder, arguments.seed))
            fine = kill(folder, names, arguments.kills, arguments.seed)
    raise SystemExit(not fine)


if __name__ == "__main__":
    main()
