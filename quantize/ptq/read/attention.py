"""Attention, which the chip does not have, as one thing however many operators it is written in.

``softmax(q k^T) v`` multiplies data by data twice. Around the two products stand what scales and
masks, what moves values (heads are axes of their own), the layers that compute q, k and v, and the
one behind. All that only the attention reads belongs to it; a list of obstacles names it once.
Without a softmax it is linear attention, which multiplies data as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from common.errors import UserError
from quantize.ptq.net import Op
from quantize.ptq.read import constants, views
from quantize.ptq.read.reader import Reader, label
from synthesize.read.onnx.model import Model, Node

NEAREST = (
    "3x3 convolutions in its place (linear attention multiplies data as well), or what it reads as "
    "an output and the attention in the application"
)

OPERATORS = ("Attention", "com.microsoft.Attention", "com.microsoft.MultiHeadAttention")
"""Operators that are a whole attention."""

_MOVING = frozenset({
    "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Split", "Gather", "Slice",
    "Identity", "Cast", "Dropout", "Expand",
})  # fmt: skip
_SCALING = frozenset({"Mul", "Div", "Add", "Sub", "Where", "Clip", "Min", "Max"})
_BETWEEN = _MOVING | _SCALING | {
    "Softmax", "Relu", "Elu", "Exp", "Sigmoid", "Neg", "Concat", "LayerNormalization",
    "RMSNormalization", "LpNormalization",
}  # fmt: skip
"""What stands between the products, and between them and the layers in front."""

_LONGEST = 24
"""Operators that follow one another between two products, and behind the last."""
_MOST = 200
"""Operators in front of the last product that are looked at."""

_MANY = 256
"""Products of data that are looked at in a model."""

Dims = list[int | None]
Operator = Callable[[Reader, Node], Op | list[Op]]


@dataclass
class Step:
    """An operator behind the last product: its place, and what is known of the sizes it gives.

    ``width`` is the number of channels that the last layer gave.
    """

    place: int
    dims: Dims
    width: int | None


@dataclass
class Block:
    """Operators of one attention, by their places in the model.

    ``chain`` are those behind the last product that may belong to it.
    """

    inside: set[int]
    last: int
    softmax: bool
    sources: list[str]
    chain: list[Step] = field(default_factory=list)

    @property
    def first(self) -> int:
        """Place of the first operator."""
        return min(self.inside)


class _Model:
    """A model by places: who reads what, and which tensors are data."""

    def __init__(self, model: Model) -> None:
        self.model, self.nodes = model, model.nodes
        self.data = set(model.inputs)
        self.made: dict[str, int] = {}
        self.readers: dict[str, list[int]] = defaultdict(list)
        self.sizes = {name: tuple(value.array.shape) for name, value in model.constants.items()}
        for place, node in enumerate(self.nodes):
            if node.op in ("Shape", "Size"):
                continue
            self.made.update(dict.fromkeys(node.outputs, place))
            if self.data.intersection(node.inputs):
                self.data.update(node.outputs)
            for name in self.data.intersection(node.inputs):
                self.readers[name].append(place)

    def inputs(self, place: int) -> list[str]:
        """Data that a node reads."""
        return [name for name in self.nodes[place].inputs if name in self.data]

    def product(self, place: int) -> bool:
        """Whether a node multiplies data by data."""
        return self.nodes[place].op in ("MatMul", "Einsum") and len(self.inputs(place)) > 1

    def layer(self, place: int) -> bool:
        """Whether a node multiplies the channels of every pixel by constants."""
        node = self.nodes[place]
        weight = self.sizes.get(node.inputs[1], ()) if len(node.inputs) > 1 else ()
        point = node.op == "Conv" and set(weight[2:]) == {1}
        return len(self.inputs(place)) == 1 and (node.op in ("MatMul", "Gemm") or point)

    def wanted(self, node: Node) -> list[int] | None:
        """The constant shape of a Reshape."""
        name = node.inputs[1] if len(node.inputs) > 1 else ""
        if name in self.model.constants:
            return [int(n) for n in self.model.constants[name].array.reshape(-1)]
        maker = self.nodes[self.made[name]] if name in self.made else None
        if maker is None or maker.op != "Constant":
            return None
        return [int(n) for n in constants.value_of(maker).reshape(-1)]


def find(model: Model) -> dict[int, Block]:
    """The attentions of a model, by the place of their first operator."""
    known = _Model(model)
    found: dict[int, Block] = {}
    taken: set[int] = set()
    products = (place for place in range(len(known.nodes)) if known.product(place))
    for place in islice(products, _MANY):
        second = _second(known, place)
        block = None if second is None else _block(known, place, second)
        if block is not None and not taken & block.inside:
            found[block.first] = block
            taken |= block.inside
    return found


def _second(known: _Model, first: int) -> int | None:
    """The product of data that reads another one."""
    waiting, seen = [(first, 0)], {first}
    while waiting:
        place, depth = waiting.pop()
        for reader in (r for name in known.nodes[place].outputs for r in known.readers[name]):
            if known.product(reader):
                return reader
            if known.nodes[reader].op in _BETWEEN and depth < _LONGEST and reader not in seen:
                if len(seen) > _MOST:
                    return None
                seen.add(reader)
                waiting.append((reader, depth + 1))
    return None


def _block(known: _Model, first: int, second: int) -> Block | None:
    """All that belongs to two products, None where something else reads what is between them."""
    inside = _in_front(known, first, second)
    while outer := [p for p in inside if p != second and not _within(known, p, inside)]:
        inside.difference_update(outer)
    if first not in inside:
        return None
    softmax = any(known.nodes[p].op == "Softmax" for p in inside)
    read = [name for p in sorted(inside) for name in known.inputs(p)]
    made = {name for p in inside for name in known.nodes[p].outputs}
    sources = list(dict.fromkeys(name for name in read if name not in made))
    return Block(inside, second, softmax, sources, _behind(known, second))


def _in_front(known: _Model, first: int, second: int) -> set[int]:
    """Both products, what is between, and the layers that compute what they read."""
    inside = {second}
    waiting = [(name, False) for name in known.inputs(second)]
    while waiting and len(inside) < _MOST:
        name, layered = waiting.pop()
        place = known.made.get(name)
        if place is None or place in inside:
            continue
        op, data = known.nodes[place].op, known.inputs(place)
        if layered:
            belongs = op in _MOVING or (op in _SCALING and len(set(data)) == 1)
        else:
            belongs = place == first or op in _BETWEEN or known.layer(place)
        if belongs:
            inside.add(place)
            behind = layered or (place != first and known.layer(place))
            waiting += [(name, behind) for name in data]
    return inside


def _within(known: _Model, place: int, inside: set[int]) -> bool:
    """Whether nobody but an attention reads what a node gives."""
    names = known.nodes[place].outputs
    outside = any(reader not in inside for name in names for reader in known.readers[name])
    return not outside and not set(names).intersection(known.model.outputs)


def _behind(known: _Model, second: int) -> list[Step]:
    """What follows the last product: what moves values, and one layer."""
    chain: list[Step] = []
    place, dims, width, layered = second, Dims(), None, False
    while len(chain) < _LONGEST:
        (name, *more) = known.nodes[place].outputs
        readers = known.readers[name]
        if more or len(readers) != 1 or name in known.model.outputs:
            break
        place = readers[0]
        node, layer = known.nodes[place], known.layer(place)
        scales = node.op in _SCALING and len(known.inputs(place)) == 1
        if not (scales or node.op in _MOVING or (layer and not layered)):
            break
        layered = layered or layer
        width = _width(known, node) if layer else width
        dims = [*dims[:-1], width] if layer and node.op != "Conv" and dims else (
            _sizes(known, node, dims)
        )  # fmt: skip
        chain.append(Step(place, dims, width))
    return chain


def _sizes(known: _Model, node: Node, dims: Dims) -> Dims:
    """Sizes of what a node makes of data, None where one is not known; empty: none is."""
    if node.op == "Reshape":
        return [n if n > 0 else None for n in known.wanted(node) or ()]
    if node.op == "Transpose":
        perm = node.integers("perm") or ()
        return [dims[n] for n in perm] if len(perm) == len(dims) else []
    return dims if node.op in _SCALING or node.op in ("Identity", "Cast", "Dropout") else []


def _width(known: _Model, node: Node) -> int | None:
    """Channels that a layer gives; None where its weights are not in the model as they are."""
    sizes = known.sizes.get(node.inputs[1], ())
    return sizes[0 if node.op == "Conv" or node.integer("transB", 0) else -1] if sizes else None


def settled(reader: Reader, block: Block) -> dict[int, Block]:
    """An attention by the place of all its operators, the first of which is to be read.

    It ends as soon as its result lies as what it reads.
    """
    if block.sources[0] not in reader.tensors:
        return {}
    source = _source(reader, block)
    for number, step in enumerate(block.chain):
        block.inside.add(step.place)
        block.last = step.place
        if _home(reader.view(source), source, step.dims):
            del block.chain[number + 1 :]
    return dict.fromkeys(block.inside, block)


def _source(reader: Reader, block: Block) -> Op:
    return reader.net.ops[reader.tensors[block.sources[0]]]


def _home(view: str, source: Op, dims: Dims) -> bool:
    """Whether sizes are those of data but for the channels."""
    return len(dims) == len(view) and all(
        letter == "C" or n in (None, views.size(letter, source.shape))
        for letter, n in zip(view, dims, strict=True)
    )


def part(block: Block, place: int, function: Operator) -> Operator:
    """The function of an operator of an attention: all are one thing, in place of the last.

    The others are read as well, since sizes may be computed of them; what is said of them is not.
    """
    if place == block.last:
        return lambda reader, node: _whole(reader, block)

    def read(reader: Reader, node: Node) -> Op | list[Op]:
        net = reader.net
        obstacles, notes = list(net.obstacles), list(net.notes)
        try:
            result = function(reader, node)
        except UserError:
            result = [_source(reader, block)] * len(node.outputs)
        net.obstacles, net.notes = obstacles, notes
        reader.vague.update(node.outputs)
        return result

    return read


def _whole(reader: Reader, block: Block) -> Op:
    """The one thing that an attention is, in place of its last operator."""
    from quantize.ptq.read.operators import out

    first, last = reader.model.nodes[block.first], reader.model.nodes[block.last]
    source = _source(reader, block)
    view, channels = _result(reader.view(source), source, block)
    kind = "attention" if block.softmax else "attention without a softmax"
    word = f"{kind}, {len(block.inside)} operators up to {label(last)}: it multiplies data by data"
    shape = (channels, *source.shape[1:])
    op = Op(f"{out(first)}.attention", "foreign", [source.name], shape, word=word, nearest=NEAREST)
    op.node = label(first)
    reader.add(last, op, view)
    op.others = len(block.sources) > 1
    return op


def _result(view: str, source: Op, block: Block) -> tuple[str, int]:
    """View and channels of what an attention gives."""
    step = block.chain[-1] if block.chain else Step(block.last, [], None)
    dims, channels = step.dims, step.width or source.shape[0]
    for seen in dict.fromkeys((view, "NPC", "NCP")):
        if _home(seen, source, dims):
            return seen, dims[seen.index("C")] or channels
    return ("NPC" if len(view) == 4 else view), channels
