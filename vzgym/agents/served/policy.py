"""A model behind an OpenAI-compatible endpoint as a policy: vLLM, SGLang, `transformers serve`, or a vendor's API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vzgym.agents.served.images import ImageEncoder
from vzgym.core.budget import Budget
from vzgym.core.endpoint import Endpoint, Reply
from vzgym.core.errors import InvalidSetting
from vzgym.core.secrets import redact
from vzgym.episode.dialogue import Message, TextBlock
from vzgym.protocols import PROTOCOLS, TextProtocol, TruncatedText, as_chat, as_tool_chat, turn_text, video_zoom_tool

__all__ = ["ServedPolicy"]

_SHORT = re.compile(r"(?P<model>.+)@(?P<url>https?://.+)")

_BLANK = "(no text)"
"""Sent in place of a turn without text: servers refuse messages with blank content."""

_OWN = ("model", "messages", "tools", "stream", "n")
_TRANSPORT = ("extra_headers", "extra_query", "extra_body", "headers", "timeout")


class ServedPolicy:
    """A `TextPolicy` that asks a server. All of a dialogue's frames, the earlier turns' too, are sent each turn.

    A request that fails for good ends the run with an `EndpointError`: it must not count as a wrong answer. What was
    finished is on disk, and the same command goes on from there.

    Args:
        model: The model's name on the server.
        url: The server's base URL, such as `http://localhost:8000/v1`.
        protocol: The text protocol: "tags", or native tool calls: `{"name": "tool_calls", "structured": True}` offers
            the zoom in the requests' `tools` and takes `tool_calls` back; plain "tool_calls" puts both into the text,
            for servers that do not parse calls.
        temperature: 0 takes the likeliest token; above, tokens are sampled, with a seed for each request.
        top_p: Nucleus of sampling.
        turn_tokens: Largest number of tokens of one turn; 0: as many as the server gives.
        token_limit: The name under which `turn_tokens` is sent: "max_tokens" or "max_completion_tokens", which some
            vendors require.
        drop: Parameters that are left out of every request, since the server refuses them, such as `["temperature",
            "seed"]`.
        concurrency: Largest number of requests at once; as many episodes are played together.
        retries: How often a request is sent again, after growing pauses, when the server is busy or cannot be reached.
        timeout: Seconds that one try may take.
        key_variable: The environment variable that holds the key. "": `VZGYM_API_KEY` if it is set, else no key. The
            key itself is never an option, and never written anywhere.
        headers: Further HTTP headers of each request. `${NAME}` in a value is replaced by the environment variable
            `NAME`. Values are never written: records and reports show `***`.
        tool_role: The role under which frames come back from a zoom: "user", which every server takes with images, or
            "tool", as the tiny model has seen it. (A native call is always answered under "tool"; with "user"
            its frames follow in a message of their own.)
        image_format: "jpeg", or "png" for frames without loss.
        quality: Of JPEG, 1 to 100; colours are kept at full resolution.
        max_pixels: Larger frames are shrunk to this area in pixels; 0: sent as the budget gives them. A server may
            still resize them by its own rule: give its limits, where it takes any, in `extra`.
        detail: OpenAI's `detail` of images ("low", "high", "auto"); "": not sent.
        extra: Further fields of each request, such as vLLM's `{"top_k": 20, "mm_processor_kwargs": {...}}`.
        price_in: Price of a million tokens read; 0: unknown.
        price_out: Price of a million tokens written; 0: unknown.
        check_images: Before the first turn, ask the server whether an image makes a request longer: a server that
            drops images would play blind. Two short requests.
        name: For tables; the model's name if not given.

    Attributes:
        costs: What each text of the latest `respond` cost: `requests`, `retries`, `input_tokens`, `output_tokens`,
            `images`, `image_bytes` and, with prices, `price`. `vzgym.evaluate` adds it up for each episode.

    Raises:
        InvalidSetting: If a setting cannot work.
        DependencyNotInstalled: If `openai` is missing.
    """

    costs: list[dict[str, float]]

    def __init__(
        self,
        model: str,
        url: str,
        *,
        protocol: str | Mapping[str, Any] = "tags",
        temperature: float = 0.0,
        top_p: float = 1.0,
        turn_tokens: int = 1024,
        token_limit: str = "max_tokens",
        drop: Sequence[str] = (),
        concurrency: int = 8,
        retries: int = 5,
        timeout: float = 300.0,
        key_variable: str = "",
        headers: Mapping[str, str] | None = None,
        tool_role: str = "user",
        image_format: str = "jpeg",
        quality: int = 90,
        max_pixels: int = 0,
        detail: str = "",
        extra: Mapping[str, Any] | None = None,
        price_in: float = 0.0,
        price_out: float = 0.0,
        check_images: bool = True,
        name: str = "",
    ) -> None:
        numbers = {
            "temperature": temperature, "top_p": top_p, "turn_tokens": turn_tokens, "price_in": price_in,
            "price_out": price_out,
        }  # fmt: skip
        for option, value in numbers.items():
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise InvalidSetting(f"{option} must be a number, got {value!r}")
        if temperature < 0 or not 0 < top_p <= 1:
            raise InvalidSetting(f"temperature must be >= 0 and top_p in (0, 1], got {temperature} and {top_p}")
        if turn_tokens < 0 or price_in < 0 or price_out < 0:
            raise InvalidSetting("turn_tokens, price_in and price_out must be >= 0")
        if tool_role not in ("user", "tool"):
            raise InvalidSetting(f"tool_role must be 'user' or 'tool', got {tool_role!r}")
        for names, why in ((_OWN, "the policy does"), (_TRANSPORT, "it holds fields of the body (see headers)")):
            clash = sorted(set(names) & set(extra or {}))
            if clash:
                raise InvalidSetting(f"extra may not set {', '.join(clash)}: {why}")
        self.protocol: TextProtocol = PROTOCOLS.make(protocol)
        self.images = ImageEncoder(image_format, quality, max_pixels, detail)
        self.endpoint = Endpoint(
            url, model, key_variable=key_variable, headers=headers, concurrency=concurrency, retries=retries,
            timeout=timeout, token_limit=token_limit, drop=drop,
        )  # fmt: skip
        self.batch_size = concurrency
        self.temperature, self.top_p, self.turn_tokens = temperature, top_p, turn_tokens
        self.tool_role, self.extra = tool_role, dict(extra or {})
        self.prices = (price_in, price_out)
        self.name = name or f"{model} ({f'T={temperature:g}' if temperature else 'greedy'})"
        self.costs = []
        self._check = check_images
        self._structured = bool(getattr(self.protocol, "structured", False))
        self._tools: list[dict[str, Any]] | None = None
        self._noise = np.random.default_rng(0)

    def __repr__(self) -> str:
        return f"ServedPolicy({self.endpoint.model!r}, {self.endpoint.url!r}, protocol={dict(self.protocol.spec)})"

    @classmethod
    def parse_name(cls, text: str) -> dict[str, Any]:
        """The options behind the short form `served:MODEL@URL`.

        Args:
            text: `MODEL@URL`.

        Raises:
            InvalidSetting: If it has another form.
        """
        found = _SHORT.fullmatch(text)
        if found is None:
            shown = redact(f"served:{text}")
            raise InvalidSetting(f"a served policy is served:MODEL@URL, with http:// or https://, got {shown}")
        return found.groupdict()

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies a run of this policy: what is asked of which model, not where it is served or how fast."""
        return {
            "model": self.endpoint.model,
            "protocol": dict(self.protocol.spec),
            "temperature": self.temperature,
            "top_p": self.top_p,
            "turn_tokens": self.turn_tokens,
            "tool_role": self.tool_role,
            "images": self.images.to_json(),
            "extra": redact(self.extra),
            "drop": list(self.endpoint.drop),
        }

    def prepare(self, budget: Budget) -> Budget:
        """See `Policy`: the budget's limits are part of the tool's description."""
        self._tools = [video_zoom_tool(budget)] if self._structured and budget.max_zooms else []
        return budget

    def reset(self, seeds: Sequence[int]) -> None:
        """Start a batch of episodes. The batch has one stream of seeds for its requests, made from all of theirs."""
        self._noise = np.random.default_rng([int(seed) for seed in seeds])

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The next turn of each dialogue.

        Raises:
            EndpointError: If a request fails for good.
            InvalidSetting: If the server ignores images, or `prepare` was left out where tools are offered.
        """
        if self._structured and self._tools is None:
            raise InvalidSetting("a policy that offers tools needs the budget first: prepare(budget)")
        self._check_image_input(dialogues)
        chats = [self._chat(messages) for messages in dialogues]
        replies = self.endpoint.ask([self._request(chat) for chat in chats])
        self.costs = [self._cost(reply, chat) for reply, chat in zip(replies, chats, strict=True)]
        texts = [_text(reply.message) for reply in replies]
        return [
            TruncatedText(text) if reply.finish == "length" else text
            for text, reply in zip(texts, replies, strict=True)
        ]

    def _chat(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        chat = as_tool_chat(messages) if self._structured else as_chat(messages, tool_role=self.tool_role)
        if self.tool_role == "user":
            chat = [part for message in chat for part in _apart(message)]
        return [_without_blanks(message) for message in self.images.in_chat(chat)]

    def _request(self, chat: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        request: dict[str, Any] = {"messages": chat, "temperature": self.temperature}
        if self.turn_tokens:
            request["max_tokens"] = self.turn_tokens
        if self.temperature:
            request |= {"top_p": self.top_p, "seed": int(self._noise.integers(1 << 31))}
        if self._tools:
            request["tools"] = self._tools
        return {**request, "extra_body": self.extra} if self.extra else request

    def _cost(self, reply: Reply, chat: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        count, size = self.images.measure(chat)
        cost: dict[str, float] = {"requests": 1, "retries": reply.retries, "images": count, "image_bytes": size}
        if reply.input_tokens is None or reply.output_tokens is None:
            return cost
        cost |= {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
        if any(self.prices):
            cost["price"] = (reply.input_tokens * self.prices[0] + reply.output_tokens * self.prices[1]) / 1e6
        return cost

    def _check_image_input(self, dialogues: Sequence[Sequence[Message]]) -> None:
        """Once: ask with and without an image, and compare what the server has read."""
        shown = next((message for messages in dialogues for message in messages if message.images), None)
        if not self._check or shown is None:
            return
        question = TextBlock("What is this?")
        asked = [Message("user", (shown.images[0], question)), Message("user", (question,))]
        # Some vendors refuse fewer than 16 tokens.
        requests = [{"messages": self.images.in_chat(as_chat([message])), "max_tokens": 16} for message in asked]
        seen, unseen = (reply.input_tokens for reply in self.endpoint.ask(requests))
        where = f"{self.endpoint.url} (model {self.endpoint.model!r})"
        if seen is None or unseen is None:
            raise InvalidSetting(
                f"{where} does not count tokens (`usage`), so it cannot be seen whether images reach the model; if "
                "you know that they do, set check_images=false"
            )
        if seen <= unseen:
            raise InvalidSetting(
                f"{where} read {seen} tokens with an image and {unseen} without: it drops images, and the model "
                "would play blind. Serve a vision-language model"
            )
        self._check = False


def _without_blanks(message: dict[str, Any]) -> dict[str, Any]:
    """A message that strict servers accept: they refuse blank content, and know no content only beside calls."""
    content = message["content"]
    if not isinstance(content, str) or content.strip():
        return message
    return {**message, "content": None if message.get("tool_calls") else _BLANK}


def _apart(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A tool's reply whose images follow in a user's message: many servers take no images from tools."""
    content = message["content"]
    if message["role"] != "tool" or all(block["type"] == "text" for block in content):
        return [message]
    return [{**message, "content": "The frames follow."}, {"role": "user", "content": content}]


def _text(message: Mapping[str, Any]) -> str:
    """A turn's text: as it is, or put together from the parts that a server separates (reasoning, calls, blocks)."""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list) or any(message.get(part) for part in ("tool_calls", "reasoning_content", "reasoning")):
        return turn_text(message)
    return str(content)
