"""A data set -> PNG files: samples, augmented ones, images by class, their sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tl_cli.data.decode import open_rgb
from tl_cli.data.manifest import Manifest, Record
from tl_cli.report.canvas import DPI, figure, saved
from tl_cli.report.figures.names import labels
from tl_cli.report.figures.style import ACCENT, DASHED, DIM, SPLITS, axes_of, in_style

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from PIL.Image import Image

T = TypeVar("T")

SAMPLES, CLASSES = "samples.png", "classes.png"
SIZES, AUGMENT = "sizes.png", "augment.png"

THUMBNAIL = 96  # pixels
GAP = 4  # pixels between thumbnails
SAMPLES_A_CLASS = 8
MOST_ROWS = 40  # classes in samples.png; more would not be looked at
MOST_BARS = 80  # classes whose bars are named
WIDE_RANGE = 20  # times; beyond, sizes are drawn on logarithmic axes


def samples_png(manifest: Manifest, folder: Path) -> Path:
    """Draw a row of images for each class, evenly over those that there are."""
    own: dict[str, list[Record]] = {name: [] for name in manifest.classes}
    for record in manifest.records:
        for name in manifest.names(record):
            own[name].append(record)
    names = evenly(manifest.classes, MOST_ROWS)
    rows = [[_thumbnail(r) for r in evenly(own[name], SAMPLES_A_CLASS)] for name in names]
    drawn = [
        f"{text} ({len(own[name]):,})" for text, name in zip(labels(names), names, strict=True)
    ]
    of_how_many = f"{len(names)} of " if len(names) < len(manifest.classes) else ""
    title = f"Samples of {of_how_many}{len(manifest.classes):,} classes (number of images)"
    return saved(_mosaic(rows, drawn, title), folder / SAMPLES)


def augment_png(variants: np.ndarray, names: Sequence[str], level: str, folder: Path) -> Path:
    """Draw images beside their variants: uint8 [n, 1 + variants, s, s, 3], one name an image."""
    from PIL import Image

    side = (THUMBNAIL, THUMBNAIL)
    rows = [[Image.fromarray(image).resize(side) for image in row] for row in variants]
    heads = ["original", *(f"variant {i}" for i in range(1, variants.shape[1]))]
    title = f"Augmentation '{level}', without mirroring (see --mirror)"
    return saved(_mosaic(rows, labels(names), title, heads), folder / AUGMENT)


@in_style
def classes_png(counts: Mapping[str, Mapping[str, int]], folder: Path) -> Path:
    """Draw the images of each class, the largest on top, as a bar with a part for each split."""
    totals: Counter[str] = Counter()
    for own in counts.values():
        totals.update(own)
    names = [name for name, _ in totals.most_common()]
    named = len(names) <= MOST_BARS
    drawn, [axes] = axes_of(8, 1.3 + 0.28 * len(names) if named else 6)
    left = [0] * len(names)
    for split, own in counts.items():
        widths = [own[name] for name in names]
        bars = axes.barh(
            range(len(names)), widths, 0.8 if named else 1, left, color=SPLITS[split], label=split
        )
        left = [a + b for a, b in zip(left, widths, strict=True)]
    if named:
        axes.set_yticks(range(len(names)), labels(names))
        axes.bar_label(bars, [f"{n:,}" for n in left], padding=3)
        axes.margins(x=0.08)
    else:
        axes.set_yticks([])
    axes.set(
        xlabel="images",
        ylabel="" if named else f"{len(names):,} classes, the largest on top",
        ylim=(len(names) - 0.4, -0.6),
    )
    axes.locator_params(axis="x", integer=True)
    axes.grid(visible=False)
    if len(counts) > 1:
        drawn.legend(loc="outside upper right", ncols=len(counts))
    drawn.suptitle("Images of each class", x=0.02, ha="left")
    return saved(drawn, folder / CLASSES)


@in_style
def sizes_png(manifest: Manifest, folder: Path) -> Path:
    """Draw widths against heights; a dot's area says how many images have this size."""
    sizes = Counter((r.width, r.height) for r in manifest.records)
    widths, heights = zip(*sizes, strict=True)
    largest, smallest = max(*widths, *heights), min(*widths, *heights)
    most = max(sizes.values())
    drawn, [axes] = axes_of(7, 6)
    areas = [14 + 200 * n / most if most > 1 else 14 for n in sizes.values()]
    axes.plot([0.1, 2 * largest], [0.1, 2 * largest], color=DIM, lw=1, ls=DASHED, label="square")
    axes.scatter(widths, heights, areas, color=ACCENT, alpha=0.5, linewidths=0)
    axes.set(xlim=(0, 1.08 * max(widths)), ylim=(0, 1.08 * max(heights)))
    if largest > WIDE_RANGE * smallest:
        axes.set(xscale="log", yscale="log")
        axes.set(xlim=(0.7 * min(widths), 1.4 * max(widths)))
        axes.set(ylim=(0.7 * min(heights), 1.4 * max(heights)))
    axes.set(xlabel="width (pixels)", ylabel="height (pixels)")
    axes.set_title(_sizes_title(sizes))
    axes.legend()
    return saved(drawn, folder / SIZES)


def _sizes_title(sizes: Counter[tuple[int, int]]) -> str:
    (width, height), n = sizes.most_common(1)[0]
    if len(sizes) == 1:
        return f"{n:,} images, all of them {width} x {height}"
    return (
        f"{sizes.total():,} images in {len(sizes):,} sizes, most often {width} x {height} ({n:,})"
    )


def evenly(things: Sequence[T], most: int) -> list[T]:
    """Return at most so many things, from first to last."""
    step = max(1.0, len(things) / most)
    return [things[int(i * step)] for i in range(min(most, len(things)))]


def _thumbnail(record: Record) -> Image:
    """Return a whole image in the middle of a white square."""
    from PIL import Image, ImageOps

    image = open_rgb(record, THUMBNAIL)
    resampling = Image.Resampling.BOX if max(image.size) > THUMBNAIL else Image.Resampling.NEAREST
    return ImageOps.pad(image, (THUMBNAIL, THUMBNAIL), resampling, color="white")


def _mosaic(
    rows: Sequence[Sequence[Image]], names: Sequence[str], title: str, heads: Sequence[str] = ()
) -> Figure:
    """Return a figure of square images in rows, each row named at its left."""
    import numpy as np

    step, columns = THUMBNAIL + GAP, max(map(len, rows))
    canvas = np.full((step * len(rows), step * columns, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            canvas[i * step :, j * step :][:THUMBNAIL, :THUMBNAIL] = np.asarray(image)
    drawn = figure(columns * step / DPI, len(rows) * step / DPI)
    drawn.set_layout_engine("none")
    axes = drawn.add_axes((0, 0, 1, 1))  # names and title lie outside; saving makes room for them
    axes.imshow(canvas, interpolation="none")
    axes.set_yticks([i * step + THUMBNAIL / 2 for i in range(len(rows))], names)
    axes.set_xticks([j * step + THUMBNAIL / 2 for j in range(len(heads))], heads)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", pad=10)
    return drawn
