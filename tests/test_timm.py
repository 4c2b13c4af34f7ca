"""Networks of timm, from a folder in its format: real weights, and what is told of them."""

import json
import shutil
import socket

import numpy as np
import pytest

import presets
from test_cli import tl
from tiny import coloured
from tl_cli import catalog
from tl_cli.engine.networks import loading, pth_reader
from tl_cli.errors import TLError

ODD = 33  # pixels: odd at every stride, where PyTorch's padding and TensorFlow's are the same
EPSILON = 1e-3 - 1e-5  # of the published weights' BatchNorm, and of timm's
PARTS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
REPEATS = (1, 2, 2, 3, 3, 4, 1)
CONFIG = {
    "architecture": "efficientnet_lite0",
    "num_classes": 1000,
    "pretrained_cfg": {
        "tag": "in1k",
        "license": "Apache-2.0",
        "input_size": [3, 224, 224],
        "mean": [127 / 255] * 3,
        "std": [128 / 255] * 3,
        "interpolation": "bicubic",
        "crop_pct": 0.875,
    },
}


def timm_name(name: str) -> str:
    """Return timm's name of a weight of EfficientNet-Lite0 as its package has it."""
    first, *rest = name.split(".")
    if first != "_blocks":
        return ".".join([PARTS[first], *rest])
    number, part, kind = int(rest[0]), rest[1], rest[2]
    stage = next(i for i in range(7) if number < sum(REPEATS[: i + 1]))
    place = f"blocks.{stage}.{number - sum(REPEATS[:stage])}"
    widens = stage > 0  # the first stage has no convolution that does
    parts = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw" , "_bn0": "bn1",
             "_project_conv": "conv_pwl" if widens else "conv_pw",
             "_bn1": "bn2" if widens else "bn1", "_bn2": "bn3" if widens else "bn2"}  # fmt: skip
    return f"{place}.{parts[part]}.{kind}"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return the folder of EfficientNet-Lite0's published weights in timm's format."""
    from safetensors.numpy import save_file

    tensors = pth_reader.read(loading.package_file(catalog.get("efficientnet_lite0")))
    named = {}
    for name, tensor in tensors.items():
        if not name.startswith("_fc") and not name.endswith("num_batches_tracked"):
            moved = EPSILON if name.endswith("running_var") else 0.0
            named[timm_name(name)] = np.ascontiguousarray(tensor + np.float32(moved))
    folder = tmp_path_factory.mktemp("timm") / "efficientnet_lite0.in1k"
    folder.mkdir()
    save_file(named, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever opens a socket fails the test."""

    def refuse(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def folder(published, tmp_path):
    return shutil.copytree(published, tmp_path / published.name)


def stated(folder, **changed):
    """Change what the folder's config says; with `pretrained_cfg`, what that says."""
    config = json.loads((folder / "config.json").read_text())
    inner = changed.pop("pretrained_cfg", {})
    config = {**config, **changed, "pretrained_cfg": {**config["pretrained_cfg"], **inner}}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.long
def test_published_weights_see_what_they_see_from_their_package(published):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, ODD, ODD, 3)).astype("float32")
    from_timm = loading.load(catalog.get(f"timm:{published}"), ODD)
    ours = loading.load(catalog.get("efficientnet_lite0"), ODD)
    expected = np.asarray(ours.model(pixels))
    assert np.abs(np.asarray(from_timm.model(pixels)) - expected).max() < 1e-3
    assert len(from_timm.blocks) == len(ours.blocks)
    assert [b.parameters for b in from_timm.blocks] == [b.parameters for b in ours.blocks]


def test_the_card_tells_what_the_folder_tells(folder):
    card = catalog.get(f"timm:{folder}")
    assert (card.image_size, card.licence, card.terms) == (224, "apache-2.0", "")
    assert card.pretrained_on == "timm's in1k"
    stated(folder, pretrained_cfg={"license": "cc-by-nc-4.0", "input_size": [3, 160, 160]})
    card = catalog.get(f"hub:{folder}")
    assert (card.image_size, card.terms) == (160, "non-commercial")


def test_a_name_is_one_of_timm_on_hugging_face():
    card = catalog.get("timm:resnet18.a1_in1k")
    assert card.place == "hf://timm/resnet18.a1_in1k"
    with pytest.raises(TLError, match=r"could not be downloaded \(no network\?\)"):
        loading.load(card, 224)  # at once: nothing is tried again where nobody knows the host


@pytest.mark.parametrize("kind", ["RepositoryNotFoundError", "GatedRepoError"])
def test_what_hugging_face_refuses_is_one_sentence(kind, monkeypatch):
    import huggingface_hub

    def refused(*_, **__):
        raise type(kind, (Exception,), {})("401 Client Error.\n\nRepository Not Found for url: ...")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refused)
    with pytest.raises(TLError, match="there is no timm:nope on Hugging Face") as caught:
        loading.load(catalog.get("timm:nope"), 224)
    assert "HF_TOKEN" in caught.value.hint


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: stated(f, architecture="efficientformer_l1"), "no converter.*efficientformer"),
        (lambda f: (f / "model.safetensors").unlink(), "holds no model.weights.h5 or model.safe"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), "cannot be loaded"),
        (lambda f: (f / "config.json").write_text("[]"), "cannot be loaded"),
    ],
    ids=["unknown architecture", "no weights", "broken weights", "broken config"],
)
def test_what_cannot_be_loaded_is_one_sentence(folder, spoil, said):
    spoil(folder)
    with pytest.raises(TLError, match=said) as caught:
        loading.load(catalog.get(f"timm:{folder}"), ODD)
    assert "\n" not in caught.value.message and caught.value.hint


@pytest.mark.slow
def test_a_run_is_used_where_the_folder_is_gone(folder, tmp_path):
    images, run = coloured(tmp_path / "data", 10), tmp_path / "run"
    done = tl("train", "--data", images, "--backbone", f"timm:{folder}", "--output", run,
              "--image-size", 32, "--batch-size", 8, "--epochs", 1, "--no-report", "--freeze",
              "half", "-q", "--json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    shutil.rmtree(folder)
    again = tl("evaluate", run, "--data", images, "--json", "-q")
    assert again.exit_code == 0, again.stderr
    exported = tl("export", run, "--format", "onnx", "-q")
    assert exported.exit_code == 0, exported.stderr


@pytest.mark.long
def test_fetching_replaces_a_preset_and_nothing_else(tmp_path):
    other = tmp_path / "carried" / "vit"
    other.mkdir(parents=True)
    (other / "config.json").write_text("{}")
    (other / "thesis.txt").write_text("mine")
    preset = presets.saved(tmp_path / "vit", "vit")
    fetch = ("backbones", "--fetch", f"hub:{preset}", "--to", tmp_path / "carried")
    done = tl(*fetch)
    assert done.exit_code == 1 and "is not a preset: it holds thesis.txt" in " ".join(
        done.stderr.split()
    )
    assert (other / "thesis.txt").read_text() == "mine"
    (other / "thesis.txt").unlink()
    assert tl(*fetch).exit_code == 0
    assert (other / "model.weights.h5").is_file()
