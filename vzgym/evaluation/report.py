"""The report of an evaluation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from vzgym.core.budget import Budget
from vzgym.core.errors import DependencyNotInstalled
from vzgym.core.registry import import_object
from vzgym.core.statistics import Estimate
from vzgym.evaluation.breakdown import break_down
from vzgym.evaluation.metrics import EpisodeMetrics, cost_quantiles, summarise, total_costs
from vzgym.evaluation.taxonomy import TAXONOMY_CLASSES, TaxonomyClass
from vzgym.rewards.statistics import EpisodeTerms, TermStatistics, term_statistics

if TYPE_CHECKING:
    import pandas

__all__ = ["EvaluationReport"]


@dataclass(frozen=True)
class EvaluationReport:
    """The result of an evaluation.

    Attributes:
        policy: The policy's name.
        tasks: The task set's name.
        seed: The run's seed.
        budget: The budget of the episodes.
        privileged: Whether the policy knew the evidence and the answers.
        episodes: The metrics of each episode, in order.
        hit_rate: If the budget has no zooms: the mean probability, over the placement distribution of each task's
            event, that the frames show the evidence; None if zooms are possible or the distribution is unknown.
        failed: Tasks whose video could not be opened, with the reason; they are excluded elsewhere.
        samples: Roll-outs per task.
        proof_weakened_by: Fields of the budget that show more than the procedural tasks were built for, so that zooming
            is not proven necessary (see `vzgym.tasks.budgets.weakened_by`).
        trained_budget: The training budget of the policy; None if unknown.
    """

    policy: str
    tasks: str
    seed: int
    budget: Budget
    privileged: bool
    episodes: list[EpisodeMetrics]
    hit_rate: float | None = None
    failed: dict[str, str] = field(default_factory=dict)
    samples: int = 1
    proof_weakened_by: tuple[str, ...] = ()
    trained_budget: Budget | None = None

    @property
    def summary(self) -> dict[str, Estimate]:
        """Mean and 95 % interval of each metric; over tasks if `samples` > 1."""
        return summarise(self.episodes, by_task=self.samples > 1)

    @property
    def accuracy(self) -> Estimate:
        """Share of right answers among scored episodes."""
        return self.summary["correct"]

    def by(self, key: str) -> dict[str, EvaluationReport]:
        """A report of each group of tasks; see `vzgym.evaluation.breakdown.break_down`.

        Args:
            key: "category", "duration" or "metadata.KEY".

        Raises:
            InvalidSetting: If it is none of these, or no task has the key.
        """
        groups = break_down(self.episodes, key)
        return {name: replace(self, episodes=items, hit_rate=None, failed={}) for name, items in groups.items()}

    @property
    def taxonomy(self) -> dict[TaxonomyClass, int]:
        """Number of episodes in each class, for all classes in the order of `TAXONOMY_CLASSES`."""
        counts = Counter(item.taxonomy_class for item in self.episodes)
        return {kind: counts[kind] for kind in TAXONOMY_CLASSES}

    @property
    def quadrants(self) -> dict[str, int]:
        """Number of episodes by answer and evidence: "right_seen", "right_unseen", "wrong_seen", "wrong_unseen".

        An episode counts as "seen" if each evidence interval has at least one shown frame. Right answers without it are
        not grounded. Episodes whose answer or evidence is unknown are left out.
        """
        counts = {f"{answer}_{evidence}": 0 for answer in ("right", "wrong") for evidence in ("seen", "unseen")}
        for item in self.episodes:
            if item.correct is not None and item.evidence_seen is not None:
                seen = item.evidence_seen == 1.0
                counts[f"{'right' if item.correct else 'wrong'}_{'seen' if seen else 'unseen'}"] += 1
        return counts

    @property
    def reward_terms(self) -> dict[str, TermStatistics]:
        """Statistics of each term of the reward.

        Variances are within the roll-outs of a task if `samples` > 1, else over all episodes.
        """
        groups: dict[str, list[EpisodeTerms]] = defaultdict(list)
        for item in self.episodes:
            if item.terms is not None:
                groups[item.task_id if self.samples > 1 else ""].append(item.terms)
        return term_statistics(groups.values())

    @property
    def totals(self) -> dict[str, float]:
        """Total costs of the run: the sum of each entry of the cost ledger."""
        return total_costs(self.episodes)

    def __str__(self) -> str:
        """The report as tables of at most 80 columns."""
        # Imported here, since the tables module imports reports.
        text: str = import_object("vzgym.evaluation.tables:report_text")(self)
        return text

    def _repr_html_(self) -> str:
        """The report as tables, for notebooks."""
        # Imported here, since the notebook module imports reports.
        text: str = import_object("vzgym.evaluation.notebook.results:report_html")(self)
        return text

    def to_dataframe(self) -> pandas.DataFrame:
        """One row per episode: its metrics, and its task's metadata as `metadata.KEY`.

        Raises:
            DependencyNotInstalled: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise DependencyNotInstalled('to_dataframe() needs pandas: pip install "vzgym[pandas]"') from error
        names = [part.name for part in fields(EpisodeMetrics) if part.name not in ("metadata", "terms")]
        rows = []
        for item in self.episodes:
            measures = {name: getattr(item, name) for name in names}
            measures["taxonomy_class"] = str(item.taxonomy_class)
            rows.append({**measures, **{f"metadata.{key}": value for key, value in item.metadata.items()}})
        return pandas.DataFrame(rows, columns=None if rows else names)

    def to_json(self, by: Sequence[str] = ()) -> dict[str, Any]:
        """JSON form: settings and summaries, without the episodes.

        Args:
            by: Grouping keys (see `by`) whose summaries are added.
        """
        return {
            "policy": self.policy,
            "tasks": self.tasks,
            "seed": self.seed,
            "episodes": len(self.episodes),
            "budget": self.budget.to_dict(),
            "trained_budget": None if self.trained_budget is None else self.trained_budget.to_dict(),
            "privileged": self.privileged,
            "hit_rate": self.hit_rate,
            "failed": self.failed,
            "samples": self.samples,
            "proof_weakened_by": list(self.proof_weakened_by),
            "taxonomy": {str(kind): count for kind, count in self.taxonomy.items()},
            "quadrants": self.quadrants,
            "totals": self.totals,
            "reward_terms": {name: term.to_json() for name, term in self.reward_terms.items()},
            "metrics": {name: estimate.to_json() for name, estimate in self.summary.items()},
            "quantiles": cost_quantiles(self.episodes),
            "by": {key: self._by_to_json(key) for key in dict.fromkeys(("category", *by))},
        }

    def _by_to_json(self, key: str) -> dict[str, Any]:
        return {
            group: {name: estimate.to_json() for name, estimate in report.summary.items()}
            for group, report in self.by(key).items()
        }
