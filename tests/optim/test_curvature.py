import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from optim.curvature import empirical_fisher_factor, gauss_newton_factor, jacobians, loss_and_gradient
from optim.losses import half_squared_error, softmax_cross_entropy

KEYS = jax.random.split(jax.random.PRNGKey(0), 4)
INPUTS = jax.random.normal(KEYS[0], (6, 3))
LABELS = jnp.array([0, 1, 2, 3, 0, 2])
VALUES = jax.random.normal(KEYS[1], (6, 4))
LINEAR = {"W": jax.random.normal(KEYS[2], (3, 4)), "b": jnp.zeros(4)}


def linear(params, inputs):
    return inputs @ params["W"] + params["b"]


def network(params, inputs):
    return jnp.tanh(inputs @ params["W"]) @ params["V"]


@pytest.mark.parametrize(("loss", "targets"), [(softmax_cross_entropy, LABELS), (half_squared_error, VALUES)])
def test_gauss_newton_of_a_linear_model_is_the_hessian(loss, targets):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), LINEAR)
        inputs = jnp.asarray(INPUTS, jnp.float64)
        B = gauss_newton_factor(linear, loss, params, inputs, targets)
        flat, unravel = ravel_pytree(params)
        hessian = jax.hessian(lambda v: loss.mean(linear(unravel(v), inputs), targets))(flat)
        np.testing.assert_allclose(B.T @ B, hessian, atol=1e-12)


def test_softmax_factor_needs_one_row_less_per_sample():
    with jax.enable_x64(True):
        outputs = jnp.array([3.0, -1.0, 0.5, 0.0])
        L = softmax_cross_entropy.hessian_factor(outputs)
        assert L.shape == (4, 3)
        p = jax.nn.softmax(outputs)
        np.testing.assert_allclose(L @ L.T, jnp.diag(p) - jnp.outer(p, p), atol=1e-14)


def test_softmax_factor_survives_certainty():
    L = softmax_cross_entropy.hessian_factor(jnp.array([200.0, 0.0, -200.0]))
    assert np.isfinite(L).all()
    np.testing.assert_allclose(L @ L.T, 0, atol=1e-6)


def test_jacobians_equal_finite_differences():
    with jax.enable_x64(True):
        params = {
            "W": jax.random.normal(KEYS[2], (3, 5), jnp.float64),
            "V": jax.random.normal(KEYS[3], (5, 2), jnp.float64),
        }
        inputs = jnp.asarray(INPUTS, jnp.float64)
        J = jacobians(network, params, inputs)
        flat, unravel = ravel_pytree(params)
        for k in (0, 7, 24):
            step = 1e-6 * jnp.eye(len(flat))[k]
            slope = (network(unravel(flat + step), inputs) - network(unravel(flat - step), inputs)) / 2e-6
            np.testing.assert_allclose(J[:, :, k], slope, atol=1e-8)  # central differences, h² = 1e-12


def test_gradient_is_jacobian_times_output_gradient():
    loss, gradient = loss_and_gradient(linear, half_squared_error, LINEAR, INPUTS, VALUES)
    apart = linear(LINEAR, INPUTS) - VALUES
    assert loss == pytest.approx(float(jnp.mean(jnp.sum(apart**2, axis=1)) / 2), rel=1e-6)
    np.testing.assert_allclose(gradient["W"], INPUTS.T @ apart / 6, rtol=1e-5)


def test_empirical_fisher_is_the_mean_outer_product_of_sample_gradients():
    B = empirical_fisher_factor(linear, softmax_cross_entropy, LINEAR, INPUTS, LABELS)
    total = 0
    for x, y in zip(INPUTS, LABELS, strict=True):
        _, g = loss_and_gradient(linear, softmax_cross_entropy, LINEAR, x[None], y[None])
        flat = ravel_pytree(g)[0]
        total = total + jnp.outer(flat, flat) / 6
    np.testing.assert_allclose(B.T @ B, total, atol=1e-6)  # single precision
