"""`vzgym check` and experiments agree on which reward modules can be written as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from vzgym.core.errors import InvalidSetting
from vzgym.rewards import make_reward
from vzgym.testing import check_reward

RULE = "can be serialized and rebuilt"


class Plain:
    """A class with an `__init__`, as most people write."""

    name: ClassVar[str] = "plain"
    needs: ClassVar[frozenset[Any]] = frozenset()

    def __init__(self, scale: float = 1.0, *, shift: float = 0.0) -> None:
        self.scale, self.shift = scale, shift

    def score(self, record: Any, context: Any) -> float:
        return self.scale * record.zooms + self.shift


class Hidden(Plain):
    """Keeps its argument elsewhere: nobody could build it again."""

    def __init__(self, size: float = 1.0) -> None:
        super().__init__(size)


class Doubled(Plain):
    """Keeps another value under its argument's name: built again, it would score differently."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(2 * scale)


@dataclass
class Derived(Plain):
    """A dataclass whose field is not an argument."""

    scale: float = 1.0
    shift: float = field(default=0.5, init=False)


def verdict(make: Any) -> tuple[str, str]:
    (result,) = [item for item in check_reward(make).results if item.rule == RULE]
    return result.status, result.detail


@pytest.mark.parametrize("make", [Plain, lambda: Plain(2.0), lambda: Plain(2.0, shift=1.0), Derived])
def test_what_is_kept_under_its_own_name_is_data(make: Any) -> None:
    assert verdict(make) == ("kept", "")
    spec = make_reward([make()]).to_spec()
    assert make_reward(spec).to_spec() == spec


def test_what_is_kept_elsewhere_is_refused_by_both() -> None:
    status, detail = verdict(lambda: Hidden(2.0))
    assert status == "broken"
    with pytest.raises(InvalidSetting, match="attribute of the same name") as raised:
        make_reward([Hidden(2.0)]).to_spec()
    assert detail in str(raised.value)


def test_what_changes_its_argument_is_found() -> None:
    status, detail = verdict(lambda: Doubled(3.0))
    assert status == "broken"
    assert "differently" in detail


def test_a_class_that_has_no_importable_name_is_left_out() -> None:
    class Local(Plain):
        pass

    assert verdict(Local)[0] == "left out"
