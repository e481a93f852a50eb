"""What a validation run found, as tables and in sentences: what needs no package for pages."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

from experiments.shared.files import write_csv
from experiments.validation.conditioning import Point
from experiments.validation.evidence import MEAN, OPERATING_POINT, SPECTRUM, Check, Evidence, beside_bound, number


@dataclass(frozen=True)
class Validation:
    """All that a run found."""

    checks: tuple[Check, ...]
    evidence: tuple[Evidence, ...]
    points: tuple[Point, ...]


def write_tables(found: Validation, folder: Path) -> None:
    """Write validation.csv and conditioning.csv."""
    rows = {
        "validation.csv": [check.columns() for check in found.checks],
        "conditioning.csv": [asdict(point) for point in found.points],
    }
    for name, table in rows.items():
        write_csv(folder / name, table[0], (row.values() for row in table))


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


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
