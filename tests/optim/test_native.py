"""Solvers written in JAX against those on the host."""

from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.shared.systems import ggn_system
from optim.host import on_host
from optim.native import NATIVE
from optim.systems import Draw, Ggn
from solvers.digital import Digital
from solvers.sde import Sde

SYSTEM = ggn_system(4, 7, 0.3)
START = np.linspace(-1, 1, 7)


def solved(make, solver, time, dense, dtype, start=None, seed=3):
    system = Ggn(*(jnp.asarray(part, dtype) for part in (SYSTEM.B, SYSTEM.damping, SYSTEM.gradient)))
    asked = {"factor": lambda: system, "primal": system.primal, "dual": system.dual}[dense]()
    draw = Draw(jnp.uint32(seed), jnp.int32(5), jnp.int32(0))
    first = None if start is None else jnp.asarray(start[: asked[-1].size], dtype)
    return jax.jit(make(solver, time))(asked, first, draw)


@pytest.mark.parametrize(
    ("solver", "time", "start"),
    [
        (Digital(), inf, None),
        (Digital("woodbury"), inf, None),
        (Sde(), inf, START),
        (Sde(), 0.0, START),
        (Sde(), 0.8, None),
        (Sde(), 0.8, START),
        (Sde(0.1), 0.8, START),
        (Sde(0.1), inf, None),
    ],
)
@pytest.mark.parametrize("dense", ["factor", "primal", "dual"])
def test_native_solvers_equal_those_on_the_host(solver, time, start, dense):
    """Noise too: both draw it from the same seed."""
    if solver == Digital("woodbury") and dense != "factor":
        return
    native = NATIVE[type(solver)]
    # Condition numbers below 20 times the rounding of the type, and some room.
    for dtype, rounding in ((jnp.float32, 2e-5), (jnp.float64, 1e-13)):
        with jax.enable_x64(dtype == jnp.float64):
            ours, theirs = (solved(make, solver, time, dense, dtype, start) for make in (native, on_host))
            assert ours.value.dtype == theirs.value.dtype == dtype
            np.testing.assert_allclose(ours.value, theirs.value, rtol=rounding, atol=rounding)
            assert float(ours.statistics.injected_noise) == float(theirs.statistics.injected_noise)
            assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, theirs)
            assert jax.tree.map(jnp.result_type, ours) == jax.tree.map(jnp.result_type, theirs)


def test_more_rows_than_parameters_do_no_harm():
    """BBᵀ is singular, and its null directions are rounding noise."""
    wide = ggn_system(9, 4, 0.1)
    system = Ggn(jnp.asarray(wide.B), jnp.float32(0.1), jnp.asarray(wide.gradient))
    value = NATIVE[Sde](Sde(), inf)(system, None, Draw(jnp.uint32(0), jnp.int32(0), jnp.int32(0))).value
    exact = np.linalg.solve(wide.primal().A, wide.gradient)
    np.testing.assert_allclose(value, exact, rtol=1e-4)  # single precision at a condition number of 100


def test_matrices_that_are_not_definite_give_nan():
    draw = Draw(jnp.uint32(0), jnp.int32(0), jnp.int32(0))
    indefinite = Ggn(jnp.zeros((2, 2)), jnp.float32(-1.0), jnp.ones(2)).dual()
    for solver, time in ((Digital(), inf), (Sde(), inf), (Sde(), 1.0)):
        assert np.isnan(NATIVE[type(solver)](solver, time)(indefinite, None, draw).value).all()
