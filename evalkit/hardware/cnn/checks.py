"""Refuses decoded layers that cannot work on the chip or are not modelled."""

from __future__ import annotations

from evalkit.hardware.cnn.plan import Layer
from evalkit.hardware.cnn.words import LayerRegisters
from synthesize.chip import limits, registers

_INSTANCE_WORDS = limits.DATA_INSTANCE_WORDS
_PER_QUADRANT = limits.PROCESSORS_PER_QUADRANT


def check_layer(regs: LayerRegisters, layer: Layer) -> None:
    """Raise KitFault for combinations that cannot work or are not modelled."""
    _check_control(regs, layer)
    _check_sum(regs, layer)
    if layer.rows < layer.pool[0] or layer.columns < layer.pool[1]:
        raise regs.fault(
            registers.PRCNT,
            "prcnt_max",
            f"the pooling window {layer.pool[0]}x{layer.pool[1]} is larger than the input"
            f" {layer.rows}x{layer.columns}",
        )
    if min(layer.output_size) < 1:
        raise regs.fault(
            registers.RCNT,
            "rcnt_max",
            f"the input is smaller than the kernel: {layer.output_size[0]} x"
            f" {layer.output_size[1]} outputs",
        )
    if layer.kernel == (3, 3) and not layer.streaming:
        _check_line_buffer(regs, layer)
    if layer.masks is None:
        _check_passthrough(regs, layer)
    elif regs.get(registers.POST, "ts_en") or regs.get(registers.POST, "onexone_en"):
        raise regs.fault(registers.POST, "ts_en", "time slots in a convolution are not modelled")


def _check_control(regs: LayerRegisters, layer: Layer) -> None:
    for quadrant in layer.quadrants:
        if not regs.get(registers.LCTRL0, "sramlsrc", quadrant):
            raise regs.fault(
                registers.LCTRL0, "sramlsrc", "output to local memory is not modelled", quadrant
            )
    if not regs.get(registers.LCTRL0, "master"):
        raise regs.fault(registers.LCTRL0, "master", "the leading quadrant forms no sum")
    if layer.wide and (layer.relu or layer.absolute):
        register = registers.LCTRL0 if layer.relu else registers.POST
        raise regs.fault(
            register,
            "act_en" if layer.relu else "out_abs",
            "an activation of 32-bit output is not modelled",
        )
    if layer.parallel:
        if layer.passes > 1 or layer.operands > 1:
            raise regs.fault(
                registers.LCTRL0, "parallel", "is not modelled with several passes or operands"
            )
        if any(p % limits.PROCESSORS_PER_INSTANCE for p in layer.processors):
            raise regs.fault(
                registers.LCTRL0,
                "parallel",
                "only the first processor of each four can read one channel per word",
            )
    if layer.spread and (layer.pool != (1, 1) or layer.kernel != (3, 3)):
        raise regs.fault(
            registers.POST, "deconv_en", "is modelled for 3x3 kernels without pooling only"
        )


def _check_sum(regs: LayerRegisters, layer: Layer) -> None:
    """Every quadrant that multiplies or adds a bias must reach the leader's sum."""
    feeds = regs.get(registers.LCTRL0, "cnnsi_en")
    reached = {layer.quadrants[0]}
    for distance in range(1, limits.QUADRANTS):
        if feeds >> distance & 1:
            quadrant = (layer.quadrants[0] + distance) % limits.QUADRANTS
            if quadrant not in layer.quadrants:
                raise regs.fault(
                    registers.LCTRL0,
                    "cnnsi_en",
                    f"adds the sum of quadrant {quadrant}, which does not take part",
                )
            reached.add(quadrant)
    if feeds & 1:
        raise regs.fault(registers.LCTRL0, "cnnsi_en", "bit 0 would add a quadrant to itself")
    if layer.masks is None:
        return
    wanted = {p // _PER_QUADRANT for p in layer.processors} | {q for q, _ in layer.bias}
    for quadrant in sorted(wanted - reached):
        raise regs.fault(
            registers.LCTRL0,
            "cnnsi_en",
            f"the sum of quadrant {quadrant} is computed but not added",
        )


def _check_line_buffer(regs: LayerRegisters, layer: Layer) -> None:
    words = regs.get(registers.TPTR, "tptr_max") - regs.get(registers.TPTR, "tptr_sad") + 1
    if words != layer.output_size[1]:
        raise regs.fault(
            registers.TPTR,
            "tptr_max",
            f"the line buffer has {words} words for rows of {layer.output_size[1]} outputs",
        )
    if regs.get(registers.TPTR, "tptr_max") >= limits.TRAM_WORDS:
        raise regs.fault(
            registers.TPTR, "tptr_max", f"the line buffer ends after {limits.TRAM_WORDS} words"
        )


def _check_passthrough(regs: LayerRegisters, layer: Layer) -> None:
    if not regs.get(registers.POST, "ts_en"):
        raise regs.fault(registers.POST, "ts_en", "a pass-through layer writes by time slots")
    if layer.operands == 1 and not regs.get(registers.POST, "onexone_en"):
        raise regs.fault(registers.POST, "onexone_en", "must be set in a pass-through layer")
    for register, name, wrong in (
        (registers.LCTRL0, "act_en", layer.relu),
        (registers.POST, "out_abs", layer.absolute),
        (registers.LCTRL0, "bigdwrt", layer.wide),
        (registers.POST, "bptr_en", bool(layer.bias)),
        (registers.POST, "scale_reg", layer.shift != 0),
        (registers.RCNT, "rcnt_pad", layer.pad != (0, 0)),
        (registers.POST, "deconv_en", layer.spread),
        (registers.POST, "flatten_en", layer.flatten),
    ):
        if wrong:
            raise regs.fault(register, name, "is not modelled in a pass-through layer")
    widest = max(sum(p // _PER_QUADRANT == q for p in layer.processors) for q in layer.targets)
    needed = -(-widest // limits.PROCESSORS_PER_INSTANCE)
    if layer.time_slots < needed:
        raise regs.fault(
            registers.ONED,
            "tscnt_max",
            f"{layer.time_slots} time slots are too few for {widest} processors in a quadrant",
        )
    if needed > 1 and regs.value(registers.WPTR_TOFF) % _INSTANCE_WORDS:
        raise regs.fault(
            registers.WPTR_TOFF, "wptr_toff", "is not a whole number of data memory instances"
        )
