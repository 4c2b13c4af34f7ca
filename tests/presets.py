"""Small networks of KerasHub with random weights, saved as local presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

LAYERS = 3  # of each transformer
IMAGE = (32, 32, 3)
TOKENS = {
    "image_shape": IMAGE, "patch_size": 8, "num_layers": LAYERS, "hidden_dim": 16, "num_heads": 2,
}  # fmt: skip
STACKS: dict[str, Any] = {
    "input_conv_filters": [64], "input_conv_kernel_sizes": [3], "stackwise_num_filters": [64, 16],
    "stackwise_num_blocks": [1, 1], "stackwise_num_strides": [1, 2], "block_type": "basic_block",
}  # fmt: skip
# by family, the class of keras_hub.models and its settings
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTBackbone", {**TOKENS, "mlp_dim": 32}),
    "dinov2": (
        "DINOV2Backbone",
        {**TOKENS, "intermediate_dim": 32, "num_register_tokens": 2,
         "position_embedding_shape": (48, 48, 3)},
    ),
    "dinov3": ("DINOV3Backbone", {**TOKENS, "intermediate_dim": 32}),
    "resnet": ("ResNetBackbone", STACKS),
    "vgg": ("VGGBackbone", {"stackwise_num_repeats": [1, 1], "stackwise_num_filters": [8, 16]}),
    "densenet": (
        "DenseNetBackbone",
        {"stackwise_num_repeats": [2, 2], "compression_ratio": 0.5, "growth_rate": 8},
    ),
}  # fmt: skip
TRANSFORMERS = ("vit", "dinov2", "dinov3")


def saved(folder: Path, family: str, *, scale: float | None = 1 / 127.5) -> Path:
    """Save a network, and how it takes its images, as a preset; return the folder."""
    import keras_hub

    keras.utils.set_random_seed(0)
    name, settings = FAMILIES[family]
    getattr(keras_hub.models, name)(**settings).save_to_preset(str(folder))
    if scale:
        converter = keras_hub.layers.ImageConverter(scale=scale, offset=-1.0, image_size=IMAGE[:2])
        converter.save_to_preset(str(folder))
    return folder
