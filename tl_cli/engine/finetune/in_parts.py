"""A batch that does not fit into the memory passes in parts, and their gradients are added up.

The step is that of the whole batch, within rounding (where BatchNorm is frozen, which it is but in
a training from scratch), so the rate and the schedule stay as they are. Knows nothing of what
trains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tl_cli.engine import resources
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune.settings import FinetuneSettings
from tl_cli.engine.finetune.state import assign, copies
from tl_cli.engine.images import dataset
from tl_cli.errors import TLError
from tl_cli.humanize import count, size
from tl_cli.machine import available_memory
from tl_cli.results.progress import Note, OnProgress
from tl_cli.store.checkpoint import IMAGE_SIZES

Result = TypeVar("Result")


def fitted(
    context: RunContext, settings: FinetuneSettings, on_progress: OnProgress
) -> FinetuneSettings:
    """Return the settings with as many parts as the memory asks for, at least those they have."""
    if not settings.plan.trains_backbone:
        return settings
    activations = context.activation_bytes(settings.plan.frozen_blocks)
    images = min(settings.plan.batch_size, settings.plan.size)
    at_once = resources.images_at_once(activations, images)
    if not at_once:  # `check` is to tell
        return settings
    parts = min(_most(settings), max(settings.parts, -(-images // at_once)))
    return _told(settings, parts, on_progress)


def check(context: RunContext, settings: FinetuneSettings) -> None:
    """Raise TLError where the memory is too little for a single image."""
    activations = context.activation_bytes(settings.plan.frozen_blocks)
    if not resources.images_at_once(activations, 1):
        half = max(IMAGE_SIZES[0], context.backbone.image_size // 2)
        raise TLError(
            f"to train on a single image takes about {size(activations)} of memory, and "
            f"{size(available_memory())} can be taken",
            f"--image-size {half} takes a quarter, or close other programs",
        )


def trained(
    context: RunContext,
    settings: FinetuneSettings,
    train: Callable[[FinetuneSettings], Result],
    on_progress: OnProgress,
) -> Result:
    """Train, and where the memory ends go on after the last epoch with twice as many parts.

    Raises TLError where single images do not pass either.
    """
    start = copies(context.backbone.model.weights)
    while settings.parts < _most(settings):
        try:
            return train(settings)
        except resources.EXHAUSTED:
            assign(context.backbone.model.weights, start)
            parts = min(2 * settings.parts, _most(settings))
            settings = _told(settings, parts, on_progress)
    with resources.memory_told():
        return train(settings)


def _most(settings: FinetuneSettings) -> int:
    """Return how many images the smallest batch has: each part needs one."""
    size = settings.plan.size
    return max(1, size // dataset.steps(size, settings.plan.batch_size))


def _told(settings: FinetuneSettings, parts: int, on_progress: OnProgress) -> FinetuneSettings:
    """Return the settings with so many parts; say it where there are more than before."""
    if parts == settings.parts:
        return settings
    batch = min(settings.plan.batch_size, settings.plan.size)
    said = (
        f"A step of {count(batch, 'image')} is more than fits into the memory: it is taken in "
        f"{parts} parts, their gradients added up."
    )
    on_progress(Note(said, needed=True))
    return replace(settings, parts=parts)
