"""How the kit reports: one finding a rule, each broken one with what to mend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from vzgym.core.errors import VzgymError

__all__ = ["Broken", "Finding", "NotApplicable", "Report", "Rule", "apply_rules", "need"]

S = TypeVar("S")

# What the code under test may raise. Whatever it is, it is a finding about that code and not the end of the check.
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


class Broken(VzgymError, AssertionError):
    """A rule of a contract is broken; the message says which, how, and what to mend."""


class NotApplicable(VzgymError):
    """A rule that has nothing to check here; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule(Generic[S]):
    """One rule of a contract.

    Args:
        name: What must hold, as a sentence.
        check: Raises `Broken` if it does not.
    """

    name: str
    check: Callable[[S], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one rule.

    Attributes:
        rule: The rule's name.
        status: "kept", "broken" or "left out".
        detail: What is wrong and what to mend; or why the rule was left out.
    """

    rule: str
    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        subject: What was checked.
        kind: The contract ("observation module").
        findings: One for each rule.
    """

    subject: str
    kind: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no rule is broken."""
        return not self.broken

    @property
    def broken(self) -> list[Finding]:
        """The broken rules."""
        return [finding for finding in self.findings if finding.status == "broken"]

    def require(self) -> Report:
        """The report itself.

        Raises:
            Broken: If a rule is broken; names all of them.
        """
        if not self.ok:
            lines = "\n".join(f"- {finding.rule}: {finding.detail}" for finding in self.broken)
            raise Broken(f"{self.kind} {self.subject} breaks its contract:\n{lines}")
        return self


def need(holds: object, message: str) -> None:
    """Raise `Broken` with `message` unless `holds`."""
    if not holds:
        raise Broken(message)


def apply_rules(kind: str, subject: str, rules: Sequence[Rule[S]], make: Callable[[], S]) -> Report:
    """Check every rule, each on a fresh subject, so that one fault does not hide another.

    Args:
        kind: The contract's name.
        subject: Names what is checked.
        rules: The contract.
        make: Makes what a rule is checked on.
    """
    findings = []
    for rule in rules:
        try:
            rule.check(make())
        except NotApplicable as reason:
            findings.append(Finding(rule.name, "left out", str(reason)))
        except Broken as fault:
            findings.append(Finding(rule.name, "broken", str(fault)))
        except _FAULTS as error:
            findings.append(Finding(rule.name, "broken", f"raised {type(error).__name__}: {error}"))
        else:
            findings.append(Finding(rule.name, "kept"))
    return Report(subject, kind, tuple(findings))
