"""Ctrl-C before there is anything to end well: the process goes, without a traceback.

Loaded before everything else, so it imports nothing that takes time: not even `signal`.
"""

import _signal


class interrupts_kill:  # a context manager, written out: contextlib is to be loaded
    """Have SIGINT end the process as the system does, with nothing said, while modules load."""

    def __enter__(self) -> None:
        try:
            self._before = _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        except ValueError:  # not the main thread: signals are not its own
            self._before = None

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            _signal.signal(_signal.SIGINT, self._before)
