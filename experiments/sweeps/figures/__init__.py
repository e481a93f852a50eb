"""The figures of a sweep's page, one file each."""

from experiments.shared.figures import FigureEntry
from experiments.sweeps.figures.convergence import CONVERGENCE
from experiments.sweeps.figures.distribution import DISTRIBUTION
from experiments.sweeps.figures.grid import GRID
from experiments.sweeps.figures.pairs import PAIRS
from experiments.sweeps.figures.tornado import SENSITIVITY
from experiments.sweeps.findings import Findings

FIGURES: tuple[FigureEntry[Findings], ...] = (DISTRIBUTION, GRID, CONVERGENCE, SENSITIVITY, PAIRS)
"""In the order of the page, of which each is a section."""
