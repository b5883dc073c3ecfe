"""Measure training on one GPU in ten minutes: precision, SFT, GRPO, generation; one JSON file, one Markdown table.

    python benchmarks/gpu/run.py --out runs/gpu                                # with vzgym[llm] installed
    python3 gpu-wheels/run.py --wheels gpu-wheels/site.tar.xz --out runs/gpu   # with torch alone: make gpu-wheels
    python benchmarks/gpu/run.py --device cpu --out runs/rehearsal             # every line, at tiny sizes

Each part runs in a process of its own and leaves its result when it ends, so a second call continues after the last
finished part; `--again` measures parts anew. A part that does not fit into the remaining time is left for that second
call. The script itself needs only Python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

LIMITS = {
    "precision": 60,
    "sft-0.6b": 80,
    "grpo-0.6b": 110,
    "generation-0.6b": 110,
    "sft-2b": 100,
    "grpo-2b": 140,
}
"""The parts in order, and the seconds that each may take."""

ENVIRONMENT_SHARE = 0.05
"""Largest share of a GRPO step that the environment may take."""
ROUNDING = 0.02
"""Largest relative difference of loss and gradient between bfloat16 and float32."""


def main() -> int:
    """Run the parts; 1 if one failed or a figure is out of its bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of results, models and runs")
    parser.add_argument("--parts", nargs="+", choices=LIMITS, default=list(LIMITS), help="default: all")
    parser.add_argument("--seconds", type=float, default=590.0, help="time for this call")
    parser.add_argument("--again", action="store_true", help="measure finished parts anew")
    parser.add_argument("--wheels", type=Path, help="archive of packages, as `make gpu-wheels` writes it")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | ({"PYTHONPATH": str(unpacked(options.wheels, options.out))} if options.wheels else {})
    file = options.out / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    # Results of a rehearsal are none of a GPU.
    if results.get("device_kind", options.device) != options.device:
        parser.error(f"{file} holds results of {results['device_kind']}: choose another folder")
    results |= {"device_kind": options.device, "python": platform.python_version()}
    parts: dict[str, Any] = results.setdefault("parts", {})
    began = time.monotonic()
    for name in options.parts:
        if "seconds" in parts.get(name, {}) and not options.again:
            print(f"{name}: measured already", flush=True)
            continue
        left = options.seconds - (time.monotonic() - began)
        if left < LIMITS[name] / 2:
            print(f"{name}: {left:.0f} s are left, it may take {LIMITS[name]}: call again", flush=True)
            continue
        limit = min(left, LIMITS[name]) if options.device == "cuda" else left
        parts[name] = measure(name, options, environment, limit)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        took = parts[name].get("seconds")
        print(f"{name}: {parts[name]['error'] if took is None else f'{took:.0f} s'}", flush=True)
    lines, faults = table(results)
    (options.out / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(["", *lines, "", *faults]))
    return 1 if faults else 0


def unpacked(archive: Path, out: Path) -> Path:
    """The folder of an archive's packages, unpacked once for each archive."""
    # dill, with which datasets compares rows, takes modules by name only below a folder of this name.
    folder = out / f"site-packages-{archive.stat().st_size}"
    if not folder.is_dir():
        partial = out / f"partial-{os.getpid()}"
        with tarfile.open(archive) as packed:
            packed.extractall(partial, filter="data")
        partial.rename(folder)
    return folder.absolute()


def measure(name: str, options: argparse.Namespace, environment: dict[str, str], limit: float) -> dict[str, Any]:
    """Run a part: its result, with its `seconds`; or an `error`."""
    script = Path(__file__).with_name("parts.py")
    command = [sys.executable, str(script), name, "--out", str(options.out), "--device", options.device]
    result = options.out / f"{name}.json"
    result.unlink(missing_ok=True)
    began = time.monotonic()
    with (options.out / f"{name}.log").open("w", encoding="utf-8") as log:
        try:
            done = subprocess.run(
                command, check=False, stdout=log, stderr=subprocess.STDOUT, env=environment, timeout=limit
            )
        except subprocess.TimeoutExpired:
            return {"error": f"stopped after {limit:.0f} s; its output is in {log.name}"}
    if done.returncode:
        return {"error": f"failed (exit status {done.returncode}); its output is in {log.name}"}
    return {**json.loads(result.read_text(encoding="utf-8")), "seconds": time.monotonic() - began}


def shown(name: str, value: Any) -> str:
    """A figure with its unit."""
    if not isinstance(value, float):
        return str(value)
    if name.endswith(("apart", "share", "error")):
        return f"{value:.2%}"
    unit = "GiB" if name.endswith("_gib") else "1/s" if name.endswith("a_second") else "s" if "seconds" in name else ""
    return f"{value:,.4g} {unit}".rstrip()


def table(results: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The Markdown table, and a sentence for each figure that is out of its bounds."""
    lines, faults = ["| part | figure | measured |", "|---|---|---:|"], []
    for name, found in results["parts"].items():
        if "seconds" not in found:
            faults.append(f"{name}: {found['error']}")
            lines.append(f"| {name} | | {found['error']} |")
            continue
        flat: dict[str, Any] = {}
        for key, value in found.items():
            flat |= (
                {f"{key}: {inner}": part for inner, part in value.items()} if isinstance(value, dict) else {key: value}
            )
        for key, value in flat.items():
            lines.append(f"| {name} | {key.removesuffix('_gib').replace('_', ' ')} | {shown(key, value)} |")
        if found.get("environment_share", 0.0) > ENVIRONMENT_SHARE and results["device_kind"] == "cuda":
            faults.append(f"{name}: the environment takes {found['environment_share']:.1%} of a step")
        apart = max(found.get(key, {}).get("apart", 0.0) for key in ("device_float32", "device_bfloat16"))
        if apart > ROUNDING:
            faults.append(f"{name}: loss or gradient are {apart:.2%} apart, so other figures are unreliable")
    return lines, faults


if __name__ == "__main__":
    sys.exit(main())
