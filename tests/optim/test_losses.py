"""The loss of spans: its Hessian, and the targets it draws."""

import jax
import jax.numpy as jnp
import numpy as np

from optim.losses import softmax_cross_entropy, span_cross_entropy

OUTPUTS = jnp.array([3.0, -1.0, 0.5, 0.0, 1.0, 1.0, -2.0, 0.3])


def test_a_span_costs_what_both_ends_cost():
    first, last = OUTPUTS[:4], OUTPUTS[4:]
    both = softmax_cross_entropy.value(first, 2) + softmax_cross_entropy.value(last, 3)
    np.testing.assert_allclose(span_cross_entropy.value(OUTPUTS, jnp.array([2, 3])), both, rtol=1e-6)
    # What stands behind the ends does not matter.
    np.testing.assert_allclose(span_cross_entropy.value(OUTPUTS, jnp.array([2, 3, 7, 7])), both, rtol=1e-6)


def test_an_absent_span_costs_nothing():
    assert span_cross_entropy.value(OUTPUTS, jnp.array([-1, -1])) == 0
    assert (jax.grad(span_cross_entropy.value)(OUTPUTS, jnp.array([-1, -1])) == 0).all()


def test_the_factor_is_one_of_the_hessian_with_two_directions_less():
    with jax.enable_x64(True):
        outputs, span = jnp.asarray(OUTPUTS, float), jnp.array([1, 2])
        L = jax.jit(span_cross_entropy.hessian_factor)(outputs)
        assert L.shape == (8, 6)
        np.testing.assert_allclose(L @ L.T, jax.jit(jax.hessian(span_cross_entropy.value))(outputs, span), atol=1e-13)


def test_drawn_spans_have_the_probabilities_of_the_model():
    """And so their gradients' second moment is the Hessian: five standard errors of 5,000 draws."""
    n = 5_000
    keys = jax.random.split(jax.random.key(0), n)
    spans = jax.jit(jax.vmap(span_cross_entropy.draw, (0, None)))(keys, OUTPUTS)
    assert spans.shape == (n, 2)
    gradients = jax.jit(jax.vmap(lambda span: jax.grad(span_cross_entropy.value)(OUTPUTS, span)))(spans)
    products = jnp.einsum("ni,nj->nij", gradients, gradients)
    hessian = jax.hessian(span_cross_entropy.value)(OUTPUTS, jnp.array([0, 0]))
    error = products.std(axis=0) / np.sqrt(n)
    # 64 entries beyond five standard errors of a normal law: a false alarm in 27,000.
    assert (jnp.abs(products.mean(axis=0) - hessian) <= 5 * error + 1e-6).all()


def test_coordinates_of_the_gradient_are_those_in_the_factor():
    for span in ([2, 3], [0, 0], [-1, -1]):
        target = jnp.array(span)
        found = span_cross_entropy.hessian_factor(OUTPUTS) @ span_cross_entropy.coordinates(OUTPUTS, target)
        np.testing.assert_allclose(found, jax.grad(span_cross_entropy.value)(OUTPUTS, target), atol=1e-6)
