"""What travels between an OpenEnv client and its server: actions, observations, states."""

from __future__ import annotations

import base64
import io
from typing import Annotated, Any, Literal

from openenv.core.env_server.types import Action, Observation, State
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from vzgym.core.text import replace_surrogates
from vzgym.protocols.turns import MAX_TURN_LENGTH

__all__ = [
    "ChatMessage",
    "FrameImage",
    "ImagePart",
    "RewardTerm",
    "TextPart",
    "VideoZoomAction",
    "VideoZoomObservation",
    "VideoZoomState",
]


def _clean(text: Any) -> Any:
    """The text without lone surrogates, which have no UTF-8, and no longer than a protocol needs to refuse it."""
    return replace_surrogates(text)[: MAX_TURN_LENGTH + 1] if isinstance(text, str) else text


class VideoZoomAction(Action):
    """A turn of the agent."""

    text: Annotated[str, BeforeValidator(_clean)] = Field(
        max_length=MAX_TURN_LENGTH + 1,
        description="The model's whole turn, in the form that the dialogue's first message states.",
    )
    cut_off: bool = Field(
        default=False, description="Whether the token limit cut the turn off: no action is read from it then."
    )


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextPart(_Part):
    """Text of a message."""

    type: Literal["text"] = "text"
    text: str


class ImagePart(_Part):
    """A frame of a message. The text before it states its time."""

    type: Literal["image"] = "image"
    image: int = Field(ge=0, description="Index into the observation's images.")


class ChatMessage(_Part):
    """A message of the dialogue. It never contains an image as text."""

    role: Literal["system", "user", "tool"]
    content: list[TextPart | ImagePart]


class FrameImage(_Part):
    """A frame as an image file."""

    data: str = Field(description="The file in base64.")
    media_type: str = Field(default="image/jpeg")
    time: float = Field(description="Time stamp of the frame in seconds from the start of the video.")

    @property
    def pil(self) -> Image.Image:
        """The decoded frame, RGB."""
        return Image.open(io.BytesIO(base64.b64decode(self.data))).convert("RGB")

    @property
    def data_url(self) -> str:
        """The file as a data URL."""
        return f"data:{self.media_type};base64,{self.data}"


class RewardTerm(BaseModel):
    """The result of one reward module for a turn."""

    value: float | None = Field(description="The module's raw value; null if it cannot judge the turn.")
    weight: float
    status: Literal["scored", "unscored", "gated"]
    counted: float | None = Field(default=None, description="The value after clipping, if clipping changed it.")


class VideoZoomObservation(Observation):
    """What the agent sees after `reset` or `step`, and what a trainer needs to know about it.

    `done` says that the episode is over, `reward` is the turn's reward: null after `reset`, and 0.0 where
    `reward_status` is "unscored". `metadata` is empty.
    """

    messages: list[ChatMessage] = Field(
        default_factory=list, description="The messages since the previous observation, without the agent's own turn."
    )
    images: list[FrameImage] = Field(default_factory=list, description="The frames of these messages, in order.")
    task_id: str = ""
    question: str = ""
    options: list[str] = Field(default_factory=list)
    duration: float = Field(default=0.0, description="Length of the video in seconds.")
    rounds_left: int = Field(default=0, description="Remaining turns; the last is for the answer.")
    frames_left: int = Field(default=0, description="Maximum number of frames that the remaining turns can show.")
    outcome: str = Field(default="", description="The turn's outcome: executed, refused, answered or failed.")
    refusal: str = Field(default="", description="Code of the reason for which the turn was refused.")
    truncated: bool = Field(
        default=False, description="Whether the episode was cut short by a video error, which the agent cannot know."
    )
    end: str = Field(default="", description="How the episode ended: answered, out_of_rounds or video_error.")
    grade: str = Field(default="", description="How the answer was graded, once the episode is over.")
    correct: bool | None = Field(default=None, description="Null before the end, and where the answer is unknown.")
    reward_terms: dict[str, RewardTerm] = Field(default_factory=dict, description="The reward's terms for this turn.")
    reward_status: Literal["", "scored", "unscored"] = Field(
        default="", description='"unscored": no reward can be given, so nothing should be learned from the episode.'
    )

    def chat(self, *, tool_role: str = "user") -> list[dict[str, Any]]:
        """The new messages in OpenAI's chat format, frames as `image_url` blocks.

        Append them to the dialogue after the agent's own turn.

        Args:
            tool_role: Role of the environment's replies: "user", as in the paper, or "tool".
        """
        return [
            {
                "role": tool_role if message.role == "tool" else message.role,
                "content": [self._block(part) for part in message.content],
            }
            for message in self.messages
        ]

    def _block(self, part: TextPart | ImagePart) -> dict[str, Any]:
        if isinstance(part, TextPart):
            return {"type": "text", "text": part.text}
        return {"type": "image_url", "image_url": {"url": self.images[part.image].data_url}}


class VideoZoomState(State):
    """The state of a session. `episode_id` is None before the first `reset`."""

    task_id: str = ""
    split: str = ""
    index: int | None = Field(default=None, description="Index of the task in its split.")
    seed: int | None = Field(default=None, description="The seed that drew the task, if one did.")
    rounds_left: int = 0
    done: bool = Field(default=False, description="Whether the episode is over.")
    closed: bool = Field(default=False, description="Whether the session is closed.")
