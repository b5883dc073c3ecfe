"""Dialogues as chat messages, and protocols by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from vzgym.core import Zoom
from vzgym.core.errors import InvalidSetting, UnknownName
from vzgym.episode import Episode, EpisodeRecord, PlainWording
from vzgym.protocols import PROTOCOLS, TagProtocol, TextProtocol, as_chat
from vzgym.protocols.base import make_wording


def test_roles_texts_and_pictures_in_order(start: Callable[..., Episode]) -> None:
    episode = start(TagProtocol())
    episode.step(Zoom(4.0, 5.0, 2.0))
    chat = as_chat(episode.messages)
    # Templates without tools take the environment's replies from the user, as the paper does.
    assert [message["role"] for message in chat] == ["system", "user", "assistant", "user"]
    for message, source in zip(chat, episode.messages, strict=True):
        texts = [part["text"] for part in message["content"] if part["type"] == "text"]
        pictures = [part["image"] for part in message["content"] if part["type"] == "image"]
        assert "".join(texts) == source.text
        assert len(pictures) == len(source.images)
        for picture, block in zip(pictures, source.images, strict=True):
            assert isinstance(picture, Image.Image)
            assert picture.size == (32, 24)
            np.testing.assert_array_equal(np.asarray(picture), block.pixels)
    # Each picture comes right after its time.
    kinds = [(part["type"], part.get("text", "")) for part in chat[-1]["content"]]
    for place, (kind, _) in enumerate(kinds):
        if kind == "image":
            assert kinds[place - 1][1].startswith("<frame")


def test_a_template_that_knows_tools_gets_their_role(start: Callable[..., Episode]) -> None:
    episode = start()
    episode.step(Zoom(4.0, 5.0, 2.0))
    assert [message["role"] for message in as_chat(episode.messages, tool_role="tool")] == ["user", "assistant", "tool"]


def test_a_saved_dialogue_is_text_only(start: Callable[..., Episode]) -> None:
    episode = start()
    back = EpisodeRecord.from_line(episode.record.to_line())
    (message,) = as_chat(back.messages)
    assert message["content"] == [{"type": "text", "text": episode.messages[0].text}]


def test_protocols_by_name_and_with_options() -> None:
    made = PROTOCOLS.make({"name": "tags", "think": "none", "strict": True, "instructions": False})
    assert isinstance(made, TagProtocol)
    assert isinstance(made, TextProtocol)
    assert (made.think, made.strict, made.instructions) == ("none", True, False)
    with pytest.raises(UnknownName, match=r"unknown text protocol 'tag'; did you mean 'tags'. Valid: .*tags"):
        PROTOCOLS.make("tag")
    with pytest.raises(
        InvalidSetting, match=r"no option 'thinking'; did you mean 'think'\? Valid: instructions, strict"
    ):
        PROTOCOLS.make({"name": "tags", "thinking": "none"})


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_every_wording_is_rebuilt_from_what_a_record_keeps(name: str, start: Callable[..., Episode]) -> None:
    episode = start(PROTOCOLS.make(name))
    spec = EpisodeRecord.from_line(episode.record.to_line()).info.wording
    again = make_wording(spec)
    assert again.spec == episode.wording.spec
    assert list(again.opening(episode.record)) == episode.messages


def test_the_plain_wording_is_rebuilt_too() -> None:
    assert isinstance(make_wording({"name": "plain"}), PlainWording)
    with pytest.raises(UnknownName, match="'fancy'"):
        make_wording({"name": "fancy"})
