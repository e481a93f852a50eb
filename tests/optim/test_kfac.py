"""K-FAC by kfac-jax against factors that are formed layer by layer, and solved densely."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("kfac_jax", reason="extra kfac is not installed")

from optim.curvature import loss_and_gradient
from optim.kfac import kfac
from optim.losses import Loss, half_squared_error, softmax_cross_entropy, span_cross_entropy
from spu_circuit.errors import InputError

Array = NDArray[Any]
LAMBDA, DECAY = 0.03, 0.7


class Net(eqx.Module):
    """Of 2 × 5 × 4 numbers: a convolution, tanh, a dense layer, tanh, a dense layer."""

    convolution: eqx.nn.Conv2d
    dense: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, outputs: int, key: Any) -> None:
        first, second, third = jax.random.split(key, 3)
        self.convolution = eqx.nn.Conv2d(2, 3, (3, 2), key=first)
        self.dense = eqx.nn.Linear(27, 4, key=second)
        self.head = eqx.nn.Linear(4, outputs, key=third)

    def __call__(self, x: Any) -> Any:
        return self.head(jnp.tanh(self.dense(jnp.tanh(self.convolution(x)).ravel())))


@dataclass(frozen=True)
class Case:
    loss: Loss
    outputs: int
    target: Callable[[Any], Any]


CASES = {
    "softmax": Case(softmax_cross_entropy, 3, lambda rng: rng.integers(3, size=6).astype(np.int32)),
    "squares": Case(half_squared_error, 2, lambda rng: rng.normal(size=(6, 2)).astype(np.float32)),
}


def model(params: Any, inputs: Any) -> Any:
    return jax.vmap(params)(inputs)


def batches(case: Case) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(6, 2, 5, 4)).astype(np.float32), case.target(rng)) for _ in range(2)]


def made(case: Case, curvature: str = "ggn", draws: int = 1) -> tuple[Any, Any]:
    params = Net(case.outputs, jax.random.key(3))
    inputs, targets = batches(case)[0]
    return params, kfac(model, case.loss, params, (inputs[0], targets[0]), curvature, draws, DECAY)


def stepped(case: Case, curvature: str = "ggn", draws: int = 1) -> tuple[Any, list[Any], Any]:
    """The parameters; and of two steps at them the gradients, and what is made of the second."""
    params, method = made(case, curvature, draws)
    state, gradients, solved = method.init(), [], None
    update = jax.jit(method.update)
    for number, (inputs, targets) in enumerate(batches(case)):
        _, gradient = loss_and_gradient(model, case.loss, params, inputs, targets)
        gradients.append(gradient)
        solved, state = update(gradient, state, params, inputs, targets, jax.random.key(number), LAMBDA)
    return params, gradients, solved


@jax.jit
def slopes_and_hidden(params: Net, image: Any) -> tuple[Any, Any, Any]:
    """Outputs' derivatives by what comes out of each layer, the outputs, and what goes into the dense layers."""

    def outputs(shifts: Any) -> Any:
        x = jnp.tanh(params.convolution(image) + shifts[0]).ravel()
        return params.head(jnp.tanh(params.dense(x) + shifts[1])) + shifts[2]

    nothing = [jnp.zeros((3, 3, 3)), jnp.zeros(4), jnp.zeros(len(params.head.bias))]
    hidden = jnp.tanh(params.convolution(image)).ravel()
    return jax.jacrev(outputs)(nothing), outputs(nothing), [hidden, jnp.tanh(params.dense(hidden))]


def moments(params: Net, loss: Loss, inputs: Array) -> list[tuple[Array, Array, int]]:
    """A, G and the number of places of each layer, sample by sample and place by place, from the definition."""
    weights = [params.convolution, params.dense, params.head]
    sums: list[Any] = [[0.0, 0.0] for _ in weights]
    for image in inputs:
        slopes, outputs, hidden = slopes_and_hidden(params, image)
        H = np.asarray(jax.hessian(lambda z: loss.value(z, TARGETS[loss]))(outputs), float)
        windows = [image[:, row : row + 3, column : column + 2].ravel() for row in range(3) for column in range(3)]
        patches = [windows, *([row] for row in hidden)]
        for own, slope, rows in zip(sums, slopes, patches, strict=True):
            S = np.asarray(slope, float).reshape(len(H), -1, len(rows))
            for place, row in enumerate(rows):
                one = np.append(np.asarray(row, float), 1.0)
                own[0] = own[0] + np.outer(one, one) / (len(inputs) * len(rows))
                own[1] = own[1] + S[..., place].T @ H @ S[..., place] / (len(inputs) * len(rows))
    return [(A, G, places) for (A, G), places in zip(sums, (9, 1, 1), strict=True)]


TARGETS = {softmax_cross_entropy: 0, half_squared_error: 0.0}
"""No matter which: the Hessian in the outputs knows none."""


@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_exact_kronecker_blocks(name: str) -> None:
    case = CASES[name]
    params, gradients, solved = stepped(case)
    first, second = (moments(params, case.loss, inputs) for inputs, _ in batches(case))
    layers = zip(first, second, ("convolution", "dense", "head"), strict=True)
    for (A0, G0, places), (A1, G1, _), layer in layers:
        A, G = ((DECAY * old + new) / (DECAY + 1) for old, new in ((A0, A1), (G0, G1)))
        own, found = getattr(gradients[1], layer), getattr(solved, layer)
        g = np.hstack([np.asarray(own.weight, float).reshape(len(G), -1), np.reshape(own.bias, (-1, 1))])
        block = places * np.kron(G, A) + LAMBDA * np.eye(g.size)
        exact = np.linalg.solve(block, g.ravel()).reshape(g.shape)
        got = np.hstack([np.reshape(found.weight, (len(G), -1)), np.reshape(found.bias, (-1, 1))])
        # Single precision, whose eigenvectors are good to about 1e-6 of the largest eigenvalue, a few hundred λ.
        np.testing.assert_allclose(got, exact, atol=1e-3 * np.abs(exact).max())


def test_draws_of_a_sampled_fisher_are_decided_by_the_key_and_tend_to_gauss_newton() -> None:
    case = CASES["softmax"]
    exact = jax.tree.leaves(stepped(case)[2])
    drawn = jax.tree.leaves(stepped(case, "sampled fisher", 1000)[2])
    again = jax.tree.leaves(stepped(case, "sampled fisher", 1000)[2])
    for one, other, found in zip(exact, drawn, again, strict=True):
        np.testing.assert_array_equal(other, found)
        # 6,000 draws a step: moments are off by about 2 %, so solutions by less than three times that.
        assert np.linalg.norm(one - other) < 0.06 * np.linalg.norm(one)
        assert not np.array_equal(one, other)


def test_what_it_does_not_know_is_refused() -> None:
    case = CASES["softmax"]
    params, sample = Net(3, jax.random.key(0)), tuple(part[0] for part in batches(case)[0])
    with pytest.raises(InputError, match=r"knows .* not span cross-entropy"):
        kfac(model, span_cross_entropy, params, sample)
    with pytest.raises(InputError, match="curvature: K-FAC estimates ggn or sampled fisher, not 'fisher'"):
        kfac(model, case.loss, params, sample, "fisher")


def test_a_weight_that_acts_twice_is_refused() -> None:
    params = {"weight": jnp.ones((3, 3))}
    sample = (jnp.zeros(3), jnp.int32(0))
    with pytest.raises(InputError, match="K-FAC finds a weight that is in no dense layer"):
        kfac(
            lambda params, inputs: jnp.tanh(inputs @ params["weight"]) @ params["weight"],
            softmax_cross_entropy,
            params,
            sample,
        )
