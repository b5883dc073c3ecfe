"""A client for OpenAI-compatible chat completions: concurrent requests, retries, token counts, errors with advice.

A failed request is never treated as a model's reply, even if a server reports it inside an HTTP 200 response. The key
is read from the environment and sent as a header; no record, message or repr contains it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from vzgym.core.errors import DependencyNotInstalled, EndpointError, InvalidSetting
from vzgym.core.secrets import HIDDEN, redact_url
from vzgym.core.text import replace_surrogates

__all__ = ["DEFAULT_KEY", "TOKEN_LIMITS", "Endpoint", "Reply", "check_names", "check_url"]

DEFAULT_KEY: Final = "VZGYM_API_KEY"
"""Default environment variable of the key."""

TOKEN_LIMITS: Final = ("max_tokens", "max_completion_tokens")
"""Names of the parameter for the maximum number of tokens of a reply."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"\$\{(\w+)\}")

_REASON = "vzgym_reason"
"""Key of the failure reason in a response's extensions."""

_DROP: Final = "Parameters that a server does not take can be left out (drop) or renamed (token_limit)."

# Advice by HTTP status.
_ADVICE: Final[Mapping[int, str]] = {
    400: "The server refuses the request: look for an option that it does not know, too many images (vLLM: "
    f"--limit-mm-per-prompt), or a dialogue longer than its context. {_DROP}",
    401: f"The key is missing or wrong: put it into the environment variable {DEFAULT_KEY}, or name another variable "
    "by key_variable.",
    403: "The key may not use this model.",
    404: "The server does not know this model or this path: url usually ends with /v1, and `GET url/models` lists the "
    "models.",
    413: "The images are too large for the server: lower max_pixels or quality.",
    422: f"The server refuses the request: look for an option that it does not know. {_DROP}",
    429: "The server limits the rate: lower concurrency, or raise retries.",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply to one request.

    Attributes:
        message: The assistant's message as returned by the server: `content`, `tool_calls`, further fields.
        finish: The finish reason: "stop", "length", "tool_calls", "content_filter", ...
        input_tokens: Number of input tokens, including images; None if unknown.
        output_tokens: Number of output tokens; None if unknown.
        retries: Number of retries of the request.
        logprobs: Log-probabilities of the tokens as returned by the server, if the request asked for them; else None.
    """

    message: Mapping[str, Any]
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    retries: int
    logprobs: Mapping[str, Any] | None = None

    def costs(self, prices: Sequence[float] = (0.0, 0.0)) -> dict[str, float]:
        """Costs of the request: `requests` and `retries`; `input_tokens` and `output_tokens` if the server counts them.

        Args:
            prices: Prices of a million input and output tokens; if one is not 0, `price` is added.
        """
        found: dict[str, float] = {"requests": 1, "retries": self.retries}
        if self.input_tokens is not None and self.output_tokens is not None:
            found |= {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
            if any(prices):
                found["price"] = (self.input_tokens * prices[0] + self.output_tokens * prices[1]) / 1e6
        return found


class Endpoint:
    """A model on a server.

    Args:
        url: The base URL, such as `http://localhost:8000/v1`.
        model: The model's name there.
        key_variable: The environment variable of the key. "": `VZGYM_API_KEY` if it is set, else no key.
        headers: Further HTTP headers. `${NAME}` in a value is replaced by the environment variable `NAME`.
        concurrency: Maximum number of simultaneous requests.
        retries: Maximum number of retries of a request, after growing pauses, if the server is busy, fails or cannot be
            reached. A `Retry-After` header is respected.
        timeout: Maximum seconds of one attempt.
        token_limit: The server's name of the parameter for the maximum number of tokens: "max_tokens" or
            "max_completion_tokens".
        drop: Parameters omitted from every request because the server refuses them ("temperature", "seed").

    Raises:
        InvalidSetting: If a setting is invalid. The message never repeats a possible key.
        DependencyNotInstalled: If `openai` is missing.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_variable: str = "",
        headers: Mapping[str, str] | None = None,
        concurrency: int = 8,
        retries: int = 5,
        timeout: float = 300.0,
        token_limit: str = "max_tokens",
        drop: Sequence[str] = (),
    ) -> None:
        if not model:
            raise InvalidSetting("model must be given: the name under which the server knows it")
        for name, value, least in (("concurrency", concurrency, 1), ("retries", retries, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidSetting(f"{name} must be a whole number >= {least}, got {value!r}")
        if not timeout > 0:
            raise InvalidSetting(f"timeout must be > 0 seconds, got {timeout!r}")
        if token_limit not in TOKEN_LIMITS:
            raise InvalidSetting(f"token_limit must be one of {', '.join(TOKEN_LIMITS)}, got {token_limit!r}")
        self.url, self.model = check_url(url), model
        self.retries, self.concurrency, self.timeout = retries, concurrency, timeout
        self.token_limit, self.drop = token_limit, check_names(drop)
        self._key = _read_key(key_variable)
        self._headers = _read_headers(headers or {})
        # A server may quote a header, or the part of it that comes from an environment variable.
        variables = [name for value in (headers or {}).values() for name in _VARIABLE.findall(value)]
        self._secrets = [self._key, *self._headers.values(), *(os.environ[name] for name in variables)]
        _openai()

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r}, model={self.model!r})"

    def ask(self, requests: Sequence[Mapping[str, Any]]) -> list[Reply]:
        """Send requests concurrently; the replies are in the order of the requests.

        Also works in a running event loop, as in a notebook. An error or Ctrl-C cancels pending requests.

        Args:
            requests: Bodies of chat completions, without the model's name. `max_tokens` is sent under the name
                `token_limit`, and parameters in `drop` are omitted. Lone surrogates in strings become U+FFFD.

        Raises:
            EndpointError: If a request finally fails; the others are canceled.
        """
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal() as portal:
            return portal.call(self._ask_all, [self._body(request) for request in requests])

    def check_images(self, content: Sequence[Mapping[str, Any]]) -> None:
        """Check that images reach the model: they must increase the number of input tokens. Some servers drop images.

        Args:
            content: Blocks of a user message, with an image and a text. Two short requests are sent, with and without
                the image.

        Raises:
            InvalidSetting: If the server drops images, or does not count tokens.
            EndpointError: If a request finally fails.
        """
        texts = [block for block in content if block["type"] == "text"]
        # Some vendors refuse a limit of fewer than 16 tokens.
        requests = [
            {"messages": [{"role": "user", "content": blocks}], "max_tokens": 16} for blocks in (content, texts)
        ]
        seen, unseen = (reply.input_tokens for reply in self.ask(requests))
        where = f"{self.url} (model {self.model!r})"
        if seen is None or unseen is None:
            raise InvalidSetting(
                f"{where} does not count tokens (`usage`), so it cannot be seen whether images reach the model; if "
                "you know that they do, set check_images=false"
            )
        if seen <= unseen:
            raise InvalidSetting(
                f"{where} read {seen} tokens with an image and {unseen} without: it drops images, so the model would "
                f"not see any frame. Serve a vision-language model"
            )

    def _body(self, request: Mapping[str, Any]) -> dict[str, Any]:
        body = {self.token_limit if key == "max_tokens" else key: value for key, value in request.items()}
        cleaned: dict[str, Any] = _clean({key: value for key, value in body.items() if key not in self.drop})
        return cleaned

    async def _ask_all(self, bodies: Sequence[Mapping[str, Any]]) -> list[Reply]:
        openai = _openai()
        free = asyncio.Semaphore(self.concurrency)
        # Redirects are not followed: they would carry images and headers to another host.
        transport = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,
            verify=self.url.startswith("https:"),
            event_hooks={"response": [_mark_failure]},
        )
        # The library's timeout bounds only the time between two bytes.
        transport.send = partial(_send, transport.send, self.timeout)
        try:
            async with (
                openai.AsyncOpenAI(
                    base_url=self.url,
                    # The library requires a key; servers that need none ignore it.
                    api_key=self._key or "none",
                    default_headers=self._headers,
                    max_retries=self.retries,
                    timeout=self.timeout,
                    http_client=transport,
                ) as client,
                asyncio.TaskGroup() as group,
            ):
                tasks = [group.create_task(self._ask(client, body, free)) for body in bodies]
        except* EndpointError as failed:
            first = failed.exceptions[0]
        else:
            return [task.result() for task in tasks]
        raise first

    async def _ask(self, client: Any, body: Mapping[str, Any], free: asyncio.Semaphore) -> Reply:
        openai = _openai()
        async with free:
            try:
                raw = await client.chat.completions.with_raw_response.create(model=self.model, **body)
                content = raw.http_response.content
            # The library's message may contain the key, so it must not appear as the cause: `from None`.
            except openai.APIStatusError as error:
                status = error.status_code
                reason = error.response.extensions.get(_REASON) or _reason(error.body) or error.message
                raise self._error(reason, status, tried=status in (408, 409, 429) or status >= 500) from None
            except openai.APITimeoutError:
                advice = "Raise timeout, lower concurrency, or check whether the server still works."
                raise self._error("no answer in time", advice=advice, tried=True) from None
            except openai.APIConnectionError as error:
                advice = "Is it running, and is the url right?"
                raise self._error(f"no connection: {error.__cause__ or error}", advice=advice, tried=True) from None
            except openai.OpenAIError as error:
                raise self._error(str(error)) from None
        try:
            completion = json.loads(content)
            choice = completion["choices"][0]
        except (ValueError, LookupError, TypeError):
            shown = content[:200].decode(errors="replace")
            advice = "The url usually ends with /v1."
            raise self._error(f"this is no chat completion: {shown}", advice=advice) from None
        usage = completion.get("usage")
        read, written = (_count(usage, f"{name}_tokens") for name in ("prompt", "completion"))
        message = _clean(choice["message"])
        tokens = choice.get("logprobs")
        return Reply(
            message,
            str(choice.get("finish_reason") or ""),
            read,
            written,
            raw.retries_taken,
            tokens if isinstance(tokens, dict) else None,
        )

    def _error(self, reason: str, status: int | None = None, *, advice: str = "", tried: bool = False) -> EndpointError:
        if not advice and status is not None:
            advice = _ADVICE.get(status, "See the server's own log." if status >= 500 else "")
        for secret in self._secrets:
            reason = reason.replace(secret, HIDDEN) if len(secret) > 3 else reason
        tries = self.retries + 1 if tried else 1
        return EndpointError(reason, url=self.url, model=self.model, status=status, tries=tries, advice=advice)


async def _send(send: Callable[..., Awaitable[Any]], seconds: float, request: Any, **options: Any) -> Any:
    """Make one attempt, to the end of the response's body, in limited time."""
    try:
        async with asyncio.timeout(seconds):
            return await send(request, **options)
    except TimeoutError:
        # The library retries its HTTP client's own error. Which client it is, a generation of httpx, depends on the
        # version.
        client = import_module(type(request).__module__.partition(".")[0])
        raise client.TimeoutException(f"no whole response within {seconds:g} s") from None


# Failures inside HTTP 200 ------------------------------------------------------------------------------------------


async def _mark_failure(response: Any) -> None:
    """Change the HTTP status of a 200 response that reports a failure, so that it is retried accordingly."""
    if not response.is_success:
        return
    failure = _failure(await response.aread())
    if failure is not None:
        response.status_code, reason = failure
        response.extensions[_REASON] = f"{reason} (inside an HTTP 200 response)"


def _failure(content: bytes) -> tuple[int, str] | None:
    """The HTTP status and reason of a failure reported in a response's body; None for any other body."""
    if not content.strip():
        return 502, "an empty response"
    try:
        completion = json.loads(content)
    except ValueError:
        # A proxy's page means a wrong url, not a server failure: it is refused when the reply is read.
        return (502, "a response that breaks off") if content.lstrip().startswith(b"{") else None
    if not isinstance(completion, dict):
        return None
    if completion.get("error"):
        return _status(completion["error"]), _reason(completion["error"])
    choices = completion.get("choices")
    if choices is None:
        return (502, "no choices") if completion.get("object") == "chat.completion" else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return 502, "no choices"
    choice = choices[0]
    if choice.get("error"):
        return _status(choice["error"]), _reason(choice["error"])
    if choice.get("finish_reason") == "error":
        return 502, "the reply ended in an error"
    return _message_failure(choice.get("message"))


def _message_failure(message: object) -> tuple[int, str] | None:
    if not isinstance(message, dict):
        return 502, "a choice without a message"
    content, calls = message.get("content"), message.get("tool_calls")
    blocks = isinstance(content, list) and all(isinstance(block, dict) for block in content)
    if not (content is None or isinstance(content, str) or blocks):
        return 502, "a message whose content is neither text nor blocks"
    if not isinstance(calls or [], list):
        return 502, "a message whose tool_calls are no list"
    for call in calls or []:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return 502, "a tool call without a function's name"
    return None


def _status(error: object) -> int:
    """The HTTP status of an error object."""
    values = [error.get(key) for key in ("status_code", "code", "status", "type")] if isinstance(error, dict) else []
    for value in values:
        if not isinstance(value, bool) and re.fullmatch(r"[45]\d\d", str(value)):
            return int(str(value))
    words = " ".join(str(value).lower() for value in values)
    return 429 if re.search("rate_?limit|quota|exhausted", words) else 400 if "invalid_request" in words else 502


def _reason(body: object) -> str:
    """A server's description of a failure, as one line of limited length."""
    while isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error") or json.dumps(body)
    return " ".join(str(body or "").split())[:400]


def _count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# Settings ----------------------------------------------------------------------------------------------------------


def _openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise DependencyNotInstalled('openai is not installed, run `pip install "vzgym[served]"`') from error
    return openai


def check_url(url: str) -> str:
    """Validate a server's base URL and remove a trailing slash.

    Raises:
        InvalidSetting: If it is not an HTTP URL, or contains a user, password, query or fragment.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        # Not shown: it may contain a key.
        raise InvalidSetting(
            "url must hold neither user, password nor query, since records keep it: a key goes into the environment "
            f"variable {DEFAULT_KEY}, or one named by key_variable"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidSetting(f"url must be like http://localhost:8000/v1, got {redact_url(url)!r}")
    return url.rstrip("/")


def _read_key(variable: str) -> str:
    """Read the key; "" for none."""
    if not variable:
        return os.environ.get(DEFAULT_KEY, "").strip()
    key = os.environ.get(variable, "").strip() if _NAME.fullmatch(variable) else ""
    if not key:
        # The value is not shown: it may be a key, given by mistake.
        raise InvalidSetting(
            "key_variable names an environment variable that is not set. It takes a variable's name, such as "
            "OPENAI_API_KEY, never a key itself"
        )
    return key


def _read_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with `${NAME}` replaced by environment variables."""
    read = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidSetting("headers must be a mapping of header names to texts")
        missing = [variable for variable in _VARIABLE.findall(value) if variable not in os.environ]
        if missing:
            raise InvalidSetting(f"headers.{name} names environment variables that are not set: {', '.join(missing)}")
        read[name] = _VARIABLE.sub(lambda found: os.environ[found[1]], value)
    return read


def check_names(names: object) -> tuple[str, ...]:
    """Validate the names of parameters omitted from requests.

    Raises:
        InvalidSetting: If they are not a list of names, or contain a required parameter.
    """
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InvalidSetting(f"drop must be a list of parameters' names, such as [temperature, seed]; got {names!r}")
    needed = {"model", "messages"} & set(names)
    if needed:
        raise InvalidSetting(f"drop may not name {', '.join(sorted(needed))}: every request needs it")
    return tuple(names)


def _clean(value: Any) -> Any:
    """A JSON value without lone surrogates, which cannot be encoded in a request."""
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, Mapping):
        return {replace_surrogates(str(key)): _clean(inner) for key, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, (list, tuple)) else value
