"""SPRING memory, schedules and raised damping of the natural gradient transformation."""

from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.shared.systems import ggn_system
from optim.natural_gradient import scale_by_natural_gradient
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError, MappingError
from spu_circuit.hardware import load_hardware

SYSTEMS = [ggn_system(4, 7, 0.5, seed) for seed in range(3)]
MU = 0.9
RRAM = load_hardware("rram")


def steps(natural, systems=SYSTEMS, **more):
    """Natural gradients of systems one after the other, and the state at the end."""
    state, found = natural.init(jnp.zeros(7)), []
    for system in systems:
        update, state = natural.update(jnp.asarray(system.gradient), state, curvature=jnp.asarray(system.B), **more)
        found.append(np.asarray(update))
    return found, state


def spring(systems, mu, dampings):
    """The formula of arXiv 2401.10190, densely: (BᵀB + λI) φ = g + λμφ'."""
    phi, found = np.zeros(7), []
    for system, damping in zip(systems, dampings, strict=True):
        A = system.B.T @ system.B + damping * np.eye(7)
        phi = np.linalg.solve(A, system.gradient + damping * mu * phi)
        found.append(phi)
    return found


@pytest.mark.parametrize("mapping", ["primal", "dual"])
@pytest.mark.parametrize(
    "solver", [Digital(), Digital("woodbury"), Digital("cg"), Sde(), Spu(load_hardware("ideal"), Network())]
)
def test_memory_is_the_spring_step(solver, mapping):
    if mapping == "dual" and getattr(solver, "method", "") == "woodbury":
        pytest.skip("the dual system has no factor")
    found, state = steps(scale_by_natural_gradient(solver, 0.5, inf, mapping, memory=MU))
    for ours, theirs in zip(found, spring(SYSTEMS, MU, [0.5] * 3), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=5e-4, atol=2e-5)  # single precision; ideal parts to 1e-5
    np.testing.assert_array_equal(state.remembered, found[-1])


def test_an_array_with_memory_starts_from_the_remembered_step():
    """At time 0 the dual array adds r / λ to μφ', r what the remembered step leaves of the gradient."""
    settled, _ = steps(scale_by_natural_gradient(Sde(), 0.5, 0.0, "dual", memory=MU))
    kept = MU * settled[1]
    system = SYSTEMS[2]
    expected = kept + (system.gradient - system.B.T @ (system.B @ kept)) / 0.5
    np.testing.assert_allclose(settled[2], expected, rtol=1e-5, atol=1e-5)  # single precision


def test_the_error_of_a_coarse_array_falls_on_the_change_alone():
    """With a step that repeats itself the change shrinks to (1 − μ) of it, and so does the array's error."""
    device = Spu(load_hardware("bench"), IdealLaw())

    def error(mu):
        found, _ = steps(scale_by_natural_gradient(device, 0.5, inf, "dual", memory=mu), SYSTEMS[:1] * 60)
        exact = spring(SYSTEMS[:1] * 60, mu, [0.5] * 60)
        return np.linalg.norm(found[-1] - exact[-1]) / np.linalg.norm(exact[-1])

    # In the row space of B the remembered part adds nothing to the change; there the errors are alike.
    assert error(MU) < error(0.0)


def test_memory_works_in_scan_and_vmap():
    natural = scale_by_natural_gradient(Sde(1e-3), 0.5, 2.0, memory=MU, seed=3)
    factors = jnp.stack([jnp.asarray(s.B) for s in SYSTEMS])
    gradients = jnp.stack([jnp.asarray(s.gradient) for s in SYSTEMS])

    def step(state, one):
        update, state = natural.update(one[1], state, curvature=one[0])
        return state, update

    def run(gradients):
        return jax.lax.scan(step, natural.init(jnp.zeros(7)), (factors, gradients))[1]

    together = jax.jit(jax.vmap(run))(jnp.stack([gradients, 2 * gradients]))
    alone, _ = steps(scale_by_natural_gradient(Sde(1e-3), 0.5, 2.0, memory=MU, seed=3))
    np.testing.assert_allclose(together[0], np.stack(alone), rtol=1e-4, atol=1e-4)  # single precision


@pytest.mark.parametrize("memory", [-0.1, 1.0, float("nan")])
def test_memory_out_of_range_is_refused(memory):
    with pytest.raises(InputError, match="memory is"):
        scale_by_natural_gradient(Sde(), 0.5, memory=memory)


def test_memory_and_warm_start_are_not_mixed():
    with pytest.raises(InputError, match="choose one"):
        scale_by_natural_gradient(Sde(), 0.5, 1.0, "primal", warm_start=True, memory=0.5)


@pytest.mark.parametrize("solver", [Sde(), Spu(load_hardware("ideal"), IdealLaw())])
def test_damping_and_time_follow_schedules(solver):
    damping = optax.piecewise_constant_schedule(0.5, {1: 2.0, 2: 4.0})
    time = optax.linear_schedule(0.5, 2.5, 2)
    found, state = steps(scale_by_natural_gradient(solver, damping, time, "primal"))
    for k, (strength, t) in enumerate([(0.5, 0.5), (1.0, 1.5), (4.0, 2.5)]):
        alone, _ = steps(scale_by_natural_gradient(solver, strength, t, "primal"), SYSTEMS[k : k + 1])
        np.testing.assert_allclose(found[k], alone[0], rtol=1e-4, atol=1e-5)  # single precision
    assert state.damping == pytest.approx(4.0)


def test_the_damping_of_a_step_may_come_from_outside():
    found, _ = steps(scale_by_natural_gradient(Digital(), 0.5), damping=jnp.float32(2.0))
    np.testing.assert_allclose(found[0], spring(SYSTEMS[:1], 0, [2.0])[0], rtol=1e-4, atol=1e-5)


TWINS = np.random.default_rng(0).normal(size=(3, 7))
TWINS = np.vstack([TWINS, TWINS[1] + 1e-3])  # its Gram matrix is singular but for λ


@pytest.mark.parametrize("mapping", ["dual", "primal"])
def test_a_matrix_that_cannot_be_programmed_is_damped_until_it_can(mapping):
    gradient, device = jnp.asarray(np.random.default_rng(1).normal(size=7)), Spu(RRAM, IdealLaw())
    strict = scale_by_natural_gradient(device, 1e-3, inf, mapping)
    with pytest.raises(MappingError):
        strict.update(gradient, strict.init(gradient), curvature=jnp.asarray(TWINS))

    natural = scale_by_natural_gradient(device, 1e-3, inf, mapping, doublings=20)
    update, state = natural.update(gradient, natural.init(gradient), curvature=jnp.asarray(TWINS))
    raised = float(state.damping)
    doublings = np.log2(raised / 1e-3)
    assert doublings == pytest.approx(round(doublings), abs=1e-5)
    assert doublings >= 1
    # With that λ, and not with the one before it, the device takes the matrix.
    alone = scale_by_natural_gradient(device, raised, inf, mapping)
    again, _ = alone.update(gradient, alone.init(gradient), curvature=jnp.asarray(TWINS))
    np.testing.assert_allclose(update, again, rtol=1e-4, atol=1e-5)  # λ passes through single precision
    before = scale_by_natural_gradient(device, raised / 2, inf, mapping)
    with pytest.raises(MappingError):
        before.update(gradient, before.init(gradient), curvature=jnp.asarray(TWINS))


def test_only_the_refused_of_a_stack_are_damped():
    natural = scale_by_natural_gradient(Spu(RRAM, IdealLaw()), 1e-3, inf, "dual", doublings=20)
    good = np.eye(4, 7)
    gradient = jnp.asarray(np.random.default_rng(1).normal(size=7))

    def one(curvature):
        update, state = natural.update(gradient, natural.init(gradient), curvature=curvature)
        return update, state.damping, state.failed

    updates, dampings, failed = jax.jit(jax.vmap(one))(jnp.stack([jnp.asarray(good), jnp.asarray(TWINS)]))
    assert not failed.any()
    assert dampings[0] == pytest.approx(1e-3)
    assert dampings[1] > 2e-3 * 0.99
    np.testing.assert_allclose(updates[0], one(jnp.asarray(good))[0], rtol=1e-5)


def test_a_matrix_that_no_damping_helps_keeps_its_error():
    natural = scale_by_natural_gradient(Spu(RRAM, IdealLaw()), 1e-9, inf, "dual", doublings=2)
    gradient = jnp.ones(7)
    with pytest.raises(MappingError):
        natural.update(gradient, natural.init(gradient), curvature=jnp.asarray(TWINS))
