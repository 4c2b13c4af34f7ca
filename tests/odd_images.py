"""Image files as people have them: turned by EXIF, grey, transparent, CMYK, 16 bit, animated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from conftest import picture

SIZE = (60, 44)


def write_odd(folder: Path, seed: int = 0) -> list[Path]:
    """Write one file of each kind, another picture each; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [picture(seed + i, SIZE) for i in range(7)]
    turned = Image.Exif()
    turned[0x0112] = 6
    made[0].save(folder / "turned.jpg", exif=turned)
    made[1].convert("L").save(folder / "grey.png")
    made[2].putalpha(made[3].convert("L"))
    made[2].save(folder / "alpha.png")
    made[4].convert("CMYK").save(folder / "cmyk.jpg")
    deep = np.asarray(made[5].convert("L")).astype("uint16") * 257
    Image.fromarray(deep).save(folder / "deep.png")
    made[6].save(folder / "moving.gif", save_all=True, append_images=[made[0]])
    return sorted(folder.iterdir())
