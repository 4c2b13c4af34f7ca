"""A pass that is cut off goes on with the same bits, whichever of its tables was ahead."""

import numpy as np
import pytest

from tiny import coloured, split_of, tiny_backbone
from tl_cli.engine import features
from tl_cli.engine.features import FeatureSpec

SPECS = (
    FeatureSpec((4, 6), dtype="float32", pixels=True),
    FeatureSpec((), 4, dtype="float32"),
    FeatureSpec(moments=True, dtype="float32"),
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return split_of(coloured(tmp_path_factory.mktemp("data") / "set", 16)).records


@pytest.fixture
def rows(records, monkeypatch, tmp_path):
    """Return a function: the rows of all tables, after these had those of the first images."""
    backbone = tiny_backbone()

    def computed(name, ahead=(), most=0):
        monkeypatch.setenv("TL_CACHE", str(tmp_path / name))
        (tmp_path / name).mkdir()
        if ahead:
            features.extract(backbone, records[:most], [SPECS[i] for i in ahead])
        return [rows.array() for rows in features.extract(backbone, records, SPECS)]

    return computed


@pytest.mark.others_long(1)
@pytest.mark.parametrize("ahead", [(2,), (0, 2), (1, 2)])
def test_whichever_table_is_ahead(rows, ahead):
    whole = rows("whole")
    for most in (32, 48):
        cut = rows(f"cut-{most}", ahead, most)
        assert all(np.array_equal(a, b) for a, b in zip(cut, whole, strict=True))
