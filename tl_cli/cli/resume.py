"""`tl train --resume RUN`: the run that was cut off, its configuration and its images again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.errors import TLError
from tl_cli.humanize import count, short

if TYPE_CHECKING:
    from tl_cli.config import RunConfig
    from tl_cli.console.screen import Screen
    from tl_cli.data.manifest import Manifest
    from tl_cli.store.run_dir import RunDir


def reopened(
    path: Path, file: Path | None, sets: Iterable[str], flags: Mapping[str, Any], screen: Screen
) -> tuple[RunDir, RunConfig, Manifest | None]:
    """Return a run that was cut off, its configuration, and its images where they are known.

    Raises TLError, and changes nothing, where an option contradicts the configuration or an image
    is no longer what it was.
    """
    from tl_cli import config as configs
    from tl_cli.store import resume, run_dir

    run = resume.unfinished(path)
    if run.state() == run_dir.DONE:
        return run, _plain_config(run), None
    values, folder = resume.request(run)
    stored = configs.stored(values, str(run / run_dir.REQUEST))
    _check_same(stored, configs.load(file, sets, _without_output(flags, run), base=values), run)
    settings = _from_elsewhere(stored, folder)
    manifest = _known_images(run, settings)
    if manifest:
        _check_unchanged(manifest, run, screen)
    resume.claim(run)
    return run, settings, manifest


def _plain_config(run: RunDir) -> RunConfig:
    from tl_cli import config as configs
    from tl_cli.store import run_dir

    return configs.load(run / run_dir.CONFIG)


def _without_output(flags: Mapping[str, Any], run: RunDir) -> dict[str, Any]:
    """Return the flags; --output says nothing more where it is the run itself."""
    same = "output" in flags and Path(flags["output"]).resolve() == run.final_path.resolve()
    return {name: value for name, value in flags.items() if not (same and name == "output")}


def _check_same(stored: RunConfig, asked: RunConfig, run: RunDir) -> None:
    """Raise TLError where an option that was given is not what the run was begun with."""
    differing = [
        f"{name} {_said(getattr(asked, name))} (the run: {_said(value)})"
        for name, value in stored
        if getattr(asked, name) != value
    ]
    if differing:
        raise TLError(
            f"the run in {run.final_path} is gone on with as it was begun, and that is not with "
            f"{', '.join(differing)}",
            "leave that out, or train anew with another --output",
        )


def _said(value: Any) -> str:
    return "auto" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _from_elsewhere(settings: RunConfig, folder: Path) -> RunConfig:
    """Return the configuration with paths that lead to the same place from this folder."""
    if folder == Path.cwd():
        return settings
    names = ("data", "data_dir", "weights")
    paths = {name: folder / value for name in names if (value := getattr(settings, name))}
    return settings.effective(**{k: str(path) for k, path in paths.items() if path.exists()})


def _known_images(run: RunDir, settings: RunConfig) -> Manifest | None:
    """Return the images as the run saw them; None where it had not come so far."""
    from dataclasses import replace

    from tl_cli.data.csv_io import read_csv
    from tl_cli.store import resume, run_dir

    inputs = resume.inputs(run)
    if not inputs:
        return None
    classes, notes = inputs
    images = read_csv(run / run_dir.MANIFEST)
    if not set(images.classes) <= set(classes):
        raise resume.damaged(run, resume.INPUTS)
    return replace(images, source=settings.data, classes=classes, notes=notes)


def _check_unchanged(manifest: Manifest, run: RunDir, screen: Screen) -> None:
    from tl_cli.data.presence import changed
    from tl_cli.results.progress import Progress

    different = changed(
        manifest.records,
        lambda done, total: screen.on_progress(Progress("images", done, total)),
    )
    if different:
        raise TLError(
            f"{count(len(different), 'image')} of {len(manifest.records):,} changed or went since "
            f"the run in {run.final_path} began, the first is {short(different[0].path)}",
            "put back what was there, or train anew with --overwrite",
        )
