"""What a sweep found, in a few sentences."""

from math import isfinite

from experiments.sweeps.bars import capital
from experiments.sweeps.findings import Findings
from experiments.sweeps.group import Group, ranked
from experiments.sweeps.statistics import Percentile
from experiments.sweeps.units import interval_share, metric_text, percent, titled, yield_share
from solvers.network.tangents import NOTICED, NOTICED_RATE

WANTED = 0.95
"""Yield that the answer about a grid asks for, as ``--check`` does unless it is told."""
NAMED = 6
"""Groups that the answer names one by one."""
DOMINANT = 0.2
"""Share of one copy in the weight of all failing ones, above which the yield hangs on it."""


def answer(findings: Findings) -> list[str]:
    """The findings, the most important first."""
    found, sweep = findings.shown, findings.sweep
    sentences = []
    done, wanted = sum(len(group.rows) for group in found), sum(group.copies.samples for group in found)
    if done < wanted and sweep.analysis.stop_width is None:
        sentences.append(
            f"This sweep is not finished: {done} of {wanted} copies are. The same command goes on with it."
        )
    if len(found) <= NAMED:
        sentences = [_finding(findings, group) for group in found] + sentences
    else:
        low, high, over = _ends(findings)
        kept = _where_kept(findings) if sweep.limits and findings.chosen.copies.drawn else ""
        sentences = [kept, over, _finding(findings, low), _finding(findings, high), *sentences]
        sentences = list(filter(None, sentences))
    if findings.chosen.copies.drawn:
        at = 0 if findings.analysis.leads else 1
        sentences[at:at] = findings.said
    if findings.bars is not None:
        metric, bars = next(iter(findings.bars.of.items()))
        sentences.append(findings.bars.scale.sentence(metric, bars[0]))
    return [*filter(None, sentences), *warned(findings)]


def warned(findings: Findings) -> list[str]:
    """Where tangents of amplifiers do not hold: in how many copies, and the worst of them."""
    rows = [(group, row) for group in findings.every for row in group.tried]
    said = []
    for name, noticed, what, cure in (
        (
            "rates_off",
            NOTICED_RATE,
            "amplifiers slew or saturate on the way, where their tangents do not hold: rates are off by up to",
            "take engine = 'ngspice', or lower the voltages (rail)",
        ),
        (
            "bent",
            NOTICED,
            "a rail or a current is near at rest: limits move outputs by up to",
            "lower the voltages (rail, current_limit)",
        ),
    ):
        found = [(getattr(row, name), group, row) for group, row in rows if getattr(row, name) > noticed]
        if found:
            most, group, row = max(found, key=lambda one: one[0])
            size = percent(most) if isfinite(most) else "more than all"
            which = f"copy {row.sample}{', ' + group.label if group.label else ''}"
            said.append(f"In {len(found)} of {len(rows)} copies {what} {size} ({which}); {cure}.")
    return said


def yield_text(group: Group) -> str:
    """The yield with its interval, and how many copies are behind it."""
    found = group.found_yield
    tried = f"{found.good} of {found.tried} tried"
    if group.copies.weighted:
        tried = f"{found.tried} drawn, whose {found.tried - found.good} failing ones count as {found.effective:.0f}"
    interval = f"{interval_share(*found.interval)} with 95 % confidence"
    said = f"{yield_share(found.share)} of the copies keep all limits ({interval}; {tried})"
    if found.heaviest > DOMINANT:
        said += (
            f". Beware: one copy has {percent(found.heaviest)} of the failing copies' weight; raise analysis.samples"
        )
    return said


def interval_text(metric: str, found: Percentile) -> str:
    low, high = found.interval
    return f"{metric_text(metric, low)} to {metric_text(metric, high)}" if isfinite(low) or isfinite(high) else "–"


def _ends(findings: Findings) -> tuple[Group, Group, str]:
    """The first and last group by yield, or by the first metric, and how far apart they are."""
    name, found = ranked(findings.sweep)[0], findings.shown
    if findings.sweep.limits:
        order = sorted(found, key=lambda group: group.found_yield.share)
        low, high = (yield_share(group.found_yield.share) for group in (order[0], order[-1]))
        return order[0], order[-1], f"The yield at {len(found)} points goes from {low} to {high}."
    order = sorted(found, key=lambda group: group.percentile(name, 0.95).value)
    low, high = (metric_text(name, group.percentile(name, 0.95).value) for group in (order[0], order[-1]))
    text = f"The 95th percentile of {titled(name)} at {len(found)} points goes from {low} to {high}."
    return order[0], order[-1], text


def _where_kept(findings: Findings) -> str:
    """At which values of the axis that takes most the yield is surely high, whatever the others are."""
    found = findings.shown
    taken = {name: list(dict.fromkeys(g.traits[name] for g in found)) for name in found[0].traits}
    axis = max(taken, key=lambda name: len(taken[name]))
    high = {
        value: all(g.found_yield.interval[0] >= WANTED for g in found if g.traits[axis] == value)
        for value in taken[axis]
    }
    others = [name for name in taken if name != axis]
    every = f", at every {' and '.join(others)}" if others else ""
    share, kept = f"{100 * WANTED:g} % of the copies", [value for value, is_high in high.items() if is_high]
    if not kept:
        alone = sum(g.found_yield.interval[0] >= WANTED for g in found)
        return f"At no {axis} do {share} surely keep all limits{every}; at {alone} of {len(found)} points they do."
    listed = " or ".join([", ".join(kept[:-1]), kept[-1]] if len(kept) > 1 else kept)
    if len(kept) == len(high):
        return f"Whatever the {axis}, {share} surely keep all limits{every}."
    return f"{capital(share)} surely keep all limits where {axis} is {listed}{every}."


def _finding(findings: Findings, group: Group) -> str:
    where = f"{group.label}: " if group.label else ""
    sweep, name = group.sweep, ranked(group.sweep)[0]
    if not group.copies.drawn:
        text = where + " ".join(findings.analysis.answer(findings.point(group.key[0])))
    elif sweep.limits:
        text = f"{where}{yield_text(group)}."
    else:
        median, most = group.percentile(name, 0.5), group.percentile(name, 0.95)
        text = (
            f"{where}half of the copies have {titled(name)} up to {metric_text(name, median.value)} "
            f"({interval_text(name, median)} with 95 % confidence), 95 % up to {metric_text(name, most.value)} "
            f"({interval_text(name, most)})."
        )
    return capital(text)
