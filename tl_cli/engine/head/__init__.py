"""Heads in closed form, and transferability scores, on features that are already there.

Numpy and scipy only. Knows nothing of images, networks, files or the command line: what goes in is
an array of features and an array of labels, what comes out is one Dense layer or one number.
"""

from tl_cli.engine.head.linear_head import LinearHead, choose_head, join
from tl_cli.engine.head.logistic import refine
from tl_cli.engine.head.problem import stratified_folds
from tl_cli.engine.head.solver import solve
from tl_cli.engine.head.transferability import h_score, knn_accuracy, logme

__all__ = [
    "LinearHead",
    "choose_head",
    "h_score",
    "join",
    "knn_accuracy",
    "logme",
    "refine",
    "solve",
    "stratified_folds",
]
