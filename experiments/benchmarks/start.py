"""How long it takes until anything happens: importing the solvers, and the program's help."""

import subprocess
import sys
from functools import partial

from experiments.benchmarks.measure import Figure, at_most, seconds

BOUND = 0.4
"""Seconds that nobody waits for."""
RUNS = 9
COMMANDS = {
    "import of solvers.spu": ["-c", "import solvers.spu"],
    "spu-circuit --help": ["-m", "experiments", "--help"],
}


def start() -> list[Figure]:
    """A new interpreter for each; the fastest of some runs, since what else the machine does only adds."""
    figures = []
    for name, words in COMMANDS.items():
        took = min(seconds(partial(_run, words)) for _ in range(RUNS))
        figures.append(at_most(name, took, "s", BOUND, f"best of {RUNS}"))
    return figures


def _run(words: list[str]) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
