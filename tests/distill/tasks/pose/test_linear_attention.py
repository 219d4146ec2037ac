"""Linear attention beside its explicit form, and the growth of its cost."""

from __future__ import annotations

import pytest
import torch

from common.errors import UserError
from distill.tasks.pose.teachers.transformer.attention import (
    FORMS,
    CrossAttention,
    GraphAttention,
    Memory,
    SelfAttention,
    explicit_attention,
    linear_attention,
)
from distill.tasks.pose.teachers.transformer.growth import baseline_table, measure
from distill.tasks.pose.teachers.transformer.model import grid, place_code, relations


@pytest.mark.parametrize("tokens", [(1, 1), (7, 7), (5, 40), (300, 20)])
def test_both_forms_are_equal_bit_for_bit_on_integers(tokens: tuple[int, int]) -> None:
    """Sums of small whole numbers are exact in float64, so both orders must agree entirely."""
    generator = torch.Generator().manual_seed(sum(tokens))
    draw = [
        torch.randint(-9, 10, (2, 3, n, 8), generator=generator).double()
        for n in (tokens[0], tokens[1], tokens[1])
    ]
    linear, explicit = linear_attention(*draw), explicit_attention(*draw)
    assert torch.equal(linear, explicit)
    assert float(linear.abs().max()) > 0


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_both_forms_agree_on_real_numbers(kind: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    draw = [torch.randn(2, 4, n, 16, dtype=kind) for n in (50, 90, 90)]
    torch.testing.assert_close(
        linear_attention(*draw), explicit_attention(*draw), rtol=tolerance, atol=tolerance
    )


def test_gradients_of_both_forms_agree() -> None:
    torch.manual_seed(0)
    draws = [torch.randn(1, 2, 30, 8, dtype=torch.float64) for _ in range(3)]
    gradients = []
    for form in (linear_attention, explicit_attention):
        leaves = [draw.clone().requires_grad_() for draw in draws]
        form(*leaves).square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for linear, explicit in zip(*gradients, strict=True):
        torch.testing.assert_close(linear, explicit, rtol=1e-9, atol=1e-12)


def test_a_query_without_positive_features_attends_to_nothing() -> None:
    query = -torch.ones(1, 3, 4)
    key, value = torch.rand(1, 5, 4), torch.rand(1, 5, 6)
    assert torch.equal(linear_attention(query, key, value), torch.zeros(1, 3, 6))


def test_low_precision_is_summed_in_float32() -> None:
    torch.manual_seed(0)
    draw = [torch.rand(1, 2000, 8) for _ in range(3)]
    low = linear_attention(*(d.bfloat16() for d in draw))
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), linear_attention(*draw), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", sorted(FORMS))
def test_self_attention_does_not_mind_the_order_of_tokens(kind: str) -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(16, 4, kind), torch.randn(2, 9, 16)
    place, order = torch.randn(1, 9, 16), torch.randperm(9)
    torch.testing.assert_close(
        attention(x, place)[:, order], attention(x[:, order], place[:, order]), rtol=1e-4, atol=1e-5
    )


def test_a_fresh_query_looks_about_where_it_stands() -> None:
    torch.manual_seed(0)
    position = grid(16, 16, torch.device("cpu"))
    memory = Memory(torch.zeros(1, 256, 128), place_code(position, 128)[None], position)
    at = torch.tensor([[[0.3, 0.6], [0.8, 0.2]]])
    _, looked = CrossAttention(128, 1)(torch.zeros(1, 2, 128), place_code(at, 128), memory)
    middle = torch.tensor([0.5, 0.5])
    assert ((looked[0, :, 0] - at[0]).norm(dim=-1) < (middle - at[0]).norm(dim=-1)).all()


def test_graph_attention_reads_the_edges() -> None:
    torch.manual_seed(0)
    attention = GraphAttention(16, 4, relations())
    x, place = torch.randn(2, 18, 16), torch.randn(2, 18, 16)
    before = attention(x, place)
    with torch.no_grad():
        attention.bias[:, 2] = 5  # limbs
    assert not torch.allclose(before, attention(x, place))


def test_the_graph_of_a_person_is_symmetric_and_knows_its_limbs() -> None:
    kinds = relations()
    assert torch.equal(kinds, kinds.T)
    assert kinds[5, 7] == kinds[7, 9] == 2  # shoulder, elbow, wrist
    assert kinds[5, 6] == kinds[9, 10] == 3  # left and right
    assert (kinds[17, :17] == 4).all()
    assert (kinds.diagonal() == 1).all()


def test_heads_must_share_the_width() -> None:
    with pytest.raises(UserError, match="width 10 cannot be shared by 4 heads"):
        SelfAttention(10, 4)
    with pytest.raises(UserError, match="attention is 'fast'"):
        SelfAttention(8, 4, "fast")


def test_memory_grows_with_the_tokens_or_with_their_square() -> None:
    """Peak bytes are counted by the allocator, not timed, so the growth is a firm figure."""
    linear = [measure("linear", side, width=32, repeats=1).peak for side in (20, 40)]
    explicit = [measure("explicit", side, width=32, repeats=1).peak for side in (20, 40)]
    assert linear[1] / linear[0] == pytest.approx(4, rel=0.1)
    assert explicit[1] / explicit[0] > 12
    assert "| 16 x 16 |" in baseline_table([measure("linear", 16, width=32, repeats=1)])
