"""A sweep with all points of its grid, checked before anything is computed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from experiments.shared.grid import points as grid_points
from experiments.sweeps.analyses import ANALYSES, sets_of
from experiments.sweeps.bench import benches
from experiments.sweeps.config import Sweep
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.workloads import WORKLOADS, digests
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import shortened

Key = tuple[int, str]
"""Point of the grid and set of samples."""
Own = Callable[[int, Sweep], Sweep]


def _as_is(_: int, sweep: Sweep) -> Sweep:
    return sweep


@dataclass(frozen=True)
class Study:
    """A checked sweep with all points of its grid.

    Args:
        config: all that determines its results.
        settings: what the grid sets at each point.
        sweeps: each point's sweep.
        audit: share of the samples that ngspice repeats.
    """

    config: dict[str, Any]
    settings: list[dict[str, Any]]
    sweeps: list[Sweep]
    audit: float

    def sets(self) -> Iterator[tuple[Key, Sweep, SampleSet]]:
        for point, sweep in enumerate(self.sweeps):
            for name, copies in sets_of(sweep).items():
                yield (point, name), sweep, copies


def study_of(
    document: Mapping[str, Any],
    grid: Mapping[str, list[Any]],
    where: str,
    audit: float = 0.0,
    own: Own = _as_is,
) -> Study:
    """Check every point of a sweep before anything is computed.

    Args:
        own: see ``points``.

    Raises:
        InputError: a field is wrong, or a nominal device cannot be made.
    """
    if not 0 <= audit <= 1:
        raise InputError(f"audit is {audit:g}; it must be a share from 0 to 1")
    found = points(document, grid, where, own)
    sweeps = [sweep for _, sweep in found]
    for sweep in sweeps:
        workload = WORKLOADS[sweep.workload.kind]
        if audit and (sweep.engine == "ngspice" or workload.systems is None):
            raise InputError("audit repeats copies of engine 'network' in ngspice; leave it out here")
        sets_of(sweep)
        # What solves no systems reads files that only new samples need.
        if workload.check is not None and (own is _as_is or workload.systems is not None):
            workload.check(sweep)
        benches(sweep, sweep.engine)
    config = {
        "document": dict(document),
        "grid": dict(grid),
        "hardware": [sweep.device().model_dump(mode="json") for sweep in sweeps],
        "files": [digests(sweep.workload) for sweep in sweeps],
        "audit": audit,
    }
    return Study(config, [setting for setting, _ in found], sweeps, audit)


def points(
    document: Mapping[str, Any], grid: Mapping[str, list[Any]], where: str, own: Own = _as_is
) -> list[tuple[dict[str, Any], Sweep]]:
    """Every point of the grid: what is set there, and the sweep that this makes. All are checked here.

    Args:
        own: what takes the place of a point's sweep, from its number and the sweep as the config has it.

    Raises:
        InputError: a field is wrong; names it and the cure.
    """
    found = []
    for point, (setting, table) in enumerate(grid_points(document, grid)):
        sweep = from_document(Sweep, table, f"config {where}")
        try:
            _check_kinds(sweep)
        except InputError as error:
            raise InputError(f"config {where}: {error}") from None
        sweep = own(point, sweep)
        sweep.powered()
        found.append((setting, sweep))
        if sweep.recorded != found[0][1].recorded:
            raise InputError(
                f"grid: one point records {', '.join(found[0][1].recorded)}, another {', '.join(sweep.recorded)}; name "
                "all in metrics"
            )
        if sweep.analysis.kind != found[0][1].analysis.kind:
            raise InputError("grid.'analysis.kind': one sweep has one kind of analysis; run a sweep for each")
    return found


def _check_kinds(sweep: Sweep) -> None:
    """Whether workload, analysis and metrics go together, and have the fields that their kinds take."""
    workload = _of_kind("workload", sweep.workload.kind, WORKLOADS)
    _check_fields("workload", sweep.workload, sweep.workload.kind, workload.takes)
    for name in workload.needs:
        if getattr(sweep.workload, name) is None:
            raise InputError(f"workload: kind {sweep.workload.kind!r} needs {name!r}; give it")
    if sweep.precision is not None and workload.systems is None:
        raise InputError(
            f"precision: workload {sweep.workload.kind!r} solves no given systems; make its optimizer precise in the "
            "training config"
        )
    analysis = _of_kind("analysis", sweep.analysis.kind, ANALYSES)
    _check_fields("analysis", sweep.analysis, sweep.analysis.kind, analysis.takes)
    for name in sweep.recorded:
        if METRICS[name].of != workload.gives:
            raise InputError(
                f"metric {name!r} is of {METRICS[name].of}, which workload {sweep.workload.kind!r} has none of; leave "
                "it out"
            )


def _of_kind(field: str, kind: str, known: Mapping[str, Any]) -> Any:
    if kind not in known:
        raise InputError(f"{field}.kind is {shortened(kind)}; {did_you_mean(kind, known)}")
    return known[kind]


def _check_fields(field: str, given: BaseModel, kind: str, takes: tuple[str, ...]) -> None:
    for name in sorted(given.model_fields_set - {"kind", *takes}):
        raise InputError(f"{field}: kind {kind!r} has no {name!r}; it takes {', '.join(sorted({'kind', *takes}))}")
