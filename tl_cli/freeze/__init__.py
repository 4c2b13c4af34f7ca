"""(size, similarity, evidence) -> FreezePlan with its reasons. Pure: no TensorFlow, no files."""

from tl_cli.freeze.gains import Gain
from tl_cli.freeze.plan import (
    NAMED_RATIO,
    SCRATCH,
    FreezePlan,
    alternatives,
    override,
    recommend,
    training_reasons,
)
from tl_cli.freeze.policies import DEFAULT_POLICY, POLICIES, Choice, founding_rule
from tl_cli.freeze.situation import (
    BIG,
    SIMILARITY,
    TINY,
    Situation,
    similarity_kind,
    size_kind,
)

__all__ = [
    "BIG",
    "DEFAULT_POLICY",
    "NAMED_RATIO",
    "POLICIES",
    "SCRATCH",
    "SIMILARITY",
    "TINY",
    "Choice",
    "FreezePlan",
    "Gain",
    "Situation",
    "alternatives",
    "founding_rule",
    "override",
    "recommend",
    "similarity_kind",
    "size_kind",
    "training_reasons",
]
