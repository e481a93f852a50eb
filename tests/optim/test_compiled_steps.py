"""Steps inside compiled programs: ensembles, failures, precision, what rotates."""

from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.shared.systems import ggn_system
from optim.curvature import gauss_newton_factor, loss_and_gradient
from optim.losses import softmax_cross_entropy
from optim.natural_gradient import raise_failed, scale_by_natural_gradient
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.precision.rotated import Rotated, Rotating
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError, MappingError
from spu_circuit.hardware import load_hardware
from tests.optim.test_natural_gradient import EXACT, GRADIENT, IDEAL, PAPER, SYSTEM, update

# Compiled

KEYS = jax.random.split(jax.random.PRNGKey(0), 4)
INPUTS = jax.random.normal(KEYS[0], (3, 2))
LABELS = jnp.array([0, 1, 1])
PARAMS = {"W": 0.5 * jax.random.normal(KEYS[1], (2, 2)), "V": 0.5 * jax.random.normal(KEYS[2], (2, 2))}


def model(params, inputs):
    return jnp.tanh(inputs @ params["W"]) @ params["V"]


@jax.jit
def measured(params):
    """Gradient and curvature factor."""
    _, gradient = loss_and_gradient(model, softmax_cross_entropy, params, INPUTS, LABELS)
    return gradient, gauss_newton_factor(model, softmax_cross_entropy, params, INPUTS, LABELS)


def training(solver, steps=3, **settings):
    """From a seed, a learning rate and a damping to the parameters and what each step had to say: one scan."""

    def train(seed, rate, damping):
        natural = scale_by_natural_gradient(solver, damping, seed=seed, **settings)
        optimizer = optax.chain(natural, optax.sgd(rate))

        def step(carry, _):
            params, state = carry
            gradient, B = measured(params)
            updates, state = optimizer.update(gradient, state, params, curvature=B)
            params = optax.apply_updates(params, updates)
            return (params, state), (state[0].statistics, state[0].failed)

        (params, state), history = jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), None, steps)
        return params, state, history

    return train


def one_by_one(solver, seed, rate, damping, steps=3, **settings):
    """The same training written as a loop, with nothing compiled around the update."""
    natural = scale_by_natural_gradient(solver, damping, seed=seed, **settings)
    params, state, residuals = PARAMS, natural.init(PARAMS), []
    for _ in range(steps):
        gradient, B = measured(params)
        natural_gradient, state = natural.update(gradient, state, params, curvature=B)
        params = jax.tree.map(lambda p, g: p - rate * g, params, natural_gradient)
        residuals.append(float(state.statistics.residual))
    return params, residuals


@pytest.mark.parametrize(
    ("solver", "settings", "tolerance"),
    [
        # Sums of compiled and stacked code have another order: single precision, and three steps that amplify it.
        (Digital(), {"mapping": "dual"}, 1e-5),
        (Digital("woodbury"), {"mapping": "primal"}, 1e-5),
        (Digital("cg", iterations=3), {"mapping": "primal", "warm_start": True}, 1e-5),
        (Sde(1e-3), {"mapping": "dual", "analog_time": 2.0}, 1e-5),
        (Sde(1e-3), {"mapping": "primal", "analog_time": 2.0, "warm_start": True, "delay": 0.5}, 1e-5),
        (Spu(IDEAL, Network()), {"mapping": "dual", "analog_time": 2.0}, 1e-5),
        (Spu(IDEAL, Network()), {"mapping": "primal", "analog_time": 2.0, "warm_start": True}, 1e-5),
        # Rounding may move a value over the edge of a 16-bit code, and turns the eigenvectors of repeated eigenvalues,
        # in which noise of 1e-5 of the signals is drawn.
        (Spu(PAPER, Network()), {"mapping": "dual", "analog_time": 2.0}, 3e-4),
        (Spu(PAPER, Network()), {"mapping": "primal", "analog_time": 2.0, "warm_start": True}, 3e-4),
    ],
)
def test_an_ensemble_in_one_scan_is_its_runs_one_by_one(solver, settings, tolerance):
    seeds, rates, dampings = jnp.array([0, 0, 7]), jnp.array([0.1, 0.3, 0.3]), jnp.array([0.5, 0.5, 0.8])
    params, state, (statistics, failed) = jax.jit(jax.vmap(training(solver, **settings)))(seeds, rates, dampings)
    assert not failed.any()
    np.testing.assert_array_equal(state[0].number, [3, 3, 3])
    for k in (0, 2):
        alone, residuals = one_by_one(solver, int(seeds[k]), float(rates[k]), float(dampings[k]), **settings)
        for name in alone:
            np.testing.assert_allclose(params[name][k], alone[name], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(statistics.residual[k], residuals, rtol=100 * tolerance, atol=100 * tolerance)


def test_an_ensemble_may_put_its_seeds_into_the_state():
    natural = scale_by_natural_gradient(Sde(0.1), 0.5, 1.0, seed=1)
    state = natural.init(GRADIENT)
    curvature = jnp.asarray(SYSTEM.B)
    seeds = jnp.array([1, 5], jnp.uint32)
    found, _ = jax.vmap(lambda seed: natural.update(GRADIENT, state._replace(seed=seed), curvature=curvature))(seeds)
    for k, seed in enumerate((1, 5)):
        alone = update(scale_by_natural_gradient(Sde(0.1), 0.5, 1.0, seed=seed))
        # Single precision.
        np.testing.assert_allclose(np.concatenate([found["a"][k], found["b"][k]]), alone, rtol=1e-5, atol=1e-6)


def test_a_vmapped_step_calls_the_device_once():
    calls = []

    class Counting(Digital):
        def solve_batch(self, systems, analog_time=inf, initial_states=None, seeds=None):
            calls.append(len(systems))
            return super().solve_batch(systems, analog_time, initial_states, seeds)

    train = training(Counting(), mapping="dual")
    jax.block_until_ready(jax.jit(jax.vmap(train, (0, None, None)))(jnp.arange(5), 0.1, 0.5))
    assert calls == [5, 5, 5]


def test_an_error_raises_at_once_or_waits_in_the_state():
    passive = Spu(load_hardware("passive"), IdealLaw())
    natural = scale_by_natural_gradient(passive, 0.5)
    far_from_dominant = jnp.asarray(ggn_system(4, 7, 0.5).B) * 100
    with pytest.raises(MappingError) as caught:
        natural.update(GRADIENT, natural.init(GRADIENT), curvature=far_from_dominant)
    assert "\n" not in str(caught.value)

    curvatures = jnp.stack([jnp.eye(4, 7), far_from_dominant])
    state = jax.vmap(lambda _: natural.init(GRADIENT))(jnp.arange(2))
    step = jax.jit(jax.vmap(lambda state, B: natural.update(GRADIENT, state, curvature=B)))
    found, state = step(state, curvatures)
    np.testing.assert_array_equal(state.failed, [False, True])
    assert np.isfinite(found["a"][0]).all()
    assert np.isnan(found["a"][1]).all()
    # The first error stays, whatever the steps after it do.
    _, state = step(state, jnp.stack([jnp.eye(4, 7), jnp.full((4, 7), jnp.nan)]))
    np.testing.assert_array_equal(state.failed, [False, True])
    with pytest.raises(MappingError) as kept:
        raise_failed((state, optax.EmptyState()))
    assert str(kept.value) == str(caught.value)
    raise_failed(natural.init(GRADIENT))


@pytest.mark.parametrize("solver", [Digital(), Sde(), Digital("cg")])
def test_a_system_that_is_not_finite_is_an_input_error(solver):
    natural = scale_by_natural_gradient(solver, 0.5)
    with pytest.raises(InputError, match=r"finite|nan"):
        natural.update(GRADIENT, natural.init(GRADIENT), curvature=jnp.full((4, 7), jnp.nan))


def test_a_traced_damping_that_is_not_above_zero_fails_the_step():
    @jax.jit
    def step(damping):
        natural = scale_by_natural_gradient(Sde(), damping, 1.0, "primal")
        return natural.update(GRADIENT, natural.init(GRADIENT), curvature=jnp.asarray(SYSTEM.B))[1]

    assert not step(0.5).failed
    with pytest.raises(InputError, match="no finite result"):
        raise_failed(step(-0.1))


def test_shapes_and_seeds_that_do_not_fit_are_named():
    natural = scale_by_natural_gradient(Sde(), 0.5)
    with pytest.raises(InputError, match=r"curvature has shape \(4, 6\); for this gradient it must be \(K, 7\)"):
        natural.update(GRADIENT, natural.init(GRADIENT), curvature=jnp.ones((4, 6)))
    with pytest.raises(InputError, match="seed is -1"):
        scale_by_natural_gradient(Sde(), 0.5, seed=-1)


def test_double_precision_is_kept():
    with jax.enable_x64(True):
        gradient = jnp.asarray(SYSTEM.gradient, jnp.float64)
        for solver in (Digital(), Sde(), Digital("cg", 1e-14), Spu(IDEAL, IdealLaw())):
            natural = scale_by_natural_gradient(solver, 0.5)
            found, _ = natural.update(gradient, natural.init(gradient), curvature=jnp.asarray(SYSTEM.B, jnp.float64))
            np.testing.assert_allclose(found, EXACT, rtol=1e-9)  # the ideal amplifier's and converters' own limit


def test_old_eigenvectors_are_part_of_the_state_and_renewed_by_the_number_of_the_step():
    """Under jit, vmap and scan: each solve has the eigenvectors of the matrix of this step, or of one or two before."""
    used = []

    def around(vectors):
        used.append(vectors)
        return Rotated(Digital(), vectors)

    transformation = scale_by_natural_gradient(Rotating(around, 3, analog=False), 0.5, rows=4)
    systems = [[ggn_system(4, 7, 0.5, 10 * run + number) for number in range(5)] for run in range(2)]
    B, g = (jnp.asarray([[getattr(s, name) for s in own] for own in systems]) for name in ("B", "gradient"))

    @jax.jit
    @jax.vmap
    def train(B, g):
        def step(state, given):
            updates, state = transformation.update(given[1], state, None, curvature=given[0])
            return state, (updates, state.basis)

        return jax.lax.scan(step, transformation.init(g[0]), (B, g))[1]

    natural, bases = train(B, g)
    for run, own in enumerate(systems):
        for number, system in enumerate(own):
            exact = np.linalg.solve(system.primal().A, system.gradient)
            np.testing.assert_allclose(natural[run, number], exact, rtol=1e-3, atol=1e-4)  # single precision
            basis = np.asarray(bases[run, number], float)
            older = basis.T @ own[number - number % 3].dual().A @ basis
            np.testing.assert_allclose(older, np.diag(older.diagonal()), atol=1e-4)
            np.testing.assert_array_equal(used[number][run].astype(np.float32), bases[run, number])


def test_what_rotates_is_told_its_size_before_the_first_step():
    rotating = Rotating(lambda vectors: Rotated(Digital(), vectors), 2, analog=False)
    with pytest.raises(InputError, match="needs its size before the first step; give rows"):
        scale_by_natural_gradient(rotating, 0.5).init(GRADIENT)
    natural = update(scale_by_natural_gradient(rotating, 0.5, mapping="primal"), steps=2)
    np.testing.assert_allclose(natural, EXACT, rtol=2e-4, atol=1e-5)  # single precision
