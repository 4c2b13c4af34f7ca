"""A screen for those who look at none: what happens is handed on, and nothing is printed."""

from __future__ import annotations

from tl_cli.console.screen import Screen
from tl_cli.results.progress import Note, OnProgress, Progress


class SilentScreen(Screen):
    """Where Python looks: every event goes to `listener`."""

    def __init__(self, listener: OnProgress) -> None:
        super().__init__(quiet=True, json=True)
        self.err.quiet = True  # results go there, too
        self._listener = listener

    def on_progress(self, event: Progress | Note) -> None:
        """Hand on what the engine reports."""
        self._listener(event)

    def note(self, text: str, *, warning: bool = False) -> None:
        """Hand on a sentence."""
        self._listener(Note(text, warning=warning))
