"""`vzgym push`."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Annotated

import typer

from vzgym.cli.progress import console, errors, say
from vzgym.core.errors import DependencyNotInstalled, InvalidSetting
from vzgym.core.files import write_text

__all__ = ["push"]


def push(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of vzgym train.")],
    repo: Annotated[str, typer.Argument(help="Repository on the Hugging Face hub: NAME/MODEL; created if missing.")],
    scores: Annotated[
        list[Path] | None, typer.Option(help="Folder of evaluations (vzgym eval --out), for the card; repeatable.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the card and list the files without uploading.")
    ] = False,
) -> None:
    """Publish a trained model on the Hugging Face hub, with a card of its training and scores."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise DependencyNotInstalled('huggingface_hub is not installed; run: pip install "vzgym[llm]"')
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    from vzgym.agents.training.card import find_reports, model_card, published_files

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise InvalidSetting(f"{repo!r} is not a repository name; use NAME/MODEL, such as me/my-model")
    files = published_files(run)
    reports = find_reports(run, scores or [])
    card = run / "README.md"
    write_text(card, model_card(run, repo, reports))
    if not reports:
        say("The card has no scores: evaluate the model (vzgym eval --out FOLDER) and give --scores FOLDER.", errors)
    for file in [card, *files]:
        say(f"{file.stat().st_size / 2**20:10.2f} MiB  {file.name}")
    if dry_run:
        say(f"Nothing was sent. The card: {card}")
        return
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        with console.status(f"sending {len(files) + 1} files"):
            api.upload_folder(
                repo_id=repo,
                folder_path=run,
                allow_patterns=[file.name for file in [card, *files]],
                commit_message="Model trained with vzgym",
            )
    except LocalTokenNotFoundError as error:
        raise InvalidSetting("no access token of the Hugging Face hub was found; run: hf auth login") from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise InvalidSetting(f"the Hugging Face hub refused {repo}: {error}") from error
    say(f"https://huggingface.co/{repo}")
