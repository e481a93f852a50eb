"""Settings of an optimizer as data, whatever its kind; ``optimizers`` says which kind takes which."""

from math import inf
from typing import Annotated, Literal

from pydantic import Field

from experiments.shared.engines import EngineSettings
from experiments.shared.hardware import HardwareTable, hardware_of
from experiments.training.schedules import Schedules
from optim.mapping import Mapping
from solvers.precision.description import Precision
from solvers.precision.rotated import Rotating
from solvers.solution import Solver
from solvers.spu import Spu
from spu_circuit.hardware import Hardware

NONE = "none"
"""In the place of a preset: no device."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class Settings(EngineSettings):
    """Of one optimizer. Every learning rate of ``learning_rates`` is run; the validation loss chooses among them."""

    kind: Annotated[str, Field(description="of optimizer")]
    learning_rates: Annotated[
        tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...],
        Field(min_length=1, description="each is run; the validation loss chooses"),
    ]
    momentum: Annotated[float, Field(ge=0, lt=1, description="of the steps")] = 0.0
    nesterov: Annotated[bool, Field(description="of the momentum")] = False
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False, description="of adamw and muon")] = 1e-4
    batch_size: Annotated[int | None, Field(ge=1, description="samples of a step; none: the experiment's")] = None
    seeds: Annotated[
        tuple[Seed, ...] | None, Field(min_length=1, description="some of the experiment's; none: all")
    ] = None
    schedules: Annotated[Schedules, Field(description="how settings change over the training")] = Schedules()
    damping: Annotated[float, Field(gt=0, allow_inf_nan=False, description="λ")] = 1.0
    damping_rule: Annotated[
        Literal["given", "levenberg-marquardt"],
        Field(description="given: λ and its schedule; levenberg-marquardt: λ follows how well steps were predicted"),
    ] = "given"
    doublings: Annotated[
        int,
        Field(
            ge=0,
            le=60,
            description="how often λ is doubled in a step whose matrix cannot be programmed or refined, at most",
        ),
    ] = 20
    memory: Annotated[
        float, Field(ge=0, lt=1, description="μ: share of the last natural gradient that is kept (SPRING)")
    ] = 0.0
    curvature: Annotated[
        Literal["ggn", "fisher", "sampled fisher"],
        Field(description="Gauss-Newton; empirical Fisher; Fisher with targets drawn from the model"),
    ] = "ggn"
    draws: Annotated[int, Field(ge=1, description="of a sampled Fisher matrix, targets for each sample")] = 1
    curvature_decay: Annotated[
        float, Field(ge=0, lt=1, description="kfac: weight of a step's moments in the mean of the next step")
    ] = 0.95
    curvature_samples: Annotated[
        int | None, Field(ge=1, description="samples of the batch that B is made of; none: all")
    ] = None
    micro_batch_size: Annotated[
        int | None, Field(ge=1, description="samples that B is made of at a time, to save memory; none: all at once")
    ] = None
    adam: Annotated[bool, Field(description="tngd: feed the natural gradient to Adam (TNGD-Adam)")] = False
    signs: Annotated[bool, Field(description="tngd: step by the signs of the natural gradient")] = False
    betas: Annotated[tuple[Beta, Beta], Field(description="Adam's β₁, β₂")] = (0.9, 0.999)
    solver: Annotated[Literal["cholesky", "woodbury", "cg"], Field(description="digital")] = "woodbury"
    cg_iterations: Annotated[int | None, Field(ge=1, description="of cg, at most; none: to 1e-10")] = None
    hardware: Annotated[
        HardwareTable,
        Field(
            description="preset or TOML file, or a table: base and what differs; ngd: whose errors it has; none: no "
            "device, of tngd the ideal SDE"
        ),
    ] = {"base": NONE}  # noqa: RUF012
    copies: Annotated[
        int, Field(ge=0, lt=2**31, description="drawn copies of the device that every seed has; 0: the nominal one")
    ] = 0
    engine: Annotated[str, Field(description="what computes the voltages: ngspice, network or sde")] = "ngspice"
    injected_noise: Annotated[float, Field(ge=0, description="κ₀ where hardware is none")] = 0.0
    mapping: Annotated[
        Mapping | None,
        Field(
            description="primal: N cells; dual: one cell for each row of B; kernel: the same for a gradient that lies "
            "in these rows, more exact where curvature is far above λ; none: dual where there is a device, else primal"
        ),
    ] = None
    analog_time: Annotated[float, Field(ge=0, description="t in τ; inf: operating points")] = inf
    warm_start: Annotated[bool, Field(description="primal: begin from the last solution, not the gradient")] = False
    delay: Annotated[float, Field(ge=0, description="t_d in τ, with warm_start")] = 0.0
    precision: Annotated[Precision | None, Field(description="how the device's solutions are made more precise")] = None

    @property
    def has_device(self) -> bool:
        return bool(self.hardware["base"] != NONE)

    def device(self) -> Hardware | None:
        """The hardware whose circuits are simulated; None where there is none.

        Raises:
            InputError: there is no such preset or file, or a field is wrong.
        """
        return hardware_of(self.hardware) if self.has_device else None

    @property
    def copy_numbers(self) -> range:
        """The copies that it trains on, for every seed; 0 is the nominal device."""
        return range(1, self.copies + 1) if self.copies else range(1)

    def made_precise(self, spu: Spu) -> Solver | Rotating:
        """A device, wrapped as the settings say."""
        return spu if self.precision is None else self.precision.of_sequence(spu)
