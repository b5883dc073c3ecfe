"""Parity of interfaces: the same executed actions give the same clips, codes, rewards and grades through each of them.

An interface is a way to play an `Episode`: gymnasium, Stable-Baselines3, PettingZoo, plain text, TRL's tool loop, a
server. To add one, implement `Interface`: play a script, and return the record and what the other side's model saw.
"""

from typing import TYPE_CHECKING

from vzgym.core.lazy import lazy_exports

if TYPE_CHECKING:
    from vzgym.testing.parity.base import Interface, Trace
    from vzgym.testing.parity.checking import INTERFACES, check_parity
    from vzgym.testing.parity.pixels import Seen, code_task, data_of_url, fault_of_seen
    from vzgym.testing.parity.script import Script, code_scripts, scripts
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        "base: Interface Trace",
        "checking: INTERFACES check_parity",
        "pixels: Seen code_task data_of_url fault_of_seen",
        "script: Script code_scripts scripts",
    )

__all__ = [
    "INTERFACES",
    "Interface",
    "Script",
    "Seen",
    "Trace",
    "check_parity",
    "code_scripts",
    "code_task",
    "data_of_url",
    "fault_of_seen",
    "scripts",
]
