"""What a sweep's store holds, as findings: the terminal, the page, summary.json and the export all take them here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.shared.grid import axis_name, check_grid, setting_text, value_text
from experiments.shared.store import first_difference
from experiments.sweeps.analyses import ANALYSES, AnalysisKind
from experiments.sweeps.bars import Bars
from experiments.sweeps.config import Sweep
from experiments.sweeps.correlations import correlations
from experiments.sweeps.group import CASE, Group, Groups, ranked
from experiments.sweeps.kept import kept_study
from experiments.sweeps.redraw import Trait, traits
from experiments.sweeps.samples import NOMINAL
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import Study
from experiments.sweeps.tables import Table
from experiments.sweeps.units import titled
from experiments.sweeps.workloads import WORKLOADS
from spu_circuit.errors import InputError

MOST_SHOWN = 4
"""Metrics with limits of which bars are drawn; without limits half as many."""


@dataclass(frozen=True)
class Findings:
    """What the finished samples of a sweep say.

    Args:
        every: groups that have a sample.
        versions: of what the sweep was begun with.
    """

    study: Study
    every: tuple[Group, ...]
    versions: dict[str, Any]

    @property
    def sweep(self) -> Sweep:
        """The first point's, which all points are like but for what the grid sets."""
        return self.study.sweeps[0]

    @property
    def analysis(self) -> AnalysisKind:
        return ANALYSES[self.sweep.analysis.kind]

    @cached_property
    def shown(self) -> tuple[Group, ...]:
        """Groups that say something by themselves: not the nominal sample beside kinds that vary alone, and not those
        of which one kind comes from another set."""
        return tuple(g for g in self.every if not g.copies.mixed and g.tried and g.key[1] != NOMINAL)

    def point(self, number: int) -> Groups:
        """The groups of a point, by the name of their set."""
        return {group.key[1]: group for group in self.every if group.key[0] == number and group.tried}

    @cached_property
    def tables(self) -> dict[int, list[Table]]:
        """What the analysis finds at each point."""
        numbers = dict.fromkeys(group.key[0] for group in self.shown)
        return {number: self.analysis.tables(self.point(number)) for number in numbers}

    @cached_property
    def said(self) -> list[str]:
        """What the analysis finds at the chosen point, in sentences; of copies that are drawn, with where that is."""
        sentences = self.analysis.answer(self.point(self.chosen.key[0]))
        if self.where and self.chosen.copies.drawn:
            sentences[:1] = [f"At {self.where}: {first}" for first in sentences[:1]]
        return sentences

    @cached_property
    def chosen(self) -> Group:
        """Of the first set, the point whose yield is nearest to one half, where most can be learnt, or the first."""
        first = [group for group in self.shown if group.key[1] == self.shown[0].key[1]]
        return min(first, key=lambda group: abs(group.found_yield.share - 0.5)) if self.sweep.limits else first[0]

    @property
    def where(self) -> str:
        """What the grid sets at the chosen point."""
        return setting_text(self.study.settings[self.chosen.key[0]])

    @cached_property
    def drawn(self) -> tuple[NDArray[np.intp], list[Trait]] | None:
        """The traits of the chosen group's samples, and of which; None where nothing correlates with them."""
        if self.analysis.bars is not None or WORKLOADS[self.sweep.workload.kind].systems is None:
            return None
        return traits(self.chosen)

    @cached_property
    def bars(self) -> Bars | None:
        """What the metrics follow at the chosen point; None where nothing does."""
        names = ranked(self.sweep)[: min(MOST_SHOWN, len(self.sweep.limits)) or MOST_SHOWN // 2]
        if self.analysis.bars is not None:
            found = self.analysis.bars(self.point(self.chosen.key[0]), names)
        elif self.drawn is not None:
            found = correlations(self.chosen, *self.drawn, names)
        else:
            return None
        return found if found.of else None


def findings(study: Study, store: SweepStore) -> Findings:
    """What the store of a study holds.

    Raises:
        InputError: it holds what is no sample of the study.
    """
    sets = list(study.sets())
    several = len({key[1] for key, _, _ in sets}) > 1
    found = []
    for key, sweep, copies in sets:
        named = {axis_name(name): value_text(value) for name, value in study.settings[key[0]].items()}
        if several:
            named[CASE] = f"only {titled(key[1])}" if copies.only else key[1]
        rows = store.rows_of(key, sweep, copies)
        if rows:
            audit = store.rows_of(key, sweep, copies, audit=True)
            found.append(Group(key, named, sweep, copies, tuple(rows), tuple(audit)))
    return Findings(study, tuple(found), store.claimed().get("versions", {}))


def study_in(store: SweepStore) -> Study:
    """The study that a store was filled by, from its folder alone.

    Raises:
        InputError: the folder has none; what it keeps has changed; or a preset of this version is another one.
    """
    claimed = store.claimed().get("sweep")
    if claimed is None:
        raise InputError(f"output: {str(store.folder)!r} holds no sweep yet; run one with --output")
    where = str(store.path)
    document, grid, audit = (claimed.get(name) for name in ("document", "grid", "audit"))
    if not isinstance(document, dict) or isinstance(audit, bool) or not isinstance(audit, int | float):
        raise InputError(f"output: {where!r} is damaged or foreign: it names no document or no audit; restore the file")
    check_grid(grid, where)
    try:
        found = kept_study(store, claimed)
    except RecursionError:
        raise InputError(f"output: {where!r} is damaged or foreign: its config is nested too deeply") from None
    if difference := first_difference(claimed, json.loads(json.dumps(found.config))):
        name, old, new = difference
        raise InputError(
            f"output: the sweep in {str(store.folder)!r} was made with {name} = {old!r}, which now reads {new!r}; "
            "use the version that made it"
        )
    return found


def disagreements(group: Group) -> Iterator[tuple[str, float, float]]:
    """How far ngspice and the network are apart: metric, median and worst |a − b| / max(|a|, |b|) of the samples."""
    mine = {row.sample: row for row in group.rows}
    pairs = [
        (mine[row.sample].metrics, row.metrics) for row in group.audit if row.status == "ok" and row.sample in mine
    ]
    if not pairs:
        return
    network, ngspice = np.array(pairs).transpose(1, 0, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.abs(network - ngspice) / np.maximum(np.abs(network), np.abs(ngspice))
    apart[network == ngspice] = 0.0
    for name, column in zip(group.sweep.recorded, apart.T, strict=True):
        if not np.isnan(column).all():
            yield name, float(np.nanmedian(column)), float(np.nanmax(column))


def line_of(findings: Findings, most: int) -> tuple[list[Group], str]:
    """The groups that a picture shows: all, or where they are many, some that differ in one thing alone.

    That is what takes most values; everything else is as at the chosen point. Of values those evenly spread are taken,
    of cases, which have no order, those with the worst of the first metric.

    Returns:
        At most so many groups, and a sentence that says which; "" where they are all.
    """
    found, chosen = list(findings.shown), findings.chosen
    if len(found) <= most:
        return found, ""
    axis = max(chosen.traits, key=lambda name: len({group.traits[name] for group in found}))
    held = _without(chosen.traits, axis)
    line = [group for group in found if _without(group.traits, axis) == held]
    name, count = ranked(findings.sweep)[0], min(most, len(line))
    share = f"{count} of {len(line)}, " if count < len(line) else ""
    if axis == CASE:
        order = sorted(range(len(line)), key=lambda k: -_badness(line[k], name))[:count]
        share = share and f"those {count} of {len(line)} with the worst {titled(name)}, "
    else:
        order = np.linspace(0, len(line) - 1, count).round().astype(int).tolist()
    at = f" at {', '.join(f'{name} = {value}' for name, value in held.items())}" if held else ""
    return [line[k] for k in sorted(order)], f" Shown: {share}by {axis}{at}."


def _badness(group: Group, name: str) -> float:
    """The 95th percentile of how bad a metric is."""
    return float(np.quantile(group.badness(name), 0.95, method="inverted_cdf"))


def _without(traits: dict[str, str], axis: str) -> dict[str, str]:
    return {name: value for name, value in traits.items() if name != axis}
