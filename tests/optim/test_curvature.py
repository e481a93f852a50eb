from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from optim.curvature import (
    CURVATURES,
    empirical_fisher_factor,
    gauss_newton_coordinates,
    gauss_newton_factor,
    in_micro_batches,
    jacobians,
    loss_and_gradient,
    sampled_fisher_factor,
)
from optim.losses import Loss, half_squared_error, softmax_cross_entropy
from spu_circuit.errors import InputError
from tests.compiled import quick

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
        B = quick(partial(gauss_newton_factor, linear, loss))(params, inputs, targets)
        flat, unravel = ravel_pytree(params)
        hessian = quick(jax.hessian(lambda v: loss.mean(linear(unravel(v), inputs), targets)))(flat)
        np.testing.assert_allclose(B.T @ B, hessian, atol=1e-12)


def test_softmax_factor_needs_one_row_less_per_sample():
    with jax.enable_x64(True):
        outputs = jnp.array([3.0, -1.0, 0.5, 0.0])
        L = quick(softmax_cross_entropy.hessian_factor)(outputs)
        assert L.shape == (4, 3)
        p = jax.nn.softmax(outputs)
        np.testing.assert_allclose(L @ L.T, jnp.diag(p) - jnp.outer(p, p), atol=1e-14)


def test_softmax_factor_survives_certainty():
    L = quick(softmax_cross_entropy.hessian_factor)(jnp.array([200.0, 0.0, -200.0]))
    assert np.isfinite(L).all()
    np.testing.assert_allclose(L @ L.T, 0, atol=1e-6)


def test_jacobians_equal_finite_differences():
    with jax.enable_x64(True):
        params = {
            "W": jax.random.normal(KEYS[2], (3, 5), jnp.float64),
            "V": jax.random.normal(KEYS[3], (5, 2), jnp.float64),
        }
        inputs = jnp.asarray(INPUTS, jnp.float64)
        J = quick(partial(jacobians, network))(params, inputs)
        flat, unravel = ravel_pytree(params)
        outputs = quick(lambda v: network(unravel(v), inputs))
        for k in (0, 7, 24):
            step = 1e-6 * np.eye(len(flat))[k]
            slope = (outputs(flat + step) - outputs(flat - step)) / 2e-6
            np.testing.assert_allclose(J[:, :, k], slope, atol=1e-8)  # central differences, h² = 1e-12


def test_gradient_is_jacobian_times_output_gradient():
    loss, gradient = loss_and_gradient(linear, half_squared_error, LINEAR, INPUTS, VALUES)
    apart = linear(LINEAR, INPUTS) - VALUES
    assert loss == pytest.approx(float(jnp.mean(jnp.sum(apart**2, axis=1)) / 2), rel=1e-6)
    np.testing.assert_allclose(gradient["W"], INPUTS.T @ apart / 6, rtol=1e-5)


def test_empirical_fisher_is_the_mean_outer_product_of_sample_gradients():
    B = quick(partial(empirical_fisher_factor, linear, softmax_cross_entropy))(LINEAR, INPUTS, LABELS)
    gradient = quick(
        lambda *sample: ravel_pytree(loss_and_gradient(linear, softmax_cross_entropy, LINEAR, *sample)[1])[0]
    )
    total = np.zeros((16, 16))
    for x, y in zip(INPUTS, LABELS, strict=True):
        flat = np.asarray(gradient(x[None], y[None]))
        total += np.outer(flat, flat) / 6
    np.testing.assert_allclose(B.T @ B, total, atol=1e-6)  # single precision


@pytest.mark.parametrize(("loss", "targets"), [(softmax_cross_entropy, LABELS), (half_squared_error, VALUES)])
def test_sampled_fisher_is_the_gauss_newton_matrix_on_average(loss, targets):
    draws = 40_000
    drawn = quick(partial(sampled_fisher_factor, linear, loss, draws=draws))
    B = drawn(LINEAR, INPUTS, targets, jax.random.PRNGKey(3))
    assert B.shape == (6 * draws, 16)
    exact = quick(partial(gauss_newton_factor, linear, loss))(LINEAR, INPUTS, targets)
    rows = np.asarray(B, float) * np.sqrt(len(B))
    # Each entry of BᵀB is a mean of so many products; 5 standard errors for 136 entries: false alarm 8e-5.
    spread = np.sqrt(np.einsum("ki,kj->ij", rows**2, rows**2) / len(B) - (rows.T @ rows / len(B)) ** 2)
    apart = np.abs(rows.T @ rows / len(B) - exact.T @ exact)
    assert (apart <= 5 * spread / np.sqrt(len(B)) + 1e-5).all()  # and single precision


@pytest.mark.parametrize("name", ["ggn", "fisher"])
@pytest.mark.parametrize(("loss", "targets"), [(softmax_cross_entropy, LABELS), (half_squared_error, VALUES)])
def test_coordinates_are_those_of_the_gradient_in_the_rows(name, loss, targets):
    with jax.enable_x64(True):
        params = {"W": jnp.asarray(LINEAR["W"], float), "V": jax.random.normal(KEYS[3], (4, 4), float)}
        inputs = jnp.asarray(INPUTS, float)
        curvature = CURVATURES[name]

        @quick
        def computed(params, inputs):
            at = network, loss, params, inputs, targets
            return curvature.factor(1)(*at), curvature.coordinates(*at), ravel_pytree(loss_and_gradient(*at)[1])[0]

        B, found, gradient = computed(params, inputs)
        assert found.shape == (len(B),)
        np.testing.assert_allclose(B.T @ found, gradient, rtol=1e-12, atol=1e-14)  # rounding


def test_coordinates_bear_certainty_of_the_wrong_class():
    with jax.enable_x64(True):
        outputs = jnp.array([200.0, 0.0, -200.0])
        L = quick(softmax_cross_entropy.hessian_factor)(outputs)
        found = quick(softmax_cross_entropy.coordinates)(outputs, 1)
        np.testing.assert_allclose(L @ found, jax.nn.softmax(outputs) - jnp.eye(3)[1], atol=1e-12)  # rounding


def test_sampled_fisher_depends_on_its_key_alone():
    drawn = quick(partial(sampled_fisher_factor, linear, softmax_cross_entropy, draws=2))

    def factor(seed, targets):
        return np.asarray(drawn(LINEAR, INPUTS, targets, jax.random.PRNGKey(seed)))

    np.testing.assert_array_equal(factor(1, LABELS), factor(1, LABELS[::-1]))
    assert not np.array_equal(factor(1, LABELS), factor(2, LABELS))


def test_sampled_fisher_names_what_it_misses():
    margin = Loss(
        "hinge", lambda outputs, target: jnp.maximum(0, 1 - outputs[target]), lambda outputs: outputs[:, None]
    )
    with pytest.raises(InputError, match="hinge has no distribution"):
        sampled_fisher_factor(linear, margin, LINEAR, INPUTS, LABELS, jax.random.PRNGKey(0))
    with pytest.raises(InputError, match=r"hinge says no coordinates .* use mapping 'dual'"):
        gauss_newton_coordinates(linear, margin, LINEAR, INPUTS, LABELS)
    with pytest.raises(InputError, match="key"):
        sampled_fisher_factor(linear, softmax_cross_entropy, LINEAR, INPUTS, LABELS)


@pytest.mark.parametrize("name", CURVATURES)
@pytest.mark.parametrize(("loss", "targets"), [(softmax_cross_entropy, LABELS), (half_squared_error, VALUES)])
def test_rows_of_a_curvature_are_known_before_it_is_made(name, loss, targets):
    curvature = CURVATURES[name]
    made = partial(curvature.factor(3), linear, loss)
    B = jax.eval_shape(made, LINEAR, INPUTS, targets, jax.random.PRNGKey(0))
    assert B.shape[0] == len(INPUTS) * curvature.rows(loss, 4, 3)


@pytest.mark.parametrize("factor", [gauss_newton_factor, empirical_fisher_factor])
def test_micro_batches_make_the_same_curvature(factor):
    whole, parts = (
        quick(partial(own, linear, softmax_cross_entropy))(LINEAR, INPUTS, LABELS)
        for own in (factor, in_micro_batches(factor, 2))
    )
    np.testing.assert_allclose(parts, whole, atol=1e-6)  # single precision
    with pytest.raises(InputError, match="4 do not divide a batch of 6"):
        in_micro_batches(factor, 4)(linear, softmax_cross_entropy, LINEAR, INPUTS, LABELS)


def test_micro_batches_of_a_sampled_fisher_draw_independently():
    same = jnp.tile(INPUTS[:1], (6, 1))
    drawn = quick(partial(in_micro_batches(sampled_fisher_factor, 2), linear, half_squared_error))
    B = drawn(LINEAR, same, VALUES, jax.random.PRNGKey(0))
    assert len(np.unique(np.asarray(B), axis=0)) == 6
