"""The fused linear layer: flatten -> Linear -> scale -> activation -> clip, as the chip does it.

The chip runs a linear layer as a 1x1 convolution on 1x1 data, into which it can flatten up to 256
pixels times passes on the way in (ai8x-synthesis README, "Linear"; at most 1024 inputs and 1024
outputs). ``op.weight`` is [out, in], as in ai8x-training's ``Linear``.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ai8x_models.layers.fused import FusedLayer
from ai8x_models.spec.layer import Activation, Join
from synthesize.chip.limits import MAX_CHANNELS


class FusedLinear(FusedLayer):
    """Linear layer on ``[N, C, H, W]`` (or ``[N, C]``) with C * H * W = ``in_features``.

    The data is laid out channel by channel, as ``torch.flatten`` does. The output has the shape
    ``[N, out_features, 1, 1]``, so that layers of either kind can follow each other.

    Raises:
        ValueError: more than 1024 inputs or outputs, or a wide layer with an activation.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        activation: Activation = "none",
        wide: bool = False,
        joined: Join = "concat",
        shift_quantile: float = 1.0,
    ) -> None:
        if max(in_features, out_features) > MAX_CHANNELS:
            raise ValueError(
                f"{in_features} -> {out_features}; the chip has at most {MAX_CHANNELS} of either"
            )
        super().__init__(
            nn.Linear(in_features, out_features, bias),
            activation=activation,
            wide=wide,
            joined=joined,
            shift_quantile=shift_quantile,
        )

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x.flatten(1), weight, bias)[:, :, None, None]
