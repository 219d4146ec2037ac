"""The CNN accelerator at register level; see :class:`Cnn`."""

from evalkit.cnn.device import Cnn
from evalkit.cnn.faults import KitFault

__all__ = ["Cnn", "KitFault"]
