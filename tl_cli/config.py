"""YAML file + `--set key=value` + flags -> RunConfig, with all mistakes reported together.

A field of RunConfig is one option, whole: its name serves as flag and as YAML key, and its type,
default, group and help make the flag of `tl train` (cli/options.py). A flag beats --set, which
beats the file, which beats the default. Knows nothing of images, networks and the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from tl_cli import catalog, flat_yaml
from tl_cli.config_mistakes import sentence, together
from tl_cli.config_rules import contradictions, implied
from tl_cli.config_values import Backbone, Channels, Columns, Devices, Engine, Freeze
from tl_cli.data import channels as bands
from tl_cli.data.manifest import CLASSIFICATION, MULTILABEL, REGRESSION
from tl_cli.errors import TLError

NOTHING = ("auto", "", "~", "null")
GROUPS = ("Data", "What to train", "Optimisation", "Speed and memory", "Output")


@dataclass(frozen=True)
class Option:
    """What a field of RunConfig says of itself beside its name."""

    type: Any
    default: Any  # "" where it must be given
    help: str
    group: str  # one of GROUPS
    metavar: str  # what stands for the value; "" where the type says it
    unset: str  # the word for None, where that is the default: shown, and accepted as a value
    rare: bool  # listed by --help-all only


def _option(
    group: str,
    text: str,
    default: Any = None,
    *,
    metavar: str = "",
    unset: str = "auto",
    rare: bool = False,
    **limits: Any,
) -> Any:
    """Return a field; `limits`: gt, ge, lt and le of a number."""
    extra: dict[str, Any] = {"group": group, "metavar": metavar, "unset": unset, "rare": rare}
    return Field(default, description=text, json_schema_extra=extra, **limits)


_data, _what, _optimisation, _speed, _output = (partial(_option, group) for group in GROUPS)


class RunConfig(BaseModel):
    """Everything that decides a run. None means that the tool decides, or that there is none."""

    # built when first used, for help needs the fields alone
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    data: str = _data(
        "DIR of class folders or shards (.tar, .parquet, ...), FILE.csv, s3://..., tfds:NAME.",
        ...,
        metavar="SOURCE",
    )
    data_dir: str | None = _data("Where tfds data sets lie.", metavar="DIR", rare=True)
    columns: Columns = _data("Of a table: path=file,label=species,...", metavar="NAMES", rare=True)
    task: Literal["auto", "classification", "multilabel", "regression"] = _data(
        "What labels are: one class, several, or a number; auto: as they look.", "auto", rare=True
    )
    channels: Channels = _data(
        "Bands that are red, green and blue.", metavar="3,2,1", unset="as in the file", rare=True
    )
    val: float = _data("Share of images for validation.", 0.2, gt=0, lt=1)
    test: float = _data("Share of images for the test.", 0.0, ge=0, lt=1)
    folds: int | None = _data("Folds of a cross-validation.", unset="none", rare=True, ge=2, le=100)
    fold: int = _data("Which fold validates, from 0.", 0, rare=True, ge=0)
    limit: int | None = _data("Use only so many images, of all classes.", unset="all", ge=2)
    limit_per_class: int | None = _data(
        "Use only so many images a class.", unset="all", rare=True, ge=1
    )
    keep_duplicates: bool = _data("Train on copies of test images too.", False, rare=True)
    bad_images: Literal["skip", "error"] = _data(
        "What to do about images that cannot be read.", "skip", rare=True
    )

    backbone: Backbone = _what(
        "Pretrained network (`tl backbones`); best: as `tl rank` says; a+b: both.",
        catalog.DEFAULT,
        metavar="NAME",
    )
    preprocessing: Literal["lite", "tf", "torch", "caffe", "unit", "included"] | None = _what(
        "How a backbone of your own, file: or hub:, takes its images.", rare=True
    )
    weights: str | None = _what(
        ".weights.h5 of the backbone, in place of its own.", metavar="FILE", rare=True
    )
    from_scratch: bool = _what("Random weights in place of pretrained.", False)
    image_size: int | None = _what(
        "Pixels a side; auto: the backbone's, less for small images.", ge=32, le=1024
    )
    similarity: Literal["low", "medium", "high"] | None = _what(
        "To the pretraining photos; auto: as measured."
    )
    policy: Literal["evidence", "rule"] = _what(
        "Plan by measurement, or by size and similarity.", "evidence"
    )
    freeze: Freeze = _what(
        "How much of the backbone to keep; RATIO: of its layers.",
        "auto",
        metavar="[auto|head|half|full|RATIO]",
    )
    effort: Literal["quick", "normal", "thorough"] = _what(
        "The head alone; as advised; or networks and plans tried out first.", "normal"
    )
    allow_download: bool = _what(
        "Of networks to choose from, fetch those that may do better, too.", False, rare=True
    )
    unfreeze: Literal["at_once", "gradual"] = _what(
        "At once, or from the end backwards in steps.", "at_once", rare=True
    )
    head: Literal["auto", "last", "multi", "kernel"] = _what(
        "Fed by the last layer, by several depths joined, or by a kernel on them.", "auto"
    )
    pooling: Literal["avg", "avgstd", "max", "avgmax", "flatten", "gem"] | None = _what(
        "How a feature map becomes numbers; auto: average and deviation.", rare=True
    )
    refit: bool = _what("Solve the saved head on training and validation images together.", True)
    aux_heads: int = _what(
        "Auxiliary classifiers inside the trained part.", 0, rare=True, ge=0, le=20
    )
    aux_weight: float = _what("Weight of each auxiliary loss.", 0.3, rare=True, ge=0, le=10)

    epochs: int | None = _optimisation("Passes of fine-tuning; auto: from the plan.", ge=1, le=1000)
    batch_size: int | None = _optimisation("Images a step.", ge=1, le=4096)
    learning_rate: float | None = _optimisation("Peak rate of the tuned layers.", gt=0, le=1)
    weight_decay: float | None = _optimisation("Weight decay of AdamW.", rare=True, ge=0, le=1)
    layer_decay: float | None = _optimisation(
        "Rate of a block relative to the next one.", rare=True, gt=0, le=1
    )
    label_smoothing: float | None = _optimisation(
        "Share of a label spread over all classes.", rare=True, ge=0, lt=1
    )
    ema: float = _optimisation(
        "Momentum of the averaged weights, e.g. 0.99; 0: no average.", 0.0, rare=True, ge=0, lt=1
    )
    balance: Literal["none", "weights", "oversample"] = _optimisation(
        "What is done for rare classes.", "none"
    )
    augment: Literal["auto", "none", "light", "medium", "strong"] = _optimisation(
        "How much training images are varied.", "auto"
    )
    mirror: Literal["auto", "yes", "no"] = _optimisation("May images be mirrored?", "auto")
    seed: int = _optimisation("Seed of the split and the training.", 0, ge=0, lt=2**31)

    max_minutes: float | None = _speed(
        "Fewer epochs where more do not fit.", unset="none", gt=0, le=1e6
    )
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = _speed(
        "Of the computation; auto: mixed on a GPU.", "auto"
    )
    devices: Devices = _speed(
        "Of this machine that tune; auto: all GPUs, or the CPU.", metavar="N|all", rare=True
    )
    deterministic: bool = _speed("Equal to the last bit on a GPU too; on a CPU a run is so.", False)
    cache: bool = _speed("Keep features on disk, or stream everything.", True)
    cache_memory: float | None = _speed(
        "GB of decoded images to hold in memory.", rare=True, gt=0, le=1e6
    )
    engine: Engine = _speed(
        "Let the images pass on a Ray cluster.", metavar="ray[:ADDRESS]", unset="none", rare=True
    )
    feature_dtype: Literal["float16", "float32"] = _speed(
        "How features are kept on disk.", "float16", rare=True
    )
    views: int | None = _speed(
        "Augmented views kept an image where part is frozen.", rare=True, ge=1, le=64
    )

    output: str | None = _output("Run directory; auto: runs/NAME.", metavar="DIR")
    report: bool = _output("End with a page, report.html.", True)
    track: Literal["tensorboard", "mlflow"] | None = _output(
        "Keep parameters, epochs and figures there too.", unset="none"
    )
    gradient_flow: bool = _output("Record the gradient at every layer.", False, rare=True)

    @field_validator("*", mode="before")
    @classmethod
    def _unset(cls, value: Any, info: ValidationInfo) -> Any:
        """Read `auto`, the field's own word and the YAML spellings of nothing as None."""
        field = option(str(info.field_name))
        return None if field.default is None and value in (*NOTHING, field.unset) else value

    def column_names(self) -> dict[str, str]:
        """Return what the table calls our columns, where it calls them something else."""
        pairs = (pair.split("=", 1) for pair in (self.columns or "").split(",") if pair)
        return {ours.strip(): theirs.strip() for ours, theirs in pairs}

    def for_task(self, task: str) -> RunConfig:
        """Return this configuration for what the labels turned out to be.

        Of a number the head alone is trained, unless how much is to stay frozen is said. Raises
        TLError where more was asked than there is for them.
        """
        if task == CLASSIFICATION:
            return self
        told = {f"balance {self.balance}": self.balance != "none"}
        if task == REGRESSION:
            told |= {
                "from_scratch": self.from_scratch,
                "effort thorough": self.effort == "thorough",
                "aux_heads": self.aux_heads > 0,
            }
        if wrong := [name for name, said in told.items() if said]:
            labels, each = {
                MULTILABEL: ("images have several labels", "combination"),
                REGRESSION: ("a number is predicted", "number"),
            }[task]
            raise TLError(
                f"where {labels}, {wrong[0]} cannot be had",
                f"leave that out; or, where each {each} is a class, --task classification",
            )
        alone = task == REGRESSION and self.freeze == "auto"
        return self.effective(task=task, **({"freeze": "head"} if alone else {}))

    @property
    def pooled(self) -> str:
        """How maps are pooled: the average where nothing else was asked for or decided."""
        return self.pooling or "avg"

    def bands(self) -> tuple[int, ...] | None:
        """Return which bands of an image are red, green and blue; None: as the file says."""
        return bands.parse(self.channels) if self.channels else None

    def effective(self, **decided: Any) -> RunConfig:
        """Return this configuration with what the tool decided in place of None and auto."""
        return self.model_copy(update=decided)

    def to_yaml(self) -> str:
        """Return the YAML that `load` reads back into an equal configuration."""
        import yaml

        values = {k: "auto" if v is None else v for k, v in self.model_dump().items()}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def option(name: str) -> Option:
    """Return what the field of this name says of itself."""
    field = RunConfig.model_fields[name]
    extra: Any = field.json_schema_extra
    default = "" if field.is_required() else field.default
    return Option(field.annotation, default, field.description or "", **extra)


def load(
    file: Path | None = None,
    sets: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Merge the layers into a RunConfig.

    `base`: in place of the defaults. Flags that are None were not given. Values of file and --set
    are coerced by the field's type, so that `1e-3` is a number and `010` is ten. Raises one TLError
    that names every mistake.
    """
    mistakes: list[str] = []
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    layers = (
        ("", base or {}),
        (f"in {file}", flat_yaml.read(file) if file else {}),
        ("in --set", _parse_sets(sets, mistakes)),
        ("", {k: v for k, v in (flags or {}).items() if v is not None}),
    )
    for where, layer in layers:
        values.update(layer)
        origin.update(dict.fromkeys(layer, where))
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        mistakes += [sentence(detail, origin, RunConfig.model_fields) for detail in error.errors()]
    else:
        mistakes += contradictions(config)
    if mistakes:
        raise together(mistakes)
    return config.effective(**implied(config))


def stored(values: Mapping[str, Any], place: str) -> RunConfig:
    """Return the configuration that a run keeps. Raises TLError where it is none."""
    try:
        return RunConfig.model_validate(dict(values))
    except ValidationError as error:
        names = ", ".join(str(detail["loc"][0]) for detail in error.errors())
        raise TLError(f"{place} is damaged, or of another version: {names}") from error


def of_run(file: Path) -> RunConfig:
    """Return the configuration in a run's directory. Raises TLError where it is none."""
    return stored(flat_yaml.read(file), str(file))


def _parse_sets(sets: Iterable[str], mistakes: list[str]) -> dict[str, str]:
    values = {}
    for item in sets:
        key, equals, value = item.partition("=")
        if equals:
            values[key.strip()] = value.strip()
        else:
            mistakes.append(f"--set {item}: must be key=value")
    return values
