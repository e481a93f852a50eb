"""Tolerance sweeps: many samples end to end, beside spicelib and beside bare ngspice on the same circuit."""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

import psutil

from experiments.benchmarks.measure import Figure, at_least, at_most, seconds
from experiments.shared.executor import executor
from experiments.sweeps.analyses import sets_of
from experiments.sweeps.bench import benches, question_of
from experiments.sweeps.config import read_sweep
from experiments.sweeps.evaluate import drawn_samples
from experiments.sweeps.run import compute
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import Study, study_of
from netlists.device import batch_of
from solvers.behaviour import deck
from solvers.ngspice_process import ngspice_program

CELLS = 32
WORKERS = 2
CONFIG = """
name = "bench"
metrics = ["relative_error", "settling_time"]
[hardware]
base = "paper"
[hardware.variation.array_resistor]
local = { tolerance = "1 %", meaning = "sigma" }
[hardware.variation.input_resistor]
local = { tolerance = "1 %", meaning = "sigma" }
[hardware.variation.inverter_resistor]
local = { tolerance = "1 %", meaning = "sigma" }
[workload]
kind = "random"
size = 32
condition = 10
[analysis]
kind = "monte carlo"
samples = 10000
[limits]
relative_error = { max = "2 %" }
"""


def monte_carlo() -> list[Figure]:
    """10,000 samples by the command itself, with store and report; the same circuit redrawn by spicelib and ngspice."""
    with tempfile.TemporaryDirectory() as folder:
        planned = _planned(CONFIG, Path(folder))
        whole, peak = _command(Path(folder, "bench.toml"), Path(folder, "out"))
        setup = seconds(lambda: _draw_all(planned))
        sampling = _sampling(planned, CONFIG, WORKERS, Path(folder))
        decks = _decks(planned, 96)
        bare = _bare(decks)
        spicelib = _spicelib(decks[0], 24, Path(folder))
    count = planned.sweeps[0].analysis.samples
    rate, name = count / sampling, f"{count:,} copies of {CELLS} cells"
    note = "command, store and report included; mean, settling time and yield; 2 workers"
    against = f"{rate:.0f} /s, processes warm, store included, against"
    return [
        at_most(f"{name}, end to end", whole, "s", 6, note),
        at_most(f"memory of {name}", peak, "GiB", 2, "largest sum over all processes, sampled every 50 ms"),
        at_most(f"set-up of {name}", setup, "s", 2, "every part of every copy drawn, to element values, one process"),
        at_least("copies a second over spicelib's", rate / spicelib, "×", 200, f"{against} {spicelib:.2f} /s"),
        at_least("copies a second over bare ngspice on ready decks", rate / bare, "×", 40, f"{against} {bare:.1f} /s"),
        Figure("the same, end to end with start and report", count / whole / bare, "×", note="of this many copies"),
    ]


def efficiency(copies: int = 240) -> list[Figure]:
    """Two workers of engine ngspice against one, all processes started and warm."""
    text = CONFIG.replace('name = "bench"', 'name = "bench"\nengine = "ngspice"').replace("10000", str(copies))
    with tempfile.TemporaryDirectory() as folder:
        planned = _planned(text, Path(folder))
        took = [_sampling(planned, text, workers, Path(folder)) for workers in (1, WORKERS)]
    share = took[0] / took[1] / WORKERS
    note = f"{copies} copies of {CELLS} cells, {took[0]:.1f} s against {took[1]:.1f} s"
    return [at_least("parallel efficiency of 2 workers, engine ngspice", 100 * share, "%", 85, note)]


def _planned(text: str, folder: Path) -> Study:
    config = folder / "bench.toml"
    config.write_text(text)
    return study_of(*read_sweep(config), str(config))


def _sampling(planned: Study, text: str, workers: int, folder: Path) -> float:
    """Seconds from warm processes to the last sample in the store."""
    samples = planned.sweeps[0].analysis.samples
    other = tempfile.mkdtemp(dir=folder)
    few = (8 if planned.sweeps[0].engine == "ngspice" else 512) * workers
    small = _planned(text.replace(f"samples = {samples}", f"samples = {few}"), Path(other))
    with executor(workers, None) as computers, closing(SweepStore(Path(other, "all"))) as store:
        with closing(SweepStore(Path(other, "first"))) as first:
            compute(small, first, computers)  # every process imports what it needs
        store.claim(planned.config, {})
        return seconds(lambda: compute(planned, store, computers))


def _command(config: Path, output: Path) -> tuple[float, float]:
    """Wall seconds and peak GiB of the sweep command."""
    command = [sys.executable, "-m", "experiments.cli", "sweep", str(config), "--output", str(output)]
    began = perf_counter()
    running = subprocess.Popen([*command, "--workers", str(WORKERS)], stdout=subprocess.DEVNULL)
    with _watched(running.pid) as peak:
        if running.wait() != 0:
            raise RuntimeError("the sweep failed")
    return perf_counter() - began, peak[0] / 2**30


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Largest sum of resident memory over a process and its descendants, in bytes."""
    peak, done = [0.0], Event()

    def watch() -> None:
        while not done.wait(0.05):
            total = 0.0
            try:
                parent = psutil.Process(pid)
                for process in (parent, *parent.children(recursive=True)):
                    total += process.memory_info().rss
            except psutil.Error:
                pass
            peak[0] = max(peak[0], total)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _draw_all(planned: Study) -> None:
    sweep = planned.sweeps[0]
    (copies,) = sets_of(sweep).values()
    (bench,) = benches.__wrapped__(sweep, "network")
    array = batch_of(bench.device).array
    for first in range(0, copies.samples, 256):
        some = range(first, min(first + 256, copies.samples))
        bench.prepared.program(array, drawn_samples(sweep, copies, bench, some))


def _decks(planned: Study, count: int) -> list[str]:
    """Ready decks of samples, for the settling time: a transient of as many points as engine ngspice takes."""
    sweep = planned.sweeps[0]
    (copies,) = sets_of(sweep).values()
    (bench,) = benches(sweep, "ngspice")
    samples, question = drawn_samples(sweep, copies, bench, range(count)), question_of(sweep, bench.device)
    return [deck(bench.prepared, bench.device, samples[k], question) for k in range(count)]


def _bare(decks: list[str]) -> float:
    """Decks a second by plain ``ngspice -b``, one process on each core."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for k, deck in enumerate(decks):
            names.append(Path(folder, f"{k}.cir"))
            names[-1].write_text(deck, encoding="utf-8")

        def simulate(name: Path) -> None:
            command = [ngspice_program(), "-b", "-r", f"{name}.raw", str(name)]
            subprocess.run(command, capture_output=True, check=True)

        with ThreadPoolExecutor(WORKERS) as pool:
            took = seconds(lambda: list(pool.map(simulate, names)))
    return len(decks) / took


def _spicelib(deck: str, count: int, folder: Path) -> float:
    """Samples a second by spicelib's Monte Carlo tool, every resistor redrawn, one ngspice on each core."""
    from spicelib import SimRunner, SpiceEditor
    from spicelib.sim.tookit.montecarlo import Montecarlo
    from spicelib.simulators.ngspice_simulator import NGspiceSimulator

    logging.getLogger("spicelib").setLevel(logging.ERROR)
    circuit = folder / "spicelib.net"
    circuit.write_text(deck, encoding="utf-8")
    runner = SimRunner(simulator=NGspiceSimulator, parallel_sims=WORKERS, output_folder=str(folder / "runs"))
    tool = Montecarlo(SpiceEditor(str(circuit)), runner)
    tool.set_tolerance("R", 0.01, distribution="normal")
    before = os.getcwd()
    os.chdir(folder)
    try:
        took = seconds(lambda: (tool.run_analysis(num_runs=count), runner.wait_completion()))
    finally:
        os.chdir(before)
    return count / took
