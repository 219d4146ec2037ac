"""The vectorised layer model against a naive one, on random register programs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.hardware.cnn import Cnn
from tests.helpers.cnn_programs import LayerSpec, configure, fill, layer_words, start
from tests.helpers.naive_layer import NaiveLayer

SLOW_IS_FINE = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
MANY = settings(SLOW_IS_FINE, max_examples=500)


@st.composite
def processors(draw: st.DrawFn, most: int = 6) -> tuple[int, ...]:
    pool = st.sampled_from([*range(8), 14, 15, 16, 17, 20, 33, 47, 48, 63])
    return tuple(sorted(draw(st.sets(pool, min_size=1, max_size=most))))


@st.composite
def biases(draw: st.DrawFn) -> dict[int, int]:
    quadrants = draw(st.sets(st.integers(0, 3), max_size=2))
    return {q: draw(st.integers(0, 20)) for q in quadrants}


@st.composite
def convolutions(draw: st.DrawFn) -> LayerSpec:
    kernel = draw(st.sampled_from(["3x3", "1x1", "1d"]))
    one_d = kernel == "1d"
    length = draw(st.integers(1, 9)) if one_d else 3
    spec = LayerSpec(
        kernel=kernel,
        length=length,
        rows=draw(st.integers(3, 7)) + (length if one_d else 0),
        columns=1 if one_d else draw(st.integers(3, 7)),
        pad=draw(st.integers(0, 2)),
        processors=draw(processors()),
        passes=draw(st.integers(1, 3)),
        outputs=draw(st.integers(1, 7)),
        per_expansion=draw(st.sampled_from([2, 4, 5, 64])),
        bits=draw(st.sampled_from([1, 2, 4, 8])),
        kernel_word=draw(st.integers(0, 9)),
        shift=draw(st.integers(-15, 15)),
        relu=draw(st.booleans()),
        absolute=draw(st.booleans()),
        bias=draw(biases()),
        read_word=draw(st.integers(0, 50)),
        out_word=draw(st.integers(0, 50)),
        out_instance=9,
        gap=draw(st.integers(0, 1)),
    )
    if draw(st.booleans()):
        spec.wide, spec.relu, spec.absolute, spec.shift = True, False, False, 0
    _add_pooling(draw, spec)
    if not one_d and draw(st.booleans()):
        _add_operands(draw, spec)
    elif kernel == "3x3" and draw(st.integers(0, 3)) == 0:
        spec.spread, spec.pool, spec.stride = True, (1, 1), 1
    elif kernel == "3x3" and draw(st.integers(0, 3)) == 0:
        spec.parallel, spec.passes = True, 1
        spec.processors = tuple(4 * p for p in draw(st.sets(st.integers(0, 7), min_size=1)))
    return spec


def _add_pooling(draw: st.DrawFn, spec: LayerSpec) -> None:
    if not draw(st.booleans()):
        return
    columns = 1 if spec.kernel == "1d" else draw(st.integers(1, 3))
    spec.pool = (draw(st.integers(1, 3)), columns)
    spec.stride = draw(st.integers(1, 2))
    spec.maximum = draw(st.booleans())
    spec.round_average = draw(st.booleans())
    if spec.kernel == "3x3":
        spec.pad = max(spec.pad, 1)
    if spec.kernel == "1d":
        spec.rows = 3 * spec.length + 6


def _add_operands(draw: st.DrawFn, spec: LayerSpec) -> None:
    spec.operands = draw(st.integers(2, 4))
    spec.function = draw(st.integers(0, 3))
    spec.prepool = spec.pool != (1, 1) and draw(st.booleans())


@st.composite
def flattenings(draw: st.DrawFn) -> LayerSpec:
    return LayerSpec(
        kernel="1x1",
        rows=1,
        columns=1,
        flatten=True,
        passes=draw(st.integers(16, 40)),
        processors=draw(processors(3)),
        outputs=draw(st.integers(1, 9)),
        bits=draw(st.sampled_from([1, 2, 4, 8])),
        kernel_word=draw(st.integers(0, 9)),
        wide=draw(st.booleans()),
        bias=draw(biases()),
        out_instance=9,
    )


@st.composite
def pass_throughs(draw: st.DrawFn) -> LayerSpec:
    spec = LayerSpec(
        kernel="pass",
        rows=draw(st.integers(3, 6)),
        columns=draw(st.integers(3, 6)),
        processors=tuple(range(draw(st.integers(1, 7)))) + draw(st.sampled_from([(), (16, 18)])),
        passes=draw(st.integers(1, 3)),
        read_word=draw(st.integers(0, 50)),
        out_word=draw(st.integers(0, 50)),
        out_instance=6,
        gap=draw(st.integers(0, 2)),
    )
    _add_pooling(draw, spec)
    if draw(st.booleans()):
        _add_operands(draw, spec)
    return spec


def agree(spec: LayerSpec, seed: int) -> None:
    """Run both models on the same registers and memories and compare all that they wrote."""
    words = layer_words(spec)
    cnn = Cnn()
    configure(cnn, words)
    fill(cnn, spec, seed)
    data = cnn.memories.data
    before = data.bytes.copy()
    cnn.memories.weights.flush()
    stored = cnn.memories.weights._bytes
    bias = cnn.memories.bias.values
    memories = (
        lambda instance, byte: int(before[instance].reshape(-1)[byte]),
        lambda processor, byte: int(stored[processor, byte]),
        lambda quadrant, index: int(bias[quadrant, index]) & 255,
    )
    wanted = NaiveLayer(words, 0, spec.quadrants, memories, spec.round_average).run()
    start(cnn, spec.quadrants, poolrnd=int(spec.round_average))
    cnn.finish()
    for (instance, word, byte), value in wanted.items():
        before[instance, word, byte] = value
    assert np.array_equal(data.bytes, before)


@SLOW_IS_FINE
@given(convolutions(), st.integers(0, 1000))
def test_convolutions_agree_with_the_naive_model(spec: LayerSpec, seed: int) -> None:
    agree(spec, seed)


@SLOW_IS_FINE
@given(flattenings(), st.integers(0, 1000))
def test_flattening_agrees_with_the_naive_model(spec: LayerSpec, seed: int) -> None:
    agree(spec, seed)


@SLOW_IS_FINE
@given(pass_throughs(), st.integers(0, 1000))
def test_pass_through_agrees_with_the_naive_model(spec: LayerSpec, seed: int) -> None:
    agree(spec, seed)


@pytest.mark.long
@MANY
@given(st.one_of(convolutions(), flattenings(), pass_throughs()), st.integers(0, 1 << 30))
def test_many_layers_agree_with_the_naive_model(spec: LayerSpec, seed: int) -> None:
    agree(spec, seed)
