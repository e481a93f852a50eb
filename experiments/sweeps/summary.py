"""summary.json of a sweep: SI units, shares as fractions; null where a number is not finite."""

from math import isfinite
from typing import Any

from experiments.shared.grid import value_text
from experiments.sweeps.findings import Findings, disagreements
from experiments.sweeps.group import Group
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.statistics import CONFIDENCE, Percentile
from experiments.sweeps.tables import finite
from experiments.sweeps.units import SI_UNITS
from solvers.network.tangents import NOTICED, NOTICED_RATE

SHARES = {"median": 0.5, "percentile_95": 0.95}


def summary(findings: Findings) -> dict[str, Any]:
    """All findings as numbers."""
    sweep, bars = findings.sweep, findings.bars
    return {
        "name": sweep.name,
        "question": sweep.question,
        "analysis": sweep.analysis.kind,
        "units": {name: SI_UNITS.get(METRICS[name].unit, METRICS[name].unit) for name in sweep.recorded},
        "points": [_group(findings, group) for group in findings.every],
        "findings": [{"point": point} | table.plain() for point, tables in findings.tables.items() for table in tables],
        "sensitivity": None
        if bars is None
        else {
            "kind": bars.scale.kind,
            "point": findings.chosen.key[0],
            "metrics": {
                name: [{"name": bar.name, "low": finite(bar.low), "high": finite(bar.high)} for bar in own]
                for name, own in bars.of.items()
            },
        },
        "versions": findings.versions,
    }


def _group(findings: Findings, group: Group) -> dict[str, Any]:
    setting = findings.study.settings[group.key[0]]
    audit = {name: {"median": median, "worst": worst} for name, median, worst in disagreements(group)}
    return {
        "point": group.key[0],
        "setting": {name: _plain(value) for name, value in setting.items()},
        "case": group.key[1],
        "copies": len(group.rows),
        "failed": group.counted("failed"),
        "unstable": group.counted("unstable"),
        "tangents": {
            name: {"copies": sum(value > noticed for value in values), "worst": finite(max(values, default=0.0))}
            for name, noticed, values in (
                ("bent", NOTICED, [row.bent for row in group.tried]),
                ("rates_off", NOTICED_RATE, [row.rates_off for row in group.tried]),
            )
        },
        "yield": _yield(group) if group.sweep.limits else None,
        "metrics": {
            name: {key: _percentile(group.percentile(name, share)) for key, share in SHARES.items()}
            for name in (group.sweep.recorded if group.tried else ())
        },
        "audit": {"copies": len(group.audit), "relative_difference": audit} if findings.study.audit else None,
    }


def _yield(group: Group) -> dict[str, Any]:
    found = group.found_yield
    low, high = found.interval
    return {
        "share": finite(found.share),
        "low": low,
        "high": high,
        "confidence": CONFIDENCE,
        "good": found.good,
        "tried": found.tried,
        "method": found.method,
        "effective": finite(found.effective),
        "heaviest": finite(found.heaviest),
    }


def _percentile(found: Percentile) -> dict[str, float | None]:
    return {"value": finite(found.value), "low": finite(found.interval[0]), "high": finite(found.interval[1])}


def _plain(value: Any) -> Any:
    """What JSON has a word for, or the config's text."""
    return value_text(value) if isinstance(value, float) and not isfinite(value) else value
