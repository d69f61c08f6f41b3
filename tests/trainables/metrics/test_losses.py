"""Training losses against torch's and torchvision's own, scikit-learn's weights, and brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from trainables.config import make_config
from trainables.data.arrays import MULTI_LABEL, Task
from trainables.metrics.losses import class_weights, loss_of, probabilities, training_loss

TASKS: tuple[Task, ...] = ("multi-class", "binary-class", "ordinal-regression", MULTI_LABEL)
N, C = 40, 4


def _case(task: Task) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(N, C, generator=generator) * 3
    if task == MULTI_LABEL:
        return logits, torch.randint(0, 2, (N, C), generator=generator)
    return logits, torch.randint(0, C, (N,), generator=generator)


def _loss(task: Task, labels: Tensor, **fields: Any) -> Any:
    return training_loss(make_config(fields), labels, C, task)


@pytest.mark.parametrize("task", TASKS)
def test_default_is_the_reported_loss(task: Task) -> None:
    logits, labels = _case(task)
    assert torch.equal(_loss(task, labels)(logits, labels), loss_of(logits, labels, task))


def test_label_smoothing() -> None:
    logits, labels = _case("multi-class")
    found = _loss("multi-class", labels, label_smoothing=0.1)(logits, labels)
    shares = functional.one_hot(labels, C) * 0.9 + 0.1 / C
    assert float(found) == pytest.approx(float(-(shares * logits.log_softmax(1)).sum(1).mean()), rel=1e-6)
    logits, labels = _case(MULTI_LABEL)
    found = _loss(MULTI_LABEL, labels, label_smoothing=0.1)(logits, labels)
    expected = functional.binary_cross_entropy_with_logits(logits, labels * 0.9 + 0.05)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_balanced_weights_are_scikit_learns() -> None:
    labels = torch.tensor([0] * 50 + [1] * 30 + [3] * 5)
    present, absent = class_weights(labels, C)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels.numpy())
    assert absent is None
    assert present[[0, 1, 3]].tolist() == pytest.approx(expected.tolist())
    assert present[2] == 1
    assert float(present[labels].mean()) == pytest.approx(1)
    many = torch.stack([labels == 0, labels == 3], dim=1).long()
    present, absent = class_weights(many, 2)
    for label in range(2):
        expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=many[:, label].numpy())
        assert absent is not None
        assert [float(absent[label]), float(present[label])] == pytest.approx(expected.tolist())


def test_weighted_losses_equal_brute_force() -> None:
    logits, labels = _case("multi-class")
    weights, _ = class_weights(labels, C)
    terms = [-weights[y] * torch.log_softmax(row, 0)[y] for row, y in zip(logits, labels, strict=True)]
    found = _loss("multi-class", labels, class_weights="balanced")(logits, labels)
    assert float(found) == pytest.approx(float(sum(terms)) / N, rel=1e-6)
    logits, labels = _case(MULTI_LABEL)
    present, absent = class_weights(labels, C)
    assert absent is not None
    p = torch.sigmoid(logits)
    each = torch.where(labels == 1, -present * p.log(), -absent * (1 - p).log())
    found = _loss(MULTI_LABEL, labels, class_weights="balanced")(logits, labels)
    assert float(found) == pytest.approx(float(each.mean()), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 5.0])
def test_focal_loss(gamma: float) -> None:
    logits, labels = _case("multi-class")
    p = torch.softmax(logits, 1)[torch.arange(N), labels]
    found = _loss("multi-class", labels, loss="focal", focal_gamma=gamma)(logits, labels)
    assert float(found) == pytest.approx(float((-((1 - p) ** gamma) * p.log()).mean()), rel=1e-5)
    logits, labels = _case(MULTI_LABEL)
    found = _loss(MULTI_LABEL, labels, loss="focal", focal_gamma=gamma)(logits, labels)
    theirs = sigmoid_focal_loss(logits, labels.float(), alpha=-1, gamma=gamma, reduction="mean")
    assert float(found) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("task", ["multi-class", MULTI_LABEL])
@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal_without_focus_is_cross_entropy(task: Task, weights: str, smoothing: float) -> None:
    logits, labels = _case(task)
    fields = {"class_weights": weights, "label_smoothing": smoothing}
    focal = _loss(task, labels, loss="focal", focal_gamma=0.0, **fields)(logits, labels)
    assert float(focal) == pytest.approx(float(_loss(task, labels, **fields)(logits, labels)), rel=1e-5)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_shares_of_classes_mix_the_losses_of_labels(loss: str, weights: str) -> None:
    """The loss of an image that is 0.3 one class and 0.7 another is 0.3 and 0.7 of theirs."""
    logits, labels = _case("multi-class")
    other = labels.roll(1)
    criterion = _loss("multi-class", labels, loss=loss, class_weights=weights)
    shares = 0.3 * functional.one_hot(labels, C) + 0.7 * functional.one_hot(other, C)
    expected = 0.3 * criterion(logits, labels) + 0.7 * criterion(logits, other)
    assert float(criterion(logits, shares)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("fields", [{}, {"loss": "focal"}, {"loss": "focal", "focal_gamma": 0.5}])
@pytest.mark.parametrize("task", ["multi-class", MULTI_LABEL])
def test_extreme_logits_give_finite_gradients(fields: dict[str, Any], task: Task) -> None:
    logits, labels = _case(task)
    logits = (logits * 1e3).requires_grad_()
    _loss(task, labels, class_weights="balanced", label_smoothing=0.1, **fields)(logits, labels).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_probabilities() -> None:
    logits, _ = _case("multi-class")
    assert torch.allclose(probabilities(logits, "multi-class").sum(1), torch.ones(N))
    assert torch.allclose(probabilities(logits, MULTI_LABEL), 1 / (1 + (-logits).exp()))
