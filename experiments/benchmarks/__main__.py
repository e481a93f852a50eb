"""``python -m experiments.benchmarks``: measure all figures, print a table, write a CSV."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from experiments.benchmarks import (
    amplifiers,
    boards,
    circuit,
    device,
    factored,
    ideal,
    kills,
    network,
    precision,
    start,
    sweeps,
    training,
)
from experiments.benchmarks.measure import Figure

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "start": start.start,
    "overhead": circuit.overhead,
    "accuracy": circuit.accuracy,
    "noise": circuit.noise,
    "amplifiers": amplifiers.transients,
    "draws": network.draws,
    "network": network.single,
    "growth": network.growth,
    "one-by-one": device.one_by_one,
    "batches": device.batches,
    "first": device.first,
    "agreement": device.agreement,
    "gradient": device.gradient,
    "factored": factored.single,
    "factored-growth": factored.growth,
    "low-rank": ideal.low_rank,
    "sampling": ideal.sampling,
    "refinement": precision.refinement,
    "rotation": precision.rotation,
    "averaging": precision.averaging,
    "estimates": precision.estimates,
    "monte-carlo": sweeps.monte_carlo,
    "efficiency": sweeps.efficiency,
    "contributions": boards.contributions,
    "rare": boards.rare,
    "design": boards.design,
    "kills": kills.kills,
    "step": training.step,
    "ensemble": training.ensembles,
    "trainings": training.trainings,
    "demo": training.demo,
}


def main(
    output: Annotated[Path, typer.Option(help="Folder for bench.csv.")] = Path("runs/bench"),
    only: Annotated[list[str] | None, typer.Option(help=f"Some of: {', '.join(BENCHMARKS)}.")] = None,
) -> None:
    """Measure the figures that the project promises."""
    console = Console()
    table = Table("figure", "measured", "wanted", "", "how", box=None)
    output.mkdir(parents=True, exist_ok=True)
    with (output / "bench.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["figure", "value", "unit", "wanted", "reached", "how"])
        for name in only or BENCHMARKS:
            if name not in BENCHMARKS:
                raise typer.BadParameter(f"no {name!r}; benchmarks are {', '.join(BENCHMARKS)}")
            with console.status(f"measuring {name}"):
                figures = BENCHMARKS[name]()
            for f in figures:
                mark = {True: "yes", False: "NO", None: ""}[f.reached]
                table.add_row(f.name, f"{f.value:.3g} {f.unit}", f.wanted, mark, f.note)
                writer.writerow([f.name, f.value, f.unit, f.wanted, mark, f.note])
                file.flush()
    console.print(table)
    console.print(f"wrote {output / 'bench.csv'}")


if __name__ == "__main__":
    typer.run(main)
