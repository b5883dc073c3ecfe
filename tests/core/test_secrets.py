from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vzgym.core.secrets import redact, redact_body, redact_url

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host/v1", "http://host/v1"),
        ("https://me:s3cr3t@host:80/v1", "https://***@host:80/v1"),
        ("https://s3cr3t@host", "https://***@host"),
        ("https://a:s3cr3t@b@host/x", "https://***@host/x"),
        ("https://host/v1?key=s3cr3t&a=b", "https://host/v1?***"),
        ("https://host/v1#s3cr3t", "https://host/v1#***"),
        ("served:qwen@https://me:s3cr3t@host/v1?k=s3cr3t", "served:qwen@https://***@host/v1?***"),
        ("see (https://host?t=s3cr3t) and ftp://u:s3cr3t@h/x", "see (https://host?*** and ftp://***@h/x"),
        ("served:model@http://host/v1", "served:model@http://host/v1"),
        ("a@b.c is no URL?", "a@b.c is no URL?"),
    ],
)
def test_user_information_query_and_fragment_of_urls_are_hidden(text: str, shown: str) -> None:
    assert redact_url(text) == shown
    assert redact(text) == shown


@pytest.mark.parametrize("key", ["headers", "extra_headers", "default_headers", "Headers", "extra_query", "query"])
def test_all_values_of_headers_and_queries_are_hidden_whatever_their_names(key: str) -> None:
    given = {"name": "served", "extra": {key: {"X-Anything": SECRET, "More": [SECRET, {"a": SECRET}]}}}
    before = copy.deepcopy(given)
    shown = redact(given)
    assert SECRET not in json.dumps(shown)
    assert list(shown["extra"][key]) == ["X-Anything", "More"]
    assert given == before


def test_what_is_no_secret_stays() -> None:
    given = {"top_k": 20, "protocol": {"name": "tags"}, "headers": {}, "stop": ["a", None, 1.5], "params_b": "x"}
    assert redact(given) == given


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
def test_redaction_is_idempotent(value: Any) -> None:
    assert redact(redact(value)) == redact(value)


@given(st.text(alphabet="abc:@/?#", max_size=12), st.text(alphabet="abc:", max_size=6))
def test_no_part_of_a_password_is_left(host: str, user: str) -> None:
    assert SECRET not in redact_url(f"https://{user}{SECRET}@{host}")


SECRETS = ["sk-proj-a8Xk29fLq0Zr", "hf_QxYzAbCdEfGhIjKlMn", "0123456789abcdef0123", "Bearer abc1def2", "a" * 40]
OPTIONS = ["auto", "low", "json_object", "outlines", "en-US", "v1.5", "Qwen/Qwen2.5-VL", "guided decoding", ""]


@pytest.mark.parametrize("field", ["extra", "extra_body"])
@pytest.mark.parametrize("secret", SECRETS)
def test_texts_of_body_fields_that_may_be_keys_are_hidden(field: str, secret: str) -> None:
    given = {"name": "served", field: {"anything": secret, "more": [{"deep": [secret]}], "top_k": 20, "stop": None}}
    shown = redact(given)
    assert secret not in json.dumps(shown)
    assert shown[field]["top_k"] == 20
    assert redact(shown) == shown
    assert redact_body(given[field]) == shown[field]


@pytest.mark.parametrize("option", OPTIONS)
def test_options_among_body_fields_stay(option: str) -> None:
    assert redact({"extra": {"mode": option}}) == {"extra": {"mode": option}}


@pytest.mark.parametrize("name", ["key", "api_key", "access-token", "client_secret", "password", "auth", "credentials"])
def test_body_fields_named_as_secrets_are_hidden(name: str) -> None:
    assert redact({"extra": {name: "open sesame"}}) == {"extra": {name: "***"}}
    assert redact({"extra": {name: 7}}) == {"extra": {name: 7}}


def test_hidden_texts_that_differ_stay_different() -> None:
    first, second = (redact({"extra": {"guided_regex": text}}) for text in (r"<a>[A-D]</a>", r"<a>[A-E]</a>"))
    assert re.fullmatch(r"\*\*\*[0-9a-f]{8}", first["extra"]["guided_regex"])
    assert first != second
    assert redact({"extra": {"guided_regex": r"<a>[A-D]</a>"}}) == first
    # A new key is no other setting.
    keys = [redact({"extra": {"api_key": text}}) for text in SECRETS[:2]]
    assert keys[0] == keys[1] == {"extra": {"api_key": "***"}}


def test_a_url_beside_a_key_does_not_show_the_key() -> None:
    given = {"deep": {"callback": f"https://me:{SECRET}@host", "other": SECRETS[0], "headers": {"A": SECRET}}}
    for value in (given, {"deep": (SECRETS[0],)}, {f"https://me:{SECRET}@host": 1}):
        shown = json.dumps(redact({"extra": value}))
        assert SECRET not in shown
        assert SECRETS[0] not in shown
