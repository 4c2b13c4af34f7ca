"""A run's directory, from the moment when a training is asked for to its end, whichever that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.errors import TLError

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.store.run_dir import RunDir


def look_as(run: RunDir) -> None:
    """Have images looked at from here on as the training of a run did: the same bands of many."""
    from tl_cli.data import decode
    from tl_cli.store import checkpoint, run_dir

    decode.use(checkpoint.describe(run / run_dir.CHECKPOINT))


# what there is in place of an option, where that is something of its own
INSTEAD = {"--against": "tl compare has both runs side by side, and on the same images"}


def require_one_label(run: RunDir, asked: Mapping[str, Any], instead: str) -> None:
    """Raise TLError for options that mean nothing where labels are several, or numbers.

    `asked`: by option; None and False were not given. `instead`: a clause, what there is.
    """
    from tl_cli.store import checkpoint, run_dir

    does = checkpoint.DOES[checkpoint.task_of(run / run_dir.CHECKPOINT)]
    for name, value in asked.items():
        if value is not None and value is not False:
            raise TLError(
                f"{run.path} {does}, and {name} is for one label an image",
                f"leave out {name}; {INSTEAD.get(name, instead)}",
            )


def directory(settings: RunConfig, overwrite: bool) -> RunDir:
    """Create and return the run's directory: --output, or a free name in runs/."""
    from tl_cli.store.run_dir import RunDir, name_for

    if settings.output:
        return RunDir.create(Path(settings.output), overwrite=overwrite)
    return RunDir.create_named(Path("runs"), name_for(settings.data))


def begun(settings: RunConfig, run: RunDir) -> RunDir:
    """Keep in the run what was asked for, so that it can be gone on with from now on."""
    from tl_cli.store import resume

    resume.begin(run, settings.model_dump())
    return run


@contextmanager
def watched(run: RunDir, screen: Screen) -> Iterator[None]:
    """Say in the run directory how the run was cut off, and how to go on with it.

    What was saved before the tuning is a result: it is kept, and put in an old run's place.
    """
    from tl_cli.store.run_dir import FAILED, HEAD, INTERRUPTED

    try:
        yield
    except BaseException as error:
        end = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        if run.state() == HEAD:
            run.status(HEAD, ended=end, error=str(error))
            run = run.publish()
            screen.note(f"The solved head is kept: {run.path}", warning=True)
        else:
            run.status(end, error=str(error))
            run.discard()
        # what is wrong with the data or the options would end it again
        again = not isinstance(error, TLError) or isinstance(error.__cause__, OSError)
        if run.way_on and (again or run.state() == HEAD):
            screen.note(f"To go on where it was cut off: {run.way_on}")
        raise
