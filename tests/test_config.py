"""File, --set and flags: who beats whom, what is coerced, and that all mistakes come together."""

from pathlib import Path

import pytest

from tl_cli import config
from tl_cli.errors import TLError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_a_flag_beats_set_which_beats_the_file_which_beats_the_default(tmp_path):
    file = write(tmp_path, "data: a\nseed: 1\nepochs: 1\nbatch_size: 1\n")
    loaded = config.load(file, ["epochs=2", "batch_size=2"], {"batch_size": "3"})
    assert (loaded.seed, loaded.epochs, loaded.batch_size) == (1, 2, 3)
    assert loaded.val == 0.2


def test_scalars_are_coerced_by_the_type_of_their_field(tmp_path):
    file = write(tmp_path, "data: 007\nlearning_rate: 1e-3\nepochs: 010\nfreeze: 0.50\nval: .3\n")
    loaded = config.load(file)
    assert (loaded.data, loaded.learning_rate, loaded.epochs) == ("007", 1e-3, 10)
    assert (loaded.freeze, loaded.val) == ("0.5", 0.3)


@pytest.mark.parametrize("nothing", ["auto", "null", "~", ""])
def test_nothing_can_be_spelt_in_several_ways(tmp_path, nothing):
    assert config.load(write(tmp_path, f"data: a\nepochs: {nothing}\n")).epochs is None


def test_all_mistakes_are_reported_together(tmp_path):
    file = write(tmp_path, "data: a\nepochs: many\nlerning_rate: 0.1\n")
    with pytest.raises(TLError) as caught:
        config.load(file, ["seed=-1", "nonsense"], {"backbone": "efficientnet_light0"})
    message = caught.value.message
    assert message.startswith("5 mistakes")
    expected = (
        *("epochs", "'many'", "lerning_rate", "did you mean 'learning_rate'?", "seed"),
        *("--set nonsense: must be key=value", "did you mean 'efficientnet_lite0'?"),
    )
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("freeze", "hlaf", "did you mean 'half'?"),
        ("freeze", "1.5", "from 0"),
        ("similarity", "hihg", "did you mean 'high'?"),
        ("precision", "float16", "mixed_float16"),
        ("image_size", "8", "greater than or equal to 32"),
        ("learning_rate", "-1", "greater than 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_valid(flag, value, said):
    with pytest.raises(TLError, match=flag) as caught:
        config.load(flags={"data": "a", flag: value})
    assert said in caught.value.message


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [1\n"])
def test_a_file_that_is_no_mapping_is_one_sentence(tmp_path, text):
    with pytest.raises(TLError, match=r"run\.yaml"):
        config.load(write(tmp_path, text))


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(TLError, match="not found"):
        config.load(tmp_path / "none.yaml")


def test_yaml_cannot_make_objects(tmp_path):
    bad = "data: !!python/object/apply:os.system ['echo run']\n"
    with pytest.raises(TLError):
        config.load(write(tmp_path, bad))


def test_what_is_written_reads_back_equal(tmp_path):
    first = config.load(flags={"data": "Bilder/Äpfel", "freeze": "half", "epochs": "3"})
    assert config.load(write(tmp_path, first.to_yaml())) == first


CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


def test_three_configurations_are_shipped():
    assert len(CONFIGS) >= 3


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads_and_opens_with_its_command(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# tl train --config configs/" + path.name)
    assert any(line.startswith("# Expect") for line in lines)
    config.load(path, flags={"data": "somewhere"})


def test_quick_is_the_head_alone():
    assert config.load(flags={"data": "d", "effort": "quick"}).freeze == "head"
    assert config.load(flags={"data": "d", "effort": "quick", "freeze": "head"}).freeze == "head"
    assert config.load(flags={"data": "d"}).freeze == "auto"


def test_the_configuration_of_a_run_is_read_as_it_was_decided(tmp_path):
    """`quick` cannot be asked for with a freeze ratio, and comes to one."""
    decided = config.RunConfig(data="d", effort="quick", freeze="1")
    (tmp_path / "config.yaml").write_text(decided.to_yaml())
    assert config.of_run(tmp_path / "config.yaml") == decided
    with pytest.raises(TLError, match="not found"):
        config.of_run(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("flags", "backbone"),
    [
        ({}, "best"),
        ({"backbone": "resnet18"}, "resnet18"),
        ({"weights": "a.weights.h5"}, "efficientnet_lite0"),
        ({"effort": "normal"}, "efficientnet_lite0"),
    ],
)
def test_the_thorough_find_the_network_out_unless_it_is_named(flags, backbone):
    assert config.load(flags={"data": "d", "effort": "thorough", **flags}).backbone == backbone


@pytest.mark.parametrize(
    ("effort", "other", "said"),
    [
        ("quick", {"freeze": "half"}, "trains the head alone, so it cannot go with freeze half"),
        ("thorough", {"freeze": "head"}, "finds out how much to freeze"),
        ("quick", {"from_scratch": True}, "cannot go with from_scratch"),
    ],
)
def test_an_effort_that_contradicts_the_plan_is_told(effort, other, said):
    with pytest.raises(TLError, match=said):
        config.load(flags={"data": "d", "effort": effort, **other})
