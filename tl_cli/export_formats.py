"""The formats that a classifier is exported to, as a table. Knows nothing of TensorFlow.

How a row is written and run again is in the module of the same name in engine/export/.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from tl_cli.errors import TLError, unknown

QUANTIZED = ("float16", "int8")


@dataclass(frozen=True)
class Format:
    """One format: everything that is known of it before the framework is loaded."""

    name: str  # also that of its module in engine/export/
    title: str
    ending: str  # of the file; "" for a folder
    needs: tuple[str, ...] = ()  # modules that its extra brings; the last one runs the file
    quantized: tuple[str, ...] = QUANTIZED

    def file_name(self, quantize: str | None) -> str:
        """Return what the exported file is called if the user does not say."""
        base = "model" if self.ending else self.name
        return base + (f"-{quantize}" if quantize else "") + self.ending


FORMATS = {
    row.name: row
    for row in (
        Format("saved_model", "SavedModel", "", quantized=()),
        Format("onnx", "ONNX", ".onnx", ("onnx", "tf2onnx", "onnxruntime")),
        Format("litert", "LiteRT", ".tflite", ("ai_edge_litert",)),
        Format("openvino", "OpenVINO", ".xml", ("nncf", "openvino")),
    )
}


def get(name: str, quantize: str | None = None) -> Format:
    """Return a format. Raises TLError where it is not known, not installed, or not quantized so."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)
    row = FORMATS[name]
    if quantize is not None and quantize not in QUANTIZED:
        raise unknown("quantization", quantize, QUANTIZED)
    if quantize is not None and quantize not in row.quantized:
        others = [other.name for other in FORMATS.values() if quantize in other.quantized]
        raise TLError(f"{row.title} has no {quantize} form", f"--format {' or '.join(others)}")
    for module in row.needs:
        if importlib.util.find_spec(module) is None:
            package = module.replace("_", "-")
            raise TLError(
                f"exporting to {row.title} needs {package}, which is not installed",
                f"pip install 'tl-cli[{row.name}]'",
            )
    return row
