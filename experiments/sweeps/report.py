"""From a sweep's store to summary.json and a page that people read."""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from html import escape
from math import isfinite
from typing import Any

import numpy as np

from experiments import page
from experiments.sweeps.effects import Effect, correlations, ranges, totals
from experiments.sweeps.figures import Picture, against_grid, convergence, distribution, pairs, tornado
from experiments.sweeps.findings import Group, disagreements, focus, groups, planned, ranked
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.redraw import Trait, extremes, traits
from experiments.sweeps.run import Plan
from experiments.sweeps.statistics import CONFIDENCE, Percentile
from experiments.sweeps.store import SweepStore
from experiments.sweeps.units import metric_text, percent, titled

WORST = 5
"""Copies that the page lists of each group."""
MOST_GROUPS = 12
"""Groups whose worst copies are listed."""
NAMED = 6
"""Groups that the answer names one by one."""
PANELS = 3
"""Metrics of which the page says what they follow."""
REASONS = 5


def write_report(store: SweepStore) -> list[str]:
    """Write summary.json and report.html beside the store.

    Returns:
        The findings as sentences; none where no copy is finished.

    Raises:
        InputError: see ``planned``.
    """
    plan = planned(store)
    every = groups(plan, store)
    found = [group for group in every if not group.mixed and group.tried]
    if not found:
        return []
    chosen = focus(found)
    kind, effects, drawn = _effects(chosen, found, every)
    sentences = answer(plan, found, kind, effects)
    versions = store.claimed()["versions"]
    page.write(
        store.folder / "summary.json",
        json.dumps(summary(plan, every, kind, effects, versions), indent=2, allow_nan=False, ensure_ascii=False) + "\n",
    )
    sections: dict[str, tuple[str, str]] = {"points": ("Yield and percentiles", _points(found, every))}
    sections["distribution"] = "Distribution", _distribution(found)
    if len(plan.sweeps) > 1 and plan.settings[0]:
        sections["grid"] = "Across the grid", _grid(found, plan)
    if chosen.sweep.analysis.kind not in ("corners", "worst case"):
        sections["convergence"] = "Convergence", _convergence(found)
    if effects:
        sections["sensitivity"] = "Sensitivity", _sensitivity(chosen, kind, effects, drawn)
    if kind == "correlation" and effects and drawn is not None:
        sections["pairs"] = "Pairs", _pairs(chosen, effects, drawn)
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
    page.write(store.folder / "report.html", page.page(heading, heading, body, contents))
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
        sentences = [_finding(group) for group in found] + sentences
    elif plan.sweeps[0].limits:
        best = max(found, key=lambda group: group.found_yield.share)
        least = min(found, key=lambda group: group.found_yield.share)
        sentences = [f"Of {len(found)} points, the best: {_finding(best)} The least: {_finding(least)}", *sentences]
    else:
        name = ranked(found[0].sweep)[0]
        order = sorted(found, key=lambda group: group.percentile(name, 0.95).value)
        ends = f"the lowest: {_finding(order[0])} The highest: {_finding(order[-1])}"
        sentences = [f"Of {len(found)} points, by the 95th percentile, {ends}", *sentences]
    if effects:
        name, top = next(iter(effects.items()))
        verb = {"correlation": "goes most with", "share": "varies most by", "range": "spreads most by"}[kind]
        sentences.append(f"{titled(name).capitalize()} {verb} {top[0].name}.")
    return sentences


def _finding(group: Group) -> str:
    where = f"{group.label}: " if group.label else ""
    sweep, found = group.sweep, group.found_yield
    if sweep.analysis.kind in ("corners", "worst case"):
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
        f"{where}half of the copies have {titled(name)} up to {_with_interval(name, median)}, "
        f"95 % up to {_with_interval(name, most)}."
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
            metrics[name] = {"unit": METRICS[name].unit.replace("%", "1") or "1"} | {
                key: {"value": _finite(p.value), "low": _finite(p.interval[0]), "high": _finite(p.interval[1])}
                for key, p in at.items()
            }
        audit = {name: {"median": median, "worst": worst} for name, median, worst in disagreements(group)}
        found.append(
            {
                "point": group.key[0],
                "setting": plan.settings[group.key[0]],
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
                "audit": {"copies": len(group.audit), "relative_difference": audit} if plan.audit else None,
            }
        )
    bars = {name: [{"name": e.name, "low": e.low, "high": e.high} for e in bars] for name, bars in effects.items()}
    bars = {
        name: [{k: _finite(v) if k != "name" else v for k, v in bar.items()} for bar in b] for name, b in bars.items()
    }
    sweep = plan.sweeps[0]
    return {
        "name": sweep.name,
        "question": sweep.question,
        "analysis": sweep.analysis.kind,
        "points": found,
        "sensitivity": {"kind": kind, "metrics": bars},
        "versions": versions,
    }


def _effects(
    chosen: Group, found: Sequence[Group], every: Sequence[Group]
) -> tuple[str, dict[str, list[Effect]], tuple[Any, list[Trait]] | None]:
    """What each metric follows: the kind of bars, metric → bars, and the drawn traits that correlations are with."""
    names = ranked(chosen.sweep)[:PANELS]
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
    corner = sweep.analysis.kind in ("corners", "worst case")
    head = [
        "setting",
        "copies",
        "failed",
        "unstable",
        *(["keep all limits" if corner else "yield"] if sweep.limits else []),
    ]
    for name in ranked(sweep):
        head += [f"{titled(name)}, {'lowest' if corner else 'median'}", "highest" if corner else "95th percentile"]
    rows = []
    for group in found:
        cells = [str(len(group.rows)), str(group.counted("failed")), str(group.counted("unstable"))]
        if sweep.limits:
            given, (low, high) = group.found_yield, group.found_yield.interval
            shown = f"{given.good} of {given.tried}"
            cells.append(
                shown if corner else f"{percent(given.share)}<br><small>{percent(low)} to {percent(high)}</small>"
            )
        for name in ranked(sweep):
            if corner:
                values = group.column(name)
                cells += [metric_text(name, float(values.min())), metric_text(name, float(values.max()))]
            else:
                cells += [_cell(name, group.percentile(name, share)) for share in (0.5, 0.95)]
        rows.append(page.row(group.label or "all copies", cells))
    limits = "; ".join(_limit_text(name, limit.min, limit.max) for name, limit in sweep.limits.items())
    about = []
    if limits:
        about.append(f"A good copy keeps {limits}.")
    if not corner:
        method = found[0].found_yield.method
        about.append(
            f"Small: 95 % intervals; of the yield by {method}, of percentiles by order statistics, for any distribution."
        )
    about.append("An unstable copy keeps no limit and counts as beyond every percentile; a failed one counts nowhere.")
    if mixed := sum(len(group.rows) for group in every if group.mixed):
        about.append(f"{mixed} copies with one kind of part exchanged between A and B are in the sensitivity alone.")
    return page.table(head, rows, caption=" ".join(about))


def _distribution(found: Sequence[Group]) -> str:
    picture = distribution(found)
    if len(found) == 1:
        caption = (
            "Copies by each metric. Dashed: limits, beyond them red; dotted: the median."
            if found[0].sweep.limits
            else "Copies by each metric. Dotted: the median."
        )
        if found[0].sweep.analysis.kind == "importance":
            caption += " Each copy counts by its weight."
    else:
        caption = "Share of the copies below each value. Dashed: limits."
        if len(found) > NAMED:
            caption += f" {NAMED} of {len(found)} groups, evenly spread."
    return _shown(picture, "Distribution", caption)


def _grid(found: Sequence[Group], plan: Plan) -> str:
    caption = "Bars are 95 % intervals; dashed: limits. The values stand in the order of the config, evenly apart."
    return _shown(against_grid(found, plan.settings), "Across the grid", caption)


def _convergence(found: Sequence[Group]) -> str:
    what = "yield" if found[0].sweep.limits else f"median of {titled(ranked(found[0].sweep)[0])}"
    caption = (
        f"The {what} among the first copies, in the order of their numbers, with its 95 % interval, and the width of that "
        "interval, which falls with the square root of the number."
    )
    return _shown(convergence(found), "Convergence", caption)


def _sensitivity(chosen: Group, kind: str, effects: dict[str, list[Effect]], drawn: Any) -> str:
    where = f" At {chosen.label}." if chosen.label and not chosen.case.only else ""
    noise = 0.0
    if kind == "range":
        caption = "From the 5th to the 95th percentile of each metric, where one kind of parts varies alone."
    elif kind == "share":
        caption = (
            "Total share of each kind of parts in a metric's variance, interactions included (Jansen's estimate), so "
            "the shares may add to more than 100 %."
        )
    else:
        noise = 1.96 / max(1, len(drawn[0]) - 1) ** 0.5
        caption = (
            f"Spearman's rank correlation of each metric with what was drawn, over {len(drawn[0])} copies: red, the "
            "metric rises with it; blue, it falls. Means are over all parts of a kind in a copy, so nearly its lot "
            "deviation; spreads are standard deviations within a copy. Inside the grey band a correlation is as good as "
            "none."
        )
    return _shown(tornado(effects, kind, noise), "Sensitivity", caption + where)


def _pairs(chosen: Group, effects: dict[str, list[Effect]], drawn: tuple[Any, list[Trait]]) -> str:
    which, found = drawn
    where = f" At {chosen.label}." if chosen.label else ""
    caption = (
        f"Each metric against the drawn quantities that it goes with most, strongest first. Dashed: limits.{where}"
    )
    return _shown(pairs(chosen, which, found, effects), "Pairs", caption)


def _worst(found: Sequence[Group], every: Sequence[Group], folder: str) -> str:
    listed = (
        sorted(found, key=lambda group: group.found_yield.share)[:MOST_GROUPS] if len(found) > MOST_GROUPS else found
    )
    name = ranked(found[0].sweep)[0]
    sweep = found[0].sweep
    intro = (
        f"By {titled(name)}. Every copy can be drawn again from its number: the command writes its deck for ngspice. "
        "Means are over all parts of a kind; single parts are given by their element's name in that deck and their "
        "deviation from the mean of their kind."
    )
    if len(listed) < len(found):
        intro += f" Of the {len(found)} groups these are the {len(listed)} with the lowest yield."
    tables = []
    head = ["copy", *map(titled, ranked(sweep)), "what the copy's parts share", "parts furthest off", "deck"]
    several = len({group.key[1] for group in every}) > 1
    for group in listed:
        rows = []
        for row in group.worst(WORST):
            values = dict(zip(group.sweep.recorded, row.metrics, strict=True))
            unstable = row.status == "unstable"
            cells = ["unstable" if unstable else metric_text(n, values[n]) for n in ranked(sweep)]
            if group.sweep.workload.kind == "training":
                cells += ["–", "–", "–"]
            else:
                shared, parts = extremes(group, row.sample, 4)
                command = ["spu-circuit", "replay", folder, str(row.sample)]
                command += ["--point", str(group.key[0])] if group.key[0] else []
                command += ["--case", group.key[1]] if several else []
                cells += ["<br>".join(map(escape, shared)), "<br>".join(escape(str(part)) for part in parts) or "–"]
                cells.append(f"<code>{escape(shlex.join(command))}</code>")
            rows.append(page.row(str(row.sample), cells))
        caption = f"Worst {len(rows)} copies{', ' + group.label if group.label else ''}"
        tables.append(page.table(head, rows, "words", caption))
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
            rows.append(page.row(group.label or "all copies", cells))
        if len(bad) == len(group.audit):
            rows.append(page.row(group.label or "all copies", [str(len(bad)), "–", "–", "–", escape(reasons)]))
    if not rows:
        return "<p>No copy has been repeated yet.</p>"
    caption = "Copies that ngspice repeated from their own decks: relative difference from the network's metrics."
    return page.table(["setting", "copies", "metric", "median", "worst", "failed in ngspice"], rows, caption=caption)


def _failures(every: Sequence[Group]) -> str:
    rows = []
    for group in every:
        reasons = Counter(row.reason for row in group.rows if row.status == "failed")
        for reason, count in reasons.most_common(REASONS):
            example = next(row.sample for row in group.rows if row.reason == reason)
            rows.append(page.row(group.label or "all copies", [str(count), str(example), escape(reason)]))
    caption = "They are not in the yield. Reasons, most frequent first."
    return page.table(["setting", "copies", "first of them", "reason"], rows, "words", caption)


def _configuration(claimed: dict[str, Any]) -> str:
    full = escape(json.dumps(claimed["sweep"], indent=2, ensure_ascii=False))
    made = ", ".join(f"{name} {text}" for name, text in claimed["versions"].items())
    return (
        f"<details><summary>Everything that determines this sweep</summary><pre tabindex=0>{full}</pre></details>"
        f'<p class="about">Made with {escape(made)}.</p>'
    )


def _shown(picture: Picture, title: str, caption: str) -> str:
    return page.illustration(picture.png, f"{title}: {picture.words}.", caption)


def _cell(name: str, found: Percentile) -> str:
    low, high = found.interval
    shown = metric_text(name, found.value)
    if not (isfinite(low) or isfinite(high)):
        return shown
    return f"{shown}<br><small>{metric_text(name, low)} to {metric_text(name, high)}</small>"


def _with_interval(name: str, found: Percentile) -> str:
    low, high = found.interval
    if not (isfinite(low) or isfinite(high)):
        return metric_text(name, found.value)
    return f"{metric_text(name, found.value)} ({metric_text(name, low)} to {metric_text(name, high)})"


def _limit_text(name: str, low: float, high: float) -> str:
    below = f"at most {metric_text(name, high)}" if isfinite(high) else ""
    above = f"at least {metric_text(name, low)}" if isfinite(low) else ""
    return f"{titled(name)} {' and '.join(part for part in (above, below) if part)}"


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
