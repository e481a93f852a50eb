"""Systems and devices that many tests use. ngspice must be installed: its absence fails tests, it skips none."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from spu_circuit.amplifier import Amplifier
from spu_circuit.hardware import Hardware, Noise, load_hardware

# The machine may be busy, and a failure must repeat.
settings.register_profile("spu-circuit", deadline=None, derandomize=True)
settings.load_profile("spu-circuit")

# Compiling takes longer than computing: what JAX has compiled for one test serves all, and processes that they start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


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
