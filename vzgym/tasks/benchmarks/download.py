"""Download of a benchmark's files from the Hugging Face hub."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from vzgym.core.errors import DependencyNotInstalled, InvalidSetting
from vzgym.tasks.benchmarks.definition import Benchmark

__all__ = ["DownloadPlan", "download", "plan_download"]


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """The files of a dataset on the hub.

    Attributes:
        repo: The dataset's id.
        files: Name and size in bytes of each file (0 if the hub does not say).
        revision: The commit.
    """

    repo: str
    files: tuple[tuple[str, int], ...]
    revision: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)


def plan_download(benchmark: Benchmark, files: Sequence[str] = (), repo: str = "") -> DownloadPlan:
    """Ask the hub what there is to download.

    Args:
        benchmark: The benchmark.
        files: Patterns of the files to take ("*.parquet"); the definition's if empty.
        repo: A dataset on the hub in place of the definition's first.

    Raises:
        DependencyNotInstalled: If huggingface_hub is missing.
        InvalidSetting: If the hub cannot be reached, refuses access, or has no such files; says what to do.
    """
    if not repo and not benchmark.source.hub:
        raise InvalidSetting(f"{benchmark.name} is not on the Hugging Face hub. {benchmark.source.how}")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise DependencyNotInstalled('huggingface_hub is not installed, run `pip install "vzgym[data]"`')
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name = repo or benchmark.source.hub[0]
    try:
        info = HfApi().dataset_info(name, files_metadata=True)
    except (HfHubHTTPError, HFValidationError) as error:
        form = (
            " The hub asks for an agreement: accept it on the dataset's page, then run `hf auth login`."
            if benchmark.source.access == "form"
            else ""
        )
        raise InvalidSetting(f"the Hugging Face hub refused {name}: {_first_line(error)}.{form}") from error
    except (OSError, _http_error()) as error:
        raise InvalidSetting(
            f"cannot reach the Hugging Face hub ({_first_line(error)}): download {name} on another machine and copy it "
            "to the root"
        ) from error
    patterns = list(files) or list(benchmark.source.files)
    chosen = [
        (item.rfilename, int(item.size or 0))
        for item in info.siblings or ()
        if not patterns or any(fnmatch.fnmatch(item.rfilename, pattern) for pattern in patterns)
    ]
    if not chosen:
        raise InvalidSetting(f"{name} has no file like {', '.join(patterns)}")
    return DownloadPlan(name, tuple(chosen), str(info.sha or ""))


def download(plan: DownloadPlan, root: str | os.PathLike[str], workers: int = 4) -> Path:
    """Download the files of a plan. A stopped download continues; complete files are kept. Nothing is unpacked.

    Args:
        plan: From `plan_download`.
        root: The folder; made if missing.
        workers: Number of files downloaded at the same time.

    Returns:
        The folder.

    Raises:
        InvalidSetting: If a file cannot be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(
            plan.repo,
            repo_type="dataset",
            revision=plan.revision or None,
            local_dir=Path(root),
            allow_patterns=[name for name, _ in plan.files],
            max_workers=workers,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, _http_error()) as error:
        raise InvalidSetting(
            f"the download of {plan.repo} stopped ({_first_line(error)}): the same command continues it"
        ) from error
    return Path(root)


def _http_error() -> type[Exception]:
    """The base of the errors that the hub's HTTP client raises without a connection."""
    from huggingface_hub import get_session

    # Which client it is depends on the version: requests, whose errors are OSErrors, or a generation of httpx.
    client = import_module(type(get_session()).__module__.partition(".")[0])
    found = getattr(client, "HTTPError", None) or getattr(client, "RequestException", None)
    return found if isinstance(found, type) and issubclass(found, Exception) else OSError


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
