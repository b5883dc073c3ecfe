"""Base class of agents that ask a served model several questions per turn: captions, ratings, answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.agents.served.policy import ServedPolicy
from vzgym.baselines.selectors.base import check_number
from vzgym.core.actions import Answer
from vzgym.core.endpoint import Endpoint, Reply
from vzgym.core.errors import InvalidSetting
from vzgym.core.secrets import redact_body
from vzgym.core.text import known_names
from vzgym.episode.answers import lettered
from vzgym.policies.traits import add_costs
from vzgym.protocols import PROTOCOLS, TextProtocol
from vzgym.tasks.task import VideoTask, option_letter
from vzgym.video.images import ImageEncoder

__all__ = ["AskingAgent", "Part", "json_in", "numbered"]

Part: TypeAlias = str | NDArray[np.uint8]
"""A part of a prompt: text, or a picture, uint8 `(height, width, 3)`."""

_CONNECTION = ("key_variable", "headers", "concurrency", "retries", "timeout", "token_limit", "drop")
_IMAGES = {"image_format": "jpeg", "quality": 90, "max_pixels": 0, "detail": ""}
_OTHERS = {"temperature": 0.0, "turn_tokens": 512, "extra": None, "price_in": 0.0, "price_out": 0.0, "name": ""}

_OPENING = re.compile(r"[\[{]")


def json_in(text: str) -> Any:
    """The first JSON object or list in a text; None if there is none. A bare number is returned as it is."""
    decoder = json.JSONDecoder()
    for found in _OPENING.finditer(text):
        try:
            value, _ = decoder.raw_decode(text, found.start())
        except ValueError:
            continue
        return value
    number = re.search(r"-?\d+(?:\.\d+)?", text)
    return float(number[0]) if number else None


def numbered(lines: Sequence[str]) -> str:
    """Lines with numbers from 1."""
    return "\n".join(f"{number}. {' '.join(line.split())}" for number, line in enumerate(lines, start=1))


class AskingAgent:
    """Asks a served model with prompts of its own, one episode at a time.

    Args:
        model: The model's name on the server.
        url: The server's base URL.
        exact: Keep the source's behavior in edge cases.
        options: Those of `ServedPolicy` for the connection (`key_variable`, `headers`, `concurrency`, `retries`,
            `timeout`, `token_limit`, `drop`), the images (`image_format`, `quality`, `max_pixels`, `detail`) and the
            requests (`temperature`, `turn_tokens`, `extra`, `price_in`, `price_out`), and `name`.

    Raises:
        InvalidSetting: If an option is unknown or invalid.
        DependencyNotInstalled: If `openai` is missing.

    Attributes:
        costs: Costs of the latest turn, in a list of one mapping, as `ServedPolicy.costs`.
    """

    title: ClassVar[str]
    batch_size: ClassVar[int] = 1
    privileged: bool = False

    def __init__(self, model: str, url: str, *, exact: bool = False, **options: Any) -> None:
        valid = {*_CONNECTION, *_IMAGES, *_OTHERS}
        if unknown := sorted(set(options) - valid):
            raise InvalidSetting(
                f"policy {self.title!r} has no option {', '.join(map(repr, unknown))}; "
                f"{known_names(unknown, sorted(valid))}"
            )
        settings = {**_OTHERS, **{key: options[key] for key in _OTHERS if key in options}}
        for key in ("temperature", "price_in", "price_out"):
            check_number(key, settings[key], 0)
        check_number("turn_tokens", settings["turn_tokens"], 0, whole=True)
        self.endpoint = Endpoint(url, model, **{key: options[key] for key in _CONNECTION if key in options})
        images = {**_IMAGES, **{key: options[key] for key in _IMAGES if key in options}}
        self.images = ImageEncoder(*(images[key] for key in _IMAGES))
        self.exact = exact
        self.temperature, self.turn_tokens = settings["temperature"], settings["turn_tokens"]
        self.extra = dict(settings["extra"] or {})
        self.prices = (settings["price_in"], settings["price_out"])
        self.name = settings["name"] or f"{self.title} ({model})"
        self.protocol: TextProtocol = PROTOCOLS.make({"name": "tags", "think": "optional"})
        self.costs: list[dict[str, float]] = []
        self.rng = np.random.default_rng(0)
        self.task: VideoTask | None = None
        self._spent: dict[str, float] = {}

    @classmethod
    def parse_name(cls, text: str) -> dict[str, Any]:
        """The options that the short form `NAME:MODEL@URL` stands for; see `ServedPolicy.parse_name`."""
        return ServedPolicy.parse_name(text)

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies a run of this policy."""
        return {
            "agent": self.title,
            "model": self.endpoint.model,
            "temperature": self.temperature,
            "turn_tokens": self.turn_tokens,
            "images": self.images.to_json(),
            "extra": redact_body(self.extra),
            "exact": self.exact,
            **self.settings,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The agent's own options, as JSON values."""
        return {}

    def reset(self, seeds: Sequence[int]) -> None:
        """Start an episode."""
        self.rng = np.random.default_rng([int(seed) for seed in seeds])

    def reveal(self, tasks: Sequence[VideoTask]) -> None:
        """Receive the task, for its video, question and options; not privileged."""
        self.task = tasks[0]

    @property
    def question(self) -> str:
        """The task's question, with its options by letter.

        Raises:
            InvalidSetting: If the task was not revealed.
        """
        task = self.known_task
        return f"{task.question}\n{lettered(task.options)}" if task.options else task.question

    @property
    def known_task(self) -> VideoTask:
        """The task.

        Raises:
            InvalidSetting: If it was not revealed.
        """
        if self.task is None:
            raise InvalidSetting(f"{self.name} needs each task before the episode: call reveal([task])")
        return self.task

    # Asking -----------------------------------------------------------------------------------------------------

    def ask(self, prompts: Sequence[Sequence[Part]]) -> list[str]:
        """The model's replies to prompts, each a request of its own; their costs are added to the turn's.

        Raises:
            EndpointError: If a request finally fails.
        """
        chats = [self.images.in_chat([{"role": "user", "content": list(map(_block, prompt))}]) for prompt in prompts]
        replies = self.endpoint.ask([self._request(chat) for chat in chats])
        for chat, reply in zip(chats, replies, strict=True):
            self.charge(self._cost(reply, chat))
        return [_text(reply) for reply in replies]

    def ask_one(self, *parts: Part) -> str:
        """The model's reply to one prompt; see `ask`."""
        return self.ask([parts])[0]

    def captions(self, frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> list[str]:
        """One sentence about each frame."""
        return self.ask([("Describe this frame of a video in one sentence.", frame) for frame in frames])

    def answer_from(self, parts: Sequence[Part]) -> str:
        """The text of a turn with the model's answer to the question, from captions or frames."""
        what = "the letter of the right option" if self.known_task.options else "the answer alone"
        text = self.ask_one(*parts, f"\n\nQuestion: {self.question}\nReply with {what}.")
        return self.protocol.text_of(Answer(self.option_in(text)))

    def option_in(self, text: str) -> str:
        """A reply without markup: the value of "answer" if it is JSON."""
        found = json_in(text) if _OPENING.search(text) else None
        if isinstance(found, Mapping) and "answer" in found:
            text = str(found["answer"])
            # Some models answer with the option's number.
            if text.isdigit() and self.known_task.options and int(text) < len(self.known_task.options):
                text = option_letter(int(text))
        return text.strip()

    def charge(self, costs: Mapping[str, float]) -> None:
        """Add costs to those of the turn."""
        self._spent = add_costs(self._spent, costs)

    def take_costs(self) -> dict[str, float]:
        """The costs since the last call."""
        spent, self._spent = self._spent, {}
        return spent

    def _request(self, chat: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        request: dict[str, Any] = {"messages": chat, "temperature": self.temperature}
        if self.turn_tokens:
            request["max_tokens"] = self.turn_tokens
        if self.temperature:
            request["seed"] = int(self.rng.integers(1 << 31))
        return {**request, "extra_body": self.extra} if self.extra else request

    def _cost(self, reply: Reply, chat: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        count, size = self.images.measure(chat)
        return {**reply.costs(self.prices), "images": count, "image_bytes": size}


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image", "image": Image.fromarray(part)}


def _text(reply: Reply) -> str:
    """The content of a reply, without reasoning."""
    content = reply.message.get("content") or reply.message.get("refusal") or ""
    if isinstance(content, list):
        content = "".join(block.get("text", "") for block in content if isinstance(block, Mapping))
    return str(content)
