"""ngspice: overhead over a bare run, accuracy on ideal hardware, noise against theory."""

import subprocess
import tempfile
from math import inf, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from experiments.benchmarks.measure import Figure, at_most, paired
from experiments.shared.systems import spd_system
from netlists.device import load, program_array
from solvers.ideal import law_of
from solvers.ngspice import Ngspice
from solvers.ngspice_process import ngspice_program
from solvers.sde import Sde
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.hardware import load_hardware

Array = NDArray[np.float64]


def overhead() -> list[Figure]:
    """A transient of 64 cells and 500 points, from matrix to solution, against ``ngspice -b`` on its own deck."""
    system, time = spd_system(64, 10), 5.0
    figures = []
    for name, bound in (("ideal", 1.08), ("paper", 1.12)):
        spu = Spu(load_hardware(name), Ngspice(points=500))
        if spu.solve(system, time).statistics.ngspice_runs != 1:
            raise RuntimeError("the voltage scale changed, so that this is no measurement of one run")
        with tempfile.TemporaryDirectory() as folder:
            deck = Path(folder, "deck.cir")
            deck.write_text(spu.deck(system, time), encoding="utf-8")
            bare = [ngspice_program(), "-b", "-r", str(Path(folder, "result.raw")), str(deck)]
            ours, theirs, ratio = paired(
                lambda spu=spu: spu.solve(system, time),  # type: ignore[misc]
                lambda bare=bare: subprocess.run(bare, capture_output=True, check=True),  # type: ignore[misc]
                runs=9,
            )
        noise = "no noise" if name == "ideal" else "thermal noise"
        note = f"{ours:.3f} s against {theirs:.3f} s, median of 9 pairs"
        figures.append(at_most(f"Spu transient, 64 cells, 500 points, {noise} / bare ngspice", ratio, "×", bound, note))
    return figures


def accuracy() -> list[Figure]:
    """Ideal hardware in ngspice against NumPy, worst of the sizes, conditions and times."""
    spu = Spu(load_hardware("ideal"), Ngspice())
    settled, moving = [], []
    for size in (4, 16, 64):
        for condition in (2, 10, 100):
            system = spd_system(size, condition)
            settled.append(_apart(spu.solve(system, inf).value, solve(system.A, system.b)))
            for time in (0.5, 2.0, 10.0):
                moving.append(_apart(spu.solve(system, time).value, Sde().solve(system, time).value))
    note = "worst of N = 4, 16, 64 and condition 2, 10, 100"
    return [
        at_most("ngspice operating point, ideal, against NumPy", max(settled), "relative", 1e-4, note),
        at_most(
            "ngspice transient mean, ideal, against closed form", max(moving), "relative", 1e-3, note + ", t = ½, 2, 10"
        ),
    ]


def noise(cells: int = 8, runs: int = 40, per_run: int = 26) -> list[Figure]:
    """Bench array with ideal amplifiers: transient variances against the discretised law, .noise against Lyapunov."""
    hardware = load_hardware("bench").model_copy(update={"amplifier": Amplifier(model="ideal")})
    system = spd_system(cells, 8)
    device = load(program_array(system, hardware), np.zeros(cells), hardware, 1.0)
    law = law_of(device)
    slowest, fastest = float(law.rates.min()), float(law.rates.max())
    apart = 3 / slowest
    hold = apart / round(apart * fastest / 0.4)
    engine = Ngspice(points=10, noise_hold=hold * fastest)
    samples = []
    for seed in range(runs):
        wave = engine.simulate(device, law, apart * per_run, seed).waveform
        if wave is None:
            raise RuntimeError("a transient without a waveform")
        near = np.searchsorted(wave.seconds, apart * np.arange(2, per_run + 1) * (1 - 1e-9))
        samples.append(wave.volts[near])
    drawn = np.concatenate(samples)
    expected = law.held_covariance(hold).diagonal()
    deviations = ((drawn**2).mean(axis=0) / expected - 1) / sqrt(2 / len(drawn))
    exact = law.stationary_covariance().diagonal()
    variances = engine.noise_variance(device, law)
    return [
        at_most(
            f"thermal transient variance of {cells} cells against the discretised law",
            float(np.abs(deviations).max()),
            "standard errors",
            3,
            f"worst cell, {len(drawn)} samples each",
        ),
        at_most(
            f".noise variance of {cells} cells against Lyapunov",
            float(np.abs(variances / exact - 1).max()),
            "relative",
            1e-3,
            "worst cell",
        ),
    ]


def _apart(value: Array, reference: Array) -> float:
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))
