"""What a board must do, and what it may be made of, read from TOML."""

from math import inf
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from experiments.shared.configs import config_file
from experiments.shared.hardware import HardwareTable
from experiments.sweeps.config import Limits, Workload
from spu_circuit.catalogue import Price
from spu_circuit.description import Description
from spu_circuit.documents import from_toml
from spu_circuit.quantity import Farads, Fraction, Kelvin, Ohms, shown

PREDICTED = ("relative_error", "settling_time", "supply_power", "junction_rise", "supply_energy")
"""Metrics that are predicted of every board; limits of others are only tried on boards that these let pass."""


class Specification(Description):
    """What a good board keeps, and how many boards are good."""

    limits: Limits
    least_yield: Annotated[
        Fraction, Field(gt=0, lt=1, description="share of the boards that keep all limits, with 95 % confidence")
    ] = 0.95
    coldest: Annotated[Kelvin, Field(description="air around the board")] = 273.15
    hottest: Annotated[Kelvin, Field(description="air around the board")] = 323.15
    settling_error: Annotated[Fraction, Field(gt=0, lt=1, description="that the settling time is to")] = 0.01

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.coldest >= self.hottest:
            cold, hot = (shown(kelvin - 273.15, "°C") for kelvin in (self.coldest, self.hottest))
            raise ValueError(f"coldest {cold} is not below hottest {hot}; swap them")
        if "relative_error" not in self.limits:
            raise ValueError("limits.relative_error is missing; give it, like { max = '1 %' }")
        for name in PREDICTED:
            if name in self.limits and not 0 < self.limits[name].max < inf:
                raise ValueError(f"limits.{name}: a board is designed to a max above 0; give it")
        return self


class Design(Description):
    """A specification with what a board may be made of."""

    name: Annotated[
        str, Field(pattern=r"^[\w][\w.-]*$", max_length=100, description="of the default output folder, runs/NAME")
    ]
    question: Annotated[str, Field(description="what is designed, in one sentence")] = ""
    specification: Specification
    catalogue: Annotated[str, Field(description="a catalogue that comes with the package, or a TOML file")] = "standard"
    prices: Annotated[
        dict[str, Price], Field(description="name of a part = its price, instead of the catalogue's")
    ] = {}  # noqa: RUF012
    parts: Annotated[
        dict[str, tuple[str, ...]], Field(description="place on the board = names of the parts that may be there")
    ] = {}  # noqa: RUF012
    hardware: Annotated[HardwareTable, Field(description="base: preset or file; what is not chosen from the catalogue")]
    resistances: Annotated[
        tuple[Ohms, ...], Field(min_length=1, description="smallest fixed resistor of the array that is tried")
    ]
    span: Annotated[float, Field(gt=1, le=1e6, description="largest over smallest fixed resistor of the array")] = 300.0
    capacitances: Annotated[tuple[Farads, ...], Field(min_length=1, description="integration capacitor that is tried")]
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of the copies")] = 0
    samples: Annotated[int, Field(ge=64, le=10**7, description="copies of a board that prove it")] = 10_000
    audit: Annotated[float, Field(ge=0, le=1, description="share of these copies that ngspice repeats")] = 0.002
    most_tried: Annotated[int, Field(ge=1, description="boards that are simulated at most")] = 2000
    workload: Workload

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "base" not in self.hardware:
            raise ValueError("hardware.base is missing; name a preset or a TOML file")
        if self.workload.systems > 1:
            raise ValueError("workload.systems: a board is designed for one system; leave it out")
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """Of the hardware's base."""
        return {name: value for name, value in self.hardware.items() if name != "base"}


def read_design(path: str | Path) -> Design:
    """A config. Raises InputError where there is no such file, or a field is wrong."""
    return from_toml(Design, config_file(path, "specification"), f"config {path}")
