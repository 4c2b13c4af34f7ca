"""The options of `train` as Python types them: the fields of RunConfig, all but the data.

For editors and type checkers; what is given is checked by RunConfig itself.
"""

from __future__ import annotations

from os import PathLike
from typing import Literal, TypedDict


class Options(TypedDict, total=False):
    """See `tl train --help-all` for what each does. None: the tool decides, or there is none."""

    data_dir: str | PathLike[str] | None
    columns: str | None
    channels: str | None
    task: Literal["auto", "classification", "multilabel", "regression"]
    val: float
    test: float
    folds: int | None
    fold: int
    limit: int | None
    limit_per_class: int | None
    keep_duplicates: bool
    bad_images: Literal["skip", "error"]
    backbone: str
    preprocessing: Literal["lite", "tf", "torch", "caffe", "unit", "included"] | None
    weights: str | PathLike[str] | None
    from_scratch: bool
    image_size: int | None
    similarity: Literal["low", "medium", "high"] | None
    policy: Literal["evidence", "rule"]
    freeze: str | float
    effort: Literal["quick", "normal", "thorough"]
    allow_download: bool
    unfreeze: Literal["at_once", "gradual"]
    head: Literal["auto", "last", "multi", "kernel"]
    pooling: Literal["avg", "avgstd", "max", "avgmax", "flatten", "gem"] | None
    refit: bool
    aux_heads: int
    aux_weight: float
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    layer_decay: float | None
    label_smoothing: float | None
    ema: float
    balance: Literal["none", "weights", "oversample"]
    augment: Literal["auto", "none", "light", "medium", "strong"]
    mirror: bool | Literal["auto", "yes", "no"]
    seed: int
    max_minutes: float | None
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
    deterministic: bool
    devices: str | None
    engine: str | None
    cache: bool
    cache_memory: float | None
    feature_dtype: Literal["float16", "float32"]
    views: int | None
    output: str | PathLike[str] | None
    report: bool
    track: Literal["tensorboard", "mlflow"] | None
    gradient_flow: bool
