"""From a sweep's store to summary.json and a page that people read."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from typing import Any

import numpy as np

from experiments.shared import page
from experiments.shared.files import write
from experiments.shared.grid import setting_text, value_text
from experiments.sweeps.cases import NOMINAL
from experiments.sweeps.contributions import METRIC, Explained, explain, table_of
from experiments.sweeps.effects import Effect, correlations, noise_of, ranges, totals
from experiments.sweeps.figures import Picture, against_grid, convergence, distribution, pairs, tornado
from experiments.sweeps.findings import Group, disagreements, focus, groups, planned, ranked
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.redraw import Trait, outliers, traits
from experiments.sweeps.run import Plan
from experiments.sweeps.statistics import CONFIDENCE, Percentile
from experiments.sweeps.store import SweepStore
from experiments.sweeps.units import SI_UNITS, metric_text, percent, titled

WORST = 5
"""Samples that the page lists of each group."""
PARTS = 4
"""Single parts that it lists of each of them."""
MOST_GROUPS = 12
"""Groups whose worst samples are listed."""
NAMED = 6
"""Groups that the answer names one by one."""
REASONS = 5
WEAK = 0.3
"""Rank correlation below which nothing explains a metric by itself."""
CORNERS = ("corners", "worst case")
"""Analyses whose samples are drawn from no distribution."""


def write_report(store: SweepStore) -> list[str]:
    """Write summary.json and report.html beside the store.

    Returns:
        The findings as sentences; none where no sample is finished.

    Raises:
        InputError: see ``planned``.
    """
    plan = planned(store)
    every = groups(plan, store)
    # Beside kinds that vary alone the one sample in which nothing does says nothing.
    found = [group for group in every if not group.mixed and group.tried and group.key[1] != NOMINAL]
    if not found:
        return []
    chosen = focus(found)
    kind, effects, drawn = _effects(chosen, found, every)
    sentences = answer(plan, found, kind, effects)
    versions = store.claimed()["versions"]
    setting = setting_text(plan.settings[chosen.key[0]])
    where = f" At {setting}." if setting else ""
    write(
        store.folder / "summary.json",
        json.dumps(summary(plan, every, kind, effects, versions), indent=2, allow_nan=False, ensure_ascii=False) + "\n",
    )
    sections: dict[str, tuple[str, str]] = {"points": ("Yield and percentiles", _points(found, every))}
    sections["distribution"] = "Distribution", _distribution(found)
    if len(plan.sweeps) > 1 and plan.settings[0]:
        sections["grid"] = "Across the grid", _grid(found, plan)
    if chosen.sweep.analysis.kind not in CORNERS:
        sections["convergence"] = "Convergence", _convergence(found)
    if effects:
        sections["sensitivity"] = "Sensitivity", _sensitivity(chosen, kind, effects, drawn, where)
    told = explain(chosen.sweep, chosen.rows) if chosen.sweep.analysis.kind == "contributions" else None
    if told is not None:
        sections["contributions"] = "Contributions", _contributions(told, where)
        sentences.insert(1, _addition(told))
        write(store.folder / "contributions.csv", table_of(plan.sweeps))
    if effects and drawn is not None and chosen.sweep.analysis.kind not in CORNERS:
        sections["pairs"] = "Pairs", _pairs(chosen, effects, drawn, where)
    sections["worst"] = "Worst copies", _worst(found, every, str(store.folder))
    if plan.audit:
        sections["audit"] = "Audit by ngspice", _audit(every)
    if any(group.counted("failed") for group in every):
        sections["failures"] = "Copies that could not be simulated", _failures(every)
    sections["configuration"] = "Configuration", _configuration(store.claimed())
    sweep = plan.sweeps[0]
    question = f"<p>{escape(sweep.question)}</p>" if sweep.question else ""
    first = f'{question}<p class="answer">{escape(sentences[0])}</p>{page.paragraphs(sentences[1:])}'
    body = first + "".join(page.section(name, title, html) for name, (title, html) in sections.items())
    contents = {name: title for name, (title, _) in sections.items()}
    heading = f"{sweep.name}: tolerance sweep of a simulated SPU"
    write(store.folder / "report.html", page.page(heading, heading, body, contents))
    return sentences


def answer(plan: Plan, found: Sequence[Group], kind: str, effects: dict[str, list[Effect]]) -> list[str]:
    """What the sweep found, in a few sentences."""
    sentences = []
    done, wanted = sum(len(group.rows) for group in found), sum(group.case.samples for group in found)
    if done < wanted and plan.sweeps[0].analysis.stop_width is None:
        sentences.append(
            f"This sweep is not finished: {done} of {wanted} copies are. The same command goes on with it."
        )
    if len(found) <= NAMED:
        sentences = [_capital(_finding(group)) for group in found] + sentences
    else:
        name = ranked(found[0].sweep)[0]
        if plan.sweeps[0].limits:
            order = sorted(found, key=lambda group: group.found_yield.share)
            low, high = (percent(group.found_yield.share) for group in (order[0], order[-1]))
            first = f"The yield at {len(found)} points goes from {low} to {high}."
        else:
            order = sorted(found, key=lambda group: group.percentile(name, 0.95).value)
            low, high = (metric_text(name, group.percentile(name, 0.95).value) for group in (order[0], order[-1]))
            first = f"The 95th percentile of {titled(name)} at {len(found)} points goes from {low} to {high}."
        sentences = [first, *(f"{_capital(_finding(group))}" for group in (order[0], order[-1])), *sentences]
    if effects:
        name, top = next(iter(effects.items()))
        sentences.insert(0 if kind == "range" else len(sentences), _cause(titled(name), kind, top[0]))
    return sentences


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cause(metric: str, kind: str, strongest: Effect) -> str:
    if kind == "range":
        return f"{_capital(metric)} spreads most where only {strongest.name} varies."
    if kind == "share":
        share = percent(strongest.size)
        return f"{_capital(strongest.name)} has the largest share in the variance of {metric}: {share}."
    value = f"{strongest.low + strongest.high:+.2f}".replace("-", "−")
    if strongest.size < WEAK:
        return (
            f"No kind of part alone decides {metric} by its mean or spread: the strongest rank correlation is {value}, "
            f"with {strongest.name}."
        )
    return f"{_capital(metric)} goes most with {strongest.name}: its rank correlation is {value}."


def _finding(group: Group) -> str:
    where = f"{group.label}: " if group.label else ""
    sweep, found = group.sweep, group.found_yield
    if sweep.analysis.kind in CORNERS:
        name = ranked(sweep)[0]
        values, nominal = group.column(name), int(np.flatnonzero(group.samples == 0)[0]) if 0 in group.samples else None
        worst = values[int(np.argmax(group.badness(name)))]
        text = f"{where}the worst corner has {titled(name)} {metric_text(name, float(worst))}"
        if nominal is not None:
            text += f", the nominal copy {metric_text(name, float(values[nominal]))}"
        return f"{text}; {found.good} of {found.tried} keep all limits." if sweep.limits else f"{text}."
    if sweep.limits:
        low, high = found.interval
        return (
            f"{where}{percent(found.share)} of the copies keep all limits "
            f"({percent(low)} to {percent(high)} with 95 % confidence; {found.good} of {found.tried} tried)."
        )
    name = ranked(sweep)[0]
    median, most = group.percentile(name, 0.5), group.percentile(name, 0.95)
    return (
        f"{where}half of the copies have {titled(name)} up to {metric_text(name, median.value)} "
        f"({_interval(name, median)} with 95 % confidence), 95 % up to {metric_text(name, most.value)} "
        f"({_interval(name, most)})."
    )


def summary(
    plan: Plan, every: Sequence[Group], kind: str, effects: dict[str, list[Effect]], versions: dict[str, str]
) -> dict[str, Any]:
    """``summary.json``: SI units, shares as fractions; null where a number is not finite."""
    found = []
    for group in every:
        low, high = group.found_yield.interval
        metrics = {}
        for name in group.sweep.recorded if group.tried else ():
            shares = {"median": 0.5, "percentile_95": 0.95}
            at = {key: group.percentile(name, share) for key, share in shares.items()}
            metrics[name] = {
                key: {"value": _finite(p.value), "low": _finite(p.interval[0]), "high": _finite(p.interval[1])}
                for key, p in at.items()
            }
        audit = {name: {"median": median, "worst": worst} for name, median, worst in disagreements(group)}
        found.append(
            {
                "point": group.key[0],
                "setting": {name: _plain(value) for name, value in plan.settings[group.key[0]].items()},
                "case": group.key[1],
                "copies": len(group.rows),
                "failed": group.counted("failed"),
                "unstable": group.counted("unstable"),
                "yield": None
                if not group.sweep.limits
                else {
                    "share": _finite(group.found_yield.share),
                    "low": low,
                    "high": high,
                    "confidence": CONFIDENCE,
                    "good": group.found_yield.good,
                    "tried": group.found_yield.tried,
                    "method": group.found_yield.method,
                },
                "metrics": metrics,
                "contributions": _told(group),
                "audit": {"copies": len(group.audit), "relative_difference": audit} if plan.audit else None,
            }
        )
    bars = {
        name: [{"name": bar.name, "low": _finite(bar.low), "high": _finite(bar.high)} for bar in own]
        for name, own in effects.items()
    }
    sweep = plan.sweeps[0]
    return {
        "name": sweep.name,
        "question": sweep.question,
        "analysis": sweep.analysis.kind,
        "units": {name: SI_UNITS.get(METRICS[name].unit, METRICS[name].unit) for name in sweep.recorded},
        "points": found,
        "sensitivity": {"kind": kind, "metrics": bars},
        "versions": versions,
    }


def _told(group: Group) -> dict[str, Any] | None:
    """First order's answer for ``summary.json``; None where nobody asked."""
    if group.sweep.analysis.kind != "contributions":
        return None
    told = explain(group.sweep, group.rows)
    return {
        "kinds": {one.kind: {"rms": _finite(one.rms), "share": _finite(one.share)} for one in told.kinds},
        "expected_rms": told.expected,
        "measured_rms": _finite(told.measured),
        "variance_explained": _finite(told.explained),
    }


def _effects(
    chosen: Group, found: Sequence[Group], every: Sequence[Group]
) -> tuple[str, dict[str, list[Effect]], tuple[Any, list[Trait]] | None]:
    """What each metric follows: the kind of bars, metric → bars, and the drawn traits that correlations are with."""
    names = ranked(chosen.sweep)[: min(4, len(chosen.sweep.limits)) or 2]
    if chosen.case.only:
        alone = [group for group in found if group.key[0] == chosen.key[0]]
        return "range", {name: ranges(alone, name) for name in names}, None
    if mixed := [group for group in every if group.mixed and group.key[0] == chosen.key[0]]:
        base = next(group for group in found if group.key == (chosen.key[0], "A"))
        bars = {name: totals(base, mixed, name) for name in names}
        return "share", {name: effects for name, effects in bars.items() if effects}, None
    if chosen.sweep.workload.kind == "training":
        return "correlation", {}, None
    which, drawn = traits(chosen)
    bars = {name: correlations(drawn, chosen.column(name)[which]) for name in names}
    return "correlation", {name: effects for name, effects in bars.items() if effects}, (which, drawn)


def _points(found: Sequence[Group], every: Sequence[Group]) -> str:
    sweep = found[0].sweep
    corner = sweep.analysis.kind in CORNERS
    about = "An unstable copy keeps no limit and counts as beyond every percentile; a failed one counts nowhere."
    if mixed := sum(len(group.rows) for group in every if group.mixed):
        about += f" {mixed} more copies, with one kind of part exchanged between A and B, are in the sensitivity alone."
    head = [*_heads(found), "copies", "failed", "unstable"]
    if sweep.limits:
        about += f" The interval of the yield holds with 95 % confidence: {found[0].found_yield.method}." * (not corner)
        head += ["keep all limits", *([] if corner else ["yield", "interval"])]
    rows = []
    for group in found:
        cells = [str(len(group.rows)), str(group.counted("failed")), str(group.counted("unstable"))]
        if sweep.limits:
            given = group.found_yield
            cells.append(f"{given.good} of {given.tried}")
            cells += [] if corner else [percent(given.share), " to ".join(map(percent, given.interval))]
        rows.append(_row(group, cells))
    made = page.table(head, rows, caption="Copies and yield")
    return f'{made}<p class="about">{escape(about)}</p>{_percentiles(found)}'


def _percentiles(found: Sequence[Group]) -> str:
    sweep = found[0].sweep
    corner = sweep.analysis.kind in CORNERS
    head = ["metric", *found[0].traits, "limit"]
    head += ["lowest", "highest"] if corner else ["median", "interval", "95th percentile", "interval", "worst"]
    rows = []
    for name in ranked(sweep):
        for group in found:
            limit = group.sweep.limits.get(name)
            cells = [
                *map(escape, group.traits.values()),
                "–" if limit is None else _limit_text(name, limit.min, limit.max),
            ]
            values = group.column(name)
            if corner:
                cells += [metric_text(name, float(values.min())), metric_text(name, float(values.max()))]
            else:
                for at in (group.percentile(name, 0.5), group.percentile(name, 0.95)):
                    cells += [metric_text(name, at.value), _interval(name, at)]
                cells.append(metric_text(name, float(values[int(np.argmax(group.badness(name)))])))
            rows.append(page.row(titled(name), cells))
    meanings = "; ".join(f"{titled(name)}: {METRICS[name].meaning}" for name in sweep.recorded)
    how = "" if corner else " Intervals hold with 95 % confidence for any distribution, by order statistics."
    made = page.table(head, rows, caption="Metrics")
    return f'{made}<p class="about">{escape(_capital(meanings))}.{how}</p>'


def _distribution(found: Sequence[Group]) -> str:
    picture = distribution(found)
    if len(found) == 1:
        beyond = " Dashed: limits, beyond them red." if found[0].sweep.limits else ""
        caption = f"Copies by each metric.{beyond} Dotted: the median."
        if found[0].sweep.analysis.kind == "importance":
            caption += " Each copy counts by its weight."
    else:
        caption = f"Share of the copies below each value.{_dashed(found)}"
        if len(found) > NAMED:
            caption += f" {NAMED} of {len(found)} groups, evenly spread."
    return _shown(picture, "Distribution", caption)


def _grid(found: Sequence[Group], plan: Plan) -> str:
    caption = "Bars are 95 % intervals. The values stand in the order of the config, evenly apart." + _dashed(found)
    return _shown(against_grid(found, plan.settings), "Across the grid", caption)


def _convergence(found: Sequence[Group]) -> str:
    what = "yield" if found[0].sweep.limits else f"median of {titled(ranked(found[0].sweep)[0])}"
    caption = (
        f"The {what} among the first copies, in the order of their numbers, with its 95 % interval, and the width of "
        "that interval, which falls with the square root of the number."
    )
    return _shown(convergence(found), "Convergence", caption)


def _sensitivity(chosen: Group, kind: str, effects: dict[str, list[Effect]], drawn: Any, where: str) -> str:
    noise = 0.0
    if kind == "range":
        caption = "From the 5th to the 95th percentile of each metric, where one kind of parts varies alone."
    elif kind == "share":
        caption = (
            "Total share of each kind of parts in a metric's variance, interactions included (Jansen's estimate), so "
            "the shares may add to more than 100 %."
        )
    else:
        noise = 0.0 if chosen.sweep.analysis.kind in CORNERS else noise_of(len(drawn[0]))
        caption = (
            f"Spearman's rank correlation of each metric with what was drawn, over {len(drawn[0])} copies: red, the "
            "metric rises with it; blue, it falls. Means are over all parts of a kind in a copy, so nearly its lot "
            "deviation; spreads are standard deviations within a copy; either way: it is the distance from the median "
            "that counts."
        )
        caption += " Inside the grey band a correlation is as good as none." * (noise > 0)
    return _shown(tornado(effects, kind, noise), "Sensitivity", f"{caption}{where}")


def _contributions(told: Explained, where: str) -> str:
    rows = [
        page.row(titled(one.kind), [escape(one.part) or "all", metric_text(METRIC, one.rms), percent(one.share)])
        for one in (*told.kinds, *told.parts)
    ]
    low, high = (metric_text(METRIC, end) for end in told.interval)
    rows.append(page.row("everything, with the nominal error", ["", metric_text(METRIC, told.expected), ""]))
    rows.append(page.row("the samples", ["", f"{metric_text(METRIC, told.measured)} ({low} to {high})", ""]))
    caption = (
        "What each kind of parts, and the single parts that matter most, add to the mean square of the relative error, "
        "by the derivatives of the nominal solution. Stuck resistors are not in it."
    )
    about = (
        f"First order explains {percent(told.explained)} of the variance of the samples' relative error. Every part is "
        f"in contributions.csv.{where}"
    )
    made = page.table(["kind", "part", "rms relative error", "share"], rows, caption=caption)
    return f'{made}<p class="about">{escape(about)}</p>'


def _addition(told: Explained) -> str:
    most = told.kinds[0]
    return (
        f"{_capital(titled(most.kind))} adds most to it: {percent(most.share)} of the mean square, to first order, "
        f"which explains {percent(told.explained)} of the variance of the samples' relative error."
    )


def _pairs(chosen: Group, effects: dict[str, list[Effect]], drawn: tuple[Any, list[Trait]], where: str) -> str:
    which, found = drawn
    where = f" At {chosen.label}." if chosen.label else ""
    caption = (
        f"Each metric against the drawn quantities that it goes with most, strongest first.{_dashed([chosen])}{where}"
    )
    return _shown(pairs(chosen, which, found, effects), "Pairs", caption)


def _worst(found: Sequence[Group], every: Sequence[Group], folder: str) -> str:
    listed = (
        sorted(found, key=lambda group: group.found_yield.share)[:MOST_GROUPS] if len(found) > MOST_GROUPS else found
    )
    name = ranked(found[0].sweep)[0]
    sweep = found[0].sweep
    intro = (
        f"By {titled(name)}. Every copy can be drawn again from its number: the commands write their decks for "
        "ngspice. Means are over all parts of a kind; single parts are given by their element's name in that deck and "
        "their deviation from the mean of their kind."
    )
    if len(listed) < len(found):
        intro += f" Of the {len(found)} groups these are the {len(listed)} with the lowest yield."
    tables = []
    head = ["copy", *map(titled, ranked(sweep)), "what the copy's parts share", "single parts furthest off"]
    several = len({group.key[1] for group in every}) > 1
    for group in listed:
        rows, commands = [], []
        for row in group.worst(WORST):
            values = dict(zip(group.sweep.recorded, row.metrics, strict=True))
            unstable = row.status == "unstable"
            cells = ["unstable" if unstable else metric_text(n, values[n]) for n in ranked(sweep)]
            if group.sweep.workload.kind == "training":
                cells += ["–", "–"]
            else:
                shared, parts = outliers(group, row.sample, PARTS)
                cells += [_list(shared), _list(map(str, parts))]
                command = ["spu-circuit", "replay", folder, str(row.sample)]
                command += ["--point", str(group.key[0])] if group.key[0] else []
                command += ["--case", group.key[1]] if several else []
                commands.append(shlex.join(command))
            rows.append(page.row(str(row.sample), cells))
        caption = f"Worst {len(rows)} copies{', ' + group.label if group.label else ''}"
        tables.append(page.table(head, rows, "words", caption))
        if commands:
            tables.append(f'<pre tabindex="0" aria-label="Commands">{escape(chr(10).join(commands))}</pre>')
    return f'<p class="about">{escape(intro)}</p>{"".join(tables)}'


def _audit(every: Sequence[Group]) -> str:
    rows = []
    for group in every:
        if not group.audit:
            continue
        bad = [row for row in group.audit if row.status != "ok"]
        reasons = "; ".join(
            f"{reason} ({count})" for reason, count in Counter(r.reason for r in bad).most_common(REASONS)
        )
        for name, median, worst in disagreements(group):
            cells = [str(len(group.audit)), titled(name), f"{median:.2g}", f"{worst:.2g}", escape(reasons) or "none"]
            rows.append(_row(group, cells))
        if len(bad) == len(group.audit):
            rows.append(_row(group, [str(len(bad)), "–", "–", "–", escape(reasons)]))
    if not rows:
        return "<p>No copy has been repeated yet.</p>"
    caption = "Copies that ngspice repeated from their own decks: relative difference from the network's metrics."
    return page.table(
        [*_heads(every), "copies", "metric", "median", "worst", "failed in ngspice"], rows, caption=caption
    )


def _failures(every: Sequence[Group]) -> str:
    rows = []
    for group in every:
        reasons = Counter(row.reason for row in group.rows if row.status == "failed")
        for reason, count in reasons.most_common(REASONS):
            example = next(row.sample for row in group.rows if row.reason == reason)
            rows.append(_row(group, [str(count), str(example), escape(reason)]))
    caption = "They are not in the yield. Reasons, most frequent first."
    return page.table([*_heads(every), "copies", "first of them", "reason"], rows, "words", caption)


def _configuration(claimed: dict[str, Any]) -> str:
    shown = {name: value for name, value in claimed["sweep"].items() if name != "hardware"}
    full = escape(json.dumps(shown, indent=2, ensure_ascii=False))
    made = ", ".join(f"{name} {text}" for name, text in claimed["versions"].items())
    return (
        '<details><summary>What the config sets</summary><pre tabindex="0">'
        f"{full}</pre></details>"
        f'<p class="about">Made with {escape(made)}.</p>'
    )


def _shown(picture: Picture, title: str, caption: str) -> str:
    return page.illustration(picture.png, f"{title}: {picture.words}.", caption)


def _heads(found: Sequence[Group]) -> list[str]:
    return [*found[0].traits] or ["setting"]


def _row(group: Group, cells: Sequence[str]) -> str:
    first, *others = group.traits.values() or ["all copies"]
    return page.row(first, [*map(escape, others), *cells])


def _dashed(found: Sequence[Group]) -> str:
    return " Dashed: limits." if found[0].sweep.limits else ""


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="plain">{items}</ul>' if items else "–"


def _interval(name: str, found: Percentile) -> str:
    low, high = found.interval
    return f"{metric_text(name, low)} to {metric_text(name, high)}" if isfinite(low) or isfinite(high) else "–"


def _limit_text(name: str, low: float, high: float) -> str:
    below = f"at most {metric_text(name, high)}" if isfinite(high) else ""
    above = f"at least {metric_text(name, low)}" if isfinite(low) else ""
    return " and ".join(part for part in (above, below) if part)


def _plain(value: Any) -> Any:
    """What JSON has a word for, or the config's text."""
    return value_text(value) if isinstance(value, float) and not isfinite(value) else value


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
