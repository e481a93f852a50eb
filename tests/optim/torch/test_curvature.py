"""Factors agree with the JAX path, with curvlinops, and with Jacobians by torch's other way to differentiate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from curvlinops import FisherMCLinearOperator, GGNLinearOperator
from torch import nn

from optim.curvature import CURVATURES as JAX_CURVATURES
from optim.curvature import loss_and_gradient
from optim.losses import Loss, softmax_cross_entropy
from optim.torch.curvature import CURVATURES, columns_at, curvature_factor
from optim.torch.losses import loss_named
from optim.torch.module import PerSample, trained_parameters
from tests.optim.torch.cases import COINS, IMAGES, INPUTS, LABELS, LOSSES, VALUES, cnn, mlp, tagger

squared_error = Loss(
    "mean squared error",
    lambda outputs, target: jnp.mean((outputs - target) ** 2),
    lambda outputs: jnp.eye(len(outputs)) * jnp.sqrt(2 / len(outputs)),
    lambda key, outputs: outputs + jax.random.normal(key, outputs.shape, outputs.dtype) / jnp.sqrt(2),
)
"""torch's, whose distribution has a variance of ½ and whose mean has d_z terms."""
JAX_LOSSES = {"classes": softmax_cross_entropy, "values": squared_error}


def jax_mlp(params, inputs):
    """``cases.mlp`` with the weights that torch keeps, in torch's order."""
    W, b, V, c = params
    return jnp.tanh(inputs @ W.T + b) @ V.T + c


def in_jax(model, *tensors):
    return [jnp.asarray(p.detach().numpy()) for p in model.parameters()], *(jnp.asarray(t.numpy()) for t in tensors)


def factor(model, kind, loss, inputs, targets, draws=1, micro_batch_size=6, seed=0):
    module = PerSample(model, trained_parameters(model))
    curvature = CURVATURES[kind]
    return curvature_factor(curvature, loss_named(loss), module, inputs, targets, draws, seed, micro_batch_size)[0]


@pytest.mark.parametrize("kind", ["ggn", "fisher"])
@pytest.mark.parametrize("case", JAX_LOSSES)
def test_factors_and_gradients_are_those_of_the_jax_path(kind, case):
    model, (loss, targets) = mlp(), LOSSES[case]
    params, inputs, wanted = in_jax(model, INPUTS, targets)
    B = JAX_CURVATURES[kind].factor(1)(jax_mlp, JAX_LOSSES[case], params, inputs, wanted)
    np.testing.assert_allclose(factor(model, kind, loss, INPUTS, targets), B, atol=1e-5)
    value, gradient = loss_and_gradient(jax_mlp, JAX_LOSSES[case], params, inputs, wanted)
    ours = loss(model(INPUTS), targets)
    ours.backward()
    assert ours.item() == pytest.approx(float(value), rel=1e-5)
    for parameter, expected in zip(model.parameters(), gradient, strict=True):
        np.testing.assert_allclose(parameter.grad, expected, atol=1e-5)


@pytest.mark.parametrize("case", JAX_LOSSES)
def test_sampled_fisher_is_that_of_the_jax_path_with_its_drawn_targets(case):
    draws, key = 3, jax.random.PRNGKey(7)
    model, (loss, targets) = mlp(), LOSSES[case]
    params, inputs, wanted = in_jax(model, INPUTS, targets)
    expected = JAX_CURVATURES["sampled fisher"].factor(draws)(jax_mlp, JAX_LOSSES[case], params, inputs, wanted, key)
    drawn = [
        [JAX_LOSSES[case].draw(one, outputs) for one in jax.random.split(own, draws)]
        for own, outputs in zip(jax.random.split(key, 6), jax_mlp(params, inputs), strict=True)
    ]
    known, outputs = loss_named(loss), model(INPUTS).detach()
    columns = columns_at(known, outputs, torch.from_numpy(np.array(drawn)).movedim(1, 0)) / 6**0.5
    rows = PerSample(model, trained_parameters(model)).pulled_back(INPUTS, columns)
    B = torch.cat([part.reshape(6 * draws, -1) for part in rows.values()], dim=1)
    # The mean of d_z terms is −log p over d_z, see ``columns_at``; JAX's factor does not know of it.
    terms = {"classes": 1, "values": 3}[case]
    np.testing.assert_allclose(B, np.asarray(expected) * terms**0.5, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "inputs", "loss", "targets"),
    [
        (cnn, IMAGES, nn.CrossEntropyLoss(), LABELS),
        (cnn, IMAGES, nn.MSELoss(), VALUES),
        (cnn, IMAGES, nn.BCEWithLogitsLoss(), COINS),
    ],
)
def test_gauss_newton_is_that_of_curvlinops(make, inputs, loss, targets):
    model = make().double()
    inputs = inputs.double()
    targets = targets.double() if targets.is_floating_point() else targets
    B = factor(model, "ggn", loss, inputs, targets)
    theirs = GGNLinearOperator(model, loss, list(model.parameters()), [(inputs, targets)])
    np.testing.assert_allclose(B.T @ B, theirs @ torch.eye(B.shape[1], dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("case", LOSSES)
def test_sampled_fisher_is_that_of_curvlinops_in_the_mean_over_draws(case):
    """Each entry within six standard errors of the difference of both means: of 3 × 780 with these seeds, one in 10⁵ is
    beyond. Both draw from the same distribution, whose spread is that of our draws."""
    model, (loss, targets), ours, theirs = mlp().double(), LOSSES[case], 4000, 2000
    inputs, size = INPUTS.double(), 39
    targets = targets.double() if targets.is_floating_point() else targets
    B = factor(model, "sampled fisher", loss, inputs, targets, draws=ours).reshape(6, ours, size)
    each = np.einsum("sdi,sdj->dij", B, B, optimize=True) * ours
    operator = FisherMCLinearOperator(
        model, loss, list(model.parameters()), [(inputs, targets)], mc_samples=theirs, seed=1
    )
    mean = (operator @ torch.eye(size, dtype=torch.float64)).numpy()
    error = each.std(axis=0) * (1 / ours + 1 / theirs) ** 0.5
    assert (np.abs(each.mean(axis=0) - mean) <= 6 * error).all()
    # A fifth would be noticed.
    for factor_off in (0.8, 1.2):
        assert (np.abs(factor_off * each.mean(axis=0) - mean) > 6 * error).any()


WORDS = torch.arange(24).reshape(6, 4) % 7
TAGS = torch.arange(24).reshape(6, 4) % 3


@pytest.mark.parametrize(
    ("make", "inputs", "loss", "targets"),
    [
        (mlp, INPUTS.double(), nn.CrossEntropyLoss(), LABELS),
        (mlp, INPUTS.double(), nn.BCEWithLogitsLoss(), COINS.double()),
        (tagger, WORDS, nn.CrossEntropyLoss(), TAGS),
    ],
)
def test_gauss_newton_is_the_one_of_dense_jacobians_and_hessians(make, inputs, loss, targets):
    model = make().double()
    names, values = zip(*model.named_parameters(), strict=True)
    expected = 0
    for k in range(6):

        def outputs(*parameters, k=k):
            return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), inputs[k : k + 1])

        parts = torch.autograd.functional.jacobian(outputs, tuple(p.detach() for p in values))
        size = outputs(*values).numel()
        J = torch.cat([part.reshape(size, -1) for part in parts], dim=1)
        at = outputs(*values).detach()
        H = torch.autograd.functional.hessian(lambda z, k=k: loss(z, targets[k : k + 1]), at).reshape(size, size)
        expected = expected + J.T @ H @ J / 6
    B = factor(model, "ggn", loss, inputs, targets)
    np.testing.assert_allclose(B.T @ B, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "inputs", "case"), [*((mlp, INPUTS, case) for case in LOSSES), (tagger, WORDS, "tags")]
)
def test_drawn_targets_have_the_hessian_of_the_loss_in_the_mean(make, inputs, case):
    """Each entry within six standard errors of the mean over the draws: of at most 864 with one seed, one in 10⁶ is
    beyond."""
    loss, targets = LOSSES.get(case, (nn.CrossEntropyLoss(), TAGS))
    known, outputs, draws = loss_named(loss), make()(inputs).detach().double(), 20_000
    generator = np.random.default_rng(0)
    drawn = CURVATURES["sampled fisher"].columns(known, outputs, targets, draws, generator).reshape(6, draws, -1)
    L = known.hessian_factor(outputs).reshape(6, known.rank(tuple(outputs.shape[1:])), -1)
    mean, parts = drawn.mT @ drawn, drawn * draws**0.5
    spread = ((parts**2).mT @ parts**2 / draws - mean**2).clamp(min=0) / draws
    torch.testing.assert_close(mean / spread.sqrt(), L.mT @ L / spread.sqrt(), rtol=0, atol=6)


@pytest.mark.parametrize("kind", CURVATURES)
def test_a_factor_in_micro_batches_is_the_same(kind):
    whole, parts = (factor(cnn(), kind, nn.CrossEntropyLoss(), IMAGES, LABELS, 1, size) for size in (6, 4))
    np.testing.assert_allclose(parts, whole, atol=1e-6)  # single precision


@pytest.mark.parametrize("kind", CURVATURES)
@pytest.mark.parametrize("case", LOSSES)
def test_the_rows_of_a_kind_are_as_many_as_it_says(kind, case):
    loss, targets = LOSSES[case]
    B = factor(mlp(), kind, loss, INPUTS, targets)
    assert B.shape == (6 * CURVATURES[kind].rows(loss_named(loss), (3,), 1), 39)


def test_inputs_may_be_several_or_have_names():
    class Sum(nn.Linear):
        def forward(self, left, right):
            return super().forward(left + right)

    model = Sum(5, 3)
    loss = nn.CrossEntropyLoss()
    whole = factor(model, "ggn", loss, (INPUTS, INPUTS), LABELS)
    named = factor(model, "ggn", loss, {"right": INPUTS, "left": INPUTS}, LABELS)
    np.testing.assert_array_equal(whole, named)


def test_shared_weights_are_one_parameter():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
            self.second.weight = self.first.weight

        def forward(self, inputs):
            return self.second(torch.tanh(self.first(inputs)))

    model = Tied().double()
    loss, inputs, targets = nn.MSELoss(), INPUTS.double(), INPUTS.double()
    B = factor(model, "ggn", loss, inputs, targets)
    assert B.shape == (30, 35)
    theirs = GGNLinearOperator(model, loss, list(model.parameters()), [(inputs, targets)])
    np.testing.assert_allclose(B.T @ B, theirs @ torch.eye(35, dtype=torch.float64), atol=1e-12)
