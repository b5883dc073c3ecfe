"""Measure the scoring of a long video: vzgym, decoding alone, and a plain script with PyAV and transformers.

    python benchmarks/scorers.py                  60 minutes at 1 candidate per second, a small CLIP: minutes on a CPU
    python benchmarks/scorers.py --model base     CLIP ViT-B/32 with random weights
    python benchmarks/scorers.py --minutes 10     a quick check

The model is built from a configuration; nothing is downloaded. Each part runs in a process of its own. vzgym's is
killed when half of the frames are scored, and resumed. Figures are CPU-seconds over all threads, and the memory that
the process took at most beyond that with the model loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np

FPS = 2
SIZE = (180, 320)
TEXT = "a red shape on the left"
TOWER = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4}


def make_video(path: Path, seconds: int) -> None:
    """Drifting texture with a change of color every ten seconds."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 128, (12, 20, 3), dtype=np.uint8), np.ones((15, 16, 1), np.uint8))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "20"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(seconds * FPS):
            tint = np.random.default_rng(number // (10 * FPS)).integers(0, 128, 3, dtype=np.uint8)
            picture = np.roll(texture, 3 * number, 1) + tint
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def make_model(folder: Path, kind: str) -> None:
    """A CLIP with random weights, a tokenizer of words and CLIP's preprocessing to 224 x 224."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    small = {} if kind == "base" else TOWER
    CLIPModel(CLIPConfig(text_config={**small, **special}, vision_config=small)).save_pretrained(folder)
    vocabulary = {word: place for place, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *TEXT.split()])}
    words = Tokenizer(models.WordLevel(dict(vocabulary), unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)


# -- parts, each in a process of its own ---------------------------------------------------------------------------


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """CPU time, wall time, and the most memory beyond that at the start (MB)."""
    found: dict[str, Any] = {}
    done = threading.Event()
    start = most = resident()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        yield found
    finally:
        found |= {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        done.set()
        watcher.join()
        found["memory"] = (max(most, resident()) - start) / 1e6


def resident() -> int:
    """Bytes of this process in memory."""
    if Path("/proc/self/statm").exists():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def score(options: argparse.Namespace) -> dict[str, Any]:
    """vzgym: decoded once, scored in batches, kept on disk."""
    from vzgym.cli.progress import progress_bar
    from vzgym.scorers import make_scorer, score_video
    from vzgym.video import FileVideo

    scorer: Any = make_scorer({"name": "clip", "model": str(options.folder / "model"), "batch_size": 32})
    _ = scorer.model
    with progress_bar() as bar, measured() as found:
        row = bar.add_task("clip", total=None)
        result = score_video(
            scorer,
            FileVideo(options.folder / "video.mp4"),
            TEXT,
            cache=options.folder / "cache",
            progress=lambda done, total: bar.update(row, completed=done, total=total),
        )
    np.save(options.folder / "scores.npy", result.scores)
    return {**found, "frames": len(result.scores) - result.costs.get("cached_passes", 0)}


def decode(options: argparse.Namespace) -> dict[str, Any]:
    """The same frames, read in the same batches and not scored."""
    from vzgym.scorers import candidate_times
    from vzgym.video import ClipRequest, FileVideo

    video = FileVideo(options.folder / "video.mp4")
    times = candidate_times(video.duration)
    with measured() as found:
        for first in range(0, len(times), 32):
            video.read_many([ClipRequest(times[first : first + 32], keep=False)])
    return {**found, "frames": len(times)}


def plain(options: argparse.Namespace) -> dict[str, Any]:
    """A plain script: all frames of the grid in a list, then one forward pass per batch."""
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    folder = options.folder / "model"
    model = CLIPModel.from_pretrained(folder).eval()
    images, words = AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with measured() as found, torch.inference_mode():
        frames = []
        with av.open(str(options.folder / "video.mp4")) as file:
            file.streams.video[0].thread_count = 1
            for number, frame in enumerate(file.decode(video=0)):
                if number % FPS == 0:
                    frames.append(frame.to_ndarray(format="rgb24"))
        parts = []
        for first in range(0, len(frames), 32):
            pixels = images(images=frames[first : first + 32], return_tensors="pt")["pixel_values"]
            parts.append(model.get_image_features(pixels).pooler_output)
        text = model.get_text_features(**words(TEXT, return_tensors="pt")).pooler_output[0]
        embeddings = torch.cat(parts)
        cosines = embeddings @ text / embeddings.norm(dim=-1) / text.norm()
    scores = np.load(options.folder / "scores.npy")
    return {**found, "frames": len(frames), "difference": float(np.abs(cosines.numpy() - scores).max())}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"score": score, "decode": decode, "plain": plain}


# -- the run -------------------------------------------------------------------------------------------------------


def child(options: argparse.Namespace, part: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--part", part, "--folder", str(options.folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run(options: argparse.Namespace, part: str) -> dict[str, Any]:
    process = child(options, part)
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{part} ended with status {process.returncode}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def kill_half_way(options: argparse.Namespace, frames: int) -> int:
    """Kill the scoring when half of the frames are on disk; returns how many are."""
    from vzgym.scorers.video import BLOCK

    process = child(options, "score")
    while process.poll() is None:
        stored = BLOCK * len(list((options.folder / "cache").glob("*/*.npz")))
        if 2 * stored >= frames:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return min(frames, stored)
        time.sleep(0.02)
    raise SystemExit("the scoring ended before it was killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--model", choices=("small", "base"), default="small")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        make_video(options.folder / "video.mp4", 60 * options.minutes)
        make_model(options.folder / "model", options.model)
        stored = kill_half_way(options, 60 * options.minutes)
        rows = {"vzgym, the rest after a kill": run(options, "score")}
        kept = sum(file.stat().st_size for file in (options.folder / "cache").glob("*/*.npz"))
        again = run(options, "score")
        rows["decoding alone"] = run(options, "decode")
        rows["plain script"] = run(options, "plain")
    print(f"{options.minutes} minutes, {60 * options.minutes} candidates, CLIP {options.model}, {SIZE[1]}x{SIZE[0]}")
    print("| | frames | CPU s | CPU ms per frame | wall s | memory MB |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, row in rows.items():
        each = 1000 * row["cpu"] / row["frames"]
        numbers = f"{row['cpu']:.1f} | {each:.2f} | {row['wall']:.1f} | {row['memory']:.0f}"
        print(f"| {name} | {row['frames']:.0f} | {numbers} |")
    ours, decoding, script = (row["cpu"] / row["frames"] for row in rows.values())
    print(f"killed with {stored} frames on disk; scoring takes {ours / decoding:.1f} times decoding alone, and")
    print(f"{ours / script:.2f} times the plain script per frame; greatest difference of a score "
          f"{rows['plain script']['difference']:.1e}")  # fmt: skip
    print(f"a second run: {again['frames']:.0f} frames, {again['cpu']:.2f} CPU s; {kept / 1e6:.1f} MB on disk")


if __name__ == "__main__":
    main()
