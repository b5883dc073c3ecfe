"""Reports of the conformance kit: one result per rule, with the fix for each broken one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vzgym.core.errors import VzgymError

__all__ = [
    "ConformanceReport",
    "ContractViolation",
    "NotApplicable",
    "Rule",
    "RuleResult",
    "apply_rules",
    "name_of",
    "need",
]

S = TypeVar("S")

# Exceptions of the code under test. They are results about that code and must not end the check.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    VzgymError,
    Warning,
)


class ContractViolation(VzgymError, AssertionError):
    """A rule of a contract is broken; the message says which, how, and how to fix it."""


class NotApplicable(VzgymError):
    """A rule that has nothing to check here; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[S]):
    """One rule of a contract.

    Args:
        name: What must hold, as a sentence.
        check: Raises `ContractViolation` if it does not.
        requires: Name of an earlier rule without which this one has nothing to check; it is left out if that is broken.
    """

    name: str
    check: Callable[[S], None]
    requires: str = ""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule.

    Attributes:
        rule: The rule's name.
        status: "kept", "broken" or "left out".
        detail: What is wrong and how to fix it; or why the rule was left out.
    """

    rule: str
    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConformanceReport:
    """The results of a check.

    Attributes:
        subject: Name of the checked component.
        kind: The contract ("observation module").
        results: One for each rule.
    """

    subject: str
    kind: str
    results: tuple[RuleResult, ...]

    @property
    def ok(self) -> bool:
        """Whether no rule is broken."""
        return not self.broken

    @property
    def broken(self) -> list[RuleResult]:
        """The broken rules."""
        return [result for result in self.results if result.status == "broken"]

    def require(self) -> ConformanceReport:
        """Return the report, or raise if a rule is broken.

        Raises:
            ContractViolation: If a rule is broken; names all of them.
        """
        if not self.ok:
            lines = "\n".join(f"- {result.rule}: {result.detail}" for result in self.broken)
            raise ContractViolation(f"{self.kind} {self.subject} breaks its contract:\n{lines}")
        return self


def need(holds: object, message: str) -> None:
    """Raise `ContractViolation` with `message` unless `holds`."""
    if not holds:
        raise ContractViolation(message)


def apply_rules(kind: str, subject: str, rules: Sequence[Rule[S]], make: Callable[[], S]) -> ConformanceReport:
    """Check every rule, each on a new instance, so that one fault does not hide another.

    Args:
        kind: The contract's name.
        subject: Name of the component.
        rules: The contract.
        make: Factory of the component.
    """
    results = []
    unmet: set[str] = set()
    for rule in rules:
        if rule.requires in unmet:
            unmet.add(rule.name)
            results.append(RuleResult(rule.name, "left out", f"checked only if this holds: {rule.requires}"))
            continue
        try:
            rule.check(make())
        except NotApplicable as reason:
            results.append(RuleResult(rule.name, "left out", str(reason)))
        except ContractViolation as fault:
            results.append(RuleResult(rule.name, "broken", str(fault)))
        except _FAULTS as error:
            results.append(RuleResult(rule.name, "broken", f"raised {type(error).__name__}: {error}"))
        else:
            results.append(RuleResult(rule.name, "kept"))
        if results[-1].status == "broken":
            unmet.add(rule.name)
    return ConformanceReport(subject, kind, tuple(results))


def name_of(make: Callable[..., Any]) -> str:
    """The default subject of a report: the factory's name."""
    return str(getattr(make, "__name__", make))
