"""images -> features, computed once per image and kept on disk: the one pass."""

from tl_cli.engine.features.extraction import BATCH, KIND, extract, images, kept, network
from tl_cli.engine.features.spec import PIXELS, PLAIN, FeatureSpec, View
from tl_cli.store.rows import Rows

__all__ = [
    "BATCH",
    "KIND",
    "PIXELS",
    "PLAIN",
    "FeatureSpec",
    "Rows",
    "View",
    "extract",
    "images",
    "kept",
    "network",
]
