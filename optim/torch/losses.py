"""PyTorch's losses with the factor of their Hessian in the outputs, and the distribution of their targets."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spu_circuit.errors import InputError


@dataclass(frozen=True)
class Loss:
    """A loss that is a mean over the samples of a batch, and in each a mean over its terms.

    Args:
        values: (outputs (b, ...), targets) → (b,), the loss of each sample.
        hessian_factor: outputs (b, ...) → L (b, r, ...) with ``Σ_k L_k L_kᵀ = ∂²value/∂outputs²`` for each sample.
        rank: shape of the outputs of a sample → r.
        coordinates: (outputs (b, ...), targets) → (b, r), those of the gradient of each sample's loss in its columns L.
        draw: (outputs (b, ...) in double precision, draws, generator) → targets (m, b, ...) of the distribution whose
            negative log-likelihood is ``terms`` times the loss, up to a constant.
        terms: shape of the outputs of a sample → how many terms its mean has.
        refusal: (torch's loss, outputs, targets) → what is wrong with them and the cure; "" where nothing is.
    """

    values: Callable[[Tensor, Tensor], Tensor]
    hessian_factor: Callable[[Tensor], Tensor]
    coordinates: Callable[[Tensor, Tensor], Tensor]
    rank: Callable[[tuple[int, ...]], int]
    draw: Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
    terms: Callable[[tuple[int, ...]], int]
    refusal: Callable[[Any, Tensor, Tensor], str]


def _mean_of_sample(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1).mean(dim=1)


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return _mean_of_sample(functional.cross_entropy(outputs, targets, reduction="none"))


def _softmax_factor(outputs: Tensor) -> Tensor:
    """Columns of ``diag(√p) R`` at each of P positions, (b, P (C − 1), C, ...); R as in ``optim.losses``."""
    samples, classes, *positions = outputs.shape
    q, directions = _softmax_directions(outputs)
    count = q.shape[1]
    factor = q[..., :, None] * directions / count**0.5
    columns = q.new_zeros(samples, count, classes - 1, count, classes)
    columns.diagonal(dim1=1, dim2=3).copy_(factor.permute(0, 3, 2, 1))
    return columns.reshape(samples, count * (classes - 1), *positions, classes).movedim(-1, 2)


def _softmax_directions(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """q = √p (b, P, C) and R (b, P, C, C − 1) at each of P positions."""
    logits = outputs.movedim(1, -1)
    samples, *positions, classes = logits.shape
    q = torch.exp(torch.log_softmax(logits.reshape(samples, prod(positions), classes), dim=-1) / 2)
    v = q.clone()
    v[..., 0] += 1
    reflection = (
        torch.eye(classes, dtype=q.dtype, device=q.device)
        - 2 * v[..., :, None] * v[..., None, :] / (v * v).sum(dim=-1)[..., None, None]
    )
    return q, reflection[..., 1:]


def _softmax_coordinates(outputs: Tensor, targets: Tensor) -> Tensor:
    """The gradient at a position is p − e, for shares e of the classes; R is orthogonal to q: −Rᵀ (e / q)."""
    q, directions = _softmax_directions(outputs)
    if targets.is_floating_point():
        shares = targets.movedim(1, -1).reshape(q.shape)
    else:
        shares = functional.one_hot(targets.reshape(q.shape[:-1]), q.shape[-1])
    # What has no share has no quotient, however small its probability is.
    found = -torch.where(shares != 0, shares / q, 0.0)[..., None, :] @ directions
    return found.reshape(len(outputs), -1) / q.shape[1] ** 0.5


def _categories(outputs: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    # The largest of logits with Gumbel noise is drawn by their softmax.
    return np.asarray((outputs + generator.gumbel(size=(draws, *outputs.shape))).argmax(axis=2))


def _refused_cross_entropy(loss: Any, outputs: Tensor, targets: Tensor) -> str:
    if loss.weight is not None:
        return "class weights make no mean over samples; leave weight out"
    if loss.label_smoothing:
        return f"label_smoothing is {loss.label_smoothing}; its targets have no such distribution; use 0"
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        return f"outputs have shape {tuple(outputs.shape)}; give scores of two or more classes, (b, C, ...)"
    shape, samples, classes = tuple(outputs.shape), (len(outputs), *outputs.shape[2:]), outputs.shape[1]
    if tuple(targets.shape) != (shape if targets.is_floating_point() else samples):
        return (
            f"outputs have shape {shape}, targets {tuple(targets.shape)}; give classes {samples}, whole numbers, or "
            f"their shares {shape}"
        )
    if targets.is_floating_point():
        return ""
    if targets.dtype != torch.int64:
        return f"targets are {targets.dtype}; give classes as torch.int64, by .long()"
    if bool((targets == loss.ignore_index).any()):
        return f"targets hold ignore_index {loss.ignore_index}; leave those samples or positions out of the batch"
    if bool((wrong := (targets < 0) | (targets >= classes)).any()):
        found = int(targets[wrong][0])
        return f"targets hold class {found}, but outputs have {classes} classes; classes are from 0 to {classes - 1}"
    return ""


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return _mean_of_sample((outputs - targets) ** 2)


def _squared_error_factor(outputs: Tensor) -> Tensor:
    size = prod(outputs.shape[1:])
    columns = torch.eye(size, dtype=outputs.dtype, device=outputs.device).reshape(size, *outputs.shape[1:])
    return (columns * (2 / size) ** 0.5).expand(len(outputs), *columns.shape)


def _squared_error_coordinates(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).flatten(1) * (2 / prod(outputs.shape[1:])) ** 0.5


def _normal(outputs: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    # (o − t)² is, up to a constant, −log of a normal density of variance ½.
    return outputs + generator.standard_normal((draws, *outputs.shape)) * 0.5**0.5


def _binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return _mean_of_sample(functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none"))


def _sigmoid_factor(outputs: Tensor) -> Tensor:
    size = prod(outputs.shape[1:])
    root = torch.exp((functional.logsigmoid(outputs) + functional.logsigmoid(-outputs)) / 2) / size**0.5
    return torch.diag_embed(root.reshape(len(outputs), size)).reshape(len(outputs), size, *outputs.shape[1:])


def _sigmoid_coordinates(outputs: Tensor, targets: Tensor) -> Tensor:
    """(p − t) / √(p (1 − p)), as (1 − t) √(p / (1 − p)) − t √((1 − p) / p)."""
    found = (1 - targets) * torch.exp(outputs / 2) - targets * torch.exp(-outputs / 2)
    return found.flatten(1) / prod(outputs.shape[1:]) ** 0.5


def _coins(outputs: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    # Logistic noise is below o with the probability sigmoid(o).
    return (generator.logistic(size=(draws, *outputs.shape)) < outputs).astype(np.float64)


def _refused_shapes(loss: Any, outputs: Tensor, targets: Tensor) -> str:
    if outputs.shape != targets.shape:
        return f"outputs have shape {tuple(outputs.shape)}, targets {tuple(targets.shape)}; they must agree"
    if not targets.is_floating_point():
        return f"targets are {targets.dtype}; give floating-point numbers, by .float()"
    for name in ("weight", "pos_weight"):
        if getattr(loss, name, None) is not None:
            return f"{name} makes no mean over samples; leave it out"
    return ""


def _positions(shape: tuple[int, ...]) -> int:
    return prod(shape[1:])


LOSSES: dict[type, Loss] = {
    torch.nn.CrossEntropyLoss: Loss(
        _cross_entropy,
        _softmax_factor,
        _softmax_coordinates,
        lambda shape: _positions(shape) * (shape[0] - 1),
        _categories,
        _positions,
        _refused_cross_entropy,
    ),
    torch.nn.MSELoss: Loss(
        _squared_error, _squared_error_factor, _squared_error_coordinates, prod, _normal, prod, _refused_shapes
    ),
    torch.nn.BCEWithLogitsLoss: Loss(
        _binary_cross_entropy, _sigmoid_factor, _sigmoid_coordinates, prod, _coins, prod, _refused_shapes
    ),
}
"""By the type of torch's loss."""


def loss_named(loss: Any) -> Loss:
    """What is known of one of torch's losses.

    Raises:
        InputError: nothing is, or it is no mean over the batch.
    """
    if type(loss) not in LOSSES:
        if isinstance(loss, type) and loss in LOSSES:
            raise InputError(f"loss: {loss.__name__} is a class; give torch.nn.{loss.__name__}()")
        shown = getattr(loss, "__name__", type(loss).__name__)
        known = ", ".join(f"torch.nn.{kind.__name__}()" for kind in LOSSES)
        raise InputError(f"loss: no curvature is known of {shown}; give one of {known}")
    if loss.reduction != "mean":
        raise InputError(f"loss: reduction is {loss.reduction!r}; it must be 'mean', over the batch")
    return LOSSES[type(loss)]
