"""Muon: what it does to a gradient, to the weights it leaves to AdamW, and to a whole run."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ai8x_models.students import Student
from common.errors import UserError
from distill.engine.muon import Muon, orthogonalize
from distill.tasks.pose.module import PoseModule, TeacherModule
from distill.tasks.pose.recipe import Recipe, TeacherRecipe
from distill.tasks.pose.teachers.openpose import LightweightOpenPose


@pytest.mark.parametrize("shape", [(64, 576), (128, 64), (16, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalize(matrix)
    assert found.shape == shape
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.3
    assert values.max() < 1.3
    # The directions stay: the polar factor of the matrix is what comes near.
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest = left @ right
    alike = (found * nearest).sum() / (found.norm() * nearest.norm())
    assert alike > 0.95


def test_a_gradient_of_zeros_changes_nothing() -> None:
    weight = nn.Parameter(torch.ones(4, 3, 3, 3))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], [nn.Parameter(torch.zeros(1))], lr=1e-3).step()
    assert torch.equal(weight.detach(), torch.ones(4, 3, 3, 3))


def test_a_step_has_the_size_of_its_rate() -> None:
    weight = nn.Parameter(torch.zeros(8, 4, 3, 3))
    weight.grad = 1e-6 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    Muon([weight], [nn.Parameter(torch.zeros(1))], lr=1.0, muon_lr=0.5).step()
    values = torch.linalg.svdvals(weight.detach().flatten(1))
    assert ((values > 0.3 * 0.5) & (values < 1.3 * 0.5)).all()


def test_the_others_are_trained_by_adamw() -> None:
    ours, theirs = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    muon = Muon([nn.Parameter(torch.ones(2, 2))], [ours], lr=0.1, weight_decay=0.2)
    adamw = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.2, fused=True)
    for step in range(3):
        for weight in (ours, theirs):
            weight.grad = torch.arange(5.0) - step
        muon.step()
        adamw.step()
    assert torch.equal(ours, theirs)


def test_its_state_can_be_saved_and_read_back() -> None:
    def train(optimizer: Muon, weight: nn.Parameter, steps: int) -> None:
        for step in range(steps):
            weight.grad = torch.sin(weight.detach() + step)
            optimizer.step()

    def fresh() -> tuple[Muon, nn.Parameter]:
        weight = nn.Parameter(torch.arange(12.0).view(3, 4) / 12)
        return Muon([weight], [nn.Parameter(torch.zeros(1))], lr=0.1), weight

    whole, whole_weight = fresh()
    train(whole, whole_weight, 3)
    saved = copy.deepcopy(whole.state_dict())
    parts, parts_weight = fresh()
    parts_weight.data.copy_(whole_weight.data)
    parts.load_state_dict(saved)
    train(whole, whole_weight, 2)
    train(parts, parts_weight, 2)
    assert torch.equal(whole_weight, parts_weight)


def test_output_layers_stay_with_adamw() -> None:
    module = PoseModule(Student("tiny"), Recipe(student="tiny", optimizer="muon"))
    optimizer = module.make_optimizer()
    hidden = {id(p) for g in optimizer.param_groups if "muon" in g for p in g["params"]}
    student = module.student
    assert id(student.conv1.op.weight) in hidden
    assert id(student.heat_out.op.weight) not in hidden
    assert id(student.paf_out.op.weight) not in hidden
    trained = [p for p in module.parameters() if p.requires_grad]
    grouped = [id(p) for g in optimizer.param_groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in trained)


def test_kernels_of_one_channel_stay_with_adamw() -> None:
    module = TeacherModule(LightweightOpenPose(1), TeacherRecipe(optimizer="muon"))
    groups = module.make_optimizer().param_groups
    hidden = [p for g in groups if "muon" in g for p in g["params"]]
    assert hidden
    assert all(p.shape[1] > 1 for p in hidden)
    answers = {id(p) for p in module.answer_weights()}
    assert len(answers) == 4
    assert not answers & {id(p) for p in hidden}


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(UserError, match="optimizer is 'lion'; it must be one of adamw, muon"):
        Recipe(optimizer="lion")
