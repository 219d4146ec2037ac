"""From a torch module made of our layers to a student: its graph, read by torch.fx.

Whoever has a model written for ai8x-training (see :mod:`ai8x_models.ai8x`), or made of the fused
layers here, gets the plain description that the compiler reads. Between layers a model may add,
subtract, concatenate along channels, flatten and drop out, and it may ask for sizes; what has no
counterpart on the chip is left to the application where it comes last, else named and refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from ai8x_models.layers import (
    FusedConv1d,
    FusedConvTranspose2d,
    FusedLayer,
    FusedLinear,
    FusedPassThrough,
)
from ai8x_models.spec.layer import LayerSpec
from ai8x_models.students import INPUT, Student, StudentSpec
from ai8x_models.trace_values import VALUE, Tracer, Whole

_SAME_MODULES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)
_VIEWS = ("view", "reshape", "flatten", "contiguous", "squeeze", "unsqueeze", "clone", "detach")
_VIEW_FUNCTIONS = (torch.flatten, torch.squeeze, torch.unsqueeze, torch.reshape)
_JOINS: dict[Any, str] = {
    operator.add: "add", operator.iadd: "add", torch.add: "add",
    operator.sub: "sub", operator.isub: "sub", torch.sub: "sub",
}  # fmt: skip
_PREFIX = "model."


class TraceError(ValueError):
    """A model that holds something no student can describe.

    Attributes:
        obstacles: a sentence for everything of that kind; empty when the graph cannot be read.
        spec: the rest of the model, with the nearest thing in place of each of them.
    """

    def __init__(
        self, text: str, obstacles: tuple[str, ...] = (), spec: StudentSpec | None = None
    ) -> None:
        super().__init__(text)
        self.obstacles, self.spec = obstacles, spec


@dataclass(frozen=True)
class _Value:
    """What a node stands for: tensors side by side, or one that a layer computes.

    Args:
        sources: layers (or the input) that hold it on the chip.
        shape: of the data on the chip, the batch included.
        join: how the sources are combined.
        left: what the application has to compute of them, in order; empty for data on the chip.
    """

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    join: str = "concat"
    left: tuple[str, ...] = ()


def trace(
    model: nn.Module,
    input_shape: tuple[int, ...],
    name: str = "network",
    note: Callable[[str], None] = lambda text: None,
) -> Student:
    """Return the student that computes what a model computes, with its weights and its mode.

    Args:
        model: made of fused layers.
        input_shape: [channels, rows, columns], or [channels, length] of 1D data.
        name: of the student.
        note: called with every operation at the end that is left to the application.

    Raises:
        TraceError: what stands between the layers is not possible on the chip, or the graph
            depends on its data.
    """
    generator = torch.Generator().manual_seed(0)
    example = torch.randint(-128, 128, (2, *input_shape), generator=generator) / 128
    training = model.training
    tracer = Tracer(example)
    try:
        graph = tracer.trace(Whole(model.eval()))
    except Exception as error:  # a trace runs the model's own code
        raise TraceError(f"the model's graph cannot be read: {_line(error)}") from error
    finally:
        model.train(training)
    walk = _Walk(dict(model.named_modules()))
    for node in graph.nodes:
        walk.visit(node)
    for left in dict.fromkeys(walk.left):
        note(f"{left} comes last and is left to the application; the output is what it reads")
    shape = (*input_shape, 1, 1)[:3]
    spec = StudentSpec(name, (shape[0], shape[1], shape[2]), tuple(walk.specs), walk.outputs)
    if walk.obstacles:
        raise TraceError("; ".join(walk.obstacles), tuple(walk.obstacles), spec)
    return _checked(_filled(spec, walk.modules, model.training), walk, example)


def _checked(student: Student, walk: _Walk, example: torch.Tensor) -> Student:
    """Refuse a student that computes anything else than the model did."""
    training = student.training
    with torch.no_grad():
        found = student.eval()(example.reshape(2, *student.spec.input_shape))
    for name, value in zip(student.spec.outputs, found, strict=True):
        wanted = walk.results.get(name)
        if wanted is not None and not torch.allclose(
            value.flatten(1), wanted.flatten(1), rtol=1e-3, atol=1e-4
        ):
            raise TraceError(f"{name}: what stands between the layers before it cannot be read")
    return student.train(training)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


class _Walk:
    """Nodes of the graph, one after the other."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.all = modules
        self.values: dict[str, _Value | None] = {}
        self.specs: list[LayerSpec] = []
        self.modules: dict[str, FusedLayer] = {}
        self.results: dict[str, torch.Tensor] = {}
        self.outputs: tuple[str, ...] = ()
        self.left: list[str] = []
        self.obstacles: dict[str, None] = {}
        self.number = 0

    def visit(self, node: fx.Node) -> None:
        """Take one node into account."""
        handlers: dict[str, Callable[[fx.Node], _Value | None]] = {
            "placeholder": lambda node: _Value((INPUT,), _shape(node)),
            "get_attr": lambda node: None,
            "call_module": self._module,
            "call_function": self._function,
            "call_method": self._method,
            "output": self._output,
        }
        self.values[node.name] = handlers[node.op](node)

    def _value(self, node: Any, user: fx.Node) -> _Value:
        """The data a layer reads."""
        value = self.values.get(node.name) if isinstance(node, fx.Node) else None
        if value is None:
            raise TraceError(f"{user.name}: {node} is no data of the network")
        for word in value.left:
            self.obstacles[f"{word} is not possible between layers"] = None
        return replace(value, left=())

    def _leave(self, node: fx.Node, word: str) -> _Value | None:
        """Something the chip does not have: possible where no layer reads it."""
        known = [self.values[part.name] for part in node.all_input_nodes]
        sources = [source for value in known if value is not None for source in value.sources]
        if not sources:
            return None
        left = [earlier for value in known if value is not None for earlier in value.left]
        left = list(dict.fromkeys([*left, word]))
        return _Value(tuple(dict.fromkeys(sources)), _shape(node), left=tuple(left))

    def _module(self, node: fx.Node) -> _Value | None:
        target = str(node.target).removeprefix(_PREFIX)
        module = self.all[target] if target != "model" else self.all[""]
        if isinstance(module, _SAME_MODULES):
            return self.values[node.all_input_nodes[0].name]
        if isinstance(module, nn.Flatten):
            return self._view(node, "Flatten")
        if not isinstance(module, FusedLayer):
            word = f"{target} ({type(module).__name__})"
            if not list(module.parameters()) or hasattr(module, "in_software"):
                return self._leave(node, word)
            return self._instead(node, module, target)
        if len(node.args) > 1:
            values = [self._value(a, node) for a in node.args]
            sources = tuple(self._single(value) for value in values)
            value = _Value(sources, values[0].shape, module.joined)
        else:
            value = self._value(node.args[0], node)
        return self._layer(node, module, value, target)

    def _instead(self, node: fx.Node, module: nn.Module, target: str) -> _Value:
        """The nearest thing to a layer that the chip does not have: a convolution of its size."""
        word = f"{target} ({type(module).__name__})"
        self.obstacles[f"{word} is no layer of the chip; use those of ai8x_models.ai8x"] = None
        value = self._value(node.args[0], node)
        inside, outside = value.shape, _shape(node)
        if inside[2:] != outside[2:] or len(outside) not in (3, 4):
            return replace(value, shape=outside)
        name, one_d = self._name(target), len(outside) == 3
        kernel = 1 if getattr(module, "kernel_size", (1,))[0] == 1 else 3
        self.specs.append(LayerSpec(
            name, self._single(value), inside[1], outside[1], kernel=kernel,
            op="conv1d" if one_d else "conv2d", padding=kernel // 2, activation="none",
            batchnorm=False,
        ))  # fmt: skip
        return _Value((name,), outside)

    def _layer(self, node: fx.Node, module: FusedLayer, value: _Value, target: str) -> _Value:
        name = self._name(target)
        self.specs.append(describe(module, name, value.sources, value.join, value.shape[1]))
        self.modules[name] = module
        self.results[name] = node.meta[VALUE]
        return _Value((name,), _shape(node))

    def _name(self, wanted: str) -> str:
        name = wanted.replace(".", "_") or "layer"
        if hasattr(Student, name) or name in ("spec", "mode", "training", INPUT):
            name = f"layer_{name}"
        while name in self.modules:
            name += "_again"
        return name

    def _single(self, value: _Value) -> str:
        """One tensor on the chip; several side by side become a layer of their own."""
        if len(value.sources) == 1:
            return value.sources[0]
        return self._passthrough(value.sources, value.shape[1], "concat")

    def _passthrough(self, sources: tuple[str, ...], channels: int, join: Any) -> str:
        self.number += 1
        name = f"{join}_{self.number}"
        self.specs.append(LayerSpec(
            name, sources[0], channels, channels, op="passthrough", others=sources[1:], join=join,
            activation="none", batchnorm=False,
        ))  # fmt: skip
        return name

    def _function(self, node: fx.Node) -> _Value | None:
        target = node.target
        name = getattr(target, "__name__", str(target))
        if target is torch.cat and self._on_chip(node):
            parts = node.args[0]
            dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            if dim in (1, 1 - len(_shape(node))) and isinstance(parts, (list, tuple)):
                values = [self._value(part, node) for part in parts]
                sources = tuple(source for value in values for source in value.sources)
                return _Value(sources, _shape(node))
        if target in _JOINS and len(node.all_input_nodes) == 2 and self._on_chip(node):
            values = [self._value(a, node) for a in node.args[:2]]
            operands = tuple(self._single(value) for value in values)
            made = self._passthrough(operands, values[0].shape[1], _JOINS[target])
            return _Value((made,), values[0].shape)
        if target is nn.functional.dropout:
            return self.values[node.all_input_nodes[0].name]
        if target in _VIEW_FUNCTIONS:
            return self._view(node, name)
        return self._leave(node, f"{node.name}: {name}")

    def _on_chip(self, node: fx.Node) -> bool:
        """Whether all that a node reads is data on the chip."""
        known = [self.values[part.name] for part in node.all_input_nodes]
        return all(value is not None and not value.left for value in known)

    def _method(self, node: fx.Node) -> _Value | None:
        if node.target in _VIEWS:
            return self._view(node, str(node.target))
        return self._leave(node, f"{node.name}: .{node.target}()")

    def _view(self, node: fx.Node, word: str) -> _Value | None:
        """The same data, flat or with other axes of length one; anything else moves it."""
        value = self.values[node.all_input_nodes[0].name]
        after = _shape(node)
        if value is None or value.left or len(after) == 2 or _bare(after) == _bare(value.shape):
            return value
        return self._leave(node, f"{node.name}: {word} to {list(after[1:])}")

    def _output(self, node: fx.Node) -> None:
        found: list[str] = []
        for result in _flat(node.args[0]):
            value = self.values.get(result.name) if isinstance(result, fx.Node) else None
            if value is None:
                raise TraceError(f"output {result}: no layer computes it")
            if value.left:
                self.left += value.left
                found += value.sources
            else:
                found.append(self._single(value))
        self.outputs = tuple(dict.fromkeys(found))
        if INPUT in self.outputs or not self.outputs:
            raise TraceError("an output that no layer computes")


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta[VALUE]
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of length one at its end."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _flat(results: Any) -> Iterator[Any]:
    """The outputs of a model, whatever they are packed in."""
    if isinstance(results, dict):
        results = list(results.values())
    if isinstance(results, (list, tuple)):
        for result in results:
            yield from _flat(result)
    else:
        yield results


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
