"""TNGD-Adam without Adam's memories takes signs of what the device returns, of the gradient where t is short."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from experiments.claims.claim import FRESH, Claim, Row, Rows, column, grouped
from experiments.claims.figures import curves
from experiments.claims.given import Given
from experiments.claims.rules import Condition
from experiments.claims.statements.devices import ENGINE, IDEAL
from experiments.claims.statements.digits import experiment_of, last_step, trainings
from experiments.shared.figures import FigureEntry

MARGIN = 0.02
"""Difference of the final validation loss that is as good as none."""
SIGN, ADAM = "sign", "adam without memory"
UPDATES: dict[str, dict[str, Any]] = {SIGN: {"signs": True}, ADAM: {"adam": True, "betas": [0.0, 0.0]}}
PRIMAL = f"primal, {IDEAL}"
"""On which alone time 0 is measured: at λ = 1 all devices return the gradient there."""
DRAWN = {"mapping": "dual", "curvature": "sampled fisher"}
CASES: dict[str, dict[str, Any]] = {
    PRIMAL: {"mapping": "primal", "hardware": "none"},
    f"dual, {IDEAL}": {**DRAWN, "hardware": "none"},
    **{f"dual, {preset}": {**DRAWN, "hardware": preset, **ENGINE} for preset in ("paper", "bench", "rram")},
}


@dataclass(frozen=True)
class Protocol:
    """Short trainings on digits, each from the same weights on the same batches for all optimizers.

    Args:
        times: of the device, τ; 0: the gradient itself.
    """

    seeds: tuple[int, ...]
    steps: int
    times: tuple[float, ...] = (0.0, 0.01, 0.1, 0.4, 5.0)
    cases: tuple[str, ...] = tuple(CASES)
    hidden: int = 8
    batch: int = 32
    rate: float = 0.01


def _measure(protocol: Protocol, given: Given) -> Rows:
    found: list[Row] = []
    for case in protocol.cases:
        for time in protocol.times:
            if time > 0 or case == PRIMAL:
                for update in UPDATES:
                    found += given.kept(_trained, protocol, case, time, update)
    return found


def _trained(protocol: Protocol, case: str, time: float, update: str) -> Iterator[Row]:
    """A row for each seed: validation loss and test score at the end, None where a training broke off."""
    optimizer = {"kind": "tngd", "learning_rates": [protocol.rate], "damping": 1.0, "analog_time": time}
    settings = {**optimizer, **CASES[case], **UPDATES[update]}
    experiment = experiment_of(settings, protocol.seeds, protocol.steps, protocol.hidden, protocol.batch)
    for seed, chunk in trainings(experiment):
        last = last_step(chunk, protocol.steps)
        yield {
            "case": case,
            "time_tau": time,
            "update": update,
            "seed": seed,
            "loss": last.validation_loss if last else None,
            "score": last.score if last else None,
            "raised": sum(step.doublings > 0 for step in chunk.steps),
            "failure": str(chunk.error or ""),
        }


def _apart(rows: Rows, others: Rows) -> tuple[float, ...]:
    """Losses less those of the same seeds; NaN where there is none."""
    return tuple(own - other for own, other in zip(column(rows, "loss"), column(others, "loss"), strict=True))


def _conditions(rows: Rows) -> list[Condition]:
    ends = grouped(rows, "case", "time_tau", "update")
    alike = [
        Condition(f"Adam beside signs of the same g̃, {case}", f"{time:g} τ", _apart(own, signs), MARGIN, "within")
        for (case, time, update), own in ends.items()
        if update == ADAM
        for signs in [ends[case, time, SIGN]]
    ]
    short = [
        Condition(f"Adam beside sign SGD, {case}", f"{time:g} τ", apart, MARGIN, "within")
        for (case, time), apart in _beside_sign_sgd(rows).items()
    ]
    return alike + short


def _beside_sign_sgd(rows: Rows) -> dict[tuple[str, float], tuple[float, ...]]:
    """What Adam ends at less what sign SGD does, by case and time."""
    ends = grouped(rows, "case", "time_tau", "update")
    plain = ends[PRIMAL, 0.0, SIGN]
    return {key[:2]: _apart(own, plain) for key, own in ends.items() if key[1] > 0 and key[2] == ADAM}


def _finding(rows: Rows) -> str:
    told: dict[str, list[str]] = {}
    for condition in _conditions(rows):
        mean, low, high = condition.interval
        told.setdefault(condition.group, []).append(f"{condition.point} {mean:+.4f} ({low:+.4f} to {high:+.4f})")
    raised = {case: sum(row["raised"] for row in own) for (case,), own in grouped(rows, "case").items()}
    more = "; ".join(f"{case} in {count} steps" for case, count in raised.items() if count)
    groups = ". ".join(f"{group}: {', '.join(points)}" for group, points in told.items())
    return (
        f"Differences of the final validation loss. {groups}. λ was raised for a matrix that was not definite: "
        f"{more or 'never'}."
    )


def _draw(rows: Rows) -> tuple[Figure, str] | None:
    found = _beside_sign_sgd(rows)
    cases = list(dict.fromkeys(case for case, _ in found))
    # Side by side, so that intervals do not hide each other.
    shown = [
        {"case": case, "time": time * 1.06 ** cases.index(case), "apart": value}
        for (case, time), values in found.items()
        for value in values
    ]
    return curves(
        *(shown, "case", "time", "apart", -MARGIN),
        logarithmic=False,
        xlabel="time of the device (τ)",
        ylabel="final validation loss less that of sign SGD",
        xscale="log",
    )


CLAIM = Claim(
    name="sign-descent",
    statement="TNGD-Adam at β₁ = β₂ = 0 is sign descent on what the device returns, and at the paper's times of 0.1 to "
    "0.4 τ nothing but sign SGD.",
    source="arXiv 2405.13817, experiment on SQuAD (β₁ = β₂ = 0, λ = 1, t = 0.1, 0.2, 0.4 τ), without this control",
    method="Short trainings of a small network on digits: gradients relax for t, then steps of their signs, or of Adam "
    "without memory, from the same weights on the same batches. On the ideal equation in the parameters, with the "
    "Gauss-Newton matrix; and in the dual mapping with one drawn label for each image, 32 cells, on the ideal equation "
    "and the circuits of three presets, with their noise. λ = 1, at which both mappings relax alike.",
    rule=f"The difference of the final validation loss is within {MARGIN:g} in the mean over seeds, paired: of Adam "
    "from signs at the same t, for each mapping, device and t; and of Adam at each t above 0 from sign SGD. A training "
    "that breaks off makes its condition fail.",
    full=Protocol(FRESH[229:245], 60),
    quick=Protocol(tuple(range(3)), 10, (0.0, 0.1, 5.0), (PRIMAL, "dual, bench")),
    measure=_measure,
    conditions=_conditions,
    finding=_finding,
    figure=FigureEntry(
        "sign-descent",
        "What a time of relaxation changes",
        "Adam without memory beside sign SGD on the same seeds; means with 95 % intervals. Below the dashed line the "
        "difference is more than the margin.",
        _draw,
    ),
)
