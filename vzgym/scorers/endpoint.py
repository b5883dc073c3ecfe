"""A vision-language model on a server as a scorer: its probability of "yes"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vzgym.core.endpoint import Endpoint, Reply
from vzgym.core.errors import EndpointError, InvalidSetting
from vzgym.core.secrets import redact_body
from vzgym.scorers.base import OptionsByName, Query
from vzgym.video.base import Frames
from vzgym.video.images import ImageEncoder

__all__ = ["PROMPT", "EndpointScorer"]

PROMPT: Final = (
    "{question}\n\nDoes this frame of the video help to answer the question?\nA. yes\nB. no\n"
    "Answer with the letter alone."
)
"""Default prompt; `{question}` stands for the query's text."""

_SHORT = re.compile(r"(?P<model>.+)@(?P<url>https?://.+)")


class EndpointScorer(OptionsByName):
    """A vision-language model on an OpenAI-compatible server, asked about each frame whether it helps to answer.

    Formula: the probability, over the whole vocabulary, that the reply's first token is `yes` ("A"): the sum of
    exp(logprob) over those of the server's `top_logprobs` that are `yes`, apart from spaces around it. 0 if none of
    them is: the probability is then below the least of them.
    Range: [0, 1].
    Source: FRAG (arXiv 2504.17447). Its prompt is not used literally: set `prompt`.
    Cost: one request with one image per frame. Requests, tokens and price enter the costs of the episode.

    The server must return `logprobs` with `top_logprobs` (vLLM and OpenAI do). A failed request is an error, never a
    score.

    Short forms: `endpoint:MODEL@URL`, or `endpoint:model=MODEL,url=URL,...`.

    Args:
        model: The model's name on the server.
        url: The base URL, such as `http://localhost:8000/v1`.
        prompt: The text sent with each frame; `{question}` stands for the query's text.
        yes: The token whose probability is the score.
        with_options: Whether the options belong to the text.
        top_logprobs: Number of most probable tokens that the server lists, 1 to 20.
        concurrency: Maximum number of simultaneous requests.
        retries: Maximum number of retries of a request.
        timeout: Maximum seconds of one attempt.
        key_variable: Environment variable of the key; `VZGYM_API_KEY` by default.
        headers: Further HTTP headers; `${NAME}` is replaced by an environment variable.
        token_limit: "max_tokens" or "max_completion_tokens".
        drop: Parameters omitted from requests ("temperature").
        image_format: "jpeg" or "png".
        quality: JPEG quality, 1 to 100.
        max_pixels: Larger frames are downscaled to this area; 0: sent as they are.
        detail: OpenAI's `detail` of images; "": not sent.
        extra: Further fields of each request.
        price_in: Price of a million input tokens; 0: unknown.
        price_out: Price of a million output tokens; 0: unknown.
        check_images: Before the first frame, check with two short requests that images reach the model.

    Raises:
        InvalidSetting: If a setting is invalid.
        DependencyNotInstalled: If `openai` is missing.
    """

    name: ClassVar[str] = "endpoint"

    def __init__(
        self,
        model: str,
        url: str,
        *,
        prompt: str = PROMPT,
        yes: str = "A",
        with_options: bool = True,
        top_logprobs: int = 20,
        concurrency: int = 8,
        retries: int = 5,
        timeout: float = 300.0,
        key_variable: str = "",
        headers: Mapping[str, str] | None = None,
        token_limit: str = "max_tokens",
        drop: Sequence[str] = (),
        image_format: str = "jpeg",
        quality: int = 90,
        max_pixels: int = 0,
        detail: str = "",
        extra: Mapping[str, Any] | None = None,
        price_in: float = 0.0,
        price_out: float = 0.0,
        check_images: bool = True,
    ) -> None:
        if "{question}" not in prompt:
            raise InvalidSetting(f"the prompt of scorer 'endpoint' must hold {{question}}, got {prompt!r:.200}")
        if not yes.strip():
            raise InvalidSetting("yes of scorer 'endpoint' must be a token, such as 'A'")
        if isinstance(top_logprobs, bool) or not isinstance(top_logprobs, int) or not 1 <= top_logprobs <= 20:
            raise InvalidSetting(f"top_logprobs must be a whole number from 1 to 20, got {top_logprobs!r}")
        if price_in < 0 or price_out < 0:
            raise InvalidSetting("price_in and price_out must be >= 0")
        clash = sorted({"messages", "logprobs", "top_logprobs", "stream", "n"} & set(extra or {}))
        if clash:
            raise InvalidSetting(f"extra may not set {', '.join(clash)}: the scorer does")
        needed = sorted({"logprobs", "top_logprobs"} & set(drop))
        if needed:
            raise InvalidSetting(f"drop may not name {', '.join(needed)}: the score is computed from them")
        self.images = ImageEncoder(image_format, quality, max_pixels, detail)
        self.endpoint = Endpoint(
            url, model, key_variable=key_variable, headers=headers, concurrency=concurrency, retries=retries,
            timeout=timeout, token_limit=token_limit, drop=drop,
        )  # fmt: skip
        self.prompt, self.yes, self.with_options = prompt, yes.strip(), with_options
        self.top_logprobs, self.extra, self.prices = top_logprobs, dict(extra or {}), (price_in, price_out)
        self.batch_size = 4 * concurrency
        self.costs: dict[str, float] = {}
        self._check = check_images

    def __repr__(self) -> str:
        return f"EndpointScorer({self.endpoint.model!r}, {self.endpoint.url!r})"

    @classmethod
    def parse_name(cls, text: str) -> dict[str, Any]:
        """The options of a short form.

        Args:
            text: `MODEL@URL`, or `model=MODEL,url=URL,...`.

        Raises:
            InvalidSetting: If it has another form.
        """
        found = _SHORT.fullmatch(text)
        if found is not None and "url=" not in text:
            return found.groupdict()
        try:
            return super().parse_name(text)
        except InvalidSetting:
            # The message does not repeat the text, which may contain a key.
            raise InvalidSetting("a scorer on a server is endpoint:MODEL@URL, with http:// or https://") from None

    @property
    def identity(self) -> dict[str, Any]:
        """Model and request parameters; not the server or its speed."""
        return {
            "model": self.endpoint.model,
            "prompt": self.prompt,
            "yes": self.yes,
            "with_options": self.with_options,
            "top_logprobs": self.top_logprobs,
            "images": self.images.to_json(),
            "extra": redact_body(self.extra),
            "drop": list(self.endpoint.drop),
        }

    def score(self, query: Query, frames: Frames) -> NDArray[np.float64]:
        """See `Scorer.score`.

        Raises:
            EndpointError: If a request finally fails, or the server returns no log-probabilities.
            InvalidSetting: If the server drops images.
        """
        text = {"type": "text", "text": self.prompt.replace("{question}", query.to_text(self.with_options))}
        contents = [[self.images.block(Image.fromarray(frame)), text] for frame in frames.pixels]
        if self._check:
            self.endpoint.check_images(contents[0])
            self._check = False
        replies = self.endpoint.ask([self._request(content) for content in contents])
        self.costs = self._cost(replies)
        return np.array([self._probability(reply) for reply in replies])

    def _request(self, content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": 1,
            "logprobs": True,
            "top_logprobs": self.top_logprobs,
        }
        return {**request, "extra_body": self.extra} if self.extra else request

    def _probability(self, reply: Reply) -> float:
        """The probability of `yes` as the first token."""
        try:
            tokens = reply.logprobs["content"][0]["top_logprobs"]  # type: ignore[index]  # None is caught
            listed = [(str(token["token"]), float(token["logprob"])) for token in tokens]
        except (LookupError, TypeError, ValueError):
            listed = []
        if not listed or any(math.isnan(logprob) for _, logprob in listed):
            raise EndpointError(
                "the reply holds no log-probabilities (logprobs.content[0].top_logprobs)",
                url=self.endpoint.url,
                model=self.endpoint.model,
                advice="The score is the probability of a token: use a server that returns them, such as vLLM, and a "
                "model that does not think before it answers.",
            )
        # Tokens may begin with a space, or with the mark by which SentencePiece writes it.
        chosen = [logprob for token, logprob in listed if token.strip(" \n\u2581\u0120") == self.yes]
        return min(1.0, math.fsum(math.exp(min(0.0, logprob)) for logprob in chosen))

    def _cost(self, replies: Sequence[Reply]) -> dict[str, float]:
        costs: dict[str, float] = {"requests": len(replies), "retries": sum(reply.retries for reply in replies)}
        read = [reply.input_tokens for reply in replies]
        written = [reply.output_tokens for reply in replies]
        if None in read or None in written:
            return costs
        costs |= {"input_tokens": sum(map(int, read)), "output_tokens": sum(map(int, written))}  # type: ignore[arg-type]
        if any(self.prices):
            tokens = costs["input_tokens"] * self.prices[0] + costs["output_tokens"] * self.prices[1]
            costs["price"] = tokens / 1e6
        return costs
