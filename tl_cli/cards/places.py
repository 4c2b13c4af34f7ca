"""Backbones that are named by where they lie, `scheme:place`, and what can be told from there.

Only what a file of JSON says is read, so that a mistake is told at once. Pure.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tl_cli.cards.card import Card
from tl_cli.errors import TLError
from tl_cli.store.reading import json_of

# by scheme, how a name goes on behind it
SCHEMES = {
    "file:": "PATH.keras, a Keras functional model of your own",
    "hub:": "NAME of a KerasHub preset, or a FOLDER that holds one",
    "timm:": "NAME of a model of timm on Hugging Face, or a FOLDER that holds one",
    "hf://": "OWNER/MODEL of Hugging Face, in the format of KerasHub, timm or Transformers",
    "kaggle://": "OWNER/MODEL/keras/VARIANT of Kaggle",
}
DEFAULT_SIZE = 224  # pixels; of a network that takes any
MOST_CONFIG = 50_000_000  # bytes
# by their table of positions; as KerasHub calls them, and as Transformers does
OF_ONE_SIZE = ("ViTBackbone", "DeiTBackbone", "vit", "deit")
RESCALES = ("Rescaling", "Normalization")
CONFIG = "config.json"
WEIGHTS = ("model.weights.h5", "model.safetensors")  # KerasHub's; timm's and Transformers'
UNSTATED = "stated nowhere"


def scheme_of(name: str) -> str:
    """Return the scheme that a name begins with, "" for one of the catalogue."""
    return next((scheme for scheme in SCHEMES if name.startswith(scheme)), "")


def card(name: str, preprocessing: str | None = None) -> Card:
    """Return the card of a place; its preprocessing is "" where it is neither stated nor told.

    What lies there need not be there yet: a run outlives the file it began with.
    """
    scheme = scheme_of(name)
    place = name if scheme.endswith("//") else name.removeprefix(scheme)
    if scheme == "file:":
        size, inside = _file_says(Path(place))
        return Card(
            name=name,
            source="file",
            place=place,
            image_size=size or DEFAULT_SIZE,
            preprocessing=preprocessing or ("included" if inside else ""),
            pretrained_on=UNSTATED,
            licence=UNSTATED,
        )
    if scheme == "timm:" and not is_path(place):
        place = f"hf://timm/{place}"
    config = _preset_config(place)
    size, fixed = size_in(config) if config else _size_in_name(place)
    licence, tag = _timm_says(config)
    return Card(
        name=name,
        source="hub",
        place=place,
        image_size=size or DEFAULT_SIZE,
        preprocessing=preprocessing or "",
        pretrained_on=tag or UNSTATED,
        licence=licence or UNSTATED,
        smallest=size if fixed and size else 32,
        terms="non-commercial" if "-nc" in licence else "",
    )


def check(card: Card) -> None:
    """Raise TLError, with the files that are wanted, where a local place lacks what it must hold.

    A preset's name and an address are not looked up: that takes the network.
    """
    scheme = scheme_of(card.name)
    path = Path(card.place).expanduser()
    if scheme == "file:":
        if not path.is_file():
            raise TLError(f"there is no file '{card.place}'", "give file:PATH.keras, a saved model")
        return
    if not is_folder(card):
        return
    wanted = (CONFIG, " or ".join(WEIGHTS))
    holds = (_holds(path, CONFIG), any(_holds(path, file) for file in WEIGHTS))
    lacking = [file for file, there in zip(wanted, holds, strict=True) if not there]
    if lacking:
        raise TLError(
            f"the folder '{card.place}' holds no {' and no '.join(lacking)}",
            f"put {' and '.join(wanted)} there",
        )


def folder_name(card: Card) -> str:
    """Return what a folder of its own is called: the last part of the place."""
    return card.place.rstrip("/").rsplit("/", 1)[-1] or "preset"


def is_folder(card: Card) -> bool:
    """Return whether a card's network lies in a folder here."""
    return scheme_of(card.name) in ("hub:", "timm:") and is_path(card.place)


def is_path(place: str) -> bool:
    """Return whether a place of hub: or timm: is a folder rather than the name of a preset."""
    if "://" in place:
        return False
    return "/" in place or "\\" in place or place.startswith(("~", ".")) or Path(place).is_dir()


def _holds(folder: Path, file: str) -> bool:
    """Return whether a preset has a file; large weights come in shards with an index beside."""
    stem, ending = file.split(".", 1)
    return (folder / file).is_file() or any(folder.glob(f"{stem}*.{ending.split('.')[0]}*.json"))


def _preset_config(place: str) -> Mapping[str, Any]:
    """Return what a preset that lies here says of itself; nothing of any other."""
    try:
        config = json_of(Path(place).expanduser() / CONFIG)
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def size_in(config: Mapping[str, Any]) -> tuple[int | None, bool]:
    """Return the image size that a preset states, None for any, and whether it takes that alone.

    `config`: its config.json, in the format of KerasHub, Transformers or timm.
    """
    kind = str(config.get("class_name") or config.get("model_type") or "")
    stated = (
        _inside(config, "config", "image_shape")
        or _inside(config, "pretrained_cfg", "input_size")  # [channels, height, width]
        or config.get("image_size")
    )
    size = stated[-2] if isinstance(stated, list) and len(stated) > 1 else stated
    return (size, kind in OF_ONE_SIZE) if isinstance(size, int) else (None, False)


def _timm_says(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the licence of timm's weights and how they came to be, "" where it is not said."""
    licence = _inside(config, "pretrained_cfg", "license")
    tag = _inside(config, "pretrained_cfg", "tag")
    return str(licence or "").lower(), f"timm's {tag}" if tag else ""


def _inside(config: Mapping[str, Any], outer: str, inner: str) -> Any:
    found = config.get(outer)
    return found.get(inner) if isinstance(found, dict) else None


def _size_in_name(place: str) -> tuple[int | None, bool]:
    """Return the same by a preset's name: vit_base_patch16_224_imagenet."""
    name = place.rsplit("/", 1)[-1]
    numbers = re.findall(r"(?<![0-9a-z])(\d{3})(?![0-9a-z])", name)
    return int(numbers[-1]) if numbers else None, name.startswith(("vit_", "deit_"))


def _file_says(path: Path) -> tuple[int | None, bool]:
    """Return the size of a saved model's images, None for any, and whether it rescales them."""
    try:
        config = config_of(path)
    except TLError:
        return None, False
    layers = list(_layers(config))
    shapes = [of["config"].get("batch_shape") for of in layers if of["class_name"] == "InputLayer"]
    sides = [s[1] for s in shapes if isinstance(s, list) and len(s) == 4]
    first = [of["class_name"] for of in layers if of["class_name"] != "InputLayer"][:3]
    size = sides[0] if sides and isinstance(sides[0], int) else None
    return size, any(name in RESCALES for name in first)


def config_of(path: Path) -> dict[str, Any]:
    """Return what a .keras file says of its layers. Raises TLError where it is none."""
    path = path.expanduser()
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("config.json")
            if info.file_size > MOST_CONFIG:
                raise ValueError("its config.json is too large")
            config = json.loads(archive.read(info))
        if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
            raise ValueError("its config.json describes no model")
    except FileNotFoundError:
        raise TLError(f"there is no file '{path}'", "give file:PATH.keras, a saved model") from None
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile) as error:
        raise TLError(
            f"'{path}' is no Keras model: {' '.join(str(error).split())}",
            "save one with model.save('NAME.keras')",
        ) from error
    return config


def _layers(model: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the layers of a description in order, those of models within it in their place."""
    inner = model.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    for layer in layers if isinstance(layers, list) else ():
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
            continue
        if isinstance(layer["config"].get("layers"), list):
            yield from _layers(layer)
        else:
            yield layer
