from dataclasses import replace
from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import expm

from experiments.shared.systems import ggn_system
from optim.curvature import gauss_newton_factor, loss_and_gradient
from optim.losses import softmax_cross_entropy
from optim.mapping import solve_mapped
from optim.natural_gradient import raise_failed, scale_by_natural_gradient
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.precision.rotated import Rotated, Rotating
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError, MappingError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem

SYSTEM = ggn_system(4, 7, 0.5)
EXACT = np.linalg.solve(SYSTEM.primal().A, SYSTEM.gradient)
GRADIENT = {"a": jnp.asarray(SYSTEM.gradient[:3]), "b": jnp.asarray(SYSTEM.gradient[3:])}
IDEAL, PAPER = load_hardware("ideal"), load_hardware("paper")


def update(transformation, steps=1, system=SYSTEM):
    state = transformation.init(GRADIENT)
    for _ in range(steps):
        updates, state = transformation.update(GRADIENT, state, None, curvature=jnp.asarray(system.B))
    return np.concatenate([updates["a"], updates["b"]])


@pytest.mark.parametrize(
    ("solver", "mapping"),
    [
        (Digital(), "primal"),
        (Digital("cg"), "primal"),
        (Digital("woodbury"), "primal"),
        (Digital(), "dual"),
        (Sde(), "primal"),
        (Sde(), "dual"),
        (Spu(IDEAL, Ngspice()), "primal"),
        (Spu(IDEAL, Ngspice()), "dual"),
    ],
)
def test_settled_solvers_give_the_natural_gradient(solver, mapping):
    natural = update(scale_by_natural_gradient(solver, 0.5, inf, mapping))
    np.testing.assert_allclose(natural, EXACT, rtol=2e-4, atol=1e-5)  # single precision


@pytest.mark.parametrize("solver", [Sde(), Spu(IDEAL, Ngspice()), Spu(load_hardware("bench"), IdealLaw())])
def test_time_zero_gives_the_gradient_or_the_gradient_over_lambda(solver):
    np.testing.assert_array_equal(
        update(scale_by_natural_gradient(solver, 0.5, 0.0, "primal")), SYSTEM.gradient.astype(np.float32)
    )
    np.testing.assert_array_equal(
        update(scale_by_natural_gradient(solver, 0.5, 0.0, "dual")), (SYSTEM.gradient.astype(np.float32) / 0.5)
    )


def test_time_interpolates_between_gradient_and_natural_gradient():
    apart = [
        np.linalg.norm(update(scale_by_natural_gradient(Sde(), 0.5, t, "primal")) - EXACT) for t in (0, 1, 3, 10, 40)
    ]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 1e-5 < apart[0]


def test_warm_start_goes_on_where_the_array_was():
    """Two steps of t under the same system are one of 2t from the gradient."""
    warm = update(scale_by_natural_gradient(Sde(), 0.5, 1.5, "primal", warm_start=True), steps=2)
    once = update(scale_by_natural_gradient(Sde(), 0.5, 3.0, "primal"))
    np.testing.assert_allclose(warm, once, rtol=1e-5, atol=1e-6)
    cold = update(scale_by_natural_gradient(Sde(), 0.5, 1.5, "primal"), steps=2)
    assert np.abs(warm - cold).max() > 1e-3


def test_old_state_outside_the_new_range_decays_with_lambda():
    """With a batch of no curvature only λ acts: the kept state shrinks by e^{−λt}."""
    flat = scale_by_natural_gradient(Sde(), 0.5, 2.0, "primal", warm_start=True)
    zero = {"a": jnp.zeros(3), "b": jnp.zeros(4)}
    state = flat.init(GRADIENT)
    first, state = flat.update(GRADIENT, state, None, curvature=jnp.asarray(SYSTEM.B))
    second, _ = flat.update(zero, state, None, curvature=jnp.zeros((1, 7)))
    np.testing.assert_allclose(second["a"], first["a"] * np.exp(-0.5 * 2.0), rtol=1e-5)


def test_delay_relaxes_under_the_last_system_first():
    """Against the two matrix exponentials written out."""
    other = ggn_system(4, 7, 0.5, seed=1)
    transformation = scale_by_natural_gradient(Sde(), 0.5, 1.0, "primal", warm_start=True, delay=0.4)
    state = transformation.init(GRADIENT)
    first, state = transformation.update(GRADIENT, state, None, curvature=jnp.asarray(SYSTEM.B))
    second, _ = transformation.update(GRADIENT, state, None, curvature=jnp.asarray(other.B))

    def relax(system, start, time):
        F = system.B.T @ system.B + 0.5 * np.eye(7)
        fixed = np.linalg.solve(F, SYSTEM.gradient)
        return expm(-F * time) @ (start - fixed) + fixed

    start = relax(SYSTEM, SYSTEM.gradient, 1.0)
    np.testing.assert_allclose(np.concatenate([first["a"], first["b"]]), start, rtol=1e-4, atol=1e-5)
    expected = relax(other, relax(SYSTEM, start, 0.4), 1.0)
    np.testing.assert_allclose(np.concatenate([second["a"], second["b"]]), expected, rtol=1e-4, atol=1e-5)


def test_chains_with_optax():
    natural = scale_by_natural_gradient(Digital("woodbury"), 0.5, mapping="primal")
    np.testing.assert_allclose(update(optax.chain(natural, optax.sgd(0.1))), -0.1 * EXACT, rtol=1e-4, atol=1e-6)
    signs = update(optax.chain(natural, optax.adam(0.1, 0.0, 0.0)))
    np.testing.assert_allclose(signs, -0.1 * np.sign(EXACT), rtol=1e-3)  # Adam at β = 0 is sign descent


def test_noise_differs_from_step_to_step_and_repeats_with_the_seed():
    def noisy(seed):
        return scale_by_natural_gradient(Sde(0.1), 0.5, 1.0, "primal", seed=seed)

    np.testing.assert_array_equal(update(noisy(0)), update(noisy(0)))
    assert np.abs(update(noisy(0)) - update(noisy(0), steps=2)).max() > 1e-3
    assert np.abs(update(noisy(0)) - update(noisy(1))).max() > 1e-3


def test_dual_standard_error_is_that_of_the_gradient(noisy):
    """Propagated covariance against the spread over seeds; the ratio of 200 draws has deviation √(2/200)."""
    hardware = noisy.model_copy(update={"noise": noisy.noise.model_copy(update={"injected": 0.05})})
    solutions = [solve_mapped(Spu(hardware, IdealLaw()), SYSTEM, "dual", 4.0, seed=k) for k in range(200)]
    spread = np.std([s.value for s in solutions], axis=0, ddof=1)
    np.testing.assert_allclose(solutions[0].standard_error, spread, rtol=4 * np.sqrt(0.5 / 200))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mapping": "dual", "warm_start": True}, "warm_start belongs to the primal mapping: the array of the others"),
        ({"mapping": "kernel", "warm_start": True}, "warm_start belongs to the primal mapping"),
        ({"mapping": "dual", "delay": 0.2}, "delay belongs to the primal mapping"),
        ({"mapping": "primal", "delay": 0.2}, "needs warm_start"),
        ({"mapping": "primal", "delay": -1.0}, "delay is -1"),
        ({"damping": 0.0}, "damping is 0"),
        ({"solver": Digital(), "analog_time": 1.0}, "knows no time"),
    ],
)
def test_wrong_combinations_are_refused_with_the_reason(settings, words):
    with pytest.raises(InputError, match=words):
        scale_by_natural_gradient(**{"solver": Sde(), "damping": 0.5, **settings})


def test_missing_curvature_and_unknown_mapping_are_named():
    transformation = scale_by_natural_gradient(Sde(), 0.5)
    with pytest.raises(InputError, match="curvature=B"):
        transformation.update(GRADIENT, transformation.init(GRADIENT))
    with pytest.raises(InputError, match="no 'triple'; mappings are primal, dual, kernel"):
        solve_mapped(Sde(), SYSTEM, "triple")
    with pytest.raises(InputError, match="an initial state belongs to the primal"):
        solve_mapped(Sde(), SYSTEM, "dual", 1.0, np.zeros(4))


COORDINATES = np.random.default_rng(3).standard_normal(4)
IN_ROWS = replace(SYSTEM, gradient=SYSTEM.B.T @ COORDINATES)


@pytest.mark.parametrize("solver", [Digital(), Sde(), Spu(IDEAL, Network())])
@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_the_kernel_mapping_gives_the_same_steps(solver, memory):
    """As Cholesky of the N×N system does, with and without memory."""
    found = {}
    for mapping, own in (("kernel", solver), ("primal", Digital())):
        transformation = scale_by_natural_gradient(own, 0.5, inf, mapping, memory=memory)
        gradient = jnp.asarray(IN_ROWS.gradient)
        state = transformation.init(gradient)
        for _ in range(3):
            value, state = transformation.update(
                gradient, state, None, curvature=jnp.asarray(SYSTEM.B), coordinates=jnp.asarray(COORDINATES)
            )
        found[mapping] = np.asarray(value)
        assert state.statistics.residual < 1e-4
    np.testing.assert_allclose(found["kernel"], found["primal"], rtol=2e-4, atol=1e-5)  # single precision
    alone = solve_mapped(solver, IN_ROWS, "kernel", coordinates=COORDINATES)
    np.testing.assert_allclose(alone.value, np.linalg.solve(IN_ROWS.primal().A, IN_ROWS.gradient), rtol=1e-6)


def test_the_kernel_mapping_bears_errors_where_the_dual_one_amplifies_them():
    """Curvature of 1e8 λ, and a device of 12 bits: ε σ²/λ is hopeless, ε is not."""
    stiff = GgnSystem(SYSTEM.B * 1e4, 0.5, IN_ROWS.gradient)
    coordinates = COORDINATES / 1e4
    exact = Digital("cholesky").solve(stiff.dual().facing(coordinates)).value @ stiff.B
    coarse = IDEAL.model_copy(update={"array": IDEAL.array.model_copy(update={"bits": 12})})
    errors = {
        mapping: np.linalg.norm(
            solve_mapped(Spu(coarse, IdealLaw()), stiff, mapping, coordinates=coordinates).value - exact
        )
        / np.linalg.norm(exact)
        for mapping in ("dual", "kernel")
    }
    assert errors["kernel"] < 0.05
    assert errors["dual"] > 1


def test_kernel_standard_error_is_that_of_the_natural_gradient(noisy):

    hardware = noisy.model_copy(update={"noise": noisy.noise.model_copy(update={"injected": 0.05})})
    solutions = [
        solve_mapped(Spu(hardware, IdealLaw()), IN_ROWS, "kernel", 4.0, seed=k, coordinates=COORDINATES)
        for k in range(200)
    ]
    spread = np.std([s.value for s in solutions], axis=0, ddof=1)
    # The ratio of 200 draws has deviation √(0.5/200).
    np.testing.assert_allclose(solutions[0].standard_error, spread, rtol=4 * np.sqrt(0.5 / 200))


def test_coordinates_that_are_missing_or_do_not_fit_are_named():
    transformation = scale_by_natural_gradient(Sde(), 0.5, mapping="kernel")
    state = transformation.init(GRADIENT)
    B = jnp.asarray(SYSTEM.B)
    with pytest.raises(InputError, match=r"needs the coordinates ρ.* mapping 'dual'"):
        transformation.update(GRADIENT, state, curvature=B)
    with pytest.raises(InputError, match=r"coordinates have shape \(3,\); they must be \(4,\)"):
        transformation.update(GRADIENT, state, curvature=B, coordinates=jnp.zeros(3))
    with pytest.raises(InputError, match="needs the coordinates"):
        solve_mapped(Sde(), SYSTEM, "kernel")


def test_what_a_delay_takes_is_counted():
    """Two relaxations a step: their times add up, and their noise differs."""
    spent = []
    for delay in (0.0, 3.0):
        transformation = scale_by_natural_gradient(Spu(IDEAL, IdealLaw()), 0.5, 2.0, "primal", True, delay)
        _, state = transformation.update(GRADIENT, transformation.init(GRADIENT), None, curvature=jnp.asarray(SYSTEM.B))
        spent.append(float(state.statistics.analog_seconds))
    assert spent[1] == pytest.approx(2.5 * spent[0])

    class Recording(Sde):
        seeds: list = []  # noqa: RUF012

        def solve_batch(self, systems, analog_time=inf, initial_states=None, seeds=None):
            self.seeds.extend(seeds)
            return super().solve_batch(systems, analog_time, initial_states, seeds)

    update(scale_by_natural_gradient(Recording(), 0.5, 2.0, "primal", True, 3.0), steps=3)
    assert len(set(Recording.seeds)) == 6


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
