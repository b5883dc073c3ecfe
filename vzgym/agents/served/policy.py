"""Policies on OpenAI-compatible endpoints: vLLM, SGLang, `transformers serve`, or a vendor's API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vzgym.core.budget import Budget
from vzgym.core.endpoint import Endpoint, Reply
from vzgym.core.errors import InvalidSetting
from vzgym.core.secrets import redact, redact_body
from vzgym.episode.dialogue import Message, TextBlock
from vzgym.episode.record import ToolDescription
from vzgym.protocols import PROTOCOLS, TextProtocol, TruncatedText, as_chat, as_tool_chat, turn_text
from vzgym.protocols.tool_calls import tool_functions
from vzgym.video.images import ImageEncoder

__all__ = ["ServedPolicy"]

_SHORT = re.compile(r"(?P<model>.+)@(?P<url>https?://.+)")

_BLANK = "(no text)"
"""Sent in place of an empty turn: servers refuse messages with blank content."""

_OWN = ("model", "messages", "tools", "stream", "n")
_TRANSPORT = ("extra_headers", "extra_query", "extra_body", "headers", "timeout")


class ServedPolicy:
    """A `TextPolicy` that queries a server. Each request contains the whole dialogue with all its frames.

    A request that finally fails ends the run with an `EndpointError`: it must not count as a wrong answer. Finished
    episodes are on disk, and the same command resumes the run.

    Args:
        model: The model's name on the server.
        url: The server's base URL, such as `http://localhost:8000/v1`.
        protocol: The text protocol: "tags", or native tool calls: `{"name": "tool_calls", "structured": True}` declares
            the zoom in the requests' `tools` and reads `tool_calls`; plain "tool_calls" puts both into the text, for
            servers that do not parse calls.
        temperature: 0 is greedy decoding; above, tokens are sampled, with a seed for each request.
        top_p: Probability mass of nucleus sampling.
        turn_tokens: Largest number of tokens of one turn; 0: the server's default.
        token_limit: The name under which `turn_tokens` is sent: "max_tokens" or "max_completion_tokens", which some
            vendors require.
        drop: Parameters omitted from every request because the server refuses them, such as `["temperature", "seed"]`.
        concurrency: Maximum number of simultaneous requests; equally many episodes are played together.
        retries: How often a request is retried, after growing pauses, if the server is busy or cannot be reached.
        timeout: Maximum seconds of one attempt.
        key_variable: The environment variable with the key. "": `VZGYM_API_KEY` if it is set, else no key. The key
            itself is never an option and never written.
        headers: Further HTTP headers of each request. `${NAME}` in a value is replaced by the environment variable
            `NAME`. Values are never written: records and reports show `***`.
        tool_role: Role of the messages with a zoom's frames: "user", which every server accepts with images, or "tool",
            as in the tiny model's training. (The reply to a native call always has the role "tool"; with "user", its
            frames follow in a separate message.)
        image_format: "jpeg", or "png" (lossless).
        quality: JPEG quality, 1 to 100; without chroma subsampling.
        max_pixels: Larger frames are downscaled to this area in pixels; 0: sent at the budget's size. A server may also
            resize them by its own rule: set its limits, if it accepts any, in `extra`.
        detail: OpenAI's `detail` of images ("low", "high", "auto"); "": not sent.
        extra: Further fields of each request, such as vLLM's `{"top_k": 20, "mm_processor_kwargs": {...}}`.
        price_in: Price of a million input tokens; 0: unknown.
        price_out: Price of a million output tokens; 0: unknown.
        check_images: Before the first turn, check with two short requests that an image increases the number of input
            tokens, since some servers drop images.
        name: For tables; the model's name if not given.

    Attributes:
        costs: Costs of each text of the latest `respond`: `requests`, `retries`, `input_tokens`, `output_tokens`,
            `images`, `image_bytes` and, with prices, `price`. `vzgym.evaluate` sums them for each episode.

    Raises:
        InvalidSetting: If a setting is invalid.
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
        self._budget: Budget | None = None
        self._tools: tuple[ToolDescription, ...] = ()
        self._noise = np.random.default_rng(0)

    def __repr__(self) -> str:
        return f"ServedPolicy({self.endpoint.model!r}, {self.endpoint.url!r}, protocol={dict(self.protocol.spec)})"

    @classmethod
    def parse_name(cls, text: str) -> dict[str, Any]:
        """The options that the short form `served:MODEL@URL` stands for.

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
        """Model and request parameters, which identify a run of this policy; not the server or its speed."""
        return {
            "model": self.endpoint.model,
            "protocol": dict(self.protocol.spec),
            "temperature": self.temperature,
            "top_p": self.top_p,
            "turn_tokens": self.turn_tokens,
            "tool_role": self.tool_role,
            "images": self.images.to_json(),
            "extra": redact_body(self.extra),
            "drop": list(self.endpoint.drop),
        }

    def prepare(self, budget: Budget) -> Budget:
        """See `Policy`: the budget's limits are part of the tool's description."""
        self._budget, self._tools = budget, ()
        return budget

    def use_tools(self, tools: Sequence[ToolDescription]) -> None:
        """See `Policy`: they are declared beside the zoom."""
        self._tools = tuple(tools)

    def reset(self, seeds: Sequence[int]) -> None:
        """Start a batch of episodes, whose seeds are combined into one random stream for its requests."""
        self._noise = np.random.default_rng([int(seed) for seed in seeds])

    def respond(self, dialogues: Sequence[Sequence[Message]]) -> list[str]:
        """The next turn of each dialogue.

        Raises:
            EndpointError: If a request finally fails.
            InvalidSetting: If the server ignores images, or `prepare` was not called although tools are offered.
        """
        if self._structured and self._budget is None:
            raise InvalidSetting("a policy that offers functions needs the budget first: prepare(budget)")
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
        names = [tool.name for tool in self._tools]
        chat = as_tool_chat(messages, names) if self._structured else as_chat(messages, tool_role=self.tool_role)
        if self.tool_role == "user":
            chat = _apart(chat)
        return [_without_blanks(message) for message in self.images.in_chat(chat)]

    def _request(self, chat: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        request: dict[str, Any] = {"messages": chat, "temperature": self.temperature}
        if self.turn_tokens:
            request["max_tokens"] = self.turn_tokens
        if self.temperature:
            request |= {"top_p": self.top_p, "seed": int(self._noise.integers(1 << 31))}
        if self._structured and self._budget is not None and self._budget.max_zooms:
            request["tools"] = tool_functions(self._budget, self._tools)
        return {**request, "extra_body": self.extra} if self.extra else request

    def _cost(self, reply: Reply, chat: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        count, size = self.images.measure(chat)
        return {**reply.costs(self.prices), "images": count, "image_bytes": size}

    def _check_image_input(self, dialogues: Sequence[Sequence[Message]]) -> None:
        """Once: send a request with and without an image, and compare the numbers of input tokens."""
        shown = next((message for messages in dialogues for message in messages if message.images), None)
        if not self._check or shown is None:
            return
        (asked,) = self.images.in_chat(as_chat([Message("user", (shown.images[0], TextBlock("What is this?")))]))
        self.endpoint.check_images(asked["content"])
        self._check = False


def _without_blanks(message: dict[str, Any]) -> dict[str, Any]:
    """A message for strict servers, which refuse blank content and allow missing content only with tool calls."""
    content = message["content"]
    if not isinstance(content, str) or content.strip():
        return message
    return {**message, "content": None if message.get("tool_calls") else _BLANK}


def _apart(chat: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Move the images of tools' replies into a user message: many servers accept no images in tool messages.

    The user message follows all replies to the calls of a turn, which servers expect one after the other.
    """
    made: list[dict[str, Any]] = []
    frames: list[dict[str, Any]] = []
    for message in chat:
        if message["role"] != "tool" and frames:
            made.append({"role": "user", "content": frames})
            frames = []
        content = message["content"]
        if message["role"] == "tool" and any(block["type"] != "text" for block in content):
            message = {**message, "content": "The frames follow."}
            # The texts of two replies must not run together.
            frames = [*frames, {"type": "text", "text": "\n"}, *content] if frames else content
        made.append(message)
    return [*made, {"role": "user", "content": frames}] if frames else made


def _text(message: Mapping[str, Any]) -> str:
    """A turn's text, assembled from the parts that a server separates (reasoning, calls, blocks)."""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list) or any(message.get(part) for part in ("tool_calls", "reasoning_content", "reasoning")):
        return turn_text(message)
    return str(content)
