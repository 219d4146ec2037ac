"""From a torch module made of our layers to a student: its graph, read by torch.fx.

Whoever has a model written for ai8x-training (see :mod:`ai8x_models.ai8x`), or made of the fused
layers here, gets the plain description that the compiler reads. Between layers a model may add,
concatenate along channels, flatten and drop out; anything else is named and refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from ai8x_models.layer_spec import LayerSpec
from ai8x_models.layers import (
    FusedConv1d,
    FusedConvTranspose2d,
    FusedLayer,
    FusedLinear,
    FusedPassThrough,
)
from ai8x_models.students import INPUT, Student, StudentSpec

_SAME_MODULES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity, nn.Flatten)
_SAME_METHODS = ("view", "reshape", "flatten", "contiguous", "squeeze", "unsqueeze")
_SAME_FUNCTIONS = (torch.flatten, torch.squeeze, torch.unsqueeze, nn.functional.dropout)
_SIZES = ("size", "dim")


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the shape of every tensor."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result


class TraceError(ValueError):
    """A model that holds something no student can describe; one sentence names it."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = super().is_leaf_module(m, module_qualified_name)
        return isinstance(m, FusedLayer) or leaf


class _Value:
    """What a node stands for: tensors side by side, or one that a layer computes."""

    def __init__(self, sources: tuple[str, ...], join: str = "concat") -> None:
        self.sources, self.join = sources, join


def trace(model: nn.Module, input_shape: tuple[int, ...], name: str = "network") -> Student:
    """Return the student that computes what a model computes, with its weights and its mode.

    Args:
        model: made of fused layers.
        input_shape: [channels, rows, columns], or [channels, length] of 1D data.
        name: of the student.

    Raises:
        TraceError: what stands between the layers is not possible on the chip, or the graph
            depends on its data.
    """
    try:
        module = fx.GraphModule(model, _Tracer().trace(model))
    except Exception as error:  # a trace runs the model's own code
        raise TraceError(f"the model's graph cannot be read: {_line(error)}") from error
    example = torch.zeros(1, *input_shape)
    training = model.training
    try:
        _Shapes(module.eval()).run(example)
    except Exception as error:
        raise TraceError(f"the model cannot be run on {input_shape}: {_line(error)}") from error
    finally:
        model.train(training)
    walk = _Walk(dict(model.named_modules()))
    for node in module.graph.nodes:
        walk.visit(node)
    shape = (*input_shape, 1, 1)[:3]
    spec = StudentSpec(name, (shape[0], shape[1], shape[2]), tuple(walk.specs), walk.outputs)
    return _filled(spec, walk.modules, model.training)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


class _Walk:
    """Nodes of the graph, one after the other."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.all = modules
        self.values: dict[str, _Value | None] = {}
        self.specs: list[LayerSpec] = []
        self.modules: dict[str, FusedLayer] = {}
        self.outputs: tuple[str, ...] = ()
        self.number = 0

    def visit(self, node: fx.Node) -> None:
        """Take one node into account."""
        handlers: dict[str, Callable[[fx.Node], _Value | None]] = {
            "placeholder": self._placeholder,
            "call_module": self._module,
            "call_function": self._function,
            "call_method": self._method,
            "output": self._output,
        }
        if node.op not in handlers:
            raise TraceError(f"{node.name}: parameters outside of layers are not possible")
        self.values[node.name] = handlers[node.op](node)

    def _placeholder(self, node: fx.Node) -> _Value | None:
        first = not any(value is not None for value in self.values.values())
        return _Value((INPUT,)) if first else None

    def _value(self, node: Any, user: fx.Node) -> _Value:
        value = self.values.get(node.name) if isinstance(node, fx.Node) else None
        if value is None:
            raise TraceError(f"{user.name}: {node} is no data of the network")
        return value

    def _channels(self, node: Any) -> int:
        return int(node.meta["shape"][1])

    def _module(self, node: fx.Node) -> _Value:
        module = self.all[str(node.target)]
        if isinstance(module, _SAME_MODULES):
            return self._value(node.args[0], node)
        if not isinstance(module, FusedLayer):
            raise TraceError(
                f"{node.target} ({type(module).__name__}) is no layer of the chip; use those of "
                "ai8x_models.ai8x"
            )
        if len(node.args) > 1:
            sources = tuple(self._single(self._value(a, node)) for a in node.args)
            return self._layer(node, module, sources, _Value(sources, module.joined))
        value = self._value(node.args[0], node)
        return self._layer(node, module, value.sources, value)

    def _layer(
        self, node: fx.Node, module: FusedLayer, sources: tuple[str, ...], value: _Value
    ) -> _Value:
        name = self._name(str(node.target))
        inputs = self._channels(node.args[0]) if value.join != "concat" else 0
        spec = describe(module, name, sources, value.join, inputs or self._channels(node))
        self.specs.append(spec)
        self.modules[name] = module
        return _Value((name,))

    def _name(self, wanted: str) -> str:
        name = wanted.replace(".", "_")
        if hasattr(Student, name) or name in ("spec", "mode", "training", INPUT):
            name = f"layer_{name}"
        while name in self.modules:
            name += "_again"
        return name

    def _single(self, value: _Value) -> str:
        """One tensor on the chip; several side by side become a layer of their own."""
        if len(value.sources) == 1:
            return value.sources[0]
        return self._passthrough(value.sources, "concat")

    def _passthrough(self, sources: tuple[str, ...], join: Any) -> str:
        self.number += 1
        name = f"{join}_{self.number}"
        widths = {spec.name: spec.out_channels for spec in self.specs}
        known = [widths.get(source, 0) for source in sources]
        channels = sum(known) if join == "concat" else known[0]
        self.specs.append(LayerSpec(
            name, sources[0], channels, channels, op="passthrough", others=sources[1:], join=join,
            activation="none", batchnorm=False,
        ))  # fmt: skip
        return name

    def _function(self, node: fx.Node) -> _Value | None:
        target = node.target
        if target is torch.cat:
            parts = node.args[0]
            dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            if dim not in (1,) or not isinstance(parts, (list, tuple)):
                raise TraceError(f"{node.name}: only channels (dim=1) can be concatenated")
            return _Value(tuple(s for part in parts for s in self._value(part, node).sources))
        if target in (operator.add, torch.add, operator.iadd):
            operands = tuple(self._single(self._value(a, node)) for a in node.args[:2])
            return _Value((self._passthrough(operands, "add"),))
        if target in _SAME_FUNCTIONS:
            return self._value(node.args[0], node)
        if target in (operator.getitem, getattr, operator.mul, operator.floordiv):
            return None  # arithmetic with sizes
        raise TraceError(
            f"{node.name}: {getattr(target, '__name__', target)} is not possible between layers"
        )

    def _method(self, node: fx.Node) -> _Value | None:
        if node.target in _SIZES:
            return None
        if node.target in _SAME_METHODS:
            return self._value(node.args[0], node)
        raise TraceError(f"{node.name}: .{node.target}() is not possible between layers")

    def _output(self, node: fx.Node) -> None:
        results = node.args[0]
        results = results if isinstance(results, (list, tuple)) else [results]
        self.outputs = tuple(self._single(self._value(r, node)) for r in results)
        if INPUT in self.outputs or not self.outputs:
            raise TraceError("an output that no layer computes")


def describe(
    module: FusedLayer, name: str, sources: tuple[str, ...], join: Any, channels: int
) -> LayerSpec:
    """The plain description of a layer.

    Args:
        module: the layer.
        name: its name.
        sources: names of what it reads.
        join: how these are combined.
        channels: of a layer without weights.
    """
    common: dict[str, Any] = {
        "others": sources[1:], "join": join if len(sources) > 1 else "concat",
        "pool": module.pool, "pool_stride": module.pool_stride, "pooling": module.pooling,
    }  # fmt: skip
    if isinstance(module, FusedPassThrough) or module.op is None:
        return LayerSpec(
            name, sources[0], channels, channels, op="passthrough", activation="none",
            batchnorm=False, **common,
        )  # fmt: skip
    outputs, inputs = module.by_output().shape[:2]
    common |= {
        "activation": module.activation, "wide": module.wide, "batchnorm": module.bn is not None,
        "bias": module.op.bias is not None,
    }  # fmt: skip
    if isinstance(module, FusedLinear):
        return LayerSpec(name, sources[0], inputs, outputs, op="linear", **common)
    op = module.op
    common |= {"kernel": op.kernel_size[0], "padding": int(op.padding[0])}
    if isinstance(module, FusedConvTranspose2d):
        return LayerSpec(name, sources[0], inputs, outputs, op="convtranspose2d", **common)
    common["stride"] = op.stride[0]
    if isinstance(module, FusedConv1d):
        common["dilation"] = op.dilation[0]
        return LayerSpec(name, sources[0], inputs, outputs, op="conv1d", **common)
    return LayerSpec(name, sources[0], inputs, outputs, fold=module.fold, **common)


def _filled(spec: StudentSpec, modules: dict[str, FusedLayer], training: bool) -> Student:
    student = Student(spec)
    for layer_spec, layer in student.steps():
        source = modules.get(layer_spec.name)
        if source is None:
            continue
        if source.bn is None:
            layer.remove_batchnorm()
        elif source.bn.weight is None and layer.bn is not None:
            layer.bn.affine, layer.bn.weight, layer.bn.bias = False, None, None
        layer.load_state_dict(source.state_dict())
        layer.mode = source.mode
    modes = {layer.mode for _, layer in student.layers()}
    student.set_mode(modes.pop() if len(modes) == 1 else "float")
    return student.train(training)
