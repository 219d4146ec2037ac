"""Convolutions of any exporter as the kernels the chip has, exactly where that is possible.

The chip convolves 3x3 or 1x1 (1 to 9 taps in 1D) with equal padding of 0 to 2 at both ends, one
group, no dilation in 2D; transposed convolutions are 3x3 with stride 2. Smaller kernels become part
of a larger one with zeros, so that uneven padding can be even; groups become an ordinary
convolution with zeros; a dilated kernel that spans no more taps than the chip has gets zeros in
between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.ptq.net import Op
from quantize.ptq.read import phases, views
from quantize.ptq.read.products import along_channels, pointwise
from quantize.ptq.read.reader import Reader, label, per_axis
from quantize.ptq.read.weights import bias_of, finite
from synthesize.chip.limits import MAX_CONV1D_LENGTH, MAX_PADDING
from synthesize.read.onnx.model import Node

Ends = tuple[int, int]


@dataclass
class _Window:
    """A kernel [out, in, rows, columns] and how it moves; one column where data has one."""

    weight: np.ndarray
    pads: tuple[Ends, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def spatial(self) -> int:
        """Axes it moves along."""
        return len(self.pads)


def convolution(reader: Reader, node: Node) -> Op:
    """Conv in one or two dimensions."""
    from quantize.ptq.read.operators import foreign, out
    from quantize.ptq.read.pooling import resized

    source, weight = reader.data(node), reader.constant(node, 1)
    if weight is None:
        return foreign(reader, node, "Conv with weights that are data", "constant weights")
    if pointwise(node, weight, reader.view(source)):
        return along_channels(reader, node, source, _dense(reader, node, weight, source.shape[0]))
    letters = views.spatial(reader.view(source))
    if letters is None or weight.ndim - 2 != len(letters) or source.name in reader.orders:
        word = f"a convolution in {weight.ndim - 2} dimensions of {views.said(reader.view(source))}"
        return foreign(reader, node, word, "Conv in 1D or 2D, channels in front")
    weight = _dense(reader, node, finite(node, weight), source.shape[0])
    pads, source = _with_padding(
        reader, source, _pads(node, weight, views.dims(letters, source.shape)), letters
    )
    window = _turned(node, weight, pads, letters, source.shape)
    sizes = _result(source.shape, window)
    made = _fitted(window)
    if made is None and window.spatial == 2 and window.strides == (2, 2):
        apart = phases.split(window.weight, window.pads, sizes, source.shape)
        if apart is not None and max(window.dilations) == 1:
            reader.note(f"{label(node)}: stride 2 with pads {_flat(pads)} takes a layer more, "
                        "which sets neighbouring pixels side by side")  # fmt: skip
            return phases.add(
                reader, node, source, apart, bias_of(reader, node, len(weight)), sizes
            )
    if made is None:
        reader.obstacle(node, _why(window), _nearest(window.spatial))
        made = _stand_in(window)
        smaller = sizes[0] <= source.shape[1] and sizes[1] <= source.shape[2]
        if smaller and _moved(source.shape, made, window) != sizes:  # nothing behind is to be wrong
            source = resized(reader, node, source, sizes)
            made = np.zeros((*weight.shape[:2], 3, 3 if window.spatial == 2 else 1)), 1
            window.strides = (1,) * window.spatial
    if len(set(window.strides)) > 1:
        reader.obstacle(node, f"strides {list(window.strides)}", "equal strides, or pooling")
    kind = "conv1d" if window.spatial == 1 else "conv2d"
    op = Op(out(node), kind, [source.name], (len(weight), *sizes), weight=made[0])
    op.bias = bias_of(reader, node, len(weight))
    op.pad, op.stride = made[1], int(max(window.strides))
    return reader.add(node, op, reader.view(reader.data(node)))


def _turned(
    node: Node, weight: np.ndarray, pads: tuple[Ends, ...], letters: str,
    shape: tuple[int, int, int],
) -> _Window:  # fmt: skip
    """A kernel of the model with its axes as rows and columns; along rows alone where it can be."""
    strides = per_axis(node, "strides", len(letters))
    dilations = per_axis(node, "dilations", len(letters))
    if letters == "WH":
        weight, pads = weight.swapaxes(2, 3), pads[::-1]
        strides, dilations = strides[::-1], dilations[::-1]
    if letters == "W":  # one row, of which nothing is above or below
        wide = weight[:, :, None]
        return _Window(wide, ((0, 0), *pads), strides * 2, (1, *dilations))
    weight = weight if len(letters) == 2 else weight[..., None]
    line = shape[2] == 1 < shape[1] and weight.shape[3] == 1 < weight.shape[2]
    if line and pads[1:] in ((), ((0, 0),)):
        return _Window(weight, pads[:1], strides[:1], dilations[:1])
    return _Window(weight, pads, strides, dilations)


def _fitted(window: _Window) -> tuple[np.ndarray, int] | None:
    wide = _spread(window.weight, window.dilations)
    taps = (1, 3) if window.spatial == 2 else tuple(range(wide.shape[2], MAX_CONV1D_LENGTH + 1))
    return fit(wide, window.pads, taps)


def fit(weight: np.ndarray, pads: tuple[Ends, ...], taps: tuple[int, ...]) -> (
    tuple[np.ndarray, int] | None
):  # fmt: skip
    """A kernel and its padding in the smallest form the chip has; None where there is none.

    With K taps and padding P an output sees the inputs from ``i - P``; the described kernel of k
    taps and padding (a, b) the same from ``i - a``. Equal sizes need ``2 P - K = a + b - k``, and
    the kernel stands ``P - a`` taps inside the larger one.
    """
    for size in taps:
        found = []
        for axis, (first, last) in enumerate(pads):
            k = weight.shape[2 + axis]
            twice = first + last - k + size
            pad, odd = divmod(twice, 2)
            inside = pad - first
            if odd or not 0 <= pad <= MAX_PADDING or not 0 <= inside <= size - k or pad >= size:
                break
            found.append((pad, inside, k))
        if len(found) < len(pads) or len({pad for pad, _, _ in found}) > 1:
            continue
        shape = (size, size if len(pads) == 2 else 1)
        whole = np.zeros((*weight.shape[:2], *shape))
        where = [slice(inside, inside + k) for _, inside, k in found] + [slice(None)] * 2
        whole[:, :, where[0], where[1]] = weight
        return whole, found[0][0]
    return None


def transposed(reader: Reader, node: Node) -> Op:
    """ConvTranspose: 3x3 with stride 2, or what can be written as one."""
    from quantize.ptq.read.operators import foreign, out

    source, weight = reader.data(node), reader.constant(node, 1)
    view = reader.view(source)
    if weight is None or weight.ndim != 4 or view != "NCHW":
        return foreign(reader, node, "a transposed convolution but in 2D with constant weights",
                       "ConvTranspose 3x3 with stride 2")  # fmt: skip
    weight = _ungrouped_transposed(reader, node, finite(node, weight))
    pads = _ends(per_axis(node, "pads", 4, 0))
    strides = per_axis(node, "strides", 2)
    extra = node.integers("output_padding") or (0, 0)
    rows, columns = (
        s * (n - 1) + k - a - b + e
        for s, n, k, (a, b), e in zip(
            strides, source.shape[1:], weight.shape[2:], pads, extra, strict=True
        )
    )
    bias = bias_of(reader, node, weight.shape[1])
    by_output = weight.swapaxes(0, 1)
    shape = (weight.shape[1], rows, columns)
    if strides == (1, 1) and extra == (0, 0):
        turned = np.flip(by_output, (2, 3))
        around = tuple(
            (k - 1 - a, k - 1 - b) for k, (a, b) in zip(turned.shape[2:], pads, strict=True)
        )
        fitted = fit(turned, around, (1, 3))
        if fitted is not None:
            op = Op(out(node), "conv2d", [source.name], shape, weight=fitted[0], bias=bias)
            op.pad = fitted[1]
            return reader.add(node, op)
    fitted = _fit_transposed(by_output, pads, extra) if strides == (2, 2) else None
    plain = node.attributes.get("auto_pad", "NOTSET") == "NOTSET"
    if fitted is None or not plain or any(n != 1 for n in node.integers("dilations") or ()):
        size = "x".join(str(n) for n in weight.shape[2:])
        reader.obstacle(
            node, f"a transposed convolution {size} with stride {list(strides)}, pads "
            f"{[n for pair in pads for n in pair]}", "ConvTranspose 3x3 with stride 2, padding 1 "
            "and output padding 1 (twice the size), or 2x2 with stride 2",
        )  # fmt: skip
        fitted = np.zeros((*by_output.shape[:2], 3, 3)), 1
    op = Op(out(node), "convtranspose2d", [source.name], shape, weight=fitted[0], bias=bias)
    op.pad, op.stride = fitted[1], 2
    return reader.add(node, op)


def _fit_transposed(
    weight: np.ndarray, pads: tuple[Ends, ...], extra: tuple[int, ...]
) -> tuple[np.ndarray, int] | None:
    """The same output ``2 i - P + u`` out of a 3x3 kernel with output padding 1."""
    found = []
    for axis, (first, last) in enumerate(pads):
        k = weight.shape[2 + axis]
        pad, odd = divmod(4 - k + first + last - extra[axis], 2)
        inside = pad - first
        if odd or not 0 <= pad <= MAX_PADDING or inside < 0 or inside + k > 3:
            return None
        found.append((pad, slice(inside, inside + k)))
    if found[0][0] != found[1][0]:
        return None
    whole = np.zeros((*weight.shape[:2], 3, 3))
    whole[:, :, found[0][1], found[1][1]] = weight
    return whole, found[0][0]


def _dense(reader: Reader, node: Node, weight: np.ndarray, channels: int) -> np.ndarray:
    """An ordinary convolution in place of one with groups."""
    groups = node.integer("group", 1)
    outputs, per_group = weight.shape[:2]
    if per_group * groups != channels and reader.uncertain(reader.data(node)):
        return np.zeros((outputs, channels, *weight.shape[2:]))
    if per_group * groups != channels or outputs % max(groups, 1):
        raise node.refuse(
            f"weights for {per_group * groups} channels in {groups} groups, but its data has "
            f"{channels}"
        )
    if groups == 1:
        return weight
    whole = np.zeros((outputs, channels, *weight.shape[2:]))
    step = outputs // groups
    for group in range(groups):
        rows = slice(group * step, (group + 1) * step)
        whole[rows, group * per_group : (group + 1) * per_group] = weight[rows]
    kind = "a depthwise convolution" if per_group == 1 else f"a convolution in {groups} groups"
    reader.note(
        f"node {node.name} ({node.op}): {kind}, which the chip does not have, is written as an "
        f"ordinary one with zeros: {groups} times the weights"
    )
    return whole


def _ungrouped_transposed(reader: Reader, node: Node, weight: np.ndarray) -> np.ndarray:
    """[in, out, rows, columns] of one group."""
    groups = node.integer("group", 1)
    if groups == 1:
        return weight
    inputs, per_group = weight.shape[:2]
    whole = np.zeros((inputs, per_group * groups, *weight.shape[2:]))
    step = inputs // groups
    for group in range(groups):
        rows = slice(group * step, (group + 1) * step)
        whole[rows, group * per_group : (group + 1) * per_group] = weight[rows]
    reader.note(f"node {node.name} ({node.op}): {groups} groups are written as one with zeros")
    return whole


def _ends(pads: tuple[int, ...]) -> tuple[Ends, ...]:
    half = len(pads) // 2
    return tuple((pads[i], pads[half + i]) for i in range(half))


def _pads(node: Node, weight: np.ndarray, sizes: tuple[int, ...]) -> tuple[Ends, ...]:
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        strides = per_axis(node, "strides", len(sizes))
        ends = []
        for n, k, s in zip(sizes, weight.shape[2:], strides, strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            small = total // 2
            ends.append((small, total - small) if automatic == "SAME_UPPER" else
                        (total - small, small))  # fmt: skip
        return tuple(ends)
    return _ends(per_axis(node, "pads", 2 * len(sizes), 0))


def _with_padding(
    reader: Reader, source: Op, pads: tuple[Ends, ...], letters: str
) -> tuple[tuple[Ends, ...], Op]:
    """Take over the zeros that a Pad in front adds."""
    if source.kind == "affine" and reader.net.source(source).kind == "pad":
        source = reader.net.source(source)  # the same data in another view
    if source.kind != "pad":
        return pads, source
    top, left, bottom, right = source.pads
    more = {"H": (top, bottom), "W": (left, right)}
    if any(sum(ends) for letter, ends in more.items() if letter not in letters):
        return pads, source
    merged = tuple(
        (a + more[letter][0], b + more[letter][1])
        for (a, b), letter in zip(pads, letters, strict=True)
    )
    return merged, reader.net.source(source)


def _spread(weight: np.ndarray, dilations: tuple[int, ...]) -> np.ndarray:
    rows, columns = (*dilations, 1)[:2]
    spans = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], (rows, columns), strict=True)]
    whole = np.zeros((*weight.shape[:2], *spans))
    whole[:, :, ::rows, ::columns] = weight
    return whole


def _result(shape: tuple[int, int, int], window: _Window) -> tuple[int, int]:
    sizes = [
        (n + a + b - (k - 1) * d - 1) // s + 1
        for n, k, (a, b), d, s in zip(
            shape[1:], window.weight.shape[2:], window.pads, window.dilations, window.strides,
            strict=False,
        )
    ]  # fmt: skip
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (sizes[0], 1)


def _flat(pads: tuple[Ends, ...]) -> list[int]:
    return [end for pair in pads for end in pair]


def _why(window: _Window) -> str:
    size = "x".join(str(n) for n in window.weight.shape[2 : 2 + window.spatial])
    said = f"a {size} kernel" if window.spatial == 2 else f"a kernel of {size} taps"
    if any(d != 1 for d in window.dilations):
        said += f" with dilation {list(window.dilations)}"
    return said + f" and pads {_flat(window.pads)}"


def _nearest(spatial: int) -> str:
    if spatial == 1:
        return "1 to 9 taps with 0 to 2 zeros at both ends"
    return "3x3 kernels (two of them see 5x5), undilated, with 0 to 2 zeros at all ends"


def _moved(
    shape: tuple[int, int, int], made: tuple[np.ndarray, int], window: _Window
) -> tuple[int, int]:
    """Rows and columns that a kernel and its padding make, with the strides of another."""
    sizes = [
        (n + 2 * made[1] - k) // max(window.strides) + 1
        for n, k in zip(shape[1:], made[0].shape[2:], strict=True)
    ][: window.spatial]
    return sizes[0], sizes[1] if len(sizes) > 1 else shape[2]


def _stand_in(window: _Window) -> tuple[np.ndarray, int]:
    """A kernel the chip has, for the question whether memory would suffice.

    It gives data of the same size where there is such a kernel.
    """
    span = _spread(window.weight, window.dilations).shape[2:]
    grows = {a + b - k for (a, b), k in zip(window.pads, span, strict=False)}
    taps = (3, 1) if window.spatial == 2 else range(MAX_CONV1D_LENGTH, 0, -1)
    for size in taps:
        pad, odd = divmod(min(grows) + size, 2)
        if not odd and 0 <= pad <= MAX_PADDING and len(grows) == 1 and pad < size:
            break
    else:
        size, pad = 3, 1
    shape = (size, size if window.spatial == 2 else 1)
    return np.zeros((*window.weight.shape[:2], *shape)), pad
