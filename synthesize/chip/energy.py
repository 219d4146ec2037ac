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

from dataclasses import dataclass

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


# ---- a board that looks again and again ------------------------------------------------------

PROCESSOR_SOURCE = (
    "MAX78000 data sheet, as public board documents quote it: 22.2 uA/MHz, while loop from cache "
    "at 3.0 V"
)
PROCESSOR_WATTS_PER_HZ = 22.2e-12 * 3.0
"""Of the Cortex-M4 awake."""
PROCESSOR_HZ = 100e6
"""Its clock in all applications."""
CELL_VOLTS = 3.7
"""Of a lithium cell, nominal."""


@dataclass(frozen=True)
class Drain:
    """What accelerator and processor draw, between two bounds; no camera, no other part of a board.

    Attributes:
        joules: of one picture.
        watts: mean power.
    """

    joules: tuple[float, float]
    watts: tuple[float, float]

    @property
    def milliampere_hours(self) -> tuple[float, float]:
        """Charge of a lithium cell that an hour takes, with a converter that loses nothing."""
        least, most = (watts / CELL_VOLTS * 1000 for watts in self.watts)
        return least, most


def drain(network: tuple[float, float], period: float, awake: float) -> Drain:
    """What a board draws that looks again and again.

    Args:
        network: energy of an inference between two bounds, joules (:func:`estimate`).
        period: seconds from picture to picture.
        awake: share of the time in which the processor does not sleep, 0 to 1.

    Returns:
        the lower bound with a processor that draws nothing asleep, the upper one with a processor
        that draws asleep what it draws awake.
    """
    processor = PROCESSOR_WATTS_PER_HZ * PROCESSOR_HZ * period
    joules = network[0] + awake * processor, network[1] + processor
    return Drain(joules, (joules[0] / period, joules[1] / period))
