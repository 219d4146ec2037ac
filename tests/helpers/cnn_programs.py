"""Hand-made register programs of one layer, for tests of the virtual kit.

They are written from the register documentation, not by the compiler.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evalkit.hardware.cnn import Cnn
from synthesize.chip import limits, memory_map, registers
from synthesize.chip.registers import Register

CLOCKED = registers.CTRL.encode(clk_en=1, mexpress=1)


@dataclass
class LayerSpec:
    """What one layer is to do; ``kernel`` is "3x3", "1x1", "1d" (with ``length``) or "pass"."""

    rows: int = 4
    columns: int = 4
    pad: int = 0
    pool: tuple[int, int] = (1, 1)
    stride: int = 1
    maximum: bool = True
    operands: int = 1
    function: int = registers.ELEMENTWISE_CODE["add"]
    prepool: bool = False
    kernel: str = "3x3"
    length: int = 3
    passes: int = 1
    flatten: bool = False
    processors: tuple[int, ...] = (0,)
    outputs: int = 1
    per_expansion: int = 64
    bits: int = 8
    kernel_word: int = 0
    shift: int = 0
    relu: bool = False
    absolute: bool = False
    wide: bool = False
    bias: dict[int, int] = field(default_factory=dict)
    read_word: int = 0
    out_instance: int = 1
    out_word: int = 0
    gap: int = 0
    spread: bool = False
    parallel: bool = False
    round_average: bool = False

    @property
    def quadrants(self) -> tuple[int, ...]:
        used = {p // 16 for p in self.processors} | set(self.bias) | {0}
        return tuple(sorted(used | {min(self.out_instance // 4, 3)}))

    @property
    def taps(self) -> int:
        return {"3x3": 9, "1x1": 1, "1d": self.length, "pass": 1}[self.kernel]

    @property
    def expansions(self) -> int:
        return -(-self.outputs // self.per_expansion)

    @property
    def width(self) -> int:
        """Output columns."""
        pooled = (self.columns - self.pool[1]) // self.stride + 1
        factor = 2 if self.spread else 1
        size = 3 if self.kernel == "3x3" else 1
        return pooled * factor + 2 * self.pad - size + 1


def fields_of(spec: LayerSpec) -> dict[Register, dict[str, int]]:
    """Field values of all registers that are the same in every quadrant."""
    one_d = spec.kernel == "1d"
    factor = 2 if spec.spread else 1
    column_pad = 0 if one_d else spec.pad
    fields: dict[str, dict[str, int]] = {
        "RCNT": {"rcnt_max": spec.rows * factor - 1 + 2 * spec.pad, "rcnt_pad": spec.pad},
        "CCNT": {"ccnt_max": spec.columns * factor - 1 + 2 * column_pad, "ccnt_pad": column_pad},
        "PRCNT": {"prcnt_max": spec.pool[0] - 1},
        "PCCNT": {"pccnt_max": spec.pool[1] - 1},
        "STRIDE": {"stride": spec.stride - 1},
        "RPTR_BASE": {"rptr_base": spec.read_word},
        "WPTR_BASE": {"word": spec.out_word, "instance": spec.out_instance},
        "WPTR_MOFF": {"wptr_moff": 1 << 13},
        "WPTR_TOFF": {"wptr_toff": 1 << 13},
        "LCTRL0": lctrl0(spec),
        "LCTRL1": {"inpchexp": (spec.passes - 1) & 15},
        "ONED": oned(spec),
        "POST": post(spec),
        "MCNT": {},
        "TPTR": {},
        "WPTR_CHOFF": {},
    }
    if spec.kernel == "pass":
        fields["LCTRL1"]["wptr_inc"] = spec.gap
        fields["MCNT"]["mcnt_max"] = 8 * (spec.passes - 1)
        return {getattr(registers, name): values for name, values in fields.items()}
    fields["LCTRL1"]["wptr_inc"] = spec.expansions * (spec.gap + 1) - 1
    fields["LCTRL1"]["xpch_max"] = (min(spec.per_expansion, spec.outputs) - 1) * spec.bits
    byte = 9 * spec.kernel_word
    first = byte // spec.taps * 8
    count = spec.outputs * spec.passes
    fields["MCNT"] = {"mcnt_sad": first, "mcnt_max": first + (count - 1) * spec.bits}
    fields["ONED"]["oned_sad"] = byte % spec.taps
    if spec.expansions > 1:
        fields["WPTR_CHOFF"]["wptr_choff"] = (4 if spec.wide else 1) * (spec.gap + 1)
    if spec.flatten:
        fields["TPTR"] = {"tptr_sad": spec.passes - 1, "tptr_max": 2 * spec.passes - 1}
    elif spec.kernel == "3x3":
        fields["TPTR"]["tptr_max"] = spec.width - 1
    return {getattr(registers, name): values for name, values in fields.items()}


def lctrl0(spec: LayerSpec) -> dict[str, int]:
    return {
        "master": 1,
        "sramlsrc": 1,
        "pool_en": int(spec.pool != (1, 1)),
        "maxpl_en": int(spec.maximum),
        "act_en": int(spec.relu),
        "bigdwrt": int(spec.wide),
        "parallel": int(spec.parallel),
    }


def oned(spec: LayerSpec) -> dict[str, int]:
    values: dict[str, int] = {}
    if spec.kernel == "1d":
        values.update(oned_width=spec.length, oned_en=1)
    elif spec.kernel == "1x1" or (spec.kernel == "pass" and spec.operands == 1):
        values["oned_width"] = 1
    if spec.operands > 1:
        values.update(
            ewise_en=1,
            ewise_func=spec.function,
            ewise_cnt=spec.operands - 1,
            prepool=int(spec.prepool),
            two_d_conv=int(spec.kernel != "pass"),
        )
    if spec.kernel == "pass":
        per_quadrant = max(sum(p // 16 == q for p in spec.processors) for q in range(4))
        values["tscnt_max"] = (per_quadrant - 1) // 4
    return values


def post(spec: LayerSpec) -> dict[str, int]:
    values = {
        "scale_reg": abs(spec.shift),
        "scale_shft": int(spec.shift < 0),
        "mask_size": registers.WEIGHT_BITS_CODE[spec.bits] if spec.kernel != "pass" else 0,
        "out_abs": int(spec.absolute),
        "deconv_en": int(spec.spread),
        "flatten_en": int(spec.flatten),
        "xpmp_cnt": (spec.passes - 1) >> 4,
    }
    if spec.kernel == "pass":
        values["ts_en"] = 1
        values["onexone_en"] = int(spec.operands == 1)
    return values


def layer_words(spec: LayerSpec, layer: int = 0) -> dict[int, int]:
    """Register value by address for one layer in all quadrants it uses."""
    words = {}
    common = fields_of(spec)
    for quadrant in spec.quadrants:
        for register, values in common.items():
            chosen = dict(values)
            if register is registers.LCTRL0 and quadrant == 0 and spec.kernel != "pass":
                others = {q for q in spec.quadrants if q and _contributes(spec, q)}
                chosen["cnnsi_en"] = sum(1 << q for q in others)
            if register is registers.POST and quadrant in spec.bias:
                chosen.update(bptr_en=1, bptr_sad=spec.bias[quadrant])
            if register is registers.WPTR_BASE and spec.kernel == "pass":
                chosen["instance"] = (spec.out_instance + 4 * quadrant) % 16
            address = registers.layer_address(quadrant, layer, register)
            words[address] = register.encode(**chosen)
        enabled = sum(1 << (p % 16) for p in spec.processors if p // 16 == quadrant)
        masks = 0 if spec.kernel == "pass" else enabled
        address = registers.layer_address(quadrant, layer, registers.EN)
        words[address] = registers.EN.encode(pro_en=enabled, mask_en=masks)
    return words


def _contributes(spec: LayerSpec, quadrant: int) -> bool:
    return quadrant in spec.bias or any(p // 16 == quadrant for p in spec.processors)


def configure(cnn: Cnn, words: dict[int, int], last_layer: int = 0) -> None:
    """Clock all quadrants, set the layer count and write layer registers."""
    for quadrant in range(limits.QUADRANTS):
        cnn.write(registers.global_address(quadrant, registers.CTRL), 4, CLOCKED)
        cnn.write(registers.global_address(quadrant, registers.LCNT_MAX), 4, last_layer)
    for address, value in words.items():
        cnn.write(address, 4, value)


def start(cnn: Cnn, quadrants: tuple[int, ...] = (0,), **fields: int) -> None:
    """Start quadrant 0 with the others following it."""
    for quadrant in quadrants:
        if quadrant:
            value = registers.CTRL.encode(cnn_en=1, clk_en=1, ext_sync=4, **fields)
            cnn.write(registers.global_address(quadrant, registers.CTRL), 4, value)
    value = registers.CTRL.encode(cnn_en=1, clk_en=1, **fields)
    cnn.write(registers.global_address(0, registers.CTRL), 4, value)


def load_weights(cnn: Cnn, processor: int, word: int, data: bytes) -> None:
    """Packed load of kernel bytes from kernel word ``word`` on."""
    cnn.write(memory_map.packed_weight_start(processor, word), 1, 1)
    padded = data + bytes(-len(data) % 4)
    values = np.frombuffer(padded, ">u4").astype(np.uint32)
    cnn.write_block(memory_map.weight_address(processor), values)


def fill(cnn: Cnn, spec: LayerSpec, seed: int = 0) -> None:
    """Random input, weights and biases for a layer."""
    rng = np.random.default_rng(seed)
    pixels = spec.rows * spec.columns
    count = (pixels + 3) // 4 if spec.parallel else pixels * spec.passes * spec.operands
    for instance in sorted({p // 4 for p in spec.processors}):
        words = rng.integers(0, 1 << 32, count, dtype=np.uint32)
        cnn.write_block(memory_map.instance_address(instance, spec.read_word), words)
    if spec.kernel != "pass":
        masks = spec.outputs * spec.passes * spec.bits
        size = -(-masks // 8) * spec.taps
        size += -size % 9
        for processor in spec.processors:
            load_weights(cnn, processor, spec.kernel_word, rng.bytes(size))
    for quadrant, first in spec.bias.items():
        for index in range(first, first + spec.outputs):
            cnn.write(memory_map.bias_address(quadrant, index), 4, int(rng.integers(256)))


def run(spec: LayerSpec, seed: int = 0) -> Cnn:
    """Configure, fill and run one layer to its end."""
    cnn = Cnn()
    configure(cnn, layer_words(spec))
    fill(cnn, spec, seed)
    start(cnn, spec.quadrants, poolrnd=int(spec.round_average))
    cnn.finish()
    return cnn
