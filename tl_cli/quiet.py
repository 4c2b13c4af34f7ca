"""Holds back what libraries print while they load, and what they log later. Imports none of them.

TensorFlow's C++ side prints to file descriptor 2 whatever the log level says, so the descriptor is
put aside meanwhile and replayed only on an error.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

LIBRARIES = ("tensorflow", "absl", "keras", "keras_hub", "h5py", "jax", "matplotlib")


def own_the_loggers() -> None:
    """Keep off the terminal what the libraries log and warn of: it tells a user nothing to do.

    Who wants to read it adds a handler to the logger of that name.
    """
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to file descriptor 2; replay it only if the body raises."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # not where the user stops it: it is of no interest to them
            os.dup2(saved, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
