"""The trained part of a classifier as a compiled model: what is frozen, the losses, the optimizer.

Knows nothing of data.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tl_cli import engine
from tl_cli.engine.finetune.auxiliary_heads import NONE, AuxiliaryHeads
from tl_cli.engine.networks.classifier import Classifier


def compile_suffix(
    classifier: Classifier,
    frozen: int,
    optimizer: keras.optimizers.Optimizer,
    cut: int = 0,
    row_taps: Sequence[int] = (),
    *,
    loss: keras.losses.Loss | None = None,
    auxiliary: AuxiliaryHeads = NONE,
    sparse: bool = False,
    kind: type[keras.Model] = keras.Model,
) -> keras.Model:
    """Freeze the first `frozen` blocks and compile what remains; return it, fed at `cut`.

    Its outputs are those of `suffix`. The loss is the head's, and `auxiliary.weight` times that of
    each other; labels are float32 [batch, C] as `loss` takes them (None: one-hot), or class numbers
    where `sparse`. `kind`: of model, which says what a step is.
    """
    classifier.freeze_up_to(frozen)
    model = suffix(classifier, cut, row_taps, auxiliary)
    if kind is not keras.Model:
        model = kind(model.inputs[0], model.outputs, name=model.name)
    if sparse:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = loss or keras.losses.CategoricalCrossentropy(from_logits=True)
    others = len(auxiliary.heads)
    model.compile(
        optimizer=optimizer,
        loss=[loss] * (1 + others) if others else loss,
        loss_weights=[1.0] + [auxiliary.weight] * others if others else None,
        jit_compile=engine.jit(),
    )
    # else its variables are made within the first step, which TensorFlow then traces twice
    model.optimizer.build(model.trainable_variables)
    return model


def suffix(
    classifier: Classifier, cut: int, row_taps: Sequence[int], auxiliary: AuxiliaryHeads = NONE
) -> keras.Model:
    """Return the part after the cut: to the head's scores [batch, C], and each auxiliary head's."""
    model = classifier.suffix_model(cut, row_taps, auxiliary.cuts)
    if not auxiliary.heads:
        return model
    scores, *tensors = model.outputs
    inner = [head(x) for head, x in zip(auxiliary.heads, tensors, strict=True)]
    return keras.Model(model.inputs[0], [scores, *inner], name=model.name)
