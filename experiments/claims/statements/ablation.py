"""Whether analog time, noise and damping act on training independently, and which damping a device can hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.claims.claim import FRESH, Claim, Row, Rows, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.digits import trained
from experiments.shared.figures import FigureEntry

FACTORS = {"t": "time_tau", "κ₀": "noise", "λ": "damping"}
SMALL = 0.1
"""Of the variance: more is an interaction that matters."""
TRAINED, HELD = "training", "matrices"


@dataclass(frozen=True)
class Protocol:
    """Trainings on digits by the ideal equation, primal, with every time (τ), κ₀ and λ; and matrices on devices.

    Args:
        presets, scalings: devices, and how matrices are scaled before they are programmed.
        held: λ of the matrices.
    """

    seeds: tuple[int, ...]
    steps: int = 100
    rate: float = 0.1
    times: tuple[float, ...] = (1.0, 5.0, 50.0)
    noises: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    dampings: tuple[float, ...] = (0.1, 0.3, 1.0)
    presets: tuple[str, ...] = ("paper", "bench", "rram")
    scalings: tuple[str, ...] = ("none", "jacobi")
    held: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for time, noise, damping in product(protocol.times, protocol.noises, protocol.dampings):
        optimizer: dict[str, Any] = {
            "kind": "tngd",
            "curvature_samples": 8,
            "learning_rates": [protocol.rate],
            "hardware": "none",
            "mapping": "primal",
            "analog_time": time,
            "injected_noise": noise,
            "damping": damping,
        }
        point = {"part": TRAINED, "time_tau": time, "noise": noise, "damping": damping}
        for row in given.kept(trained, optimizer, protocol.seeds, protocol.steps):
            found.append({**point, "device": "", "seed": row["seed"], "value": row["validation_loss"]})
    for preset, scaling, damping in product(protocol.presets, protocol.scalings, protocol.held):
        optimizer = {
            "kind": "tngd",
            "curvature_samples": 8,
            "learning_rates": [protocol.rate],
            "hardware": {"base": preset, "scaling": scaling},
            "engine": "sde",
            "damping": damping,
        }
        told = {"part": HELD, "device": f"{preset}, scaling {scaling}", "damping": damping, "time_tau": None}
        rows = given.kept(trained, optimizer, protocol.seeds, protocol.steps)
        found += [{**told, "noise": None, "seed": row["seed"], "value": row["held"] / protocol.steps} for row in rows]
    return found


def shares(values: NDArray[np.float64]) -> dict[tuple[int, ...], float]:
    """Of the variance of a full factorial (one axis for each factor), by every set of factors; they add up to 1."""
    axes = range(values.ndim)
    effects: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for size in range(values.ndim + 1):
        for chosen in combinations(axes, size):
            rest = tuple(axis for axis in axes if axis not in chosen)
            effect = values.mean(axis=rest, keepdims=True) if rest else values
            for smaller, known in effects.items():
                if set(smaller) < set(chosen):
                    effect = effect - known
            effects[chosen] = effect
    whole = float(values.var())
    return {chosen: float(np.mean(effect**2)) / whole if whole else 0.0 for chosen, effect in effects.items() if chosen}


def _shares(rows: Rows) -> Mapping[str, tuple[float, ...]]:
    """Of every set of factors, for each seed; NaN where a training of the seed failed."""
    found: dict[str, list[float]] = {}
    for _, own in grouped([row for row in rows if row["part"] == TRAINED], "seed").items():
        levels = [sorted({row[field] for row in own}) for field in FACTORS.values()]
        values = np.full([len(part) for part in levels], np.nan)
        for row in own:
            place = tuple(part.index(row[field]) for part, field in zip(levels, FACTORS.values(), strict=True))
            values[place] = np.nan if row["value"] is None else np.log(row["value"])
        names = list(FACTORS)
        for chosen, share in shares(values).items():
            found.setdefault(" × ".join(names[k] for k in chosen), []).append(share)
    return {name: tuple(values) for name, values in found.items()}


def _conditions(rows: Rows) -> list[Condition]:
    return [
        Condition("interaction", name, values, SMALL, "below") for name, values in _shares(rows).items() if "×" in name
    ]


def _finding(rows: Rows) -> str:
    told = [f"{name} {100 * np.mean(values):.1f} %" for name, values in _shares(rows).items()]
    held = []
    for (device,), own in grouped([row for row in rows if row["part"] == HELD], "device").items():
        means = {damping: _mean(some) for (damping,), some in grouped(own, "damping").items()}
        broken = max((damping for damping, share in means.items() if share < 1), default=0.0)
        whole = [damping for damping in means if damping > broken]
        least = f"from λ = {min(whole):g} on in every step" if whole else "at no λ in every step"
        held.append(f"{device} {least} ({', '.join(f'{d:g}: {100 * s:.0f} %' for d, s in means.items())})")
    return (
        f"Shares of the variance of the logarithm of the final validation loss, means over seeds: {', '.join(told)}. "
        f"Steps whose programmed matrix is definite: {'; '.join(held)}."
    )


def _mean(rows: Sequence[Row]) -> float:
    return float(np.mean([row["value"] for row in rows]))


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    shown = [{**row, "percent": 100 * row["value"]} for row in rows if row["part"] == HELD]
    return curves(
        *(shown, "device", "damping", "percent"),
        logarithmic=False,
        xlabel="λ",
        ylabel="% of steps whose matrix is definite",
        xscale="log",
    )


CLAIM = Claim(
    name="ablation",
    statement="Analog time, noise and damping act on training independently of each other.",
    source="open question of arXiv 2405.13817: an ablation over t, κ₀ and λ",
    method="Digits, a network of 2,410 parameters, η = 0.1, the ideal equation in the parameters at every combination "
    "of t, κ₀ and λ; the variance of the logarithm of the final validation loss, split among factors and their "
    "interactions, for each seed. Beside it the share of steps whose matrix, as levels and range of a preset make it, "
    "is definite without more λ, on trainings by that device's own ideal law.",
    rule=f"Each interaction is less than {100 * SMALL:g} % of the variance in the mean over seeds. A training that "
    "fails makes all fail.",
    full=Protocol(FRESH[40:48]),
    quick=Protocol((0, 1), 20, 0.1, (1.0, 5.0), (1e-4, 1e-2), (0.1, 1.0), ("bench",), ("none",), (0.01, 0.3)),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry("ablation", "Which λ a device can hold", "Means over seeds, with 95 % intervals.", _draw),
)
