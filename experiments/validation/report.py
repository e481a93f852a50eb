"""A validation run as files: tables, figures, one page."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from math import isnan
from pathlib import Path
from typing import Any

from experiments.shared import page
from experiments.shared.files import write, write_csv
from experiments.validation.compare import Check, Outcome, worst
from experiments.validation.conditioning import CELLS, Finding, Point, findings
from experiments.validation.covariance_test import DRAWS, FALSE_ALARMS
from experiments.validation.figures import draw_all

TITLES = {
    "settling.png": "Settling, one engine over the other",
    "covariance.png": "Covariance of noisy transients, side by side",
    "spectra.png": "Noise spectra",
    "conditioning.png": "Error against condition number",
}
CAPTIONS = {
    "settling.png": "Cell voltages without noise on their way to rest: ngspice as lines, network as dots.",
    "covariance.png": "Voltages of cells sampled at rest in ngspice, beside the exact law of noise that is held "
    "piecewise constant as there. Both divided by the law's standard deviations of the two cells; on the right what "
    "separates them, in standard errors.",
    "spectra.png": "Small-signal noise of the first cell: ngspice's .noise as a line, network as dots.",
    "conditioning.png": f"Settled solutions of {CELLS} cells, median over random systems: root mean square error of "
    "one reading over the size of the solution. Black: everything on. Coloured: all imperfections off but one. "
    "Crosses: the hardware cannot hold the matrix. ADC codes stay level because ranging brings the nodes to full "
    "scale. The others mostly grow: x is then large beside b, so that DACs use few of their codes, and an error of the "
    "matrix, of an amplifier or of a noise current counts by up to the condition number.",
}

ABOUT = (
    "Four ways to the same voltages. ngspice simulates the circuit of a device as any SPICE does. network reads that "
    "circuit element by element and solves it exactly. sde is the ideal equation of the programmed resistors, without "
    "amplifiers or circuit. Closed forms and NumPy's own solution of A x = b know of no device at all: they check what "
    "the others share, the circuit that stands for the matrix, and the way from the problem to voltages and back. "
    ".noise is ngspice's small-signal noise analysis, which samples nothing.",
    "A device is named by its preset, and its topology where that is not the preset's own or op-amp integrators. "
    "A = [[1, −3], [3, 2]] and the like are arrays whose resistors were changed after programming, so that the drift "
    "is neither symmetric nor normal, as mismatch makes it.",
    "Not checked here: noisy transients through amplifiers that are not ideal (their spectra are), voltages near the "
    "rails or the current limit, slew rates, and the noise of a library's own parts in transients, which ngspice has "
    "not.",
)


def write_validation(outcomes: Sequence[Outcome], points: Sequence[Point], folder: Path) -> None:
    """Write validation.csv, conditioning.csv, the figures and validation.html."""
    checks = [check for outcome in outcomes for check in outcome.checks]
    evidence = [piece for outcome in outcomes for piece in outcome.evidence]
    _write_table(folder / "validation.csv", [asdict(check) | {"holds": check.holds} for check in checks])
    _write_table(folder / "conditioning.csv", [asdict(point) for point in points])
    figures = draw_all(evidence, points, folder)
    write(folder / "validation.html", _page(checks, findings(list(points)), figures))


def verdict(checks: Sequence[Check]) -> str:
    """The last word: how many checks hold, and which do not."""
    failed = [check for check in checks if not check.holds]
    text = f"{len(checks) - len(failed)} of {len(checks)} checks hold"
    if not failed:
        return text + "."
    first = failed[0]
    return f"{text}; the first that fails: {first.case}: {first.quantity}, {first.engines}, {number(first)}."


def number(check: Check) -> str:
    """The difference beside its bound, in the unit of both."""
    unit = "" if check.unit == "relative" else " standard errors"
    return f"{check.difference:.2g}{unit} (≤ {check.bound:.3g})"


def _page(checks: list[Check], found: list[Finding], figures: list[Path]) -> str:
    best = (
        f"<tr><td>{escape(agreement)}</td><td class='number'>{escape(number(check))}</td>"
        f"<td>{escape(check.case)}: {escape(check.quantity)}, {escape(check.engines)}</td></tr>"
        for agreement, check in worst(checks).items()
    )
    pictures = "".join(page.figure(path, TITLES[path.name], CAPTIONS[path.name]) for path in figures)
    every = ("case", "quantity", "engines", "difference (bound)", "reason for the bound", "holds")
    body = f"""{page.paragraphs([verdict(checks), *ABOUT])}
{page.table(("agreement", "worst difference (bound)", "where"), best, "words")}
<p class="about">Differences are relative, over all cells together unless the table says otherwise. Covariances of noisy
transients are compared in all entries and the trace at once: the bound is what the largest of their deviations exceeds
in {100 * FALSE_ALARMS:g} % of {DRAWS:,} draws of the exact law, with as many samples, correlated as these are.</p>
{pictures}
<h2>What limits each kind of hardware</h2>
{page.table(("topology", "preset", "condition", "error", "what sets it"), _finding_rows(found), "words")}
<p class="about">What sets it: the imperfection without which the squared error falls most; a second where one alone is
not half of it. All voltages are ranged as in any solve, and noise is that of one reading at rest.</p>
<h2>Every check</h2>
{page.table(every, map(_row, checks), "words")}"""
    return page.page("spu-circuit: validation", "The engines side by side", body)


def _row(check: Check) -> str:
    cells = [escape(text) for text in (check.case, check.quantity, check.engines)]
    made = "".join(f"<td>{cell}</td>" for cell in cells)
    mark = "" if check.holds else ' class="bad"'
    return (
        f"<tr{mark}>{made}<td class='number'>{escape(number(check))}</td><td>{escape(check.reason)}</td>"
        f"<td>{'yes' if check.holds else 'NO'}</td></tr>"
    )


def _finding_rows(found: list[Finding]) -> Iterator[str]:
    """With the full message where a kind of hardware first fails."""
    told = set()
    for finding in found:
        error = "–" if isnan(finding.error) else f"{finding.error:.2g}"
        why = escape(finding.reason)
        if finding.message and (finding.topology, finding.preset) not in told:
            told.add((finding.topology, finding.preset))
            why += f"<br><span class='about'>{escape(finding.message)}</span>"
        cells = (finding.topology, finding.preset, f"{finding.condition:g}", error)
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}<td>{why}</td></tr>"


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    write_csv(path, rows[0], (row.values() for row in rows))
