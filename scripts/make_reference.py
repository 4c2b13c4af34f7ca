"""Writes tests/data/efficientnet_lite0_reference.json with PyTorch, independently of our network.

The class scores of three made images, from the very tensors that the package ships, by torch's own
unpickler and torch.nn.functional. Needs PyTorch, which the project does not:

    python -m venv /somewhere && /somewhere/bin/pip install torch numpy
    PYTHONPATH=tests /somewhere/bin/python scripts/make_reference.py WEIGHTS.pth
"""

import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from reference_images import reference_images

STAGES = [
    (1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6)
]  # fmt: skip


def same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """TensorFlow's `same` padding: what is uneven goes to the right and below."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def main(path: str) -> None:
    state = torch.load(path, map_location="cpu", weights_only=True)

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(same(x, weight.shape[2], stride), weight, stride=stride, groups=groups)

    def norm(x, name):
        parts = [state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, eps=1e-3)

    x = (torch.from_numpy(reference_images()).permute(0, 3, 1, 2) - 127) / 128
    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    number = 0
    for repeats, _, stride, expansion in STAGES:
        for repeat in range(repeats):
            name, before = f"_blocks.{number}", x
            if expansion > 1:
                x = F.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
            step = stride if repeat == 0 else 1
            x = conv(x, f"{name}._depthwise_conv", step, groups=x.shape[1])
            x = F.relu6(norm(x, f"{name}._bn1"))
            x = norm(conv(x, f"{name}._project_conv"), f"{name}._bn2")
            if step == 1 and x.shape == before.shape:
                x = x + before
            number += 1
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    scores = F.linear(x, state["_fc.weight"], state["_fc.bias"])
    out = Path(__file__).parent.parent / "tests" / "data" / "efficientnet_lite0_reference.json"
    rows = [[round(v, 5) for v in row] for row in scores[:, ::10].tolist()]
    made_by = f"scripts/make_reference.py, torch {torch.__version__}"
    out.write_text(json.dumps({"made_by": made_by, "every": 10, "scores": rows}) + "\n")
    print(f"wrote {out}; top-1 {scores.argmax(1).tolist()}")


if __name__ == "__main__":
    with torch.no_grad():
        main(sys.argv[1])
