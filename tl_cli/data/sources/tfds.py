"""tfds datasets prepared on this machine, ``tfds:NAME[:CONFIG]``: unpacked once into image files.

Reading them needs TensorFlow, which is imported, quietly, only to unpack; after that the list
written beside the files is enough. Downloads nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tl_cli.data.csv_io import read_csv, write_csv
from tl_cli.data.faults import JPEG
from tl_cli.data.manifest import Manifest, Options, Record, natural
from tl_cli.data.sources.split_names import SPLIT_FOLDERS
from tl_cli.errors import TLError, did_you_mean
from tl_cli.quiet import quiet
from tl_cli.store import about_entry, cache_folder

SCHEME = "tfds:"
KIND = "tfds"
# Labelled images in the catalog of tfds, for hints: to ask tfds itself would load TensorFlow.
KNOWN = (
    *("beans", "bigearthnet", "binary_alpha_digits", "caltech101", "caltech_birds2010"),
    *("caltech_birds2011", "cars196", "cassava", "cats_vs_dogs", "cifar10", "cifar100"),
    *("cifar10_1", "cifar10_corrupted", "citrus_leaves", "cmaterdb", "coil100"),
    *("colorectal_histology", "deep_weeds", "diabetic_retinopathy_detection", "dmlab"),
    *("domainnet", "dtd", "emnist", "eurosat", "fashion_mnist", "food101", "horses_or_humans"),
    *("i_naturalist2017", "i_naturalist2018", "i_naturalist2021", "imagenet2012", "imagenet_a"),
    *("imagenet_r", "imagenet_sketch", "imagenet_v2", "imagenette", "imagewang", "kmnist"),
    *("malaria", "mnist", "omniglot", "oxford_flowers102", "oxford_iiit_pet", "patch_camelyon"),
    *("places365_small", "plant_leaves", "plant_village", "plantae_k", "pneumonia_mnist"),
    *("resisc45", "rock_paper_scissors", "siscore", "smallnorb", "so2sat", "stanford_dogs"),
    *("stl10", "sun397", "svhn_cropped", "symmetric_solids", "tf_flowers", "uc_merced"),
)
INFO = "dataset_info.json"  # what tfds writes last, so its presence means prepared


def listed(source: str, options: Options) -> Manifest:
    """List a prepared tfds dataset as image files, with its own splits and class names.

    Raises TLError where it is not prepared, or is not one of labelled images.
    """
    data_dir = Path(
        options.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    ).expanduser()
    where = _version(data_dir, *_names(source))
    folder = _folder(options) / _state(where)
    kept = folder / "manifest.csv"
    if not _is_whole(kept):
        folder.mkdir(exist_ok=True)
        records = tuple(_unpacked(source, where, folder))
        if not records:
            raise TLError(f"'{source}' has no labelled images", f"look at what is in '{where}'")
        write_csv(Manifest(source, (), records), kept)
    about_entry.note(folder, [source])
    return Manifest(source, (), read_csv(kept).records)


def _folder(options: Options) -> Path:
    """Return where datasets are unpacked. Raises TLError where there is no such place."""
    try:
        place = options.cache / KIND if options.cache else cache_folder.kind_folder(KIND)
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TLError(
            f"a tfds dataset is unpacked into the cache: {cache_folder.reason(error)}",
            "name another folder in the environment variable TL_CACHE",
        ) from error
    return place


def _is_whole(kept: Path) -> bool:
    """Return whether a listing and all its images are there, as this version writes them."""
    try:
        return kept.is_file() and all(Path(r.path).is_file() for r in read_csv(kept).records)
    except TLError:
        return False


def _names(source: str) -> tuple[str, str]:
    name, _, config = source.removeprefix(SCHEME).replace("/", ":").partition(":")
    return name, config


def _version(data_dir: Path, name: str, config: str) -> Path:
    """Return the folder of the newest prepared version. Raises TLError if there is none."""
    found = [file.parent for file in data_dir.glob(f"*/*/{INFO}")]
    found += [file.parent for file in data_dir.glob(f"*/*/*/{INFO}")]
    full = {"/".join(path.relative_to(data_dir).parts[:-1]) for path in found}
    mine = [n for n in full if n == (f"{name}/{config}" if config else name)]
    if not mine and not config:
        mine = [n for n in full if n.startswith(f"{name}/")]
    if len(mine) > 1:
        known = ", ".join(f"tfds:{n.replace('/', ':')}" for n in sorted(mine))
        raise TLError(f"'tfds:{name}' is prepared in {len(mine)} configs", f"choose one: {known}")
    if not mine:
        wanted = f"{name}/{config}" if config else name
        raise TLError(
            f"the tfds dataset '{wanted}' is not prepared in '{data_dir}'", _meant(wanted, full)
        )
    versions = [path for path in found if path.parent == data_dir / mine[0]]
    return max(versions, key=lambda path: natural(path.name))


def _meant(wanted: str, prepared: Collection[str]) -> str:
    """Return the hint for a dataset that is not prepared: one that is, else one that can be."""
    for names in (prepared, KNOWN):
        same = [name for name in names if _squeezed(name) == _squeezed(wanted)]
        if same and same[0] != wanted:
            build = "" if names is prepared else f" Prepare it there: tfds build {same[0]}"
            return f"did you mean 'tfds:{same[0].replace('/', ':')}'?{build}"
    if near := did_you_mean(wanted, prepared):
        return near
    name = wanted.partition("/")[0]
    near = "" if name in KNOWN else did_you_mean(wanted, KNOWN)
    if not near and re.fullmatch(r"[a-z]\w*", name, re.A):
        return f"prepare it there: tfds build {wanted}"
    return f"{near} " * bool(near) + "The names are those of the tfds catalog, such as cifar10"


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _state(where: Path) -> str:
    """Return a name that changes whenever the dataset is prepared anew."""
    files = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in where.iterdir())
    return hashlib.blake2b(repr((str(where), files)).encode(), digest_size=16).hexdigest()


def _unpacked(source: str, where: Path, folder: Path) -> Iterator[Record]:
    """Write the encoded images, undecoded, each under its digest, and yield their records."""
    tfds = _tfds()
    builder = tfds.builder_from_directory(where)
    image, label = _features(source, builder, tfds)
    names = builder.info.features[label]
    known = {n: SPLIT_FOLDERS[n] for n in builder.info.splits if n in SPLIT_FOLDERS}
    for name, split in (known or dict.fromkeys(builder.info.splits, "")).items():
        examples = builder.as_dataset(
            split=name, decoders={image: tfds.decode.SkipDecoding()}, shuffle_files=False
        )
        for example in examples.as_numpy_iterator():
            if example[label] >= 0:  # -1 is how tfds marks an image without a label
                path = _written(folder, example[image])
                yield Record(str(path), names.int2str(int(example[label])), split)


def _tfds() -> Any:
    with quiet():
        import tensorflow
        import tensorflow_datasets

        tensorflow.config.list_physical_devices()  # the first call prints too
    return tensorflow_datasets


def _features(source: str, builder: Any, tfds: Any) -> tuple[str, str]:
    """Return the names of the image and of the label."""
    features = builder.info.features
    pair = builder.info.supervised_keys or ()
    chosen = []
    for kind in (tfds.features.Image, tfds.features.ClassLabel):
        names = [name for name, feature in features.items() if isinstance(feature, kind)]
        named = [name for name in names if name in pair] or names
        if len(named) != 1:
            raise TLError(
                f"'{source}' has {len(named)} features of the kind {kind.__name__}, not one",
                f"its features: {', '.join(features)}",
            )
        chosen.append(named[0])
    if features[chosen[0]].np_dtype.kind == "f":
        raise TLError(f"the images of '{source}' are floats, not pixels", "use another dataset")
    return chosen[0], chosen[1]


def _written(folder: Path, data: bytes) -> Path:
    name = hashlib.blake2b(data, digest_size=16).hexdigest()
    path = folder / name[:2] / (name + (".jpg" if data.startswith(JPEG) else ".png"))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{name}.{os.getpid()}")
        beside.write_bytes(data)
        beside.replace(path)
    return path
