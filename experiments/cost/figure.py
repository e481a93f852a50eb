"""Time and energy of a step: against the number of cells as a table and a figure, and of a config as a figure."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from experiments.cost.ledger import digital, ledger
from experiments.cost.machines import MACHINES
from experiments.shared.files import make_folder, write_csv, writing
from experiments.shared.plotting import STYLE
from optim.cost import Item, Machine, Work
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware

FEWEST = 8
SHOWN = ("NGD, Woodbury", "Adam")
"""Digital optimizers in the figure."""
FIGURE, SUM = "cost.png", "sum"
HEAD = ("who", "cells", "parameters", "samples", "time_s", "energy_j", "missing")


def write_study(chosen: Sequence[Hardware], work: Work, analog_time: float, machine: Machine, folder: Path) -> None:
    """Write cost.csv and cost.png: every device and optimizer, from eight cells in steps of two up to the given ones.

    A device that cannot hold a system of a size has no line there.
    """
    make_folder(folder)
    sizes = sorted({work.rows, *(2**k for k in range(3, work.rows.bit_length()) if FEWEST <= 2**k < work.rows)})
    lines: dict[str, list[tuple[int, Item]]] = {}
    for cells in sizes:
        own = replace(work, rows=cells)
        for hardware in chosen:
            try:
                found = ledger(hardware, own, analog_time, machine).together
            except MappingError:
                continue
            lines.setdefault(f"TNGD on {hardware.name}", []).append((cells, found))
        for where, item in digital(own, list(MACHINES.values())):
            lines.setdefault(f"{item.name} ({where})", []).append((cells, item))
    rows = (
        (who, cells, work.parameters, work.samples, item.seconds, item.joules, item.missing)
        for who, points in lines.items()
        for cells, item in points
    )
    write_csv(folder / "cost.csv", HEAD, rows)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 2, figsize=(9.6, 4.4))
        for who, points in lines.items():
            device = who.startswith("TNGD")
            if not device and not who.startswith(SHOWN):
                continue
            style = "o-" if device else "--"
            times = [(size, item.seconds) for size, item in points if item.seconds is not None]
            energies = [(size, item.joules) for size, item in points if item.joules is not None]
            (line,) = panels[0].plot([size for size, _ in times], [t for _, t in times], style, label=who)
            panels[1].plot([size for size, _ in energies], [e for _, e in energies], style, color=line.get_color())
        panels[0].set(xlabel="cells K", ylabel="time of a step (s)", xscale="log", yscale="log")
        panels[1].set(xlabel="cells K", ylabel="energy of a step (J)", xscale="log", yscale="log")
        for axes in panels:
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        with writing(folder / FIGURE) as file:
            figure.savefig(file, format="png")
        plt.close(figure)


def write_steps(steps: Sequence[tuple[str, Sequence[Item]]], folder: Path) -> None:
    """Write cost.png: the parts of a step of every optimizer, and their sum, on axes of time and energy.

    Args:
        steps: titles, from top to bottom, with what a step is made of, the sum last. What is not known has no mark.
    """
    parts = list(dict.fromkeys(item.part or SUM for _, items in steps for item in items))
    parts.sort(key=SUM.__eq__)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 2, figsize=(9.6, 2.4 + 0.35 * len(steps)), sharey=True)
        for panel, axis in zip(panels, ("seconds", "joules"), strict=True):
            for part in parts:
                known = [
                    (getattr(item, axis), row)
                    for row, (_, items) in enumerate(steps)
                    for item in items
                    if (item.part or SUM) == part and getattr(item, axis)
                ]
                style: dict[str, Any] = (
                    {"marker": "|", "ms": 16, "mew": 2, "color": "k"} if part == SUM else {"marker": "o"}
                )
                panel.plot([x for x, _ in known], [row for _, row in known], linestyle="", label=part, **style)
        panels[0].set(xlabel="time of a step (s)", xscale="log")
        panels[1].set(xlabel="energy of a step (J)", xscale="log")
        panels[0].set_yticks(range(len(steps)), [title for title, _ in steps])
        panels[0].invert_yaxis()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(parts), fontsize=9)
        with writing(folder / FIGURE) as file:
            figure.savefig(file, format="png")
        plt.close(figure)
