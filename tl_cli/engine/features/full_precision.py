"""A network in float32, whatever the policy that it is trained under. Knows nothing of tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


@contextlib.contextmanager
def full_precision(model: keras.Model) -> Iterator[None]:
    """Let a model, and what is built on it, compute in float32 for a while.

    Under a mixed policy the weights are float32 anyway; only what layers compute in is changed, and
    only in what is built, called or traced meanwhile.
    """
    policy = keras.config.dtype_policy()
    layers = {layer: layer.dtype_policy for layer in model._flatten_layers()}
    try:
        keras.config.set_dtype_policy("float32")
        for layer in layers:
            layer.dtype_policy = "float32"
        yield
    finally:
        for layer, own in layers.items():
            layer.dtype_policy = own
        keras.config.set_dtype_policy(policy)


class FullPrecision(keras.Model):
    """A model whose every call is one in full precision; it shares the weights."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name=model.name, dtype="float32")
        self.model = model

    def call(self, images: Any) -> Any:
        with full_precision(self.model):
            return self.model(images, training=False)
