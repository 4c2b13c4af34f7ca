"""The formats that a classifier is exported to, as a table. Knows nothing of TensorFlow.

How a row is written and run again is in the module of the same name in engine/export/.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from tl_cli.errors import TLError, did_you_mean, unknown

QUANTIZED = ("float16", "int8")


@dataclass(frozen=True)
class Format:
    """One format: everything that is known of it before the framework is loaded."""

    name: str  # also that of its module in engine/export/
    title: str
    ending: str  # of the file; "" for a folder
    needs: tuple[str, ...] = ()  # modules that its extra brings; the last one runs the file
    quantized: tuple[str, ...] = QUANTIZED
    library: str = ""  # what the Hugging Face Hub calls the library that opens it; "": as here

    @property
    def library_name(self) -> str:
        """What the Hub calls the library that opens the file."""
        return self.library or self.name

    def file_name(self, quantize: str | None) -> str:
        """Return what the exported file is called if the user does not say."""
        base = "model" if self.ending else self.name
        return base + (f"-{quantize}" if quantize else "") + self.ending


FORMATS = {
    row.name: row
    for row in (
        Format("saved_model", "SavedModel", "", quantized=(), library="tensorflow"),
        Format("keras", "Keras", ".keras", quantized=()),
        Format("onnx", "ONNX", ".onnx", ("onnx", "tf2onnx", "onnxruntime")),
        Format("litert", "LiteRT", ".tflite", ("ai_edge_litert",)),
        Format("openvino", "OpenVINO", ".xml", ("nncf", "openvino")),
    )
}

ALL = "all"
ALIASES = {  # what people type for a row of FORMATS
    "tf": "saved_model",
    "tensorflow": "saved_model",
    "savedmodel": "saved_model",
    "keras3": "keras",
    "tflite": "litert",
    "tf_lite": "litert",
    "tensorflow_lite": "litert",
    "lite": "litert",
    "ort": "onnx",
    "onnxruntime": "onnx",
    "openvino_ir": "openvino",
    "ir": "openvino",
}
REFUSED = {  # what people type and will not get: why, and what does instead
    "torch": (
        "PyTorch opens no network of TensorFlow, and tl trains with TensorFlow",
        "--format onnx runs without TensorFlow, and onnx2torch makes a torch module of it",
    ),
    "torchscript": (
        "TorchScript is made from PyTorch networks, and tl trains with TensorFlow",
        "--format onnx runs in C++ and Python without TensorFlow",
    ),
    "coreml": (
        "Core ML is written by Apple's coremltools, on a Mac",
        "--format saved_model is what its convert() takes",
    ),
    "tensorrt": (
        "a TensorRT engine is built on the GPU that runs it",
        "--format onnx is what trtexec takes",
    ),
    "tfjs": (
        "tl writes no TensorFlow.js",
        "--format onnx runs in the browser: the page beside the file shows how",
    ),
    "h5": (
        "HDF5 files of whole networks are what Keras 2 wrote",
        "--format keras is what Keras 3 opens",
    ),
    "safetensors": (
        "safetensors holds weights and no network",
        "--format keras or onnx holds both",
    ),
}
SAME_REFUSAL = {
    "pytorch": "torch", "pt": "torch", "pth": "torch", "libtorch": "torchscript",
    "core_ml": "coreml", "mlmodel": "coreml", "mlpackage": "coreml", "trt": "tensorrt",
    "tensorflowjs": "tfjs", "tf_js": "tfjs", "js": "tfjs", "hdf5": "h5",
}  # fmt: skip


def named(name: str) -> str:
    """Return the name of the row that someone means. Raises TLError for what there will not be."""
    typed = name.strip().lower().replace("-", "_").replace(" ", "_").lstrip(".")
    typed = SAME_REFUSAL.get(typed, typed)
    if typed in REFUSED:
        why, instead = REFUSED[typed]
        raise TLError(f"there is no format '{name}': {why}", instead)
    return ALIASES.get(typed, typed)


def chosen(name: str, quantize: str | None = None) -> tuple[list[Format], list[str]]:
    """Return the formats that a name stands for, and why some are left out of `all`.

    Raises TLError where one that is named is not known, not installed, or not quantized so.
    """
    if named(name) != ALL:
        return [get(name, quantize)], []
    rows, reasons = [], []
    _check_quantization(quantize)
    for row in FORMATS.values():
        try:
            rows.append(get(row.name, quantize))
        except TLError as error:
            wanted = f" ({error.hint})" if error.hint.startswith("pip") else ""
            reasons.append(f"{row.title} is left out: {error.message}{wanted}")
    if not rows:
        raise TLError("no format can be written here", reasons[0])
    return rows, reasons


def get(name: str, quantize: str | None = None) -> Format:
    """Return a format. Raises TLError where it is not known, not installed, or not quantized so."""
    key = named(name)
    if key not in FORMATS:
        near = did_you_mean(key, (*FORMATS, ALL, *ALIASES))
        raise TLError(
            f"unknown format '{name}'" + (f": {near}" if near else ""),
            f"valid: {', '.join((*FORMATS, ALL))}",
        )
    row = FORMATS[key]
    _check_quantization(quantize)
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


def _check_quantization(quantize: str | None) -> None:
    if quantize is not None and quantize not in QUANTIZED:
        raise unknown("quantization", quantize, QUANTIZED)
