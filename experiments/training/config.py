"""A training experiment as data, read from TOML."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SerializeAsAny, create_model, field_validator, model_validator

from experiments.shared.configs import config_file
from experiments.shared.engines import EngineSettings, check_engine
from experiments.shared.grid import Grid, Setting, names_of, points, without_grids
from experiments.training.data import Sizes
from experiments.training.devices import spelled, table_of, with_changes
from experiments.training.optimizers import OPTIMIZERS, Kind, kind_named
from experiments.training.settings import Seed, Settings
from experiments.training.tasks import TASKS, task_named
from optim.mapping import OUTSIDE, Mapping
from spu_circuit.description import Description
from spu_circuit.documents import from_document, read_toml
from spu_circuit.errors import InputError

SHARED = {"name", "task", "workers", "record_systems"}
"""Fields that a grid cannot set."""


class Optimizer(Settings):
    """Settings that its kind takes, and that fit together."""

    @property
    def entry(self) -> Kind:
        """Its kind's entry in the registry."""
        return kind_named(self.kind)

    @property
    def taken(self) -> set[str]:
        """The fields that mean something for this kind."""
        return {"kind", "learning_rates", *self.entry.takes}

    def told(self) -> str:
        """All that determines how it trains, hardware spelled out."""
        device = self.device()
        own = self.model_dump_json(exclude={"hardware"} if device else None)
        return own + (device.model_dump_json() if device else "")

    @property
    def simulated(self) -> bool:
        """Whether ngspice simulates every solve for itself."""
        return self.has_device and self.entry.analog and self.engine == "ngspice"

    @property
    def placement(self) -> Mapping:
        """The mapping; where none is given arrays and devices are dual, and others solve in the parameters."""
        return self.mapping or ("dual" if self.entry.analog or self.has_device else "primal")

    @model_validator(mode="before")
    @classmethod
    def _hardware_of_the_kind(cls, given: Any) -> Any:
        """Hardware that is named alone becomes a table; where no base is named it is the kind's."""
        kind = OPTIMIZERS.get(str(given.get("kind"))) if isinstance(given, dict) else None
        if kind is None or "hardware" not in kind.takes:
            return given
        own = table_of(given.get("hardware", {}))
        return {**given, "hardware": {"base": kind.hardware, **own} if isinstance(own, dict) else own}

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        kind_named(kind)
        return kind

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in sorted(self.model_fields_set - self.taken):
            raise ValueError(f"kind {self.kind!r} has no {name!r}; it takes {', '.join(sorted(self.taken))}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov belongs to a momentum; set one, as momentum = 0.9")
        if self.signs and self.adam:
            raise ValueError("signs and adam are two ways to make a step; choose one")
        if self.draws != 1 and self.curvature != "sampled fisher":
            raise ValueError(f"curvature {self.curvature!r} draws nothing; leave draws out, or take 'sampled fisher'")
        if self.mapping == "kernel" and (self.curvature == "sampled fisher" or self.curvature_samples is not None):
            raise ValueError(f"mapping 'kernel': {OUTSIDE}")
        if self.memory and self.warm_start:
            raise ValueError("memory and warm_start are two memories of the last step; choose one")
        if wrong := sorted(self.schedules.given - {"learning_rate"} - self.taken):
            raise ValueError(f"schedules.{wrong[0]}: kind {self.kind!r} has no {wrong[0]!r}; leave it out")
        if self.damping_rule != "given" and "damping" in self.schedules.given:
            raise ValueError(f"schedules.damping: damping_rule {self.damping_rule!r} chooses λ; leave one of them out")
        if self.entry.needs - self.model_fields_set:
            raise ValueError(f"kind {self.kind!r} needs {', '.join(sorted(self.entry.needs))}; give it")
        if "analog_time" in self.schedules.given and self.analog_time == inf:
            raise ValueError("schedules.analog_time needs a finite analog_time; set one, in τ")
        if self.copies and not self.has_device:
            raise ValueError("copies are drawn of a device, and there is none; leave copies out")
        if self.entry.analog:
            self._check_array()
        elif self.has_device and (self.solver == "cholesky" or self.mapping == "primal"):
            raise ValueError(
                "a digital solve with errors is in the K cells of a device; take solver 'woodbury' or 'cg', and "
                "mapping 'dual' or 'kernel'"
            )
        elif "hardware" in self.taken and not self.has_device and "doublings" in self.model_fields_set:
            raise ValueError("doublings are for a matrix with a device's errors; name its hardware, or leave it out")
        if "hardware" in self.taken and not self.has_device and len(self.hardware) > 1:
            raise ValueError("hardware 'none' has no fields; name a base, as 'bench'")
        return self

    def _check_array(self) -> None:
        """What is simulated must fit together."""
        if self.has_device:
            check_engine(self)
        if self.copies and self.engine == "sde":
            raise ValueError("engine 'sde' knows no copies; take engine 'network' or 'ngspice', or leave copies out")
        bare = not self.has_device
        if bare and (given := self.model_fields_set & EngineSettings.model_fields.keys()):
            raise ValueError(f"hardware 'none' is the ideal equation and has no {min(given)!r}; leave it out")
        if bare and self.precision is not None:
            raise ValueError("hardware 'none' is the ideal equation and has no 'precision'; leave it out")
        if not bare and "injected_noise" in self.model_fields_set | self.schedules.given:
            raise ValueError("injected_noise is for hardware 'none'; a device has noise.injected in its description")

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


class Experiment(Description):
    """A training experiment: every optimizer on the same batches with the same seeds."""

    name: Annotated[
        str, Field(pattern=r"^[\w][\w.-]*$", max_length=100, description="of the default output folder, runs/NAME")
    ]
    task: Annotated[str, Field(description="what is learned from which samples")]
    steps: Annotated[int, Field(ge=1, description="of every training")]
    batch_size: Annotated[int, Field(ge=1, description="samples of a step")]
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1, description="of weights, batches and noise"),
    ]
    shuffle: Annotated[
        bool, Field(description="batches of another random order every epoch; false: in the samples' own order")
    ] = True
    evaluate_every: Annotated[int, Field(ge=1, description="steps between two looks at the test samples")] = 1
    targets: Annotated[
        tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...],
        Field(description="training losses; the steps to each are counted, by means of five batches"),
    ] = ()
    workers: Annotated[int, Field(ge=1, description="processes on this machine; 1: the command itself")] = 2
    record_systems: Annotated[bool, Field(description="keep the linear systems of all steps, for sweeps")] = False
    data: SerializeAsAny[Sizes]
    network: SerializeAsAny[Description]
    optimizers: dict[str, Optimizer]

    def batch_of(self, optimizer: str) -> int:
        """Samples of a step of one optimizer."""
        return self.optimizers[optimizer].batch_size or self.batch_size

    def seeds_of(self, optimizer: str) -> tuple[int, ...]:
        """The seeds that one optimizer is trained with."""
        return self.optimizers[optimizer].seeds or self.seeds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.optimizers:
            raise ValueError("optimizers is empty; add a table [optimizers.NAME]")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} repeat; each would count twice")
        for name, optimizer in self.optimizers.items():
            size = self.batch_of(name)
            if (optimizer.curvature_samples or 0) > size:
                raise ValueError(f"optimizers.{name}.curvature_samples is above batch_size {size}; lower it")
            curved = optimizer.curvature_samples or size
            if curved % (optimizer.micro_batch_size or 1):
                raise ValueError(
                    f"optimizers.{name}.micro_batch_size {optimizer.micro_batch_size} does not divide the {curved} "
                    "samples of the curvature; take a divisor"
                )
            if size > self.data.train:
                raise ValueError(
                    f"optimizers.{name}.batch_size {size} is above the {self.data.train} training samples; lower it"
                )
            if len(set(optimizer.learning_rates)) < len(optimizer.learning_rates):
                raise ValueError(f"optimizers.{name}.learning_rates repeat; list each once")
            own = self.seeds_of(name)
            if strange := sorted(set(own) - set(self.seeds)):
                raise ValueError(f"optimizers.{name}.seeds: {strange[0]} is none of the experiment's; add it to seeds")
            if len(set(own)) < len(own):
                raise ValueError(f"optimizers.{name}.seeds {own} repeat; each would count twice")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets {self.targets} repeat; list each once")
        return self


@dataclass(frozen=True)
class Training:
    """An experiment at every point of its grids.

    Args:
        grids: dotted names of fields and the values that each takes; none: there is one point, at which nothing is set.
        settings: what is set at each point.
        experiments: what that makes.
    """

    grids: tuple[Grid, ...]
    settings: tuple[Setting, ...]
    experiments: tuple[Experiment, ...]

    @property
    def name(self) -> str:
        return self.experiments[0].name

    @cached_property
    def trained_at(self) -> tuple[dict[str, int], ...]:
        """Of each point, at which one every optimizer is trained: the first where all that concerns it is the same.

        Raises:
            InputError: hardware that cannot be read.
        """
        first: dict[str, int] = {}
        found = []
        for point, experiment in enumerate(self.experiments):
            common = experiment.model_dump_json(exclude={"optimizers"})
            keys = {name: f"{common} {name} {settings.told()}" for name, settings in experiment.optimizers.items()}
            found.append({name: first.setdefault(key, point) for name, key in keys.items()})
        return tuple(found)

    def changed(self, **changes: Any) -> Self:
        """With other values of fields at every point."""
        return replace(self, experiments=tuple(each.model_copy(update=changes) for each in self.experiments))

    def with_model(self, model: str) -> Self:
        """With another pretrained model at every point.

        Raises:
            InputError: the task has none.
        """
        first = self.experiments[0]
        if "model" not in type(first.data).model_fields:
            raise InputError(f"model: task {first.task!r} has no pretrained model; leave --model out")
        parts = [
            each.model_copy(update={"data": each.data.model_copy(update={"model": model})}) for each in self.experiments
        ]
        return replace(self, experiments=tuple(parts))


def read_experiment(document: dict[str, Any], where: str) -> Experiment:
    """Build an experiment from tables that were read from TOML; its task says what [data] and [network] hold.

    Raises:
        InputError: an unknown task, or a field is wrong; names the field and the cure.
    """
    if "task" not in document:
        raise InputError(f"{where}: task is missing; add task = 'NAME', one of {', '.join(TASKS)}")
    try:
        task = task_named(document["task"])
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    # A class for the reading alone, so that mistakes are named as in any other table.
    tables = create_model("Tables", __base__=Description, data=(task.data, ...), network=(task.network, ...))
    found = from_document(tables, {name: document[name] for name in tables.model_fields if name in document}, where)
    return from_document(Experiment, {**with_changes(document, where), **dict(found)}, where)


def load_experiment(path: str | Path) -> Experiment:
    """Read a TOML file, or a config that comes with the package by its name ("digits").

    Raises:
        InputError: no such file, not TOML, a grid, or a field is wrong; names the field and the cure.
    """
    training = load_training(path)
    if training.grids:
        raise InputError(f"config {path}: grid: one experiment is wanted here, not one at each point; leave it out")
    return training.experiments[0]


def load_training(path: str | Path) -> Training:
    """Read a config that may have a grid. See ``load_experiment``.

    Raises:
        InputError: also where the grid sets what all points share.
    """
    where = f"config {path}"
    document, grids = without_grids(read_toml(config_file(path, "optimizers"), where), where)
    if wrong := sorted(SHARED & set(names_of(grids))):
        raise InputError(f"{where}: grid.{wrong[0]}: all points share it; set it outside the grid")
    found = [
        (setting, read_experiment(own, where))
        for grid in grids or ({},)
        for setting, own in points(spelled(document), grid)
    ]
    return Training(grids, tuple(setting for setting, _ in found), tuple(experiment for _, experiment in found))


def points_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The experiment at every point, of a config as stores keep it.

    With what the grid sets there as ``setting``, and as ``trained_at`` the point at which each optimizer is trained:
    an earlier one where nothing that concerns it differs.
    """
    if "points" in config:
        return list(config["points"])
    return [{"setting": {}, "trained_at": dict.fromkeys(config["optimizers"], 0)} | config]


def single(experiment: Experiment) -> Training:
    """An experiment without a grid."""
    return Training((), ({},), (experiment,))
