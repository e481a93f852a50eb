"""Curvature factors B of PyTorch modules, whose rows are pull-backs of columns (cotangents) in the outputs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optim.torch.losses import Loss
from optim.torch.module import Inputs, Named, PerSample, batch_size, of_each, seeded
from spu_circuit.errors import InputError, did_you_mean

Array = NDArray[np.float64]
Columns = Callable[[Loss, Tensor, Tensor, int, np.random.Generator], Tensor]
"""(loss, outputs (b, ...), targets, draws, generator) → (b, r, ...): r columns in the outputs of each sample."""

PART = 2**28
"""Bytes that the rows of samples which are pulled back together take at most, where nobody says how many."""


def _hessian_columns(
    loss: Loss, outputs: Tensor, targets: Tensor, draws: int, generator: np.random.Generator
) -> Tensor:
    return loss.hessian_factor(outputs)


def _gradients(loss: Loss, outputs: Tensor, targets: Tensor, draws: int, generator: np.random.Generator) -> Tensor:
    return _gradient_at(loss, outputs, targets)[:, None]


def _drawn_gradients(
    loss: Loss, outputs: Tensor, targets: Tensor, draws: int, generator: np.random.Generator
) -> Tensor:
    drawn = loss.draw(outputs.cpu().double().numpy(), draws, generator)
    return columns_at(loss, outputs, torch.from_numpy(drawn))


def columns_at(loss: Loss, outputs: Tensor, drawn: Tensor) -> Tensor:
    """Columns of a sampled Fisher matrix, (b, m, ...), from outputs (b, ...) and targets (m, b, ...) drawn for them.

    The loss of a sample is −log p over its T terms, so its gradient g has E[g gᵀ] = H / T.
    """
    samples, draws = len(outputs), len(drawn)
    targets = drawn.flatten(0, 1).to(outputs.device, outputs.dtype if drawn.is_floating_point() else torch.int64)
    gradients = _gradient_at(loss, outputs.repeat(draws, *[1] * (outputs.ndim - 1)), targets)
    columns = gradients.reshape(draws, samples, *outputs.shape[1:]).movedim(0, 1)
    return columns * (loss.terms(tuple(outputs.shape[1:])) / draws) ** 0.5


def _gradient_at(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    at = outputs.detach().requires_grad_()
    return torch.autograd.grad(loss.values(at, targets).sum(), at)[0]


@dataclass(frozen=True)
class Curvature:
    """A kind of curvature.

    Args:
        columns: what is pulled back to rows.
        rows: (loss, shape of a sample's outputs, draws) → how many that are, K / b.
        coordinates: (loss, outputs (b, ...), targets) → (b, r), those of each sample's gradient in its columns; None
            where the gradient does not lie in the rows of B.
    """

    columns: Columns
    rows: Callable[[Loss, tuple[int, ...], int], int]
    coordinates: Callable[[Loss, Tensor, Tensor], Tensor] | None = None


CURVATURES = {
    "ggn": Curvature(
        _hessian_columns,
        lambda loss, shape, draws: loss.rank(shape),
        lambda loss, outputs, targets: loss.coordinates(outputs, targets),
    ),
    "fisher": Curvature(
        _gradients, lambda loss, shape, draws: 1, lambda loss, outputs, targets: outputs.new_ones(len(outputs), 1)
    ),
    "sampled fisher": Curvature(_drawn_gradients, lambda loss, shape, draws: draws),
}
"""The kinds of ``optim.curvature``, by the same names."""
FEWEST = {"ggn": "curvature='sampled fisher'", "sampled fisher": "draws=1"}
"""What makes one row for each sample of kinds that have several."""


def curvature_named(name: str) -> Curvature:
    """Raises InputError where there is no such kind."""
    if name not in CURVATURES:
        raise InputError(f"curvature: no {name!r}; {did_you_mean(str(name), CURVATURES, 'curvatures')}")
    return CURVATURES[name]


def gradient_coordinates(curvature: Curvature, loss: Loss, outputs: Tensor, targets: Tensor) -> Array:
    """ρ (K,), with ``g = Bᵀρ`` for the gradient of the batch, in double precision on the host.

    Args:
        outputs: (b, ...), of samples that were taken one by one.
    """
    assert curvature.coordinates is not None, "it was refused before"
    exact = outputs.detach().double()
    targets = targets.to(exact.device, exact.dtype) if targets.is_floating_point() else targets
    found = curvature.coordinates(loss, exact, targets) / len(outputs) ** 0.5
    return np.asarray(found.reshape(-1).cpu().numpy())


def check_budget(
    name: str, loss: Loss, shape: tuple[int, ...], samples: int, draws: int, size: int, budget: int
) -> None:
    """Refuse a factor that is too large, before anything of it is made.

    Args:
        name: of the curvature.
        shape: of the outputs of a sample.
        samples, draws, size: b, m and N.
        budget: bytes that B may take in double precision.

    Raises:
        InputError: says K, and the draws or the batch that fit.
    """
    per_sample = CURVATURES[name].rows(loss, shape, draws)
    row = 8 * size
    needed = samples * per_sample * row
    if needed <= budget:
        return
    cures = []
    fitting = budget // (samples * row)
    if fitting and name == "ggn":
        cures.append(f"curvature='sampled fisher' with draws={fitting}")
    if fitting and name == "sampled fisher":
        cures.append(f"draws={fitting}")
    if batch := budget // (per_sample * row):
        cures.append(f"a batch of {batch}")
    if (rows := budget // row) and not cures:  # of a row for each sample
        cures.append(f"{FEWEST[name]} and a batch of {rows}")
    fits = f"{' or '.join(cures)} fits" if cures else "not even one row fits; freeze parameters"
    raise InputError(
        f"curvature: {name} makes K = {samples * per_sample} rows of {size} parameters, {needed / 1e9:.3g} GB, where "
        f"the budget is {budget / 1e9:.3g} GB; {fits}, or raise budget"
    )


def curvature_factor(
    curvature: Curvature,
    loss: Loss,
    module: PerSample,
    inputs: Inputs,
    targets: Tensor,
    draws: int,
    seed: int,
    micro_batch_size: int,
) -> tuple[Array, Tensor]:
    """B (K, N) in double precision on the host, and the outputs (b, ...) of samples that were taken one by one.

    Args:
        targets: of all samples, on the device of the outputs.
        seed: of the targets that are drawn, and of random numbers in the module.
        micro_batch_size: samples that are pulled back together; the result does not depend on it, up to rounding.
    """
    samples, generator = batch_size(inputs), np.random.default_rng(seed)
    whole = _parts(inputs, micro_batch_size)
    outputs = []
    for number, part in enumerate(whole):
        with seeded(seed + number, module.model):
            outputs.append(module.outputs(part))
    together = torch.cat(outputs)
    exact = together.to(torch.promote_types(together.dtype, torch.float32))  # losses in half precision lose too much
    targets = targets.to(exact.dtype) if targets.is_floating_point() else targets
    columns = curvature.columns(loss, exact, targets, draws, generator) / samples**0.5
    del exact
    rows, size = columns.shape[1], sum(value.numel() for value in module.trained.values())
    B = np.empty((samples, rows, size))
    done = 0
    for number, part in enumerate(whole):
        count = batch_size(part)
        with seeded(seed + number, module.model):
            pulled = module.pulled_back(part, columns[done : done + count])
        _write(B[done : done + count], pulled)
        done += count
    return B.reshape(samples * rows, size), together


def _write(target: Array, pulled: Named) -> None:
    begin = 0
    for value in pulled.values():
        flat = value.reshape(*target.shape[:2], -1)
        target[:, :, begin : begin + flat.shape[2]] = flat.cpu().double().numpy()
        begin += flat.shape[2]


def _parts(inputs: Inputs, size: int) -> list[Inputs]:
    def cut(start: int) -> Inputs:
        return of_each(lambda tensor: tensor[start : start + size], inputs)

    return [cut(start) for start in range(0, batch_size(inputs), size)]
