"""(size, similarity, evidence) -> FreezePlan with its reasons. Pure: no TensorFlow, no files."""

from tl_cli.plan.dataset_stats import (
    BIG,
    SIMILARITY,
    TINY,
    DatasetStats,
    similarity_kind,
    size_kind,
)
from tl_cli.plan.freeze_plan import (
    NAMED_RATIO,
    SCRATCH,
    FreezePlan,
    alternatives,
    override,
    recommend,
    training_reasons,
)
from tl_cli.plan.policies import DEFAULT_POLICY, POLICIES, Choice, founding_rule

__all__ = [
    "BIG",
    "DEFAULT_POLICY",
    "NAMED_RATIO",
    "POLICIES",
    "SCRATCH",
    "SIMILARITY",
    "TINY",
    "Choice",
    "DatasetStats",
    "FreezePlan",
    "alternatives",
    "founding_rule",
    "override",
    "recommend",
    "similarity_kind",
    "size_kind",
    "training_reasons",
]
