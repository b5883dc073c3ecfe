"""Floor 8: the conformance kit. Checks that a part of one's own keeps the contract that its kind has.

`vzgym check module:Class` runs it from the command line; the classes `...Contract` make each rule a pytest test.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.testing.checking import KINDS, check, kind_of
    from vzgym.testing.contracts.backends import check_backend
    from vzgym.testing.contracts.environments import check_environment
    from vzgym.testing.contracts.families import check_family
    from vzgym.testing.contracts.modules import check_action, check_observation, check_reward
    from vzgym.testing.contracts.policies import check_policy
    from vzgym.testing.contracts.teams import check_team
    from vzgym.testing.mixins import (
        ActionContract,
        EnvironmentContract,
        FamilyContract,
        ObservationContract,
        PolicyContract,
        RewardContract,
    )
    from vzgym.testing.parity import DOORS, Door, Script, Trace, check_parity, scripts
    from vzgym.testing.plugins import GROUPS, Plugin, installed_plugins
    from vzgym.testing.report import Broken, Finding, Report
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "checking: KINDS check kind_of",
        "contracts.backends: check_backend",
        "contracts.environments: check_environment",
        "contracts.families: check_family",
        "contracts.modules: check_action check_observation check_reward",
        "contracts.policies: check_policy",
        "contracts.teams: check_team",
        "mixins: ActionContract EnvironmentContract FamilyContract ObservationContract PolicyContract RewardContract",
        "parity: DOORS Door Script Trace check_parity scripts",
        "plugins: GROUPS Plugin installed_plugins",
        "report: Broken Finding Report",
    )

__all__ = [
    "DOORS",
    "GROUPS",
    "KINDS",
    "ActionContract",
    "Broken",
    "Door",
    "EnvironmentContract",
    "FamilyContract",
    "Finding",
    "ObservationContract",
    "Plugin",
    "PolicyContract",
    "Report",
    "RewardContract",
    "Script",
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
    "check_team",
    "installed_plugins",
    "kind_of",
    "scripts",
]
