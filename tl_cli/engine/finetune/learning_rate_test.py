"""The learning rate range test: the plan's part is trained at ever larger rates, a step each.

Smith 2017, arXiv:1506.01186. Fed from the kept features as the training is; no weight is kept.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import keras

from tl_cli.engine import evidence
from tl_cli.engine.context import RunContext
from tl_cli.engine.finetune import settings
from tl_cli.engine.finetune.compile import compile_suffix
from tl_cli.engine.finetune.finetune import softened
from tl_cli.engine.finetune.from_scratch import random_classifier
from tl_cli.engine.finetune.optimizer import optimizer
from tl_cli.engine.finetune.training_data import TrainingData
from tl_cli.engine.head import choice
from tl_cli.engine.images import dataset
from tl_cli.plan import FreezePlan
from tl_cli.results.learning_rate_test import LearningRateTest, ran_away
from tl_cli.results.progress import OnProgress, Progress

STEPS = 100
LEAST, MOST = 1e-6, 1.0  # rates


def learning_rate_test(
    context: RunContext, plan: FreezePlan, on_progress: OnProgress
) -> LearningRateTest:
    """Return the loss of the plan's part, batch by batch, while its rate grows to where it breaks.

    On as many training images as the steps see; what passes the frozen part is kept for the
    training that follows. In the end the network has the weights that it had.
    """
    records = context.manifest.of("train")
    few = [records[i] for i in evidence.stratified(records, STEPS * plan.batch_size)]
    context = replace(context, manifest=context.manifest.with_records(few))
    before = context.backbone.model.get_weights()
    chosen = replace(settings.decide(context, replace(plan, size=len(few))), views=1)
    if context.config.from_scratch:
        classifier = random_classifier(context)
    else:
        classifier = softened(context, choice.solve(context, choice.extract(context, on_progress)))
    data = TrainingData(context, chosen, on_progress)
    factor = (MOST / LEAST) ** (1 / (STEPS - 1))
    rising = keras.optimizers.schedules.ExponentialDecay(LEAST, 1, factor)
    model = compile_suffix(
        classifier,
        plan.frozen_blocks,
        optimizer(context.backbone, plan, STEPS, schedule=rising),
        data.cut,
        data.row_taps,
        loss=context.task.tuning.loss(plan.label_smoothing),
        auxiliary=chosen.auxiliary,
    )
    losses: list[float] = []
    with dataset.clear_errors():
        for batch in islice(data.batches(1, len(model.outputs)), STEPS):
            model.reset_metrics()  # else it is the mean of all steps so far
            losses.append(float(model.train_on_batch(*batch, return_dict=True)["loss"]))
            on_progress(Progress("rates", len(losses), STEPS, unit="steps"))
            if ran_away(losses):
                break
    context.backbone.model.set_weights(before)
    rates = [LEAST * factor**step for step in range(len(losses))]
    kept = [i for i, loss in enumerate(losses) if loss == loss]  # the last may be no number
    return LearningRateTest.of(
        [rates[i] for i in kept],
        [losses[i] for i in kept],
        plan.learning_rate,
        diverged=len(losses) < STEPS,
    )
