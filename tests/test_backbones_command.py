"""`tl backbones`: what is here, what is to be fetched, what nobody has trained; fetching."""

import json

import pytest
from typer.testing import CliRunner

from tl_cli import catalog
from tl_cli.cli.app import app


def tl(*arguments):
    return CliRunner().invoke(app, [str(a) for a in ("backbones", *arguments)])


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    from tl_cli.cards import presence

    presence._kept.cache_clear()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras"


def groups(text):
    """Return by heading the names that stand below it."""
    found, names = {}, []
    for line in text.splitlines():
        if line[:1].isupper():
            names = found.setdefault(line.split(":")[0].split(",")[0], [])
        elif line[:1].isalpha():
            names.append(line.split()[0])
    return found


def test_the_untrained_stand_apart_and_the_default_is_marked():
    done = tl()
    assert done.exit_code == 0
    found = groups(done.stdout)
    untrained = {name for name, card in catalog.CARDS.items() if not card.pretrained_on}
    assert untrained == set(found["Only from scratch"])
    assert "efficientnet_lite0" in found["Here already"]
    assert not untrained & set(found["To be fetched"] + found["Here already"])
    marked = [line.split()[0] for line in done.stdout.splitlines() if " * " in line]
    assert marked == [catalog.DEFAULT]


FILES = {  # as keras.applications names what it downloads
    "vgg16": "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet50": "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet50_v2": "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "mobilenet_v2_075": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.75_224_no_top.h5",
    "mobilenet_025": "mobilenet_2_5_224_tf_no_top.h5",
    "mobilenet": "mobilenet_1_0_224_tf_no_top.h5",
    "mobilenet_v3_small": "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    "efficientnet_b0": "efficientnetb0_notop.h5",
    "efficientnetv2_s": "efficientnetv2-s_notop.h5",
    "convnext_base": "convnext_base_notop.h5",
    "nasnet_large": "nasnet_large_no_top.h5",
    "inception_resnet_v2": "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
}


@pytest.mark.parametrize("name", FILES)
def test_what_keras_has_fetched_is_here(name, keras_home):
    (keras_home / "models").mkdir(parents=True)
    (keras_home / "models" / FILES[name]).touch()
    rows = json.loads(tl("--json").stdout)
    of_keras = [n for n, row in rows.items() if row["weights"] == "here" and "lite" not in n]
    assert of_keras == [name]


def test_filters():
    small = json.loads(tl("--json", "--max-mb", 10).stdout)
    assert small and all(row["megabytes"] <= 10 for row in small.values())
    assert set(json.loads(tl("--json", "--licence", "bsd").stdout)) == {
        "densenet121", "densenet169", "densenet201"
    }  # fmt: skip
    none = tl("--licence", "secret")
    assert none.exit_code == 1 and "licences: Apache-2.0" in none.stderr


def test_mistakes_of_fetching_are_one_sentence(tmp_path):
    for arguments, said in (
        (("--fetch", "vgg16"), "needs a folder"),
        (("--to", tmp_path), "give both"),
        (("--fetch", "vgg166", "--to", tmp_path), "did you mean 'vgg16'"),
        (("--fetch", "resnet18", "--to", tmp_path), "no pretrained weights of resnet18"),
    ):
        done = tl(*arguments)
        assert done.exit_code == 1
        assert said in done.stderr


@pytest.mark.long
def test_what_is_fetched_is_the_network_elsewhere(tmp_path):
    from reference_images import reference_images
    from tl_cli.engine.networks import loading

    done = tl("--fetch", "efficientnet_lite0", "--to", tmp_path / "carried", "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert [p.name for p in (tmp_path / "carried").iterdir()] == ["efficientnet_lite0.weights.h5"]
    card = catalog.get("efficientnet_lite0")
    first, again = loading.load(card, 64), loading.load(card, 64, said["file"])
    images = reference_images(64)
    assert abs(first.model(images) - again.model(images)).numpy().max() == 0
    assert again.digest == first.digest
