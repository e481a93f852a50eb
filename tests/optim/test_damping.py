import jax.numpy as jnp
import numpy as np
import pytest

from optim.damping import adapted, predicted_change
from optim.systems import Ggn

SYSTEM = Ggn(jnp.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]]), jnp.float32(0.5), jnp.array([1.0, -2.0, 0.5]))


def test_the_model_of_a_newton_step_falls_by_half_the_slope():
    """At δ = −F⁻¹g, m(δ) = −½ gᵀF⁻¹g."""
    B, damping, g = (np.asarray(part, float) for part in SYSTEM)
    newton = np.linalg.solve(B.T @ B + damping * np.eye(3), g)
    assert predicted_change(SYSTEM, jnp.asarray(-newton)) == pytest.approx(-g @ newton / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("actual", "factor"), [(-0.9, 0.95), (-0.5, 1.0), (-0.1, 1 / 0.95), (0.3, 1 / 0.95), (float("nan"), 1 / 0.95)]
)
def test_damping_follows_the_reduction_ratio(actual, factor):
    assert adapted(jnp.float32(2.0), jnp.float32(actual), jnp.float32(-1.0)) == pytest.approx(2 * factor, rel=1e-6)


def test_a_step_that_should_go_uphill_raises_the_damping_and_bounds_hold():
    assert adapted(jnp.float32(2.0), jnp.float32(0.1), jnp.float32(0.1)) > 2
    assert adapted(jnp.float32(1e8), jnp.float32(1.0), jnp.float32(-1.0)) == pytest.approx(1e8)
    assert adapted(jnp.float32(1e-8), jnp.float32(-1.0), jnp.float32(-1.0)) == pytest.approx(1e-8)
