"""What was said of each image comes back from the file as it was."""

import pytest

from tl_cli.errors import TLError
from tl_cli.results.predictions import Prediction, csv_text, read
from tl_cli.store.run_dir import RunDir

ROWS = [
    Prediction('a, "b"/1.png', "val", "cat", "dog", 0.5),
    Prediction("gr\udcfcn/2.png", "test", "dog", "dog", 0.987654),
]


def test_predictions_come_back_as_they_were(tmp_path):
    path = RunDir(tmp_path).write_text("predictions.csv", csv_text(ROWS))
    assert read(path) == ROWS
    assert [each.right for each in ROWS] == [False, True]


@pytest.mark.parametrize(
    "text", ["path,split\nx,y\n", "path,split,label,predicted,probability\na\n"]
)
def test_a_damaged_table_is_one_sentence(tmp_path, text):
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(TLError, match="damaged"):
        read(path)
    with pytest.raises(TLError, match="there is no"):
        read(tmp_path / "no.csv")
