from dataclasses import replace
from math import inf

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import expm

from experiments.shared.systems import ggn_system
from optim.mapping import solve_mapped
from optim.natural_gradient import scale_by_natural_gradient
from solvers.digital import Digital
from solvers.ideal import IdealLaw
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.errors import InputError
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
        ({"damping": "1"}, "damping is '1'; give a number"),
        ({"memory": "0.9"}, "memory is '0.9'; give a number"),
        ({"solver": "bench"}, "solver is a str; give a solver, as Digital"),
        ({"solver": Digital}, "solver is the class Digital; give a solver"),
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
