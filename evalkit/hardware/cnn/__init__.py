"""The CNN accelerator at register level; see :class:`Cnn`."""

from evalkit.hardware.cnn.device import Cnn
from evalkit.hardware.faults import KitFault

__all__ = ["Cnn", "KitFault"]
