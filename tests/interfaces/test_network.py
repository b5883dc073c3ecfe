"""Who may reach a server."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.interfaces.network import RemoteAccess, TokenGuard, check_host, read_token

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "[::1]", "localhost"])
def test_this_machine_needs_no_permission(host: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_host(host, allow_remote=False, token=None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", ""])
def test_another_address_needs_a_flag_and_warns(host: str) -> None:
    with pytest.raises(InvalidSetting, match="--allow-remote"):
        check_host(host, allow_remote=False, token=TOKEN)
    with pytest.warns(RemoteAccess, match="anybody can play"):
        check_host(host, allow_remote=True, token=None)
    with pytest.warns(RemoteAccess, match="need the token"):
        check_host(host, allow_remote=True, token=TOKEN)


def test_the_token_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VZGYM_SERVE_TOKEN", raising=False)
    assert read_token() is None
    monkeypatch.setenv("VZGYM_SERVE_TOKEN", TOKEN)
    assert read_token() == TOKEN
    for wrong in ("short", "with a space in it ...", "with\nline ends in it", "täglich-etwas-anderes"):
        monkeypatch.setenv("VZGYM_SERVE_TOKEN", wrong)
        with pytest.raises(InvalidSetting, match="VZGYM_SERVE_TOKEN") as caught:
            read_token()
        assert wrong not in str(caught.value)


def request(scope: dict) -> list[dict]:
    """The messages with which a guarded application answers."""
    sent: list[dict] = []

    async def app(scope: dict, receive: object, send: object) -> None:
        sent.append({"type": "reached"})

    async def receive() -> dict:
        return {"type": f"{scope['type']}.connect"}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(TokenGuard(app, TOKEN)(scope, receive, send))
    return sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("headers", "reached"),
    [
        ([(b"authorization", f"Bearer {TOKEN}".encode())], True),
        ([], False),
        ([(b"authorization", TOKEN.encode())], False),
        ([(b"authorization", b"Bearer ")], False),
        ([(b"authorization", f"Bearer {TOKEN}x".encode())], False),
        ([(b"authorization", f"Bearer {TOKEN}".encode()), (b"authorization", b"Bearer other")], False),
    ],
)
def test_only_the_token_opens(kind: str, headers: list, reached: bool) -> None:
    sent = request({"type": kind, "headers": headers})
    if reached:
        assert sent == [{"type": "reached"}]
    elif kind == "http":
        assert sent[0]["status"] == 401
        assert dict(sent[0]["headers"])[b"www-authenticate"] == b"Bearer"
    else:
        assert sent[0]["type"] == "websocket.close"


def test_the_start_of_the_application_is_not_guarded() -> None:
    assert request({"type": "lifespan"}) == [{"type": "reached"}]
