"""AdamW with a warm-up, a cosine, and a rate for each block; and the average of the weights.

Knows nothing of data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from tl_cli.engine.networks.loading import Backbone
from tl_cli.plan import FreezePlan

WARM_UP = 0.1  # of all steps
CLIP_NORM = 1.0  # of the gradient, over all weights together


class BlockwiseAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) with a factor on the rate of each weight.

    `factors`: by variable path; a weight that is not named has 1. Adam is indifferent to the size
    of a gradient, so a smaller rate cannot be had by scaling gradients. The decay that is decoupled
    from the gradient has the same factor: a weight with factor 0 stays what it is.
    """

    def __init__(self, *arguments: Any, factors: Mapping[str, float], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.factors = dict(factors)
        self._by_index: list[float] = []
        self._decays: list[float] = []

    def build(self, variables: list[keras.Variable]) -> None:
        """Note each weight's factor by its place: a backend may hand over its own variables."""
        super().build(variables)
        self._by_index = [self.factors.get(variable.path, 1.0) for variable in variables]
        self._decays = [
            (self.weight_decay or 0.0) * self._use_weight_decay(variable) for variable in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decay and update one weight at its own rate."""
        index = self._get_variable_index(variable)
        rate = learning_rate * self._by_index[index]
        if self._decays[index]:
            shrink = ops.cast(rate * self._decays[index], variable.dtype)
            self.assign_sub(variable, ops.multiply(variable, shrink))
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        """Leave to `update_step` what Keras does here at one rate for all."""

    def _all_reduce_sum_gradients(self, pairs: Any) -> list[Any]:
        """Return gradients as they are: where several devices train they are of all (devices)."""
        return list(pairs)


class Cosine(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises to `peak` for a tenth of `steps`, then falls to zero along a cosine.

    Keras' own CosineDecay comes to the same with a branch in the graph, and its optimizers ask for
    the rate once a weight: a second of tracing, and some fifty branches at every step. `parts`: of
    a step, which Keras counts one by one.
    """

    def __init__(self, peak: float, steps: int, parts: int = 1) -> None:
        super().__init__()
        self.peak, self.steps, self.parts = peak, steps, parts

    def __call__(self, step: Any) -> Any:
        warm = max(1, round(WARM_UP * self.steps))
        step = ops.floor(ops.cast(step, "float32") / self.parts)
        done = ops.clip((step - warm) / max(1, self.steps - warm), 0.0, 1.0)
        return self.peak * ops.minimum(step / warm, (1 + ops.cos(math.pi * done)) / 2)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "steps": self.steps, "parts": self.parts}


def optimizer(
    backbone: Backbone,
    plan: FreezePlan,
    steps: int,
    *,
    parts: int = 1,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> keras.optimizers.Optimizer:
    """Return the optimizer for `steps` steps: linear warm-up, then a cosine to zero.

    `parts`: of each step, whose gradients are added up first. `schedule`: in place of these.
    """
    made = BlockwiseAdamW(
        schedule or Cosine(plan.learning_rate, steps, parts),
        weight_decay=plan.weight_decay,
        global_clipnorm=CLIP_NORM,
        factors=rate_factors(backbone, plan.layer_decay),
        gradient_accumulation_steps=parts if parts > 1 else None,
    )
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made


def rate_factors(backbone: Backbone, decay: float) -> dict[str, float]:
    """Return decay^k for each weight of the k-th block from the end; the head is before the first.

    Layer-wise decay as in ULMFiT (Howard & Ruder 2018, arXiv:1801.06146).
    """
    if decay == 1:
        return {}
    depth = {
        path: k for k, block in enumerate(reversed(backbone.blocks), 1) for path in block.layers
    }
    return {
        weight.path: decay ** depth[layer.path]
        for layer in backbone.layers
        for weight in layer.weights
        if layer.path in depth
    }


class Average(keras.callbacks.Callback):
    """An exponential moving average of the trained weights (Polyak & Juditsky 1992).

    `momentum` counts from the first steps on as in TensorFlow's own: min(m, (1 + t) / (10 + t)).
    """

    def __init__(self, momentum: float, parts: int = 1) -> None:
        super().__init__()
        self.momentum, self.step, self.parts = momentum, 0, parts
        self.values: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if (batch + 1) % self.parts:  # the weights change with the last part of a step
            return
        self.step += 1
        m = min(self.momentum, (1 + self.step) / (10 + self.step))
        now = [keras.ops.copy(v.value) for v in self.model.trainable_variables]
        self.values = [
            m * old + (1 - m) * new for old, new in zip(self.values or now, now, strict=True)
        ]
