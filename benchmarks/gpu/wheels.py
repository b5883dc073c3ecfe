"""Pack what `benchmarks/gpu/run.py` needs beside torch and NumPy into one archive, for machines without a network.

    python benchmarks/gpu/wheels.py build/gpu-wheels [--python 3.11]

Downloads the wheels of vzgym and of its dependencies for Linux on x86-64 (the releases of constraints.txt), leaves out
what a training run does not import (tests, headers, clients of remote storage), and writes `site.tar.xz`. Beside it go
`run.py` and `parts.py`, so that the folder alone is copied. Fails if the archive has 60 MB or more.
"""

from __future__ import annotations

import argparse
import fnmatch
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60_000_000

PACKAGES = """
    accelerate annotated-types anyio certifi charset-normalizer cloudpickle datasets dill farama-notifications filelock
    fsspec gymnasium h11 httpcore2 httpx2 huggingface-hub idna jinja2 markdown-it-py markupsafe mdurl multiprocess
    packaging pandas peft pillow psutil pyarrow pydantic pydantic-core pygments python-dateutil pyyaml regex requests
    rich safetensors six sniffio tokenizers tqdm transformers trl truststore typer typing-extensions typing-inspection
    urllib3 xxhash
""".split()
"""All but torch, NumPy and what torch brings. Video files are not read, so their decoders are left out."""

UNUSED = (
    "*/tests/*", "*/include/*", "pyarrow/src/*", "*.pyx", "*.pxd", "*.pyi", "*.dist-info/RECORD", "*.dist-info/sboms/*",
    "pyarrow/libarrow_flight*", "pyarrow/_flight*", "pyarrow/libarrow_s3*", "pyarrow/_s3fs*",
    "pyarrow/libarrow_python.so", "pyarrow/libarrow_python.so.*.*.*", "pandas/_libs/*.lib", "transformers/cli/*",
    "pillow.libs/libavif*", "PIL/_avif*",
)  # fmt: skip
"""Files that no import of a training run reaches."""


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--python", default=f"{sys.version_info[0]}.{sys.version_info[1]}", help="Python of that machine"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    archive = options.out / "site.tar.xz"
    with tempfile.TemporaryDirectory() as folder:
        wheels, site = Path(folder) / "wheels", Path(folder) / "site"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        # From the cache or the index, never built: the target may have another Python.
        machine = ["--only-binary=:all:", "--python-version", options.python, "--implementation", "cp",
                   *(f"--platform=manylinux_2_{minor}_x86_64" for minor in range(34, 16, -1)),
                   "--platform=manylinux2014_x86_64"]  # fmt: skip
        constraints = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, "download", "--no-deps", "-d", wheels, *machine, *constraints, *PACKAGES], check=True)
        subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, str(ROOT)], check=True)
        for wheel in sorted(wheels.glob("*.whl")):
            unpack(wheel, site)
        with tarfile.open(archive, "w:xz", preset=3) as packed:
            for entry in sorted(site.iterdir()):
                packed.add(entry, entry.name)
    for script in ("run.py", "parts.py"):
        shutil.copy(Path(__file__).with_name(script), options.out)
    size = sum(file.stat().st_size for file in options.out.iterdir())
    print(f"{options.out}: {size / 1e6:.1f} MB, for Python {options.python} with torch and NumPy")
    if size >= LIMIT:
        sys.exit(f"{options.out} has {size / 1e6:.1f} MB, and must have less than {LIMIT / 1e6:.0f}")


def unpack(wheel: Path, site: Path) -> None:
    """Unpack a wheel's packages, without what is not used."""
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            if not any(fnmatch.fnmatch(name, pattern) for pattern in UNUSED):
                packed.extract(name, site)


if __name__ == "__main__":
    main()
