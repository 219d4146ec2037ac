"""Fused convolutions: 2D, 1D and transposed, each with what may stand in front of and behind it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ai8x_models.layers import exact
from ai8x_models.layers.fused import FusedLayer
from ai8x_models.spec.layer import Activation, Join, Pooling, Size
from synthesize.chip.limits import MAX_CONV1D_LENGTH, MAX_PADDING

BN_MOMENTUM = 0.05  # as in ai8x-training


class FusedConv2d(FusedLayer):
    """Pool -> Conv2d -> (BatchNorm) -> scale -> activation -> clip, as the chip does in one layer.

    ``stride`` 2 is allowed here because the compiler can rewrite it exactly; everything else is
    limited to what the chip has (kernel 1 or 3, padding 0..2, dilation 1, one group).

    Raises:
        ValueError: another kernel or padding, or a wide layer with an activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        pool: Size = 1,
        pool_stride: Size | None = None,
        pooling: Pooling = "max",
        batchnorm: bool = False,
        activation: Activation = "none",
        wide: bool = False,
        joined: Join = "concat",
        bias: bool = True,
        shift_quantile: float = 1.0,
        fold: int = 1,
    ) -> None:
        if kernel_size not in (1, 3):
            raise ValueError(f"kernel_size is {kernel_size}; the chip has 1 and 3")
        padding = kernel_size // 2 if padding is None else padding
        _check_padding(padding)
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias),
            nn.BatchNorm2d(out_channels, momentum=BN_MOMENTUM) if batchnorm else None,
            pool=pool,
            pool_stride=pool_stride,
            pooling=pooling,
            activation=activation,
            wide=wide,
            joined=joined,
            shift_quantile=shift_quantile,
            fold=fold,
        )

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.op.stride, self.op.padding)

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return exact.convolve(x, weight, self.op.stride, self.op.padding)


class FusedConvTranspose2d(FusedLayer):
    """Pool -> ConvTranspose2d 3x3 with stride 2 -> (BatchNorm) -> scale -> activation -> clip.

    The output has twice the rows and columns of the input with padding 1; ``op.weight`` is
    [in, out, 3, 3] as in torch.

    Raises:
        ValueError: another kernel or padding, or a wide layer with an activation.
    """

    out_axis = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        padding: int = 1,
        pool: Size = 1,
        pool_stride: Size | None = None,
        pooling: Pooling = "max",
        batchnorm: bool = False,
        activation: Activation = "none",
        wide: bool = False,
        joined: Join = "concat",
        bias: bool = True,
        shift_quantile: float = 1.0,
    ) -> None:
        if kernel_size != 3:
            raise ValueError(f"kernel_size is {kernel_size}; transposed convolutions have 3")
        _check_padding(padding)
        super().__init__(
            nn.ConvTranspose2d(
                in_channels, out_channels, 3, 2, padding, output_padding=1, bias=bias
            ),
            nn.BatchNorm2d(out_channels, momentum=BN_MOMENTUM) if batchnorm else None,
            pool=pool,
            pool_stride=pool_stride,
            pooling=pooling,
            activation=activation,
            wide=wide,
            joined=joined,
            shift_quantile=shift_quantile,
        )

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv_transpose2d(x, weight, bias, 2, self.op.padding, 1)

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        # The same as a plain convolution of the data with zeros in between.
        spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        spread[:, :, ::2, ::2] = x
        pad = 2 - self.op.padding[0], 2 - self.op.padding[1]
        return exact.convolve(spread, weight.transpose(0, 1).flip(2, 3), (1, 1), pad)


class FusedConv1d(FusedLayer):
    """Pool -> Conv1d -> (BatchNorm) -> scale -> activation -> clip, on one column of data.

    Input ``[N, C, L]`` or ``[N, C, L, 1]``, the output has as many axes. Lengths are 1 to 9 taps;
    a dilated kernel is one with zeros in between, so it may span 9 taps in all.

    Raises:
        ValueError: a kernel, dilation or padding the chip does not have.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        pool: int = 1,
        pool_stride: int | None = None,
        pooling: Pooling = "max",
        batchnorm: bool = False,
        activation: Activation = "none",
        wide: bool = False,
        joined: Join = "concat",
        bias: bool = True,
        shift_quantile: float = 1.0,
    ) -> None:
        span = (kernel_size - 1) * dilation + 1
        if not 1 <= kernel_size <= span <= MAX_CONV1D_LENGTH:
            raise ValueError(
                f"kernel_size {kernel_size} with dilation {dilation} spans {span} taps; the chip "
                f"has 1 to {MAX_CONV1D_LENGTH}"
            )
        padding = min(kernel_size // 2, MAX_PADDING) if padding is None else padding
        _check_padding(padding)
        super().__init__(
            nn.Conv1d(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias),
            nn.BatchNorm1d(out_channels, momentum=BN_MOMENTUM) if batchnorm else None,
            pool=(pool, 1),
            pool_stride=(pool if pool_stride is None else pool_stride, 1),
            pooling=pooling,
            activation=activation,
            wide=wide,
            joined=joined,
            shift_quantile=shift_quantile,
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the layer; data with three axes keeps three."""
        if inputs[0].dim() == 4:
            return super().forward(*inputs)
        return super().forward(*(x[..., None] for x in inputs))[..., 0]

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        op = self.op
        return F.conv2d(
            x, weight[..., None], bias, (op.stride[0], 1), (op.padding[0], 0), (op.dilation[0], 1)
        )

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        op, column = self.op, weight[..., None]
        stride, padding, dilation = (op.stride[0], 1), (op.padding[0], 0), (op.dilation[0], 1)
        return exact.convolve(x, column, stride, padding, dilation)


class FusedPassThrough(FusedLayer):
    """Join and pooling without an operation: sums, stand-alone pooling.

    Its state dictionary is that of ai8x-training: empty for a sum, and for pooling the numbers
    that every layer has.
    """

    def __init__(
        self,
        *,
        pool: Size = 1,
        pool_stride: Size | None = None,
        pooling: Pooling = "max",
        joined: Join = "concat",
    ) -> None:
        super().__init__(None, pool=pool, pool_stride=pool_stride, pooling=pooling, joined=joined)


def _check_padding(padding: int) -> None:
    if not 0 <= padding <= MAX_PADDING:
        raise ValueError(f"padding is {padding}; the chip pads 0 to {MAX_PADDING}")
