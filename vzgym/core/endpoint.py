"""A server that speaks OpenAI's chat completions: many requests at once, tried again, counted; errors that help.

A key is read from the environment and goes into the requests' header, nowhere else: no record, message or repr has it.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import weakref
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from vzgym.core.errors import DependencyNotInstalled, EndpointError, InvalidSetting

__all__ = ["DEFAULT_KEY", "Endpoint", "Reply"]

T = TypeVar("T")

DEFAULT_KEY: Final = "VZGYM_API_KEY"
"""The environment variable that holds the key where no other is named."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# What to do about it, by HTTP status.
_ADVICE: Final[Mapping[int, str]] = {
    400: "The server refuses the request: look for an option that it does not know, too many pictures (vLLM: "
    "--limit-mm-per-prompt), or a dialogue longer than its context.",
    401: f"The key is missing or wrong: put it into the environment variable {DEFAULT_KEY}, or name another variable "
    "by key_variable.",
    403: "The key may not use this model.",
    404: "The server does not know this model or this path: url usually ends with /v1, and `GET url/models` lists the "
    "models.",
    413: "The pictures are too large for the server: lower max_pixels or quality.",
    422: "The server refuses the request: look for an option that it does not know.",
    429: "The server limits the rate: lower concurrency, or raise retries.",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said to one request.

    Attributes:
        message: The assistant's message as the server gave it: `content`, `tool_calls`, further fields.
        finish: Why it ended: "stop", "length", "tool_calls", "content_filter", ...
        input_tokens: Tokens read, pictures included; None if the server does not say.
        output_tokens: Tokens written; None if the server does not say.
        retries: How often the request was sent again.
    """

    message: Mapping[str, Any]
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    retries: int


class Endpoint:
    """A model on a server.

    Args:
        url: The base URL, such as `http://localhost:8000/v1`.
        model: The model's name there.
        key_variable: The environment variable that holds the key. "": `VZGYM_API_KEY` if it is set, else no key.
        concurrency: Most requests under way at once.
        retries: How often a request is tried again, with growing pauses, when the server is busy, fails or is out of
            reach. What the server asks for (`Retry-After`) is heeded.
        timeout: Seconds that one try may take.

    Raises:
        InvalidSetting: If a setting cannot work. The message never repeats what might be a key.
        DependencyNotInstalled: If `openai` is missing.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_variable: str = "",
        concurrency: int = 8,
        retries: int = 5,
        timeout: float = 300.0,
    ) -> None:
        if not model:
            raise InvalidSetting("model must be given: the name under which the server knows it")
        for name, value, least in (("concurrency", concurrency, 1), ("retries", retries, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidSetting(f"{name} must be a whole number >= {least}, got {value!r}")
        if not timeout > 0:
            raise InvalidSetting(f"timeout must be > 0 seconds, got {timeout!r}")
        self.url, self.model, self.retries = _checked_url(url), model, retries
        self._key = _read_key(key_variable)
        self._free = asyncio.Semaphore(concurrency)
        self._client = _client(self.url, self._key, retries, timeout)
        self._loop = asyncio.new_event_loop()
        # A loop of its own, so that a notebook's is not in the way, and Ctrl-C ends what is under way at once.
        thread = threading.Thread(target=_serve, args=(self._loop, self._client), name="vzgym-endpoint", daemon=True)
        thread.start()
        self._stop = weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r}, model={self.model!r})"

    def close(self) -> None:
        """End the connections."""
        self._stop()

    def ask(self, requests: Sequence[Mapping[str, Any]]) -> list[Reply]:
        """Send requests, several at once; the replies come in the order of the requests.

        Args:
            requests: Bodies of chat completions, without the model's name.

        Raises:
            EndpointError: If one fails for good: the others are given up.
        """
        return self._run(self._ask_all(requests))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    async def _ask_all(self, requests: Sequence[Mapping[str, Any]]) -> list[Reply]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask(request)) for request in requests]
        except* EndpointError as failed:
            first = failed.exceptions[0]
        else:
            return [task.result() for task in tasks]
        raise first

    async def _ask(self, request: Mapping[str, Any]) -> Reply:
        import openai

        async with self._free:
            try:
                raw = await self._client.chat.completions.with_raw_response.create(model=self.model, **request)
                made = raw.parse()
            # What the library says may repeat the key, so its error must not show up behind ours: `from None`.
            except openai.APIStatusError as error:
                status = error.status_code
                raise self._error(_said(error), status, tried=status in (408, 409, 429) or status >= 500) from None
            except openai.APITimeoutError:
                advice = "Raise timeout, lower concurrency, or see whether the server still works."
                raise self._error("no answer in time", advice=advice, tried=True) from None
            except openai.APIConnectionError as error:
                advice = "Is it running, and is the url right?"
                raise self._error(f"no connection: {error.__cause__ or error}", advice=advice, tried=True) from None
            except openai.OpenAIError as error:
                raise self._error(str(error)) from None
        if not isinstance(made, openai.types.chat.ChatCompletion) or not made.choices:
            fault = getattr(made, "error", None) or made
            advice = "The url usually ends with /v1."
            raise self._error(f"this is no chat completion: {fault!s:.200}", advice=advice)
        choice, usage = made.choices[0], made.usage
        return Reply(
            message=choice.message.model_dump(),
            finish=str(choice.finish_reason or ""),
            input_tokens=usage.prompt_tokens if usage else None,
            output_tokens=usage.completion_tokens if usage else None,
            retries=raw.retries_taken,
        )

    def _error(self, reason: str, status: int | None = None, *, advice: str = "", tried: bool = False) -> EndpointError:
        if not advice and status is not None:
            advice = _ADVICE.get(status, "See the server's own log." if status >= 500 else "")
        if self._key:
            reason = reason.replace(self._key, "***")
        tries = self.retries + 1 if tried else 1
        return EndpointError(reason, url=self.url, model=self.model, status=status, tries=tries, advice=advice)


def _serve(loop: asyncio.AbstractEventLoop, client: Any) -> None:
    """Run a loop until it is told to stop, then close what it used."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(client.close())
    loop.close()


def _client(url: str, key: str, retries: int, timeout: float) -> Any:
    try:
        import openai
    except ImportError as error:
        raise DependencyNotInstalled('openai is not installed, run `pip install "vzgym[served]"`') from error
    # The library insists on some key; servers that need none do not look at it.
    return openai.AsyncOpenAI(base_url=url, api_key=key or "none", max_retries=retries, timeout=timeout)


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        # Not shown: it may hold a key.
        raise InvalidSetting(
            "url must hold neither user, password nor query, since records keep it: a key goes into the environment "
            f"variable {DEFAULT_KEY}, or one named by key_variable"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidSetting(f"url must be like http://localhost:8000/v1, got {url!r}")
    return url.rstrip("/")


def _read_key(variable: str) -> str:
    """The key; "" for none."""
    if not variable:
        return os.environ.get(DEFAULT_KEY, "").strip()
    key = os.environ.get(variable, "").strip() if _NAME.fullmatch(variable) else ""
    if not key:
        # What was given is not repeated: it may be a key, given by mistake.
        raise InvalidSetting(
            "key_variable names an environment variable that is not set. It takes a variable's name, such as "
            "OPENAI_API_KEY, never a key itself"
        )
    return key


def _said(error: Any) -> str:
    """What the server said about a refusal, in one line of bounded length."""
    body = error.body
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error") or body
    return " ".join(str(body or error.message).split())[:400]
