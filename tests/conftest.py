"""Systems and devices that many tests use. ngspice must be installed: its absence fails tests, it skips none."""

import numpy as np
import pytest
from hypothesis import settings

from spu_circuit.hardware import Amplifier, Hardware, Noise, load_hardware
from spu_circuit.problem import GgnSystem, LinearSystem

# The machine may be busy, and a failure must repeat.
settings.register_profile("spu-circuit", deadline=None, derandomize=True)
settings.load_profile("spu-circuit")


def spd_system(size: int, condition: float, seed: int = 0) -> LinearSystem:
    """A random symmetric positive definite system with eigenvalues from 1/√condition to √condition."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    A = basis * np.geomspace(condition**-0.5, condition**0.5, size) @ basis.T
    return LinearSystem((A + A.T) / 2, rng.normal(size=size))


def ggn_system(rows: int, parameters: int, damping: float, seed: int = 0) -> GgnSystem:
    rng = np.random.default_rng(seed)
    return GgnSystem(rng.normal(size=(rows, parameters)) / np.sqrt(parameters), damping, rng.normal(size=parameters))


@pytest.fixture
def ideal() -> Hardware:
    return load_hardware("ideal")


@pytest.fixture
def bench() -> Hardware:
    return load_hardware("bench")


@pytest.fixture
def noisy(bench: Hardware) -> Hardware:
    """The bench's parts and noise with ideal amplifiers, for which the linear law is exact."""
    return bench.model_copy(update={"amplifier": Amplifier(model="ideal"), "noise": Noise(thermal=True)})
