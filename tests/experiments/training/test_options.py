"""Memory, drawn curvatures, schedules, rules of the damping and optimizers without curvature, in a training."""

import tomllib
from dataclasses import replace
from math import cos, pi

import numpy as np
import pytest

from experiments.training import stepping
from experiments.training.config import Optimizer, read_experiment
from experiments.training.methods import build_plain
from experiments.training.optimizers import label
from experiments.training.schedules import Ramp
from experiments.training.stepping import Place
from experiments.training.store import Trial
from experiments.training.tasks import task_named
from experiments.training.trial import advance
from optim.curvature import in_micro_batches
from spu_circuit.errors import InputError

TEXT = """
name = "options"
task = "digits"
steps = 6
batch_size = 8
seeds = [0]
[data]
train = 100
validation = 20
test = 20
[network]
kind = "mlp"
hidden = [4]
[optimizers.spring]
kind = "tngd"
learning_rates = [0.1]
memory = 0.9
damping = 0.3
curvature = "sampled fisher"
draws = 2
hardware = "none"
analog_time = 4.0
schedules.learning_rate = { shape = "cosine", warmup = 1 }
schedules.analog_time = { shape = "linear", end = 0.5 }
injected_noise = 1e-6
schedules.injected_noise = { shape = "exponential", end = 0.1 }
[optimizers.exact]
kind = "ngd"
learning_rates = [0.1]
memory = 0.5
momentum = 0.9
nesterov = true
schedules.damping = { shape = "exponential", end = 0.1 }
[optimizers.adaptive]
kind = "ngd"
learning_rates = [0.3]
damping = 2.0
damping_rule = "levenberg-marquardt"
[optimizers.erring]
kind = "ngd"
learning_rates = [0.1]
solver = "cg"
cg_iterations = 5
hardware = { base = "bench", array.bits = 4, noise.injected = "50 mV" }
[optimizers.coarse]
kind = "tngd"
learning_rates = [0.1]
damping = 1e-4
curvature = "sampled fisher"
hardware = "rram"
engine = "sde"
[optimizers.precise]
kind = "tngd"
learning_rates = [0.1]
damping = 0.01
curvature = "sampled fisher"
hardware = "bench"
engine = "network"
precision = { refine = 3, corrections = "cg", tolerance = 1e-3, rotate = 4, estimate = true }
[optimizers.averaged]
kind = "tngd"
learning_rates = [0.1]
damping = 0.3
curvature = "sampled fisher"
hardware = "bench"
engine = "sde"
precision = { reads = 2, programs = 3 }
[optimizers.diverging]
kind = "tngd"
learning_rates = [0.1]
damping = 0.1
curvature = "sampled fisher"
hardware = "rram"
engine = "sde"
precision = { refine = 8, tolerance = 1e-9 }
doublings = 0
[optimizers.raised]
kind = "tngd"
learning_rates = [0.1]
damping = 0.1
curvature = "sampled fisher"
hardware = "rram"
engine = "sde"
precision = { refine = 8, tolerance = 1e-9 }
[optimizers.micro]
kind = "ngd"
learning_rates = [0.1]
momentum = 0.5
micro_batch_size = 2
[optimizers.whole]
kind = "ngd"
learning_rates = [0.1]
momentum = 0.5
[optimizers.steep]
kind = "tngd"
learning_rates = [0.1]
momentum = 0.5
adam = true
hardware = "none"
[optimizers.muon]
kind = "muon"
learning_rates = [0.03]
momentum = 0.95
[optimizers.adamw]
kind = "adamw"
learning_rates = [0.03]
schedules.learning_rate = { shape = "cosine", end = 0.1 }
[optimizers.signsgd]
kind = "signsgd"
learning_rates = [0.01]
[optimizers.sgd]
kind = "sgd"
learning_rates = [0.1]
batch_size = 4
"""
EXPERIMENT = read_experiment(tomllib.loads(TEXT), "test")


@pytest.fixture(scope="module")
def data():
    return task_named("digits").load(EXPERIMENT.data, None)


def advanced(name, sizes, data):
    """All steps of a trial, in chunks of these sizes, without wall times."""
    trial = Trial(0, name, EXPERIMENT.optimizers[name].learning_rates[0], 0)
    steps, last, state = [], None, None
    for size in sizes:
        (chunk,) = advance(EXPERIMENT, [Place(trial, last, state)], data, size)
        assert chunk.error is None
        last, state = chunk.steps[-1], chunk.state
        steps += [replace(step, wall_seconds=0.0) for step in chunk.steps]
    return steps, state


@pytest.mark.parametrize("name", EXPERIMENT.optimizers)
def test_every_option_trains_and_chunks_change_no_bit(name, data):
    steps, state = advanced(name, [100], data)
    cut, cut_state = advanced(name, [2, 4], data)
    assert len(steps) == 6
    assert cut == steps
    assert all(np.array_equal(state[key], cut_state[key], equal_nan=True) for key in state)
    assert all(np.isfinite(step.loss) for step in steps)


def test_solves_with_memory_are_compared_with_the_exact_step(data):
    """Without noise, and settled, the ideal device is exact to single precision."""
    steps, _ = advanced("exact", [100], data)
    assert max(step.solve_error for step in steps) < 1e-4
    assert min(step.unsolved_error for step in steps) > 1e-2


def test_digital_solves_have_the_errors_of_their_hardware(data):
    steps, _ = advanced("erring", [100], data)
    assert min(step.solve_error for step in steps) > 1e-2
    assert max(step.solve_error for step in steps) < 2.0


def test_the_damping_follows_its_schedule_or_its_rule(data):
    scheduled = [step.damping for step in advanced("exact", [100], data)[0]]
    np.testing.assert_allclose(scheduled, 0.1 ** (np.arange(6) / 5), rtol=1e-5)  # single precision
    adaptive = np.array([step.damping for step in advanced("adaptive", [100], data)[0]])
    factors = adaptive[1:] / adaptive[:-1]
    assert adaptive[0] == pytest.approx(2.0)
    assert {round(float(factor), 4) for factor in factors} <= {0.95, 1.0, 1.0526}
    assert (factors != 1).any()


def test_a_step_whose_matrix_cannot_be_programmed_is_marked_by_its_damping(data):
    steps, _ = advanced("coarse", [100], data)
    doublings = np.log2(np.array([step.damping for step in steps]) / 1e-4)
    np.testing.assert_allclose(doublings, [step.doublings for step in steps], atol=1e-4)  # single precision
    assert doublings.max() >= 1


def test_a_precise_device_counts_what_it_was_asked_for(data):
    """A step has its solve, up to three corrections and the one of the estimate; every fourth has new eigenvectors."""
    steps, state = advanced("precise", [100], data)
    assert all(2 <= step.solves <= 5 for step in steps)
    assert [step.programs for step in steps] == [1] * 6
    assert all(step.dac_words == step.adc_words >= 8 * step.solves for step in steps)
    rotation, residual, rotated, estimate = 4 * 8**3, 2 * 8**2, 4 * 8**2, 4 * 8**2 + 20 * 8
    for step in steps:
        vectors = sum(4 * 8 + 8 * 8 * (k + 1) for k in range(step.solves - 1))  # of conjugate directions
        least = rotation + step.solves * rotated + (step.solves - 1) * residual + estimate
        assert least <= step.flops - 9 * 8**3 * (step.step % 4 == 0) <= least + vectors + 3 * residual
    assert {step.refinement for step in steps} <= {"converged", "exhausted"}
    assert steps[0].refinement == steps[4].refinement == "converged"
    assert max(step.estimated_error for step in steps) < 0.1
    (basis,) = [leaf for leaf in state.values() if leaf.shape == (8, 8)]
    np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-6)  # single precision


def test_several_programs_are_counted(data):
    steps, _ = advanced("averaged", [100], data)
    assert [(step.solves, step.programs, step.refinement) for step in steps] == [(6, 3, None)] * 6


def test_a_refinement_that_does_not_converge_is_named_and_falls_back(data):
    steps, _ = advanced("diverging", [100], data)
    ended = [step for step in steps if step.refinement == "diverged"]
    assert ended
    assert all(4 <= step.solves < 9 for step in ended)  # which is given up before all corrections
    assert all(np.isfinite(step.residual) for step in steps)


def test_a_step_whose_refinement_diverges_takes_a_larger_damping_and_counts_all_solves(data):
    """Until the first that diverges both trainings are the same; from there on one has another natural gradient."""
    given, _ = advanced("diverging", [100], data)
    raised, _ = advanced("raised", [100], data)
    k = next(step.step for step in given if step.refinement == "diverged")
    one, other = given[k], raised[k]
    assert [step.loss for step in given[: k + 1]] == [step.loss for step in raised[: k + 1]]
    assert (one.doublings, one.programs) == (0, 1)
    assert (other.doublings, other.programs) == (1, 2)
    assert other.damping == pytest.approx(0.2)
    assert other.solves == one.solves + 9  # the first solve and all eight corrections with twice the damping
    assert other.dac_words - one.dac_words >= 8 * 9
    assert {step.refinement for step in raised} == {"exhausted"}


def test_natural_gradients_may_be_stepped_by_their_signs():
    table = {"kind": "tngd", "hardware": "none", "learning_rates": [0.1], "momentum": 0.5, "signs": True}
    settings = Optimizer(**table)
    signs = build_plain(settings, 0.1, 6)
    state, found = signs.init({"w": np.zeros(2)}), []
    for gradient in ([2.0, -3.0], [-0.5, 1.0]):
        step, state = signs.update({"w": np.array(gradient)}, state)
        found.append(step["w"])
    # The momentum is one of what the signs are taken of: 0.5 · (2, −3) + (−0.5, 1) = (0.5, −0.5).
    np.testing.assert_allclose(found, [[-0.1, 0.1], [-0.1, 0.1]], rtol=1e-6)
    assert label("own", settings.model_dump()) == "own: TNGD, signs (ideal SDE)"


def test_micro_batches_train_like_whole_ones(data, monkeypatch):
    sizes = []
    monkeypatch.setattr(stepping, "in_micro_batches", lambda *given: sizes.append(given[1]) or in_micro_batches(*given))
    stepping._measurement.cache_clear()
    micro, whole = (advanced(name, [100], data)[0] for name in ("micro", "whole"))
    losses = [[step.loss for step in steps] for steps in (micro, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-5)  # single precision
    assert set(sizes) == {2}


def test_an_optimizer_may_have_its_own_batch(data):
    assert [step.samples_seen for step in advanced("sgd", [100], data)[0]] == [4, 8, 12, 16, 20, 24]
    assert advanced("adamw", [100], data)[0][-1].samples_seen == 48


@pytest.mark.parametrize(
    ("ramp", "wanted"),
    [
        (Ramp(shape="linear", end=0.5), [1, 0.9, 0.8, 0.7, 0.6, 0.5]),
        (Ramp(shape="cosine"), [(1 + cos(pi * k / 5)) / 2 for k in range(6)]),
        (Ramp(shape="exponential", end=0.01), [0.01 ** (k / 5) for k in range(6)]),
        (Ramp(warmup=3), [0.25, 0.5, 0.75, 1, 1, 1]),
        (Ramp(shape="linear", warmup=1, end=0.0), [0.5, 1, 0.75, 0.5, 0.25, 0]),
    ],
)
def test_factors_of_schedules(ramp, wanted):
    factor = ramp.factor(6)
    np.testing.assert_allclose([float(factor(k)) for k in range(6)], wanted, atol=1e-6)  # single precision


def test_a_training_of_one_step_has_schedules():
    assert float(Ramp(shape="cosine").factor(1)(0)) == pytest.approx(1)


BASE = {"learning_rates": [0.1]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "tngd", "copies": 2, "hardware": "none"}, "copies are drawn of a device, and there is none"),
        ({"kind": "tngd", "copies": 2, "engine": "sde"}, "engine 'sde' knows no copies"),
        ({"kind": "ngd", "hardware": "bench", "solver": "cholesky"}, "take solver 'woodbury' or 'cg'"),
        ({"kind": "ngd", "hardware": "bench", "mapping": "primal"}, "and mapping 'dual' or 'kernel'"),
        ({"kind": "ngd", "doublings": 3}, "doublings are for a matrix with a device's errors"),
        ({"kind": "ngd", "copies": 3}, "copies are drawn of a device, and there is none"),
        ({"kind": "ngd", "hardware": "bench", "engine": "sde"}, "kind 'ngd' has no 'engine'"),
        ({"kind": "muon"}, "kind 'muon' needs momentum"),
        ({"kind": "ngd", "memory": 1.0}, "less than 1"),
        ({"kind": "ngd", "draws": 2}, "take 'sampled fisher'"),
        ({"kind": "tngd", "memory": 0.5, "warm_start": True, "mapping": "primal"}, "choose one"),
        ({"kind": "tngd", "mapping": "kernel", "curvature": "sampled fisher"}, "must lie in the rows of B"),
        ({"kind": "tngd", "mapping": "kernel", "curvature_samples": 3}, "must lie in the rows of B"),
        ({"kind": "sgd", "nesterov": True}, "nesterov belongs to a momentum"),
        ({"kind": "adam", "memory": 0.5}, "has no 'memory'"),
        ({"kind": "adam", "schedules": {"damping": {"shape": "linear"}}}, "schedules.damping: kind 'adam' has no"),
        (
            {"kind": "ngd", "damping_rule": "levenberg-marquardt", "schedules": {"damping": {"shape": "linear"}}},
            "leave one of them out",
        ),
        ({"kind": "tngd", "schedules": {"analog_time": {"shape": "linear"}}}, "needs a finite analog_time"),
        ({"kind": "ngd", "schedules": {"damping": {"shape": "exponential"}}}, "never reaches end = 0"),
        ({"kind": "adam", "schedules": {"learning_rate": {"end": 0.5}}}, "a constant schedule has no 'end'"),
        ({"kind": "ngd", "precision": {"refine": 1}}, "kind 'ngd' has no 'precision'"),
        (
            {"kind": "tngd", "hardware": "none", "precision": {"refine": 1}},
            "'none' is the ideal equation and has no 'p",
        ),
        ({"kind": "tngd", "precision": {"tolerance": 0.1}}, "tolerance is 0.1, which belongs to refinement"),
        ({"kind": "tngd", "precision": {"refine": 1, "corrections": "sor"}}, "no 'sor'; methods of refinement are"),
    ],
)
def test_contradictions_are_refused(settings, said):
    with pytest.raises((InputError, ValueError), match=said):
        Optimizer(**BASE, **settings)


def test_micro_batches_that_do_not_fit_are_refused():
    document = tomllib.loads(TEXT)
    document["optimizers"]["micro"]["micro_batch_size"] = 3
    with pytest.raises(InputError, match=r"optimizers\.micro\.micro_batch_size 3 does not divide the 8 samples"):
        read_experiment(document, "test")


def test_a_batch_that_does_not_fit_is_refused():
    document = tomllib.loads(TEXT)
    document["optimizers"]["sgd"]["batch_size"] = 101
    with pytest.raises(InputError, match=r"optimizers\.sgd\.batch_size 101 is above the 100 training samples"):
        read_experiment(document, "test")
