"""A whole training run on one sample of a device."""

from functools import lru_cache

from experiments.sweeps.config import Sweep
from experiments.sweeps.samples import SampleSet
from experiments.training.config import Experiment, load_experiment
from experiments.training.data import Split
from experiments.training.store import Trial
from experiments.training.tasks import task_named
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.sampling import Sample


def trained_metrics(sweep: Sweep, copies: SampleSet, sample: int) -> tuple[float, ...]:
    """What a whole training on this sample reaches, with the config's first seed: weights and batches are alike in all.

    Raises:
        InputError: the config does not train on a device, or the analysis has no samples to train on.
        SimulationError: a solve failed.
    """
    from experiments.training.methods import Method
    from experiments.training.stepping import Place
    from experiments.training.trial import advance

    experiment, trial = training_of(sweep)
    settings = experiment.optimizers[trial.optimizer]
    if copies.sampling is None or copies.only is not None:
        raise InputError(f"analysis.kind {sweep.analysis.kind!r} does not train; take 'monte carlo'")
    spu = Spu(sweep.powered(), sweep.chosen(), sample=Sample(copies.sampling, sample))
    method = Method(settings, settings.made_precise(spu), experiment.steps)
    (chunk,) = advance(experiment, [Place(trial)], _data(sweep), experiment.steps, method)
    if chunk.error:
        raise chunk.error
    accuracy = chunk.steps[-1].score
    assert accuracy is not None, "the last step is always evaluated"
    return (accuracy,)


def training_of(sweep: Sweep) -> tuple[Experiment, Trial]:
    """The experiment of a workload and its one trial. Raises InputError where there is none."""
    workload = sweep.workload
    assert workload.config is not None
    experiment = load_experiment(workload.config).model_copy(update={"record_systems": False})
    score = task_named(experiment.task).score
    if score.name != "accuracy":
        raise InputError(
            f"workload.config: {workload.config!r} is judged by its {score.name}, and final_accuracy is of tasks "
            "that are judged by their accuracy; take one of those"
        )
    name = workload.optimizer
    if name not in experiment.optimizers or not experiment.optimizers[name].entry.analog:
        able = [key for key, optimizer in experiment.optimizers.items() if optimizer.entry.analog]
        raise InputError(f"workload.optimizer: {name!r} is no tngd of {workload.config!r}; take {', '.join(able)}")
    rate = workload.learning_rate or experiment.optimizers[name].learning_rates[0]
    return experiment, Trial(0, name, rate, experiment.seeds[0])


@lru_cache(maxsize=2)
def _data(sweep: Sweep) -> Split:
    experiment, _ = training_of(sweep)
    return task_named(experiment.task).load(experiment.data, None)
