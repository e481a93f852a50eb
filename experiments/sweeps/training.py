"""A whole training run on one drawn copy of a device."""

import tempfile
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from experiments.config import Experiment, load_experiment
from experiments.data import Split, load_data
from experiments.store import Store, Trial
from experiments.sweeps.cases import Case
from experiments.sweeps.config import Sweep
from solvers.engine import Engine
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.copies import Copy
from spu_circuit.errors import InputError


def final_accuracy(sweep: Sweep, case: Case, sample: int) -> float:
    """Test accuracy after training on this copy, with the config's first seed: weights and batches are alike in all.

    Raises:
        InputError: the config does not train on a device, or the analysis has no copies to train on.
        SimulationError: a solve failed.
    """
    from experiments.trial import run_trial

    experiment, trial = trained(sweep)
    settings = experiment.optimizers[trial.optimizer]
    if case.sampling is None or case.only is not None:
        raise InputError(f"analysis.kind {sweep.analysis.kind!r} does not train; take 'monte carlo'")
    engine: Engine = Network(linearise=sweep.linearise)
    if sweep.engine == "ngspice":
        engine = Ngspice(points=settings.points)
    spu = Spu(sweep.device(), engine, copy=Copy(case.sampling, sample))
    accuracy = None
    with tempfile.TemporaryDirectory() as folder, closing(Store(Path(folder))) as store:
        for step in run_trial(experiment, trial, _data(sweep), store, spu):
            accuracy = step.test_accuracy
    assert accuracy is not None, "the last step is always evaluated"
    return accuracy


def trained(sweep: Sweep) -> tuple[Experiment, Trial]:
    """The experiment of a workload and its one trial. Raises InputError where there is none."""
    workload = sweep.workload
    assert workload.config is not None
    experiment = load_experiment(workload.config)
    name = workload.optimizer
    if name not in experiment.optimizers or experiment.optimizers[name].kind != "tngd":
        able = [key for key, optimizer in experiment.optimizers.items() if optimizer.kind == "tngd"]
        raise InputError(f"workload.optimizer: {name!r} is no tngd of {workload.config!r}; take {', '.join(able)}")
    rate = workload.learning_rate or experiment.optimizers[name].learning_rates[0]
    return experiment, Trial(name, rate, experiment.seeds[0])


@lru_cache(maxsize=2)
def _data(sweep: Sweep) -> Split:
    return load_data(trained(sweep)[0].data)
