"""Layer 9: the conformance kit. It checks components against the contract of their kind.

Run it with `vzgym check module:Class`, or as pytest tests through the `...Contract` classes.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.testing.checking import KINDS, check, kind_of
    from vzgym.testing.contracts.actions import check_action
    from vzgym.testing.contracts.backends import check_backend
    from vzgym.testing.contracts.environments import check_environment
    from vzgym.testing.contracts.families import check_family
    from vzgym.testing.contracts.observations import check_observation
    from vzgym.testing.contracts.policies import check_policy
    from vzgym.testing.contracts.rewards import check_reward
    from vzgym.testing.contracts.scorers import check_scorer
    from vzgym.testing.contracts.selectors import check_selector
    from vzgym.testing.contracts.teams import check_team
    from vzgym.testing.contracts.tools import check_tool
    from vzgym.testing.mixins import (
        ActionContract,
        EnvironmentContract,
        FamilyContract,
        ObservationContract,
        PolicyContract,
        RewardContract,
        ScorerContract,
        SelectorContract,
        ToolContract,
    )
    from vzgym.testing.parity import (
        INTERFACES,
        Interface,
        Script,
        Trace,
        check_parity,
        code_task,
        fault_of_seen,
        scripts,
    )
    from vzgym.testing.plugins import GROUPS, Plugin, installed_plugins
    from vzgym.testing.report import ConformanceReport, ContractViolation, RuleResult
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "checking: KINDS check kind_of",
        "contracts.backends: check_backend",
        "contracts.environments: check_environment",
        "contracts.families: check_family",
        "contracts.actions: check_action",
        "contracts.observations: check_observation",
        "contracts.rewards: check_reward",
        "contracts.scorers: check_scorer",
        "contracts.selectors: check_selector",
        "contracts.policies: check_policy",
        "contracts.teams: check_team",
        "mixins: ActionContract EnvironmentContract FamilyContract ObservationContract PolicyContract RewardContract "
        "ScorerContract SelectorContract ToolContract",
        "contracts.tools: check_tool",
        "parity: INTERFACES Interface Script Trace check_parity code_task fault_of_seen scripts",
        "plugins: GROUPS Plugin installed_plugins",
        "report: ContractViolation RuleResult ConformanceReport",
    )

__all__ = [
    "GROUPS",
    "INTERFACES",
    "KINDS",
    "ActionContract",
    "ConformanceReport",
    "ContractViolation",
    "EnvironmentContract",
    "FamilyContract",
    "Interface",
    "ObservationContract",
    "Plugin",
    "PolicyContract",
    "RewardContract",
    "RuleResult",
    "ScorerContract",
    "Script",
    "SelectorContract",
    "ToolContract",
    "Trace",
    "check",
    "check_action",
    "check_backend",
    "check_environment",
    "check_family",
    "check_observation",
    "check_parity",
    "check_policy",
    "check_reward",
    "check_scorer",
    "check_selector",
    "check_team",
    "check_tool",
    "code_task",
    "fault_of_seen",
    "installed_plugins",
    "kind_of",
    "scripts",
]
