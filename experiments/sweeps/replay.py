"""The deck of one sample of a sweep, for the designer's own ngspice."""

from experiments.sweeps.bench import benches, question_of
from experiments.sweeps.evaluate import drawn_samples
from experiments.sweeps.findings import findings, study_in
from experiments.sweeps.group import Group
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.redraw import outliers
from experiments.sweeps.rows import Row
from experiments.sweeps.store import SweepStore
from experiments.sweeps.units import titled
from experiments.sweeps.workloads import WORKLOADS
from netlists.deck import comment
from solvers.behaviour import deck
from spu_circuit.errors import InputError

PLAIN_UNITS = {name: metric.unit.replace("%", "") for name, metric in METRICS.items()}
NOTED = 6
"""Single parts that the deck's head names."""


def replay(store: SweepStore, sample: int, point: int = 0, case: str | None = None, system: int = 0) -> str:
    """The deck that ngspice runs for this sample, with its sweep, its metrics and its outlying parts as comments.

    Args:
        sample: number of the sample.
        point: of the grid.
        case: of the analysis; None: its first one.
        system: which of the workload's systems.

    Raises:
        InputError: there is no such sample, or its workload is no system.
    """
    study = study_in(store)
    kind = study.sweeps[0].workload.kind
    if WORKLOADS[kind].systems is None:
        raise InputError(f"replay: a copy of workload {kind!r} solves many systems; it has no single deck")
    if not 0 <= point < len(study.sweeps):
        raise InputError(f"point is {point}; this sweep has points 0 to {len(study.sweeps) - 1}")
    names = [key[1] for key, _, _ in study.sets() if key[0] == point]
    wanted = names[0] if case is None else case
    if wanted not in names:
        raise InputError(f"case is {wanted!r}; this sweep has {', '.join(map(repr, names))}")
    found = next((group for group in findings(study, store).every if group.key == (point, wanted)), None)
    row = None if found is None else next((row for row in found.rows if row.sample == sample), None)
    if found is None or row is None:
        last = 0 if found is None else max(row.sample for row in found.rows)
        raise InputError(f"sample {sample} is not among the finished copies of {wanted!r}, which go from 0 to {last}")
    found_benches = benches(found.sweep, "ngspice")
    if not 0 <= system < len(found_benches):
        raise InputError(f"system is {system}; this workload has systems 0 to {len(found_benches) - 1}")
    bench = found_benches[system]
    drawn = drawn_samples(found.sweep, found.copies, bench, range(sample, sample + 1))
    title, rest = deck(bench.prepared, bench.device, drawn, question_of(found.sweep, bench.device)).split("\n", 1)
    return "\n".join([title, *map(comment, _notes(found, row, system, len(found_benches))), rest])


def _notes(group: Group, row: Row, system: int, systems: int) -> list[str]:
    sweep = group.sweep
    where = f", {group.label}" if group.label else ""
    values = dict(zip(sweep.recorded, row.metrics, strict=True))
    shared, parts = outliers(group, row.sample, NOTED)
    return [
        f"copy {row.sample} of sweep {sweep.name}, seed {sweep.seed}{where}",
        f"system {system} of {systems}; metrics are the worst over the systems",
        f"stored by engine {sweep.engine}: {row.status} {row.reason}".rstrip(),
        *(f"{titled(name)} = {value!r} {PLAIN_UNITS[name]}".rstrip() for name, value in values.items()),
        *shared,
        *map(str, parts),
    ]
