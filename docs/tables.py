"""Write the tables of the pages and of the README, from what the commands measured and from the descriptions in code.

    python -m docs.tables            from docs/data
    python -m docs.tables runs       after taking over what the commands have left in runs/

A table stands in a page between the lines ``<!-- table NAME -->`` and ``<!-- end -->``.
"""

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from math import inf, isnan
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from docs import keys, ledger, questions, trainings
from docs.markdown import DATA, keep, number, percent, result, table
from experiments.claims.statements import CLAIMS
from experiments.shared.files import write_csv
from experiments.sweeps.units import metric_text
from experiments.validation.conditioning import Finding, Point, findings

HERE = Path(__file__).parent
PAGES = (HERE.parent / "README.md", *sorted(HERE.glob("*.md")))
SOURCES = {
    "data/bench.csv": "bench/bench.csv",
    "data/validation.csv": "validation/validation.csv",
    "data/conditioning.csv": "validation/conditioning.csv",
    "data/claims.csv": "claims/claims.csv",
    "data/digits.json": "digits/summary.json",
    "data/fashion.json": "fashion/summary.json",
    "data/poisson.json": "poisson/summary.json",
    "data/regression.json": "regression/summary.json",
    "data/characters.json": "characters/summary.json",
    "data/resilience.json": "resilience/summary.json",
    "data/cells.json": "cells/summary.json",
    "data/curvatures.csv": "questions/curvatures.csv",
    "data/resistor_tolerance.json": "resistor_tolerance/summary.json",
    "data/bench_limits.json": "bench_limits/summary.json",
    "data/board.json": "board/summary.json",
    "images/board_front.png": "board/front.png",
    "images/agreements.png": "validation/agreements.png",
    "images/conditioning.png": "validation/conditioning.png",
    "images/settling.png": "digits/settling.png",
    "images/score.png": "digits/score.png",
    "images/cells.png": "cells/grid.png",
    "images/resilience.png": "resilience/resilience-1.png",
}
"""Results in ``docs``, and where the commands leave them: bench, validate --full, claims, demo, sweep
resistor_tolerance, sweep bench_limits, design board."""
SETUP = (
    "topology",
    "preset",
    "cells",
    "condition",
    "alteration",
    "hessian",
    "parasitic",
    "thermal",
    "injected",
    "seed",
)
"""Columns of validation.csv that tell one device from another."""
NO_BREAK = "\u00a0"
MARK = re.compile(r"(<!-- table (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(runs: Path | None) -> None:
    """Take over results where there are any, then write every table.

    Args:
        runs: the folder that the commands write to; None: the results in ``docs`` stay.
    """
    if runs is not None:
        for name, source in SOURCES.items():
            if (runs / source).is_file():
                TAKEN.get(name, shutil.copyfile)(runs / source, HERE / name)
                print(f"took over {runs / source}")
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"wrote {page.relative_to(HERE.parent)}")


def take_claims(source: Path, target: Path) -> None:
    """Verdicts take the places of those on the same claims; the others stay, since a claim may be run alone."""
    tables = [_csv(path) for path in (target, source) if path.is_file()]
    rows = {row["claim"]: row for table in tables for row in table}
    write_csv(target, tables[-1][0], (rows[name].values() for name in CLAIMS if name in rows))


def take_first_finding(source: Path, target: Path) -> None:
    """The table of the first metric, of what a sweep has found at its first point."""
    found = json.loads(source.read_text(encoding="utf-8"))["findings"][0]
    keep(target, found)


def filled(text: str) -> str:
    """A page with each of its tables made anew.

    Raises:
        KeyError: it names a table that is not in ``TABLES``.
    """
    return MARK.sub(lambda mark: f"{mark[1]}{TABLES[mark['name']]()}\n{mark[3]}", text)


def quantity(value: float, unit: str) -> str:
    """A number with its unit. A relative difference has none; the sign of a factor follows at once."""
    return number(value) + {"relative": "", "": "", "×": "×", "1/s": " /s"}.get(unit, f" {unit}")


def _rows(name: str) -> list[dict[str, str]]:
    return _csv(DATA / name)


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _measured(row: dict[str, str]) -> tuple[str, str]:
    """What was measured, bold where it misses what was wanted, and that; neither is broken into two lines."""
    text = quantity(float(row["value"]), row["unit"])
    cells = (f"**{text}**" if row["reached"] == "NO" else text), row["wanted"]
    return cells[0].replace(" ", NO_BREAK), cells[1].replace(" ", NO_BREAK)


def bench() -> str:
    """Every figure of the benchmarks; bold where it misses what is wanted."""
    head = ("figure", "measured", "wanted", "how")
    return table(head, ((r["figure"], *_measured(r), r["how"]) for r in _rows("bench.csv")))


def agreements() -> str:
    """Of each agreement the check that comes nearest to its bound."""
    worst: dict[str, dict[str, str]] = {}
    for row in _rows("validation.csv"):
        other = worst.setdefault(row["agreement"], row)
        if float(row["difference"]) / float(row["bound"]) > float(other["difference"]) / float(other["bound"]):
            worst[row["agreement"]] = row
    return table(
        ("agreement", "worst", "bound", "of", "reason for the bound"),
        (
            (
                name,
                quantity(float(row["difference"]), row["unit"]),
                f"≤{NO_BREAK}{number(float(row['bound']))}",
                f"{_system(row)}: {row['quantity']}{_when(row)}, {row['engine']} against {row['reference']}",
                row["reason"],
            )
            for name, row in worst.items()
        ),
    )


def devices() -> str:
    """How many checks a validation has, and on how many devices, in a sentence."""
    rows = _rows("validation.csv")
    holds = sum(row["holds"] == "True" for row in rows)
    different = {tuple(row[name] for name in SETUP) for row in rows}
    return f"{holds} of {len(rows)} checks hold, on {len(different)} devices."


def _system(row: dict[str, str]) -> str:
    """Hardware and system of a check."""
    kinds = dict.fromkeys((row["preset"], row["topology"]))
    cells = f"{row['cells']} cell{'s' * (row['cells'] != '1')}"
    matrix = row["alteration"] or f"condition {_power(float(row['condition']))}"
    return f"{', '.join(kinds)}, {cells}, {matrix}"


def _when(row: dict[str, str]) -> str:
    time = float(row["time_constants"] or "inf")
    return "" if time == inf else f" at t = {time:g} τ"


def conditioning() -> str:
    """Error of each kind of hardware against the condition number, and what sets it."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings(TypeAdapter(list[Point]).validate_python(_rows("conditioning.csv"))):
        kinds.setdefault((finding.topology, finding.preset), []).append(finding)

    def rows() -> Iterator[Sequence[str]]:
        for (_, preset), found in kinds.items():
            held = [finding for finding in found if not isnan(finding.error)]
            for finding in held:
                yield f"`{preset}`", _power(finding.condition), _share(finding.error), finding.reason
            if len(held) < len(found):
                yield f"`{preset}`", f"{_power(found[len(held)].condition)} and above", "–", found[len(held)].reason

    return table(("hardware", "condition", "relative error", "what sets it"), rows())


def _power(condition: float) -> str:
    return f"{condition:g}".replace("e+0", "e")


def _share(error: float) -> str:
    return number(error) if error < 1e-3 else f"{number(100 * error)} %"


def claims() -> str:
    """Every claim with its verdict, and where it holds."""
    return table(
        ("claim", "statement", "verdict", "conditions that hold"),
        ((f"`{row['claim']}`", row["statement"], f"**{row['verdict']}**", row["holds"]) for row in _rows("claims.csv")),
    )


def verdicts() -> str:
    """The README's: how many conditions hold, and not which."""
    return table(
        ("claim", "verdict", "conditions hold", "fail", "open"),
        (
            (f"{row['statement']} (`{row['claim']}`)", f"**{row['verdict']}**", row["held"], row["failed"], row["open"])
            for row in _rows("claims.csv")
        ),
    )


def claim_findings() -> str:
    """What each claim was judged by, and the numbers."""
    return table(
        ("claim", "source", "rule", "numbers", "command"),
        (
            (f"`{row['claim']}`", row["source"], row["rule"], row["finding"], f"`{row['command']}`")
            for row in _rows("claims.csv")
        ),
    )


def resistor_tolerance() -> str:
    """Yields by tolerance and size of the array."""
    yields: dict[str, dict[int, Any]] = {}
    for point in result("resistor_tolerance.json")["points"]:
        tolerance, size = point["setting"].values()
        yields.setdefault(tolerance, {})[size] = point["yield"]
    sizes = sorted({size for found in yields.values() for size in found})
    return table(
        ("tolerance", *(f"{size} cells" for size in sizes)),
        (
            (f"± {tolerance}", *(f"{percent(y['share'])} ({percent(y['low'])} to {percent(y['high'])})" for y in row))
            for tolerance, found in yields.items()
            if (row := [found[size] for size in sizes])
        ),
    )


def bench_limits() -> str:
    """What each imperfection of bench adds to the variance of the error; those that add a thousandth."""
    found = sorted(result("bench_limits.json")["rows"], key=lambda row: -row["share"]["value"])
    head = ("only this varies", "5 % of the copies are below", "95 % are below", "share of the variance")
    rows = (
        (f"`{row['only this varies']}`", *(percent(row[name]["value"]) for name in ("5 %", "95 %", "share")))
        for row in found
        if row["share"]["value"] >= 1e-3
    )
    nothing = percent(found[0]["nominal"]["value"])
    return table(head, (("nothing", nothing, nothing, ""), *rows))


def design_bill() -> str:
    """What the designed board is made of."""
    board = result("board.json")
    rows = (
        (
            line["place"],
            line["part"],
            line["value"],
            str(line["used"]),
            str(line["packages"]),
            f"{line['total']:.2f} {board['currency']}",
        )
        for line in board["bill"]
    )
    return table(("place", "part", "value", "parts", "packages", "price of all"), rows)


def design_board() -> str:
    """What the designed board does, as predicted and as its copies did."""
    board = result("board.json")

    def rows() -> Iterator[Sequence[str]]:
        for name, value in board["measured"].items():
            predicted, limit = board["predicted"].get(name), board["limits"].get(name)
            told = ["" if each is None else metric_text(name, each) for each in (predicted, value, limit)]
            yield (f"`{name}`", *told)
        low, high = board["yield_interval"]
        share = f"{percent(board['good'] / board['copies'], 2)} ({percent(low, 2)} to {percent(high, 2)})"
        yield "yield", "", share, percent(board["share"])
        yield "price", "", f"{board['price']:.2f} {board['currency']}", ""

    return table(("", "predicted", "measured", "limit"), rows())


TAKEN = {
    "data/claims.csv": take_claims,
    "data/bench_limits.json": take_first_finding,
    "data/resilience.json": trainings.take_resilience,
    "data/cells.json": trainings.take_points,
}
"""How results are taken over that are not copied whole."""
TABLES: dict[str, Callable[[], str]] = {
    "bench": bench,
    "verdicts": verdicts,
    "agreements": agreements,
    "devices": devices,
    "conditioning": conditioning,
    "claims": claims,
    "claim-findings": claim_findings,
    "digits": trainings.digits,
    "tasks": trainings.tasks,
    "cells": trainings.cells,
    "resilience": trainings.resilience,
    "curvatures": lambda: questions.curvatures(_rows("curvatures.csv")),
    "resistor-tolerance": resistor_tolerance,
    "bench-limits": bench_limits,
    "presets": keys.preset_list,
    "hardware-fields": keys.fields,
    "training-keys": keys.training_keys,
    "optimizer-keys": keys.optimizer_keys,
    "task-keys": keys.task_keys,
    "sweep-keys": keys.sweep_keys,
    "design-keys": keys.design_keys,
    "catalogue-keys": keys.catalogue_keys,
    "design-bill": design_bill,
    "design-board": design_board,
    "part-kinds": keys.part_kinds,
    "variation-keys": keys.variation_keys,
    "spread-keys": keys.spread_keys,
    "metrics": keys.metrics,
    "orders": ledger.orders,
    "costs": ledger.preset_costs,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
