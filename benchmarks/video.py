"""Measure reading of long videos: vzgym, decord reopened for each call, and plain PyAV.

    python benchmarks/video.py                   everything: about an hour on two cores, 7 GB of files
    python benchmarks/video.py --quick           one 10-minute file: a few minutes
    python benchmarks/video.py --only memory     10,000 zooms, and a plot of the memory they hold
    python benchmarks/video.py --only backends   the same reads by PyAV, decord and torchcodec, those that are installed

All figures are CPU-seconds over all threads, of this process and the decoders' own ones; compared figures come from the
same run. Files are made once, in --folder, and reused.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from vzgym.core.errors import DependencyNotInstalled
from vzgym.video import sharing
from vzgym.video.barcode import draw_barcode
from vzgym.video.file import BACKENDS, ClipRequest, FileVideo
from vzgym.video.settings import VideoLimits, configure

FPS = 30
SIZE = (237, 422)  # the paper's pixel budget, 100,352, at 16:9
PIECE_SECONDS = 60


@dataclass(frozen=True)
class File:
    """A video file of the benchmark."""

    path: Path
    name: str
    minutes: int
    gop_seconds: float


# -- files -------------------------------------------------------------------------------------------------------


def make_piece(path: Path, height: int, width: int, gop: int) -> None:
    """A minute of video: moving texture with some noise, cuts, and a bar code of the frame number in a corner."""
    rng = np.random.default_rng(height)
    # Clouds of all sizes, drifting at two speeds, with some film grain: about as costly to decode as a film.
    far, near = (clouds(rng, height, width) for _ in range(2))
    grain = rng.normal(0, 2.0, (8, height, width, 1)).astype(np.float32)
    with av.open(str(path), "w") as out:
        options = {"preset": "veryfast", "g": str(gop), "crf": "24", "threads": "1"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(PIECE_SECONDS * FPS):
            # A cut about every 7 s, where x264 inserts a key frame, as in any film.
            cut = number // 213 * 97
            picture = np.roll(far, (number + cut, 2 * number + cut), (0, 1))
            moving = np.roll(near, (cut - number, 5 * number - cut), (0, 1))
            picture = np.where(moving[:, :, :1] > 140, moving, picture) + grain[number % 8]
            picture = np.clip(picture, 0, 255).astype(np.uint8)
            picture[: height // 4, : width // 4] = draw_barcode(number, height // 4, width // 4)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def clouds(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Noise of all sizes: float32, shape `(height, width, 3)`, about 20 to 230."""
    total = np.zeros((height, width, 3), dtype=np.float32)
    for step in (64, 32, 16, 8, 4):
        small = rng.normal(0, step, (height // step + 2, width // step + 2, 3)).astype(np.float32)
        total += np.kron(small, np.ones((step, step, 1), dtype=np.float32))[:height, :width]
    return 125 + 40 * total / total.std()


def make_file(folder: Path, height: int, minutes: int, gop: int) -> File:
    """Make a long file by repeating a piece's packets. Decoding it costs as much as any file of its kind."""
    width = height * 16 // 9
    piece = folder / f"piece-{height}-{gop}.mp4"
    path = folder / f"video-{height}-{gop}-{minutes}min.mp4"
    if not piece.exists():
        partial = piece.with_suffix(".part.mp4")
        make_piece(partial, height, width, gop)
        partial.replace(piece)
    if not path.exists():
        partial = path.with_suffix(".part.mp4")
        repeat(piece, partial, minutes * 60 // PIECE_SECONDS)
        partial.replace(path)
    with av.open(str(path)) as container:
        keys = sum(entry.is_keyframe for entry in container.streams.video[0].index_entries)
    gop_seconds = minutes * 60 / keys
    name = f"{height}p, {minutes} min, mean GOP {gop_seconds * FPS:.0f}"
    return File(path, name, minutes, gop_seconds)


def repeat(piece: Path, target: Path, times: int) -> None:
    """Write the packets of `piece` to `target`, `times` times."""
    with av.open(str(target), "w") as out:
        copy = None
        for turn in range(times):
            with av.open(str(piece)) as source:
                stream = source.streams.video[0]
                copy = copy or out.add_stream_from_template(stream)
                shift = round(Fraction(turn * PIECE_SECONDS) / stream.time_base)
                for packet in source.demux(stream):
                    if packet.size:
                        packet.pts += shift
                        packet.dts += shift
                        packet.stream = copy
                        out.mux(packet)


# -- requests of roll-outs ---------------------------------------------------------------------------------------


def group(minutes: int, seed: int, rollouts: int = 16, zooms: int = 3, spots: int = 4) -> list[NDArray[np.float64]]:
    """The clips of a GRPO group, in a trainer's order: all first zooms, then all second ones."""
    rng = np.random.default_rng(seed)
    duration = minutes * 60
    centres = rng.uniform(20, duration - 20, spots)
    clips = []
    for _ in range(zooms * rollouts):
        middle = rng.choice(centres) + rng.normal(0, 4)
        length = rng.uniform(4, 8)
        count = int(rng.integers(12, 14))
        start = min(max(0.0, middle - length / 2), duration - length)
        clips.append(start + np.arange(count) * (length / count))
    return clips


# -- measuring ---------------------------------------------------------------------------------------------------


def cpu(work: Callable[[], Any]) -> float:
    """CPU-seconds of `work`, all threads; child processes that were running before it included."""
    children = psutil.Process().children(recursive=True)
    before = time.process_time() + used_by(children)
    work()
    return time.process_time() + used_by(children) - before


def used_by(processes: list[psutil.Process]) -> float:
    """CPU-seconds of processes so far."""
    return math.fsum(sum(process.cpu_times()[:2]) for process in processes)


def bound(path: Path, clips: list[NDArray[np.float64]]) -> float:
    """Lower bound: decode each group of pictures that holds a requested frame once."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "SLICE", 1
        base = float(stream.time_base)
        first = next(p for p in container.demux(stream))
        shift = first.pts - first.dts
        keys = np.array([e.timestamp + shift for e in stream.index_entries if e.is_keyframe])
        needed = np.unique(np.searchsorted(keys * base, np.concatenate(clips) + 1e-6, side="right") - 1)

        def work() -> None:
            for place in needed:
                end = keys[place + 1] if place + 1 < len(keys) else math.inf
                container.seek(int(keys[place]), stream=stream)
                for packet in container.demux(stream):
                    if packet.pts is None or (packet.is_keyframe and packet.pts >= end):
                        break
                    packet.decode()
                stream.codec_context.flush_buffers()

        return cpu(work)


def peer(path: Path, clips: list[NDArray[np.float64]]) -> list[float]:
    """The common approach, clip by clip: open decord with eight threads, round to an index, resize with PIL."""
    import decord

    def one(times: NDArray[np.float64]) -> None:
        reader = decord.VideoReader(str(path), num_threads=8)
        rate = reader.get_avg_fps()
        indices = [min(int(t * rate), len(reader) - 1) for t in times]
        for frame in reader.get_batch(indices).asnumpy():
            np.asarray(Image.fromarray(frame).resize(SIZE[::-1]))

    return [cpu(lambda times=times: one(times)) for times in clips]


def ours(path: Path, clips: list[NDArray[np.float64]], **settings: Any) -> list[float]:
    """vzgym, clip by clip; every clip through its own `FileVideo`, as in separate roll-outs."""
    sharing.clear()
    videos = [FileVideo(path, **settings) for _ in range(16)]
    used = [
        cpu(lambda number=number, times=times: videos[number % 16].read(times, size=SIZE))
        for number, times in enumerate(clips)
    ]
    sharing.clear()
    return used


def plain_overview(path: Path, times: NDArray[np.float64]) -> float:
    """Sparse frames by plain PyAV: seek, decode up to the frame, resize with swscale."""

    def work() -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "SLICE", 1
            for moment in times:
                target = int(moment / stream.time_base)
                container.seek(target, stream=stream)
                best = None
                for frame in container.decode(stream):
                    if frame.pts > target and best is not None:
                        break
                    best = frame
                best.reformat(width=SIZE[1], height=SIZE[0], format="rgb24", interpolation="AREA").to_ndarray()

    return cpu(work)


def our_overview(path: Path, times: NDArray[np.float64], **settings: Any) -> float:
    """Sparse frames by vzgym, including opening the file."""
    sharing.clear()
    used = cpu(lambda: FileVideo(path, **settings).read(times, size=SIZE))
    sharing.clear()
    return used


def measure_group(file: File, seed: int, with_peer: bool) -> dict[str, Any]:
    """The cost of a whole group, and of single zooms within it."""
    clips = group(file.minutes, seed)
    row: dict[str, Any] = {"file": file.name, "seed": seed, "bound": bound(file.path, clips)}
    row["decord"] = row["decord_median"] = None
    if with_peer:
        decord_each = peer(file.path, clips)
        row["decord"], row["decord_median"] = sum(decord_each), float(np.median(decord_each))
    for name, settings in (("exact", {}), ("grid", {"grid_fps": 8.0})):
        each = ours(file.path, clips, **settings)
        row[name], row[f"{name}_median"] = sum(each), float(np.median(each))
    sharing.clear()
    video = FileVideo(file.path)
    per_turn = [[ClipRequest(times, SIZE) for times in clips[at : at + 16]] for at in range(0, len(clips), 16)]
    row["together"] = cpu(lambda: [video.read_many(turn) for turn in per_turn])
    sharing.clear()
    return row


def measure_overview(file: File) -> dict[str, Any]:
    """The cost of 64 frames spread over the file."""
    times = np.linspace(0, file.minutes * 60 - 1, 64)
    return {
        "file": file.name,
        "plain": plain_overview(file.path, times),
        "exact": our_overview(file.path, times),
        "key_frames": our_overview(file.path, times, sparse_reads="key_frames"),
    }


def measure_backends(file: File, seed: int) -> list[dict[str, Any]]:
    """The cost of an overview and of a group's zooms through each back-end that is installed, once it is open."""
    times = np.linspace(0, file.minutes * 60 - 1, 64)
    rows = []
    for name in BACKENDS.names():
        sharing.clear()
        video = FileVideo(file.path, backend=name)
        try:
            video.read(times[:1], size=SIZE)  # starts the decoder's process, and reads the file's index
        except DependencyNotInstalled as error:
            print(f"left out: {error}", flush=True)
            continue
        overview = cpu(lambda video=video: video.read(times, size=SIZE))
        zooms = cpu(lambda video=video: [video.read(clip, size=SIZE) for clip in group(file.minutes, seed)])
        rows.append({"file": file.name, "backend": name, "overview": overview, "zooms": zooms})
    sharing.clear()
    return rows


def resident() -> float:
    """Resident memory of this process in MiB (Linux)."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 2**20


def measure_memory(folder: Path, zooms: int) -> list[tuple[int, float]]:
    """Resident memory over many zooms, with 256 MiB of frames allowed."""
    file = make_file(folder, 180, 10, 48)
    before = configure(VideoLimits(cache_bytes=256 << 20))
    sharing.clear()
    rng = np.random.default_rng(0)
    samples = [(0, resident())]
    for number in range(1, zooms + 1):
        start, length = rng.uniform(0, 595), rng.uniform(1, 4)
        FileVideo(file.path).read(start + np.arange(12) * length / 12, size=(90, 160))
        if number % 50 == 0:
            samples.append((number, resident()))
    configure(before)
    sharing.clear()
    return samples


def plot_memory(samples: list[tuple[int, float]], target: Path) -> None:
    """Draw the memory samples as an SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3))
    axes.plot(*zip(*samples, strict=True), linewidth=1.2)
    axes.set_xlabel("zooms")
    axes.set_ylabel("resident memory, MiB")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


# -- reporting ---------------------------------------------------------------------------------------------------


def table(groups: list[dict[str, Any]], overviews: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    lines = []
    if groups:
        lines += [
            (
                "| file | bound | decord | exact | grid | exact / bound | grid / bound | exact / decord "
                "| grid / decord | median zoom: decord | exact | grid | one pass a turn |"
            ),
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
    for name, mean in medians(groups):
        lines.append(
            f"| {name} | {mean['bound']:.2f} | {mean['decord']:.1f} | {mean['exact']:.2f} | {mean['grid']:.2f} "
            f"| {mean['exact'] / mean['bound']:.2f} | {mean['grid'] / mean['bound']:.2f} "
            f"| 1/{mean['decord'] / mean['exact']:.1f} | 1/{mean['decord'] / mean['grid']:.1f} "
            f"| {mean['decord_median']:.3f} | {mean['exact_median']:.4f} | {mean['grid_median']:.4f} "
            f"| {mean['together']:.2f} |"
        )
    if overviews:
        lines += [
            "",
            "| file | plain PyAV | exact | key frames | exact / plain | plain / key frames |",
            "|---|---|---|---|---|---|",
        ]
    lines += [
        f"| {name} | {row['plain']:.2f} | {row['exact']:.2f} | {row['key_frames']:.3f} "
        f"| {row['exact'] / row['plain']:.2f} | {row['plain'] / row['key_frames']:.1f} |"
        for name, row in medians(overviews)
    ]
    return "\n".join(lines)


def backend_table(rows: list[dict[str, Any]]) -> str:
    """The back-ends as Markdown: medians, and their ratio to PyAV's."""
    lines = ["| file | back-end | 64-frame overview | zooms of a group | / PyAV |", "|---|---|---:|---:|---|"]
    for file in dict.fromkeys(row["file"] for row in rows):
        mine = [row for row in rows if row["file"] == file]
        found = {
            name: [told([row[part] for row in mine if row["backend"] == name]) for part in ("overview", "zooms")]
            for name in dict.fromkeys(row["backend"] for row in mine)
        }
        for name, costs in found.items():
            ratios = ", ".join(f"{cost / own:.2f}" for cost, own in zip(costs, found["pyav"], strict=True))
            lines.append(f"| {file} | {name} | {costs[0]:.2f} | {costs[1]:.2f} | {ratios} |")
    return "\n".join(lines)


def medians(rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    """For each file, the median of each figure over its rows."""
    for name in dict.fromkeys(row["file"] for row in rows):
        mine = [row for row in rows if row["file"] == name]
        yield name, {key: told([row[key] for row in mine]) for key in mine[0] if key != "file"}


def told(values: list[float | None]) -> float:
    """The median of the measurements; NaN if there are none."""
    measured = [value for value in values if value is not None]
    return float(np.median(measured)) if measured else math.nan


def save(
    folder: Path,
    groups: list[dict[str, Any]],
    overviews: list[dict[str, Any]],
    memory: list[tuple[int, float]],
    backends: list[dict[str, Any]],
) -> None:
    """Write the results so far."""
    result = {
        "machine": platform.machine(),
        "limits": asdict(VideoLimits()),
        "groups": groups,
        "overviews": overviews,
        "memory": memory,
        "backends": backends,
    }
    (folder / "results.json").write_text(json.dumps(result, indent=1))
    (folder / "results.md").write_text(
        "\n\n".join([table(groups, overviews), *([backend_table(backends)] if backends else [])]) + "\n"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/video-benchmark"), help="where files are made")
    parser.add_argument("--quick", action="store_true", help="one file of 10 minutes")
    parser.add_argument("--only", choices=["group", "overview", "memory", "backends"], help="one part")
    parser.add_argument("--height", type=int, action="append", help="360 and 720 if not given")
    parser.add_argument("--minutes", type=int, action="append", help="30 and 60 if not given")
    parser.add_argument("--gop", type=int, action="append", help="48 and 250 if not given")
    parser.add_argument("--seeds", type=int, default=2, help="groups measured on each file")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each figure; medians are reported")
    parser.add_argument("--no-peer", action="store_true", help="skip decord, which takes most of the time")
    parser.add_argument("--zooms", type=int, default=10_000, help="zooms of the memory part")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    heights = arguments.height or ([360] if arguments.quick else [360, 720])
    minutes = arguments.minutes or ([10] if arguments.quick else [30, 60])
    gops = arguments.gop or ([250] if arguments.quick else [48, 250])
    groups: list[dict[str, Any]] = []
    overviews: list[dict[str, Any]] = []
    backends: list[dict[str, Any]] = []
    for height in heights:
        for length in minutes:
            for gop in gops:
                if arguments.only == "memory":
                    continue
                file = make_file(folder, height, length, gop)
                for repeat_ in range(arguments.repeats):
                    if arguments.only in (None, "group"):
                        with_peer = not (arguments.no_peer or repeat_)
                        groups.extend(measure_group(file, seed, with_peer) for seed in range(arguments.seeds))
                    if arguments.only in (None, "overview"):
                        overviews.append(measure_overview(file))
                    if arguments.only in (None, "backends"):
                        backends += [row for seed in range(arguments.seeds) for row in measure_backends(file, seed)]
                print(f"measured {file.name}", flush=True)
                save(folder, groups, overviews, [], backends)
    memory: list[tuple[int, float]] = []
    if arguments.only == "memory" or (arguments.only is None and not arguments.quick):
        memory = measure_memory(folder, arguments.zooms)
        plot_memory(memory, folder / "memory.svg")
        late = [mib for number, mib in memory if number >= arguments.zooms // 5]
        print(f"resident memory after warm-up: {min(late):.0f} to {max(late):.0f} MiB; plot: {folder / 'memory.svg'}")
    save(folder, groups, overviews, memory, backends)
    print(table(groups, overviews))
    if backends:
        print(backend_table(backends))


if __name__ == "__main__":
    main()
