"""YAML file + `--set key=value` + flags -> RunConfig, with all mistakes reported together.

One name serves as flag, YAML key and field. A flag beats --set, which beats the file, which beats
the default. Knows nothing of images and networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tl_cli import catalog
from tl_cli.errors import TLError, did_you_mean

FREEZE = ("auto", "head", "half", "full")
COLUMNS = ("path", "label", "split", "group")


def _freeze(value: str) -> str:
    if value in FREEZE:
        return value
    try:
        ratio = float(value)
    except ValueError:
        near = did_you_mean(value, FREEZE)
        raise ValueError(
            f"must be {', '.join(FREEZE)} or a ratio from 0 to 1" + (f"; {near}" if near else "")
        ) from None
    if not 0 <= ratio <= 1:
        raise ValueError("must be a ratio from 0 (train everything) to 1 (train the head only)")
    return f"{ratio:g}"


def _backbone(value: str) -> str:
    try:
        return catalog.get(value).name
    except TLError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None


def _columns(value: str | None) -> str | None:
    for pair in value.split(",") if value else ():
        ours, equals, theirs = pair.partition("=")
        if not equals or not theirs or ours.strip() not in COLUMNS:
            raise ValueError(f"must be like path=file,label=species, of {', '.join(COLUMNS)}")
    return value


def _auto(value: Any) -> Any:
    """Read the YAML spellings of nothing, and `auto`, as None: the tool decides."""
    return None if isinstance(value, str) and value in ("", "~", "null", "auto") else value


def _text(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


Auto = BeforeValidator(_auto)


class RunConfig(BaseModel):
    """Everything that decides a run. None means that the tool decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    data_dir: Annotated[str | None, Auto] = None
    columns: Annotated[str | None, Auto, AfterValidator(_columns)] = None
    backbone: Annotated[str, AfterValidator(_backbone)] = catalog.DEFAULT
    weights: Annotated[str | None, Auto] = None
    from_scratch: bool = False
    similarity: Annotated[Literal["low", "medium", "high"] | None, Auto] = None
    freeze: Annotated[str, BeforeValidator(_text), AfterValidator(_freeze)] = "auto"
    policy: Literal["evidence", "rule"] = "evidence"
    trial: bool = False
    refit: bool = True
    head: Literal["auto", "last", "multi"] = "auto"
    pooling: Literal["avg", "max", "avgmax", "flatten", "gem"] = "avg"
    image_size: Annotated[Annotated[int, Field(ge=32, le=1024)] | None, Auto] = None
    unfreeze: Literal["at_once", "gradual"] = "at_once"
    epochs: Annotated[Annotated[int, Field(ge=1, le=1000)] | None, Auto] = None
    batch_size: Annotated[Annotated[int, Field(ge=1, le=4096)] | None, Auto] = None
    learning_rate: Annotated[Annotated[float, Field(gt=0, le=1)] | None, Auto] = None
    weight_decay: Annotated[Annotated[float, Field(ge=0, le=1)] | None, Auto] = None
    layer_decay: Annotated[Annotated[float, Field(gt=0, le=1)] | None, Auto] = None
    label_smoothing: Annotated[Annotated[float, Field(ge=0, lt=1)] | None, Auto] = None
    ema: float = Field(0.0, ge=0, lt=1)
    max_minutes: Annotated[Annotated[float, Field(gt=0)] | None, Auto] = None
    balance: Literal["none", "weights", "oversample"] = "none"
    augment: Literal["auto", "none", "light", "medium", "strong"] = "auto"
    mirror: Literal["auto", "yes", "no"] = "auto"
    views: Annotated[Annotated[int, Field(ge=1, le=64)] | None, Auto] = None
    cache: bool = True
    cache_memory: Annotated[Annotated[float, Field(gt=0)] | None, Auto] = None
    feature_dtype: Literal["float16", "float32"] = "float16"
    aux_heads: int = Field(0, ge=0, le=20)
    aux_weight: float = Field(0.3, ge=0, le=10)
    gradient_flow: bool = False
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    val: float = Field(0.2, gt=0, lt=1)
    test: float = Field(0.0, ge=0, lt=1)
    folds: Annotated[Annotated[int, Field(ge=2, le=100)] | None, Auto] = None
    fold: int = Field(0, ge=0)
    limit: Annotated[Annotated[int, Field(ge=2)] | None, Auto] = None
    limit_per_class: Annotated[Annotated[int, Field(ge=1)] | None, Auto] = None
    keep_duplicates: bool = False
    bad_images: Literal["skip", "error"] = "skip"
    report: bool = True
    seed: int = Field(0, ge=0, lt=2**31)
    output: Annotated[str | None, Auto] = None

    def column_names(self) -> dict[str, str]:
        """Return what the table calls our columns, where it calls them something else."""
        pairs = (pair.split("=", 1) for pair in (self.columns or "").split(",") if pair)
        return {ours.strip(): theirs.strip() for ours, theirs in pairs}

    def effective(self, **decided: Any) -> RunConfig:
        """Return this configuration with what the tool decided in place of None and auto."""
        return self.model_copy(update=decided)

    def to_yaml(self) -> str:
        """Return the YAML that `load` reads back into an equal configuration."""
        values = {k: "auto" if v is None else v for k, v in self.model_dump().items()}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def load(
    file: Path | None = None, sets: Iterable[str] = (), flags: Mapping[str, Any] | None = None
) -> RunConfig:
    """Merge the layers into a RunConfig.

    Flags that are None were not given. Values of file and --set are coerced by the field's type,
    so that `1e-3` is a number and `010` is ten. Raises one TLError that names every mistake.
    """
    mistakes: list[str] = []
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    layers = (
        (f"in {file}", _read(file) if file else {}),
        ("in --set", _parse_sets(sets, mistakes)),
        ("", {k: v for k, v in (flags or {}).items() if v is not None}),
    )
    for where, layer in layers:
        values.update(layer)
        origin.update(dict.fromkeys(layer, where))
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        mistakes += [_sentence(detail, origin) for detail in error.errors()]
    else:
        mistakes += _contradictions(config)
    if mistakes:
        raise _together(mistakes)
    return config


def _contradictions(config: RunConfig) -> list[str]:
    if not config.from_scratch:
        return []
    clash = {"weights": config.weights, "similarity": config.similarity}
    clash["freeze"] = config.freeze if config.freeze not in ("auto", "0", "full") else None
    return [
        f"from_scratch and {name} {value}: random weights leave nothing to keep, give one of them"
        for name, value in clash.items()
        if value
    ]


def _read(file: Path) -> dict[str, Any]:
    try:
        # BaseLoader leaves every scalar a string, for the field's type to coerce
        values = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except FileNotFoundError:
        raise TLError(f"config file not found: {file}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        first = " ".join(str(error).split())
        raise TLError(f"the config file {file} cannot be read: {first}") from error
    if values is None or values == "":
        return {}
    if not isinstance(values, dict):
        raise TLError(f"the config file {file} must hold lines like `epochs: 10`")
    return values


def _parse_sets(sets: Iterable[str], mistakes: list[str]) -> dict[str, str]:
    values = {}
    for item in sets:
        key, equals, value = item.partition("=")
        if equals:
            values[key.strip()] = value.strip()
        else:
            mistakes.append(f"--set {item}: must be key=value")
    return values


def _sentence(detail: Any, origin: Mapping[str, str]) -> str:
    key = str(detail["loc"][0])
    where = f" ({origin[key]})" if origin.get(key) else ""
    if detail["type"] == "extra_forbidden":
        near = did_you_mean(key, RunConfig.model_fields)
        return f"{key}{where}: unknown key" + (f"; {near}" if near else "")
    if detail["type"] == "missing":
        return f"{key}: must be given (--{key}, or {key}: in the config file)"
    reason = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    reason, _, near = reason.partition("; ")
    if detail["type"] == "literal_error":
        options = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = did_you_mean(str(detail["input"]), options)
    said = detail["input"] is None or repr(detail["input"]) in reason
    got = "" if said else f", got {detail['input']!r}"
    return f"{key}{where}: {reason}{got}" + (f"; {near}" if near else "")


def _together(mistakes: list[str]) -> TLError:
    if len(mistakes) == 1:
        return TLError(mistakes[0], "every key: tl train --help")
    lines = "".join(f"\n  {mistake}" for mistake in mistakes)
    return TLError(f"{len(mistakes)} mistakes in the configuration:{lines}", "tl train --help")
