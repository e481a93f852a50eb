"""A tolerance sweep as data, read from TOML."""

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from experiments.shared.configs import config_file
from experiments.shared.engines import EngineSettings, check_engine
from experiments.shared.grid import without_grid
from experiments.shared.hardware import HardwareTable, hardware_of, supplied
from experiments.sweeps.metrics import METRICS
from solvers.precision.description import Precision
from spu_circuit.description import Description
from spu_circuit.documents import read_toml
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import cut
from spu_circuit.hardware import Hardware
from spu_circuit.quantity import Fraction, parse_quantity
from spu_circuit.sampling import varying


class Workload(Description):
    """What every sample does; which fields a kind takes, ``workloads`` says."""

    kind: Annotated[str, Field(description="what every copy solves, or trains")]
    size: Annotated[int, Field(ge=1, lt=2**63, description="cells")] = 32
    condition: Annotated[float, Field(ge=1, allow_inf_nan=False, description="of the matrix")] = 10.0
    systems: Annotated[int, Field(ge=1, lt=2**63, description="how many")] = 1
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of the matrices")] = 0
    matrix: Annotated[str | None, Field(description=".npy file of A")] = None
    vector: Annotated[str | None, Field(description=".npy file of b")] = None
    folder: Annotated[
        str | None, Field(description="of matrix-0.npy, vector-0.npy, …; or of a training run with --record-systems")
    ] = None
    config: Annotated[str | None, Field(description="training config; each copy trains once")] = None
    optimizer: Annotated[str | None, Field(description="which of the config's optimizers")] = None
    learning_rate: Annotated[float | None, Field(gt=0, description="none: the first of the optimizer's")] = None


class Analysis(Description):
    """How the samples are chosen; which fields a kind takes, ``analyses`` says."""

    kind: Annotated[str, Field(description="how the copies are chosen")]
    samples: Annotated[int, Field(ge=1, lt=2**63, description="copies, at most")] = 1000
    design: Annotated[
        Literal["plain", "lhs", "sobol"], Field(description="independent, Latin hypercube, or Sobol sequence")
    ] = "plain"
    stop_width: Annotated[
        float | None, Field(gt=0, lt=1, description="stop when the yield's 95 % interval is this narrow")
    ] = None
    inflation: Annotated[
        float, Field(gt=1, le=4, description="importance: by how much σ of what all parts share is widened")
    ] = 2.0

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.design == "sobol" and self.samples & (self.samples - 1):
            raise ValueError(
                f"samples is {self.samples}, but a Sobol sequence is even after powers of two only; "
                f"take {1 << self.samples.bit_length()}"
            )
        return self


class Limit(Description):
    """What a metric must keep."""

    min: float = -inf
    max: float = inf


def _with_units(limits: Any) -> Any:
    """Text with the metric's unit becomes a number in SI."""
    if not isinstance(limits, Mapping):
        return limits
    read: dict[str, Any] = {}
    for name, limit in limits.items():
        unit = METRICS[_metric(name)].unit
        if not isinstance(limit, Mapping):
            raise ValueError(f"{name} is {limit!r}; write a table such as {{ max = {_example(unit)!r} }}")
        read[name] = {end: _quantity(name, value, unit) for end, value in limit.items()}
        for end, value in read[name].items():
            if isinstance(value, float) and value != value:
                raise ValueError(f"{name}: {end} is nan, which nothing keeps; write a number, or leave it out")
        low, high = read[name].get("min", -inf), read[name].get("max", inf)
        if isinstance(low, float) and isinstance(high, float) and low > high:
            raise ValueError(f"{name}: min {low:g} is above max {high:g}; swap them")
    return read


Limits = Annotated[
    dict[str, Limit], BeforeValidator(_with_units), Field(description="of metrics: what a good copy keeps")
]


class Sweep(EngineSettings):
    """A tolerance sweep."""

    name: Annotated[
        str, Field(pattern=r"^[\w][\w.-]*$", max_length=100, description="of the default output folder, runs/NAME")
    ]
    question: Annotated[str, Field(description="what the sweep answers, in one sentence")] = ""
    hardware: Annotated[HardwareTable, Field(description="base: preset or file; anything else changes its fields")]
    engine: Annotated[Literal["network", "ngspice"], Field(description="what computes the voltages")] = "network"
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of the copies")] = 0
    supply: Annotated[
        Fraction, Field(gt=0, le=2, description="of the amplifiers, over its nominal value; their rails follow it")
    ] = 1.0
    time: Annotated[float, Field(gt=0, description="when the voltages are read, τ; inf: settled")] = inf
    settling_error: Annotated[Fraction, Field(gt=0, lt=1, description="that the settling time is to")] = 0.01
    metrics: Annotated[tuple[str, ...], Field(description="recorded besides those with limits")] = ("relative_error",)
    limits: Limits = {}  # noqa: RUF012
    most_failures: Annotated[
        Fraction, Field(gt=0, le=1, description="share of copies that cannot be simulated, above which to stop")
    ] = 0.1
    precision: Annotated[Precision | None, Field(description="how each copy makes its solutions more precise")] = None
    workload: Workload
    analysis: Analysis

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.metrics:
            _metric(name)
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("metrics repeat; list each once")
        for name in self.recorded:
            if METRICS[name].needs == "noise" and self.engine == "ngspice":
                raise ValueError(f"metric {name!r} comes from engine 'network'; leave it out or change the engine")
        for name, limit in self.limits.items():
            if self.workload.systems > 1 and limit.min > -inf:
                raise ValueError(
                    f"limits.{name}.min: of several systems the largest value is recorded, which shows no minimum; "
                    "leave it out or set workload.systems = 1"
                )
        if isinstance(self.hardware.get("base", {}), Mapping):
            raise ValueError("hardware.base is missing; name a preset or a TOML file")
        check_engine(self)
        if self.precision is not None and self.precision.rotate is not None:
            raise ValueError(
                "precision.rotate: a copy solves no systems one after the other, so no eigenvectors are "
                "old; leave it out"
            )
        if self.analysis.stop_width is not None and not self.limits:
            raise ValueError("analysis.stop_width needs limits, or there is no yield; add a table [limits]")
        return self

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @property
    def recorded(self) -> tuple[str, ...]:
        """The metrics of every sample, in a fixed order."""
        wanted = {*self.metrics, *self.limits}
        return tuple(name for name in METRICS if name in wanted)

    def device(self) -> Hardware:
        """The hardware with its changes. Raises InputError where a field is wrong, or nothing varies."""
        base = self.hardware["base"]
        hardware = _kept(base) if isinstance(base, Mapping) else hardware_of(self.hardware)
        if not varying(supplied(hardware, self.supply).variation):
            raise InputError(
                "hardware.variation is empty, so all copies are alike; give a part a spread, as "
                "variation.array_resistor.local = { tolerance = '1 %', meaning = 'sigma' }"
            )
        return hardware

    def powered(self) -> Hardware:
        """The same on its supply. Raises InputError where no supply is known, or it is too low."""
        return supplied(self.device(), self.supply)


def _kept(description: Any) -> Hardware:
    """Hardware as stores keep it: whole, in SI."""
    try:
        return Hardware.model_validate(description)
    except ValidationError as error:
        raise InputError(f"hardware: what was kept of it is none any more: {cut(str(error))}") from None


def _metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"no metric {name!r}; {did_you_mean(name, METRICS)}")
    return name


def _quantity(metric: str, value: Any, unit: str) -> Any:
    if not isinstance(value, str) or not unit:
        if unit and not isinstance(value, str):
            raise ValueError(f"{metric}: {value!r} has no unit; write it as text, like {_example(unit)!r}")
        return float(value) if isinstance(value, int) else value
    return parse_quantity(value, unit)


def _example(unit: str) -> str:
    return f"1 {unit}" if unit else "1"


def read_sweep(path: str | Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """A config's document and its grid: dotted names of fields and the values that each takes.

    Raises:
        InputError: no such file, not TOML, or a grid that is none.
    """
    where = f"config {path}"
    return without_grid(read_toml(config_file(path, "analysis"), where), where)
