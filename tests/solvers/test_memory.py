"""The estimate of memory, against what solves take, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest

from experiments.shared.systems import ggn_system, spd_system
from netlists.device import program_array
from solvers.ideal import IdealLaw
from solvers.memory import bytes_needed, refuse_oversize
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit import memory
from spu_circuit.errors import InputError
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import LinearSystem, LinearSystems

PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from solvers.memory import bytes_needed
from solvers.engines import engine_named
from solvers.spu import Spu
from spu_circuit.hardware import load_hardware
from spu_circuit.problem import LinearSystem
def peak():
    # Not getrusage's, which a process inherits from the one that started it.
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
size, hardware = 400, load_hardware(sys.argv[2])
A = np.random.default_rng(0).random((size, size)) * 0.5 / size
A += A.T + 2 * np.eye(size)
spu = Spu(hardware, engine_named(sys.argv[1]))
spu.solve(LinearSystem(A[:9, :9], A[0, :9]))
before = peak()
spu.solve(LinearSystem(A, A[0]))
print((peak() - before) / bytes_needed(hardware, spu.engine, size))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("hardware", ["bench", "passive", "factored"])
@pytest.mark.parametrize("engine", ["network", "sde"])
def test_the_estimate_is_within_a_factor_of_four_of_the_peak(engine, hardware):
    """400 cells settled; transients of passive arrays take twice as much. An estimate is no bound."""
    done = subprocess.run([sys.executable, "-c", PEAK, engine, hardware], capture_output=True, text=True, check=True)
    assert 1 / 4 < float(done.stdout) < 4


@pytest.mark.parametrize("name", ["ideal", "passive", "factored"])
def test_resistors_are_counted_before_any_is_there(name):
    """Those that values can be given; of a plain matrix the factor has a row less."""
    hardware, size = load_hardware(name), 12
    values = program_array(LinearSystem(np.diag(np.arange(1.0, 13.0)), np.ones(size)), hardware).values()
    there = sum(np.size(value) for key, value in values.items() if not key.startswith("Rf"))
    counted = bytes_needed(hardware, Network(), size) / Network.bytes_per_resistor
    assert there <= counted <= 1.1 * there


@pytest.mark.parametrize("engine", [Network(), Ngspice(), IdealLaw()])
def test_sizes_beyond_the_memory_are_refused_with_the_estimate_before_they_are_built(engine):
    words = (
        rf"^a device of 10000000 cells on hardware 'bench' in engine '{engine.name}' needs about [\de.+]+ GiB of memory"
    )
    with pytest.raises(InputError, match=rf"{words}, this machine has [\d.]+; take fewer cells or points"):
        refuse_oversize(load_hardware("bench"), engine, 10**7)
    with pytest.raises(InputError, match=words):
        Spu(load_hardware("bench"), engine).parts_of(10**7)


def test_solves_that_would_not_fit_are_not_begun(monkeypatch):
    bench, system = load_hardware("bench"), spd_system(8, 3)
    spu = Spu(bench, Network())
    batch = LinearSystems(np.stack([system.A] * 40), np.stack([system.b] * 40))
    one = bytes_needed(bench, spu.engine, 8)
    monkeypatch.setattr(memory, "machine_memory", lambda: 2 * one)
    spu.solve(system)
    with pytest.raises(InputError, match=r"^a batch of 40 devices of 8 cells .* needs about"):
        spu.solve_batch(batch)
    with pytest.raises(InputError, match=r"^a device of 8 cells .* in engine 'sde' needs about .* fewer cells or"):
        Spu(bench, IdealLaw(points=10**6)).solve(system, 1.0)
    wide = ggn_system(2, 200, 0.3)
    with pytest.raises(InputError, match=r"^a device of 200 cells .*; take fewer cells or points, or solve the dual"):
        spu.solve(wide)
    spu.solve(wide.dual())
