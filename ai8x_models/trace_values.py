"""Tracing with torch.fx where every value is known for an example, so that sizes are numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from ai8x_models.layers import FusedLayer

VALUE = "value"
"""Where the metadata of a node holds what it gives for the example."""


class Whole(nn.Module):
    """Calls a model with one input, so that all other arguments have their defaults."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Any) -> Any:
        """Call it."""
        return self.model(x)


class _Known(fx.Proxy):
    """A proxy that knows the tensor of the example: its sizes are plain numbers."""

    @property
    def shape(self) -> torch.Size:
        """Sizes of the example's tensor."""
        size: torch.Size = self.node.meta[VALUE].shape
        return size

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def dim(self) -> int:
        """Number of axes."""
        return self.ndim

    def size(self, axis: int | None = None) -> Any:
        """All sizes, or one."""
        return self.shape if axis is None else self.shape[axis]


class Tracer(fx.Tracer):
    """Records a graph and, beside it, what every node gives for an example.

    Args:
        example: input of the model, batch first.
    """

    def __init__(self, example: torch.Tensor) -> None:
        super().__init__()
        self.example = example
        self.computing = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Layers of the chip are not looked into."""
        leaf = super().is_leaf_module(m, module_qualified_name)
        return isinstance(m, FusedLayer) or hasattr(m, "in_software") or leaf

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # fmt: skip
        """Record a call of the model's; those within a computed value are only made."""
        if self.computing:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Record the use of a parameter; not within a computed value."""
        if self.computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A node as the model's code sees it."""
        return _Known(node, self)

    @torch.no_grad()
    def create_proxy(
        self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *rest: Any,
        **more: Any,
    ) -> Any:  # fmt: skip
        """Make a node; what is no tensor (a size, a device) is given as it is."""
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **more)
        self.computing = True
        try:
            value = None if kind == "output" else self._value(kind, target, args, kwargs)
        finally:
            self.computing = False
        proxy.node.meta[VALUE] = value
        tensors = isinstance(value, torch.Tensor) or (
            isinstance(value, (tuple, list)) and any(isinstance(v, torch.Tensor) for v in value)
        )
        return proxy if tensors or kind == "output" else value

    def _value(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        if kind == "placeholder":
            return self.example
        if kind == "get_attr":
            return operator.attrgetter(target)(self.root)
        args, kwargs = fx.node.map_aggregate(
            (args, kwargs), lambda a: a.node.meta[VALUE] if isinstance(a, fx.Proxy) else a
        )
        if kind == "call_module":
            return self.root.get_submodule(target)(*args, **kwargs)
        function = getattr(args[0], target) if kind == "call_method" else target
        return function(*(args[1:] if kind == "call_method" else args), **kwargs)
