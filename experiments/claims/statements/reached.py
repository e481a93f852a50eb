"""Steps to training losses: the columns of a row, what they cost a setting, and their figure."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from experiments.claims.claim import Rows
from experiments.claims.figures import curves
from experiments.training.summary import steps_to

START = "steps_to_"


def field_of(target: str) -> str:
    """The column of a loss, which is written as ``targets_of`` has it."""
    return f"{START}{target}"


def targets_of(rows: Rows) -> list[str]:
    """The losses that rows have columns for."""
    return [field.removeprefix(START) for field in rows[0] if field.startswith(START)]


def reached(targets: Sequence[float], losses: Sequence[float]) -> dict[str, Any]:
    """The columns of a training: steps to each loss, None where it is not reached."""
    return {field_of(f"{target:g}"): steps_to(target, losses) for target in targets}


def drawn(rows: Rows) -> tuple[Figure, str] | None:
    """Steps to each loss on the seeds that judge, a curve for each optimizer."""
    shown = [
        {**row, "loss": float(target), "steps": row[field_of(target)]}
        for row in rows
        if row["part"] == "verdict"
        for target in targets_of(rows)
    ]
    return curves(*(shown, "optimizer", "loss", "steps"), xlabel="training loss", ylabel="steps to it")
