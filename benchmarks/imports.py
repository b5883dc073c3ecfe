"""Measure `import vzgym` and `vzgym --help`, in user CPU seconds of fresh processes.

    python benchmarks/imports.py [--processes 5]

All statements are measured in each round, so that a temporary load on the machine affects all of them. The medians are
printed, and for imports the ratio to `import gymnasium`. A warm-up round, which writes byte code, is not counted. User
CPU seconds do not count waiting, but a busy machine (shared caches, hyper-threads) still raises them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

# The measured statements: a title and the arguments of a Python process.
GYMNASIUM = "import gymnasium"
MEASURED: dict[str, list[str]] = {
    GYMNASIUM: ["-c", "import gymnasium"],
    "import vzgym": ["-c", "import vzgym"],
    "import vzgym; vzgym.VideoZoomEnv": ["-c", "import vzgym; vzgym.VideoZoomEnv"],
    "import vzgym; vzgym.evaluate": ["-c", "import vzgym; vzgym.evaluate"],
    "vzgym --help": ["-m", "vzgym", "--help"],
    "vzgym eval --help": ["-m", "vzgym", "eval", "--help"],
}


def user_seconds(arguments: list[str]) -> float:
    """User CPU seconds of one fresh Python process with these arguments."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return usage.ru_utime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=5, help="fresh processes for each statement")
    count = parser.parse_args().processes
    for arguments in MEASURED.values():
        user_seconds(arguments)
    times: dict[str, list[float]] = {title: [] for title in MEASURED}
    for _ in range(count):
        for title, arguments in MEASURED.items():
            times[title].append(user_seconds(arguments))
    base = statistics.median(times[GYMNASIUM])
    print(f"{'':<36}{'median s':>9}{'min s':>8}{'ratio':>7}")
    for title, values in times.items():
        middle = statistics.median(values)
        print(f"{title:<36}{middle:>9.3f}{min(values):>8.3f}{middle / base:>7.2f}")


if __name__ == "__main__":
    main()
