"""Circular buffers: the check knows their lengths, so it sees those that are too short."""

from __future__ import annotations

import pytest

from synthesize.chip import registers as reg
from synthesize.compiler import build_program, place_automatically
from synthesize.graph import hardware
from synthesize.graph.ir import Graph
from synthesize.place import buffers, search, verify
from synthesize.place.verify.rings import ring_words
from tests.helpers.networks import random_chain


def placed(seed: int) -> tuple[Graph, search.Placement]:
    return place_automatically(random_chain(seed))


@pytest.mark.parametrize("seed", range(12))
def test_the_check_derives_the_length_that_the_register_gets(seed: int) -> None:
    legal, placement = placed(seed)
    program = build_program(legal, placement)
    written = {write.address: write.value for write in program.registers}
    quadrant = placement.quadrants[0]
    streaming = [i for i, place in enumerate(placement.layers) if place.streaming]
    assert streaming
    for index in streaming:
        address = reg.layer_address(quadrant, index, reg.FBUF)
        length = reg.FBUF.decode(written[address])["fbuf_max"]
        assert ring_words(legal, index, placement.chw) == length


def test_buffers_that_the_search_makes_too_short_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    legal = next(
        legal for legal, placement in map(placed, range(20))
        if sum(place.streaming for place in placement.layers) > 1
    )  # fmt: skip
    shorter = lambda graph, index, chw=False: hardware.rollover(graph, index, chw) // 2  # noqa: E731
    monkeypatch.setattr(buffers, "rollover", shorter)
    findings = verify.check(legal, search.search(legal))
    assert any("overlaps" in str(finding) for finding in findings)
