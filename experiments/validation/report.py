"""A validation run as files: tables, figures, one page."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from math import inf, isnan
from pathlib import Path
from typing import Any

from experiments.shared.figures import draw_all
from experiments.shared.files import write, write_csv
from experiments.shared.page import render
from experiments.validation.conditioning import Finding, findings
from experiments.validation.covariance_test import DRAWS, FALSE_ALARMS
from experiments.validation.evidence import MEAN, OPERATING_POINT, SPECTRUM, Check, beside_bound, number, worst
from experiments.validation.figures import FIGURES, Validation


def write_validation(found: Validation, folder: Path) -> None:
    """Write validation.csv, conditioning.csv, the figures and validation.html."""
    _write_table(folder / "validation.csv", [check.columns() for check in found.checks])
    _write_table(folder / "conditioning.csv", [asdict(point) for point in found.points])
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


def answer(checks: Sequence[Check]) -> list[str]:
    """Whether the engines agree, how well, and where they do worst, as sentences."""
    failed = [check for check in checks if not check.holds]
    if failed:
        first, verb = failed[0], "fail" if len(failed) > 1 else "fails"
        where = f"{first.setup.name}: {first.quantity}, {first.engine} against {first.reference}, {beside_bound(first)}"
        sentences = [
            f"The engines disagree: {len(failed)} of {len(checks)} checks {verb}; the first that fails: {where}."
        ]
    else:
        devices = len({check.setup for check in checks})
        sentences = [f"The engines agree: on {devices} devices all {len(checks)} checks hold."]
    largest = {
        words: max((check.difference for check in checks if check.agreement == agreement), default=None)
        for agreement, words in ((OPERATING_POINT, "at rest"), (MEAN, "on the way there"), (SPECTRUM, "in noise power"))
    }
    parts = [f"{number(difference)} {words}" for words, difference in largest.items() if difference is not None]
    if parts:
        sentences.append(f"The engines network and ngspice differ relatively by at most {_listed(parts)}.")
    nearest = max(checks, key=lambda check: check.share)
    if not failed:
        sentences.append(
            f"Nearest to its bound: {nearest.quantity}, {nearest.engine} against {nearest.reference}, "
            f"on {nearest.setup.name}: {beside_bound(nearest)}."
        )
    return sentences


def moment(check: Check) -> str:
    """When, in words."""
    if check.time is None:
        return "–"
    return "at rest" if check.time == inf else f"{check.time:g} τ"


def _by_device(checks: Sequence[Check]) -> list[tuple[str, list[Check]]]:
    return [(setup.name, list(mine)) for setup, mine in groupby(checks, key=lambda check: check.setup)]


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


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


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    write_csv(path, rows[0], (row.values() for row in rows))
