"""Play episodes by hand: a person answers the questions of a task set, under the budget of a policy."""

from vzgym.evaluation.play.session import HumanPolicy, Player, PlayStopped, play
from vzgym.evaluation.play.view import PlayerObservation, PlayerView

__all__ = ["HumanPolicy", "PlayStopped", "Player", "PlayerObservation", "PlayerView", "play"]
