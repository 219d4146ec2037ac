"""What an inference costs in energy: an estimate, scaled from a published measurement.

The chip's power depends on the network, and no public model of it exists. What is public: one
network measured on the MAX78000 took 196 microjoules per inference at up to 180 inferences per
second and 106 MAC per cycle (J. Moosmann, M. Giordano, C. Vogt, M. Magno, "TinyissimoYOLO: A
Quantized, Low-Memory Footprint, TinyML Object Detection Network for Low Power Microcontrollers",
arXiv:2306.00001, abstract; a later comparison by the same group, arXiv:2307.05999, agrees within
its accuracy). Two ways to scale it bracket the truth: a chip that draws the same power for as long
as this network runs, and one that needs the same energy for every MAC.
"""

from __future__ import annotations

from synthesize.chip import limits

SOURCE = "TinyissimoYOLO on the MAX78000, arXiv:2306.00001"
MEASURED_JOULES = 196e-6
MEASURED_PER_SECOND = 180.0
MEASURED_MACS_PER_CYCLE = 106.0

WATTS = MEASURED_JOULES * MEASURED_PER_SECOND
"""Mean power while the measured network runs back to back, 35 mW."""
JOULES_PER_MAC = MEASURED_JOULES / (
    MEASURED_MACS_PER_CYCLE * limits.CNN_CLOCK_HZ / MEASURED_PER_SECOND
)
"""Energy per MAC of the measured network, 6.7 pJ."""


def estimate(cycles: int, macs: int) -> tuple[float, float]:
    """Return (lower, upper) estimate of the accelerator's energy per inference, in joules.

    Args:
        cycles: CNN clock cycles of one inference.
        macs: multiply-accumulate operations of one inference.
    """
    by_time = WATTS * cycles / limits.CNN_CLOCK_HZ
    by_work = JOULES_PER_MAC * macs
    return min(by_time, by_work), max(by_time, by_work)
