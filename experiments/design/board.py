"""From a config to a board with its proof, and the files that tell of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.design import bill as bills
from experiments.design import front as fronts
from experiments.design.bill import Line, bill
from experiments.design.choices import Parts, Table, uniform
from experiments.design.config import Design, Specification
from experiments.design.front import FRONT, Front, Fronts
from experiments.design.prove import Tried, tried
from experiments.design.search import Candidate, candidates, documents, explore, sweep_document, sweep_of
from experiments.shared.executor import executor
from experiments.shared.figures import draw_all
from experiments.shared.files import write, write_csv
from experiments.shared.hardware import hardware_of
from experiments.shared.page import Picture, render
from experiments.shared.plain_json import json_text
from experiments.shared.store import first_difference
from experiments.shared.toml import toml_text
from experiments.shared.versions import versions
from experiments.sweeps.findings import disagreements, findings
from experiments.sweeps.report import write_report
from experiments.sweeps.run import compute
from experiments.sweeps.statistics import clopper_pearson, percentile
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import points, study_of
from experiments.sweeps.units import metric_text, titled
from experiments.sweeps.workloads import WORKLOADS
from spu_circuit.catalogue import Catalogue, load_catalogue
from spu_circuit.documents import merged
from spu_circuit.errors import InputError
from spu_circuit.files import is_file, read_file, shortened
from spu_circuit.hardware import hardware_tables
from spu_circuit.quantity import shown


@dataclass
class Board:
    """The cheapest board with what proves it.

    Args:
        hardware: its description, as its file says it.
        fronts: what more costs.
        bill: what must be bought.
        measured: metric → the value that the wanted share of the copies keeps.
        audit: metric → largest relative difference between ngspice and the network.
        audited: copies that ngspice repeated.
    """

    design: Design
    catalogue: Catalogue
    tried: Tried
    hardware: Table
    fronts: list[Front]
    bill: list[Line]
    measured: dict[str, float]
    audit: dict[str, float]
    audited: int = 0

    @property
    def asked(self) -> Specification:
        return self.design.specification

    @property
    def found(self) -> Candidate:
        return self.tried.candidate

    @property
    def price(self) -> float:
        return sum(line.total for line in self.bill)

    @property
    def short_bill(self) -> list[Line]:
        """Without the values of the array's resistors."""
        found: dict[tuple[str, str], list[Line]] = {}
        for line in self.bill:
            found.setdefault((line.place, line.part), []).append(line)
        return [_joined(lines) for lines in found.values()]

    @property
    def sentence(self) -> str:
        low, high = clopper_pearson(self.tried.good, self.tried.copies)
        area = bills.area(self.bill)
        size = "" if area is None else f" Its packages take {1e4 * area:.3g} cm²."
        power, current, energy = (
            metric_text(name, self.measured[name]) for name in ("supply_power", "supply_current", "supply_energy")
        )
        taken = (
            f" {100 * self.asked.least_yield:g} % take at most {power}, {current} of a supply, {energy} for a solve."
        )
        return (
            f"{100 * self.tried.good / self.tried.copies:.2f} % of {self.tried.copies} copies keep all limits "
            f"({100 * low:.2f} to {100 * high:.2f} % with 95 % confidence).{size}{taken}"
        )


def design_board(
    design: Design,
    workers: int = 1,
    scheduler: str | None = None,
    told: Callable[[Tried], None] = lambda tried: None,
) -> Board:
    """The cheapest board that meets a specification.

    Raises:
        InputError: the config or the catalogue does not fit, or no board keeps the limits.
    """
    _check_workload(design)
    catalogue = load_catalogue(design.catalogue).priced(design.prices)
    parts = Parts(design, catalogue, hardware_of(design.hardware))
    base = merged(hardware_tables(design.hardware["base"]), design.changes)
    with executor(workers, scheduler) as computers:
        sheets = explore(parts, computers, base)
        found = tried(parts, candidates(sheets, design.specification), computers, told)
    columns = np.array([row.metrics for row in found.rows if row.status == "ok"]).T
    recorded, share = sweep_of(parts, found.candidate).recorded, design.specification.least_yield
    measured = {name: percentile(column, share).value for name, column in zip(recorded, columns, strict=True)}
    return Board(
        design,
        catalogue,
        found,
        documents(parts, base, found.candidate),
        fronts.fronts(sheets, design.specification),
        bill(found.candidate),
        measured,
        {},
    )


def _check_workload(design: Design) -> None:
    """Raise InputError where there is no such workload, or it is no system."""
    spread = {"variation": {"array_resistor": {"local": uniform(0.01, "%")}}}
    points(sweep_document(design, merged(design.hardware, spread)), {}, design.name)
    if WORKLOADS[design.workload.kind].systems is None:
        raise InputError(f"workload.kind: a board is designed for a system, and {design.workload.kind!r} has none")


def claim(design: Design, folder: Path) -> None:
    """Make a folder a design's own: design.json holds its config, and the catalogue and hardware as they are now.

    Raises:
        InputError: it holds the design of another config, or a file that the config names has changed since.
    """
    made = {
        "config": design.model_dump(mode="json"),
        "catalogue": load_catalogue(design.catalogue).model_dump(mode="json"),
        "hardware": hardware_of(design.hardware).model_dump(mode="json"),
    }
    path = folder / "design.json"
    if is_file(path):
        try:
            kept = json.loads(read_file(path, "output"))
        except ValueError:
            kept = {}
        if difference := first_difference(kept, json.loads(json_text(made))):
            name, old, new = difference
            raise InputError(
                f"output: {shortened(folder)} holds a design with {name} = {shortened(old)}, and this one has "
                f"{shortened(new)}; name another folder with --output"
            )
    write(path, json_text(made, indent=2) + "\n")


def write_board(board: Board, folder: Path, store: SweepStore, workers: int = 1, scheduler: str | None = None) -> None:
    """Write all that tells of a board, and let ngspice repeat a share of its copies.

    Args:
        store: that keeps the copies; it may be one of an earlier run of the same design.
    """
    design = board.design
    write(folder / "hardware.toml", toml_text(board.hardware))
    document = sweep_document(design, {"base": str(folder / "hardware.toml")})
    write(folder / "sweep.toml", toml_text(document))
    study = study_of(document, {}, "sweep.toml", design.audit)
    store.claim(study.config, versions())
    ((key, _, _),) = study.sets()
    known = store.samples(key)
    store.commit(key, [row for row in board.tried.rows if row.sample not in known])
    with executor(workers, scheduler) as computers:
        compute(study, store, computers)
    group = findings(study, store).chosen
    board.audit |= {name: worst for name, _, worst in disagreements(group)}
    board.audited = len(group.audit)
    write_report(store)
    write_csv(folder / "bill.csv", bills.HEAD, bills.rows(board.bill))
    write_csv(folder / "front.csv", fronts.HEAD, fronts.rows(board.fronts))
    drawn = Fronts(board.asked, board.catalogue.currency, tuple(board.fronts), board.found, board.measured)
    pictures = draw_all([FRONT], drawn, folder)
    write(folder / "summary.json", json_text(summary(board), indent=2) + "\n")
    write(folder / "report.html", _page(board, pictures, document))


def summary(board: Board) -> dict[str, Any]:
    """All findings in SI units."""
    asked = board.asked
    return {
        "name": board.design.name,
        "price": board.price,
        "currency": board.catalogue.currency,
        "area": bills.area(board.bill),
        "copies": board.tried.copies,
        "good": board.tried.good,
        "yield_interval": clopper_pearson(board.tried.good, board.tried.copies),
        "share": asked.least_yield,
        "limits": {name: limit.max for name, limit in asked.limits.items()},
        "predicted": board.found.values,
        "measured": board.measured,
        "audited": board.audited,
        "apart": board.audit,
        "parts": {choice.slot: choice.name for choice in board.found.chosen},
        "bill": [vars(line) for line in board.short_bill],
    }


def _page(board: Board, pictures: list[Picture], document: Table) -> str:
    asked, predicted = board.asked, board.found.values
    metrics = [
        (
            titled(name),
            metric_text(name, predicted[name]) if name in predicted else "",
            metric_text(name, value),
            metric_text(name, asked.limits[name].max) if name in asked.limits else "",
            shown(board.audit[name], "%", 2) if name in board.audit else "",
        )
        for name, value in board.measured.items()
    ]
    lines = [
        (line.place, line.part, line.value, line.used, line.packages, f"{line.price:.3f}", f"{line.total:.2f}")
        for line in board.short_bill
    ]
    return render(
        "design/report.html",
        name=board.design.name,
        question=board.design.question,
        sentences=[f"The parts cost {board.price:.2f} {board.catalogue.currency}.", board.sentence],
        currency=board.catalogue.currency,
        price_source=board.catalogue.price_source,
        bill=lines,
        metrics=metrics,
        share=f"{100 * asked.least_yield:g} %",
        copies=board.tried.copies,
        audited=board.audited,
        temperature=board.hardware["temperature"],
        pictures=pictures,
        config=toml_text(document),
        versions=versions(),
    )


def _joined(lines: list[Line]) -> Line:
    first = lines[0]
    if len(lines) == 1:
        return first
    return Line(
        first.place,
        first.part,
        f"{len(lines)} values",
        sum(line.used for line in lines),
        sum(line.packages for line in lines),
        first.price,
        sum(line.total for line in lines),
        None,
        sum(line.power for line in lines),
        first.source,
    )
