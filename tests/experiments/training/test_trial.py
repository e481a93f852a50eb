"""A trial, advanced by any number of steps at a time."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from experiments.shared.systems import ggn_system
from experiments.training.config import read_experiment
from experiments.training.methods import WIDTH, Method, build_solver, width
from experiments.training.stepping import Place, _of_values
from experiments.training.store import Trial
from experiments.training.tasks import task_named
from experiments.training.trial import advance, exact_solution
from optim.mapping import solve_mapped
from optim.seeds import step_seed
from solvers.digital import Digital
from solvers.sde import Sde
from solvers.solution import solve_each
from solvers.spu import Spu
from spu_circuit.errors import MappingError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import GgnSystem
from spu_circuit.sampling import Sample, Sampling

TEXT = """
name = "small"
task = "digits"
steps = 6
batch_size = 8
seeds = [0]
record_systems = true
[data]
train = 100
validation = 20
test = 20
[network]
kind = "mlp"
hidden = [4]
[optimizers.adam]
kind = "adam"
learning_rates = [0.03]
[optimizers.dual]
kind = "tngd"
learning_rates = [0.3]
momentum = 0.9
curvature_samples = 1
hardware = "paper"
engine = "sde"
analog_time = 5.0
[optimizers.primal]
kind = "tngd"
learning_rates = [0.3]
hardware = "none"
injected_noise = 1e-4
mapping = "primal"
analog_time = 1.0
warm_start = true
delay = 0.5
[optimizers.diverging]
kind = "sgd"
learning_rates = [1e38]
[optimizers.mixed]
kind = "sgd"
learning_rates = [0.1, 1e38]
[optimizers.circuit]
kind = "tngd"
learning_rates = [0.3, 0.5]
curvature_samples = 1
hardware = { base = "bench", noise.injected = "1 mV" }
engine = "network"
linearise = true
readout_bandwidth = "10 MHz"
[optimizers.precise]
kind = "tngd"
learning_rates = [0.3, 0.5]
curvature_samples = 1
hardware = "bench"
engine = "network"
precision = { refine = 4, corrections = "gmres", tolerance = 1e-3, device_damping = 0.05, rotate = 3, estimate = true }
[optimizers.transient]
kind = "tngd"
learning_rates = [0.3, 0.5]
curvature_samples = 1
hardware = "bench"
engine = "network"
linearise = true
readout_bandwidth = "10 MHz"
analog_time = 6.0
[optimizers.kernel]
kind = "tngd"
learning_rates = [0.1, 0.2]
memory = 0.5
damping = 0.1
mapping = "kernel"
engine = "network"
hardware = "ideal"
[optimizers.exact-kernel]
kind = "ngd"
learning_rates = [0.1, 0.2]
memory = 0.5
damping = 0.1
mapping = "kernel"
[optimizers.precise-copies]
kind = "tngd"
learning_rates = [0.3]
curvature_samples = 1
copies = 2
engine = "network"
precision = { refine = 3, tolerance = 1e-3, rotate = 2 }
hardware = { base = "bench", variation.array_resistor.local = { tolerance = "5 %", meaning = "sigma" } }
[optimizers.copies]
kind = "tngd"
learning_rates = [0.3]
curvature_samples = 1
copies = 2
engine = "network"
[optimizers.copies.hardware]
base = "bench"
variation.array_resistor.local = { tolerance = "5 %", meaning = "sigma" }
variation.array_resistor.stuck_open = 0.02
variation.amplifier_offset.local = { tolerance = "3 mV", meaning = "sigma" }
"""


def advanced(name, sizes):
    """All steps of a trial in chunks of these sizes, without wall times; the state after the last; the systems."""
    experiment = read_experiment(tomllib.loads(TEXT), "test")
    data = task_named(experiment.task).load(experiment.data, None)
    trial = Trial(0, name, experiment.optimizers[name].learning_rates[0], 0)
    steps, last, state, systems = [], None, None, {}
    for size in sizes:
        (chunk,) = advance(experiment, [Place(trial, last, state)], data, size)
        last, state = chunk.steps[-1], chunk.state
        steps += [replace(step, wall_seconds=0.0) for step in chunk.steps]
        systems |= chunk.systems
    return steps, state, systems


def test_the_kernel_mapping_trains():
    """Its solves are the exact ones of their systems, with memory, and what is recorded solves to the same."""
    steps, _, systems = advanced("kernel", [100])
    assert len(steps) == 6
    for step in steps:
        assert step.solve_error < 1e-3  # single precision of the systems
        assert step.unsolved_error == pytest.approx(1 if step.step == 0 else step.unsolved_error)  # from nothing
        assert step.unsolved_error > 0.1
    assert steps[-1].loss < steps[0].loss
    exact, _, _ = advanced("exact-kernel", [100])
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in exact], rel=1e-3)
    last = systems[5]
    g = GgnSystem(last["B"], float(last["damping"]), last["gradient"])
    assert g.residual(exact_solution(g.B, g.damping, g.gradient)) < 1e-9


def test_learning_rates_and_damping_share_what_is_compiled_and_each_is_its_own():
    def trained(damping, rate, **more):
        own = {"kind": "ngd", "damping": damping, "learning_rates": [rate], "curvature_samples": 1, **more}
        experiment = read_experiment({**tomllib.loads(TEXT), "optimizers": {"one": own}}, "test")
        data = task_named(experiment.task).load(experiment.data, None)
        (chunk,) = advance(experiment, [Place(Trial(0, "one", rate, 0))], data, 6)
        return [replace(step, wall_seconds=0.0) for step in chunk.steps]

    falling = {"damping": {"shape": "linear", "end": 0.5}}
    cases = ((0.8, 0.3, {}), (0.1, 0.2, {}), (0.8, 0.3, {"schedules": falling}))
    alone = []
    for damping, rate, more in cases:
        _of_values.cache_clear()
        alone.append(trained(damping, rate, **more))
    _of_values.cache_clear()
    assert [trained(damping, rate, **more) for damping, rate, more in cases] == alone
    assert _of_values.cache_info().misses == 2
    assert [step.damping for step in alone[1]] == pytest.approx([0.1] * 6)
    assert [step.damping for step in alone[2]] == pytest.approx([0.8 * (1 - 0.5 * k / 5) for k in range(6)])
    assert alone[0][-1].loss != alone[1][-1].loss


@pytest.mark.parametrize("name", ["adam", "dual", "primal", "kernel"])
def test_chunks_change_no_bit(name):
    """Also where momentum, a warm start or the gradients of the last step are part of the state."""
    steps, state, systems = advanced(name, [100])
    cut_steps, cut_state, cut_systems = advanced(name, [1, 2, 3])
    assert [step.step for step in steps] == list(range(6))
    assert cut_steps == steps
    assert state.keys() == cut_state.keys()
    # NaN stands for statistics that a solver does not have.
    assert all(np.array_equal(state[key], cut_state[key], equal_nan=True) for key in state)
    assert cut_systems.keys() == systems.keys()
    assert len(systems) == (0 if name == "adam" else 6)


class Failing(Sde):
    """Refuses what one seed asks for in its third step; its numbers do not depend on what else is in a batch."""

    def solve_batch(self, systems, analog_time=np.inf, initial_states=None, seeds=None):
        if step_seed(1, 2) in seeds:
            raise MappingError("entry of row 3 is negative; take another topology")
        return solve_each(self, systems, analog_time, initial_states, seeds)


def together(experiment, name, trials, steps=100, method=None, begun=None):
    """Chunks of trials that are advanced together, by trial."""
    data = task_named(experiment.task).load(experiment.data, None)
    places = [(begun or {}).get(trial, Place(trial)) for trial in trials]
    return {chunk.trial: chunk for chunk in advance(experiment, places, data, steps, method)}


def trials_of(experiment, name):
    rates = experiment.optimizers[name].learning_rates
    return [Trial(0, name, rate, seed) for rate in rates for seed in experiment.seeds]


def untimed(steps):
    return [replace(step, wall_seconds=0.0) for step in steps]


def equal(one, other):
    """Steps, apart from wall times, states and systems, to the last bit."""
    assert untimed(one.steps) == untimed(other.steps)
    pairs = [(one.state, other.state), *((one.systems[k], other.systems[k]) for k in one.systems | other.systems)]
    for ours, theirs in pairs:
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key], equal_nan=True) for key in ours)


@pytest.fixture(scope="module")
def several():
    return read_experiment(tomllib.loads(TEXT), "test").model_copy(update={"seeds": (0, 1, 2), "steps": 4})


@pytest.mark.parametrize("name", ["adam", "dual", "primal", "mixed", "circuit", "precise"])
def test_an_ensemble_is_its_trials_one_by_one_to_the_last_bit(several, name):
    """No tolerance: each trial's model has code of its own, and the padded program is the same for one as for all."""
    trials = trials_of(several, name)
    all_at_once = together(several, name, trials)
    for trial in trials[:: max(1, len(trials) - 1)]:
        equal(together(several, name, [trial])[trial], all_at_once[trial])


@pytest.mark.parametrize("name", ["circuit", "precise", "transient"])
def test_neither_order_nor_width_nor_what_was_left_over_changes_a_bit(several, name):
    """As after a resume: some trials are ahead of others, some are missing, and a chunk ends anywhere."""
    trials = trials_of(several, name)
    expected = together(several, name, trials)
    ahead = together(several, name, trials[:2], steps=2)
    begun = {trial: Place(trial, chunk.steps[-1], chunk.state) for trial, chunk in ahead.items()}
    mixed = together(several, name, [trials[4], trials[1]], begun=begun)
    equal(mixed[trials[4]], expected[trials[4]])
    rest = mixed[trials[1]]
    assert [step.step for step in rest.steps] == [2, 3]
    first = ahead[trials[1]]
    whole = replace(rest, steps=first.steps + rest.steps, systems=first.systems | rest.systems)
    equal(whole, expected[trials[1]])
    narrow = several.model_copy(update={"seeds": (1,)})
    assert width(narrow, name) < width(several, name)
    equal(together(narrow, name, [trials[1]])[trials[1]], expected[trials[1]])


def test_copies_go_together_and_each_is_the_sample_that_its_seed_and_number_draw(several):
    settings = several.optimizers["copies"]
    trials = [Trial(0, "copies", 0.3, seed, copy) for seed in several.seeds for copy in settings.copy_numbers]
    assert width(several, "copies") == len(trials) == 6
    found = together(several, "copies", trials)
    losses = {trial: tuple(step.loss for step in chunk.steps) for trial, chunk in found.items()}
    assert len(set(losses.values())) == 6
    for trial in trials[::3]:
        device = Spu(settings.device(), settings.chosen(), sample=Sample(Sampling(trial.seed), trial.copy))
        nominal = Trial(0, "copies", 0.3, trial.seed)
        alone = together(several, "copies", [nominal], method=Method(settings, device, several.steps))[nominal]
        assert tuple(step.loss for step in alone.steps) == losses[trial]


def test_copies_may_be_made_precise(several):
    """Each seed and copy as on its own device; refined, they differ by less than the devices do."""
    name = "precise-copies"
    settings = several.optimizers[name]
    trials = [Trial(0, name, 0.3, several.seeds[0], copy) for copy in settings.copy_numbers]
    found = together(several, name, trials, steps=2)
    for trial, chunk in found.items():
        assert [step.refinement for step in chunk.steps] == ["converged"] * 2
        assert all(step.solve_error < 0.02 for step in chunk.steps)
        device = Spu(settings.device(), settings.chosen(), sample=Sample(Sampling(trial.seed), trial.copy))
        nominal = Trial(0, name, 0.3, trial.seed)
        method = Method(settings, settings.made_precise(device), several.steps)
        alone = together(several, name, [nominal], steps=2, method=method)[nominal]
        assert [step.loss for step in alone.steps] == [step.loss for step in chunk.steps]


def test_statistics_of_a_step_are_those_of_each_trial(several):
    trials = trials_of(several, "circuit")
    method = Method(several.optimizers["circuit"], build_solver(several.optimizers["circuit"]), several.steps)
    for trial, chunk in together(several, "circuit", trials[:2], steps=1, method=method).items():
        recorded = chunk.systems[0]
        system = GgnSystem(recorded["B"], float(recorded["damping"]), recorded["gradient"])
        statistics = solve_mapped(method.solver, system, "dual", np.inf, seed=step_seed(trial.seed, 0)).statistics
        (step,) = chunk.steps
        # The ensemble forms the system in single precision.
        assert step.residual == pytest.approx(statistics.residual, rel=1e-3)
        assert step.lost_entries == statistics.lost_entries
        assert step.injected_noise == pytest.approx(statistics.injected_noise, rel=1e-3)
        assert step.injected_noise > 0
        assert step.settled_fraction == pytest.approx(statistics.settled_fraction)


def test_a_solve_that_fails_ends_its_trial_and_no_other(several):
    settings = several.optimizers["primal"]
    trials = trials_of(several, "primal")
    found = together(several, "primal", trials, method=Method(settings, Failing(1e-4), several.steps))
    assert [len(found[trial].steps) for trial in trials] == [4, 2, 4]
    error = found[trials[1]].error
    assert isinstance(error, MappingError)
    assert "entry of row 3 is negative" in str(error)
    alone = together(several, "primal", [trials[1]], method=Method(settings, Failing(1e-4), several.steps))[trials[1]]
    equal(alone, found[trials[1]])
    for trial in (trials[0], trials[2]):
        assert found[trial].error is None
        method = Method(settings, Failing(1e-4), several.steps)
        equal(together(several, "primal", [trial], method=method)[trial], found[trial])


def test_ngspice_simulates_each_trial_for_itself_and_others_go_together(several):
    settings = several.optimizers["circuit"]
    ngspice = settings.model_copy(update={"engine": "ngspice"})
    wide = several.model_copy(
        update={"optimizers": {"circuit": settings, "ngspice": ngspice}, "seeds": tuple(range(64))}
    )
    assert (width(wide, "circuit"), width(wide, "ngspice")) == (WIDTH, 1)


def test_a_trial_ends_where_its_loss_is_not_finite():
    steps, _, _ = advanced("diverging", [100])
    assert len(steps) < 6
    assert [step.diverged for step in steps] == [*[False] * (len(steps) - 1), True]


def test_hardware_at_hand_takes_the_place_of_its_name():
    settings = read_experiment(tomllib.loads(TEXT), "test").optimizers["dual"]
    assert build_solver(settings) == build_solver(settings, load_hardware("paper"))
    assert build_solver(settings, load_hardware("bench")).hardware == load_hardware("bench")


def test_solves_are_compared_with_the_exact_solution():
    system = ggn_system(6, 40, 0.3)
    expected = Digital("woodbury").solve(system).value
    np.testing.assert_allclose(exact_solution(system.B, 0.3, system.gradient), expected, rtol=1e-12)  # rounding
