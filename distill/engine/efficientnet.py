"""EfficientNet (Tan and Le, ICML 2019) of the transformers library, made so that it can be trained.

Two of the library's choices suit only its own trained weights. It draws first weights of all kinds,
the gains of batch norm included, with a deviation of 0.02, and after a few blocks nothing of the
picture is left; here gains are one, and convolutions keep the variance (He et al., "Delving Deep
into Rectifiers", 2015, counting outputs as the reference implementation does). And the momentum of
its batch norm is TensorFlow's 0.99, which in PyTorch's counting forgets all but the last batch;
here it is 0.01.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from common.errors import UserError

MOMENTUM = 0.01  # of the running statistics, in PyTorch's counting


def library(who: str) -> Any:
    """The transformers library.

    Raises:
        UserError: it is not installed; ``who`` needs it.
    """
    try:
        import transformers
    except ImportError:
        raise UserError(
            f"{who} needs the package 'transformers'; install it with pip install 'pose78[train]', "
            "or choose another network"
        ) from None
    return transformers


def efficientnet(who: str, width: float = 1.0, depth: float = 1.0, **settings: Any) -> Any:
    """An EfficientNet without its classifier, with random weights; 1, 1 is B0.

    ``settings`` go to the library's configuration, whose own defaults describe B7.
    """
    transformers = library(who)
    config = transformers.EfficientNetConfig(
        width_coefficient=width, depth_coefficient=depth, **settings
    )
    network = transformers.EfficientNetModel(config)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = MOMENTUM
            nn.init.ones_(layer.weight)
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[0, 0].numel() * layer.out_channels / layer.groups
            nn.init.normal_(layer.weight, std=(2 / fan_out) ** 0.5)
    return network
