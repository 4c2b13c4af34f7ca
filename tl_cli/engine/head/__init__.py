"""Heads in closed form on features that are already there.

Numpy, scipy and scikit-learn only. Knows nothing of images, networks, files or the command line:
what goes in is an array of features and an array of labels, what comes out is one Dense layer.
"""

from tl_cli.engine.head.linear_head import LinearHead, choose_head, join
from tl_cli.engine.head.logistic import refine
from tl_cli.engine.head.problem import stratified_folds, take_groups
from tl_cli.engine.head.solver import solve

__all__ = [
    "LinearHead",
    "choose_head",
    "join",
    "refine",
    "solve",
    "stratified_folds",
    "take_groups",
]
