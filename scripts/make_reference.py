"""Writes tests/data/efficientnet_liteN_reference.json with PyTorch, independently of our network.

The class scores of three made images, from the very tensors that the package ships, by torch's own
unpickler and torch.nn.functional. Where a stage begins is seen in the file by its width, not taken
from a table. Needs PyTorch, which the project does not:

    python -m venv /somewhere && /somewhere/bin/pip install torch numpy
    PYTHONPATH=tests /somewhere/bin/python scripts/make_reference.py efficientnet_lite1 WEIGHTS.pth
"""

import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from reference_images import reference_images

STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the seven stages' first blocks


def same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """TensorFlow's `same` padding: what is uneven goes to the right and below."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def main(name: str, path: str) -> None:
    state = torch.load(path, map_location="cpu", weights_only=True)

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(same(x, weight.shape[2], stride), weight, stride=stride, groups=groups)

    def norm(x, name):
        parts = [state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, eps=1e-3)

    x = (torch.from_numpy(reference_images()).permute(0, 3, 1, 2) - 127) / 128
    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    stage = -1
    width = None
    for number in range(sum(key.endswith("._project_conv.weight") for key in state)):
        block, before = f"_blocks.{number}", x
        out = state[f"{block}._project_conv.weight"].shape[0]
        step = 1
        if out != width:  # no two stages of these networks are of one width
            stage, width = stage + 1, out
            step = STRIDES[stage]
        if f"{block}._expand_conv.weight" in state:
            x = F.relu6(norm(conv(x, f"{block}._expand_conv"), f"{block}._bn0"))
        x = conv(x, f"{block}._depthwise_conv", step, groups=x.shape[1])
        x = F.relu6(norm(x, f"{block}._bn1"))
        x = norm(conv(x, f"{block}._project_conv"), f"{block}._bn2")
        if step == 1 and x.shape == before.shape:
            x = x + before
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    scores = F.linear(x, state["_fc.weight"], state["_fc.bias"])
    out = Path(__file__).parent.parent / "tests" / "data" / f"{name}_reference.json"
    rows = [[round(v, 5) for v in row] for row in scores[:, ::10].tolist()]
    made_by = f"scripts/make_reference.py, torch {torch.__version__}"
    out.write_text(json.dumps({"made_by": made_by, "every": 10, "scores": rows}) + "\n")
    print(f"wrote {out}; top-1 {scores.argmax(1).tolist()}")


if __name__ == "__main__":
    with torch.no_grad():
        main(*sys.argv[1:])
