"""tl: the transfer-learning trainer for the command line."""

__version__ = "0.1.0"
