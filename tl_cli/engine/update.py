"""Other images for a trained run: the head solved again on all of them, the network as it is.

Only images that have not passed that network pass it. The run that is changed stays as it was; what
comes of it is a run of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tl_cli import engine
from tl_cli.config import RunConfig
from tl_cli.data import erasure
from tl_cli.data.manifest import Manifest, Record
from tl_cli.data.update import Update, near_of, trainable
from tl_cli.engine import features, fitted_images, run_files, run_images
from tl_cli.engine.context import RunContext, room
from tl_cli.engine.features import Rows
from tl_cli.engine.finetune.candidates import HEAD, from_head
from tl_cli.engine.head import choice, row_blocks
from tl_cli.engine.head.row_blocks import Features
from tl_cli.engine.networks.classifier import Classifier
from tl_cli.engine.outcome import Trained, ended
from tl_cli.engine.predict import load_checkpoint
from tl_cli.engine.resources import Clock
from tl_cli.engine.trained_model import TrainedModel
from tl_cli.engine.update_figures import MEASURED, Answers
from tl_cli.errors import TLError
from tl_cli.plan import FreezePlan
from tl_cli.results.progress import OnProgress, begun
from tl_cli.results.training import CandidateResult, FinetuneResult, FromScratchResult
from tl_cli.results.update import UpdateResult
from tl_cli.store import run_dir
from tl_cli.store.run_dir import RunDir

A_CLASS = 4  # validation images that are looked for, to compare parts and whole by
OTHER_VERSION = "it was made by another version of tl: train anew"


@dataclass(frozen=True)
class Earlier:
    """The run whose images are changed, as its files tell it: plan.json and metrics.json."""

    run: RunDir
    plan: Mapping[str, Any]
    told: Mapping[str, Any]

    @property
    def tuned(self) -> bool:
        """Whether its network was trained, and so is not what it was before it saw these images."""
        tune = self.told.get("tune")
        return bool(self.told.get("scratch") or (tune and tune.get("kept", HEAD) != HEAD))

    @property
    def outcome(self) -> FinetuneResult | FromScratchResult | None:
        """What its training came to. Raises TLError where another version wrote it."""
        try:
            if tune := self.told.get("tune"):
                tried = tuple(CandidateResult.from_json(each) for each in tune["candidates"])
                return FinetuneResult(**{**tune, "candidates": tried})
            scratch = self.told.get("scratch")
            return FromScratchResult.from_json(scratch) if scratch else None
        except (KeyError, TypeError, ValueError) as error:
            raise TLError(f"{self.run / run_dir.METRICS} cannot be read", OTHER_VERSION) from error


def update(
    config: RunConfig, changed: Update, earlier: Earlier, run: RunDir, on_progress: OnProgress
) -> Trained:
    """Solve the head of an earlier run again on other images, and write all into a new run.

    Of images that were taken out, what the cache keeps is erased in the end. Raises TLError for
    what the user can mend; the earlier run is never written to.
    """
    clock = Clock(on_begin=lambda stage: on_progress(begun(stage)))
    with clock.stage("build"):
        before = load_checkpoint(earlier.run, tuple(MEASURED))
        engine.prepare("float32", config.seed, deterministic=config.deterministic)
        context = RunContext(config, changed.manifest, before.backbone, "float32", room(config))
        context = _workable(context, earlier, on_progress)
        plan, outcome = _plan(context, earlier), earlier.outcome
        run_files.write_inputs(run, context)
        run.write_json(run_dir.PLAN, plan.to_json())
        _copy_history(earlier.run, run)
    with clock.stage("features"):
        passing = _passing(context)
        [rows] = features.extract(
            before.backbone,
            context.records,
            [context.feature_spec],
            keep=config.cache,
            on_progress=on_progress,
        )
    with clock.stage("head"):
        head = choice.solve(context, rows)
        trained = from_head(context, head)
        run_files.save(run, context, trained, plan)
    done = ended(
        context,
        run,
        plan,
        trained,
        None if earlier.tuned else head,  # on a tuned network, folds flatter
        outcome,
        clock,
        on_progress,
        pixels=_openable(context),
    )
    told = _compared(context, changed, earlier, before, trained, done.classifier, rows, passing)
    if changed.removed and changed.forgotten:
        told = _erased(told, changed, earlier, run)
    scratch = isinstance(outcome, FromScratchResult)  # then no head has folds to be judged by
    result = replace(done.result, head=None if scratch else head.result, update=told)
    run_files.write_result(run, result)
    return Trained(result, done.classifier)


def _workable(context: RunContext, earlier: Earlier, on_progress: OnProgress) -> RunContext:
    """Return the context without images that are gone and never passed this network; say so.

    Raises TLError where too little is left.
    """
    records, kept = context.manifest.records, _kept(context)
    asked = [record for record in records if record.digest not in kept]
    what = f"images of {earlier.run.path}"
    there = run_images.find(asked, what, context.backbone.image_size)
    if not there.left_out:
        return context
    run_images.tell(there, on_progress)
    left = {*asked}.difference(there.records)
    manifest = context.manifest.with_records(r for r in records if r not in left)
    return replace(context, manifest=trainable(manifest))


def _openable(context: RunContext) -> set[Record]:
    """Return validation images, some of each class, that can be opened or whose pixels are kept."""
    some: dict[str, list[Record]] = defaultdict(list)
    for record in context.manifest.of("val"):
        some[record.label].append(record)
    asked = [record for own in some.values() for record in own[:A_CLASS]]
    return set(run_images.find(asked, "", context.backbone.image_size).records)


def _kept(context: RunContext) -> frozenset[str]:
    """Return the digests of the images whose features of this network are kept."""
    if not context.config.cache:
        return frozenset()
    return frozenset(features.kept(context.backbone, context.feature_spec))


def _plan(context: RunContext, earlier: Earlier) -> FreezePlan:
    """Return the earlier run's plan for the images that there are now."""
    counts = [n for n in context.manifest.counts("train").values() if n]
    size, place = sum(counts), earlier.run.path
    told = (
        f"Taken over from {place}: the network stays as it is there, and the head was solved "
        "again on the images that there are now."
    )
    try:
        plan = FreezePlan.from_json(earlier.plan)
    except (KeyError, TypeError) as error:
        raise TLError(f"{earlier.run / run_dir.PLAN} cannot be read", OTHER_VERSION) from error
    former = [reason for reason in plan.reasons if not reason.startswith("Taken over from ")]
    return replace(
        plan,
        size=size,
        classes=len(context.classes),
        images_per_class=float(np.median(counts)),
        reasons=(told, *former),
    )


def _copy_history(earlier: RunDir, run: RunDir) -> None:
    """Copy how the network was tuned: it is the network of the new run, too."""
    source = earlier / run_dir.HISTORY
    if source.is_file():
        run.write_text(run_dir.HISTORY, source.read_text("utf-8"))


def _passing(context: RunContext) -> int:
    """Return how many contents have no features of this network yet."""
    return len({record.digest for record in context.manifest.records} - _kept(context))


def _compared(
    context: RunContext,
    changed: Update,
    earlier: Earlier,
    before: Classifier,
    trained: TrainedModel,
    saved: Classifier,
    rows: Rows,
    passing: int,
) -> UpdateResult:
    """Return what was changed, and how both heads do on the images that are held out now."""
    split = "test" if context.manifest.of("test") else "val"
    records = context.manifest.of(split)
    asked = choice.by_split(context, row_blocks.kept(rows, rows.shape[1]))[split]
    said = trained.held_out if split == "val" else choice.probabilities_of(context, saved, asked)
    then = _answers_before(context, earlier, before, records, asked)
    added = {record.digest for record in changed.added}
    fresh = [record.digest in added for record in records]
    manifest, measured = context.manifest, MEASURED[context.manifest.task]
    now, was = Answers.of(said, saved), Answers.of(then, before)
    same, more, by_class = measured(records, now, was, fresh)
    return UpdateResult(
        of=str(earlier.run.path),
        added=_counted(manifest, changed.added),
        removed=_counted(manifest, changed.removed),
        added_images=len(changed.added),
        removed_images=len(changed.removed),
        relabelled=len(changed.relabelled),
        new_classes=tuple(c for c in context.classes if c not in before.classes),
        gone_classes=tuple(c for c in before.classes if c not in context.classes),
        passed=passing,
        tuned=earlier.tuned,
        split=split,
        same=same,
        more=more,
        by_class=by_class,
    )


def _answers_before(
    context: RunContext,
    earlier: Earlier,
    before: Classifier,
    records: Sequence[Record],
    rows: Features,
) -> np.ndarray:
    """Return the earlier run's probabilities, float32 [n, C]: those from held-out images, kept."""
    said = choice.probabilities_of(context, before, rows)
    kept = fitted_images.load(earlier.run).held_out
    return np.stack([kept.get(r.digest, own) for r, own in zip(records, said, strict=True)])


def _erased(told: UpdateResult, changed: Update, earlier: Earlier, run: RunDir) -> UpdateResult:
    """Erase what the cache keeps of images that went, and say which runs still hold them."""
    staying = {record.digest for record in changed.manifest.records}
    going = {record.digest for record in changed.removed} - staying
    folders = (earlier.run.path.resolve().parent, run.final_path.resolve().parent)
    return replace(
        told,
        erased=erasure.erase(going),
        holding=erasure.holding(folders, going),
        alike=tuple(record.path for record in near_of(changed.removed, changed.manifest)),
    )


def _counted(manifest: Manifest, records: Sequence[Record]) -> dict[str, int]:
    names = (name for record in records for name in manifest.names(record))
    return dict(sorted(Counter(names).items()))
