"""Images on disk -> Manifest: records, labels, splits, bad files. Knows nothing of TensorFlow."""

from tl_cli.manifest.audit import exact_duplicates, findings, near_duplicates
from tl_cli.manifest.columns import column
from tl_cli.manifest.given import given
from tl_cli.manifest.images import open_rgb, open_rgb_bytes
from tl_cli.manifest.records import SPLITS, BadFile, Manifest, Record
from tl_cli.manifest.scanning import scan
from tl_cli.manifest.sources import SOURCES
from tl_cli.manifest.split import assign_splits, limit
from tl_cli.manifest.written import bad_csv_text, read_csv, write_csv

__all__ = [
    "SOURCES",
    "SPLITS",
    "BadFile",
    "Manifest",
    "Record",
    "assign_splits",
    "bad_csv_text",
    "column",
    "exact_duplicates",
    "findings",
    "given",
    "limit",
    "near_duplicates",
    "open_rgb",
    "open_rgb_bytes",
    "read_csv",
    "scan",
    "write_csv",
]
