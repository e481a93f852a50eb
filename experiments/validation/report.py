"""A validation run as figures and one page."""

from collections.abc import Sequence
from itertools import groupby
from math import isnan
from pathlib import Path

from experiments.shared.figures import draw_all
from experiments.shared.files import write
from experiments.shared.page import render
from experiments.validation.conditioning import Finding, findings
from experiments.validation.covariance_test import DRAWS, FALSE_ALARMS
from experiments.validation.evidence import Check, beside_bound, number, worst
from experiments.validation.figures import FIGURES
from experiments.validation.tables import Validation, answer, moment


def write_page(found: Validation, folder: Path) -> None:
    """Write the figures and validation.html."""
    page = render(
        "validation/report.html",
        answer=answer(found.checks),
        pictures=draw_all(FIGURES, found, folder),
        worst=worst(found.checks),
        failed=_by_device([check for check in found.checks if not check.holds]),
        checks=_by_device(found.checks),
        findings=_finding_rows(findings(list(found.points))),
        beside_bound=beside_bound,
        moment=moment,
        false_alarms=f"{100 * FALSE_ALARMS:g} %",
        draws=f"{DRAWS:,}",
    )
    write(folder / "validation.html", page)


def _by_device(checks: Sequence[Check]) -> list[tuple[str, list[Check]]]:
    return [(setup.name, list(mine)) for setup, mine in groupby(checks, key=lambda check: check.setup)]


def _finding_rows(found: Sequence[Finding]) -> list[list[str]]:
    """With the full message where a kind of hardware first fails."""
    rows, told = [], set()
    for finding in found:
        error = "–" if isnan(finding.error) else number(finding.error)
        kind = finding.preset, finding.topology
        message = "" if kind in told else finding.message
        if message:
            told.add(kind)
        rows.append([*kind, number(finding.condition, 6), error, finding.reason, message])
    return rows
