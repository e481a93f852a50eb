"""Solvers on the host, called from compiled code."""

from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.shared.systems import ggn_system
from optim.errors import packed, unpacked
from optim.host import on_host
from optim.seeds import step_seed
from optim.systems import ERROR_BYTES, Dense, Draw
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.ngspice_process import NgspiceTimeoutError
from solvers.precision.refined import Refined
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError, MappingError, SimulationError
from spu_circuit.hardware import load_hardware

DUALS = [ggn_system(4, 7, 0.5, seed).dual() for seed in range(6)]
STACK = Dense(
    jnp.stack([jnp.asarray(s.A) for s in DUALS]), jnp.full(6, 0.5), jnp.stack([jnp.asarray(s.b) for s in DUALS])
)


class Counting(Digital):
    """Knows how many systems each call had."""

    calls: list = []  # noqa: RUF012

    def solve_batch(self, systems, analog_time=inf, initial_states=None, seeds=None):
        self.calls.append(len(systems))
        return super().solve_batch(systems, analog_time, initial_states, seeds)


def draws(*shape):
    seeds = jnp.arange(np.prod(shape, dtype=int), dtype=jnp.uint32).reshape(shape)
    return Draw(seeds, *[jnp.zeros(shape, jnp.int32)] * 3)


def test_a_vmap_is_one_call():
    Counting.calls.clear()
    solve = on_host(Counting(), inf)
    found = jax.jit(jax.vmap(lambda system, draw: solve(system, None, draw)))(STACK, draws(6))
    assert Counting.calls == [6]
    expected = [np.linalg.solve(s.A, s.b) for s in DUALS]
    np.testing.assert_allclose(found.value, expected, rtol=1e-4)  # single precision, condition numbers up to 10
    nested = jax.tree.map(lambda part: part.reshape(2, 3, *part.shape[1:]), (STACK, draws(6)))
    twice = jax.vmap(jax.vmap(lambda system, draw: solve(system, None, draw)))(*nested)
    assert Counting.calls == [6, 6]
    np.testing.assert_array_equal(twice.value.reshape(6, 4), found.value)


def test_what_is_alike_in_all_is_shared():
    """One system with many seeds; the noise of each is that of its seed alone."""
    solve = on_host(Sde(0.1), 1.0)
    system = Dense(STACK.A[0], STACK.damping[0], STACK.b[0])
    together = jax.vmap(lambda draw: solve(system, None, draw))(draws(3))
    alone = solve(system, None, Draw(jnp.uint32(2), jnp.int32(0), jnp.int32(0)))
    np.testing.assert_allclose(together.value[2], alone.value, rtol=1e-6)  # single precision
    single = Sde(0.1).solve(DUALS[0], 1.0, None, step_seed(2, 0))
    np.testing.assert_allclose(alone.value, single.value, rtol=1e-5)


def test_steps_and_relaxations_have_seeds_of_their_own():
    seeds = {step_seed(seed, number, relaxation) for seed in range(3) for number in range(3) for relaxation in range(2)}
    assert len(seeds) == 18
    assert step_seed(7, 3) == np.random.SeedSequence([7, 3]).generate_state(2)[0]


def test_a_system_that_fails_does_no_harm_to_the_others():
    A = STACK.A.at[1].multiply(-1.0).at[4, 0, 0].set(jnp.nan)
    found = jax.jit(jax.vmap(lambda system, draw: on_host(Digital(), inf)(system, None, draw)))(
        Dense(A, STACK.damping, STACK.b), draws(6)
    )
    failed = np.asarray(found.error).any(axis=1)
    np.testing.assert_array_equal(failed, [False, True, False, False, True, False])
    np.testing.assert_array_equal(np.isnan(found.value).all(axis=1), failed)
    np.testing.assert_array_equal(np.isnan(found.statistics.residual), failed)
    expected = [np.linalg.solve(s.A, s.b) for s, wrong in zip(DUALS, failed, strict=True) if not wrong]
    np.testing.assert_allclose(found.value[~failed], expected, rtol=1e-4)  # single precision
    assert "matrix is not positive definite" in str(unpacked(np.asarray(found.error[1])))
    assert "nan at [0, 0, 0]" in str(unpacked(np.asarray(found.error[4])))


def test_statistics_are_the_devices():
    spu = Spu(load_hardware("paper"), IdealLaw())
    found = jax.jit(on_host(spu, 2.0))(
        Dense(STACK.A[0], STACK.damping[0], STACK.b[0]), None, Draw(jnp.uint32(1), *[jnp.int32(0)] * 2)
    )
    expected = spu.solve(DUALS[0], 2.0, None, step_seed(1, 0)).statistics
    for name in ("settled_fraction", "saturated_nodes", "range_changes", "analog_seconds", "siemens_per_unit"):
        # Of the same system, but for its rounding to single precision.
        assert float(getattr(found.statistics, name)) == pytest.approx(getattr(expected, name), rel=1e-5)


def test_a_refined_device_counts_its_work_under_jit():
    solver = Refined(Spu(load_hardware("bench"), Network()), 20, 1e-7, "cg", estimate=True)
    draw = Draw(jnp.uint32(1), *[jnp.int32(0)] * 2)
    found = jax.jit(on_host(solver, inf))(Dense(STACK.A[0], STACK.damping[0], STACK.b[0]), None, draw)
    expected = solver.solve(DUALS[0], seed=step_seed(1, 0))
    assert expected.refinement.outcome == "converged"
    for name in ("solves", "programs", "adc_words"):
        assert int(getattr(found.statistics, name)) == getattr(expected.statistics, name), name
    assert float(found.statistics.flops) == pytest.approx(expected.statistics.flops)
    assert float(found.statistics.estimated_error) < 1e-5
    np.testing.assert_allclose(found.value, np.linalg.solve(DUALS[0].A, DUALS[0].b), rtol=1e-4)  # single precision


@pytest.mark.parametrize("kind", [InputError, MappingError, SimulationError, NgspiceTimeoutError])
def test_errors_keep_type_and_line(kind):
    again = unpacked(packed(kind("G_max: λ is 3; it must be: 2")))
    assert type(again) is kind
    assert str(again) == "G_max: λ is 3; it must be: 2"


def test_a_long_error_is_cut():
    again = unpacked(packed(InputError("λ" * 1000)))
    assert 0 < len(str(again)) < ERROR_BYTES
    assert set(str(again)) == {"λ"}


def test_rows_of_nan_alone_ask_for_nothing():
    """A stack that is padded costs what its other rows cost."""
    Counting.calls.clear()
    solve = jax.jit(jax.vmap(lambda system, draw: on_host(Counting(), inf)(system, None, draw)))
    found = solve(Dense(STACK.A, STACK.damping, STACK.b.at[jnp.array([0, 3])].set(jnp.nan)), draws(6))
    assert np.isnan(found.value).all(axis=1).tolist() == [True, False, False, True, False, False]
    assert not np.asarray(found.error).any()
    np.testing.assert_array_equal(found.value[1], solve(STACK, draws(6)).value[1])
    assert Counting.calls == [4, 6]
