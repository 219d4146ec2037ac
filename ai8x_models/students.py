"""The student networks as torch modules, built from their description (:mod:`ai8x_models.spec`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from ai8x_models.layers import FusedLayer, Mode
from ai8x_models.layers.build import layer_of
from ai8x_models.spec.layer import LayerSpec
from ai8x_models.spec.student import HEATMAPS, INPUT, PAFS, SPECS, StudentSpec

__all__ = ["HEATMAPS", "INPUT", "PAFS", "SPECS", "LayerSpec", "Student", "StudentSpec"]


class Student(nn.Module):
    """A student network built from its specification.

    ``forward`` takes ``[N, C, H, W]`` (float32, (pixel - 128) / 128; in the integer mode the
    signed bytes themselves) and returns the outputs in the order of ``spec.outputs``: for the
    pose students heatmaps ``[N, 19, H/8, W/8]`` and PAFs ``[N, 38, H/8, W/8]``.
    """

    def __init__(self, spec: StudentSpec | str = "seed") -> None:
        super().__init__()
        self.spec = SPECS[spec] if isinstance(spec, str) else spec
        self.mode: Mode = "float"
        for layer in self.spec.layers:
            self.add_module(layer.name, layer_of(layer))

    def steps(self) -> Iterator[tuple[LayerSpec, FusedLayer]]:
        """Specification and module of every layer, in order, those without weights as well."""
        for spec in self.spec.layers:
            module = getattr(self, spec.name)
            assert isinstance(module, FusedLayer)
            yield spec, module

    def layers(self) -> Iterator[tuple[LayerSpec, FusedLayer]]:
        """Specification and module of every layer that has weights, in order."""
        return ((spec, module) for spec, module in self.steps() if spec.weighted)

    def set_mode(self, mode: Mode) -> Student:
        """Switch every layer to ``float``, ``qat`` or ``integer`` arithmetic."""
        self.mode = mode
        for _, module in self.steps():
            module.mode = mode
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run the graph."""
        return self.values(x, self.spec.outputs)

    def values(self, x: Tensor, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        """Outputs of the named layers, in this order, for ``x`` as in :meth:`forward`."""
        values = {INPUT: x}
        for spec, module in self.steps():
            values[spec.name] = module(*inputs_of(spec, values))
        return tuple(values[name] for name in names)

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs as the real numbers they stand for, in every mode.

        The chip does not apply the output shift to a wide layer, so the host does: in the qat
        mode by ``2**output_shift``, in the integer mode by that over ``128 * 2**(bits - 1)``, the
        worth of one accumulator step. A step of any other output is worth 1/128.
        """
        outputs = self(x)
        if self.mode == "float":
            return outputs
        names = self.spec.outputs
        integer = self.mode == "integer"
        return tuple(v * self.worth(n, integer) for n, v in zip(names, outputs, strict=True))

    def worth(self, name: str, integer: bool = True) -> float:
        """Real value of one step of a layer's result, in the integer or the qat mode."""
        layer = getattr(self, name)
        if not layer.wide:
            return 2.0**-7 if integer else 1.0
        steps = 7 + int(layer.weight_bits) - 1 if integer else 0
        return float(2.0 ** (layer.current_shift() - steps))


def inputs_of(spec: LayerSpec, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The inputs of a layer among the values known so far."""
    return tuple(values[name] for name in spec.sources)
