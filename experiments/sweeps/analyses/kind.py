"""What a kind of analysis carries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.sweeps.bars import Bars
from experiments.sweeps.bench import Bench
from experiments.sweeps.config import Sweep
from experiments.sweeps.group import Group, Groups
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.tables import Table
from spu_circuit.sampling import Samples, Sampling, draw

Draw = Callable[[Sweep, SampleSet, Bench, range], Samples]


def copies_of(sweep: Sweep) -> SampleSet:
    """Copies as a factory makes them."""
    count = sweep.analysis.samples
    return SampleSet(count, Sampling(sweep.seed, sweep.analysis.design, count))


def by_number(sweep: Sweep, copies: SampleSet, bench: Bench, numbers: range) -> Samples:
    """Some of the samples of a set, by seed and number alone."""
    assert copies.sampling is not None
    hardware = bench.device.hardware
    moving = copies.moves(hardware.variation)
    return draw(moving, hardware.temperature, bench.board.places, numbers, copies.sampling)


@dataclass(frozen=True)
class AnalysisKind:
    """A kind of analysis.

    Args:
        takes: fields of ``Analysis`` besides its kind.
        sets: the sets of samples of a sweep, by name. Raises InputError where the analysis does not fit what varies,
            or the workload.
        draw: some samples of a set, from their numbers.
        tables: what is found at a point of the grid.
        bars: what the metrics follow at a point; None: how they correlate with what was drawn.
        title: of the tables' section.
        answer: further findings at a point in sentences; of samples that are not drawn, all.
        leads: what it says of drawn samples comes before yields and percentiles.
        files: name of a further file beside the page → its text, from one group of every point.
    """

    takes: tuple[str, ...]
    sets: Callable[[Sweep], dict[str, SampleSet]]
    draw: Draw = by_number
    tables: Callable[[Groups], list[Table]] = lambda point: []
    bars: Callable[[Groups, Sequence[str]], Bars] | None = None
    title: str = ""
    answer: Callable[[Groups], list[str]] = lambda point: []
    files: Callable[[Sequence[Group]], dict[str, str]] = lambda groups: {}
    leads: bool = False
