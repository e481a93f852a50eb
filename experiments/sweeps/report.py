"""From a sweep's findings to summary.json and a page that people read."""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from experiments.shared.figures import draw_all
from experiments.shared.files import write
from experiments.shared.page import render
from experiments.sweeps.bars import capital
from experiments.sweeps.figures import FIGURES
from experiments.sweeps.findings import Findings, disagreements, findings, study_in
from experiments.sweeps.group import Group, ranked
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.points import FILE, points_file, points_of, worst_value
from experiments.sweeps.redraw import outliers
from experiments.sweeps.sentences import answer, interval_text
from experiments.sweeps.store import SweepStore
from experiments.sweeps.summary import summary
from experiments.sweeps.units import metric_text, titled
from experiments.sweeps.workloads import WORKLOADS

WORST = 5
"""Samples that the page lists of each group."""
PARTS = 4
"""Single parts that it lists of each of them."""
MOST_GROUPS = 12
"""Groups whose worst samples are listed."""
REASONS = 5

Cell = str | list[str]
"""A list has a line for each entry."""


@dataclass(frozen=True)
class Listing:
    """A table of the page: cells that are lists have a line for each entry.

    Args:
        commands: that go with it.
    """

    caption: str
    head: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


def write_report(store: SweepStore) -> list[str]:
    """Write summary.json, report.html and what the analysis adds to them beside the store.

    Returns:
        The findings as sentences; none where no sample is finished.

    Raises:
        InputError: see ``study_in``.
    """
    found = findings(study_in(store), store)
    if not found.shown:
        return []
    sentences = answer(found)
    for name, text in found.analysis.files(found.shown).items():
        write(store.folder / name, text)
    if len(found.study.settings) > 1:
        write(store.folder / FILE, points_file(found))
    made = json.dumps(summary(found), indent=2, allow_nan=False, ensure_ascii=False)
    write(store.folder / "summary.json", made + "\n")
    write(store.folder / "report.html", _page(found, sentences, store.folder))
    return sentences


def _page(found: Findings, sentences: list[str], folder: Path) -> str:
    listed = _listed(found.shown)
    worst = [_worst(found, group, str(folder)) for group in listed]
    return render(
        "sweeps/report.html",
        name=found.sweep.name,
        question=found.sweep.question,
        sentences=sentences,
        pictures=draw_all(FIGURES, found, folder),
        points=_points(found),
        about_points=_about_points(found),
        percentiles=_percentiles(found.shown),
        about_metrics=_about_metrics(found.sweep.recorded, found.chosen.copies.drawn),
        tables=_tables(found),
        tables_title=found.analysis.title,
        where=found.where,
        ranked_by=titled(ranked(found.sweep)[0]),
        groups=len(found.shown),
        worst=worst,
        audit=_audit(found.every) if found.study.audit else None,
        failures=_failures(found.every),
        config=json.dumps(_shown_config(found.study.config), indent=2, ensure_ascii=False),
        versions=found.versions,
    )


def _points(found: Findings) -> Listing:
    given = points_of(found)
    return Listing("Copies and yield", given.head, [list(row) for row in given.rows])


def _about_points(found: Findings) -> str:
    text = "An unstable copy keeps no limit and counts as beyond every percentile; a failed one counts nowhere."
    if mixed := sum(len(group.rows) for group in found.every if group.copies.mixed):
        text += f" {mixed} more copies, with one kind of part exchanged between A and B, are in the sensitivity alone."
    if found.sweep.limits and found.chosen.copies.drawn:
        text += f" The interval of the yield holds with 95 % confidence: {found.shown[0].found_yield.method}."
    if len(found.study.settings) > 1:
        text += f" The worst corner is the point of the lowest yield; {FILE} has this table with every metric."
    return text


def _percentiles(found: Sequence[Group]) -> Listing:
    drawn = found[0].copies.drawn
    head = ["metric", *found[0].traits, "limit"]
    head += ["median", "interval", "95th percentile", "interval", "worst"] if drawn else ["lowest", "highest"]
    made = Listing("Metrics", head)
    for name in ranked(found[0].sweep):
        for group in found:
            limit = group.sweep.limits.get(name)
            cells: list[Cell] = [*group.traits.values()]
            cells.append("–" if limit is None else _limit_text(name, limit.min, limit.max))
            values = group.column(name)
            if drawn:
                for at in (group.percentile(name, 0.5), group.percentile(name, 0.95)):
                    cells += [metric_text(name, at.value), interval_text(name, at)]
                cells.append(metric_text(name, worst_value(group, name)))
            else:
                cells += [metric_text(name, float(values.min())), metric_text(name, float(values.max()))]
            made.rows.append([titled(name), *cells])
    return made


def _about_metrics(names: Sequence[str], drawn: bool) -> str:
    meanings = "; ".join(f"{titled(name)}: {METRICS[name].meaning}" for name in names)
    how = " Intervals hold with 95 % confidence for any distribution, by order statistics." * drawn
    return f"{capital(meanings)}.{how}"


def _tables(found: Findings) -> list[Listing]:
    """What the analysis finds at the chosen point, as the terminal shows it."""
    return [
        Listing(
            f"{capital(titled(table.metric))}. {table.caption}", list(table.head), [list(row) for row in table.texts()]
        )
        for table in found.tables[found.chosen.key[0]]
    ]


def _listed(found: Sequence[Group]) -> list[Group]:
    if len(found) <= MOST_GROUPS:
        return list(found)
    return sorted(found, key=lambda group: group.found_yield.share)[:MOST_GROUPS]


def _worst(found: Findings, group: Group, folder: str) -> Listing:
    """A group's worst samples: metrics, what their parts share, single parts far off, and how to draw them again."""
    names = ranked(group.sweep)
    several = len({other.key[1] for other in found.every}) > 1
    rows = group.worst(WORST)
    head = ["copy", *map(titled, names), "what the copy's parts share", "single parts furthest off"]
    made = Listing(f"Worst {len(rows)} copies{', ' + group.label if group.label else ''}", head)
    for row in rows:
        values = dict(zip(group.sweep.recorded, row.metrics, strict=True))
        unstable = row.status == "unstable"
        cells: list[Cell] = ["unstable" if unstable else metric_text(name, values[name]) for name in names]
        if WORKLOADS[group.sweep.workload.kind].systems is None:
            cells += ["–", "–"]
        else:
            shared, parts = outliers(group, row.sample, PARTS)
            cells += [shared or "–", [str(part) for part in parts] or "–"]
            command = ["spu-circuit", "replay", folder, str(row.sample)]
            command += ["--point", str(group.key[0])] if group.key[0] else []
            command += ["--case", group.key[1]] if several else []
            made.commands.append(shlex.join(command))
        made.rows.append([str(row.sample), *cells])
    return made


def _audit(every: Sequence[Group]) -> Listing:
    caption = "Copies that ngspice repeated from their own decks: relative difference from the network's metrics."
    made = Listing(caption, [*_heads(every), "copies", "metric", "median", "worst", "failed in ngspice"])
    for group in every:
        bad = Counter(row.reason for row in group.audit if row.status != "ok")
        reasons = "; ".join(f"{reason} ({count})" for reason, count in bad.most_common(REASONS))
        count = str(len(group.audit))
        for name, median, worst in disagreements(group):
            made.rows.append([*_name(group), count, titled(name), f"{median:.2g}", f"{worst:.2g}", reasons or "none"])
        if group.audit and bad.total() == len(group.audit):
            made.rows.append([*_name(group), count, "–", "–", "–", reasons])
    return made


def _failures(every: Sequence[Group]) -> Listing:
    caption = "They are not in the yield. Reasons, most frequent first."
    made = Listing(caption, [*_heads(every), "copies", "first of them", "reason"])
    for group in every:
        reasons = Counter(row.reason for row in group.rows if row.status == "failed")
        for reason, count in reasons.most_common(REASONS):
            example = next(row.sample for row in group.rows if row.reason == reason)
            made.rows.append([*_name(group), str(count), str(example), reason])
    return made


def _shown_config(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "hardware"}


def _heads(found: Sequence[Group]) -> list[str]:
    return [*found[0].traits] or ["setting"]


def _name(group: Group) -> list[Cell]:
    return [*group.traits.values()] or ["all copies"]


def _limit_text(name: str, low: float, high: float) -> str:
    below = f"at most {metric_text(name, high)}" if isfinite(high) else ""
    above = f"at least {metric_text(name, low)}" if isfinite(low) else ""
    return " and ".join(part for part in (above, below) if part)
