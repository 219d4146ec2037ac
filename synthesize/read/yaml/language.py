"""Every key of the network description language, and what this compiler does with it.

A key is *honoured*, accepted with a *neutral* value only, or *refused* with a reason that holds on
the MAX78000 or for this compiler. ``docs/keys.md`` is generated from this table (``python -m
synthesize keys``), and tests show that no honoured key is read without effect.

Source of the keys: ai8x-synthesis ``izer/yamlcfg.py`` and its README ("YAML Network Description").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["honoured", "neutral", "refused"]


@dataclass(frozen=True)
class Key:
    """One key: what happens with it, in words, and for neutral keys the values accepted."""

    kind: Kind
    text: str
    values: tuple[Any, ...] = ()


def _honoured(text: str) -> Key:
    return Key("honoured", text)


def _neutral(text: str, *values: Any) -> Key:
    return Key("neutral", text, values)


def _refused(text: str) -> Key:
    return Key("refused", text)


_NO_DEPTHWISE = "the MAX78000 has no depth-wise or grouped convolutions"

LAYER: dict[str, Key] = {
    "name": _honoured("name of the layer; names of the checkpoint are compared with it"),
    "sequence": _honoured("place of the layer in the running order; the next ones count on"),
    "next_sequence": _honoured(
        "the layer that runs next, which must be the following one; `stop` ends the network here"
    ),
    "in_sequences": _honoured("layers (or `input`) whose outputs are read"),
    "processors": _honoured("processors that read; left out in all layers, they are chosen"),
    "output_processors": _honoured("processors whose data memories receive the output"),
    "in_offset": _honoured("byte offset of the input in the data memories"),
    "out_offset": _honoured("byte offset of the output in the data memories"),
    "write_gap": _honoured("words skipped between two pixels of the output"),
    "in_channels": _honoured("input channels; must agree with the layers before"),
    "in_dim": _honoured("rows and columns of the input; later layers reinterpret their data"),
    "out_channels": _honoured("output channels; must agree with the weights"),
    "op": _honoured("operation"),
    "operation": _honoured("the same as `op`"),
    "operator": _honoured("the same as `op`"),
    "convolution": _honoured("the same as `op`"),
    "kernel_size": _honoured("size of the kernel"),
    "pad": _honoured("zeros around the input"),
    "output_pad": _honoured("padding of a transposed convolution's output"),
    "stride": _honoured("stride; above 1 only without a placement by hand"),
    "dilation": _honoured("distance between the taps of a Conv1d kernel"),
    "max_pool": _honoured("maximum pooling before the operation"),
    "avg_pool": _honoured("average pooling before the operation"),
    "pool_stride": _honoured("stride of the pooling"),
    "pool_first": _honoured("pool before (`true`) or after combining operands"),
    "eltwise": _honoured("element-wise operation on the operands"),
    "operands": _honoured("number of operands, in as many layers or stacked in one"),
    "activate": _honoured("activation"),
    "activation": _honoured("the same as `activate`"),
    "quantization": _honoured("bits of the weights"),
    "output_shift": _honoured("power of two that scales the output"),
    "output_width": _honoured("8 or 32 bits"),
    "flatten": _honoured("rows and columns become channels of a linear layer"),
    "data_format": _honoured("HWC or, in the first layer, CHW"),
    "streaming": _honoured("the layer starts before its input is complete"),
    "output": _honoured("an output of the network beside the last layer"),
    "bias_quadrant": _honoured("bias memories that may hold the layer's biases"),
    "bias_group": _honoured("the same as `bias_quadrant`"),
    "weight_source": _honoured("the layer whose weights, biases and shift are used again"),
    "read_gap": _neutral("the read pointer of the MAX78000 has no gap", 0),
    "in_skip": _neutral("the same as `read_gap`", 0),
    "in_crop": _neutral("rows are not cut off while they are read", [0, 0]),
    "in_channel_skip": _neutral("channels of the sample are not skipped", 0),
    "groups": _neutral(_NO_DEPTHWISE, 1),
    "conv_groups": _neutral(_NO_DEPTHWISE, 1),
    "pool_dilation": _neutral("the MAX78000 pools without dilation", 1, [1, 1]),
    "bypass": _neutral("the MAX78000 cannot bypass its kernels", False),
    "calcx4": _neutral("the MAX78000 has one calculation per cycle and processor", False),
    "readahead": _neutral("the MAX78000 does not read ahead", False),
    "tcalc": _neutral("the MAX78000 does not read ahead", False),
    "snoop_sequence": _refused("the MAX78000 has no snooping"),
    "simulated_sequence": _refused("it serves hardware simulation only"),
    "buffer_shift": _honoured("rows by which the data buffer moves to its beginning"),
    "buffer_insert": _honoured("the result becomes so many last rows of the data buffer"),
}
"""All 54 keys of a layer."""

TOP: dict[str, Key] = {
    "arch": _honoured("name of the network; must agree with the checkpoint"),
    "layers": _honoured("the layers"),
    "output_map": _honoured("processors that receive the output of the last layer"),
    "dataset": Key(
        "neutral", "any text: it names the data the network is for and decides nothing here"
    ),
    "weights": _refused("it names a test file of ai8x-synthesis; give a checkpoint"),
    "bias": _refused("it names a test file of ai8x-synthesis; give a checkpoint"),
    "unload": _refused("outputs are unloaded as the layers that compute them write them"),
    "snoop": _refused("the MAX78000 has no snooping"),
    "data_buffer": _honoured(
        "one buffer that keeps its data from one inference to the next; the programs clear it first"
    ),
}
"""All keys beside the layers."""


def documentation() -> str:
    """Return the page of all keys, generated from the tables."""
    lines = [
        "# Keys of network descriptions",
        "",
        "Generated by `python -m synthesize keys` from `synthesize/read/yaml/language.py`. Every",
        "key of ai8x-synthesis is honoured, accepted with a neutral value only, or refused.",
    ]
    for title, table in (("Layers", LAYER), ("Beside the layers", TOP)):
        lines += ["", f"## {title}", "", "| key | | |", "|---|---|---|"]
        for name, key in table.items():
            kind: str = key.kind
            if key.values:
                kind = f"only {' or '.join(_text(value) for value in key.values)}"
            lines.append(f"| `{name}` | {kind} | {key.text} |")
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    return f"`{str(value).lower()}`"
