"""keras.applications as rows: each network there of which Keras publishes ImageNet weights.

Left out: ConvNeXtXLarge, whose weights alone take 1.4 GB. Licences are those of the weights' first
publishers, as keras.io/api/applications and their own repositories name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tl_cli.cards.card import Card

ONE_K, THROUGH_21K = "ImageNet-1k", "ImageNet-21k, then ImageNet-1k"
KERAS = "keras.io/api/applications"
MOBILENET = "arXiv:1704.04861, table 6"
MOBILENET_V2 = "github.com/tensorflow/models, slim/nets/mobilenet"
MOBILENET_V3 = "keras.applications.mobilenet_v3, its table"
APACHE, MIT, BSD, CC_BY = "Apache-2.0", "MIT", "BSD-3-Clause", "CC BY 4.0"

Row = tuple[str, str, int, float]  # name, function of keras.applications, image size, top-1

CONVNEXT: tuple[Row, ...] = (
    ("convnext_tiny", "ConvNeXtTiny", 224, 81.3),
    ("convnext_small", "ConvNeXtSmall", 224, 82.3),
)
CONVNEXT_21K: tuple[Row, ...] = (
    ("convnext_base", "ConvNeXtBase", 224, 85.3),
    ("convnext_large", "ConvNeXtLarge", 224, 86.3),
)
RESCALING_INSIDE: tuple[Row, ...] = (
    ("efficientnetv2_b0", "EfficientNetV2B0", 224, 78.7),
    ("efficientnetv2_b1", "EfficientNetV2B1", 240, 79.8),
    ("efficientnetv2_b2", "EfficientNetV2B2", 260, 80.5),
    ("efficientnetv2_b3", "EfficientNetV2B3", 300, 82.0),
    ("efficientnetv2_s", "EfficientNetV2S", 384, 83.9),
    ("efficientnetv2_m", "EfficientNetV2M", 480, 85.3),
    ("efficientnetv2_l", "EfficientNetV2L", 480, 85.7),
    ("efficientnet_b0", "EfficientNetB0", 224, 77.1),
    ("efficientnet_b1", "EfficientNetB1", 240, 79.1),
    ("efficientnet_b2", "EfficientNetB2", 260, 80.1),
    ("efficientnet_b3", "EfficientNetB3", 300, 81.6),
    ("efficientnet_b4", "EfficientNetB4", 380, 82.9),
    ("efficientnet_b5", "EfficientNetB5", 456, 83.6),
    ("efficientnet_b6", "EfficientNetB6", 528, 84.0),
    ("efficientnet_b7", "EfficientNetB7", 600, 84.3),
)
RESNETS: tuple[Row, ...] = (
    ("resnet50", "ResNet50", 224, 74.9),
    ("resnet101", "ResNet101", 224, 76.4),
    ("resnet152", "ResNet152", 224, 76.6),
)
RESNETS_V2: tuple[Row, ...] = (
    ("resnet50_v2", "ResNet50V2", 224, 76.0),
    ("resnet101_v2", "ResNet101V2", 224, 77.2),
    ("resnet152_v2", "ResNet152V2", 224, 78.0),
)
DENSENETS: tuple[Row, ...] = (
    ("densenet121", "DenseNet121", 224, 75.0),
    ("densenet169", "DenseNet169", 224, 76.2),
    ("densenet201", "DenseNet201", 224, 77.3),
)
INCEPTIONS: tuple[Row, ...] = (  # the smallest input by the paddings that they lack
    ("inception_v3", "InceptionV3", 299, 77.9),
    ("inception_resnet_v2", "InceptionResNetV2", 299, 80.3),
)
NASNETS: tuple[Row, ...] = (
    ("nasnet_mobile", "NASNetMobile", 224, 74.4),
    ("nasnet_large", "NASNetLarge", 331, 82.5),
)
VGGS: tuple[Row, ...] = (("vgg16", "VGG16", 224, 71.3), ("vgg19", "VGG19", 224, 71.3))


def _card(
    row: Row,
    preprocessing: str,
    licence: str,
    *,
    trained: str = ONE_K,
    source: str = KERAS,
    smallest: int = 32,
    arguments: Mapping[str, float] = MappingProxyType({}),
) -> Card:
    name, place, size, top1 = row
    return Card(
        name=name,
        source="keras",
        place=place,
        image_size=size,
        preprocessing=preprocessing,
        pretrained_on=trained,
        licence=licence,
        smallest=smallest,
        arguments=tuple(arguments.items()),
        top1=top1,
        top1_from=source,
    )


def _mobilenet(name: str, alpha: float, top1: float) -> Card:
    row = (name, "MobileNet", 224, top1)
    return _card(row, "tf", APACHE, source=MOBILENET, arguments={"alpha": alpha})


def _mobilenet_v2(name: str, alpha: float, top1: float) -> Card:
    row = (name, "MobileNetV2", 224, top1)
    return _card(row, "tf", APACHE, source=MOBILENET_V2, arguments={"alpha": alpha})


def _mobilenet_v3(name: str, size: str, top1: float, **arguments: float) -> Card:
    row = (name, f"MobileNetV3{size}", 224, top1)
    return _card(row, "included", APACHE, source=MOBILENET_V3, arguments=arguments)


CARDS = (
    _mobilenet("mobilenet_025", 0.25, 50.6),
    _mobilenet("mobilenet_050", 0.5, 63.7),
    _mobilenet("mobilenet_075", 0.75, 68.4),
    _mobilenet("mobilenet", 1.0, 70.6),
    _mobilenet_v2("mobilenet_v2_035", 0.35, 60.3),
    _mobilenet_v2("mobilenet_v2_050", 0.5, 65.4),
    _mobilenet_v2("mobilenet_v2_075", 0.75, 69.8),
    _mobilenet_v2("mobilenet_v2", 1.0, 71.8),
    _mobilenet_v2("mobilenet_v2_130", 1.3, 74.4),
    _mobilenet_v2("mobilenet_v2_140", 1.4, 75.0),
    _mobilenet_v3("mobilenet_v3_small_minimalistic", "Small", 61.9, minimalistic=True),
    _mobilenet_v3("mobilenet_v3_small_075", "Small", 65.4, alpha=0.75),
    _mobilenet_v3("mobilenet_v3_small", "Small", 68.1),
    _mobilenet_v3("mobilenet_v3_large_minimalistic", "Large", 72.3, minimalistic=True),
    _mobilenet_v3("mobilenet_v3_large_075", "Large", 73.3, alpha=0.75),
    _mobilenet_v3("mobilenet_v3_large", "Large", 75.6),
    *(_card(row, "included", APACHE) for row in RESCALING_INSIDE),
    *(_card(row, "included", MIT) for row in CONVNEXT),
    *(_card(row, "included", MIT, trained=THROUGH_21K) for row in CONVNEXT_21K),
    *(_card(row, "caffe", MIT) for row in RESNETS),
    *(_card(row, "tf", MIT) for row in RESNETS_V2),
    *(_card(row, "torch", BSD) for row in DENSENETS),
    _card(("xception", "Xception", 299, 79.0), "tf", MIT, smallest=71),
    *(_card(row, "tf", APACHE, smallest=75) for row in INCEPTIONS),
    *(_card(row, "tf", APACHE) for row in NASNETS),
    *(_card(row, "caffe", CC_BY) for row in VGGS),
)
