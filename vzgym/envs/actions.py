"""Action modules: the action space, and how its values become zooms and answers.

A module has `space(budget)`, `decode(value, episode)` and a `wording`. Register third-party modules in `ACTIONS` or
through the entry-point group `vzgym.actions`, or pass the object. A module with `mask(episode)` enables the
environment's `action_masks()`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Discrete, OneOf
from numpy.typing import NDArray

from vzgym.core.actions import Action, Answer, ToolCall, Zoom, Zooms
from vzgym.core.budget import Budget
from vzgym.core.errors import ActionTypeError, InvalidSetting
from vzgym.core.registry import Registry
from vzgym.envs.options import MOST_OPTIONS, need_budget_rates, need_count, need_rates
from vzgym.envs.spaces import UnicodeText, ZoomBox, real_numbers
from vzgym.episode.episode import Episode
from vzgym.episode.validation import validate_zoom
from vzgym.episode.wording import PlainWording, Wording
from vzgym.protocols.base import PROTOCOLS, TextProtocol
from vzgym.tasks.task import option_letter

__all__ = [
    "ACTIONS",
    "ActionModule",
    "DecodedAction",
    "DefaultAction",
    "DiscreteAction",
    "TextAction",
    "check_options",
    "decode",
]


class DecodedAction(NamedTuple):
    """A decoded action value: the arguments of `Episode.step`.

    Attributes:
        action: The action.
        text: The agent's text, where it acts in text.
        well_formed: Whether the text follows its protocol's format.
    """

    action: Action
    text: str | None = None
    well_formed: bool = True


@runtime_checkable
class ActionModule(Protocol):
    """Interface of action modules.

    Attributes:
        wording: The wording of the dialogue for this kind of action.
    """

    @property
    def wording(self) -> Wording:
        """See the class."""
        ...

    def space(self, budget: Budget) -> Space[Any]:
        """The action space under a budget. Called once."""
        ...

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        """Decode `value` in the context of `episode`.

        Raises:
            ActionTypeError: If the value is not an action. A bad zoom or malformed text does not raise.
        """
        ...


ACTIONS: Registry[ActionModule] = Registry("action module", "vzgym.actions")


def decode(module: ActionModule, value: Any, episode: Episode) -> DecodedAction:
    """Decode a value with an action module, and check what the module returns.

    Raises:
        ActionTypeError: If the value is not an action.
        InvalidSetting: If the module returns anything but a `DecodedAction`, or one whose text is no text.
    """
    found: object = module.decode(value, episode)
    where = f"decode() of action module {type(module).__name__}"
    if not isinstance(found, DecodedAction):
        raise InvalidSetting(f"{where} must return a DecodedAction(action), got {found!r:.100}")
    if not (found.text is None or isinstance(found.text, str)):
        raise InvalidSetting(f"{where} must return a text or None as the text, got {found.text!r:.100}")
    return found


_MOST_SHOWN = 200


def shown(value: Any) -> str:
    """Format a value for an error message: its `repr`, truncated."""
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, a list within itself
        return f"a {type(value).__name__} that cannot be printed ({error})"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _whole(value: Any) -> int | None:
    """Read an integer, a NumPy integer scalar or a 0-d array; None if `value` is anything else."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, np.ndarray) and value.shape == () and np.issubdtype(value.dtype, np.integer):
        return int(value)
    return None


def check_options(action: str, most: int, task: str, count: int) -> None:
    """Raise if a question cannot be answered by an option's index.

    Args:
        action: The action module, for the error.
        most: Its `max_options`.
        task: The task's id, for the error.
        count: How many options the question has.

    Raises:
        InvalidSetting: If the question has no options, or more than `most`.
    """
    if not 0 < count <= most:
        raise InvalidSetting(
            f"the {action} action answers questions of 1 to {most} options (max_options), but task {task!r} has "
            f"{count or 'none'}"
        )


class DefaultAction:
    """A zoom as three numbers, or an answer as text.

    Space: `OneOf((ZoomBox float64 (3,) = start s, end s, fps; UnicodeText))`, so a value is `(0, [12.0, 14.0, 8.0])` or
    `(1, "B")`. `Zoom(...)`, `Zooms(...)`, `ToolCall(...)` and `Answer(...)` are accepted too; several zooms, regions,
    sizes and tool calls can only be given so, since the space has none. The box's bounds are the same for every video;
    its samples are zooms that the current video and budget allow.

    Args:
        max_answer: Most characters of an answer in the space.
    """

    def __init__(self, max_answer: int = 1024) -> None:
        self.max_answer = max_answer
        self.wording: Wording = PlainWording()

    def space(self, budget: Budget) -> Space[Any]:
        """See the class."""
        return OneOf((ZoomBox(budget), UnicodeText(self.max_answer)))

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        """See the class."""
        # The episode checks the types of numbers and text.
        match value:
            case Zoom() | Zooms() | ToolCall() | Answer():
                return DecodedAction(value)
            case (kind, str() as text) if _whole(kind) == 1:
                return DecodedAction(Answer(text))
            case (kind, content) if _whole(kind) == 0 and (numbers := real_numbers(content, (3,))) is not None:
                return DecodedAction(Zoom(*numbers.tolist()))
        raise ActionTypeError(
            f"not an action: {shown(value)}; give (0, [start, end, fps]), (1, 'answer'), Zoom(start, end, fps), "
            "Zooms(...), ToolCall(name, arguments) or Answer('answer')"
        )


class TextAction:
    """An LLM's raw text, read through a text protocol.

    Space: `UnicodeText(max_length)`. Text without an action is refused with a reply; it does not raise.

    Args:
        protocol: A registered protocol's name ("tags"), a mapping `{"name": ..., **options}`, or an object.
        max_length: Most characters of a text in the space; `decode` accepts longer text too.
    """

    def __init__(self, protocol: str | Mapping[str, Any] | TextProtocol = "tags", max_length: int = 16_384) -> None:
        self.protocol = PROTOCOLS.make(protocol)
        self.max_length = max_length

    @property
    def wording(self) -> Wording:
        """The protocol."""
        return self.protocol

    def space(self, budget: Budget) -> Space[Any]:
        """See the class."""
        return UnicodeText(self.max_length)

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        """See the class."""
        if not isinstance(value, str):
            raise ActionTypeError(f"the text action must be a string, got {type(value).__name__}")
        parsed = self.protocol.parse(value, episode.rules)
        return DecodedAction(parsed.action, value, parsed.well_formed)


class DiscreteAction:
    """A flat `Discrete` action: a window of a grid at a frame rate, or an option.

    Space: `Discrete(windows * len(fps) + max_options)`. Value `w * len(fps) + f` zooms into the w-th of `windows` equal
    parts of the video at `fps[f]`; value `windows * len(fps) + k` answers with option k. `mask` says which values the
    episode would accept: a window whose frames exceed `clip_frames`, a zoom in the last round, an option that the
    question does not have and an answer before the zooms that the budget requires are masked.

    Several zooms in one turn, regions, sizes and tool calls cannot be expressed.

    The default grid suits every registered id: its windows fit into a clip at both rates, and the higher rate is the
    one that the count tasks need. Use more windows or lower rates for longer videos.

    Args:
        windows: Number of equal parts, >= 1.
        fps: Frame rates to choose from, finite and > 0.
        max_options: Most options of a question, 1 to 26.

    Raises:
        InvalidSetting: If a value is of the wrong type or out of range; from `space`, if the budget allows no zoom at
            one of the rates; from `decode` and `mask`, if the question has no options, or more than `max_options`.
    """

    def __init__(self, windows: int = 64, fps: Sequence[float] = (1.0, 5.0), max_options: int = 8) -> None:
        need_count("DiscreteAction", "windows", windows)
        need_rates("DiscreteAction", "fps", fps)
        need_count("DiscreteAction", "max_options", max_options, most=MOST_OPTIONS)
        self.windows = int(windows)
        self.fps = tuple(float(rate) for rate in fps)
        self.max_options = int(max_options)
        self.wording: Wording = PlainWording()
        self._known: tuple[float, Budget | None, NDArray[np.bool_]] = (math.nan, None, np.zeros(0, dtype=np.bool_))

    @property
    def num_zooms(self) -> int:
        """Number of values that are zooms; they come first."""
        return self.windows * len(self.fps)

    def space(self, budget: Budget) -> Space[Any]:
        """See the class."""
        need_budget_rates("DiscreteAction", "fps", self.fps, budget)
        return Discrete(self.num_zooms + self.max_options)

    def decode(self, value: Any, episode: Episode) -> DecodedAction:
        """See the class."""
        check_options("discrete", self.max_options, episode.task.id, len(episode.task.options))
        count = self.num_zooms + self.max_options
        number = _whole(value)
        if number is None or not 0 <= number < count:
            raise ActionTypeError(f"the discrete action must be an integer from 0 to {count - 1}, got {shown(value)}")
        if number >= self.num_zooms:
            return DecodedAction(Answer(option_letter(number - self.num_zooms)))
        return DecodedAction(self._zoom(number, episode.record.task.duration))

    def mask(self, episode: Episode) -> NDArray[np.bool_]:
        """bool, shape `(windows * len(fps) + max_options,)`: which values the episode would accept now."""
        facts = episode.record.task
        check_options("discrete", self.max_options, facts.id, len(facts.options))
        return self.allowed(
            facts.duration,
            len(facts.options),
            episode.budget,
            zoom=episode.zooms_left > 0,
            answer=not episode.zooms_due,
        )

    def allowed(
        self, duration: float, options: int, budget: Budget, *, zoom: bool = True, answer: bool = True
    ) -> NDArray[np.bool_]:
        """Compute the mask from facts that every agent knows.

        Args:
            duration: Length of the video in seconds.
            options: How many options the question has.
            budget: The limits.
            zoom: Whether another zoom is allowed.
            answer: Whether an answer is accepted. If no zoom of the grid can be executed, answers are allowed all the
                same, since one value must be.
        """
        allowed = np.zeros(self.num_zooms + self.max_options, dtype=np.bool_)
        if zoom:
            allowed[: self.num_zooms] = self._grid(duration, budget)
        allowed[self.num_zooms : self.num_zooms + options] = answer or not allowed.any()
        return allowed

    def _grid(self, duration: float, budget: Budget) -> NDArray[np.bool_]:
        """Which zooms can be executed. Every round needs it, so it is cached for the duration and the budget."""
        if self._known[:2] != (duration, budget):
            fits = [
                validate_zoom(self._zoom(value, duration), duration, budget) is None for value in range(self.num_zooms)
            ]
            self._known = (duration, budget, np.array(fits, dtype=np.bool_))
        return self._known[2]

    def _zoom(self, value: int, duration: float) -> Zoom:
        window, rate = divmod(value, len(self.fps))
        step = duration / self.windows
        return Zoom(window * step, min((window + 1) * step, duration), self.fps[rate])


ACTIONS.register("default", DefaultAction)
ACTIONS.register("text", TextAction)
ACTIONS.register("discrete", DiscreteAction)
ACTIONS.register("continuous", "vzgym.envs.flat:ContinuousAction")
